"""Reads weights files: a model's trained weights, and all that is needed to use the model.

Besides the weights, a file contains the model's settings, vocabularies and threshold, and the
alignment of the faces that the model was trained on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from fauds import resources
from fauds.captions.candidates import WORDING, reason_against
from fauds.captions.vocabulary import Words
from fauds.datasets.base import natural
from fauds.errors import DataError, UsageError
from fauds.explanation import weights_checks as checks
from fauds.facs import WITHOUT_AUS, expression_aus
from fauds.nn import MODELS, presets
from fauds.nn.base import Model, RatesCaptions
from fauds.settings import RunSettings
from fauds.tables.paths import WEIGHTS
from fauds.targets import TARGETS
from fauds.targets.base import Target
from fauds.targets.occurrence import Occurrence
from fauds.training import checkpoint
from fauds.training.loop import build_model

SHIPPED = ("vlfau", "tiny-faces.safetensors")
"""The model family and the file name, under models/, of the weights that ship with fauds."""

_SCOPES = ("local", "global")
_UNCROPPED = ("none", "elsewhere")
_ORIGIN = ("model", "preset", "benchmark", "benchmark_version", "fold", "fauds")


@dataclass(frozen=True, eq=False)
class Weights:
    """The content of a weights file: a model's trained tensors, and what is needed to use them.

    Attributes:
        path: the path of the file.
        tensors: the tensors of the model by name; floating-point tensors are float32.
        family: the class of the model.
        settings: the settings of the run that trained the model.
        target: what the model predicts: AUs or classes.
        words: the vocabularies of the "local" and the "global" descriptions; empty for a model
            without descriptions.
        max_words: the number of tokens of the longest "local" and "global" description, including
            the begin and end tokens.
        threshold: the probability from which an action unit counts as active.
        alignment: the `name` and the `version` of the alignment of the training faces.
        trained_on: a sentence that describes the training data.
        synthetic: whether the training faces were synthetic.
        origin: other entries of the file's header: model, preset, benchmark, benchmark_version,
            fold, and the version of fauds that wrote the file.
        wording: the settings of the captions that the model was trained on, on which their wording
            depends (see `fauds.captions.candidates.WORDING`); None if the file does not have them.
        notes: lines of text for the user, for example about which fold's weights were chosen.
    """

    path: Path
    tensors: Mapping[str, Tensor] = field(repr=False)
    family: type[Model]
    settings: RunSettings[Any] = field(repr=False)
    target: Target
    words: Mapping[str, Words] = field(repr=False)
    max_words: Mapping[str, int]
    threshold: float
    alignment: Mapping[str, Any]
    trained_on: str
    synthetic: bool
    origin: Mapping[str, Any] = field(default_factory=dict)
    wording: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def why_free(self) -> str | None:
        """Why descriptions are free (written word by word), as text; None if they are consistent.

        Consistent descriptions assert exactly the predicted states.
        """
        if self.settings.inference.words == "free":
            return "the setting inference.words is free"
        if not issubclass(self.family, RatesCaptions):
            return "the model does not give the likelihood of descriptions"
        return reason_against(self.wording)

    @property
    def whole_images(self) -> bool:
        """Whether the model was trained on whole images instead of cropped faces."""
        return self.alignment["name"] in _UNCROPPED

    @property
    def aus(self) -> tuple[str, ...]:
        """The names of the AUs or classes that the model predicts, in the model's order."""
        return self.target.names

    @property
    def has_expressions(self) -> bool:
        """Whether the model predicts expressions of which fauds has a codebook."""
        known = {*expression_aus(), *WITHOUT_AUS}
        return self.target.form == "multiclass" and known.issuperset(self.target.names)

    @property
    def texts(self) -> tuple[str, ...]:
        """What the model describes: the names of action units, and "face" for the whole face."""
        whole = ("face",) if "global" in self.words or self.has_expressions else ()
        return (*(self.aus if "local" in self.words else ()), *whole)

    @property
    def description(self) -> str:
        """The weights in words, for the files that name them: model, training data and file."""
        keys = ("model", "preset")
        model = " ".join(str(self.origin[key]) for key in keys if self.origin.get(key))
        fold = f", fold {self.origin['fold']}" if self.origin.get("fold") else ""
        folder = self.path.resolve().parent
        in_run = self.path.name == WEIGHTS and folder.name.startswith("fold")
        file = f"{folder.parent.name}/{folder.name}" if in_run else self.path.name
        data = (
            "trained on synthetic faces only: means nothing for real faces"
            if self.synthetic
            else f"trained on {self.origin.get('benchmark', 'data that the file does not name')}"
        )
        return f"{model or 'model'}{fold} ({file}), {data}"

    def model(self, *, describe: bool = True) -> Model:
        """Build the model with these weights, in evaluation mode on the CPU.

        Args:
            describe: whether the model includes the parts that generate descriptions.

        Raises:
            DataError: the tensors do not fit the settings or the vocabularies.
        """
        architecture = self.settings.model.untrained()
        tensors = dict(self.tensors)
        build = self._builder(architecture)
        checks.check_fit(build, tensors, self.path)
        if not describe:
            build = self._builder(self.family.without_text_settings(architecture))
        model = build()
        needed = model.state_dict().keys()
        # All tensors were checked; without descriptions, only some of them are loaded.
        model.load_state_dict({name: tensors[name] for name in needed})
        return model.eval()

    def _builder(self, architecture: Any) -> Callable[[], Model]:
        sizes = {scope: len(words) for scope, words in self.words.items()}
        names, form = self.target.names, self.target.form
        folder = self.path.parent
        return partial(build_model, self.family, architecture, names, form, sizes, folder)


def locate(
    weights: Path | str | None = None, runs: Path | None = None
) -> tuple[Path, tuple[str, ...]]:
    """Find a weights file; for the arguments see `open_weights`.

    Returns:
        The path of the file, and lines of text for the user: if a run has several weights files,
        one line says which of them is used.

    Raises:
        UsageError: there is no such file or run.
        DataError: the folder contains no weights.
    """
    if weights is None:
        return resources.path("models", *SHIPPED), ()
    return _weights_file(_existing(Path(weights).expanduser(), runs))


def open_weights(weights: Path | str | None = None, runs: Path | None = None) -> Weights:
    """Read trained weights.

    Args:
        weights: a weights file, the folder of a run, or the folder of one fold of a run
            (``RUN/fold2``). If `runs` is given, a run may also be given by its name. None for the
            weights that ship with fauds.
        runs: the folder in which runs are looked up by name.

    Raises:
        UsageError: there is no such file or run.
        DataError: the file is damaged, or its header lacks an entry that is needed to use the
            model.
    """
    path, notes = locate(weights, runs)
    tensors, meta = _load(path)
    try:
        # Files of an older fauds, which had a single family, do not name it.
        name = str(meta.get("model", SHIPPED[0]))
        family, settings = MODELS[name], _settings(name, meta["settings"])
        scopes = _SCOPES if "captions" in family.needs else ()
        sizes = family.vocabulary_sizes(tensors.items())
        words = {scope: _words(path, sizes, meta["words"][scope], scope) for scope in scopes}
        longest = {scope: int(meta["longest"][scope]) for scope in scopes}
        checks.check_sizes(settings, longest)
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
            max_words=longest,
            threshold=_threshold(meta["threshold"]),
            alignment={key: meta["alignment"][key] for key in ("name", "version")},
            trained_on=str(meta["trained_on"]),
            synthetic=bool(meta["synthetic"]),
            origin={key: meta[key] for key in _ORIGIN if key in meta},
            wording=_wording(meta.get("wording")),
            notes=notes,
        )
    except UsageError as error:
        raise DataError(error.what, where=path, hint=error.hint) from error
    except KeyError as error:
        raise _incomplete(path, f"the entry {error.args[0]!r} is missing") from error
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise _incomplete(path, f"settings.{key}: {error.errors()[0]['msg']}") from error
    except (TypeError, ValueError) as error:
        raise _incomplete(path, str(error)) from error


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, meta = checkpoint.load(path)
    if not meta.keys() & {"settings", "aus"}:
        raise DataError(
            "The file does not contain a complete model: its header has neither settings nor "
            "action units. It may contain only a backbone.",
            where=path,
            hint="give other weights: a run, RUN/fold2, or a weights file (--weights)",
        )
    checks.check_finite(tensors, path)
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
        raise ValueError("aus must list one or more action units, each only once")
    return Occurrence(aus=names)


def _wording(saved: Any) -> Mapping[str, Any] | None:
    return None if saved is None else {name: saved[name] for name in WORDING}


def _threshold(value: Any) -> float:
    threshold = float(value)
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold {threshold} is not a probability from 0 to 1")
    return threshold


def _words(path: Path, sizes: Mapping[str, int], saved: Mapping[str, Any], scope: str) -> Words:
    words = Words(tuple(map(str, saved["tokens"])), tuple(map(bool, saved["spaces"])))
    size = sizes.get(scope)
    if size is not None and {len(words.tokens), len(words.spaces)} != {size}:
        raise DataError(
            f"The {scope} vocabulary has {len(words):,} words, but the weights are for {size:,}.",
            where=path,
            hint="copy the file again, or train again",
        )
    return words


def _incomplete(path: Path, why: str) -> DataError:
    return DataError(
        f"The weights cannot be used, because the file's header is not valid: {why}.",
        where=path,
        hint="they may be from an older fauds; train again with this version (fauds bench)",
    )


def _existing(name: Path, runs: Path | None) -> Path:
    """Return the path of an existing weights file, run or fold.

    Args:
        name: the path, or the path within `runs`, such as the name of a run.
        runs: the folder of runs; None to accept only paths.

    Raises:
        UsageError: there is no such file or folder; the hint lists the existing runs or folds.
    """
    candidates = [name, *([runs / name] if runs else [])]
    for path in candidates:
        if path.exists():
            return path
    for run in (path.parent for path in candidates):
        if folds := _folds(run):
            raise UsageError(
                f"The run {run.name} has no weights of {name.name!r}.",
                where=run,
                hint=f"choose from: {', '.join(file.parent.name for file in folds)}",
            )
    finished = runs.glob(f"*/fold*/{WEIGHTS}") if runs else ()
    names = sorted({path.parents[1].name for path in finished})
    choices = f"choose from: {', '.join(names)}" if names else "there is no run here"
    choices += "; for runs of another dataset, give --dataset"
    raise UsageError(
        f"There is no weights file or run {str(name)!r}.",
        where=runs,
        hint=choices if runs else "give a weights file or the folder of a run",
    )


def _folds(run: Path) -> list[Path]:
    """Return the paths of the weights files in a run's folder, one for each fold, in fold order."""
    return sorted(run.glob(f"fold*/{WEIGHTS}"), key=lambda file: natural(file.parent.name))


def _weights_file(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the weights file in the folder of a fold or run.

    Args:
        path: the folder, or the weights file itself.

    Returns:
        The path of the file, and a line of text for the user if the run has weights of several
        folds, of which the first is used.

    Raises:
        DataError: the folder contains no weights.
    """
    if path.is_file():
        return path, ()
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS, ()
    folds = _folds(path)
    if not folds:
        raise DataError(
            "The folder contains no trained weights.",
            where=path,
            hint="finish the run first (fauds bench --resume), or give another run",
        )
    if len(folds) == 1:
        return folds[0], ()
    names = [file.parent.name for file in folds]
    note = (
        f"{path.name} has weights of {', '.join(names)}: {names[0]} is used; "
        f"to use the weights of another fold, give for example {path.name}/{names[1]}"
    )
    return folds[0], (note,)
