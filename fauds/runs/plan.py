"""What a run is: model, preset, settings and folds, as its settings.yaml holds them."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fauds.errors import DataError, UsageError
from fauds.nn import MODELS, presets
from fauds.nn.base import Model
from fauds.protocols.benchmark import Benchmark
from fauds.protocols.run_settings import write_settings
from fauds.settings import RunSettings
from fauds.tables.paths import SETTINGS


@dataclass(frozen=True)
class RunRequest:
    """What the user asked of ``fauds bench``.

    Attributes:
        model: None only of a run that is resumed.
        preset: None for the default: "tiny" on synthetic data, else the family's own.
        folds: only these; empty for all.
        changes: ``key=value`` over the preset's settings.
        faces: folder of face crops made elsewhere, None for the distribution's own images.
        resume: name or folder of a run to go on with.
    """

    model: str | None = None
    preset: str | None = None
    folds: tuple[int, ...] = ()
    changes: tuple[str, ...] = ()
    faces: Path | None = None
    resume: str | None = None


@dataclass(frozen=True)
class Plan:
    """A run's identity and where it lies."""

    folder: Path
    benchmark: Benchmark
    model: str
    preset: str
    settings: RunSettings[Any]
    changes: tuple[str, ...]
    folds: tuple[int, ...]
    faces: Path | None

    @property
    def begun(self) -> bool:
        """Whether the run has been begun, so that it can be resumed."""
        return (self.folder / SETTINGS).exists()

    def claim(self) -> None:
        """Make a new run's folder, for this process alone.

        Raises:
            UsageError: another process began a run of the same name just now.
        """
        if self.begun:
            return
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError as error:
            raise UsageError(
                "Another run of this name was begun in the same second.",
                where=self.folder,
                hint="start this one again",
            ) from error

    def save(self, made_from: dict[str, str]) -> None:
        """Write settings.yaml; of a run that is resumed, check that the tables are the same.

        Args:
            made_from: the fingerprints of the content that the run reads.

        Raises:
            DataError: the run was begun on other tables.
        """
        path = self.folder / SETTINGS
        if self.begun:
            begun = _read(path).get("made_from", {})
            changed = [name for name, found in made_from.items() if begun.get(name) != found]
            if changed:
                raise DataError(
                    f"The run was begun on other tables: {', '.join(changed)} changed since.",
                    where=path,
                    hint="make them again as they were, or start a new run without --resume",
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
        """The model's family."""
        return MODELS[self.model]

    @property
    def needs_captions(self) -> bool:
        """Whether the model learns from captions."""
        return "captions" in self.family.needs

    @property
    def command(self) -> str:
        """The command that repeats this run."""
        parts = ["fauds", "bench", self.model, "--dataset", self.benchmark.name]
        parts += ["--preset", self.preset]
        for fold in self.folds:
            parts += ["--fold", str(fold)]
        for change in self.changes:
            parts += ["--set", change]
        return shlex.join([*parts, *(["--faces", str(self.faces)] if self.faces else [])])


def make(request: RunRequest, benchmark: Benchmark, runs: Path) -> Plan:
    """Return the plan of a new run, or of the one to resume.

    Args:
        runs: the folder that holds the dataset's runs.

    Raises:
        UsageError: no such model, preset, setting or run, or changes to a run that is resumed.
    """
    if request.resume is not None:
        return _resumed(request.resume, request, benchmark, runs)
    if request.model is None:
        raise UsageError("No model is named.", where="MODEL", hint=f"there is: {', '.join(MODELS)}")
    preset = request.preset or ("tiny" if benchmark.synthesis else MODELS[request.model].preset)
    settings = presets.run_settings(request.model, preset, request.changes)
    name = f"{request.model}-{preset}-{time.strftime('%Y%m%d-%H%M%S')}"
    # Two runs may begin in the same second.
    taken = len(list(runs.glob(f"{name}*")))
    return Plan(
        runs / (f"{name}-{taken + 1}" if taken else name),
        benchmark,
        request.model,
        preset,
        settings,
        request.changes,
        request.folds,
        request.faces,
    )


def _resumed(name: str, request: RunRequest, benchmark: Benchmark, runs: Path) -> Plan:
    if request.preset or request.changes or request.folds or request.faces:
        raise UsageError(
            "A resumed run keeps its settings.",
            hint="leave --preset, --set, --fold and --faces out",
        )
    folder = runs / Path(name).name
    if not (folder / SETTINGS).exists():
        known = sorted(path.parent.name for path in runs.glob(f"*/{SETTINGS}"))
        raise UsageError(
            f"There is no run {name!r} of {benchmark.name}.",
            where=runs,
            hint=f"there is: {', '.join(known) or 'none'}; another dataset's: --dataset",
        )
    saved = _read(folder / SETTINGS)
    if request.model not in (None, saved.get("model")):
        raise UsageError(
            f"{folder.name} is a run of {saved.get('model')}, not of {request.model}.",
            where=folder / SETTINGS,
            hint=f"leave the model out, or name {saved.get('model')}; a run of {request.model} is "
            "started without --resume",
        )
    if saved.get("benchmark_version") != benchmark.version:
        raise UsageError(
            f"The run was started with version {saved.get('benchmark_version')} of "
            f"{benchmark.name}; this fauds has version {benchmark.version}.",
            where=folder / SETTINGS,
            hint="start a new run",
        )
    try:
        settings = presets.settings_type(saved["model"]).model_validate(saved["settings"])
        # Settings are saved whole: what is cut off must not become a default.
        if settings.model_dump(mode="json") != saved["settings"]:
            raise _broken(folder / SETTINGS, "they are not whole")
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
        raise _broken(folder / SETTINGS, f"{error.args[0]} is missing") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in ("settings", *first["loc"]))
        raise _broken(folder / SETTINGS, f"{key}: {first['msg']}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise _broken(path, str(error).splitlines()[0]) from error
    if not isinstance(saved, dict):
        raise _broken(path, "it holds no settings")
    return saved


def _broken(path: Path, why: str) -> DataError:
    return DataError(
        f"The run's settings cannot be read: {why}.", where=path, hint="start a new run"
    )
