"""Predictions made elsewhere against the protocol: every frame once, in its fold, none besides."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds import folds as folding
from fauds.bench.external import ExternalPredictions
from fauds.datasets.subjects import shortened
from fauds.errors import DataError

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
