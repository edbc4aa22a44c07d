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
"""The rule of a protocol that joins two others, which both have rules of their own."""


def _au(spelling: int | str) -> str:
    try:
        return au_name(spelling)
    except UsageError as error:
        raise ValueError(error.what) from error


AU = Annotated[str, BeforeValidator(_au)]
"""An action unit, converted from any common spelling to its canonical name, such as AU04."""

RULE_PATTERN = rf"^(coded|intensity >= [1-5]|{JOINED_RULE})$"
"""A regular expression of the rules that derive occurrence from labels."""

_NO_POSITIVE = "no positive frame in the test part"
_NO_CONTRAST = "no positive or no negative frame in the test part"


class Occurrence(Target):
    """The occurrence of action units.

    Attributes:
        aus: the names of the action units, in the order of the scores.
        rule: the rule for occurrence: "coded" if the release codes it, or "intensity >= 2" (1 to 5)
            if it is derived from intensity.
    """

    kind: Literal["occurrence"] = "occurrence"
    aus: tuple[AU, ...] = Field(min_length=1)
    rule: str = Field("coded", pattern=RULE_PATTERN)

    noun: ClassVar[str] = "action unit"
    plural: ClassVar[str] = "action units"
    short: ClassVar[str] = "AU"
    shorts: ClassVar[str] = "AUs"
    remarks: ClassVar[tuple[str, ...]] = (
        "Always active: what calling the action unit active in every frame would give. "
        "Training prevalence: what giving every frame the training part's share of active "
        "frames as its probability would give: 0 where that share is under the threshold.",
        "At equal shares: as if as many frames were active as inactive, so that rare and "
        "frequent action units can be compared. Of both states: the mean of the F1 of active "
        "and that of inactive. Calibration error: how far probabilities lie from the share of "
        "frames that are active, on average.",
    )
    estimand: ClassVar[str] = (
        "F1 is taken of each action unit over all frames of a test part, then averaged over "
        "action units, then over folds"
    )
    form: ClassVar[Literal["multilabel", "multiclass"]] = "multilabel"
    statistics: ClassVar[Mapping[str, Statistic]] = {
        "f1": occurrence.f1,
        "accuracy": occurrence.accuracy,
    }
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
    undefined: ClassVar[Mapping[str, str]] = {
        "f1": _NO_POSITIVE,
        "recall": _NO_POSITIVE,
        "average_precision": _NO_POSITIVE,
        "auc": _NO_CONTRAST,
        "balanced_f1": _NO_CONTRAST,
        "skew_f1": _NO_CONTRAST,
        "precision": "no frame was called active",
        "accuracy": "no coded frame in the test part",
        "calibration_error": "no coded frame in the test part",
    }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the action units."""
        return self.aus

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the labels, one per action unit: 1, 0, or null if not coded."""
        return self.aus

    @property
    def described(self) -> tuple[str, ...]:
        """The names of the action units, which captions describe."""
        return self.aus

    @property
    def occurrence_at(self) -> int | None:
        """The lowest intensity that counts as occurrence; None if occurrence is coded itself."""
        level = re.search(r"\d", self.rule)
        return int(level.group()) if level else None

    def reading(self) -> dict[str, Any]:
        """Return the reader options: the action units and, if set, `occurrence_at`."""
        threshold = {} if self.occurrence_at is None else {"occurrence_at": self.occurrence_at}
        return {"aus": self.aus, **threshold}

    def declared(self) -> dict[str, Any]:
        """Return the protocol's short form of the target: the keys ``aus`` and ``occurrence``."""
        return {"aus": list(self.aus), "occurrence": self.rule}

    def labels(self, frames: pa.Table) -> np.ndarray:
        """Return the occurrence labels, int8 [N, A], -1 if not coded."""
        return np.stack([frames[au].fill_null(-1).to_numpy() for au in self.aus], axis=1)

    def indicators(self, labels: np.ndarray) -> np.ndarray:
        """Return the labels, which already are indicators."""
        return labels

    def decide(self, scores: np.ndarray, threshold: float) -> np.ndarray:
        """Return decisions, bool [N, A]: True where the probability is at least the threshold."""
        return occurrence.decide(scores, threshold)

    def count_by(
        self, labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int
    ) -> Counts:
        """Return the confusion counts of every group of frames, [G, A]."""
        return occurrence.count_by(labels, decisions, groups, size)

    def coded_counts(self, counts: Additive) -> np.ndarray:
        """Return the number of frames in which each action unit is coded, [..., A]."""
        frames: np.ndarray = np.sum(counts.parts, axis=0)
        return frames

    def label(self, name: str) -> str:
        """Return an action unit with its FACS name, such as AU12 (lip corner puller)."""
        return f"{name} ({facts()[name]['name'].lower()})"

    def shares(self, counts: Additive) -> np.ndarray:
        """Return the share of coded frames in which each action unit is active, [A]."""
        tp, fp, fn, tn = (part.sum(axis=0) for part in counts.parts)
        active: np.ndarray = (tp + fn) / np.maximum(tp + fp + fn + tn, 1)
        return active

    def outcomes(self, counts: Additive) -> np.ndarray:
        """Return the counts tp, fp, fn and tn, int [G, A, 4]."""
        return np.stack(counts.parts, axis=-1)

    def counts_from(self, outcomes: np.ndarray) -> Counts:
        """Return the counts of stored tp, fp, fn and tn, int [G, A, 4].

        Raises:
            ValueError: the last axis does not have four counts.
        """
        if outcomes.shape[-1] != len(Counts.__dataclass_fields__):
            raise ValueError("an action unit has four counts: tp, fp, fn, tn")
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
        """Return the metrics of every action unit; arguments are those of `Target.metrics`."""
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
        if rates is not None:
            values["prevalence_f1"] = occurrence.prevalence_f1(counts, rates, threshold)
        return {name: MetricValues(by_name) for name, by_name in values.items()}
