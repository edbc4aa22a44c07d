"""The plan of a run: model, preset, settings and folds, as stored in its settings.yaml."""

import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fauds.errors import DataError, UsageError
from fauds.nn import MODELS, presets
from fauds.nn.base import Model, Need
from fauds.protocols.benchmark import Benchmark
from fauds.protocols.run_settings import write_settings
from fauds.settings import RunSettings, with_added_settings
from fauds.tables.paths import SETTINGS


@dataclass(frozen=True)
class RunRequest:
    """The options that the user gave to ``fauds bench``, which trains and tests a model.

    Attributes:
        model: the name of the model family; may be None if a run is resumed.
        preset: the name of the preset (a file of settings); None for the default preset, which is
            "tiny" on synthetic data and otherwise the one that the model family names.
        folds: the fold numbers to run; all folds (of the resumed run, if there is one) if empty.
        changes: ``key=value`` changes of the preset's settings.
        faces: a folder of face crops; None for the images of the dataset's release.
        resume: the name or folder of a run to resume; None for a new run.
    """

    model: str | None = None
    preset: str | None = None
    folds: tuple[int, ...] = ()
    changes: tuple[str, ...] = ()
    faces: Path | None = None
    resume: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a run of ``fauds bench`` trains and tests, with which settings and on which folds.

    Attributes:
        folder: the folder of the run.
        benchmark: the protocol: the dataset, what is predicted, the folds and the metric.
        model: the name of the model family.
        preset: the name of the preset, the file of settings that the run started from.
        settings: the settings of the run, with the user's changes.
        changes: the ``key=value`` changes of the user.
        folds: the fold numbers to run; all folds if empty.
        faces: a folder of face crops; None for the images of the dataset's release.
        only: the fold numbers to train now, if a run is resumed for some of its folds; empty for
            all of them.
    """

    folder: Path
    benchmark: Benchmark
    model: str
    preset: str
    settings: RunSettings[Any]
    changes: tuple[str, ...]
    folds: tuple[int, ...]
    faces: Path | None
    only: tuple[int, ...] = ()

    @property
    def exists(self) -> bool:
        """Whether the run has begun, so that it can be resumed."""
        return (self.folder / SETTINGS).exists()

    def claim(self) -> None:
        """Create the folder of a new run, so that no other process uses it.

        For a run that is resumed, nothing is done.

        Raises:
            UsageError: another process has just begun a run of the same name.
        """
        if self.exists:
            return
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError as error:
            raise UsageError(
                "Another run of this name was started in the same second.",
                where=self.folder,
                hint="start this run again",
            ) from error

    def save(self, made_from: dict[str, str]) -> None:
        """Write the settings of a new run; for a resumed run, check its tables instead.

        The check is that frames, faces and captions have not changed since the run was started.

        Args:
            made_from: the fingerprints (hashes) of the frames, faces and captions that the run
                reads, by name.

        Raises:
            DataError: the tables have changed since the run was started.
        """
        path = self.folder / SETTINGS
        if self.exists:
            if changed := changed_tables(self.folder, made_from):
                raise DataError(
                    f"The {' and the '.join(changed)} changed since the run was started.",
                    where=path,
                    hint="build them again as they were, or start a new run without --resume",
                )
            return
        write_settings(
            self.folder,
            benchmark=self.benchmark,
            model=self.model,
            preset=self.preset,
            settings=self.settings.model_dump(mode="json"),
            changes=self.changes,
            folds=self.folds,
            faces=str(self.faces.resolve()) if self.faces else None,
            made_from=made_from,
        )

    @property
    def family(self) -> type[Model]:
        """The class of the model, a subclass of `fauds.nn.base.Model`."""
        return MODELS[self.model]

    @property
    def needs(self) -> frozenset[Need]:
        """What the model needs in training besides images and labels."""
        return self.family.needs_of(self.settings.model)

    @property
    def needs_captions(self) -> bool:
        """Whether the model learns from captions."""
        return "captions" in self.needs

    @property
    def needs_landmarks(self) -> bool:
        """Whether the model learns from facial landmarks."""
        return "landmarks" in self.needs

    @property
    def command(self) -> str:
        """The shell command that repeats this run, such as "fauds bench vlfau ..."."""
        parts = ["fauds", "bench", self.model, "--dataset", self.benchmark.name]
        parts += ["--preset", self.preset]
        for fold in self.folds:
            parts += ["--fold", str(fold)]
        for change in self.changes:
            parts += ["--set", change]
        return shlex.join([*parts, *(["--faces", str(self.faces)] if self.faces else [])])


def make_plan(request: RunRequest, benchmark: Benchmark, runs: Path) -> Plan:
    """Return the plan of a new run, or of the run to resume.

    Args:
        request: the options of the user.
        benchmark: the protocol: the dataset, what is predicted, the folds and the metric.
        runs: the folder that holds all runs on the dataset.

    Raises:
        UsageError: there is no such model, preset, setting or run, or the user gives settings for
            a run that is resumed.
        DataError: the settings of the run to resume cannot be read.
    """
    if request.resume is not None:
        return _resumed(request.resume, request, benchmark, runs)
    if request.model is None:
        raise UsageError(
            "The name of a model is needed.",
            where="MODEL",
            hint=f"choose from: {', '.join(MODELS)}",
        )
    preset = request.preset or ("tiny" if benchmark.synthesis else MODELS[request.model].preset)
    settings = presets.run_settings(request.model, preset, request.changes)
    _check_au_loss(MODELS[request.model], settings, benchmark)
    return Plan(
        new_folder(runs, request.model, preset),
        benchmark,
        request.model,
        preset,
        settings,
        request.changes,
        request.folds,
        request.faces,
    )


def _check_au_loss(family: type[Model], settings: RunSettings[Any], benchmark: Benchmark) -> None:
    """Check that the loss of AUs that the settings choose can be computed.

    Raises:
        UsageError: the family does not support this loss, or the protocol's classes exclude each
            other, so that it has no AUs.
    """
    au_loss = settings.training.au_loss
    family.check_au_loss(au_loss)
    if au_loss != "entropy" and benchmark.target.form != "multilabel":
        raise UsageError(
            f"The loss {au_loss!r} is about action units, but each frame of {benchmark.name} has "
            "one of several classes.",
            where="training.au_loss",
            hint="set training.au_loss=entropy",
        )


def new_folder(runs: Path, model: str, preset: str) -> Path:
    """Return the path of the folder of a new run, which is not created here.

    Args:
        runs: the folder that holds all runs on the dataset.
        model: the name of the model family.
        preset: the name of the preset.
    """
    name = f"{model}-{preset}-{time.strftime('%Y%m%d-%H%M%S')}"
    # Several runs may be started in the same second.
    taken = len(list(runs.glob(f"{name}*")))
    return runs / (f"{name}-{taken + 1}" if taken else name)


def changed_tables(run: Path, made_from: dict[str, str]) -> list[str]:
    """Return which tables are not those that a run was started with, such as "captions".

    Args:
        run: the folder of the run.
        made_from: the fingerprints (hashes) of the tables as they are now, by name.
    """
    saved = _read_settings(run / SETTINGS).get("made_from", {})
    return [name for name, fingerprint in made_from.items() if saved.get(name) != fingerprint]


def _resumed(name: str, request: RunRequest, benchmark: Benchmark, runs: Path) -> Plan:
    changes = [change for change in request.changes if not _is_device(change)]
    if request.preset or changes or request.faces:
        raise UsageError(
            "A resumed run keeps its settings, so that other settings cannot be given.",
            where="--resume",
            hint="leave --preset, --set and --faces out; only the device may change: "
            "--set training.device=cpu or auto",
        )
    folder = runs / Path(name).name
    if not (folder / SETTINGS).exists():
        existing = sorted(path.parent.name for path in runs.glob(f"*/{SETTINGS}"))
        raise UsageError(
            f"There is no run {name!r} of {benchmark.name}.",
            where=runs,
            hint=(f"choose from: {', '.join(existing)}" if existing else "there is no run here")
            + "; runs of other datasets need --dataset",
        )
    plan = read_plan(folder, benchmark)
    if request.model not in (None, plan.model):
        raise UsageError(
            f"{folder.name} is a run of {plan.model}, not of {request.model}.",
            where=folder / SETTINGS,
            hint=f"leave the model out, or give {plan.model}; to start a run of "
            f"{request.model}, leave --resume out",
        )
    settings = _on_device(plan.settings, request.changes)
    return replace(plan, settings=settings, only=request.folds)


def read_plan(folder: Path, benchmark: Benchmark) -> Plan:
    """Return the plan of a run that has begun.

    Args:
        folder: the folder of the run.
        benchmark: the protocol that is installed now.

    Raises:
        UsageError: the run follows another protocol or another version of it, or its model is not
            installed.
        DataError: the settings of the run cannot be read.
    """
    saved = _read_settings(folder / SETTINGS)
    if saved.get("benchmark") != benchmark.name:
        raise UsageError(
            f"{folder.name} is a run of {saved.get('benchmark')}, not of {benchmark.name}.",
            where=folder / SETTINGS,
            hint=f"give --dataset {saved.get('benchmark')}, or name another run",
        )
    if saved.get("benchmark_version") != benchmark.version:
        raise UsageError(
            f"The run was started with version {saved.get('benchmark_version')} of "
            f"{benchmark.name}; the installed fauds has version {benchmark.version}.",
            where=folder / SETTINGS,
            hint="name another run, or start a new one",
        )
    try:
        saved_settings = with_added_settings(saved["settings"])
        settings = presets.settings_type(saved["model"]).model_validate(saved_settings)
        # All settings are saved, so that a missing one is an error and not a default.
        if settings.model_dump(mode="json") != saved_settings:
            raise _unreadable(folder / SETTINGS, "some settings are missing")
        return Plan(
            folder,
            benchmark,
            saved["model"],
            saved["preset"],
            settings,
            tuple(saved["changes"]),
            tuple(saved["folds"]),
            Path(saved["faces"]) if saved["faces"] else None,
        )
    except KeyError as error:
        raise _unreadable(folder / SETTINGS, f"{error.args[0]} is missing") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in ("settings", *first["loc"]))
        raise _unreadable(folder / SETTINGS, f"{key}: {first['msg']}") from error


def _is_device(change: str) -> bool:
    return change.partition("=")[0].strip() == "training.device"


def _on_device(settings: RunSettings[Any], changes: tuple[str, ...]) -> RunSettings[Any]:
    """Return the settings of a run that is resumed, for the device that the user names now.

    Args:
        settings: the saved settings of the run.
        changes: the user's changes of ``training.device``, "training.device=VALUE".

    Raises:
        UsageError: the value is neither "cpu" nor "auto".
    """
    for change in changes:
        device = change.partition("=")[2].strip()
        if device not in ("auto", "cpu"):
            raise UsageError(
                f"{device!r} is not a device.", where="--set", hint="choose from: auto, cpu"
            )
        training = settings.training.model_copy(update={"device": device})
        settings = settings.model_copy(update={"training": training})
    return settings


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise _unreadable(path, str(error).splitlines()[0]) from error
    if not isinstance(saved, dict):
        raise _unreadable(path, "the file has no settings")
    return saved


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(
        f"The run's settings cannot be read: {reason}.",
        where=path,
        hint="name another run, or start a new one",
    )
