"""Trained weights with all that using them needs: settings, vocabularies, threshold, alignment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from fauds import resources
from fauds.captions.vocabulary import Words
from fauds.datasets.base import natural
from fauds.errors import DataError, UsageError
from fauds.explanation import weights_checks as foreign
from fauds.nn import MODELS, presets
from fauds.nn.base import Model
from fauds.settings import RunSettings
from fauds.tables.paths import WEIGHTS
from fauds.targets import TARGETS
from fauds.targets.base import Target
from fauds.targets.occurrence import Occurrence
from fauds.training import checkpoint
from fauds.training.loop import build_model

SHIPPED = ("vlfau", "tiny-faces.safetensors")
"""The weights that fauds ships, under models/: of which family, and the file."""

_SCOPES = ("local", "global")
_AS_THEY_ARE = ("none", "elsewhere")
_ORIGIN = ("model", "preset", "benchmark", "benchmark_version", "fold", "fauds")


@dataclass(frozen=True, eq=False)
class Weights:
    """A weights file.

    Attributes:
        path: of the file.
        tensors: of the model, floating ones as float32.
        family: of the model.
        settings: of the run that trained it.
        target: what the model predicts.
        words: the vocabularies of "local" and "global" descriptions; empty without captions.
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
    family: type[Model]
    settings: RunSettings[Any] = field(repr=False)
    target: Target
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

    @property
    def aus(self) -> tuple[str, ...]:
        """The names that scores are given for, in the model's order."""
        return self.target.names

    def model(self, *, describe: bool = True) -> Model:
        """Make the network, ready to be used on the CPU.

        Args:
            describe: False leaves out what writes descriptions.

        Raises:
            DataError: the tensors are not those of the settings or of the vocabularies.
        """
        architecture = self.settings.model.untrained()
        tensors = dict(self.tensors)
        build = self._builder(architecture)
        foreign.check_fit(build, tensors, self.path)
        if not describe:
            build = self._builder(self.family.without_texts(architecture))
        model = build()
        own = model.state_dict().keys()
        # What was checked whole may be loaded in part: without texts, without their tensors.
        model.load_state_dict({name: tensors[name] for name in own})
        return model.eval()

    def _builder(self, architecture: Any) -> Callable[[], Model]:
        sizes = {scope: len(words) for scope, words in self.words.items()}
        names, form = self.target.names, self.target.form
        folder = self.path.parent
        return partial(build_model, self.family, architecture, names, form, sizes, folder)


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
        # Files of an older fauds, which had one family, need not name it.
        name = str(meta.get("model", SHIPPED[0]))
        family, settings = MODELS[name], _settings(name, meta["settings"])
        scopes = _SCOPES if "captions" in family.needs else ()
        sizes = family.vocabulary_sizes(tensors.items())
        words = {scope: _words(path, sizes, meta["words"][scope], scope) for scope in scopes}
        longest = {scope: int(meta["longest"][scope]) for scope in scopes}
        foreign.check_sizes(settings, longest)
        return Weights(
            path=path,
            tensors={
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in tensors.items()
            },
            family=family,
            settings=settings,
            target=_target(meta),
            words=words,
            longest=longest,
            threshold=_threshold(meta["threshold"]),
            alignment={key: meta["alignment"][key] for key in ("name", "version")},
            trained_on=str(meta["trained_on"]),
            synthetic=bool(meta["synthetic"]),
            origin={key: meta[key] for key in _ORIGIN if key in meta},
            notes=notes,
        )
    except UsageError as error:
        raise DataError(error.what, where=path, hint=error.hint) from error
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


def _settings(model: str, saved: Any) -> RunSettings[Any]:
    try:
        return presets.settings_type(model).model_validate(saved)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"settings.{key}: {first['msg']}") from error


def _target(meta: Mapping[str, Any]) -> Target:
    declared = meta.get("target")
    if declared is not None:
        return TARGETS[str(declared["kind"])].model_validate(declared)
    names = tuple(meta["aus"])
    if not names or len(set(names)) < len(names):
        raise ValueError("aus are not different action units")
    return Occurrence(aus=names)


def _threshold(value: Any) -> float:
    threshold = float(value)
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold {threshold} is no probability")
    return threshold


def _words(path: Path, sizes: Mapping[str, int], saved: Mapping[str, Any], scope: str) -> Words:
    words = Words(tuple(map(str, saved["tokens"])), tuple(map(bool, saved["spaces"])))
    size = sizes.get(scope)
    if size is not None and {len(words.tokens), len(words.spaces)} != {size}:
        raise DataError(
            f"The {scope} vocabulary has {len(words):,} words, the weights are for {size:,}.",
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
