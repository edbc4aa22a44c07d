"""External predictions and the frames of a protocol: every frame gets its prediction."""

import re
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.caption_tables import NO_CAPTIONS
from fauds.datasets import DATASETS
from fauds.datasets.subjects import shortened
from fauds.errors import DataError, UsageError
from fauds.evaluation.evaluate import GroundTruth, Made, Predictions
from fauds.evaluation.external import read as external
from fauds.evaluation.external.frame_names import Sequences
from fauds.evaluation.external.read import ExternalPredictions
from fauds.evaluation.results import ELSEWHERE, MissingFrames
from fauds.facs import intensity_column
from fauds.protocols import folds as folding
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store
from fauds.tables.frames import read_keyed
from fauds.tables.paths import FOLDS, FRAMES

Rule = Literal["refuse", "drop", "inactive"]
_NAMED = 5


@dataclass(frozen=True)
class Placed:
    """Where the predictions belong.

    Attributes:
        rows: of the protocol's frames, those that are scored, rising, int64 [S].
        learnt: those that any fold may train on: these, and what no fold tests, int64 [L].
        source: the prediction of each, -1 where there is none and it counts as inactive, [S].
        missing: protocol frames without a prediction, by subject.
        left_out: predicted frames that nobody coded, of programs that go over whole sequences.
    """

    rows: np.ndarray
    learnt: np.ndarray
    source: np.ndarray
    missing: dict[str, int]
    left_out: int


def place(
    found: ExternalPredictions, frames: pa.Table, folds: pa.Table, rule: Rule, where: object
) -> Placed:
    """Give every frame of the protocol its prediction.

    Args:
        frames: subject, task and frame of all coded frames.
        folds: the protocol's, checked; frames of part 0 are in no test part.
        rule: what becomes of frames without a prediction.

    Raises:
        DataError: frames predicted twice, or that are not the protocol's; predictions by a fold
            that trained on the subject; a fold without any; frames missing where that is refused.
    """
    ids, tasks = (_text(frames[name]) for name in ("subject", "task"))
    pairs = sorted(set(zip(ids.tolist(), tasks.tolist(), strict=True)))
    known = {pair: code for code, pair in enumerate(pairs)}
    asked = _keys(ids, tasks, frames["frame"].to_numpy().astype(np.int64), known)
    given = _keys(found.subjects, found.tasks, found.frames, known)
    fold_of = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    fold = np.array([fold_of[name] for name in ids.tolist()])
    order = np.argsort(asked)
    at = order[np.searchsorted(asked[order], given).clip(max=len(order) - 1)]
    belongs = (asked[at] == given) & (fold[at] > 0)
    left_out = _refuse_others(found, belongs, given, where)
    _refuse_twice(found, given, where)
    _refuse_seen(found, fold_of, where)
    source = np.full(len(asked), -1)
    source[at[belongs]] = np.flatnonzero(belongs)
    _refuse_empty_folds(fold[source >= 0], folds, where)
    tested = fold > 0
    missing = dict(sorted(Counter(ids[tested & (source < 0)].tolist()).items()))
    if missing and rule == "refuse":
        raise _missing_error(missing, int(tested.sum()), where)
    scored = tested if rule == "inactive" else tested & (source >= 0)
    rows = np.flatnonzero(scored)
    return Placed(rows, np.flatnonzero(scored | ~tested), source[rows], missing, left_out)


def _text(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.cast(pa.string()).to_pylist(), np.str_)


def _keys(
    subjects: np.ndarray, tasks: np.ndarray, frames: np.ndarray, known: dict[tuple[str, str], int]
) -> np.ndarray:
    """Return a number for every frame, the same for the same one; negative of other sequences."""
    pairs = zip(subjects.tolist(), tasks.tolist(), strict=True)
    code = np.array([known.get(pair, -1) for pair in pairs], np.int64)
    outside = (code < 0) | (frames < 0) | (frames >= 2**31)
    return np.where(outside, -1, code * 2**31 + frames)


def _refuse_others(
    found: ExternalPredictions, belongs: np.ndarray, given: np.ndarray, where: object
) -> int:
    """Raise where frames are predicted that are not the protocol's; return those left out."""
    others = ~belongs
    # A program that goes over whole videos predicts frames that nobody coded.
    left_out = others & (given >= 0) if found.tracked else np.zeros_like(others)
    wrong = others & ~left_out
    if wrong.any():
        rows = np.flatnonzero(wrong)
        raise DataError(
            f"Predicted frames are not in the protocol ({len(rows):,}): {_named(found, rows)}.",
            where=where,
            hint="give subject, task and frame as fauds captions show names them; leave out what "
            "nobody coded",
        )
    return int(left_out.sum())


def _refuse_twice(found: ExternalPredictions, given: np.ndarray, where: object) -> None:
    order = np.argsort(given, kind="stable")
    same = given[order[1:]] == given[order[:-1]]
    twice = np.sort(order[1:][same & (given[order[1:]] >= 0)])
    if len(twice):
        raise DataError(
            f"Frames are predicted more than once ({len(twice):,}): {_named(found, twice)}.",
            where=where,
            hint="keep one prediction a frame; of several faces in a picture, the subject's",
        )


def _refuse_seen(found: ExternalPredictions, fold_of: dict[str, int], where: object) -> None:
    if found.folds is None:
        return
    pairs = sorted(set(zip(found.subjects.tolist(), found.folds.tolist(), strict=True)))
    wrong = [(who, fold) for who, fold in pairs if who in fold_of and fold_of[who] != fold]
    if wrong:
        who, fold = wrong[0]
        more = f"; so with {len(wrong) - 1} more subjects" if len(wrong) > 1 else ""
        raise DataError(
            f"{who} is predicted by fold {fold}, and is tested by fold {fold_of[who]}: fold "
            f"{fold} has trained on {who}{more}.",
            where=where,
            hint="fold k tests part k; where other code numbers its folds otherwise, renumber them",
        )


def _refuse_empty_folds(there: np.ndarray, folds: pa.Table, where: object) -> None:
    """Raise where a fold has no prediction: `there` are the folds of the predicted frames."""
    for number in sorted(set(folding.tested(folds)) - set(there.tolist())):
        names = folds.filter(pc.equal(folds["fold"], number))["subject"].to_pylist()
        raise DataError(
            f"Nothing is predicted of fold {number}, which tests {shortened(sorted(names))}.",
            where=where,
            hint="predict the test parts of all folds",
        )


def _named(found: ExternalPredictions, rows: np.ndarray) -> str:
    keys = [
        "/".join(
            str(part) for part in (found.subjects[i], found.tasks[i], found.frames[i]) if part != ""
        )
        for i in rows[:_NAMED].tolist()
    ]
    return ", ".join(keys) + (f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else "")


def _missing_error(missing: dict[str, int], asked: int, where: object) -> DataError:
    by_subject = shortened([f"{name} {count:,}" for name, count in missing.items()])
    return DataError(
        f"{sum(missing.values()):,} of the protocol's {asked:,} frames have no prediction: "
        f"{by_subject}.",
        where=where,
        hint="predict them; or --missing drop scores without them, which makes it another frame "
        "set; or --missing inactive scores them as inactive",
    )


_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class ScoreRequest:
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


def _check_rule(rule: str, benchmark: Benchmark) -> None:
    if rule not in get_args(Rule):
        raise UsageError(
            f"There is no rule {rule!r} for missing predictions.",
            where="missing",
            hint=f"there is: {', '.join(get_args(Rule))}",
        )
    if rule == "inactive" and benchmark.target.form != "multilabel":
        raise UsageError(
            f"Frames without a prediction cannot count as inactive: {benchmark.name} predicts one "
            f"{benchmark.target.noun} a frame.",
            where="missing",
            hint="predict them, or leave them out: --missing drop",
        )


def match(
    tables: Path, benchmark: Benchmark, request: ScoreRequest, say: Callable[[str], None]
) -> tuple[Predictions, GroundTruth]:
    """Read external predictions, and give every frame of the protocol its prediction.

    Args:
        tables: the dataset's folder, with frames and folds.
        say: takes what was read, and what was not, line by line.

    Raises:
        UsageError: a name that cannot be one, or no file to read.
        DataError: the predictions are not of this protocol; what differs is said.
    """
    model = request.model
    _check_rule(request.missing or benchmark.missing_predictions, benchmark)
    target, frames_path = benchmark.target, tables / FRAMES
    rule = request.missing or benchmark.missing_predictions
    meta = store.read_meta(frames_path)
    graded = [
        name
        for name in map(intensity_column, target.described)
        if name in store.column_names(frames_path)
    ]
    keys = ["frame_id", "subject", "task", "frame", "sex"]
    frames = read_keyed(frames_path, [*keys, *target.columns, *graded])
    folds = store.read_table(tables / FOLDS).replace_schema_metadata(None)
    counts = folding.count_subjects(frames, target)
    folding.check(folds, counts.subjects, tables / FOLDS)
    sequences = Sequences(
        frames, meta["reader"] and DATASETS[meta["reader"]], meta["settings"].get("image_base")
    )
    found = external.read(
        request.path, target.names, (benchmark.name, benchmark.version), sequences
    )
    for line in found.notes:
        say(line)
    placed = place(found, frames, folds, rule, request.path)
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
    scores = {name: _placed(found.occurrence[name], placed) for name in target.names}
    command = ["fauds", "score", str(request.path), "--dataset", benchmark.name]
    command += ["--name", model, "--missing", rule]
    dropped = rule == "drop" and placed.missing
    made = Made(
        model=model,
        preset=ELSEWHERE,
        settings={
            "predictions": str(request.path.resolve()),
            "files": found.sources,
            "missing": rule,
        },
        command=shlex.join(command),
        selection=ELSEWHERE,
        alignment="not known: predictions made elsewhere",
        frame_set="every coded frame with a prediction" if dropped else "every coded frame",
        pretraining="not known: predictions made elsewhere",
        computed_on=[ELSEWHERE],
    )
    predictions = Predictions(
        table=pa.table({name: values.astype(np.float32) for name, values in scores.items()}),
        made=made,
        intensities={au: _placed(values, placed) for au, values in given.items()},
    )
    labels = GroundTruth(
        frames=kept,
        fold=np.array([fold_of[name] for name in subjects]),
        folds=folds,
        tested=folding.tested(folds),
        statistics=folding.statistics(folding.count_subjects(learnt, target), folds, target),
        synthetic=meta["synthetic"],
        offered=folding.offered(counts, folds),
        without_image={},
        provenance={
            "reading": meta["settings"],
            "differences": meta["differences"],
            "captions": NO_CAPTIONS,
        },
        missing=MissingFrames(rule=rule, frames=placed.missing),
    )
    return predictions, labels


def _placed(values: np.ndarray, placed: Placed) -> np.ndarray:
    """Return the values of the scored frames; 0 where there is none."""
    return np.where(placed.source >= 0, values[placed.source], 0.0)


def _say_placed(placed: Placed, rule: Rule, say: Callable[[str], None]) -> None:
    if placed.left_out:
        say(f"left out: {placed.left_out:,} frames that nobody coded")
    if placed.missing:
        done = "are not scored" if rule == "drop" else "are scored as inactive"
        say(f"{sum(placed.missing.values()):,} frames without a prediction {done}")
