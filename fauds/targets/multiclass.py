"""What targets share whose classes exclude each other: exactly one class is true of a frame."""

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
from fauds.targets.base import Figure, Target

_ABSENT = "no frame of the class in the test part"


class Multiclass(Target):
    """Classes that exclude each other; a kind of target names them and their label column.

    Labels are whole numbers, the place of the class among `names`, null where unlabelled. The
    class with the highest score is decided; the threshold plays no part.
    """

    noun: ClassVar[str] = "class"
    plural: ClassVar[str] = "classes"
    short: ClassVar[str] = "class"
    shorts: ClassVar[str] = "classes"
    total: ClassVar[str] = "overall"
    states: ClassVar[tuple[str, str]] = ("no", "yes")
    remarks: ClassVar[tuple[str, ...]] = (
        "Accuracy of a class: the share of its frames decided rightly; over all classes: that of "
        "all frames. Mean class accuracy weighs every class alike. Majority class: the accuracy of "
        "giving every frame the class that is most frequent in the training part.",
    )
    estimand: ClassVar[str] = (
        "Accuracy is the share of all frames of a test part decided rightly, averaged over folds"
    )
    form: ClassVar[Literal["multilabel", "multiclass"]] = "multiclass"
    statistics: ClassVar[Mapping[str, Statistic]] = {
        "accuracy": WithOverall(multiclass.recall, multiclass.accuracy),
        "recall": multiclass.recall,
        "f1": multiclass.f1,
    }
    headline: ClassVar[tuple[str, ...]] = ("accuracy", "recall", "f1", "majority_accuracy")
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
    baselines: ClassVar[Mapping[str, str]] = {"majority_accuracy": "majority class"}
    undefined: ClassVar[Mapping[str, str]] = {"recall": _ABSENT, "f1": _ABSENT}

    @property
    @abstractmethod
    def column(self) -> str:
        """The column of frames.parquet that holds the class."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column of labels."""
        return (self.column,)

    def labels(self, frames: pa.Table) -> np.ndarray:
        """Return the class of every frame, int16 [N], -1 where unlabelled.

        Raises:
            DataError: a label is no class.
        """
        labels: np.ndarray = pc.fill_null(frames[self.column], -1).to_numpy()
        wrong = np.unique(labels[(labels < -1) | (labels >= len(self.names))]).tolist()
        if wrong:
            raise DataError(
                f"{self.column} has {', '.join(map(str, wrong))}: classes are numbered from 0 to "
                f"{len(self.names) - 1}, null where unlabelled.",
                where="frames",
                hint=f"the protocol's classes are {', '.join(self.names)}, in this order",
            )
        return labels.astype(np.int16)

    def indicators(self, labels: np.ndarray) -> np.ndarray:
        """Return int8 [N, A]: 1 for the frame's class, 0 for the others, -1 where unlabelled."""
        own = (labels[:, None] == np.arange(len(self.names))).astype(np.int8)
        return np.where(labels[:, None] < 0, np.int8(-1), own)

    def decide(self, scores: np.ndarray, threshold: float) -> np.ndarray:
        """Return the class with the highest score, the first of equals, as bool [N, A]."""
        highest: np.ndarray = scores.argmax(axis=1)[:, None] == np.arange(scores.shape[1])
        return highest

    def count_by(
        self, labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int
    ) -> Confusion:
        """Return the confusion matrices of groups of frames, [G, A, A]."""
        return multiclass.count_by(labels, decisions, groups, size)

    def coded_counts(self, counts: Additive) -> np.ndarray:
        """Return the frames of each class, [..., A]."""
        frames: np.ndarray = counts.parts[0].sum(axis=-1)
        return frames

    def shares(self, counts: Additive) -> np.ndarray:
        """Return the share of frames of each class, [A]."""
        frames = counts.parts[0].sum(axis=(0, 2))
        shares: np.ndarray = frames / max(frames.sum(), 1)
        return shares

    def outcomes(self, counts: Additive) -> np.ndarray:
        """Return how frames of each class were decided, int [G, A, A]."""
        return counts.parts[0]

    def counts_from(self, outcomes: np.ndarray) -> Confusion:
        """Return the counts of matrices, int [G, A, A]."""
        if outcomes.shape[-2] != outcomes.shape[-1]:
            raise ValueError("a class has as many counts as there are classes")
        return Confusion(outcomes)

    def metrics(
        self,
        labels: np.ndarray,
        scores: np.ndarray,
        threshold: float,
        *,
        graded: bool,
        rates: np.ndarray | None = None,
    ) -> dict[str, Figure]:
        """Return accuracy, recall and F1 by class; see `Target.metrics`."""
        counts = self.count(labels, self.decide(scores, threshold))
        figures = {
            name: Figure(statistic(counts), self.over_all(name, counts))
            for name, statistic in self.statistics.items()
        }
        if rates is not None:
            coded = labels >= 0
            share = float((labels[coded] == rates.argmax()).mean()) if coded.any() else np.nan
            figures["majority_accuracy"] = Figure(None, share)
        return figures
