"""The schema of results.json, and functions that write and read it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from fauds.errors import DataError, UsageError
from fauds.metrics.resampling import Additive
from fauds.tables import store
from fauds.tables.paths import RESULTS, SETTINGS
from fauds.targets import TARGETS
from fauds.targets.base import Target
from fauds.targets.occurrence import Occurrence

Outcomes = tuple[NonNegativeInt, ...]
"""For a subject and a name, the number of frames with each outcome, in the target's order."""


@dataclass(frozen=True)
class BySubject:
    """The counts of G subjects.

    Attributes:
        counts: the target's counts of every subject, [G, ...].
        folds: the fold that tested each subject, int64 [G].
        subjects: the ids of the subjects, ordered by fold and id.
        sexes: "F" or "M" for each subject; "" if unknown.
    """

    counts: Additive
    folds: np.ndarray
    subjects: tuple[str, ...]
    sexes: tuple[str, ...]


def by_subject(
    target: Target,
    labels: np.ndarray,
    decisions: np.ndarray,
    folds: np.ndarray,
    subjects: np.ndarray,
    sexes: Mapping[str, str | None],
) -> BySubject:
    """Count correct and wrong decisions by subject.

    Args:
        target: the target, which defines what is counted.
        labels: the target's labels, [N, ...].
        decisions: the decisions, bool [N, A].
        folds: the fold that tested each frame, int [N].
        subjects: the subject of each frame, str [N].
        sexes: by subject, "F" or "M"; subjects of unknown sex may be missing.
    """
    owners = np.rec.fromarrays([np.asarray(folds, np.int64), np.asarray(subjects, np.str_)])
    groups, group_of = np.unique(owners, return_inverse=True)
    names = tuple(groups["f1"].tolist())
    return BySubject(
        counts=target.count_by(labels, decisions, group_of, len(groups)),
        folds=groups["f0"],
        subjects=names,
        sexes=tuple(sexes.get(name) or "" for name in names),
    )


class SubjectCounts(BaseModel):
    """The counts by subject as results.json stores them.

    Attributes:
        folds: by fold, subject and name (AU or class), the number of frames with each outcome; for
            AU occurrence tp, fp, fn, tn.
        sexes: by subject, "F" or "M"; subjects of unknown sex are missing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folds: dict[int, dict[str, dict[str, Outcomes]]]
    sexes: dict[str, str] = {}

    @classmethod
    def of(cls, counted: BySubject, target: Target) -> "SubjectCounts":
        """Convert counts to the form of results.json."""
        outcomes = target.outcomes(counted.counts).tolist()
        folds: dict[int, dict[str, dict[str, Outcomes]]] = {}
        for fold, name, row in zip(counted.folds.tolist(), counted.subjects, outcomes, strict=True):
            by_name = dict(zip(target.names, map(tuple, row), strict=True))
            folds.setdefault(fold, {})[name] = by_name
        known = zip(counted.subjects, counted.sexes, strict=True)
        return cls(folds=folds, sexes={name: sex for name, sex in known if sex})

    def grouped(self, target: Target) -> BySubject:
        """Convert the counts to arrays.

        Raises:
            ValueError: the counts do not have this target's outcomes.
        """
        rows = [
            (fold, name, [outcomes[name_] for name_ in target.names])
            for fold, subjects in sorted(self.folds.items())
            for name, outcomes in sorted(subjects.items())
        ]
        names = tuple(name for _, name, _ in rows)
        return BySubject(
            counts=target.counts_from(np.array([row for _, _, row in rows], np.int64)),
            folds=np.array([fold for fold, _, _ in rows], np.int64),
            subjects=names,
            sexes=tuple(self.sexes.get(name, "") for name in names),
        )


_AGAIN = "copy the file again from where it was written, or repeat the run (fauds bench or score)"
EXTERNAL = "elsewhere"
"""The preset and the selection of external predictions in results.json."""
Fraction = float | None
"""A figure from 0 to 1; None if undefined."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricRow(_Schema):
    """One figure of the results.

    Attributes:
        metric: the name of the metric, such as "f1", "accuracy", "always_active_f1" or "auc", or of
            one of the model's own measures.
        scope: "fold" (one test part), "mean_of_folds", "pooled" (all test frames at once), "sex"
            (all test frames of one sex) or "subject" (all test frames of one subject).
        au: the name (AU or class); null for figures over all names and for metrics without names.
        fold: the fold, for scope "fold".
        group: the sex, "F" or "M", for scope "sex"; the subject's id for scope "subject".
        selection: how the epoch was chosen: "last", "validation", "best_test_epoch",
            "best_test_threshold", "best_test_epoch_and_threshold"; "none" for figures that do not
            depend on training; "elsewhere" for external predictions.
        value: from 0 to 1; intensity_icc and intensity_pcc from -1 to 1; intensity_mae in intensity
            levels; null if undefined.
        low, high: the ends of the confidence interval that `Results.uncertainty` describes; null
            for figures without an interval.
        n: the number of coded frames that the figure is computed from; for figures over all names
            the number of frames, for word measures of words, for text figures of texts.
    """

    metric: str
    scope: Literal["fold", "mean_of_folds", "pooled", "sex", "subject"]
    au: str | None
    fold: int | None
    group: str | None = None
    selection: str
    value: Fraction
    low: Fraction = None
    high: Fraction = None
    n: int


class Uncertainty(_Schema):
    """How the confidence intervals were computed; `note` explains what they cover."""

    method: str
    resamples: int
    level: float
    seed: int
    unit: Literal["subject"] = "subject"
    note: str


class Optimism(_Schema):
    """The headline figure under another selection of the epoch or threshold.

    Attributes:
        selection: how the epoch or the threshold was chosen; see `MetricRow`.
        f1: the figure under this selection: for AU occurrence the mean F1 over AUs, for other
            targets their first statistic.
        headline: the same figure under the protocol's own selection.
        difference: `f1` minus `headline`; null if either is undefined.
    """

    selection: str
    f1: Fraction
    headline: Fraction
    difference: float | None


class MissingFrames(_Schema):
    """Frames of the protocol that have no external prediction.

    Attributes:
        rule: how they were handled: "drop" did not score them, "inactive" scored them as inactive,
            "refuse" allows none.
        frames: by subject, the number of such frames.
    """

    rule: Literal["refuse", "drop", "inactive"]
    frames: dict[str, int]


class Protocol(_Schema):
    """The protocol that a run was tested by.

    Attributes:
        folds: the name of the list of folds.
        test_subjects: by fold, the ids of the subjects that it tests.
        aus: the names of the scores: action units or classes.
        occurrence: the rule by which action units count as occurring; "" for other targets.
        threshold: the probability from which a name counts as active.
        selection: how the epoch was chosen; see `MetricRow`.
        alignment: how faces were aligned and cropped.
        frame_set: which frames were scored, as a phrase.
        target: the target as a protocol file declares it; None for AU occurrence, which `aus` and
            `occurrence` define.
    """

    folds: str
    test_subjects: dict[int, list[str]]
    aus: list[str]
    occurrence: str
    threshold: float
    selection: str
    alignment: str
    frame_set: str
    target: dict[str, Any] | None = None

    @model_serializer(mode="wrap")
    def _without_empty_target(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if self.target is None:
            # Keeps the hash of AU occurrence protocols as it was before there were other targets.
            values.pop("target", None)
        return values

    @cached_property
    def predicts(self) -> Target:
        """The target that was predicted.

        Raises:
            UsageError: this kind of target is not installed.
        """
        if self.target is None:
            return Occurrence(aus=tuple(self.aus), rule=self.occurrence)
        return TARGETS[str(self.target.get("kind"))].model_validate(self.target)


class Results(_Schema):
    """The results of a finished run.

    Fields that an older fauds did not write are null or empty.

    Attributes:
        benchmark: the name of the benchmark.
        benchmark_version: the version of the benchmark.
        protocol: the protocol that the run was tested by.
        protocol_hash: the SHA-256 of `protocol`.
        synthetic: whether the dataset is synthetic.
        model: the name of the model.
        preset: the name of the model's preset; "elsewhere" for external predictions.
        settings: all settings of the run, with defaults filled in.
        seeds: the random seeds of the run.
        pretraining: how the backbone was pretrained, as a phrase.
        versions: by name, the versions of fauds, Python and the packages that can change figures.
        command: the command that repeats the run from the dataset's tables.
        frames_fingerprint: identifies the scored frames and their labels; see
            `fauds.tables.frames.frame_set_fingerprint`.
        frames_offered: the number of coded frames of all subjects that the folds test.
        frames_scored: the number of scored frames.
        frames_without_image: by subject, the number of frames that are not scored because they
            have no face image.
        undefined: phrases that name the figures that are undefined and left out of means.
        seconds: the time for training and testing all folds, without what was repeated after an
            interruption.
        computed_on: the distinct devices, precisions and process counts of the folds' testing.
        provenance: reading options, differences from published counts, and caption settings.
        metrics: all figures.
        summary: by metric, the headline figures.
        uncertainty: how the confidence intervals were computed.
        chosen: by fold and selection, the chosen epoch and threshold.
        optimism: the headline figure under other selections of the epoch or the threshold.
        subject_counts: the counts of the headline's decisions by subject, for paired tests and
            other intervals.
        missing: the frames that external predictions lack.
        without: by output that the model does not provide (descriptions, attention maps, ...), the
            reason.
    """

    benchmark: str
    benchmark_version: int
    protocol: Protocol
    protocol_hash: str
    synthetic: bool
    model: str
    preset: str
    settings: dict[str, Any]
    seeds: list[int]
    pretraining: str
    versions: dict[str, str]
    command: str
    frames_fingerprint: str
    frames_offered: int
    frames_scored: int
    frames_without_image: dict[str, int]
    undefined: list[str]
    seconds: float
    computed_on: list[str] = []
    provenance: dict[str, Any]
    metrics: list[MetricRow]
    summary: dict[str, Fraction]
    uncertainty: Uncertainty | None = None
    chosen: dict[int, dict[str, dict[str, float]]] = {}
    optimism: list[Optimism] = []
    subject_counts: SubjectCounts | None = None
    missing: MissingFrames | None = None
    without: dict[str, str] = {}

    def row(
        self,
        metric: str,
        scope: str,
        au: str | None = None,
        fold: int | None = None,
        *,
        group: str | None = None,
        selection: str | None = None,
    ) -> MetricRow | None:
        """Return the row of one figure; None if the results do not contain it.

        Args:
            metric: the name of the metric.
            scope: the scope; see `MetricRow`.
            au: the name (AU or class); None for the figure over all names.
            fold: the fold, for scope "fold".
            group: the sex or the subject, for scopes "sex" and "subject".
            selection: how the epoch was chosen; None for the protocol's own selection, and for
                figures that do not depend on training.
        """
        key = (metric, scope, au, fold, group)
        selections = (self.protocol.selection, "none") if selection is None else (selection,)
        for row in self.metrics:
            if row.metric != metric or row.selection not in selections:
                continue
            if (row.metric, row.scope, row.au, row.fold, row.group) == key:
                return row
        return None

    def value(
        self, metric: str, scope: str, au: str | None = None, fold: int | None = None
    ) -> Fraction:
        """Return a figure under the protocol's selection; None if undefined or missing."""
        row = self.row(metric, scope, au, fold)
        return row.value if row else None

    @property
    def folds(self) -> list[int]:
        """The numbers of the folds that were run, ascending."""
        return sorted({row.fold for row in self.metrics if row.fold is not None})


def write(folder: Path, results: Results) -> None:
    """Write results.json into a run's folder."""
    store.write_json(folder / RESULTS, results.model_dump(mode="json"))


def read(folder: Path) -> Results:
    """Read the results.json of a run.

    Args:
        folder: the run's folder.

    Raises:
        DataError: the file is missing or does not follow the schema.
    """
    path = folder / RESULTS
    if path.exists():
        return read_file(path)
    if not (folder / SETTINGS).exists():
        raise DataError(
            "This folder holds no run.",
            where=folder,
            hint="name a folder in WORKDIR/DATASET/runs/",
        )
    raise DataError(
        "This run has no results yet.",
        where=path,
        hint="finish the run; fauds results, with the run's --workdir, shows the command",
    )


def read_file(path: Path) -> Results:
    """Read a results file.

    Args:
        path: the file, under any name and in any folder.

    Raises:
        DataError: the file cannot be read, does not follow the schema, predicts a kind of target
            that is not installed, or has counts that do not fit its protocol.
    """
    try:
        results = Results.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", where=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "the whole file"
        raise DataError(
            f"This is not a results file that this version of fauds reads: {at}: {first['msg']}.",
            where=path,
            hint=_AGAIN,
        ) from error
    except ValueError as error:
        first_line = str(error).splitlines()[0]
        raise DataError(
            f"This is not a results file that this version of fauds reads: {first_line}.",
            where=path,
            hint=_AGAIN,
        ) from error
    try:
        # Reports a target that is not installed now rather than at first use.
        _ = results.protocol.predicts
    except (UsageError, ValidationError) as error:
        reason = error.what if isinstance(error, UsageError) else str(error).splitlines()[0]
        raise DataError(
            f"The target of these results is not installed: {reason}",
            where=path,
            hint="install the package that adds this kind of target",
        ) from error
    if results.subject_counts is not None and not _fit(results.subject_counts, results.protocol):
        raise DataError(
            "The counts by subject do not fit the file's own protocol.", where=path, hint=_AGAIN
        )
    return results


def _fit(counts: SubjectCounts, protocol: Protocol) -> bool:
    """Whether every fold has counts of its own subjects, and each subject of all names."""
    names = set(protocol.aus)
    fits = counts.folds.keys() == protocol.test_subjects.keys() and all(
        subjects
        and subjects.keys() <= set(protocol.test_subjects[fold])
        and all(outcomes.keys() == names for outcomes in subjects.values())
        for fold, subjects in counts.folds.items()
    )
    if not fits:
        return False
    try:
        counts.grouped(protocol.predicts)
    except ValueError:
        return False
    return True
