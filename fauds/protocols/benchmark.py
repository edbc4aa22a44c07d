"""The classes for the YAML file of a benchmark protocol, in which unknown keys are errors."""

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
from fauds.registry import unknown_name_error
from fauds.settings import Settings, read_yaml, validation_error
from fauds.targets import TARGETS
from fauds.targets.base import Target
from fauds.targets.occurrence import AU, JOINED_RULE, RULE_PATTERN, Occurrence


class Folds(Settings):
    """The subjects that each fold of a protocol tests, as lists or by a rule.

    A fold trains on all subjects that it does not test.

    Attributes:
        name: the name of the folds. If the protocol's file states no name, this is `rule`.
        source: the publication or code from which the lists come.
        note: a remark for readers.
        rule: "listed" for the lists in `parts`, "leave-one-subject-out" for one fold per subject,
            or "release" for the dataset's own split: one fold, which trains on its training part
            and tests its test part.
        parts: the ids of the subjects that each fold tests, by the number of the fold, from 1.
            Empty unless the rule is "listed".
    """

    name: str
    source: str = ""
    note: str = ""
    rule: Literal["listed", "leave-one-subject-out", "release"] = "listed"
    parts: dict[int, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_by_rule(cls, values: Any) -> Any:
        has_no_name = isinstance(values, dict) and "rule" in values and "name" not in values
        return {**values, "name": values["rule"]} if has_no_name else values

    @model_validator(mode="after")
    def _check_parts(self) -> "Folds":
        if self.rule != "listed":
            if self.parts:
                raise ValueError(f"leave out parts if the rule is {self.rule}")
            return self
        if len(self.parts) < 2 or sorted(self.parts) != list(range(1, len(self.parts) + 1)):
            raise ValueError(
                f"parts must be numbered 1 to k, with k at least 2, not {sorted(self.parts)}"
            )
        subjects = [subject for part in self.parts.values() for subject in part]
        repeated = sorted({subject for subject in subjects if subjects.count(subject) > 1})
        if repeated:
            raise ValueError(f"parts list these subjects more than once: {', '.join(repeated)}")
        return self


class Metric(Settings):
    """The metric that is the main result of a protocol, and how it is computed.

    Attributes:
        name: the name of the metric, in words.
        threshold: the lowest probability, 0 to 1, at which an action unit is predicted to occur.
        selection: the epoch whose model is tested; only "last", the last epoch, is supported.
    """

    name: str
    threshold: float = Field(0.5, ge=0, le=1)
    selection: Literal["last"] = "last"


class FrameSet(Settings):
    """The frames that a protocol uses: all frames that have labels, or the frames in a list.

    Attributes:
        described: a description of these frames in words.
        file: the path of the list, relative to the protocol's file; None for all frames that have
            labels. A line of the list is ``subject,task,frame`` or the path of an image, see
            `fauds.faces.manifest`.
    """

    described: str = "every coded frame that a face can be cropped from"
    file: Path | None = None


class Expected(Settings):
    """The numbers of subjects and frames of a complete dataset, according to a publication.

    Attributes:
        source: the publication that states these numbers.
        frames: the number of frames that have labels.
        subjects: the number of subjects; None if the dataset does not say who is on an image.
        sequences: the number of sequences; a sequence is one subject's video of one task. None if
            frames do not belong to sequences.
        frames_per_subject: the number of frames that have labels, by subject id; None if subjects
            are not known.
        frames_per_split: the number of frames that have labels in each part of the release's own
            split, "train" and "test"; None if the release has no split.
    """

    source: str
    subjects: int | None = None
    sequences: int | None = None
    frames: int
    frames_per_subject: dict[str, int] | None = None
    frames_per_split: dict[str, int] | None = None


class Synthesis(Settings):
    """How to generate the dataset of a benchmark with synthetic faces.

    Attributes:
        like: the layout whose files and folders are imitated, as `fauds synth --like` takes it,
            such as "bp4d".
        frames: the number of frames per subject.
        seed: the seed of the random faces and labels.
        subjects: the number of subjects; None for all of the dataset, or the layout's default.
        size: the height of the images in pixels; None for the layout's default.
    """

    like: Literal["bp4d", "disfa", "rafdb", "affectnet", "affectnet-csv"]
    frames: int = Field(ge=1)
    seed: int
    subjects: int | None = Field(None, ge=1)
    size: int | None = Field(None, ge=64)


class AlignmentSettings(Settings):
    """How faces are cropped from frames and aligned, see `fauds.faces.alignment`.

    Attributes:
        name: the name of the method of alignment.
        version: the version of this method.
        without_landmarks: what to do with a frame for which the dataset has no landmarks: leave
            the frame out ("drop"), interpolate the landmarks of the frames before and after it
            ("neighbours"), or run a face detector ("detect").
        orientation: whether images are used as they are "stored", or turned "upright" as their
            EXIF orientation says; None for "stored" if the dataset's landmarks are used, which were
            made for stored pixels, and "upright" if a detector finds all faces.
    """

    name: str
    version: int
    without_landmarks: Literal["drop", "neighbours", "detect"] = "drop"
    orientation: Literal["stored", "upright"] | None = None


class Raw(Settings):
    """Hints for error messages about missing files, which say what to copy from the dataset.

    Attributes:
        pictures: the hint to show if images are missing.
        landmarks: the hint to show if landmarks are missing.
    """

    pictures: str = "copy them to any folder under the root"
    landmarks: str = "copy them to any folder under the root"


class CodedTable(Settings):
    """The table that a dataset of the user's own consists of, and the images of its frames.

    Attributes:
        file: the table: a delimited text or Parquet file, relative to the protocol's file.
        columns: the names of columns by what they hold, where they are not the usual ones; see
            `fauds.datasets.codes.Role`.
        scale: the scale of numbers whose columns do not say it; see `fauds.datasets.codes.Scale`.
        images: the folder of the images, relative to the protocol's file; None for no images.
        pattern: how the path of an image in this folder is made of subject, clip and frame, such
            as "{subject}/{clip}/{frame}", without a suffix; None if the table has a column of
            paths, or names images by their keys.
    """

    file: Path
    columns: dict[str, str] = Field(default_factory=dict)
    scale: Literal["occurrence", "probability", "0-5", "0-1", "0-100"] | None = None
    images: Path | None = None
    pattern: str | None = None

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None and "{frame}" not in pattern:
            raise ValueError("it must contain {frame}, such as {subject}/{clip}/{frame}")
        return pattern

    def beside(self, path: Path) -> "CodedTable":
        """Return the same table with absolute paths, which were relative to a protocol's file."""
        folder = path.resolve().parent
        images = None if self.images is None else folder / self.images
        return self.model_copy(update={"file": folder / self.file, "images": images})


class Benchmark(Settings):
    """A benchmark protocol: the data, what is predicted, the folds and the metric.

    Attributes:
        name: the name of the protocol, and of the folder in which fauds stores its tables and runs.
        version: the version of the protocol, which must be raised with every change that can
            change results.
        title: a title for readers.
        dataset: the name of the dataset, which decides how its files are read; None if `train`
            and `test` are set.
        table: the user's own table of codes, if `dataset` is "table".
        train: the name of the protocol whose subjects are trained on. A protocol with `train` and
            `test` joins the tables of these two protocols, and keeps the action units in `aus`.
        test: the name of the protocol whose subjects are tested.
        aus: the action units (AUs) to predict, if the protocol predicts the occurrence of AUs.
        occurrence: the rule by which an AU counts as occurring in a frame: "coded" if the labels
            code occurrence, or a threshold from "intensity >= 1" to "intensity >= 5", or "as in
            train and test" if `train` and `test` are set.
        target: what is predicted: ``{kind: occurrence, aus: [...], rule: coded}``, for which
            `aus` and `occurrence` are a shorthand, or another kind of target in `fauds.targets`.
        missing_code: the value for "not coded" in the label files; None if there is no such value.
        sexes: where the dataset states the sex of a subject, if it does.
        frames: the frames that are used.
        folds: the folds from a publication; None for random folds.
        metric: the metric that is the main result.
        missing_predictions: what to do with frames for which external predictions have no row:
            reject all predictions ("refuse"), leave out these frames ("drop"), or count all AUs as
            inactive in these frames ("inactive").
        alignment: how faces are cropped.
        published: the path of the file with published results, relative to the folder of the
            benchmarks that fauds ships; None for no such file.
        expected: the published numbers of subjects and frames of the dataset; None if unknown.
        licence: the licence of the dataset, in words.
        access: how to get the dataset, in words.
        raw: hints for error messages about missing files.
        synthesis: the synthetic dataset to generate if the user names no folder of a dataset; None
            for real datasets.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(ge=1)
    title: str
    dataset: str | None = None
    table: CodedTable | None = None
    train: str | None = None
    test: str | None = None
    aus: tuple[AU, ...] = Field(default=(), min_length=1)
    occurrence: str = Field(default="", pattern=RULE_PATTERN)
    target: SerializeAsAny[Target] = cast(Target, None)
    missing_code: int | None = None
    sexes: Literal[
        "first letter of the subject's id",
        "labelled for each image",
        "a column of the table",
        "not published",
    ] = "not published"
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
    def _expand_target(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if "target" not in values:
            missing = [key for key in ("aus", "occurrence") if key not in values]
            if missing:
                key = "target" if len(missing) == 2 else missing[0]
                raise ValueError(
                    f"{key} is missing: set target, or its shorthand, which is aus and occurrence"
                )
            return values
        shorthand = [key for key in ("aus", "occurrence") if key in values]
        if shorthand:
            raise ValueError(
                f"target and its shorthand, {' and '.join(shorthand)}, are both set: leave one out"
            )
        target = values["target"]
        if isinstance(target, dict) and target.get("kind") == "occurrence":
            keys = {"kind", "aus", "rule"}
            if set(target) <= keys and "aus" in target:
                rest = {key: value for key, value in values.items() if key != "target"}
                rule = target.get("rule", "coded")
                return {**rest, "aus": target["aus"], "occurrence": rule}
        return values

    @field_validator("target", mode="before")
    @classmethod
    def _validate_target(cls, value: Any) -> Any:
        if isinstance(value, Target):
            return value
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise ValueError(f"kind is missing; choose from: {', '.join(TARGETS)}")
        try:
            kind = TARGETS[value["kind"]]
            return kind.model_validate(value)
        except UsageError as error:
            raise ValueError(f"{error.what} {error.hint}") from error
        except ValidationError as error:
            problem = validation_error(kind, error, None, usage=False)
            raise ValueError(" ".join(filter(None, (problem.what, problem.hint)))) from error

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the protocol as a dictionary for YAML and JSON.

        If the target is the occurrence of AUs, the keys `aus` and `occurrence` take its place.
        """
        declared: dict[str, Any] = {}
        for key, value in handler(self).items():
            if key == "aus":
                declared |= self.target.protocol_keys()
            elif key not in ("occurrence", "target"):
                declared[key] = value
        return declared

    @model_validator(mode="after")
    def _check_keys(self) -> "Benchmark":
        if "target" not in self.model_fields_set:
            target = Occurrence(aus=self.aus, rule=self.occurrence)
            object.__setattr__(self, "target", target)
        repeated = sorted({au for au in self.aus if self.aus.count(au) > 1})
        if repeated:
            raise ValueError(f"aus: {', '.join(repeated)} is listed more than once")
        if (self.dataset == "table") != (self.table is not None):
            raise ValueError("dataset: table and the key table belong together")
        if not self.is_joined:
            if self.dataset is None or self.occurrence == JOINED_RULE:
                raise ValueError(
                    "set dataset and its rule of occurrence, or set both train and test"
                )
            return self
        if self.dataset or self.folds or self.frames.file or self.synthesis:
            raise ValueError(
                "a protocol with train and test must not set dataset, folds, frames.file or "
                "synthesis"
            )
        if not self.train or not self.test or self.train == self.test:
            raise ValueError("train and test must name two different protocols")
        if self.occurrence != JOINED_RULE:
            raise ValueError(f"occurrence must be {JOINED_RULE!r} if train and test are set")
        if not self.name.startswith(f"{self.train}-to-{self.test}"):
            raise ValueError(f"name must begin with {self.train}-to-{self.test}")
        return self

    @property
    def is_joined(self) -> bool:
        """Whether the protocol trains on one dataset and tests on another."""
        return self.train is not None or self.test is not None

    @property
    def occurrence_at(self) -> int | None:
        """The lowest intensity that counts as occurrence; None if the labels code occurrence."""
        return self.target.occurrence_at

    def sex_of(self, subject: str) -> str | None:
        """Return the sex of a subject, "F" or "M"; None if the protocol does not know it.

        Args:
            subject: the id of the subject, such as F001.
        """
        letter = subject[:1] if self.sexes.startswith("first letter") else ""
        return letter if letter in ("F", "M") else None

    def reader_options(self) -> dict[str, Any]:
        """Return the options of reading the dataset that the protocol determines.

        The keys are names of fields of `fauds.datasets.base.ReadOptions`, such as "aus".

        Raises:
            UsageError: the protocol joins the tables of two other protocols.
        """
        if self.is_joined:
            raise UsageError(
                f"{self.name} has no raw files of its own: it joins the tables of {self.train} "
                f"and {self.test}.",
                hint=f"read one of these two: --dataset {self.train}, --dataset {self.test}",
            )
        options = self.target.reader_options()
        if self.table is not None:
            table = self.table.model_dump(mode="json", exclude_none=True)
            options["table"] = table | {"missing_code": self.missing_code}
            options["occurrence_at"] = self.target.occurrence_at
        return options

    def fingerprint(self) -> str:
        """Return a SHA-256 digest, in hex, that changes if the protocol may give other results.

        The digest does not depend on the version and on texts for readers, such as the title. If
        the protocol names a file with a list of frames, the digest depends on the content of this
        file, not on its name.

        Raises:
            DataError: the list of frames cannot be read.
        """
        prose: dict[str, bool | set[str]] = {
            **dict.fromkeys(("version", "title", "licence", "access", "raw", "published"), True),
            "folds": {"source", "note"},
            "expected": {"source"},
            "frames": {"file"},
            "table": {"file", "images"},
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
            f"frames.file: the list of frames cannot be read: {error.strerror}.",
            where=path,
            hint="check that the file exists and that you have permission to read it (ls -l)",
        ) from error


def names() -> list[str]:
    """Return the names of the protocols that ship with fauds."""
    return sorted(path.stem for path in resources.root("benchmarks").glob("*.yaml"))


def benchmark(name: str) -> Benchmark:
    """Return one of the protocols that ship with fauds.

    Args:
        name: the name of the protocol, such as "bp4d".

    Raises:
        UsageError: no shipped protocol has this name.
        DataError: the file has an unknown key or an invalid value; the message names the file and
            the key.
    """
    if name not in names():
        raise unknown_name_error("benchmark", name, names())
    return read_benchmark(resources.root("benchmarks") / f"{name}.yaml")


def read_benchmark(path: Path) -> Benchmark:
    """Return the benchmark protocol in a YAML file.

    If the protocol names a file with a list of frames, the path of this file is made absolute.

    Raises:
        DataError: the file cannot be read or has an unknown key or an invalid value, or the list
            of frames is missing. The message names the file and the key.
    """
    try:
        protocol = Benchmark.model_validate(read_yaml(path))
    except ValidationError as error:
        raise validation_error(Benchmark, error, path, usage=False) from error
    if protocol.table is not None:
        protocol = protocol.model_copy(update={"table": protocol.table.beside(path)})
    if protocol.frames.file is None:
        return protocol
    frame_list = path.resolve().parent / protocol.frames.file
    if not frame_list.is_file():
        raise DataError(
            f"frames.file: there is no {frame_list.name} beside this file.",
            where=path,
            hint="copy the list of frames there, or correct frames.file",
        )
    frames = protocol.frames.model_copy(update={"file": frame_list})
    return protocol.model_copy(update={"frames": frames})
