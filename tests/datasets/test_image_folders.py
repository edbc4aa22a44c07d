"""Matching extracted images to frames by number, and deriving DISFA's base of numbering."""

from collections.abc import Callable, Iterable
from pathlib import Path
from shutil import copytree

import pytest

from fauds.datasets.base import ReadOptions
from fauds.datasets.bp4d import BP4D
from fauds.datasets.disfa import DISFA
from fauds.tables.paths import SYNTHETIC_MARKER

from .helpers import fails, read

Copy = Callable[[Path], Path]


def images_of(root: Path, numbers: Iterable[int], width: int = 0, suffix: str = ".png") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (root / f"{number:0{width}}{suffix}").touch()
    return root


@pytest.fixture
def disfa(disfa_root: Path, copy: Copy) -> Path:
    """DISFA's layout with labels of frames 1 to 60."""
    root = copy(disfa_root)
    for folder in (root / "ActionUnit_Labels").iterdir():
        for path in folder.iterdir():
            path.write_text("".join(f"{frame},{frame % 6}\n" for frame in range(1, 61)))
    return root


def end_images(root: Path, options: ReadOptions | None = None) -> dict[str, list[str | None]]:
    """Return the images of the first and the last frame by subject."""
    by_subject: dict[str, list[str | None]] = {}
    for row in read(DISFA, root, None, options).table.to_pylist():
        if row["frame"] in (1, 60):
            by_subject.setdefault(row["subject"], []).append(row["image"])
    return by_subject


@pytest.mark.parametrize("width", [0, 4, 5])
def test_the_padding_of_numbers_does_not_matter(bp4d_root: Path, copy: Copy, width: int) -> None:
    root = copy(bp4d_root)
    for path in list((root / "2D+3D").rglob("*.jpg")):
        path.rename(path.with_name(f"{int(path.stem):0{width}}.jpg"))
    reading = read(BP4D, root)
    for row in reading.table.to_pylist():
        name = f"{row['frame']:0{width}}.jpg"
        assert row["image"] == f"2D+3D/{row['subject']}/{row['task']}/{name}"
    assert reading.image_base == 1
    assert any(f"{width} digits" in note or not width for note in reading.notes)


def test_images_may_be_in_any_folder_and_some_may_be_missing(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    (root / SYNTHETIC_MARKER).unlink()  # as in a real release
    (root / "2D+3D").rename(root.parent / "frames")
    reading = read(BP4D, root.parent)
    assert reading.table["image"][0].as_py().startswith("frames/F001/T1/")
    removed = reading.root / reading.table["image"][5].as_py()
    removed.unlink()
    again = read(BP4D, root.parent)
    assert again.table["image"][5].as_py() is None and again.table["image"].null_count == 1
    assert "coded frames without an image: 1" in again.notes


def test_a_release_without_images_can_be_read(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    (root / "2D+3D").rename(root.parent / "frames")
    reading = read(BP4D, root)
    assert reading.table["image"].null_count == reading.table.num_rows
    assert reading.image_base is None and "images: none found" in reading.notes


def test_a_folder_of_images_outside_the_root_can_be_named(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    (root / "2D+3D").rename(root.parent / "frames")
    table = read(BP4D, root, None, ReadOptions(images=Path("../frames"))).table
    assert (root / table["image"][0].as_py()).is_file()
    assert table["image"].null_count == 0
    fails(lambda: read(BP4D, root, None, ReadOptions(images=Path("gone"))), where=root / "gone")


@pytest.mark.parametrize("name", ["0{}.jpg", "{}.png", "00{}.JPEG"])
def test_two_images_with_the_same_number_are_an_error(
    bp4d_root: Path, copy: Copy, name: str
) -> None:
    root = copy(bp4d_root)
    folder = root / "2D+3D" / "F001" / "T1"
    first = next(folder.iterdir())
    (folder / name.format(first.stem)).touch()
    fails(lambda: read(BP4D, root), first.name, name.format(first.stem), "both image")


def test_two_folders_of_one_sequence_are_an_error_unless_one_is_named(
    bp4d_root: Path, copy: Copy
) -> None:
    root = copy(bp4d_root)
    copytree(root / "2D+3D" / "M002", root / "crops" / "M002")
    fails(lambda: read(BP4D, root), "M002/T1", "2D+3D/M002/T1", "crops/M002/T1")
    assert read(BP4D, root, None, ReadOptions(images=Path("2D+3D"))).table["image"].null_count == 0


def test_other_files_and_the_images_of_a_workspace_are_ignored(bp4d_root: Path, copy: Copy) -> None:
    root = copy(bp4d_root)
    folder = root / "2D+3D" / "F001" / "T1"
    for name in ("._12.jpg", "12.obj", "texture.jpg", "Thumbs.db", "1234567890123.jpg"):
        (folder / name).touch()
    # The crops in a workspace have the same layout as the images of the release.
    copytree(root / "2D+3D", root / "fauds-work" / "bp4d" / "faces")
    (root / "fauds-work" / "bp4d" / "frames.parquet").touch()
    copytree(root / "2D+3D", root / ".cache")
    (root / "2D+3D" / "loop").symlink_to(root)
    assert read(BP4D, root).table["image"].null_count == 0


@pytest.mark.parametrize(("base", "width", "suffix"), [(0, 0, ".png"), (1, 4, ".jpg")])
def test_the_base_is_derived_from_the_first_and_last_image(
    disfa: Path, base: int, width: int, suffix: str
) -> None:
    images_of(disfa / "frames" / "SN001", range(base, base + 60), width, suffix)
    images_of(disfa / "frames" / "SN003", range(base, base + 60), 5, suffix)
    reading = read(DISFA, disfa)
    assert reading.image_base == base
    assert any("derived" in note for note in reading.notes)
    assert end_images(disfa) == {
        "SN001": [f"frames/SN001/{n + base:0{width}}{suffix}" for n in (0, 59)],
        "SN003": [f"frames/SN003/{n + base:05}{suffix}" for n in (0, 59)],
        "SN006": [None, None],
    }


def test_surplus_images_at_the_end_do_not_change_base_1(disfa: Path) -> None:
    images_of(disfa / "SN001", range(1, 71))
    assert read(DISFA, disfa).image_base == 1


@pytest.mark.parametrize(
    "numbers", [range(0, 61), range(1, 60), range(2, 61), range(2, 60), [0, 60], [7]]
)
def test_any_other_numbering_is_an_error_unless_the_base_is_declared(
    disfa: Path, numbers: Iterable[int]
) -> None:
    images_of(disfa / "SN001", numbers)
    fails(lambda: read(DISFA, disfa), "neither base 0 nor base 1", "last labelled frame is 60")
    for base in (0, 1):
        reading = read(DISFA, disfa, None, ReadOptions(image_base=base))
        assert reading.image_base == base
        for row in reading.table.to_pylist():
            number = row["frame"] - 1 + base
            exists = row["subject"] == "SN001" and number in numbers
            assert row["image"] == (f"SN001/{number}.png" if exists else None)


def test_a_declared_base_that_contradicts_the_images_is_an_error(disfa: Path) -> None:
    images_of(disfa / "SN001", range(60))
    assert read(DISFA, disfa, None, ReadOptions(image_base=0)).image_base == 0
    fails(lambda: read(DISFA, disfa, None, ReadOptions(image_base=1)), "base 0, not 1")


def test_subjects_must_agree_on_the_base(disfa: Path) -> None:
    images_of(disfa / "SN001", range(60))
    images_of(disfa / "SN003", range(1, 61))
    fails(lambda: read(DISFA, disfa), "unlike other subjects' images")
