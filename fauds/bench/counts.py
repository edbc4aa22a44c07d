"""Confusion counts of every subject: what results.json carries so that runs can be compared.

Intervals and paired tests resample subjects, and F1 of any resample follows from its subjects'
counts: whoever has two results files can compare them, without images, labels or predictions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from fauds.metrics.occurrence import Counts, count_by

Outcomes = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]
"""Of one subject and AU: frames that are tp, fp, fn, tn."""


@dataclass(frozen=True)
class BySubject:
    """Counts of G subjects.

    Attributes:
        counts: int64 [G, A].
        folds: the fold that tested each subject, int64 [G].
        subjects: their ids, in the order of fold and id.
        sexes: "F" or "M" of each; "" where it is not known.
    """

    counts: Counts
    folds: np.ndarray
    subjects: tuple[str, ...]
    sexes: tuple[str, ...]


def by_subject(
    labels: np.ndarray,
    decisions: np.ndarray,
    folds: np.ndarray,
    subjects: np.ndarray,
    sexes: Mapping[str, str | None],
) -> BySubject:
    """Count the decisions about every subject's frames.

    Args:
        labels: int8 [N, A], -1 not coded; decisions: bool [N, A].
        folds: the fold that tested each frame, int [N]; subjects: whose it is, str [N].
        sexes: "F" or "M" of the subjects of whom it is known.
    """
    whose = np.rec.fromarrays([np.asarray(folds, np.int64), np.asarray(subjects, np.str_)])
    groups, of = np.unique(whose, return_inverse=True)
    names = tuple(groups.f1.tolist())
    return BySubject(
        counts=count_by(labels, decisions, of, len(groups)),
        folds=groups.f0,
        subjects=names,
        sexes=tuple(sexes.get(name) or "" for name in names),
    )


class SubjectCounts(BaseModel):
    """The same as it stands in results.json.

    Attributes:
        folds: fold, subject, AU to [tp, fp, fn, tn].
        sexes: "F" or "M" of the subjects of whom it is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folds: dict[int, dict[str, dict[str, Outcomes]]]
    sexes: dict[str, str] = {}

    @classmethod
    def of(cls, found: BySubject, aus: Sequence[str]) -> "SubjectCounts":
        """Return counts as results.json holds them."""
        outcomes = np.stack(found.counts.parts, axis=-1).tolist()
        folds: dict[int, dict[str, dict[str, Outcomes]]] = {}
        for fold, name, row in zip(found.folds.tolist(), found.subjects, outcomes, strict=True):
            folds.setdefault(fold, {})[name] = dict(zip(aus, map(tuple, row), strict=True))
        known = zip(found.subjects, found.sexes, strict=True)
        return cls(folds=folds, sexes={name: sex for name, sex in known if sex})

    def grouped(self, aus: Sequence[str]) -> BySubject:
        """Return the counts as arrays, AUs in this order."""
        rows = [
            (fold, name, [outcomes[au] for au in aus])
            for fold, subjects in sorted(self.folds.items())
            for name, outcomes in sorted(subjects.items())
        ]
        names = tuple(name for _, name, _ in rows)
        parts = np.array([row for _, _, row in rows], np.int64).reshape(len(rows), len(aus), 4)
        return BySubject(
            counts=Counts(*np.moveaxis(parts, -1, 0)),
            folds=np.array([fold for fold, _, _ in rows], np.int64),
            subjects=names,
            sexes=tuple(self.sexes.get(name, "") for name in names),
        )
