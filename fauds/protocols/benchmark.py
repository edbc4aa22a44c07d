"""Benchmarks, the versioned protocols, read from YAML with unknown keys forbidden."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import (
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from fauds import resources
from fauds.errors import DataError, UsageError
from fauds.registry import unknown
from fauds.settings import Settings, complaint, read_yaml
from fauds.targets import TARGETS
from fauds.targets.base import Target
from fauds.targets.occurrence import AU, MEMBERS, RULE, Occurrence


class Folds(Settings):
    """Fold k tests part k: by explicit subject ids, or every subject alone by a rule."""

    name: str
    source: str = ""
    note: str = ""
    rule: Literal["listed", "leave-one-subject-out"] = "listed"
    parts: dict[int, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _rule_is_a_name(cls, values: Any) -> Any:
        named = isinstance(values, dict) and "rule" in values and "name" not in values
        return {**values, "name": values["rule"]} if named else values

    @model_validator(mode="after")
    def _are_whole(self) -> "Folds":
        if self.rule != "listed":
            if self.parts:
                raise ValueError(f"parts are not listed where the rule is {self.rule}")
            return self
        if len(self.parts) < 2 or sorted(self.parts) != list(range(1, len(self.parts) + 1)):
            raise ValueError(f"parts must be numbered 1 to k, found {sorted(self.parts)}")
        subjects = [subject for part in self.parts.values() for subject in part]
        twice = sorted({subject for subject in subjects if subjects.count(subject) > 1})
        if twice:
            raise ValueError(f"parts hold these subjects more than once: {', '.join(twice)}")
        return self


class Metric(Settings):
    """The headline metric, its threshold (a probability) and how the epoch is chosen."""

    name: str
    threshold: float = Field(0.5, ge=0, le=1)
    selection: Literal["last"] = "last"


class FrameSet(Settings):
    """Which frames are offered: all that are coded, or those of a list beside the protocol.

    `file`: lines ``subject,task,frame`` or image paths, as `fauds.faces.manifest` reads them.
    """

    described: str = "every coded frame that a face can be cropped from"
    file: Path | None = None


class Expected(Settings):
    """What a complete release holds, by published counts."""

    source: str
    subjects: int
    sequences: int
    frames: int
    frames_per_subject: dict[str, int]


class Synthesis(Settings):
    """The made-up distribution that stands in where a benchmark has no real one."""

    like: Literal["bp4d", "disfa"]
    frames: int = Field(ge=1)
    seed: int


class AlignmentSettings(Settings):
    """Which crop of a frame is the face, see `fauds.faces.alignment`, and what happens without one.

    `without_landmarks`: a frame that the distribution has no landmarks for is left out ("drop"),
    gets those of the frames around it ("neighbours"), or is given to a detector ("detect").
    """

    name: str
    version: int
    without_landmarks: Literal["drop", "neighbours", "detect"] = "drop"


class Raw(Settings):
    """What to copy from the distribution, said where pictures or landmarks are missing."""

    pictures: str = "copy them to any folder under the root"
    landmarks: str = "copy them to any folder under the root"


class Benchmark(Settings):
    """One versioned protocol: data, target, frames, folds and metric.

    `target` says what is predicted: ``{kind: occurrence, aus: [...], rule: coded}`` or another kind
    of `fauds.targets`. `aus` and `occurrence` beside each other are its shorthand for the first.
    `dataset` names the reader. Instead of it, `train` and `test` may name two protocols, whose
    tables are joined over `aus`: trained on all of the one, tested on all of the other.
    `missing_code`: what the labels write where an AU is not coded. `sexes`: how a subject's is
    known. `missing_predictions`: what becomes of frames that predictions made elsewhere lack.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(ge=1)
    title: str
    dataset: str | None = None
    train: str | None = None
    test: str | None = None
    aus: tuple[AU, ...] = Field(default=(), min_length=1)
    occurrence: str = Field(default="", pattern=RULE)
    target: SerializeAsAny[Target] = cast(Target, None)
    missing_code: int | None = None
    sexes: Literal["first letter of the subject's id", "not published"] = "not published"
    frames: FrameSet = FrameSet()
    folds: Folds | None = None
    metric: Metric
    missing_predictions: Literal["refuse", "drop", "inactive"] = "refuse"
    alignment: AlignmentSettings
    published: str | None = None
    expected: Expected | None = None
    licence: str = ""
    access: str
    raw: Raw = Raw()
    synthesis: Synthesis | None = None

    @model_validator(mode="before")
    @classmethod
    def _target_or_shorthand(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if "target" not in values:
            absent = [key for key in ("aus", "occurrence") if key not in values]
            if absent:
                what = "target" if len(absent) == 2 else absent[0]
                raise ValueError(
                    f"{what} is missing: a protocol has a target, or aus and occurrence as its "
                    "shorthand"
                )
            return values
        beside = [key for key in ("aus", "occurrence") if key in values]
        if beside:
            raise ValueError(f"{' and '.join(beside)} and target say the same: leave one out")
        target = values["target"]
        if isinstance(target, dict) and target.get("kind") == "occurrence":
            known = {"kind", "aus", "rule"}
            if set(target) <= known and "aus" in target:
                rest = {key: value for key, value in values.items() if key != "target"}
                rule = target.get("rule", "coded")
                return {**rest, "aus": target["aus"], "occurrence": rule}
        return values

    @field_validator("target", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any) -> Any:
        if isinstance(value, Target):
            return value
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise ValueError(f"kind is missing; there is: {', '.join(TARGETS)}")
        try:
            kind = TARGETS[value["kind"]]
            return kind.model_validate(value)
        except UsageError as error:
            raise ValueError(f"{error.what} {error.hint}") from error
        except ValidationError as error:
            wrong = complaint(kind, error, None, usage=False)
            raise ValueError(" ".join(filter(None, (wrong.what, wrong.hint)))) from error

    @model_serializer(mode="wrap")
    def _as_declared(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write the target as it is declared: AU occurrence as its shorthand."""
        declared: dict[str, Any] = {}
        for key, value in handler(self).items():
            if key == "aus":
                declared |= self.target.declared()
            elif key not in ("occurrence", "target"):
                declared[key] = value
        return declared

    @model_validator(mode="after")
    def _fits_together(self) -> "Benchmark":
        if "target" not in self.model_fields_set:
            target = Occurrence(aus=self.aus, rule=self.occurrence)
            object.__setattr__(self, "target", target)
        twice = sorted({au for au in self.aus if self.aus.count(au) > 1})
        if twice:
            raise ValueError(f"aus: {', '.join(twice)} comes more than once")
        if not self.joins:
            if self.dataset is None or self.occurrence == MEMBERS:
                raise ValueError("dataset, or both train and test, must be named, with occurrence")
            return self
        if self.dataset or self.folds or self.frames.file or self.synthesis:
            raise ValueError("train and test leave no room for dataset, folds, file or synthesis")
        if not self.train or not self.test or self.train == self.test:
            raise ValueError("train and test must name two protocols")
        if self.occurrence != MEMBERS:
            raise ValueError(f"occurrence: is {MEMBERS!r} where these are named")
        if not self.name.startswith(f"{self.train}-to-{self.test}"):
            raise ValueError(f"name: begins with {self.train}-to-{self.test}")
        return self

    @property
    def joins(self) -> bool:
        """Whether one dataset is trained on and another one tested."""
        return self.train is not None or self.test is not None

    @property
    def occurrence_at(self) -> int | None:
        """The lowest intensity that counts as occurring; None unless labels are intensities."""
        return self.target.occurrence_at

    def sex_of(self, subject: str) -> str | None:
        """Return F or M, None where it is not known."""
        letter = subject[:1] if self.sexes.startswith("first letter") else ""
        return letter if letter in ("F", "M") else None

    def reading(self) -> dict[str, Any]:
        """Return what the protocol asks of reading: fields of `fauds.datasets.base.ReadOptions`.

        Raises:
            UsageError: the protocol joins the tables of two others.
        """
        if self.joins:
            raise UsageError(
                f"{self.name} reads no distribution: it joins the tables of {self.train} and "
                f"{self.test}.",
                hint=f"name one of these two: --dataset {self.train}, --dataset {self.test}",
            )
        return self.target.reading()

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of all that decides figures: not of prose, nor the version.

        Raises:
            DataError: the list of frames cannot be read.
        """
        prose: dict[str, bool | set[str]] = {
            **dict.fromkeys(("version", "title", "licence", "access", "raw", "published"), True),
            "folds": {"source", "note"},
            "expected": {"source"},
            "frames": {"file"},
        }
        content = self.model_dump(mode="json", exclude=prose, exclude_none=True)
        if self.frames.file is not None:
            content["frames"]["sha256"] = hashlib.sha256(_content(self.frames.file)).hexdigest()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"frames.file: the list of frames cannot be read: {error.strerror}.", where=path
        ) from error


def names() -> list[str]:
    """Return the names of the protocols that ship with fauds."""
    return sorted(path.stem for path in resources.root("benchmarks").glob("*.yaml"))


def benchmark(name: str) -> Benchmark:
    """Read one of the shipped protocols.

    Raises:
        UsageError: there is no benchmark of that name.
        DataError: the file has a wrong or unknown key; file and key are named.
    """
    if name not in names():
        raise unknown("benchmark", name, names())
    return parsed(resources.root("benchmarks") / f"{name}.yaml")


def parsed(path: Path) -> Benchmark:
    """Read a protocol's file, and find its list of frames beside it.

    Raises:
        DataError: it cannot be read, or has a wrong or unknown key; file and key are named.
    """
    try:
        found = Benchmark.model_validate(read_yaml(path))
    except ValidationError as error:
        raise complaint(Benchmark, error, path, usage=False) from error
    if found.frames.file is None:
        return found
    listed = path.resolve().parent / found.frames.file
    if not listed.is_file():
        raise DataError(f"frames.file: there is no {listed.name} beside it.", where=path)
    frames = found.frames.model_copy(update={"file": listed})
    return found.model_copy(update={"frames": frames})
