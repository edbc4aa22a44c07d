"""Additive counts of every subject: what results.json carries so that runs can be compared.

Intervals and paired tests resample subjects, and a figure of any resample follows from its
subjects' counts: whoever has two results files can compare them, without images, labels or
predictions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from fauds.metrics.resampling import Additive
from fauds.targets.base import Target

Outcomes = tuple[NonNegativeInt, ...]
"""Of one subject and name: how many frames had each outcome, as the target lists them."""


@dataclass(frozen=True)
class BySubject:
    """Counts of G subjects.

    Attributes:
        counts: [G, ...], as the target counts.
        folds: the fold that tested each subject, int64 [G].
        subjects: their ids, in the order of fold and id.
        sexes: "F" or "M" of each; "" where it is not known.
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
    """Count the decisions about every subject's frames.

    Args:
        labels: of the target, [N, ...]; decisions: bool [N, A].
        folds: the fold that tested each frame, int [N]; subjects: whose it is, str [N].
        sexes: "F" or "M" of the subjects of whom it is known.
    """
    whose = np.rec.fromarrays([np.asarray(folds, np.int64), np.asarray(subjects, np.str_)])
    groups, of = np.unique(whose, return_inverse=True)
    names = tuple(groups.f1.tolist())
    return BySubject(
        counts=target.count_by(labels, decisions, of, len(groups)),
        folds=groups.f0,
        subjects=names,
        sexes=tuple(sexes.get(name) or "" for name in names),
    )


class SubjectCounts(BaseModel):
    """The same as it stands in results.json.

    Attributes:
        folds: fold, subject, name (AU or class) to its outcomes; of AU occurrence tp, fp, fn, tn.
        sexes: "F" or "M" of the subjects of whom it is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folds: dict[int, dict[str, dict[str, Outcomes]]]
    sexes: dict[str, str] = {}

    @classmethod
    def of(cls, counted: BySubject, target: Target) -> "SubjectCounts":
        """Return counts as results.json holds them."""
        outcomes = target.outcomes(counted.counts).tolist()
        folds: dict[int, dict[str, dict[str, Outcomes]]] = {}
        for fold, name, row in zip(counted.folds.tolist(), counted.subjects, outcomes, strict=True):
            by_name = dict(zip(target.names, map(tuple, row), strict=True))
            folds.setdefault(fold, {})[name] = by_name
        known = zip(counted.subjects, counted.sexes, strict=True)
        return cls(folds=folds, sexes={name: sex for name, sex in known if sex})

    def grouped(self, target: Target) -> BySubject:
        """Return the counts as arrays.

        Raises:
            ValueError: they are not of this target's outcomes.
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
