"""The base class of targets with mutually exclusive classes: a frame belongs to exactly one."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.errors import DataError
from fauds.metrics import multiclass
from fauds.metrics.multiclass import Confusion
from fauds.metrics.resampling import Additive, Statistic, WithOverall
from fauds.targets.base import MetricValues, Target

_ABSENT = "no frame of the class in the test part"


class Multiclass(Target):
    """Base class of targets with mutually exclusive classes.

    A subclass defines the names of the classes and the column of frames.parquet with the labels. A
    label is the index of the class in `names`, or null if the frame is not labelled. The predicted
    class is the one with the highest score; no decision threshold is used.
    """

    noun: ClassVar[str] = "class"
    plural: ClassVar[str] = "classes"
    short: ClassVar[str] = "class"
    shorts: ClassVar[str] = "classes"
    total: ClassVar[str] = "overall"
    states: ClassVar[tuple[str, str]] = ("no", "yes")
    remarks: ClassVar[tuple[str, ...]] = (
        "The accuracy of a class is the share of its frames that are assigned to it; the overall "
        "accuracy is the share of all frames that are assigned to their class. Mean class accuracy "
        "gives every class the same weight. Majority class: the accuracy of assigning every frame "
        "to the class that is most frequent in the training part. Training prior: the accuracy, on "
        "average, of assigning every frame to a random class, with the classes' shares in the "
        "training part as probabilities.",
    )
    estimand: ClassVar[str] = (
        "Accuracy is the share of correct decisions over all frames of a test part, averaged over "
        "folds"
    )
    form: ClassVar[Literal["multilabel", "multiclass"]] = "multiclass"
    statistics: ClassVar[Mapping[str, Statistic]] = {
        "accuracy": WithOverall(multiclass.recall, multiclass.accuracy),
        "recall": multiclass.recall,
        "f1": multiclass.f1,
    }
    headline: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "recall",
        "f1",
        "majority_accuracy",
        "prior_accuracy",
    )
    titles: ClassVar[Mapping[str, str]] = {
        "accuracy": "accuracy",
        "recall": "mean class accuracy",
        "f1": "macro F1",
    }
    overall: ClassVar[Mapping[str, str]] = {
        "accuracy": "accuracy",
        "recall": "mean class accuracy",
        "f1": "macro F1",
    }
    undefined_overall: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("accuracy", "recall", "f1"), "no frame is labelled"
    )
    baselines: ClassVar[Mapping[str, str]] = {
        "majority_accuracy": "majority class",
        "prior_accuracy": "training prior",
    }
    undefined: ClassVar[Mapping[str, str]] = dict.fromkeys(("accuracy", "recall", "f1"), _ABSENT)

    @property
    @abstractmethod
    def column(self) -> str:
        """The name of the column of frames.parquet that holds the index of each frame's class."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The name of the column of frames.parquet that holds the labels, in a tuple."""
        return (self.column,)

    def labels(self, frames: pa.Table) -> np.ndarray:
        """Return the index of every frame's class, int16 [N], or -1 if the frame is not labelled.

        Raises:
            DataError: a label is not the index of a class.
        """
        labels: np.ndarray = pc.fill_null(frames[self.column], -1).to_numpy()
        invalid = np.unique(labels[(labels < -1) | (labels >= len(self.names))]).tolist()
        if invalid:
            raise DataError(
                f"The column {self.column} has {', '.join(map(str, invalid))}, but a label must be "
                f"a number from 0 to {len(self.names) - 1}, or null if a frame is not labelled.",
                where="frames table",
                hint=f"number the classes in the order of the target: {', '.join(self.names)}",
            )
        return labels.astype(np.int16)

    def indicators(self, labels: np.ndarray) -> np.ndarray:
        """Return for each of N frames and A classes whether the frame belongs to it, int8 [N, A].

        The values are 1 for the frame's class and 0 for other classes, or -1 for all classes if the
        frame is not labelled.

        Args:
            labels: the index of every frame's class, or -1, int [N].
        """
        is_class = (labels[:, None] == np.arange(len(self.names))).astype(np.int8)
        return np.where(labels[:, None] < 0, np.int8(-1), is_class)

    def decide(self, scores: np.ndarray, threshold: float) -> np.ndarray:
        """Return bool [N, A], True for the class with the highest score in each frame.

        If several classes have the highest score, the first of them is chosen.

        Args:
            scores: the scores of A classes in N frames, float [N, A].
            threshold: not used.
        """
        decisions: np.ndarray = scores.argmax(axis=1)[:, None] == np.arange(scores.shape[1])
        return decisions

    def count_by(
        self, labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int
    ) -> Confusion:
        """Return the confusion matrix of A classes for each of G groups of frames, [G, A, A].

        Arguments are those of `Target.count_by`.
        """
        return multiclass.count_by(labels, decisions, groups, size)

    def coded_counts(self, counts: Additive) -> np.ndarray:
        """Return the number of labelled frames that belong to each of A classes, [..., A].

        The leading axes of the result are those of the counts, such as subjects.
        """
        frames: np.ndarray = counts.parts[0].sum(axis=-1)
        return frames

    def shares(self, counts: Additive) -> np.ndarray:
        """Return the share of labelled frames that belong to each of A classes, float [A].

        Args:
            counts: the confusion matrix of every group of frames; the groups are summed.
        """
        frames = counts.parts[0].sum(axis=(0, 2))
        shares: np.ndarray = frames / max(frames.sum(), 1)
        return shares

    def outcomes(self, counts: Additive) -> np.ndarray:
        """Return the confusion matrices of G groups and A classes as an array, int [G, A, A]."""
        return counts.parts[0]

    def counts_from(self, outcomes: np.ndarray) -> Confusion:
        """Return the `Confusion` whose matrices are those of an array, int [G, A, A].

        Raises:
            ValueError: the matrices are not square.
        """
        if outcomes.shape[-2] != outcomes.shape[-1]:
            raise ValueError("a confusion matrix must have as many columns as rows (classes)")
        return Confusion(outcomes)

    def metrics(
        self,
        labels: np.ndarray,
        scores: np.ndarray,
        threshold: float,
        *,
        graded: bool,
        rates: np.ndarray | None = None,
    ) -> dict[str, MetricValues]:
        """Return accuracy, recall and F1, by class and over all classes.

        If `rates` is not None, two baselines are included: the accuracy of always predicting the
        class that is most frequent in the training part, and the expected accuracy of predicting a
        random class with the probabilities `rates`. Arguments are those of `Target.metrics`.
        """
        counts = self.count(labels, self.decide(scores, threshold))
        figures = {
            name: MetricValues(statistic(counts), self.over_all(name, counts))
            for name, statistic in self.statistics.items()
        }
        if rates is not None:
            coded = labels[labels >= 0]
            shares = np.bincount(coded, minlength=len(rates)) / len(coded) if len(coded) else np.nan
            right = np.broadcast_to(shares, len(rates))
            figures["majority_accuracy"] = MetricValues(None, float(right[rates.argmax()]))
            figures["prior_accuracy"] = MetricValues(None, float(right @ rates))
        return figures
