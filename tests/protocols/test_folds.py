"""Folds: published ones as listed, random ones balanced and independent of the order of rows."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds import resources
from fauds.errors import DataError, UsageError
from fauds.protocols import benchmark as protocols
from fauds.protocols import folds as folding
from fauds.protocols.benchmark import Folds
from fauds.tables import schemas
from fauds.targets.expression import Expression
from fauds.targets.occurrence import Occurrence

AUS = ("AU01", "AU12")
TARGET = Occurrence(aus=AUS)


def frames_of(subjects, per_subject=20, seed=0, sexes="FM", null=0.1):
    """Return a frames table with random labels, some of them null."""
    rng = np.random.default_rng(seed)
    names = np.repeat(subjects, per_subject)
    rates = np.repeat(rng.uniform(0.1, 0.9, (len(subjects), len(AUS))), per_subject, axis=0)
    labels = (rng.random(rates.shape) < rates).astype(np.int8)
    missing = rng.random(rates.shape) < null
    columns = {
        "subject": pa.array(names).dictionary_encode(),
        "sex": pa.array(
            [sexes[sum(name.encode()) % len(sexes)] for name in names]
        ).dictionary_encode(),
    }
    for i, au in enumerate(AUS):
        columns[au] = pa.array(labels[:, i], pa.int8(), mask=missing[:, i])
    return pa.table(columns)


def plain_counts(frames):
    """Count frames and positives by subject in a loop over rows."""
    by_subject = {}
    for row in frames.to_pylist():
        counts = by_subject.setdefault(row["subject"], {"frames": 0, **{au: [0, 0] for au in AUS}})
        counts["frames"] += 1
        for au in AUS:
            if row[au] is not None:
                counts[au][0] += 1
                counts[au][1] += row[au]
    return by_subject


def test_counts_equal_those_of_a_loop_over_rows():
    frames = frames_of([f"S{i}" for i in range(7)], seed=3)
    counts = folding.count_subjects(frames, TARGET)
    plain = plain_counts(frames)
    assert list(counts.subjects) == sorted(plain)
    for i, subject in enumerate(counts.subjects):
        assert counts.frames[i] == plain[subject]["frames"]
        for j, au in enumerate(AUS):
            assert [counts.coded[i, j], counts.positives[i, j]] == plain[subject][au]


@pytest.mark.parametrize("name", ["bp4d", "disfa"])
def test_published_folds_are_those_of_the_protocol(name):
    folds = protocols.benchmark(name).folds
    subjects = [subject for part in folds.parts.values() for subject in part]
    counts = folding.count_subjects(frames_of(subjects, 3), TARGET)
    table = folding.published_folds(counts, folds)
    folding.check_folds(table, counts.subjects)
    for k, part in folds.parts.items():
        subjects = [row["subject"] for row in table.to_pylist() if row["fold"] == k]
        assert sorted(subjects) == sorted(part)


def test_missing_and_unknown_subjects_are_errors_with_published_folds():
    folds = protocols.benchmark("disfa").folds
    subjects = [subject for part in folds.parts.values() for subject in part]
    counts = folding.count_subjects(frames_of([*subjects[1:], "SN099"], 3), TARGET)
    with pytest.raises(DataError, match=f"without frames: {subjects[0]}; not in the list: SN099"):
        folding.published_folds(counts, folds)


@given(st.integers(4, 30), st.integers(2, 4), st.integers(0, 5))
def test_random_folds_are_exclusive_equal_in_size_and_independent_of_row_order(size, k, seed):
    frames = frames_of([f"S{i:02d}" for i in range(size)], 5, seed)
    counts = folding.count_subjects(frames, TARGET)
    table = folding.random_folds(counts, k, seed)
    folding.check_folds(table, counts.subjects)
    sizes = np.bincount(table["fold"].to_numpy())[1:]
    assert sizes.max() - sizes.min() <= 1
    shuffled = frames.take(np.random.default_rng(1).permutation(len(frames)))
    again = folding.random_folds(folding.count_subjects(shuffled, TARGET), k, seed)
    assert again.equals(table)


def test_random_folds_are_better_balanced_than_unbalanced_random_ones():
    counts = folding.count_subjects(frames_of([f"S{i:02d}" for i in range(41)], 40, 9), TARGET)

    def spread(fold):
        rates = [
            counts.positives[fold == k].sum(0) / counts.coded[fold == k].sum(0) for k in (1, 2, 3)
        ]
        return np.ptp(rates, axis=0).mean()

    rng = np.random.default_rng(0)
    unbalanced = [spread(rng.permutation(np.arange(41) % 3 + 1)) for _ in range(50)]
    balanced = [spread(folding.random_folds(counts, 3, s)["fold"].to_numpy()) for s in range(5)]
    assert max(balanced) < np.quantile(unbalanced, 0.05)
    assert (
        len({tuple(folding.random_folds(counts, 3, s)["fold"].to_pylist()) for s in range(5)}) > 1
    )


def test_more_folds_than_subjects_are_an_error():
    counts = folding.count_subjects(frames_of(["A", "B"]), TARGET)
    with pytest.raises(UsageError, match="2 subjects cannot be split into 3 folds"):
        folding.random_folds(counts, 3, 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("A", 1), ("B", 2), ("A", 2)], "more than one fold: A"),
        ([("A", 1)], "in no fold: B"),
        ([("A", 1), ("B", 3)], "numbered 1 to k"),
        ([("A", 1), ("B", 1)], "numbered 1 to k"),
    ],
)
def test_an_invalid_table_of_folds_is_an_error(rows, message):
    columns = [list(column) for column in zip(*rows, strict=True)]
    table = pa.table([*columns, ["p"] * len(rows)], schema=schemas.FOLDS_SCHEMA)
    with pytest.raises(DataError, match=message):
        folding.check_folds(table, ["A", "B"])


def test_statistics_and_class_weights_follow_equation_9():
    frames = frames_of([f"S{i}" for i in range(9)], 30, 4)
    counts = folding.count_subjects(frames, TARGET)
    folds = folding.random_folds(counts, 3, 0)
    plain = plain_counts(frames)
    fold_of = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    rows = folding.fold_statistics(counts, folds, TARGET).to_pylist()
    assert len(rows) == 3 * len(AUS)
    for fold in (1, 2, 3):
        fold_rows = [row for row in rows if row["fold"] == fold]
        epsilon = []
        for row in fold_rows:
            train = [plain[s][row["au"]] for s in plain if fold_of[s] != fold]
            test = [plain[s][row["au"]] for s in plain if fold_of[s] == fold]
            assert row["train_frames"] == sum(n for n, _ in train)
            assert row["train_positives"] == sum(p for _, p in train)
            assert row["test_frames"] == sum(n for n, _ in test)
            assert row["test_positives"] == sum(p for _, p in test)
            epsilon.append(row["train_positives"] / row["train_frames"])
        gamma = [(1 / e) / sum(1 / x for x in epsilon) for e in epsilon]
        assert [row["weight"] for row in fold_rows] == pytest.approx([g * len(AUS) for g in gamma])


def test_class_weights_from_published_rates_are_near_the_published_class_weights():
    statistics = json.loads(resources.path("benchmarks", "label_statistics.json").read_text())
    for name in ("bp4d", "disfa"):
        by_au = statistics[name]
        rates = dict(zip(by_au["aus"], by_au["occurrence_rate"], strict=True))
        rates = np.array([rates[au] for au in protocols.benchmark(name).aus])
        published = np.mean(list(by_au["class_weights_published_me_graphau"].values()), axis=0)
        weights = TARGET.class_weights(np.full(len(rates), 1e6), rates * 1e6)
        assert weights.mean() == pytest.approx(1)
        assert weights == pytest.approx(published, rel=0.12)


def test_an_au_that_is_never_active_has_no_class_weight():
    weights = TARGET.class_weights(np.array([10, 10]), np.array([0, 5]))
    assert np.isnan(weights[0])
    assert weights[1] == 1


def test_leave_one_subject_out_has_a_fold_for_every_subject():
    counts = folding.count_subjects(frames_of(["S1", "S2", "S3", "S4"], 5), TARGET)
    folds = protocols.Folds.model_validate({"rule": "leave-one-subject-out"})
    assert folding.choose_method("own", folds, 4, None, None) == ("published", 4)
    table = folding.published_folds(counts, folds)
    folding.check_folds(table, counts.subjects)
    assert table["fold"].to_pylist() == [1, 2, 3, 4]
    assert set(table["protocol"].to_pylist()) == {"leave-one-subject-out"}


def test_the_number_of_folds_is_that_of_the_protocol_unless_the_user_sets_another():
    five = {k: [f"S{k}"] for k in range(1, 6)}
    listed = protocols.Folds.model_validate({"name": "five", "parts": five})
    assert folding.choose_method("own", listed, 5, None, None) == ("published", 5)
    assert folding.choose_method("own", listed, 5, 3, None) == ("random", 3)
    assert folding.choose_method("own", listed, 5, None, "random") == ("random", 3)
    assert folding.choose_method("own", None, 5, None, None) == ("random", 3)
    with pytest.raises(UsageError, match="own has 5 published folds, not 3"):
        folding.choose_method("own", listed, 5, 3, "published")


def test_a_dataset_that_is_only_trained_on_is_tested_by_no_fold():
    frames = frames_of(["A1", "A2", "B1", "B2", "B3"], 30, 2)
    counts = folding.count_subjects(frames, TARGET)
    table = folding.cross_dataset_fold(counts, {"A1", "A2"}, "a-to-b")
    folding.check_folds(table, counts.subjects)
    assert folding.fold_numbers(table) == [1]
    plain = plain_counts(frames)
    for row in folding.fold_statistics(counts, table, TARGET).to_pylist():
        assert row["fold"] == 1
        assert row["train_frames"] == sum(plain[s][row["au"]][0] for s in ("A1", "A2"))
        assert row["test_positives"] == sum(plain[s][row["au"]][1] for s in ("B1", "B2", "B3"))


EXPRESSION = Expression(classes=("calm", "glad"))
RELEASE = Folds(rule="release")


def images_of(subjects, splits):
    """Return a table of single images with these subjects and parts, and random labels."""
    rng = np.random.default_rng(0)
    category = pa.dictionary(pa.int32(), pa.string())
    return pa.table(
        {
            "subject": pa.array(subjects, pa.string()).cast(category),
            "sex": pa.array(["F"] * len(subjects)).cast(category),
            "expression": pa.array(rng.integers(0, 2, len(subjects)), pa.int8()),
            "split": pa.array(splits, pa.string()).cast(category),
        }
    )


def test_the_releases_own_split_is_one_fold_that_tests_its_test_part():
    splits = ["train", "test", "train", "test", "train"]
    counts = folding.count_subjects(images_of(["a", "b", "a", "b", "c"], splits), EXPRESSION)
    assert folding.choose_method("mine", RELEASE, 3, None, None) == ("published", 1)
    table = folding.published_folds(counts, RELEASE)
    assert table.to_pydict() == {
        "subject": ["a", "b", "c"],
        "fold": [0, 1, 0],
        "protocol": ["release"] * 3,
    }
    folding.check_folds(table, counts.subjects)
    statistics = folding.fold_statistics(counts, table, EXPRESSION).to_pylist()
    assert [(row["train_frames"], row["test_frames"]) for row in statistics] == [(3, 2), (3, 2)]


def test_without_subjects_the_parts_of_the_split_take_their_place():
    splits = ["train"] * 7 + ["test"] * 3
    counts = folding.count_subjects(images_of([None] * 10, splits), EXPRESSION)
    assert (counts.subjects, counts.frames.tolist()) == (("test", "train"), [3, 7])
    assert counts.sexes == (None, None)
    table = folding.published_folds(counts, RELEASE)
    assert dict(zip(table["subject"].to_pylist(), table["fold"].to_pylist(), strict=True)) == {
        "test": 1,
        "train": 0,
    }


def test_a_person_in_both_parts_of_the_split_is_an_error():
    counts = folding.count_subjects(
        images_of(["a", "a", "b"], ["train", "test", "test"]), EXPRESSION
    )
    with pytest.raises(DataError, match=r"does not say which part these are for: a\."):
        folding.published_folds(counts, RELEASE)


def test_a_split_without_a_test_part_is_an_error():
    counts = folding.count_subjects(images_of([None, None], ["train", "train"]), EXPRESSION)
    with pytest.raises(DataError, match="has only images for train"):
        folding.published_folds(counts, RELEASE)


def test_images_of_unknown_subjects_without_a_split_are_an_error():
    counts = folding.count_subjects(images_of([None, None], [None, None]), EXPRESSION)
    with pytest.raises(DataError, match="images of unknown subjects"):
        folding.published_folds(counts, RELEASE)


def test_folds_that_would_divide_the_images_of_a_person_are_an_error():
    """Nobody knows who is on which image, so random folds could train on a tested person."""
    counts = folding.count_subjects(images_of([None, None], ["train", "test"]), EXPRESSION)
    with pytest.raises(DataError, match="keep the images of a person together"):
        folding.random_folds(counts, 2, 0)
    with pytest.raises(DataError, match="needs to know who is on each image"):
        folding.published_folds(counts, Folds(rule="leave-one-subject-out"))
