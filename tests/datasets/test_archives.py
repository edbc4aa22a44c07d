"""Finding images in zip files by the folder and the number in their names."""

import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.datasets.bp4d import BP4D
from fauds.datasets.disfa import DISFA
from fauds.datasets.media_files import Archive, Footage, SequenceId

from .helpers import fails

LAST = {("F001", "T1"): 30, ("F001", "T2"): 20, ("M018", "T5"): 10}
DISFA_LAST = {("SN001", ""): 4, ("SN003", ""): 4}


@pytest.fixture
def bp4d(tmp_path: Path) -> Path:
    (tmp_path / "BP4D" / "AUCoding").mkdir(parents=True)
    return tmp_path / "BP4D"


@pytest.fixture
def disfa(tmp_path: Path) -> Path:
    (tmp_path / "DISFA" / "ActionUnit_Labels").mkdir(parents=True)
    return tmp_path / "DISFA"


def zipped(path: Path, names: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return path


def archives(footage: Footage) -> dict[SequenceId, Archive]:
    return {key: source.archive for key, source in footage.sources.items() if source.archive}


@pytest.mark.parametrize("above", ["F001/", "", "2D+3D/f001/", "images/"])
def test_the_images_of_a_subject_are_found_in_its_zip_file(bp4d: Path, above: str) -> None:
    members = [f"{above}T1/{name}" for name in ("0643.jpg", "12.PNG", "0001.obj", "a.jpg")]
    path = zipped(bp4d / "2D+3D" / "F001.zip", ["readme.txt", *members, f"{above}T2/00007.jpeg"])
    footage = BP4D.footage(bp4d, LAST)
    assert archives(footage) == {
        ("F001", "T1"): Archive(path, {12: members[1], 643: members[0]}),
        ("F001", "T2"): Archive(path, {7: f"{above}T2/00007.jpeg"}),
    }
    assert footage.notes[0] == "archives: 1 with 3 images for 2 of 3 sequences (2D+3D/F001.zip)"


def test_names_in_a_zip_file_may_have_backslashes(bp4d: Path) -> None:
    path = zipped(bp4d / "all.zip", ["2D+3D\\F001\\T1\\0643.jpg"])
    assert archives(BP4D.footage(bp4d, LAST)) == {
        ("F001", "T1"): Archive(path, {643: "2D+3D\\F001\\T1\\0643.jpg"})
    }


def test_a_zip_file_may_hold_several_subjects(bp4d: Path) -> None:
    path = zipped(bp4d / "all.zip", ["F001/T1/1.jpg", "M018/T5/2.jpg", "F099/T1/3.jpg", "T1/4.jpg"])
    assert archives(BP4D.footage(bp4d, LAST)) == {
        ("F001", "T1"): Archive(path, {1: "F001/T1/1.jpg"}),
        ("M018", "T5"): Archive(path, {2: "M018/T5/2.jpg"}),
    }


def test_the_folder_of_a_subject_without_labels_is_ignored_in_a_zip_file(bp4d: Path) -> None:
    zipped(bp4d / "F001.zip", ["F099/T1/3.jpg"])
    assert archives(BP4D.footage(bp4d, LAST)) == {}


def test_two_images_with_the_same_number_are_an_error(bp4d: Path) -> None:
    path = zipped(bp4d / "F001.zip", ["F001/T1/12.jpg", "T1/0012.png"])
    fails(
        lambda: BP4D.footage(bp4d, LAST),
        "F001/T1/12.jpg and T1/0012.png are both image 12 of F001/T1",
        where=path,
    )


def test_two_archives_of_one_sequence_are_an_error(bp4d: Path) -> None:
    first = zipped(bp4d / "F001.zip", ["T1/12.jpg", "T2/1.jpg"])
    second = zipped(bp4d / "more" / "F001.zip", ["T1/13.jpg"])
    fails(lambda: BP4D.footage(bp4d, LAST), "F001/T1", str(first), str(second), where=second)


@pytest.mark.parametrize("data", [b"", b"PK\3\4 not a zip", None])
def test_a_damaged_archive_is_an_error_that_names_it(bp4d: Path, data: bytes | None) -> None:
    path = zipped(bp4d / "F001.zip", [f"T1/{number}.jpg" for number in range(99)])
    path.write_bytes(path.read_bytes()[:-40] if data is None else data)
    fails(lambda: BP4D.footage(bp4d, LAST), "archive cannot be read", where=path)


def test_names_that_point_outside_the_archive_are_kept_as_they_are(bp4d: Path) -> None:
    path = zipped(bp4d / "F001.zip", ["../../F001/T1/1.jpg"])
    assert archives(BP4D.footage(bp4d, LAST)) == {
        ("F001", "T1"): Archive(path, {1: "../../F001/T1/1.jpg"})
    }


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize(
    ("zip_name", "member"),
    [
        ("SN001.zip", "SN001/{}.png"),
        ("sn001.zip", "{:04}.jpg"),
        ("frames.zip", "DISFA/SN001/{}.png"),
        ("LeftVideoSN001_comp.zip", "LeftVideoSN001_comp_{:05}.jpg"),
        ("frames.zip", "LeftVideoSN001_comp.avi/frame-{}.jpg"),
    ],
)
def test_images_of_disfa_may_count_from_0_or_1(
    disfa: Path, zip_name: str, member: str, base: int
) -> None:
    numbers = range(base, base + 4)
    path = zipped(disfa / zip_name, [member.format(number) for number in numbers])
    expected = {frame: member.format(frame - 1 + base) for frame in range(1, 5)}
    assert archives(DISFA.footage(disfa, DISFA_LAST)) == {("SN001", ""): Archive(path, expected)}


def test_the_numbering_of_disfa_is_never_guessed(disfa: Path) -> None:
    path = zipped(disfa / "SN001.zip", [f"{number}.png" for number in range(5)])
    fails(lambda: DISFA.footage(disfa, DISFA_LAST), "neither base 0 nor base 1", where=path)
    for base in (0, 1):
        archive = archives(DISFA.footage(disfa, DISFA_LAST, image_base=base))["SN001", ""]
        assert archive.members[1] == f"{base}.png"
    zipped(path, [f"{number}.png" for number in range(4)])
    fails(lambda: DISFA.footage(disfa, DISFA_LAST, image_base=1), "base 0, not 1")
    zipped(disfa / "SN003.zip", [f"{number}.png" for number in range(1, 5)])
    fails(lambda: DISFA.footage(disfa, DISFA_LAST), "unlike other subjects")


def test_images_of_the_other_camera_are_left_out(disfa: Path) -> None:
    for camera in ("Left", "Right"):
        names = [f"frame-{number}.jpg" for number in range(1, 5)]
        zipped(disfa / f"{camera}VideoSN001_comp.zip", names)
    for camera in ("left", "right"):
        by_sequence = archives(DISFA.footage(disfa, DISFA_LAST, camera=camera))
        assert by_sequence["SN001", ""].path.name == f"{camera.title()}VideoSN001_comp.zip"


@pytest.mark.parametrize(
    ("zip_name", "member"),
    [
        ("Frames_RightCamera/SN001.zip", "{}.png"),
        ("SN001.zip", "right/SN001/{}.png"),
        ("SN001.zip", "RightVideoSN001_comp_{:05}.png"),
    ],
)
def test_the_camera_may_be_named_by_any_folder_or_file(
    disfa: Path, zip_name: str, member: str
) -> None:
    zipped(disfa / zip_name, [member.format(number) for number in range(1, 5)])
    assert archives(DISFA.footage(disfa, DISFA_LAST)) == {}
    assert len(archives(DISFA.footage(disfa, DISFA_LAST, camera="right"))) == 1


def test_one_zip_file_may_hold_the_images_of_both_cameras(disfa: Path) -> None:
    names = [f"{side}VideoSN001_comp/{n}.jpg" for side in ("Left", "Right") for n in range(1, 5)]
    zipped(disfa / "frames.zip", names)
    for camera, members in (("left", names[:4]), ("right", names[4:])):
        by_sequence = archives(DISFA.footage(disfa, DISFA_LAST, camera=camera))
        assert [*by_sequence["SN001", ""].members.values()] == members


def test_the_digest_changes_with_the_numbering(disfa: Path) -> None:
    zipped(disfa / "SN001.zip", [f"{number}.png" for number in range(5)])
    digests = {
        DISFA.footage(disfa, DISFA_LAST, image_base=base).sources["SN001", ""].digest
        for base in (0, 1, 0)
    }
    assert len(digests) == 2


def test_the_digest_changes_with_the_archive(bp4d: Path) -> None:
    path = zipped(bp4d / "F001.zip", ["T1/12.jpg"])
    before = BP4D.footage(bp4d, LAST).sources
    zipped(path, ["T1/12.jpg", "T1/13.jpg"])
    after = BP4D.footage(bp4d, LAST).sources
    changed = [key for key in LAST if before[key].digest != after[key].digest]
    assert changed == [("F001", "T1")]


@given(
    numbers=st.sets(st.integers(0, 99_999), min_size=1),
    widths=st.lists(st.integers(1, 8), min_size=1),
    folders=st.lists(st.from_regex(r"[a-z]{1,3}", fullmatch=True), max_size=3),
    inside=st.booleans(),
)
def test_images_are_found_at_any_depth_and_with_any_padding(
    numbers: set[int], widths: list[int], folders: list[str], inside: bool
) -> None:
    above = "/".join([*folders, *(["F001"] if inside else []), "T1"])
    names = {n: f"{above}/{n:0{widths[n % len(widths)]}}.jpg" for n in numbers}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "AUCoding").mkdir()
        zipped(Path(folder) / ("x.zip" if inside else "F001.zip"), names.values())
        archive = BP4D.footage(Path(folder), LAST).sources["F001", "T1"].archive
    assert archive is not None and archive.members == names
