"""Trained weights with all that using them needs: settings, vocabularies, threshold, alignment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from torch import Tensor

from fauds import resources
from fauds.captions.vocabulary import Words
from fauds.datasets.base import natural
from fauds.errors import DataError, UsageError
from fauds.explanation import foreign
from fauds.facs import AUS
from fauds.nn.vlfau import VLFAU
from fauds.settings import RunSettings
from fauds.training import checkpoint
from fauds.training.data import CaptionTokens
from fauds.training.loop import WEIGHTS, build_model

SHIPPED = ("vlfau", "tiny-faces.safetensors")
"""The weights that fauds ships, under models/."""

_SCOPES = ("local", "global")
_LANGUAGE = ("local_decoder.", "global_decoder.", "global_head.")
_AS_THEY_ARE = ("none", "elsewhere")
_ORIGIN = ("model", "preset", "benchmark", "benchmark_version", "fold", "fauds")


@dataclass(frozen=True, eq=False)
class Weights:
    """A weights file.

    Attributes:
        path: of the file.
        tensors: of the model, floating ones as float32.
        settings: of the run that trained it.
        aus: A names, in the model's order.
        words: the vocabularies of "local" and "global" descriptions.
        longest: tokens of the longest description of each, begin and end included.
        threshold: the probability from which an action unit counts as active.
        alignment: how its faces were cropped: `name` and `version`.
        trained_on: on what, one sentence.
        synthetic: whether its faces were drawn.
        origin: what else the header says of where they are from: model, preset, benchmark,
            benchmark_version, fold, and the fauds that wrote them.
        notes: what was chosen for the user, for people to read.
    """

    path: Path
    tensors: Mapping[str, Tensor] = field(repr=False)
    settings: RunSettings = field(repr=False)
    aus: tuple[str, ...]
    words: Mapping[str, Words] = field(repr=False)
    longest: Mapping[str, int]
    threshold: float
    alignment: Mapping[str, Any]
    trained_on: str
    synthetic: bool
    origin: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def whole_pictures(self) -> bool:
        """Whether the model was trained on pictures as they were, and not on faces cut out."""
        return self.alignment["name"] in _AS_THEY_ARE

    def model(self, *, describe: bool = True) -> VLFAU:
        """Make the network, ready to be used on the CPU.

        Args:
            describe: False leaves out what writes descriptions.

        Raises:
            DataError: the tensors are not those of the settings or of the vocabularies.
        """
        architecture = self.settings.model
        stem = architecture.backbone.model_copy(update={"pretrained": False, "weights": None})
        changes: dict[str, Any] = {"backbone": stem}
        tensors = dict(self.tensors)
        if not describe:
            changes |= {"local_language": False, "global_language": False}
            tensors = {k: v for k, v in tensors.items() if not k.startswith(_LANGUAGE)}
        # Of the captions only the sizes of their vocabularies shape the model.
        none = np.zeros((1, 0), np.int64)
        tokens = CaptionTokens(none, none, *(len(self.words[scope]) for scope in _SCOPES))
        architecture = architecture.model_copy(update=changes)
        build = partial(build_model, architecture, len(self.aus), tokens, self.path.parent)
        foreign.check_fit(build, tensors, self.path)
        model = build()
        model.load_state_dict(tensors)
        return model.eval()


def locate(
    weights: Path | str | None = None, runs: Path | None = None
) -> tuple[Path, tuple[str, ...]]:
    """Return the file of trained weights, and what was chosen where several are meant.

    Arguments and errors as of `open_weights`.
    """
    if weights is None:
        return resources.path("models", *SHIPPED), ()
    return _weights_file(_existing(Path(weights).expanduser(), runs))


def open_weights(weights: Path | str | None = None, runs: Path | None = None) -> Weights:
    """Read trained weights.

    Args:
        weights: a weights file; a run's folder, or one of its folds' (``RUN/fold2``); or, with
            `runs`, the same by the run's name. None: the weights that fauds ships.
        runs: the folder in which runs are looked up by name.

    Raises:
        UsageError: there is no such file or run.
        DataError: the file is damaged, or lacks what explaining needs.
    """
    path, notes = locate(weights, runs)
    tensors, meta = _load(path)
    try:
        words = {scope: _words(path, tensors, meta["words"][scope], scope) for scope in _SCOPES}
        settings = RunSettings.model_validate(meta["settings"])
        longest = {scope: int(meta["longest"][scope]) for scope in _SCOPES}
        foreign.check_sizes(settings, longest)
        return Weights(
            path=path,
            tensors={
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in tensors.items()
            },
            settings=settings,
            aus=_aus(meta["aus"]),
            words=words,
            longest=longest,
            threshold=_threshold(meta["threshold"]),
            alignment={key: meta["alignment"][key] for key in ("name", "version")},
            trained_on=str(meta["trained_on"]),
            synthetic=bool(meta["synthetic"]),
            origin={key: meta[key] for key in _ORIGIN if key in meta},
            notes=notes,
        )
    except KeyError as error:
        raise _incomplete(path, f"{error.args[0]!r} is not in their header") from error
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise _incomplete(path, f"settings.{key}: {error.errors()[0]['msg']}") from error
    except (TypeError, ValueError) as error:
        raise _incomplete(path, str(error)) from error


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, meta = checkpoint.load(path)
    if not meta.keys() & {"settings", "aus"}:
        raise DataError(
            "The file holds no whole model: its header has neither settings nor action units, as "
            "that of a backbone alone.",
            where=path,
            hint="name another: a run, RUN/fold2, or a weights file (--weights)",
        )
    foreign.check_finite(tensors, path)
    return tensors, meta


def _aus(names: Any) -> tuple[str, ...]:
    known = [name for name in names if name in AUS]
    if len(set(known)) < len(names) or not known:
        raise ValueError("aus are not different action units")
    return tuple(known)


def _threshold(value: Any) -> float:
    threshold = float(value)
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold {threshold} is no probability")
    return threshold


def _words(
    path: Path, tensors: Mapping[str, Tensor], saved: Mapping[str, Any], scope: str
) -> Words:
    words = Words(tuple(map(str, saved["tokens"])), tuple(map(bool, saved["spaces"])))
    readout = tensors.get(f"{scope}_decoder.readout.weight")
    sizes = {len(words.tokens), len(words.spaces)}
    if readout is not None and sizes != {len(readout)}:
        raise DataError(
            f"The {scope} vocabulary has {len(words):,} words, the weights are for "
            f"{len(readout):,}.",
            where=path,
            hint="copy the file again, or train again",
        )
    return words


def _incomplete(path: Path, why: str) -> DataError:
    return DataError(
        f"The weights lack what explaining needs: {why}.",
        where=path,
        hint="they were written by an older fauds; train again with this one (fauds bench)",
    )


def _existing(named: Path, runs: Path | None) -> Path:
    candidates = [named, *([runs / named] if runs else [])]
    for path in candidates:
        if path.exists():
            return path
    for run in (path.parent for path in candidates):
        if folds := _folds(run):
            raise UsageError(
                f"The run {run.name} has no weights {named.name!r}.",
                where=run,
                hint=f"it has {', '.join(file.parent.name for file in folds)}",
            )
    finished = runs.glob(f"*/fold*/{WEIGHTS}") if runs else ()
    known = sorted({path.parents[1].name for path in finished})
    there = f"runs there are: {', '.join(known) or 'none'}; another dataset's: --dataset"
    raise UsageError(
        f"There is no weights file or run {str(named)!r}.",
        where=runs,
        hint=there if runs else "give a weights file or a run's folder",
    )


def _folds(run: Path) -> list[Path]:
    """Return the weights of a run's folds, in order."""
    return sorted(run.glob(f"fold*/{WEIGHTS}"), key=lambda file: natural(file.parent.name))


def _weights_file(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the weights of a file, a fold's folder or a run's, and what was chosen of several."""
    if path.is_file():
        return path, ()
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS, ()
    folds = _folds(path)
    if not folds:
        raise DataError(
            "The folder holds no trained weights.",
            where=path,
            hint="finish the run first (fauds bench --resume), or name another",
        )
    if len(folds) == 1:
        return folds[0], ()
    names = [file.parent.name for file in folds]
    note = (
        f"{path.name} has weights of {', '.join(names)}: {names[0]} is used; "
        f"another is named as {path.name}/{names[1]}"
    )
    return folds[0], (note,)
