"""Assigning subjects to folds, published or random, and the label statistics of each fold.

Every subject is in exactly one part, a numbered set of subjects. Fold k tests the subjects of part
k and trains on all other subjects. The subjects of part 0, if there are any, are trained on in
every fold and never tested.

Where a dataset does not say who is on an image, the parts "train" and "test" of the release's own
split take the place of subjects.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fauds.errors import DataError, UsageError
from fauds.protocols.benchmark import Folds
from fauds.tables import schemas
from fauds.tables.columns import from_strings
from fauds.tables.frames import split_groups, subjects_known
from fauds.tables.paths import FOLDS, FRAMES
from fauds.tables.schemas import SPLIT
from fauds.targets.base import Target

DEFAULT_FOLDS = 3
"""The number of folds if neither the protocol nor the user sets a number."""


@dataclass(frozen=True)
class LabelCounts:
    """The numbers of frames and labels of each subject.

    Attributes:
        subjects: the ids of the S subjects, sorted. Images of unknown subjects are counted under
            their part of the release's own split, "train" or "test".
        sexes: the sex of each subject: F, M, or None if it is not known.
        frames: the number of frames of each subject, int64 [S].
        coded: the number of each subject's frames that have a label for each of the A action units
            (AUs) or classes, int64 [S, A].
        positives: the number of each subject's frames in which each AU occurs, or which are of
            each class, int64 [S, A].
        splits: the part of the release's own split, "train" or "test", that each subject belongs
            to; None if the release has no split, or the subject is in both parts.
        known: whether the subject of every frame is known.
    """

    subjects: tuple[str, ...]
    sexes: tuple[str | None, ...]
    frames: np.ndarray
    coded: np.ndarray
    positives: np.ndarray
    splits: tuple[str | None, ...]
    known: bool


def count_subjects(frames: pa.Table, target: Target) -> LabelCounts:
    """Return how many frames each subject has, and in how many frames each action unit occurs.

    Args:
        frames: a table with one row per frame, in any order, and the columns subject, sex and the
            label columns of the target; and split, if the dataset has one.
        target: what the protocol predicts: the occurrence of action units (AUs), or classes, which
            are counted like AUs.
    """
    known = subjects_known(frames)
    column = frames["subject"].combine_chunks()
    if not known:
        column = from_strings(split_groups(frames).tolist()).dictionary_encode()
    ids = column.dictionary.to_pylist()
    codes = column.indices.to_numpy()
    present = np.unique(codes)
    order = present[np.argsort([ids[code] for code in present])]
    position = np.full(len(ids), -1)
    position[order] = np.arange(len(order))
    rows = position[codes]
    subjects = tuple(ids[code] for code in order)
    labels = target.indicators(target.labels(frames)).T
    size = len(order)
    return LabelCounts(
        subjects=subjects,
        sexes=_of_first_frames(frames["sex"], rows, size) if known else (None,) * size,
        frames=np.bincount(rows, minlength=size),
        coded=np.stack([np.bincount(rows[y >= 0], minlength=size) for y in labels], axis=1),
        positives=np.stack([np.bincount(rows[y == 1], minlength=size) for y in labels], axis=1),
        splits=_splits(frames, rows, size),
        known=known,
    )


def _of_first_frames(
    column: pa.ChunkedArray, rows: np.ndarray, size: int
) -> tuple[str | None, ...]:
    """Return a column's value in the first frame of each of S subjects.

    Args:
        column: the column of the frames table, with N rows.
        rows: the number of each frame's subject, 0 to S - 1, int64 [N].
        size: the number of subjects, S.
    """
    first_rows = np.full(size, -1)
    first_rows[rows[::-1]] = np.arange(len(rows))[::-1]
    return tuple(column.take(pa.array(first_rows)).to_pylist())


def _splits(frames: pa.Table, rows: np.ndarray, size: int) -> tuple[str | None, ...]:
    if SPLIT not in frames.column_names:
        return (None,) * size
    first = _of_first_frames(frames[SPLIT], rows, size)
    splits = np.array([name or "" for name in frames[SPLIT].to_pylist()], np.str_)
    agree = splits == np.array([name or "" for name in first], np.str_)[rows]
    in_both = np.bincount(rows[~agree], minlength=size) > 0
    return tuple(None if both else name for name, both in zip(first, in_both, strict=True))


def choose_method(
    dataset: str, listed: Folds | None, subjects: int, k: int | None, method: str | None
) -> tuple[str, int]:
    """Return the method of making folds, "published" or "random", and the number of folds.

    Args:
        dataset: the name of the dataset, for error messages.
        listed: the folds that the protocol states; None if it states none.
        subjects: the number of subjects that have frames.
        k: the number of folds that the user sets. None for the number in the protocol, or for 3
            if the protocol states no folds or the method is "random".
        method: the method that the user sets. None for "published" if the protocol states this
            number of folds, and for "random" otherwise.

    Raises:
        UsageError: the user sets "published", but the protocol does not state this number of
            folds.
    """
    available = 0
    if listed is not None:
        available = {"listed": len(listed.parts), "release": 1}.get(listed.rule, subjects)
    wanted = k or (available if method != "random" and available else DEFAULT_FOLDS)
    if method == "published" and wanted != available:
        if not available:
            raise UsageError(f"{dataset} has no published folds.", hint="use --method random")
        raise UsageError(
            f"{dataset} has {available} published folds, not {wanted}.",
            hint=f"use --folds {available}, or --method random",
        )
    return method or ("published" if wanted == available else "random"), wanted


def published_folds(counts: LabelCounts, folds: Folds) -> pa.Table:
    """Return a table of the folds that a protocol states, as lists of subjects or by a rule.

    Args:
        counts: the subjects that have frames.
        folds: the folds that the protocol states.

    Returns:
        A table with the fold that tests each subject, and the columns of
        `fauds.tables.schemas.FOLDS_SCHEMA`.

    Raises:
        DataError: a listed subject has no frames, a subject with frames is not listed, the rule
            is one fold per subject and only one subject has frames, or the release's own split has
            no training or no test part, or a subject in both.
    """
    if folds.rule == "release":
        return _release_fold(counts, folds.name)
    if folds.rule == "leave-one-subject-out":
        if not counts.known:
            raise _unknown_subjects(f"{folds.name} needs to know who is on each image")
        if len(counts.subjects) < 2:
            raise DataError(
                f"The split {folds.name} needs at least two subjects, but only "
                f"{counts.subjects[0]} was read.",
                where=FRAMES,
                hint="read the whole release: point --root at it",
            )
        return _table(counts.subjects, range(1, len(counts.subjects) + 1), folds.name)
    part = {subject: k for k, subjects in folds.parts.items() for subject in subjects}
    missing = sorted(set(part) - set(counts.subjects))
    extra = sorted(set(counts.subjects) - set(part))
    if missing or extra:
        lines = [f"without frames: {', '.join(missing)}"] if missing else []
        lines += [f"not in the list: {', '.join(extra)}"] if extra else []
        raise DataError(
            f"The subjects differ from those of the folds {folds.name}; {'; '.join(lines)}.",
            where=FRAMES,
            hint="read the whole release (--root), or use --method random, whose results are not "
            "comparable with published ones",
        )
    return _table(counts.subjects, [part[subject] for subject in counts.subjects], folds.name)


def _release_fold(counts: LabelCounts, name: str) -> pa.Table:
    """Return one fold: it tests the test part of the release's own split, and trains on the rest.

    Args:
        counts: the subjects that have frames; or the parts of the split, if subjects are unknown.
        name: the name of the folds, to store in the table.
    """
    without = [
        subject
        for subject, split in zip(counts.subjects, counts.splits, strict=True)
        if split is None
    ]
    if without:
        raise DataError(
            "The release's own split does not say which part these are for: "
            f"{', '.join(filter(None, without)) or 'images of unknown subjects'}.",
            where=FRAMES,
            hint="a subject must have all images in one part, train or test; see what the release "
            "lists, or use --method random",
        )
    parts = [int(split == "test") for split in counts.splits]
    if len(set(parts)) < 2:
        raise DataError(
            f"The release's own split has only images for {counts.splits[0]}.",
            where=FRAMES,
            hint="read the whole release: point --root at it",
        )
    return _table(counts.subjects, parts, name)


def _unknown_subjects(what: str) -> DataError:
    return DataError(
        f"{what}, but this release does not say.",
        where=FRAMES,
        hint="use the release's own split: --method published",
    )


def cross_dataset_fold(counts: LabelCounts, trained: Collection[str], protocol: str) -> pa.Table:
    """Return a table with one fold, which trains on one dataset and tests on another.

    The columns of the table are those of `fauds.tables.schemas.FOLDS_SCHEMA`.

    Args:
        counts: the subjects of both datasets.
        trained: the ids of the subjects to train on; the fold tests all other subjects.
        protocol: the name of the folds, to store in the table.
    """
    parts = [0 if subject in trained else 1 for subject in counts.subjects]
    return _table(counts.subjects, parts, protocol)


def fold_numbers(folds: pa.Table) -> list[int]:
    """Return the sorted numbers of the folds in a table of folds.

    The number 0 is left out: it marks subjects that no fold tests.
    """
    return sorted(set(folds["fold"].to_pylist()) - {0})


def count_tested_frames(counts: LabelCounts, folds: pa.Table) -> int:
    """Return the total number of frames of all subjects that are tested by any fold.

    Args:
        counts: the number of frames of each subject.
        folds: the table of the fold that tests each subject; 0 for a subject that no fold tests.
    """
    part = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    is_tested = [part[subject] != 0 for subject in counts.subjects]
    return int(counts.frames[is_tested].sum())


def random_folds(counts: LabelCounts, k: int, seed: int) -> pa.Table:
    """Return a table of random folds, with all frames of a subject in the same fold.

    Subjects are first assigned at random to folds whose numbers of subjects differ by one at most.
    Pairs of subjects are then swapped between folds as long as this makes the folds more alike in
    their numbers of frames, of frames in which each AU occurs, and of subjects of each sex. The
    columns of the table are those of `fauds.tables.schemas.FOLDS_SCHEMA`.

    Args:
        counts: the subjects to assign, with their numbers of frames and labels.
        k: the number of folds.
        seed: the seed of the random assignment.

    Raises:
        UsageError: there are fewer subjects than folds, or fewer than two folds.
        DataError: the subjects are unknown, so that images of one person could be in several folds.
    """
    size = len(counts.subjects)
    if not counts.known:
        raise _unknown_subjects("Random folds keep the images of a person together")
    if not 2 <= k <= size:
        raise UsageError(
            f"{size} subjects cannot be split into {k} folds.",
            hint=f"use --folds 2 to {size}" if size > 1 else "at least two subjects are needed",
        )
    features = _balance_features(counts)
    generator = np.random.default_rng([seed, k])
    assignment = np.empty(size, dtype=np.int64)
    assignment[generator.permutation(size)] = np.arange(size) % k
    _balance(assignment, features, k)
    return _table(counts.subjects, assignment + 1, f"random-{k}fold-seed{seed}")


def _balance_features(counts: LabelCounts) -> np.ndarray:
    sexes = np.array([sex or "" for sex in counts.sexes])
    one_hot = np.stack([sexes == sex for sex in np.unique(sexes)], axis=1)
    raw = np.concatenate([counts.positives, counts.frames[:, None], one_hot], axis=1).astype(float)
    features: np.ndarray = raw / np.maximum(raw.sum(axis=0), 1)
    return features


def _balance(assignment: np.ndarray, features: np.ndarray, k: int) -> None:
    """Swap pairs of subjects between folds until no swap makes the folds more alike.

    Args:
        assignment: the fold of each of the S subjects, from 0, int64 [S]; changed in place.
        features: the quantities to balance for each subject, such as its number of frames, each
            divided by its total over the subjects, float64 [S, features].
        k: the number of folds.
    """
    totals = np.stack([features[assignment == fold].sum(axis=0) for fold in range(k)])
    while True:
        # A swap of i and j changes only the totals of their two folds, by their difference.
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


def check_folds(folds: pa.Table, subjects: Sequence[str], where: object = FOLDS) -> None:
    """Check that a table of folds has every subject once, and folds numbered 1 to k.

    Args:
        folds: the table of the fold that tests each subject.
        subjects: the ids of the subjects that must be in the table.
        where: the file to name in error messages.

    Raises:
        DataError: a subject is in several folds or in none, a fold has no subjects, or the
            columns differ from `fauds.tables.schemas.FOLDS_SCHEMA`.
    """
    if not folds.schema.equals(schemas.FOLDS_SCHEMA, check_metadata=False):
        raise DataError(
            f"A table of folds has the columns {schemas.FOLDS_SCHEMA.names}, but this table has "
            f"{folds.schema.names}, or columns of other types.",
            where=where,
            hint="make the table with fauds split",
        )
    listed = Counter(folds["subject"].to_pylist())
    repeated = sorted(subject for subject, count in listed.items() if count > 1)
    missing = sorted(set(subjects) - set(listed))
    numbers = fold_numbers(folds)
    least = 1 if 0 in folds["fold"].to_pylist() else 2
    for names, problem in ((repeated, "in more than one fold"), (missing, "in no fold")):
        if names:
            raise DataError(
                f"{'Subjects are' if len(names) > 1 else 'A subject is'} {problem}: "
                f"{', '.join(names)}.",
                where=where,
                hint="every subject must be in one fold; make the folds with fauds split",
            )
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < least:
        raise DataError(
            f"Folds must be numbered 1 to k, with k at least {least}, not {numbers}.",
            where=where,
            hint="make the folds with fauds split",
        )


def fold_statistics(counts: LabelCounts, folds: pa.Table, target: Target) -> pa.Table:
    """Return how often each action unit (AU) or class occurs in each fold, and its class weight.

    Args:
        counts: how many frames and labels each subject has.
        folds: the table of the fold that tests each subject.
        target: what the protocol predicts, such as the occurrence of AUs. Its method
            `class_weights` computes the weight of each AU or class in the loss.

    Returns:
        A table with the columns of `fauds.tables.schemas.FOLD_STATISTICS_SCHEMA` and one row per
        fold and AU or class. A class weight is null if the AU or class never occurs in the
        training subjects of the fold.
    """
    names = target.names
    fold_of = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    number = np.array([fold_of[subject] for subject in counts.subjects])
    tables = []
    for fold in fold_numbers(folds):
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
