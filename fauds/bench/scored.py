"""Scored predictions that were made elsewhere, to what results.json says of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds import folds as folding
from fauds import store
from fauds.bench import score
from fauds.bench.environment import versions
from fauds.bench.figures import figures
from fauds.bench.results import ELSEWHERE, Missing, Protocol, Results
from fauds.bench.score import FoldScores, Intensities
from fauds.facs import intensity_column
from fauds.protocols import Benchmark


@dataclass(frozen=True)
class Scored:
    """Predictions that are the protocol's.

    Attributes:
        meta: of frames.parquet; offered: how many frames of its tested subjects it has.
        frames: those that are scored; fold: which tests each, int [S].
        statistics: of the folds, over the frames that are there.
        probabilities: float32 [S, A]; intensities: by AU, float64 [S].
    """

    benchmark: Benchmark
    meta: dict[str, Any]
    offered: int
    folds: pa.Table
    frames: pa.Table
    statistics: pa.Table
    fold: np.ndarray
    probabilities: np.ndarray
    intensities: dict[str, np.ndarray]
    missing: Missing


def results_of(scored: Scored, model: str, settings: dict[str, Any], command: str) -> Results:
    """Return results.json.

    Args:
        model: what made the predictions.
        settings: where they came from.
        command: what scores them again.
    """
    benchmark, aus = scored.benchmark, scored.benchmark.aus
    numbers = folding.tested(scored.folds)
    # Told of all folds at once: one that happens to have 0 and 1 alone has probabilities too.
    graded = not np.isin(scored.probabilities, (0, 1)).all()
    folds = {fold: _fold_scores(scored, fold, graded) for fold in numbers}
    ids, sexes = (scored.frames[name].cast(pa.string()).to_pylist() for name in ("subject", "sex"))
    subjects = {fold: np.array(ids)[scored.fold == fold] for fold in numbers}
    sex_of = dict(zip(ids, sexes, strict=True))
    found = figures(folds, subjects, sex_of, aus, benchmark.metric.threshold, ELSEWHERE)
    protocol = _protocol(scored)
    return Results(
        benchmark=benchmark.name,
        benchmark_version=benchmark.version,
        protocol=protocol,
        protocol_hash=store.fingerprint(protocol.model_dump(mode="json")),
        synthetic=scored.meta["synthetic"],
        model=model,
        preset=ELSEWHERE,
        settings=settings,
        seeds=[],
        pretraining="not known: predictions made elsewhere",
        versions=versions(),
        command=command,
        frames_fingerprint=score.frame_set_fingerprint(scored.frames, aus),
        frames_offered=scored.offered,
        frames_scored=len(scored.frames),
        frames_without_image={},
        undefined=found.undefined,
        seconds=0.0,
        computed_on=[ELSEWHERE],
        provenance={
            "reading": scored.meta["settings"],
            "differences": scored.meta["differences"],
            "captions": {"language": "none", "templates": "none"},
        },
        metrics=found.metrics,
        summary=found.summary,
        uncertainty=found.uncertainty,
        subject_counts=found.subject_counts,
        missing=scored.missing,
    )


def _protocol(scored: Scored) -> Protocol:
    benchmark, parts = scored.benchmark, scored.folds
    tested = {
        fold: sorted(parts.filter(pc.equal(parts["fold"], fold))["subject"].to_pylist())
        for fold in folding.tested(parts)
    }
    dropped = scored.missing.rule == "drop" and scored.missing.frames
    return Protocol(
        folds=parts["protocol"][0].as_py(),
        test_subjects=tested,
        aus=list(benchmark.aus),
        occurrence=benchmark.occurrence,
        threshold=benchmark.metric.threshold,
        selection=ELSEWHERE,
        alignment="not known: predictions made elsewhere",
        frame_set="every coded frame with a prediction" if dropped else "every coded frame",
    )


def _fold_scores(scored: Scored, fold: int, graded: bool) -> FoldScores:
    aus, mine = scored.benchmark.aus, scored.fold == fold
    statistics = scored.statistics.filter(pc.equal(scored.statistics["fold"], fold))
    frames = np.maximum(statistics["train_frames"].to_numpy(), 1)
    tested = scored.frames.filter(pa.array(mine))
    measured = list(scored.intensities)
    return FoldScores(
        labels=_filled(tested, aus),
        probabilities=scored.probabilities[mine],
        prevalence=statistics["train_positives"].to_numpy() / frames,
        intensities=Intensities(
            measured,
            _filled(tested, [intensity_column(au) for au in measured]),
            np.stack([scored.intensities[au][mine] for au in measured], axis=1),
        )
        if measured
        else None,
        graded=graded,
    )


def _filled(table: pa.Table, names: list[str] | tuple[str, ...]) -> np.ndarray:
    """Return columns as int8 [N, len(names)], -1 where null."""
    return np.stack([pc.fill_null(table[name], -1).to_numpy() for name in names], axis=1)
