"""Lists of frames in either format select the same frames."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.errors import DataError
from fauds.faces.manifest import read_manifest

Frame = tuple[str, str, int]


def table(frames: list[Frame]) -> pa.Table:
    subjects, tasks, numbers = zip(*frames, strict=True)
    return pa.table(
        {
            "subject": pa.array(subjects).dictionary_encode(),
            "task": pa.array(tasks).dictionary_encode(),
            "frame": pa.array(numbers, pa.int32()),
        }
    )


BP4D: list[Frame] = [
    (subject, task, frame)
    for subject in ("F001", "M010")
    for task in ("T1", "T8")
    for frame in range(95, 105)
]
DISFA: list[Frame] = [
    (subject, "", frame) for subject in ("SN001", "SN027") for frame in range(1, 21)
]


def kept(path: Path, frames: list[Frame]) -> list[Frame]:
    keep, _ = read_manifest(path, table(frames))
    return [frame for frame, is_kept in zip(frames, keep.tolist(), strict=True) if is_kept]


@given(
    rows=st.lists(st.sampled_from(BP4D), min_size=1, max_size=15, unique=True),
    width=st.integers(0, 6),
    above=st.sampled_from(["", "/data/BP4D/", "my sets/2D+3D/", "C:\\BP4D\\", "./"]),
    after=st.sampled_from(["", " 0", "\t1 0 9", "   "]),
    suffix=st.sampled_from([".jpg", ".JPG", ".png", ".jpeg"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_image_paths_and_csv_select_the_same_frames(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Frame],
    width: int,
    above: str,
    after: str,
    suffix: str,
    end: str,
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    slash = "\\" if "\\" in above else "/"
    paths, csv = folder / "paths.txt", folder / "frames.csv"
    lines = [f"{above}{s}{slash}{t}{slash}{n:0{width}}{suffix}{after}" for s, t, n in rows]
    paths.write_bytes(end.join([*lines, ""]).encode())
    csv.write_bytes(
        end.join(["subject,task,frame", *(f"{s},{t},{n}" for s, t, n in rows)]).encode()
    )
    assert kept(paths, BP4D) == kept(csv, BP4D) == sorted(rows)
    manifest, other = (read_manifest(path, table(BP4D))[1] for path in (paths, csv))
    plain = "".join(sorted(f"{s},{t},{n}\n" for s, t, n in rows))
    assert manifest.sha256 == other.sha256 == hashlib.sha256(plain.encode()).hexdigest()
    assert (manifest.name, manifest.listed, manifest.matched) == ("paths.txt", len(rows), len(rows))


@pytest.mark.parametrize(
    ("numbers", "expected"), [([0, 4, 19], [1, 5, 20]), ([1, 5, 20], [1, 5, 20])]
)
def test_disfa_images_are_counted_from_0_or_from_1(
    tmp_path: Path, numbers: list[int], expected: list[int]
) -> None:
    path = tmp_path / "list.txt"
    path.write_text("".join(f"images/SN027/{number}.png\n" for number in numbers))
    assert kept(path, DISFA) == [("SN027", "", frame) for frame in expected]
    csv = tmp_path / "list.csv"
    rows = "".join(f'"SN027","",{frame}\n' for frame in expected)
    csv.write_text(f'\ufeff\n"Subject","Task","Frame"\n{rows}', encoding="utf-8")
    assert kept(csv, DISFA) == kept(path, DISFA)
    assert read_manifest(csv, table(DISFA))[1].sha256 == read_manifest(path, table(DISFA))[1].sha256


def test_ambiguous_numbering_of_images_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("SN001/3.png\nSN001/19.png\n")
    with pytest.raises(DataError, match="from 0 or from 1: it names neither") as caught:
        read_manifest(path, table(DISFA))
    assert "subject,task,frame" in str(caught.value)


def test_listed_frames_that_are_not_coded_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    others = ["F001/T1/1.jpg", "M010/T1/900.jpg", "M010/T2/95.jpg", "F099/T1/95.jpg"]
    path.write_text("\n".join([*others, "F001/T1/95.jpg", "f001/t8/95.jpg"]))
    keep, manifest = read_manifest(path, table(BP4D))
    assert np.flatnonzero(keep).tolist() == [0, 10]
    assert (manifest.listed, manifest.matched) == (6, 2)
    assert manifest.notes == (
        "list.txt lists 6 frames, of which 2 are coded in this dataset",
        "listed frames that are not coded in this dataset: F001 1, F099 1, M010 2",
    )
    path.write_text("\n".join(others))
    with pytest.raises(
        DataError, match=r"None of the frames that list\.txt lists is coded in this dataset"
    ):
        read_manifest(path, table(BP4D))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("F001/T1/95.jpg\n\nnothing\n", 3),
        ("F001/T1/95.jpg\nF001/95.jpg\n", 2),
        ("F001/T1/95.jpg\nF001/T1/95.txt\n", 2),
        ("F001/T1/95.jpg\nF001/T1/1234567890.jpg\n", 2),
        ("F001/T1/95.jpg,1\n", 1),
        ("subject,task,frame\nF001,T1,95\nF001,T1\n", 3),
        ("subject,task,frame\nF001,T1,x\n", 2),
        ("subject,task,frame\nF001,T1,95,1\n", 2),
        ("frame,subject,task\n95,F001,T1\n", 1),
    ],
)
def test_a_line_that_names_no_frame_is_an_error(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(DataError, match="This line does not name a frame") as caught:
        read_manifest(path, table(BP4D))
    assert f"{path}:{line}\n" in str(caught.value)


def test_a_frame_that_is_listed_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("F001/T1/96.jpg\nF001/T1/95.jpg\n\nM010/T1/95.jpg\nF001/T1/0095.jpg\n")
    with pytest.raises(DataError, match="F001,T1,95 is listed twice: in lines 2 and 5") as caught:
        read_manifest(path, table(BP4D))
    assert f"{path}:5" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n  \n", "is empty"),
        (b"subject,task,frame\n", "holds only its header"),
        (b"F001/T1/95.jpg\n\xff\xfe", "not UTF-8 text: it holds the byte 0xff"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_not_a_list_of_frames_is_an_error(
    tmp_path: Path, data: bytes | None, message: str
) -> None:
    path = tmp_path / "list.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_manifest(path, table(BP4D))
    assert str(path) in str(caught.value) and caught.value.hint


def test_a_list_of_one_frame_is_described_in_the_singular(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("F001/T1/95.jpg\n")
    _, manifest = read_manifest(path, table(BP4D))
    assert manifest.notes == ("list.txt lists 1 frame, of which 1 is coded in this dataset",)
