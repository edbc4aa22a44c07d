"""The interface of a target: which columns hold its labels, and how predictions are scored.

A target is the quantity that models predict in a benchmark, such as the occurrence of AUs.
Training, prediction, evaluation, comparison and reports use only this interface, so they work for
targets of any kind. Targets work on arrays; this module reads no files and does not import torch.

Shapes: N is the number of frames; A is the number of AUs or classes that models give scores for; G
is the number of groups of frames, such as the frames of each subject.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from fauds.metrics.resampling import Additive, Statistic, selected, with_overall
from fauds.settings import Settings

Form = Literal["multilabel", "multiclass"]
"""How many AUs or classes can be true for the same frame.

"multilabel": any number of AUs, each of which is true or false. "multiclass": exactly one class.
"""


@dataclass(frozen=True)
class MetricValues:
    """The values of a metric for each AU or class, and over all of them.

    Attributes:
        by_name: the value for each of A AUs or classes, float64 [A], NaN where undefined; None if
            the metric has only a value over all of them.
        overall: the value over all AUs or classes; None if it is the mean of the values in
            `by_name` that are not NaN.
    """

    by_name: np.ndarray | None
    overall: float | None = None


class Target(Settings, ABC):
    """Base class of targets: the quantities that models predict, such as the occurrence of AUs.

    The fields of a subclass are the keys below ``target:`` in a protocol file. The keys of all
    mappings below are names of metrics, such as "f1".

    Class attributes:
        noun: the noun for what models give scores for, such as "action unit" or "class".
        plural: the plural of `noun`.
        short: the short form of `noun` in tables and short sentences, such as "AU".
        shorts: the plural of `short`.
        total: the label of the table row that holds a metric's value over all AUs or classes.
        states: two words: for an AU or class that is false for a frame (such as "inactive"), and
            for one that is true (such as "active").
        remarks: sentences for reports that explain the target's metrics.
        estimand: a sentence for reports that explains what the main metric estimates.
        form: whether several AUs or classes can be true for the same frame; see `Form`.
        statistics: the functions that compute metrics from counts, such as true positives, which
            add up over subjects. The first metric is the main one. Confidence intervals, values by
            group of subjects, values at other epochs and thresholds, and paired tests are
            computed for these metrics only.
        group_statistics: the functions that compute the metrics by which groups of people, such as
            women and men, are compared. They must not depend on how often an AU or class occurs. If
            empty, the main metric is used.
        headline: the names of the metrics that summarise a run, each as a mean over AUs or classes
            and over folds.
        titles: the title of each metric in tables.
        overall: the title in sentences of each metric's value over all AUs or classes.
        baselines: the titles in tables of the baselines, which are metrics of predictions that
            ignore the image.
        undefined_baselines: the baselines that may be undefined for an AU or class whose main
            metric is defined, with the words for this in tables. The mean of such a baseline over
            folds is undefined if its value is undefined in a fold in which the main metric is
            defined, so that it is comparable with the mean of the main metric.
        undefined: the reason why each metric can be undefined for an AU or class.
        undefined_overall: the reason why each metric's value over all AUs or classes can be
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
    group_statistics: ClassVar[Mapping[str, Statistic]] = {}
    headline: ClassVar[tuple[str, ...]]
    titles: ClassVar[Mapping[str, str]]
    overall: ClassVar[Mapping[str, str]]
    baselines: ClassVar[Mapping[str, str]] = {}
    undefined_baselines: ClassVar[Mapping[str, str]] = {}
    undefined: ClassVar[Mapping[str, str]] = {}
    undefined_overall: ClassVar[Mapping[str, str]]

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of the AUs or classes that models score, in the order of the scores."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of frames.parquet that hold the labels."""

    @property
    def described_aus(self) -> tuple[str, ...]:
        """The names of the action units that captions describe; an empty tuple by default."""
        return ()

    @property
    def occurrence_at(self) -> int | None:
        """The lowest intensity, 1 to 5, at which an AU counts as occurring.

        The value is None if occurrence is not derived from intensity.
        """
        return None

    def reader_options(self) -> dict[str, Any]:
        """Return the options that a dataset's reader needs for this target, by name.

        The options say which labels the reader reads, such as ``{"aus": ("AU01", "AU12")}``.
        """
        return {"aus": self.columns}

    def protocol_keys(self) -> dict[str, Any]:
        """Return the keys, with JSON values, with which a protocol file declares the target."""
        return {"target": self.model_dump(mode="json", exclude_none=True)}

    @abstractmethod
    def labels(self, frames: pa.Table) -> np.ndarray:
        """Return the labels of the frames of a frames table.

        Args:
            frames: some rows of frames.parquet, with the columns that `columns` names.

        Returns:
            For a multilabel target, 1 (true) or 0 (false) for each AU, int8 [N, A]; for a
            multiclass target, the index of the frame's class in `names`, int16 [N]. A missing label
            is -1.

        Raises:
            DataError: a label is invalid.
        """

    @abstractmethod
    def indicators(self, labels: np.ndarray) -> np.ndarray:
        """Return whether each AU or class is true for each frame, int8 [N, A].

        The values are 1 (true), 0 (false) and -1 (not labelled).

        Args:
            labels: the labels, as `labels` returns them.
        """

    @abstractmethod
    def decide(self, scores: np.ndarray, threshold: float) -> np.ndarray:
        """Return which AUs or classes are predicted to be true, given a model's scores.

        Args:
            scores: the scores of each AU or class in each frame, float [N, A].
            threshold: the decision threshold; multiclass targets do not use it.

        Returns:
            The decisions, bool [N, A].
        """

    @abstractmethod
    def count_by(
        self, labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int
    ) -> Additive:
        """Count right and wrong decisions in groups of frames, such as those of each subject.

        Args:
            labels: the labels, as `labels` returns them.
            decisions: the decisions, bool [N, A].
            groups: the number of each frame's group, int [N], 0 to size - 1.
            size: the number of groups, G.

        Returns:
            The counts, such as true and false positives, which add up over groups.
        """

    @abstractmethod
    def outcomes(self, counts: Additive) -> np.ndarray:
        """Return the counts of right and wrong decisions as results.json stores them.

        Returns:
            An array, int [G, A, m], with m numbers for each AU or class in each of G groups. For an
            AU, the m = 4 numbers are tp, fp, fn and tn. For a class, the m = A numbers say how many
            of its frames were assigned to each class: they are a row of the confusion matrix.
        """

    @abstractmethod
    def counts_from(self, outcomes: np.ndarray) -> Additive:
        """Return the counts of right and wrong decisions from the array that `outcomes` returned.

        Args:
            outcomes: the counts as results.json stores them, int [G, A, m], with m numbers for each
                AU or class in each of G groups.

        Raises:
            ValueError: m is not the number that the target needs.
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
        """Return the metrics of a set of frames, by name, in the order in which reports list them.

        Args:
            labels: the labels, as `labels` returns them.
            scores: the scores of each AU or class in each frame, float [N, A].
            threshold: the decision threshold.
            graded: True if the scores are probabilities; False if they are decisions, 0 or 1, for
                which metrics of ranking and calibration are left out.
            rates: the share of the coded training frames in which each AU or class is true, float
                [A]; if None, the baselines that need these shares are left out.
        """

    @property
    def has_threshold(self) -> bool:
        """Whether decisions depend on the threshold; classes are decided by the highest score."""
        return self.form == "multilabel"

    @property
    def main_metric(self) -> str:
        """The name of the target's main metric, such as "f1": the first of `statistics`."""
        return next(iter(self.statistics))

    def label(self, name: str) -> str:
        """Return the name of an AU or class with its meaning, such as AU12 (lip corner puller).

        The base class returns the name alone.
        """
        return name

    @property
    def baseline_metrics(self) -> frozenset[str]:
        """The names of the baselines: the metrics that do not depend on a trained model."""
        return frozenset(self.baselines)

    def trivial_counts(self, counts: Additive) -> Additive | None:
        """Return the counts of predictions that ignore the image, against which models are tested.

        By default, there are none, and the result is None.

        Args:
            counts: the counts of groups of frames, as `count_by` returns them, for any predictions.
        """
        return None

    @abstractmethod
    def coded_counts(self, counts: Additive) -> np.ndarray:
        """Return the number of frames in which each AU is coded, or that belong to each class.

        Args:
            counts: the counts of groups of frames, as `count_by` returns them, or of all frames, as
                `count` does.

        Returns:
            The numbers of frames, [..., A], with the leading axes of the counts, such as groups.
        """

    @abstractmethod
    def shares(self, counts: Additive) -> np.ndarray:
        """Return the share of coded frames in which each AU or class is true, float [A].

        Args:
            counts: the counts of every group of frames, as `count_by` returns them; the groups are
                summed.
        """

    def count(self, labels: np.ndarray, decisions: np.ndarray) -> Additive:
        """Count right and wrong decisions over all frames together.

        Args:
            labels: the labels, as `labels` returns them.
            decisions: the decisions, bool [N, A].

        Returns:
            The counts, like those that `count_by` returns, but without the axis of the groups.
        """
        counts = self.count_by(labels, decisions, np.zeros(len(labels), np.int64), 1)
        return selected(counts, 0)

    def over_all(self, name: str, counts: Additive) -> float:
        """Return a metric's value over all AUs or classes, usually the mean; NaN if undefined.

        Args:
            name: the name of the metric, a key of `statistics`.
            counts: the counts of a set of frames, as `count` returns them.
        """
        return float(with_overall(self.statistics[name], counts)[..., -1])

    def coded(self, labels: np.ndarray) -> list[int]:
        """Return the number of coded frames for each of A AUs or classes, and over all of them.

        The last of the A + 1 numbers counts the frames in which at least one AU or class is coded.

        Args:
            labels: the labels, as `labels` returns them.
        """
        is_coded = self.indicators(labels) >= 0
        return [*is_coded.sum(axis=0).tolist(), int(is_coded.any(axis=1).sum())]

    def class_weights(self, coded: np.ndarray, positives: np.ndarray) -> np.ndarray:
        """Return the weight of each AU or class in the training loss; rare ones weigh more.

        The weight is proportional to the inverse of the share of coded training frames in which the
        AU or class is true. This is equation 9 of the VL-FAU paper, "Towards End-to-End Explainable
        Facial Action Unit Recognition via Vision-Language Joint Learning" (ACM Multimedia 2024),
        except that the weights have a mean of 1, as is common, rather than a sum of 1.

        Args:
            coded: the number of training frames in which each AU or class is coded, int [A].
            positives: the number of training frames in which each AU or class is true, int [A].

        Returns:
            The weights, float64 [A], with mean 1; NaN for an AU or class that is never true.
        """
        inverse = np.full(len(coded), np.nan)
        np.divide(coded, positives, out=inverse, where=positives > 0)
        return inverse / np.nanmean(inverse) if np.isfinite(inverse).any() else inverse
