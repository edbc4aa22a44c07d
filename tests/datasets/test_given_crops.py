"""Crops of single images that the user gives are found by the keys in their names."""

from pathlib import Path

import pyarrow as pa

from fauds.datasets import DATASETS
from fauds.datasets.numbering import match_crops


def test_crops_are_named_by_the_key_with_or_without_the_ending_of_aligned_images(
    tmp_path: Path,
) -> None:
    for name in ("train_00001.png", "sub/train_00002.jpg", "train_00003_aligned.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    keys = [f"train_0000{number}" for number in range(1, 5)]
    frames = pa.table({"key": keys, "frame": pa.nulls(4, pa.int32())})
    assert match_crops(tmp_path, frames, DATASETS["rafdb"], None).to_pylist() == [
        "train_00001.png",
        None,
        "train_00003_aligned.jpg",
        None,
    ]
