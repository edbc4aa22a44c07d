"""The interface of a target: which columns are labels, and how predictions of them are scored.

Training, prediction, evaluation, comparison and reports use this interface of the protocol's
target, and are independent of its kind. Targets work on arrays; nothing here reads files or imports
torch.

Shapes: N frames, A names (the AUs or classes that scores are given for), G groups of frames such as
subjects.
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
"""Whether every name is either true or false for a frame, or exactly one name is true."""


@dataclass(frozen=True)
class MetricValues:
    """The values of a metric.

    Attributes:
        by_name: the values by name, float64 [A], NaN where undefined; None if the metric only has a
            value over all names.
        overall: the value over all names; None if it is the mean of the defined values of
            `by_name`.
    """

    by_name: np.ndarray | None
    overall: float | None = None


class Target(Settings, ABC):
    """Base class of targets; the fields are the keys of ``target:`` in a protocol.

    Class attributes:
        noun: the noun for a name, such as "action unit" or "class".
        plural: the plural of `noun`.
        short: the short form of `noun` in tables and short sentences, such as "AU".
        shorts: the plural of `short`.
        total: the label of the table row for the value over all names.
        states: the words for a name that is false, and for one that is true, for a frame.
        remarks: sentences for reports that explain the target's metrics.
        estimand: a sentence for reports that explains what the main metric estimates.
        form: whether several names can be true for a frame; see `Form`.
        statistics: the metrics that are computed from additive counts by subject, by their names;
            only these have intervals, breakdowns by group, other selections and paired tests. The
            first one is the main metric.
        headline: the names of the metrics that summarise a run, as means over names and folds.
        titles: the title of each metric in tables.
        overall: the title of each metric's value over all names, for use in sentences.
        baselines: the metrics of predictions that ignore the image, with their titles in tables;
            they are shown beside the headline.
        undefined: for each metric, the reason why it can be undefined for a name.
        undefined_overall: for each metric, the reason why its value over all names can be
            undefined.
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
        """The names of what is scored, AUs or classes, in the order of the scores."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns of frames.parquet that hold the labels."""

    @property
    def described(self) -> tuple[str, ...]:
        """The action units that captions describe; none by default."""
        return ()

    @property
    def occurrence_at(self) -> int | None:
        """The lowest intensity that counts as occurrence; None if occurrence is coded itself."""
        return None

    def reading(self) -> dict[str, Any]:
        """Return the reader options that the target needs, as keyword arguments of its options."""
        return {"aus": self.columns}

    def declared(self) -> dict[str, Any]:
        """Return the protocol keys that declare the target, with JSON-compatible values."""
        return {"target": self.model_dump(mode="json", exclude_none=True)}

    @abstractmethod
    def labels(self, frames: pa.Table) -> np.ndarray:
        """Return the labels of a frames table, -1 for null.

        Returns:
            int8 [N, A] for a multilabel target, int16 [N] for a multiclass target.

        Raises:
            DataError: a label is invalid.
        """

    @abstractmethod
    def indicators(self, labels: np.ndarray) -> np.ndarray:
        """Return int8 [N, A]: 1 where a name is true for a frame, 0 where false, -1 for null."""

    @abstractmethod
    def decide(self, scores: np.ndarray, threshold: float) -> np.ndarray:
        """Return the decisions for scores.

        Args:
            scores: the scores, float [N, A].
            threshold: the decision threshold, where the target uses one.

        Returns:
            The decisions, bool [N, A].
        """

    @abstractmethod
    def count_by(
        self, labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int
    ) -> Additive:
        """Return the counts of every group of frames, which add up over groups.

        Args:
            labels: the labels, as `labels` returns them.
            decisions: the decisions, bool [N, A].
            groups: the group of every frame, int [N], 0 to size - 1.
            size: the number of groups, G.
        """

    @abstractmethod
    def outcomes(self, counts: Additive) -> np.ndarray:
        """Return counts as results.json stores them: int [G, A, m], m outcomes per name."""

    @abstractmethod
    def counts_from(self, outcomes: np.ndarray) -> Additive:
        """Return the counts that `outcomes` stored.

        Args:
            outcomes: the stored outcomes, int [G, A, m].

        Raises:
            ValueError: the number of outcomes per name is not m.
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
    ) -> dict[str, MetricValues]:
        """Return the metrics of a set of frames, in the order in which reports list them.

        Args:
            labels: the labels, as `labels` returns them.
            scores: the scores, float [N, A].
            threshold: the decision threshold.
            graded: whether scores are graded; False if they are decisions, 0 or 1, for which
                metrics of ranking and calibration are left out.
            rates: the share of the training part's coded frames in which each name is true, float
                [A]; if None, the baselines that need it are left out.
        """

    @property
    def first(self) -> str:
        """The name of the main metric, the first of `statistics`."""
        return next(iter(self.statistics))

    def label(self, name: str) -> str:
        """Return a name with its meaning, for use in a sentence."""
        return name

    @property
    def untrained(self) -> frozenset[str]:
        """The names of the metrics that do not depend on training: those of the baselines."""
        return frozenset(self.baselines)

    @abstractmethod
    def coded_counts(self, counts: Additive) -> np.ndarray:
        """Return the number of coded frames of every name in counts, [..., A]."""

    @abstractmethod
    def shares(self, counts: Additive) -> np.ndarray:
        """Return the share of the coded frames of all groups in which each name is true, [A]."""

    def count(self, labels: np.ndarray, decisions: np.ndarray) -> Additive:
        """Return the counts of all frames together, without an axis for groups; see `count_by`."""
        counts = self.count_by(labels, decisions, np.zeros(len(labels), np.int64), 1)
        return type(counts)(*(part[0] for part in counts.parts))

    def over_all(self, name: str, counts: Additive) -> float:
        """Return the value over all names of one of `statistics`; NaN if undefined.

        Args:
            name: the name of the statistic.
            counts: the counts of a set of frames, as `count` returns them.
        """
        return float(with_overall(self.statistics[name], counts)[..., -1])

    def coded(self, labels: np.ndarray) -> list[int]:
        """Return the number of coded frames per name, and last of those with any name coded."""
        is_coded = self.indicators(labels) >= 0
        return [*is_coded.sum(axis=0).tolist(), int(is_coded.any(axis=1).sum())]

    def class_weights(self, coded: np.ndarray, positives: np.ndarray) -> np.ndarray:
        """Return the class weights of the training loss: inverse rates in the training part.

        This is equation 9 of "Towards End-to-End Explainable Facial Action Unit Recognition via
        Vision-Language Joint Learning" (ACM Multimedia 2024), except that the weights have a mean
        of 1, as is common, rather than a sum of 1.

        Args:
            coded: the number of coded frames of each name, int [A].
            positives: the number of frames in which each name is true, int [A].

        Returns:
            The class weights, float64 [A], with mean 1; NaN for a name that is never true.
        """
        inverse = np.full(len(coded), np.nan)
        np.divide(coded, positives, out=inverse, where=positives > 0)
        return inverse / np.nanmean(inverse) if np.isfinite(inverse).any() else inverse
