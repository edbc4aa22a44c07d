"""All figures of a run from its folds' scores, for models of fauds and for others alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fauds.bench import groups, score
from fauds.bench.counts import SubjectCounts, by_subject
from fauds.bench.results import MetricRow, Summary, Uncertainty
from fauds.bench.score import FoldScores
from fauds.metrics.occurrence import decide


@dataclass(frozen=True)
class Figures:
    """What results.json says of a run's predictions; see `fauds.bench.results.Results`."""

    metrics: list[MetricRow]
    summary: Summary
    undefined: list[str]
    uncertainty: Uncertainty
    subject_counts: SubjectCounts


def figures(
    folds: Mapping[int, FoldScores],
    subjects: Mapping[int, np.ndarray],
    sexes: Mapping[str, str | None],
    aus: Sequence[str],
    threshold: float,
    selection: str,
) -> Figures:
    """Return all figures of a run.

    Args:
        folds: what each fold's test part gave.
        subjects: by fold, whose each frame of its test part is, str [N].
        sexes: F or M of the subjects of whom it is known.
        selection: how the epoch was chosen.
    """
    whose = np.concatenate([subjects[fold] for fold in folds])
    labels = np.concatenate([scores.labels for scores in folds.values()])
    probabilities = np.concatenate([scores.probabilities for scores in folds.values()])
    of = np.concatenate([np.full(len(scores.labels), fold) for fold, scores in folds.items()])
    found = by_subject(labels, decide(probabilities, threshold), of, whose, sexes)
    coded = whose[(labels >= 0).any(axis=1)]
    number = dict(
        zip(*(part.tolist() for part in np.unique(coded, return_counts=True)), strict=True)
    )
    frames = np.array([number.get(subject, 0) for subject in found.subjects])
    rows = score.metric_rows(folds, aus, threshold, selection)
    rows = [
        *groups.with_intervals(rows, found, aus, selection),
        *groups.sex_rows(found, frames, aus, selection),
        *groups.subject_rows(found, frames, selection),
    ]
    return Figures(
        metrics=rows,
        summary=score.summary(rows),
        undefined=score.undefined(rows),
        uncertainty=groups.uncertainty(),
        subject_counts=SubjectCounts.of(found, aus),
    )
