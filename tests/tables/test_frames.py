"""What identifies frames: keys, subjects and digests, also of images whose subjects are unknown."""

import hashlib

import pyarrow as pa

from fauds.tables import store
from fauds.tables.frames import (
    frame_names,
    frame_set_fingerprint,
    last_numbers,
    read_keyed,
    sampling_units,
    split_groups,
    subjects_known,
)


def images_table(subjects=(None, None, None), order=(0, 1, 2)) -> pa.Table:
    """Return three single images: two for training, one for testing."""
    rows = [
        {"key": "train_1", "subject": subjects[0], "split": "train", "expression": 0},
        {"key": "train_2", "subject": subjects[1], "split": "train", "expression": None},
        {"key": "test_1", "subject": subjects[2], "split": "test", "expression": 5},
    ]
    category = pa.dictionary(pa.int32(), pa.string())
    chosen = [rows[row] for row in order]
    return pa.table(
        {
            "frame_id": pa.array(range(3), pa.int64()),
            "key": [row["key"] for row in chosen],
            "subject": pa.array([row["subject"] for row in chosen], pa.string()).cast(category),
            "task": pa.nulls(3, pa.string()).cast(category),
            "frame": pa.nulls(3, pa.int32()),
            "expression": pa.array([row["expression"] for row in chosen], pa.int8()),
            "split": pa.array([row["split"] for row in chosen]).cast(category),
        }
    )


NUMBERED = pa.table(
    {
        "key": ["F001/T1/2", "F001/T1/7"],
        "subject": pa.array(["F001", "F001"]).dictionary_encode(),
        "task": pa.array(["T1", "T1"]).dictionary_encode(),
        "frame": pa.array([2, 7], pa.int32()),
        "AU01": pa.array([1, None], pa.int8()),
    }
)


def test_images_of_unknown_subjects_are_units_of_their_own_but_share_a_fold_by_their_part():
    images = images_table()
    assert not subjects_known(images)
    assert sampling_units(images).tolist() == ["train_1", "train_2", "test_1"]
    assert split_groups(images).tolist() == ["train", "train", "test"]
    assert split_groups(images.drop_columns("split")).tolist() == ["", "", ""]


def test_where_subjects_are_known_they_are_both():
    images = images_table(("ana", "ana", "bo"))
    assert subjects_known(images)
    for names in (sampling_units(images), split_groups(images)):
        assert names.tolist() == ["ana", "ana", "bo"]


def test_frames_are_named_by_their_number_or_else_by_their_key():
    assert frame_names(NUMBERED).tolist() == [2, 7]
    assert frame_names(images_table()).tolist() == ["train_1", "train_2", "test_1"]


def test_single_images_are_one_sequence_without_a_last_number():
    images = images_table()
    sequences = list(store.sequences(images))
    assert sequences == [(("", ""), slice(0, 3))]
    assert last_numbers(frame_names(images), sequences) == {("", ""): 0}
    numbered = list(store.sequences(NUMBERED))
    assert last_numbers(frame_names(NUMBERED), numbered) == {("F001", "T1"): 7}


def test_the_digest_of_numbered_frames_is_that_of_their_sorted_lines():
    text = "F001/T1/2 1\nF001/T1/7 -"
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert frame_set_fingerprint(NUMBERED, ["AU01"]) == expected


def test_the_digest_of_single_images_is_that_of_their_keys_and_labels():
    expected = hashlib.sha256(b"test_1 5\ntrain_1 0\ntrain_2 -").hexdigest()
    assert frame_set_fingerprint(images_table(), ["expression"]) == expected
    shuffled = images_table(order=(2, 0, 1))
    assert frame_set_fingerprint(shuffled, ["expression"]) == expected
    other = images_table().set_column(1, "key", pa.array(["train_1", "train_2", "test_9"]))
    assert frame_set_fingerprint(other, ["expression"]) != expected


def test_the_split_is_read_with_the_key_and_only_once(tmp_path):
    path = tmp_path / "frames.parquet"
    store.write_table(path, images_table(), {"inputs": "x", "settings": {}})
    for columns in (["frame_id", "subject"], ["frame_id", "split", "expression"]):
        table = read_keyed(path, columns)
        assert table.column_names.count("split") == table.column_names.count("key") == 1
        assert table["key"].to_pylist() == ["train_1", "train_2", "test_1"]
