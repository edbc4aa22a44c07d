"""All figures of a run from its folds' scores, for models of fauds and for others alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fauds.bench import groups, score
from fauds.bench.counts import SubjectCounts, by_subject
from fauds.bench.results import MetricRow, Uncertainty
from fauds.bench.rows import MetricRows
from fauds.bench.score import FoldScores
from fauds.targets.base import Target


@dataclass(frozen=True)
class RunFigures:
    """What results.json says of a run's predictions; see `fauds.bench.results.Results`."""

    metrics: list[MetricRow]
    summary: dict[str, float | None]
    undefined: list[str]
    uncertainty: Uncertainty
    subject_counts: SubjectCounts


def run_figures(
    folds: Mapping[int, FoldScores],
    subjects: Mapping[int, np.ndarray],
    sexes: Mapping[str, str | None],
    target: Target,
    threshold: float,
    selection: str,
) -> RunFigures:
    """Return all figures of a run.

    Args:
        folds: what each fold's test part gave.
        subjects: by fold, whose each frame of its test part is, str [N].
        sexes: F or M of the subjects of whom it is known.
        selection: how the epoch was chosen.
    """
    rows = MetricRows(target, selection)
    whose = np.concatenate([subjects[fold] for fold in folds])
    labels = np.concatenate([scores.labels for scores in folds.values()])
    scores = np.concatenate([fold.scores for fold in folds.values()])
    of = np.concatenate([np.full(len(scores.labels), fold) for fold, scores in folds.items()])
    decisions = target.decide(scores, threshold)
    counted = by_subject(target, labels, decisions, of, whose, sexes)
    coded = whose[(target.indicators(labels) >= 0).any(axis=1)]
    number = dict(
        zip(*(part.tolist() for part in np.unique(coded, return_counts=True)), strict=True)
    )
    frames = np.array([number.get(subject, 0) for subject in counted.subjects])
    lines = score.metric_rows(folds, threshold, rows)
    lines = [
        *groups.with_intervals(lines, counted, rows),
        *groups.sex_rows(counted, frames, rows),
        *groups.subject_rows(counted, frames, rows),
    ]
    return RunFigures(
        metrics=lines,
        summary=score.summary(lines, target, _measures(folds)),
        undefined=score.undefined(lines, target),
        uncertainty=groups.uncertainty(),
        subject_counts=SubjectCounts.of(counted, target),
    )


def _measures(folds: Mapping[int, FoldScores]) -> list[str]:
    """Return the names of the model's own measures, without those of their baselines."""
    names = dict.fromkeys(name for scores in folds.values() for name in scores.measures)
    return [name for name in names if not name.endswith("_no_image")]
