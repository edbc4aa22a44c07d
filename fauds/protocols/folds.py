"""Subjects to folds: published lists or seeded random ones, and what they mean for training.

Fold k tests part k; its training part is every other subject. A subject is in exactly one part.
Part 0, where there is one, is tested by no fold: its subjects are trained on always.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fauds.errors import DataError, UsageError
from fauds.protocols.benchmark import Folds
from fauds.tables import schemas
from fauds.tables.paths import FOLDS, FRAMES
from fauds.targets.base import Target

DEFAULT = 3
"""Folds where neither the protocol nor the user says how many."""


@dataclass(frozen=True)
class LabelCounts:
    """Of S subjects, sorted by id: frames and sexes [S]; coded frames and positives [S, A].

    Positives are the frames of which a name of the target (an AU, a class) is true.
    """

    subjects: tuple[str, ...]
    sexes: tuple[str | None, ...]
    frames: np.ndarray
    coded: np.ndarray
    positives: np.ndarray


def count_subjects(frames: pa.Table, target: Target) -> LabelCounts:
    """Count frames and positives by subject; the order of the rows does not matter.

    Args:
        frames: subject, sex and the target's columns.
    """
    column = frames["subject"].combine_chunks()
    ids = column.dictionary.to_pylist()
    codes = column.indices.to_numpy()
    present = np.unique(codes)
    order = present[np.argsort([ids[code] for code in present])]
    rank = np.full(len(ids), -1)
    rank[order] = np.arange(len(order))
    rows = rank[codes]
    subjects = tuple(ids[code] for code in order)
    labels = target.indicators(target.labels(frames)).T
    size = len(order)
    return LabelCounts(
        subjects=subjects,
        sexes=_sexes(frames, rows, size),
        frames=np.bincount(rows, minlength=size),
        coded=np.stack([np.bincount(rows[y >= 0], minlength=size) for y in labels], axis=1),
        positives=np.stack([np.bincount(rows[y == 1], minlength=size) for y in labels], axis=1),
    )


def _sexes(frames: pa.Table, rows: np.ndarray, size: int) -> tuple[str | None, ...]:
    first = np.full(size, -1)
    first[rows[::-1]] = np.arange(len(rows))[::-1]
    return tuple(frames["sex"].take(pa.array(first)).to_pylist())


def choose(
    dataset: str, listed: Folds | None, subjects: int, k: int | None, method: str | None
) -> tuple[str, int]:
    """Return "published" or "random", and how many folds; where not asked for, the protocol's.

    Args:
        listed: the protocol's folds, None where it has none.
        subjects: how many have frames.
        k: how many folds are asked for; None for as many as the protocol has, else 3.
        method: what is asked for; None for published where there are k.

    Raises:
        UsageError: published folds are asked for that do not exist.
    """
    there = 0
    if listed is not None:
        there = len(listed.parts) if listed.rule == "listed" else subjects
    wanted = k or (there if method != "random" and there else DEFAULT)
    if method == "published" and wanted != there:
        has = f"{there} folds" if there else "no folds"
        raise UsageError(f"{dataset} has {has} published, not {wanted}.", hint="--method random")
    return method or ("published" if wanted == there else "random"), wanted


def published(counts: LabelCounts, folds: Folds) -> pa.Table:
    """Return a protocol's own folds: of its list, or by its rule.

    Raises:
        DataError: a subject of the list has no frames, or one with frames is not in the list; a
            rule leaves nobody to train on.
    """
    if folds.rule == "leave-one-subject-out":
        if len(counts.subjects) < 2:
            raise DataError(
                f"{folds.name} needs two subjects or more; read was {counts.subjects[0]} alone.",
                where=FRAMES,
                hint="give the whole release to --root",
            )
        return _table(counts.subjects, range(1, len(counts.subjects) + 1), folds.name)
    part = {subject: k for k, subjects in folds.parts.items() for subject in subjects}
    missing = sorted(set(part) - set(counts.subjects))
    extra = sorted(set(counts.subjects) - set(part))
    if missing or extra:
        lines = [f"without frames: {', '.join(missing)}"] if missing else []
        lines += [f"not in the list: {', '.join(extra)}"] if extra else []
        raise DataError(
            f"The subjects read are not those of {folds.name}; {'; '.join(lines)}.",
            where=FRAMES,
            hint="give the whole release to --root, or use --method random, whose results do not "
            "stand beside published ones",
        )
    return _table(counts.subjects, [part[subject] for subject in counts.subjects], folds.name)


def across(counts: LabelCounts, trained: Collection[str], protocol: str) -> pa.Table:
    """Return the one fold that tests every subject but those that are only trained on."""
    parts = [0 if subject in trained else 1 for subject in counts.subjects]
    return _table(counts.subjects, parts, protocol)


def tested(folds: pa.Table) -> list[int]:
    """Return the numbers of the folds: of the parts that are tested."""
    return sorted(set(folds["fold"].to_pylist()) - {0})


def offered(counts: LabelCounts, folds: pa.Table) -> int:
    """Return how many frames the subjects that folds test have."""
    part = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    is_tested = [part[subject] != 0 for subject in counts.subjects]
    return int(counts.frames[is_tested].sum())


def random(counts: LabelCounts, k: int, seed: int) -> pa.Table:
    """Return seeded, subject-exclusive folds, balanced for AU occurrence, frames and sex.

    Start from a shuffled deal of subjects (sizes differ by one at most), then swap pairs between
    folds while that brings the folds' totals nearer to each other.

    Raises:
        UsageError: fewer subjects than folds, or fewer than two folds.
    """
    size = len(counts.subjects)
    if not 2 <= k <= size:
        raise UsageError(
            f"{k} folds cannot be made of {size} subjects.", hint=f"give --folds 2 to {size}"
        )
    features = _balance_features(counts)
    generator = np.random.default_rng([seed, k])
    assignment = np.empty(size, dtype=np.int64)
    assignment[generator.permutation(size)] = np.arange(size) % k
    _improve(assignment, features, k)
    return _table(counts.subjects, assignment + 1, f"random-{k}fold-seed{seed}")


def _balance_features(counts: LabelCounts) -> np.ndarray:
    sexes = np.array([sex or "" for sex in counts.sexes])
    one_hot = np.stack([sexes == sex for sex in np.unique(sexes)], axis=1)
    raw = np.concatenate([counts.positives, counts.frames[:, None], one_hot], axis=1).astype(float)
    features: np.ndarray = raw / np.maximum(raw.sum(axis=0), 1)
    return features


def _improve(assignment: np.ndarray, features: np.ndarray, k: int) -> None:
    totals = np.stack([features[assignment == fold].sum(axis=0) for fold in range(k)])
    while True:
        # A swap of i and j changes only their two folds' totals, by their difference.
        difference = features[None, :, :] - features[:, None, :]
        own, other = totals[assignment][:, None, :], totals[assignment][None, :, :]
        gain = (2 * difference * (other - own - difference)).sum(axis=2)
        gain[assignment[:, None] == assignment[None, :]] = 0
        i, j = np.unravel_index(np.argmax(gain), gain.shape)
        if gain[i, j] <= 1e-12:
            return
        step = features[j] - features[i]
        totals[assignment[i]] += step
        totals[assignment[j]] -= step
        assignment[i], assignment[j] = assignment[j], assignment[i]


def _table(subjects: Sequence[str], folds: Sequence[int] | np.ndarray, protocol: str) -> pa.Table:
    rows = [list(subjects), [int(fold) for fold in folds], [protocol] * len(subjects)]
    return pa.table(rows, schema=schemas.FOLDS_SCHEMA)


def check(folds: pa.Table, subjects: Sequence[str], where: object = FOLDS) -> None:
    """Check that every subject is in exactly one part and that folds count 1 to k.

    Raises:
        DataError: a subject in two folds or in none, a fold without subjects, a wrong schema.
    """
    if not folds.schema.equals(schemas.FOLDS_SCHEMA, check_metadata=False):
        raise DataError(
            f"The columns are {folds.schema.names}, "
            f"not {schemas.FOLDS_SCHEMA.names} with their types.",
            where=where,
            hint="make it with fauds split",
        )
    listed = Counter(folds["subject"].to_pylist())
    twice = sorted(subject for subject, times in listed.items() if times > 1)
    absent = sorted(set(subjects) - set(listed))
    numbers = tested(folds)
    least = 1 if 0 in folds["fold"].to_pylist() else 2
    for bad, what in ((twice, "in more than one fold"), (absent, "in no fold")):
        if bad:
            raise DataError(
                f"{'Subjects are' if len(bad) > 1 else 'A subject is'} {what}: {', '.join(bad)}.",
                where=where,
                hint="folds must be subject-exclusive and complete; make them with fauds split",
            )
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < least:
        raise DataError(f"Folds must be numbered 1 to k, found {numbers}.", where=where)


def statistics(counts: LabelCounts, folds: pa.Table, target: Target) -> pa.Table:
    """Return the statistics of every fold and name, with the target's class weights.

    A weight is null where the training part has no frame of which the name is true.
    """
    names = target.names
    fold_of = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    number = np.array([fold_of[subject] for subject in counts.subjects])
    tables = []
    for fold in tested(folds):
        test = number == fold
        frames, positives = counts.coded[~test].sum(axis=0), counts.positives[~test].sum(axis=0)
        weights = target.class_weights(frames, positives)
        columns = [
            np.full(len(names), fold, dtype=np.int16),
            list(names),
            frames,
            positives,
            counts.coded[test].sum(axis=0),
            counts.positives[test].sum(axis=0),
            pa.array(weights, mask=np.isnan(weights)),
        ]
        tables.append(pa.table(columns, schema=schemas.FOLD_STATISTICS_SCHEMA))
    return pa.concat_tables(tables)
