"""Free disk space, and the error that there is too little of it."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from fauds.errors import DataError
from fauds.tables.disk import free_space, require_space, size_text

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder that exists, on a disk with 3 GB free."""

    def usage(path: Path) -> Usage:
        assert Path(path) == tmp_path
        return Usage(10**10, 7 * 10**9, 3 * 10**9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return tmp_path


def test_the_space_of_a_folder_that_does_not_exist_yet_is_that_of_its_disk(disk: Path) -> None:
    assert free_space(disk / "work" / "bp4d") == free_space(disk) == 3 * 10**9


def test_what_fits_is_no_error(disk: Path) -> None:
    require_space(disk / "work", {"face crops": 2 * 10**9, "checkpoints": 10**9})


def test_the_error_lists_everything_that_needs_space(disk: Path) -> None:
    needs = {"face crops": 2_900_000_000, "checkpoints": 101_000_000, "captions": 0}
    with pytest.raises(DataError) as raised:
        require_space(disk / "work", needs)
    assert raised.value.what == (
        "The disk has 3.0 GB free, but about 2.9 GB for face crops, 101.0 MB for checkpoints are "
        "needed."
    )
    assert raised.value.where == str(disk / "work")
    assert "--workdir" in raised.value.hint


def test_sizes_are_given_in_the_unit_that_suits_them() -> None:
    assert [size_text(size) for size in (900, 12_345, 4_600_000, 9_960_000_000)] == [
        "1 kB",
        "12 kB",
        "4.6 MB",
        "10.0 GB",
    ]
