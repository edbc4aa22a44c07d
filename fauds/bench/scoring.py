"""Predictions made elsewhere to a run folder with the same results as a run of the bench."""

import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from fauds import folds as folding
from fauds import schemas, store
from fauds.bench import external
from fauds.bench import results as results_file
from fauds.bench.framenames import Sequences
from fauds.bench.placing import Placed, Rule, place
from fauds.bench.results import ELSEWHERE, SETTINGS, Missing
from fauds.bench.scored import Scored, results_of
from fauds.datasets import DATASETS
from fauds.errors import DataError, UsageError
from fauds.facs import intensity_column
from fauds.protocols import Benchmark

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Request:
    """What the user asked of ``fauds score``.

    Attributes:
        path: the predictions: a file, a folder of files, or a run.
        name: what made them; None for the name of the file.
        missing: what becomes of frames of the protocol without a prediction; None for the
            benchmark's rule.
    """

    path: Path
    name: str | None = None
    missing: Rule | None = None

    @property
    def model(self) -> str:
        """What results call the model.

        Raises:
            UsageError: the name cannot be a folder's.
        """
        if self.name is None:
            plain = re.sub(r"[^\w.+-]", "-", self.path.resolve().stem, flags=re.ASCII)
            return plain.strip("-._")[:64] or "predictions"
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot be a name: letters, digits and . _ + - alone.",
                where="--name",
            )
        return self.name


def score_predictions(
    tables: Path, benchmark: Benchmark, request: Request, say: Callable[[str], None]
) -> Path:
    """Check predictions against a benchmark's protocol, score them, and write a run's folder.

    Args:
        tables: the dataset's folder, with frames and folds.
        say: takes what was read, and what was not, line by line.

    Returns:
        The run's folder, with settings.yaml, folds.parquet, predictions and results.json.

    Raises:
        UsageError: a name that cannot be one, or no file to read.
        DataError: the predictions are not of this protocol; what differs is said.
    """
    model = request.model
    rule = request.missing or benchmark.missing_predictions
    found, scored = _read(tables, benchmark, request.path, rule, say)
    runs = tables / "runs"
    folder = _claimed(runs, f"score-{model}-{time.strftime('%Y%m%d-%H%M%S')}")
    settings = {
        "predictions": str(request.path.resolve()),
        "files": found.sources,
        "missing": rule,
    }
    saved = {
        "benchmark": benchmark.name,
        "benchmark_version": benchmark.version,
        "model": model,
        "preset": ELSEWHERE,
        "changes": [],
        "folds": [],
        "faces": None,
        "settings": settings,
    }
    with store.lock(folder):
        store.write_text(folder / SETTINGS, yaml.safe_dump(saved, sort_keys=False))
        source = tables / "folds.parquet"
        store.write_table(folder / source.name, scored.folds, store.read_meta(source))
        _write_predictions(folder, scored, settings)
        command = ["fauds", "score", str(request.path), "--dataset", benchmark.name]
        command += ["--name", model, "--missing", rule]
        results = results_of(scored, model, settings, shlex.join(command))
        results_file.write(folder, results)
    return folder


def _claimed(runs: Path, name: str) -> Path:
    """Make a folder that is not there yet, for this process alone."""
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise DataError("There is no name left for another run of this second.", where=runs)


def _read(
    tables: Path,
    benchmark: Benchmark,
    path: Path,
    rule: Rule,
    say: Callable[[str], None],
) -> tuple[external.Predictions, Scored]:
    aus, frames_path = benchmark.aus, tables / "frames.parquet"
    meta = store.read_meta(frames_path)
    graded = [
        name for name in map(intensity_column, aus) if name in store.column_names(frames_path)
    ]
    keys = ["frame_id", "subject", "task", "frame", "sex"]
    frames = store.read_table(frames_path, [*keys, *aus, *graded])
    folds = store.read_table(tables / "folds.parquet").replace_schema_metadata(None)
    counts = folding.count_subjects(frames, aus)
    folding.check(folds, counts.subjects, tables / "folds.parquet")
    sequences = Sequences(
        frames, meta["reader"] and DATASETS[meta["reader"]], meta["settings"].get("image_base")
    )
    found = external.read(path, aus, (benchmark.name, benchmark.version), sequences)
    for line in found.notes:
        say(line)
    placed = place(found, frames, folds, rule, path)
    _say_placed(placed, rule, say)
    fold_of = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    kept = frames.take(pa.array(placed.rows))
    learnt = frames.take(pa.array(placed.learnt))
    subjects = kept["subject"].cast(pa.string()).to_pylist()
    given = {
        au: values for au, values in found.intensities.items() if intensity_column(au) in graded
    }
    uncoded = [au for au in found.intensities if au not in given]
    if uncoded:
        say(f"not scored, intensities that nobody coded: {', '.join(uncoded)}")
    probabilities = np.stack([_placed(found.occurrence[au], placed) for au in aus], axis=1)
    return found, Scored(
        benchmark=benchmark,
        meta=meta,
        offered=folding.offered(counts, folds),
        folds=folds,
        frames=kept,
        statistics=folding.statistics(folding.count_subjects(learnt, aus), folds, aus),
        fold=np.array([fold_of[name] for name in subjects]),
        probabilities=probabilities.astype(np.float32),
        intensities={au: _placed(values, placed) for au, values in given.items()},
        missing=Missing(rule=rule, frames=placed.missing),
    )


def _placed(values: np.ndarray, placed: Placed) -> np.ndarray:
    """Return the values of the scored frames; 0 where there is none."""
    return np.where(placed.source >= 0, values[placed.source], 0.0)


def _say_placed(placed: Placed, rule: Rule, say: Callable[[str], None]) -> None:
    if placed.left_out:
        say(f"left out: {placed.left_out:,} frames that nobody coded")
    if placed.missing:
        done = "are not scored" if rule == "drop" else "are scored as inactive"
        say(f"{sum(placed.missing.values()):,} frames without a prediction {done}")


def _write_predictions(folder: Path, scored: Scored, settings: dict[str, Any]) -> None:
    aus = scored.benchmark.aus
    schema = schemas.predictions_schema(aus)
    meta = {
        "inputs": store.fingerprint(settings["files"]),
        "settings": {
            "benchmark": scored.benchmark.name,
            "benchmark_version": scored.benchmark.version,
        },
    }
    keys = [scored.frames[name] for name in schema.names[:4]]
    columns = [*keys, pa.array(scored.fold), *map(pa.array, scored.probabilities.T)]
    table = pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)
    for au, values in scored.intensities.items():
        table = table.append_column(intensity_column(au), pa.array(values, pa.float32()))
    for fold in folding.tested(scored.folds):
        mine = table.filter(pa.array(scored.fold == fold))
        store.write_table(folder / f"fold{fold}" / "predictions.parquet", mine, meta)
