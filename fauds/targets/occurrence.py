"""The target of AU recognition: every action unit is active, inactive or not coded."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, Field

from fauds.errors import UsageError
from fauds.facs import au_name, facts
from fauds.metrics import calibration, occurrence, ranking
from fauds.metrics.occurrence import Counts
from fauds.metrics.resampling import Additive, Statistic
from fauds.targets.base import MetricValues, Target

JOINED_RULE = "as in train and test"
"""The occurrence rule of a protocol that trains by one protocol and tests by another.

Each of these two protocols has its own rule for when an AU counts as occurring.
"""


def _au(spelling: int | str) -> str:
    try:
        return au_name(spelling)
    except UsageError as error:
        raise ValueError(error.what) from error


AU = Annotated[str, BeforeValidator(_au)]
"""An action unit, converted from any common spelling to its canonical name, such as AU04."""

RULE_PATTERN = rf"^(coded|intensity >= [1-5]|{JOINED_RULE})$"
"""A regular expression for the rules by which an AU counts as occurring.

Examples of rules are "coded" (the dataset codes occurrence itself) and "intensity >= 2".
"""

_NO_POSITIVE = "no positive frame in the test part"
_NO_CONTRAST = "no positive or no negative frame in the test part"


class Occurrence(Target):
    """The target of AU recognition: whether each action unit occurs in a frame.

    Attributes:
        aus: the names of the action units, in the order of a model's scores.
        rule: the rule by which an action unit counts as occurring: "coded" if the dataset codes
            occurrence itself, or, for example, "intensity >= 2" (a level from 1 to 5) if occurrence
            is derived from intensity.
    """

    kind: Literal["occurrence"] = "occurrence"
    aus: tuple[AU, ...] = Field(min_length=1)
    rule: str = Field("coded", pattern=RULE_PATTERN)

    noun: ClassVar[str] = "action unit"
    plural: ClassVar[str] = "action units"
    short: ClassVar[str] = "AU"
    shorts: ClassVar[str] = "AUs"
    remarks: ClassVar[tuple[str, ...]] = (
        "Always active: the F1 of predicting the action unit to be active in every frame. "
        "Training prevalence: the F1 of predicting, for every frame, the share of training frames "
        "in which the action unit is active as its probability; if this share is below the "
        "threshold, the action unit is never predicted active, and there is no such F1. It has a "
        "mean only if it is defined for every action unit and fold that has an F1.",
        "F1 at equal shares: the F1 if as many frames were active as inactive, which makes rare "
        "and frequent action units comparable. F1 of both states: the mean of the F1 of active "
        "frames and the F1 of inactive frames. Calibration error: the mean absolute difference "
        "between the predicted probability and the share of frames that are active. Brier score: "
        "the mean squared error of the probability.",
    )
    estimand: ClassVar[str] = (
        "F1 is computed for each action unit over all frames of a test part, then averaged over "
        "action units, then over folds"
    )
    form: ClassVar[Literal["multilabel", "multiclass"]] = "multilabel"
    statistics: ClassVar[Mapping[str, Statistic]] = {
        "f1": occurrence.f1,
        "accuracy": occurrence.accuracy,
    }
    group_statistics: ClassVar[Mapping[str, Statistic]] = {"skew_f1": occurrence.skew_f1}
    headline: ClassVar[tuple[str, ...]] = ("f1", "accuracy", "always_active_f1")
    titles: ClassVar[Mapping[str, str]] = {"f1": "F1", "accuracy": "accuracy"}
    overall: ClassVar[Mapping[str, str]] = {"f1": "mean F1", "accuracy": "mean accuracy"}
    undefined_overall: ClassVar[Mapping[str, str]] = {
        "f1": "no test part has a frame with an AU active",
        "accuracy": "no frame is coded",
    }
    baselines: ClassVar[Mapping[str, str]] = {
        "always_active_f1": "always active",
        "prevalence_f1": "training prevalence",
    }
    undefined_baselines: ClassVar[Mapping[str, str]] = {"prevalence_f1": "never active"}
    undefined: ClassVar[Mapping[str, str]] = {
        "f1": _NO_POSITIVE,
        "recall": _NO_POSITIVE,
        "average_precision": _NO_POSITIVE,
        "auc": _NO_CONTRAST,
        "balanced_f1": _NO_CONTRAST,
        "skew_f1": _NO_CONTRAST,
        "precision": "no frame was predicted to be active",
        "accuracy": "no coded frame in the test part",
        "calibration_error": "no coded frame in the test part",
        "brier_score": "no coded frame in the test part",
    }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the action units that models give scores for: `aus`."""
        return self.aus

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of frames.parquet that hold the labels, one per action unit.

        A label is 1 (active), 0 (inactive), or null if not coded.
        """
        return self.aus

    @property
    def described_aus(self) -> tuple[str, ...]:
        """The names of the action units that captions describe: all of the target's."""
        return self.aus

    @property
    def occurrence_at(self) -> int | None:
        """The lowest intensity, 1 to 5, at which an AU counts as occurring.

        The value is None if occurrence is not derived from intensity.
        """
        level = re.search(r"\d", self.rule)
        return int(level.group()) if level else None

    def reader_options(self) -> dict[str, Any]:
        """Return the options that a dataset's reader needs for this target, by name.

        The options are ``aus``, the action units to read, and, if occurrence is derived from
        intensity, ``occurrence_at``, the lowest intensity that counts as occurring.
        """
        threshold = {} if self.occurrence_at is None else {"occurrence_at": self.occurrence_at}
        return {"aus": self.aus, **threshold}

    def protocol_keys(self) -> dict[str, Any]:
        """Return the keys and values with which a protocol file declares this target.

        The keys are ``aus`` (the action units) and ``occurrence`` (the rule). This is a short form,
        without the key ``target``.
        """
        return {"aus": list(self.aus), "occurrence": self.rule}

    def labels(self, frames: pa.Table) -> np.ndarray:
        """Return the labels of A action units in N frames, int8 [N, A].

        The values are 1 (active), 0 (inactive) and -1 (not coded).
        """
        return np.stack([frames[au].fill_null(-1).to_numpy() for au in self.aus], axis=1)

    def indicators(self, labels: np.ndarray) -> np.ndarray:
        """Return the labels unchanged: 1 (active), 0 (inactive) and -1 (not coded), int8 [N, A]."""
        return labels

    def decide(self, scores: np.ndarray, threshold: float) -> np.ndarray:
        """Return bool [N, A], True where the score of an AU is at least the threshold.

        Args:
            scores: the probability that each of A action units occurs in each of N frames.
            threshold: the decision threshold.
        """
        return occurrence.decide(scores, threshold)

    def count_by(
        self, labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int
    ) -> Counts:
        """Return the confusion counts of A action units in each of G groups of frames, [G, A].

        Arguments are those of `Target.count_by`.
        """
        return occurrence.count_by(labels, decisions, groups, size)

    def coded_counts(self, counts: Additive) -> np.ndarray:
        """Return the number of frames in which each of A action units is coded, [..., A].

        The leading axes of the result are those of the counts, such as subjects.
        """
        frames: np.ndarray = np.sum(counts.parts, axis=0)
        return frames

    def trivial_counts(self, counts: Additive) -> Counts:
        """Return the counts of predicting every action unit to be active in every frame.

        Args:
            counts: the confusion counts of groups of frames, for any predictions.
        """
        return occurrence.always_active(Counts(*counts.parts))

    def label(self, name: str) -> str:
        """Return an action unit's name with its FACS name, such as AU12 (lip corner puller)."""
        return f"{name} ({facts()[name]['name'].lower()})"

    def shares(self, counts: Additive) -> np.ndarray:
        """Return the share of coded frames in which each of A action units is active, float [A].

        Args:
            counts: the confusion counts of every group of frames; the groups are summed.
        """
        tp, fp, fn, tn = (part.sum(axis=0) for part in counts.parts)
        active: np.ndarray = (tp + fn) / np.maximum(tp + fp + fn + tn, 1)
        return active

    def outcomes(self, counts: Additive) -> np.ndarray:
        """Return the confusion counts of G groups and A action units as one array, int [G, A, 4].

        The last axis holds tp, fp, fn and tn.
        """
        return np.stack(counts.parts, axis=-1)

    def counts_from(self, outcomes: np.ndarray) -> Counts:
        """Return confusion counts from the array that `outcomes` returned, int [G, A, 4].

        The last axis holds tp, fp, fn and tn.

        Raises:
            ValueError: the last axis does not have four counts.
        """
        if outcomes.shape[-1] != len(Counts.__dataclass_fields__):
            raise ValueError("the last axis must have four counts: tp, fp, fn and tn")
        return Counts(*np.moveaxis(outcomes, -1, 0))

    def metrics(
        self,
        labels: np.ndarray,
        scores: np.ndarray,
        threshold: float,
        *,
        graded: bool,
        rates: np.ndarray | None = None,
    ) -> dict[str, MetricValues]:
        """Return the values of each metric (F1, accuracy, ...) for every action unit, by name.

        Arguments are those of `Target.metrics`.
        """
        counts = occurrence.count(labels, self.decide(scores, threshold))
        values = {
            "f1": occurrence.f1(counts),
            "accuracy": occurrence.accuracy(counts),
            "precision": occurrence.precision(counts),
            "recall": occurrence.recall(counts),
            "balanced_f1": occurrence.balanced_f1(counts),
            "skew_f1": occurrence.skew_f1(counts),
            "always_active_f1": occurrence.always_active_f1(counts),
        }
        if graded:
            values["auc"] = ranking.auc(labels, scores)
            values["average_precision"] = ranking.average_precision(labels, scores)
            values["calibration_error"] = calibration.calibration_error(labels, scores)
            values["brier_score"] = calibration.brier_score(labels, scores)
        metrics = {name: MetricValues(by_name) for name, by_name in values.items()}
        if rates is not None:
            by_name = occurrence.prevalence_f1(counts, rates, threshold)
            overall = occurrence.complete_mean(by_name, ~np.isnan(values["f1"]))
            metrics["prevalence_f1"] = MetricValues(by_name, overall)
        return metrics
