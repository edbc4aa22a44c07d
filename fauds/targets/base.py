"""The interface of a target: which columns are labels, and how predictions of them are scored.

Everything that trains, tests, scores, compares and reports asks the protocol's target, and knows
no kind of target by name. Arrays in, arrays out; nothing here reads a file or imports torch.

Shapes: N frames, A names (a score each), G groups of frames such as subjects.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from fauds.metrics.resampling import Additive, Statistic, with_overall
from fauds.settings import Settings

Form = Literal["multilabel", "multiclass"]
"""Every name is active or not; or exactly one name is true of a frame."""


@dataclass(frozen=True)
class Figure:
    """A metric's values.

    Attributes:
        by_name: float64 [A], NaN where undefined; None where the metric has no name of its own.
        overall: the figure over all names; None for the mean of the defined values of `by_name`.
    """

    by_name: np.ndarray | None
    overall: float | None = None


class Target(Settings, ABC):
    """What a protocol predicts; its fields are the keys of ``target:`` in a protocol.

    Class attributes:
        noun, plural: what a name is, and several, in words: "action unit", "class".
        short, shorts: the same in tables and short sentences: "AU", "AUs".
        total: the row of a table that is over all names.
        states: what is said of a name that is not true of a frame, and of one that is.
        remarks: what the figures of the target mean, in sentences for a report.
        estimand: what the headline is an estimate of, in words.
        form: see `Form`.
        statistics: metrics of the additive counts by subject, which have intervals, groups, other
            selections and paired tests; the first is the headline.
        headline: the metrics that stand for a run, means over names and folds.
        titles: metric to its name in tables; overall: the same over all names, in a sentence.
        baselines: metrics of predictions that look at no image, shown beside the headline, to
            their names in tables.
        undefined: metric to the reason why a figure of it can be undefined, in words;
            undefined_overall: the same of a figure over all names.
    """

    kind: str
    noun: ClassVar[str]
    plural: ClassVar[str]
    short: ClassVar[str]
    shorts: ClassVar[str]
    total: ClassVar[str] = "mean"
    states: ClassVar[tuple[str, str]] = ("inactive", "active")
    remarks: ClassVar[tuple[str, ...]] = ()
    estimand: ClassVar[str]
    form: ClassVar[Form]
    statistics: ClassVar[Mapping[str, Statistic]]
    headline: ClassVar[tuple[str, ...]]
    titles: ClassVar[Mapping[str, str]]
    overall: ClassVar[Mapping[str, str]]
    baselines: ClassVar[Mapping[str, str]] = {}
    undefined: ClassVar[Mapping[str, str]] = {}
    undefined_overall: ClassVar[Mapping[str, str]]

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What scores are given for, in the order of the scores: A names."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns of frames.parquet that hold the labels."""

    @property
    def described(self) -> tuple[str, ...]:
        """The AUs that captions describe; none unless overridden."""
        return ()

    @property
    def occurrence_at(self) -> int | None:
        """The lowest intensity that counts as occurring; None unless labels are intensities."""
        return None

    def reading(self) -> dict[str, Any]:
        """Return what the target asks of a reader: fields of its options."""
        return {"aus": self.columns}

    def declared(self) -> dict[str, Any]:
        """Return the keys of a protocol that declare the target, as JSON can say them."""
        return {"target": self.model_dump(mode="json", exclude_none=True)}

    @abstractmethod
    def labels(self, frames: pa.Table) -> np.ndarray:
        """Return labels: multilabel int8 [N, A], multiclass int16 [N]; -1 for null."""

    @abstractmethod
    def indicators(self, labels: np.ndarray) -> np.ndarray:
        """Return int8 [N, A]: 1 where a name is true of a frame, 0 where not, -1 for null."""

    @abstractmethod
    def decide(self, scores: np.ndarray, threshold: float) -> np.ndarray:
        """Return decisions, bool [N, A], from scores, float [N, A]."""

    @abstractmethod
    def count_by(
        self, labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int
    ) -> Additive:
        """Count the outcomes of every group of frames; the counts of groups add up.

        Args:
            groups: the group of every frame, int [N], 0 to size - 1.
            size: G.
        """

    @abstractmethod
    def outcomes(self, counts: Additive) -> np.ndarray:
        """Return counts as results.json holds them, int [G, A, m]: m outcomes a name."""

    @abstractmethod
    def counts_from(self, outcomes: np.ndarray) -> Additive:
        """Return the counts of `outcomes`, int [G, A, m].

        Raises:
            ValueError: there are not m outcomes a name.
        """

    @abstractmethod
    def metrics(
        self,
        labels: np.ndarray,
        scores: np.ndarray,
        threshold: float,
        *,
        graded: bool,
        rates: np.ndarray | None = None,
    ) -> dict[str, Figure]:
        """Return the metrics of a set of frames, in the order in which they are listed.

        Args:
            graded: whether scores say more than decisions, which are 0 and 1 alone.
            rates: share of the training part's coded frames of which each name is true, [A];
                None leaves out the baselines that need it.
        """

    @property
    def first(self) -> str:
        """The headline's metric: the first of the statistics."""
        return next(iter(self.statistics))

    def label(self, name: str) -> str:
        """Return a name with what it means, for a sentence."""
        return name

    @property
    def untrained(self) -> frozenset[str]:
        """The metrics that no training made: those of the baselines."""
        return frozenset(self.baselines)

    @abstractmethod
    def coded_counts(self, counts: Additive) -> np.ndarray:
        """Return how many coded frames of every name counts are over, [..., A]."""

    @abstractmethod
    def shares(self, counts: Additive) -> np.ndarray:
        """Return the share of coded frames, over all groups, of which each name is true, [A]."""

    def count(self, labels: np.ndarray, decisions: np.ndarray) -> Additive:
        """Count the outcomes of all frames together: `count_by` of one group, without its axis."""
        counts = self.count_by(labels, decisions, np.zeros(len(labels), np.int64), 1)
        return type(counts)(*(part[0] for part in counts.parts))

    def over_all(self, name: str, counts: Additive) -> float:
        """Return one of `statistics` over all names, NaN where undefined."""
        return float(with_overall(self.statistics[name], counts)[..., -1])

    def coded(self, labels: np.ndarray) -> list[int]:
        """Return the coded frames of every name, and last those with any name coded."""
        known = self.indicators(labels) >= 0
        return [*known.sum(axis=0).tolist(), int(known.any(axis=1).sum())]

    def class_weights(self, coded: np.ndarray, positives: np.ndarray) -> np.ndarray:
        """Return class weights for training, float64 [A], mean 1: 1 / rate in the training part.

        NaN where a name is never true. This is equation 9 of "Towards End-to-End Explainable Facial
        Action Unit Recognition via Vision-Language Joint Learning" (ACM Multimedia 2024), which has
        the weights sum to 1; a mean of 1 is the field's practice.

        Args:
            coded: coded frames of each name, int [A]; positives: those of which it is true.
        """
        inverse = np.full(len(coded), np.nan)
        np.divide(coded, positives, out=inverse, where=positives > 0)
        return inverse / np.nanmean(inverse) if np.isfinite(inverse).any() else inverse
