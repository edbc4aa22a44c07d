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
"""The number of frames with each outcome, for one subject and one AU or class.

For AU occurrence, the outcomes are true positives, false positives, false negatives and true
negatives.
"""


@dataclass(frozen=True)
class BySubject:
    """The counts of correct and wrong decisions on the frames of each of G subjects.

    Attributes:
        counts: the counts of every subject, arrays [G, ...]; for AU occurrence, true and false
            positives and negatives.
        folds: the number of the fold that tested each subject, int64 [G].
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
        labels: the labels of N frames, [N, A] for A AUs or [N] for classes, -1 where not coded.
        decisions: whether each AU or class is predicted to be true, bool [N, A].
        folds: the number of the fold that tested each frame, int [N].
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
    """Each subject's counts of correct and wrong decisions, as results.json stores them.

    Attributes:
        folds: by fold, then by subject, then by AU or class, the number of frames with each
            outcome. For AU occurrence, the outcomes are true positives, false positives, false
            negatives and true negatives; for classes, they are the decided classes, so that the
            counts of all classes are the confusion matrix. Images of unknown subjects are counted
            together, under the name of their part of the release's own split, "test".
        sexes: by subject, "F" or "M"; subjects of unknown sex are missing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folds: dict[int, dict[str, dict[str, Outcomes]]]
    sexes: dict[str, str] = {}

    @classmethod
    def of(cls, counted: BySubject, target: Target) -> "SubjectCounts":
        """Convert arrays of counts to the nested dicts that results.json stores."""
        outcomes = target.outcomes(counted.counts).tolist()
        folds: dict[int, dict[str, dict[str, Outcomes]]] = {}
        for fold, name, row in zip(counted.folds.tolist(), counted.subjects, outcomes, strict=True):
            by_name = dict(zip(target.names, map(tuple, row), strict=True))
            folds.setdefault(fold, {})[name] = by_name
        known = zip(counted.subjects, counted.sexes, strict=True)
        return cls(folds=folds, sexes={name: sex for name, sex in known if sex})

    def grouped(self, target: Target) -> BySubject:
        """Convert the nested dicts of counts to arrays, ordered by fold and subject.

        Raises:
            ValueError: the counts do not have the number of outcomes that this target defines.
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


_AGAIN = "copy the file again from the run's folder, or repeat the run (fauds bench or fauds score)"
EXTERNAL = "elsewhere"
"""The preset and the selection that results.json has for predictions of other programs."""
Fraction = float | None
"""A value from 0 to 1; None if undefined."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricRow(_Schema):
    """One value of a metric, and the data that it was computed from.

    Attributes:
        metric: the name of the metric, such as "f1", "accuracy", "always_active_f1" or "auc", or of
            a measure that the model itself computes.
        scope: the frames that the value covers: "fold" (the test frames of one fold),
            "mean_of_folds" (the mean of the values of all folds), "pooled" (the test frames of all
            folds at once), "sex" (all test frames of one sex), "sex_difference" (the value over the
            frames of women minus that over the frames of men) or "subject" (all test frames of one
            subject).
        au: the AU or class; null for a value over all AUs or classes, and for metrics that are not
            computed for single AUs or classes.
        fold: the number of the fold, for scope "fold".
        group: the sex, "F" or "M", for scope "sex"; the subject's id for scope "subject".
        selection: how the epoch and the threshold were chosen. "last": the last epoch and the
            protocol's threshold. "validation": the epoch that is best on held-out training
            subjects. "best_test_epoch", "best_test_threshold", "best_test_epoch_and_threshold":
            those that are best on the test frames themselves. "none": the metric does not depend on
            training. "elsewhere": external predictions, for which the choice is not known.
        value: the value; null if undefined. It ranges from 0 to 1 for most metrics, from -1 to 1
            for intensity_icc, intensity_pcc, above_trivial and the scope "sex_difference", and from
            0 to 5 (intensity levels) for intensity_mae.
        low, high: the ends of the confidence interval that `Results.uncertainty` describes; null
            if the value has no interval.
        n: the number of items that the value is computed from: coded frames; words, for measures of
            predicted words; texts, for metrics of generated texts. For a value over all AUs or
            classes, n is the number of frames in which at least one of them is coded.
    """

    metric: str
    scope: Literal["fold", "mean_of_folds", "pooled", "sex", "sex_difference", "subject"]
    au: str | None
    fold: int | None
    group: str | None = None
    selection: str
    value: Fraction
    low: Fraction = None
    high: Fraction = None
    n: int


class Uncertainty(_Schema):
    """How the confidence intervals were computed.

    Attributes:
        method: the name of the method.
        resamples: the number of random resamples; 0 for methods without random samples.
        level: the confidence level, such as 0.95.
        seed: the seed of the random resamples.
        unit: what is resampled: "subject" for whole subjects, since frames of one subject are
            alike, or "image" for single images, if the subjects are unknown.
        note: sentences that explain which variation the intervals cover.
    """

    method: str
    resamples: int
    level: float
    seed: int
    unit: Literal["subject", "image"] = "subject"
    note: str


class Optimism(_Schema):
    """How much higher the main result is if the epoch or the threshold is chosen in another way.

    The main result is the mean over folds of the target's main metric over all AUs or classes: for
    AU occurrence, the mean F1 over AUs.

    Attributes:
        selection: how the epoch or the threshold was chosen; see `MetricRow`.
        f1: the main result with this choice.
        headline: the main result with the protocol's own choice, which is the one to report.
        difference: `f1` minus `headline`; null if either is undefined.
    """

    selection: str
    f1: Fraction
    headline: Fraction
    difference: float | None


class MissingFrames(_Schema):
    """The frames of the protocol for which another program made no prediction.

    Attributes:
        rule: how frames without a prediction were handled: "drop" left them out, "inactive" scored
            them as if all AUs were predicted to be inactive, "refuse" did not allow them.
        frames: by subject, the number of frames without a prediction.
    """

    rule: Literal["refuse", "drop", "inactive"]
    frames: dict[str, int]


class Protocol(_Schema):
    """The protocol that a run was tested by.

    Attributes:
        folds: the name of the assignment of subjects to folds.
        test_subjects: by fold, the ids of the subjects that the fold tests; if the subjects are
            unknown, the part of the release's own split, "test".
        aus: the names of the action units or classes that are scored.
        occurrence: the rule by which action units count as occurring; "" for other targets.
        threshold: the probability from which an AU or class counts as active.
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
        """The target that was predicted: AU occurrence, or the classes that the protocol declares.

        Raises:
            UsageError: no installed package provides this kind of target.
        """
        if self.target is None:
            return Occurrence(aus=tuple(self.aus), rule=self.occurrence)
        return TARGETS[str(self.target.get("kind"))].model_validate(self.target)


class Results(_Schema):
    """The results of a finished run.

    Fields that an older version of fauds did not write are null or empty.

    Attributes:
        benchmark: the name of the benchmark.
        benchmark_version: the version of the benchmark.
        protocol: the protocol that the run was tested by.
        protocol_hash: the SHA-256 of `protocol`.
        synthetic: whether the dataset is synthetic.
        model: the name of the model.
        preset: the name of the model's preset; "elsewhere" for predictions of other programs.
        settings: all settings of the run, with defaults filled in.
        seeds: the random seeds of the run.
        pretraining: how the backbone was pretrained, as a phrase.
        versions: by name, the versions of fauds, Python and the packages that can change results.
        command: the command that repeats the run from the dataset's tables.
        frames_fingerprint: identifies the scored frames and their labels; see
            `fauds.tables.frames.frame_set_fingerprint`.
        frames_offered: the number of coded frames of all subjects that the folds test.
        frames_scored: the number of scored frames.
        frames_without_image: by subject, the number of frames that are not scored because they
            have no face image.
        undefined: phrases that name the metrics that are undefined, and therefore left out of
            means, with the reasons.
        without_interval: phrases that name the AUs or classes whose main metric (a mean of folds)
            has no interval, with the reasons, such as the only subject of a test part who shows the
            AU.
        showing_subjects: by fold and by AU or class, the number of tested subjects with at least
            one frame in which it is true.
        subject_names: by metric, the AUs or classes over which the values of single subjects (scope
            "subject") are averaged: those for which the metric is defined for every subject. If
            there are none, each subject's value is over those for which it is defined. Metrics
            whose overall value is no mean, such as the accuracy of classes, are missing.
        seconds: the time in seconds for training and testing each fold, added up over all folds,
            without work that was repeated after an interruption. Several folds may have been
            trained at the same time.
        computed_on: phrases that name the device, the precision and the number of processes that
            tested the folds, each distinct phrase once.
        provenance: how the labels were read, how their counts differ from published ones, and the
            settings of the captions.
        metrics: all values of all metrics.
        summary: the main results, by metric: the mean over folds of the metric over all AUs or
            classes.
        uncertainty: how the confidence intervals were computed.
        chosen: by fold and by selection (such as "best_test_epoch"; see `MetricRow`), the chosen
            "epoch" and "threshold".
        optimism: the main result if the epoch or the threshold is chosen in other ways.
        subject_counts: each subject's counts of correct and wrong decisions under the protocol's
            own choice of epoch and threshold, for paired tests and other intervals.
        missing: the frames for which another program made no prediction; null for models of fauds.
        without: the outputs that the model does not provide (descriptions, attention maps, ...),
            with the reasons.
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
    without_interval: list[str] = []
    showing_subjects: dict[int, dict[str, int]] = {}
    subject_names: dict[str, list[str]] = {}
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
        """Return the row of one value of a metric; None if the results do not contain it.

        Args:
            metric: the name of the metric, such as "f1".
            scope: the frames that the value covers, such as "fold" or "pooled"; see `MetricRow`.
            au: the AU or class; None for the value over all AUs or classes.
            fold: the number of the fold, for scope "fold".
            group: the sex or the subject, for scopes "sex" and "subject".
            selection: how the epoch was chosen; None for the protocol's own selection, and for
                metrics that do not depend on training.
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
        """Return one value of a metric; None if it is undefined or not in the results.

        The value is that for the protocol's own choice of the epoch. For the arguments see `row`.
        """
        row = self.row(metric, scope, au, fold)
        return row.value if row else None

    @property
    def unit(self) -> Literal["subject", "image"]:
        """What intervals resample and tests pair: subjects, or images of unknown subjects."""
        return "subject" if self.uncertainty is None else self.uncertainty.unit

    @property
    def units(self) -> str:
        """The plural of `unit`: "subjects" or "images"."""
        return f"{self.unit}s"

    @property
    def scored_groups(self) -> dict[int, list[str]]:
        """By fold, the ids of the subjects with scored frames; parts, if subjects are unknown.

        These are fewer than `Protocol.test_subjects` if the frames of some subjects were left out.
        """
        if self.subject_counts is None:  # results of an older fauds
            return self.protocol.test_subjects
        return {fold: sorted(counts) for fold, counts in self.subject_counts.folds.items()}

    @property
    def scored_units(self) -> int:
        """The number of subjects with scored frames, or of scored images if subjects are unknown.

        This is the number of subjects or images that intervals are estimated from.
        """
        if self.unit == "image":
            return self.frames_scored
        return sum(map(len, self.scored_groups.values()))

    @property
    def folds(self) -> list[int]:
        """The numbers of the folds that were run, ascending."""
        return sorted({row.fold for row in self.metrics if row.fold is not None})


def write(folder: Path, results: Results) -> None:
    """Write results.json into a run's folder."""
    store.write_json(folder / RESULTS, results.model_dump(mode="json"))


def read(folder: Path) -> Results:
    """Read the file results.json in the folder of a run.

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
            hint="name a run's folder, such as WORKDIR/DATASET/runs/RUN",
        )
    raise DataError(
        "This run has no results yet.",
        where=path,
        hint="finish the run; fauds results --workdir WORKDIR prints the command",
    )


def read_file(path: Path) -> Results:
    """Read a results file.

    Args:
        path: the file, under any name and in any folder.

    Raises:
        DataError: the file cannot be read, does not follow the schema, is for a kind of target that
            is not installed, or has counts by subject that contradict its protocol.
    """
    try:
        results = Results.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(
            f"The results file cannot be read: {error.strerror}.",
            where=path,
            hint="check the path and its permissions",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "the whole file"
        raise DataError(
            f"This is not a results file that this version of fauds can read: {at}: "
            f"{first['msg']}.",
            where=path,
            hint=_AGAIN,
        ) from error
    except ValueError as error:
        first_line = str(error).splitlines()[0]
        raise DataError(
            f"This is not a results file that this version of fauds can read: {first_line}.",
            where=path,
            hint=_AGAIN,
        ) from error
    try:
        # Reports a target that is not installed now rather than at first use.
        _ = results.protocol.predicts
    except (UsageError, ValidationError) as error:
        reason = error.what if isinstance(error, UsageError) else str(error).splitlines()[0]
        raise DataError(
            f"These results are for a kind of target that is not installed: {reason}",
            where=path,
            hint="install the package that adds this kind of target",
        ) from error
    if results.subject_counts is not None and not _fit(results.subject_counts, results.protocol):
        raise DataError(
            "The counts by subject in this results file do not match the folds, subjects or AUs of "
            "the protocol in the same file.",
            where=path,
            hint=_AGAIN,
        )
    return results


def _fit(counts: SubjectCounts, protocol: Protocol) -> bool:
    """Whether counts by subject agree with the protocol of the same results file.

    They agree if they have the folds of the protocol, every fold has counts only of subjects that
    it tests, and every subject has the right number of counts for every AU or class.
    """
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
