"""Finding the lines of JAA-Net's landmark files that belong to each frame."""

import tempfile
from collections.abc import Sequence as Values
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.datasets import jaa_text
from fauds.datasets.bp4d import BP4D
from fauds.datasets.disfa import DISFA
from fauds.datasets.media_files import Footage, LandmarkFiles
from fauds.errors import DataError

from .helpers import fails

LAST = {("F001", "T1"): 30, ("F001", "T2"): 20, ("M018", "T5"): 10}
DISFA_LAST = {("SN001", ""): 6, ("SN003", ""): 6}


@pytest.fixture
def bp4d(tmp_path: Path) -> Path:
    (tmp_path / "AUCoding").mkdir()
    return tmp_path


@pytest.fixture
def disfa(tmp_path: Path) -> Path:
    (tmp_path / "ActionUnit_Labels").mkdir()
    return tmp_path


def pair(folder: Path, name: str, listed: Values[str], points: int = 49, end: str = "\n") -> Path:
    """Write a landmark file and its list; return the path of the landmark file."""
    folder.mkdir(parents=True, exist_ok=True)
    land = folder / f"{name}_{'66land' if points == 66 else 'land'}.txt"
    line = " ".join(["12.5"] * 2 * points)
    land.write_text("".join(f"{line}{end}" for _ in listed), newline="")
    text = "".join(f"{path}{end}" for path in listed)
    (folder / f"{name}_path.txt").write_text(text, newline="")
    return land


def landmarks_by_name(footage: Footage) -> dict[str, LandmarkFiles]:
    return {
        "/".join(filter(None, key)): source.landmarks
        for key, source in footage.sources.items()
        if source.landmarks
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_a_frame_has_the_same_line_in_both_files(bp4d: Path, end: str) -> None:
    listed = ["F001/T1/0012.jpg", "M018/T5/0003.jpg", "F001/T1/2.jpg", "F099/T1/1.jpg"]
    land = pair(bp4d / "lists", "BP4D_combine_1_2", [*listed, "x/F001/T2/7.png"], 49, end)
    footage = BP4D.footage(bp4d, LAST)
    assert landmarks_by_name(footage) == {
        "F001/T1": LandmarkFiles("jaa-text", 49, land, {2: 2, 12: 0}),
        "F001/T2": LandmarkFiles("jaa-text", 49, land, {7: 4}),
        "M018/T5": LandmarkFiles("jaa-text", 49, land, {3: 1}),
    }
    note = "landmarks: 49 points for 3 of 3 sequences (lists/BP4D_combine_1_2_land.txt)"
    assert footage.notes == (note,)


def test_a_release_may_have_several_lists(bp4d: Path) -> None:
    part1 = pair(bp4d, "BP4D_part1", ["F001/T1/1.jpg", "F001/T2/1.jpg"])
    part2 = pair(bp4d, "BP4D_part2", ["M018/T5/1.jpg", "M018/T5/2.jpg"])
    pair(bp4d, "BP4D_part10", ["M018/T5/2.jpg", "M018/T5/1.jpg"])
    footage = BP4D.footage(bp4d, LAST)
    assert {name: files.path for name, files in landmarks_by_name(footage).items()} == {
        "F001/T1": part1,
        "F001/T2": part1,
        "M018/T5": part2,
    }
    assert len(footage.notes) == 1


def test_the_longest_of_several_lists_of_a_sequence_is_used(bp4d: Path) -> None:
    pair(bp4d, "BP4D_a", ["F001/T1/1.jpg"])
    longer = pair(bp4d, "BP4D_b", ["F001/T1/2.jpg", "F001/T1/3.jpg"])
    footage = BP4D.footage(bp4d, LAST)
    assert landmarks_by_name(footage)["F001/T1"].path == longer
    assert footage.notes[-1] == (
        "several landmark files hold frames of F001/T1: the file with the most is used"
    )


def test_mat_files_are_preferred_to_text_files(bp4d: Path) -> None:
    pair(bp4d, "BP4D", ["F001/T1/1.jpg", "F001/T2/1.jpg"])
    (bp4d / "2DFeatures").mkdir()
    (bp4d / "2DFeatures" / "F001_T1.mat").touch()
    footage = BP4D.footage(bp4d, LAST)
    assert {name: files.form for name, files in landmarks_by_name(footage).items()} == {
        "F001/T1": "bp4d-mat",
        "F001/T2": "jaa-text",
    }
    assert "landmarks exist as .mat and as text files: the .mat files are used" in footage.notes


def test_a_landmark_file_without_its_list_is_not_read(bp4d: Path) -> None:
    pair(bp4d, "BP4D", ["F001/T1/1.jpg"])
    (bp4d / "BP4D_path.txt").unlink()
    (bp4d / "island.txt").touch()
    assert BP4D.footage(bp4d, LAST).notes == (
        "landmarks: none found",
        "BP4D_land.txt is not read: there is no BP4D_path.txt beside it",
    )


@pytest.mark.parametrize("chunk", [1, 2, 5, 7])
@pytest.mark.parametrize("end", ["", "\n", "\n\n \r\n"])
def test_lines_are_counted_with_any_size_of_chunks(
    bp4d: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, end: str
) -> None:
    monkeypatch.setattr(jaa_text, "_CHUNK", chunk)
    land = pair(bp4d, "BP4D", [f"F001/T1/{n}.jpg" for n in range(5)], 49, "\r\n")
    land.write_text(land.read_text().rstrip() + end, newline="")
    assert len(landmarks_by_name(BP4D.footage(bp4d, LAST))["F001/T1"].places) == 5
    land.write_text(land.read_text().rstrip() + "\n1" + end, newline="")
    fails(lambda: BP4D.footage(bp4d, LAST), "has 6 lines")


def test_files_of_different_lengths_are_an_error(bp4d: Path) -> None:
    land = pair(bp4d, "BP4D", [f"F001/T1/{n}.jpg" for n in range(1200)])
    (bp4d / "BP4D_path.txt").write_text("F001/T1/1.jpg\n" * 3)
    fails(lambda: BP4D.footage(bp4d, LAST), "1,200 lines", "BP4D_path.txt has 3", where=land)


@pytest.mark.parametrize("numbers", [0, 97, 136])
def test_a_wrong_number_of_points_is_an_error(bp4d: Path, numbers: int) -> None:
    land = pair(bp4d, "BP4D", ["F001/T1/1.jpg"])
    land.write_text(" ".join(["1"] * numbers) + "\n")
    fails(lambda: BP4D.footage(bp4d, LAST), f"has {numbers} numbers", where=f"{land}:1")


@pytest.mark.parametrize("line", ["", "F001/T1/a.jpg", "F001/T1/1.txt", "12", "F001/T1/-1.jpg"])
def test_a_line_that_names_no_image_is_an_error(bp4d: Path, line: str) -> None:
    pair(bp4d, "BP4D", ["F001/T1/1.jpg", line, "F001/T1/2.jpg"])
    fails(lambda: BP4D.footage(bp4d, LAST), "no image", where=f"{bp4d / 'BP4D_path.txt'}:2")


def test_a_frame_that_is_listed_twice_is_an_error(bp4d: Path) -> None:
    pair(bp4d, "BP4D", ["F001/T1/7.jpg", "F001/T2/7.jpg", "F001/T1/0007.jpg"])
    fails(lambda: BP4D.footage(bp4d, LAST), "Lines 1 and 3 name the same image")


def test_a_list_that_is_not_text_is_an_error(bp4d: Path) -> None:
    pair(bp4d, "BP4D", ["F001/T1/7.jpg"])
    (bp4d / "BP4D_path.txt").write_bytes(b"\xff\xfe\0")
    fails(lambda: BP4D.footage(bp4d, LAST), "not UTF-8 text", where=bp4d / "BP4D_path.txt")


@pytest.mark.parametrize("base", [0, 1])
def test_subjects_with_both_ends_in_a_list_decide_the_base_for_all(disfa: Path, base: int) -> None:
    complete = [f"SN001/{n}.png" for n in range(base, base + 6)]
    land = pair(disfa, "DISFA", [*complete, "SN003/3.png", "SN003/2.png"], points=66)
    for declared in (None, 1):
        assert landmarks_by_name(DISFA.footage(disfa, DISFA_LAST, image_base=declared)) == {
            "SN001": LandmarkFiles("jaa-text", 66, land, {n: n - 1 for n in range(1, 7)}),
            "SN003": LandmarkFiles("jaa-text", 66, land, {3 - base: 7, 4 - base: 6}),
        }


def test_the_base_must_be_declared_if_no_subject_decides_it(disfa: Path) -> None:
    pair(disfa, "DISFA", [f"SN001/{n}.png" for n in range(2, 5)], points=66)
    fails(lambda: DISFA.footage(disfa, DISFA_LAST), "neither base 0 nor base 1", "--image-base")
    for base in (0, 1):
        places = landmarks_by_name(DISFA.footage(disfa, DISFA_LAST, image_base=base))[
            "SN001"
        ].places
        assert places == {n + 1 - base: n - 2 for n in range(2, 5)}


def test_66_points_are_preferred_to_49(disfa: Path) -> None:
    listed = [f"SN001/{n}.png" for n in range(6)]
    pair(disfa, "DISFA_combine_1_2", listed)
    land = pair(disfa, "DISFA_combine_1_2", listed, points=66)
    assert landmarks_by_name(DISFA.footage(disfa, DISFA_LAST))["SN001"].path == land


def test_the_digest_changes_with_either_file(bp4d: Path) -> None:
    land = pair(bp4d, "BP4D", ["F001/T1/7.jpg"])
    digests = {BP4D.footage(bp4d, LAST).sources["F001", "T1"].digest}
    for path in (land, bp4d / "BP4D_path.txt"):
        path.write_text(path.read_text() + "\n")
        digests.add(BP4D.footage(bp4d, LAST).sources["F001", "T1"].digest)
    assert len(digests) == 3


@given(
    listed=st.lists(
        st.tuples(st.sampled_from([*LAST, ("F099", "T1")]), st.integers(0, 10**5)), unique=True
    ).filter(bool),
    widths=st.lists(st.integers(1, 8), min_size=1),
)
def test_lists_may_have_any_order_and_padding(
    listed: list[tuple[tuple[str, str], int]], widths: list[int]
) -> None:
    lines = [
        f"{subject}/{task}/{n:0{widths[n % len(widths)]}}.jpg" for (subject, task), n in listed
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "AUCoding").mkdir()
        pair(Path(folder), "BP4D", lines)
        landmarks = landmarks_by_name(BP4D.footage(Path(folder), LAST))
    expected: dict[str, dict[int, int]] = {}
    for line, (key, n) in enumerate(listed):
        if key in LAST:
            expected.setdefault("/".join(key), {})[n] = line
    assert {name: files.places for name, files in landmarks.items()} == expected


@pytest.mark.parametrize("name", ["BP4D_combine_1_2_land.txt", "BP4D_combine_1_2_path.txt"])
def test_an_empty_file_is_an_error_that_names_it(bp4d: Path, name: str) -> None:
    pair(bp4d / "lists", "BP4D_combine_1_2", ["F001/T1/2.jpg"])
    (bp4d / "lists" / name).write_bytes(b"")
    with pytest.raises(DataError, match=f"{name} is empty") as caught:
        BP4D.footage(bp4d, LAST)
    assert caught.value.hint
