"""Reading releases a few sequences at a time gives the same table as reading them at once."""

import os
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fauds.datasets import image_folders as images
from fauds.datasets import label_files
from fauds.datasets import label_text as text
from fauds.datasets.base import Reader, ReadOptions
from fauds.datasets.bp4d import BP4D
from fauds.datasets.disfa import DISFA
from fauds.datasets.image_folders import FolderKey, Listing
from fauds.datasets.label_files import LabelFileReader
from fauds.errors import DataError
from fauds.pipeline import Project
from fauds.tables import store

from .helpers import BP4D_AUS, DISFA_AUS, fails, read
from .test_bp4d import change, occurrence, put
from .test_disfa import labels
from .test_image_folders import images_of

Copy = Callable[[Path], Path]


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make groups so small that they hold two or three synthetic sequences."""
    monkeypatch.setattr(label_files, "GROUP_BYTES", 3000)


@pytest.fixture
def disfa(disfa_root: Path, copy: Copy) -> Path:
    """DISFA's layout with images of all subjects but SN003, numbered from 1."""
    root = copy(disfa_root)
    for subject in ("SN001", "SN006"):
        frames = [int(line.split(",")[0]) for line in labels(root, 1, subject).open()]
        images_of(root / "frames" / subject, {1, *frames[2:]}, width=5)
    return root


def parts_of(reader: Reader, root: Path, options: ReadOptions | None = None) -> list[pa.Table]:
    parts: list[pa.Table] = []
    reader.read(root, None, options, sink=parts.append)
    return parts


@pytest.mark.parametrize("size", [1, 3000, 20000])
def test_bp4d_is_the_same_with_any_size_of_groups(
    bp4d_root: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    root = copy(bp4d_root)
    change(occurrence(root, "M002_T8"), 2, put(5, "1"))  # AU05 is coded nowhere else
    for path in (root / "2D+3D" / "F004" / "T1").iterdir():
        path.rename(path.with_name(f"{path.stem:0>5}.jpg"))
    rmtree(root / "2D+3D" / "M002" / "T3")
    options = ReadOptions(aus=BP4D_AUS)
    whole = read(BP4D, root, {"frames": 9}, options)
    monkeypatch.setattr(label_files, "GROUP_BYTES", size)
    assert len(parts_of(BP4D, root, options)) > 1
    grouped = read(BP4D, root, {"frames": 9}, options)
    assert grouped.table.equals(whole.table) and "AU05" in whole.table.column_names
    assert vars(grouped) | {"table": None} == vars(whole) | {"table": None}
    assert grouped.fingerprint == BP4D.fingerprint(root, options)


@pytest.mark.parametrize("size", [1, 7000])
def test_disfa_is_the_same_with_any_size_of_groups(
    disfa: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    labels(disfa, 5, "SN001").unlink()
    (disfa / "sexes.csv").write_text("subject,sex\nSN006,M\n")
    options = ReadOptions(
        aus=DISFA_AUS, missing_aus="null", sex_table=disfa / "sexes.csv", subjects=None
    )
    whole = read(DISFA, disfa, {"frames": 9}, options)
    monkeypatch.setattr(label_files, "GROUP_BYTES", size)
    assert len(parts_of(DISFA, disfa, options)) > 1
    grouped = read(DISFA, disfa, {"frames": 9}, options)
    assert grouped.table.equals(whole.table) and whole.image_base == 1
    assert vars(grouped) | {"table": None} == vars(whole) | {"table": None}
    assert grouped.fingerprint == DISFA.fingerprint(disfa, options)


@pytest.mark.usefixtures("small_groups")
def test_parts_have_one_schema_and_follow_each_other(bp4d_root: Path) -> None:
    parts = parts_of(BP4D, bp4d_root)
    assert len(parts) > 5 and len({str(part.schema) for part in parts}) == 1
    ids = [number for part in parts for number in part["frame_id"].to_pylist()]
    assert ids == list(range(3 * 48))


@pytest.mark.usefixtures("small_groups")
def test_row_groups_of_frames_are_whole_sequences(
    bp4d_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 20)
    step = Project(tmp_path, "bp4d").frames(bp4d_root)
    sequences: set[tuple[str, str]] = set()
    for batch in store.read_batches(step.path, ["subject", "task"]):
        in_batch = set(zip(batch["subject"].to_pylist(), batch["task"].to_pylist(), strict=True))
        assert len(batch) <= 20 and not in_batch & sequences
        sequences |= in_batch
    assert pq.read_metadata(step.path).num_row_groups > 5 and len(sequences) == 24


@pytest.mark.usefixtures("small_groups")
def test_an_error_in_a_late_group_leaves_the_old_table_unchanged(
    bp4d_root: Path, copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 20)
    root = copy(bp4d_root)
    project = Project(tmp_path / "work", "bp4d")
    path = project.frames(root).path
    before = path.read_bytes()
    change(occurrence(root, "M002_T8"), 3, put(1, "7"))
    fails(lambda: project.frames(root), "'7'", where=f"{occurrence(root, 'M002_T8')}:3")
    assert path.read_bytes() == before
    path.unlink()
    fails(lambda: project.frames(root), "'7'")
    assert [entry.name for entry in path.parent.iterdir()] == [".lock"]


@pytest.mark.usefixtures("small_groups")
def test_a_full_disk_is_not_reported_as_an_error_of_the_label_files(
    bp4d_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "ROW_GROUP", 20)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", refuse)
    project = Project(tmp_path, "bp4d")
    fails(
        lambda: project.frames(bp4d_root),
        "could not be written: No space",
        where=project.workspace.path("frames"),
    )


@pytest.mark.usefixtures("small_groups")
def test_an_invalid_header_or_a_missing_file_is_an_error_before_labels_are_parsed(
    bp4d_root: Path, disfa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "parse", None)
    (tmp_path / "AUCoding").mkdir()
    for name, data in {"F001_T1": b"0,1\n5,1\n", "F001_T2": b"\xef\xbb\xbf0,1,1\n5,1,1\n"}.items():
        (tmp_path / "AUCoding" / f"{name}.csv").write_bytes(data)
    where = f"{tmp_path / 'AUCoding' / 'F001_T2.csv'}:1"
    fails(lambda: read(BP4D, tmp_path), "not a header", where=where)
    labels(disfa, 20, "SN006").unlink()
    fails(lambda: read(DISFA, disfa), "AU20", "SN006", where=labels(disfa, 20, "SN006"))


@pytest.mark.usefixtures("small_groups")
def test_subjects_of_different_groups_must_agree_on_the_base(
    disfa: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = disfa / "frames" / "SN006"
    for path in sorted(folder.iterdir()):
        path.rename(path.with_name(f"{int(path.stem) - 1:05}.png"))
    for size in (1, 10**6):
        monkeypatch.setattr(label_files, "GROUP_BYTES", size)
        fails(
            lambda: read(DISFA, disfa),
            "which fits base 0, unlike other subjects' images",
            where="frames/SN006",
        )


def test_images_are_those_that_exist_when_their_labels_are_read(
    bp4d_root: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy(bp4d_root)
    frames = root / "2D+3D"
    removed = len([*(frames / "F001" / "T1").iterdir(), *(frames / "F001" / "T2").iterdir()]) + 1
    find = images.find

    def find_and_change(*args: object) -> dict[FolderKey, images.ImageFolder]:
        folders = find(*args)
        rmtree(frames / "F001" / "T1")
        for path in (frames / "F001" / "T2").iterdir():
            path.unlink()
        next((frames / "F001" / "T3").iterdir()).unlink()
        return folders

    with monkeypatch.context() as patch:
        patch.setattr(images, "find", find_and_change)
        reading = read(BP4D, root)
    assert reading.table["image"].equals(read(BP4D, root).table["image"])
    assert reading.table["image"].null_count == removed
    assert reading.fingerprint != BP4D.fingerprint(root)


def test_a_folder_of_images_is_listed_in_order_of_numbers(tmp_path: Path) -> None:
    images_of(tmp_path / "F001" / "T1", [0, 3, 12], width=4)
    images_of(tmp_path / "F001" / "T1", [7, 1000])
    folders = images.find(tmp_path, [("F001", "T1")])
    folder = folders["F001", "T1"]
    assert (folder.count, folder.padded, folder.unpadded) == (5, {4}, {1, 4})
    listing = images.listing(folder)
    assert isinstance(listing, Listing) and listing.numbers.tolist() == [0, 3, 7, 12, 1000]
    assert listing.names == ["0000.png", "0003.png", "7.png", "0012.png", "1000.png"]
    digest = images.fingerprint(folders)
    assert digest == images.fingerprint(images.find(tmp_path, [("F001", "T1")]))
    os.utime(tmp_path / "F001" / "T1" / "7.png", ns=(1, 1))
    assert digest != images.fingerprint(images.find(tmp_path, [("F001", "T1")]))


def test_the_fingerprint_of_label_files_depends_on_names_and_contents(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "deep" / "b"]
    paths[1].parent.mkdir()

    def digest(*contents: bytes, order: int = 1) -> str:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return LabelFileReader(tmp_path).fingerprint(paths[::order])

    assert len({digest(b"1", b"2"), digest(b"2", b"1"), digest(b"1", b"2", order=-1)}) == 3
    reader = LabelFileReader(tmp_path)
    assert reader.load(paths[1]).name == "deep/b"
    assert reader.fingerprint(paths) == digest(b"1", b"2")
    with pytest.raises(DataError, match="empty"):
        digest(b"1", b" \n")


def test_a_group_is_emptied_when_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_files, "GROUP_BYTES", 20)
    paths = [tmp_path / str(number) for number in range(5)]
    for path in paths:
        path.write_bytes(b"0123456789")
    groups = LabelFileReader(tmp_path).groups((path.name, {"labels": path}) for path in paths)
    first = next(groups)
    assert [key for key, _ in first] == ["0", "1"]
    assert [[key for key, _ in group] for group in map(list, groups)] == [["2", "3"], ["4"]]
    assert first == []
