"""Finding the videos and landmarks of sequences by name, at any depth."""

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.datasets import image_folders as images
from fauds.datasets.bp4d import BP4D
from fauds.datasets.disfa import DISFA
from fauds.datasets.media_files import Footage, LandmarkFiles, SequenceId
from fauds.tables.paths import SYNTHETIC_MARKER

from .helpers import fails

BP4D_LAST = {("F001", "T1"): 30, ("F001", "T2"): 20, ("M018", "T5"): 10}
DISFA_LAST = {("SN001", ""): 12, ("SN031", ""): 12}


@pytest.fixture
def bp4d(tmp_path: Path) -> Path:
    (tmp_path / "BP4D" / "AUCoding" / "AU_OCC").mkdir(parents=True)
    return tmp_path / "BP4D"


@pytest.fixture
def disfa(tmp_path: Path) -> Path:
    (tmp_path / "DISFA" / "ActionUnit_Labels" / "SN001").mkdir(parents=True)
    return tmp_path / "DISFA"


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def of_bp4d(root: Path) -> Footage:
    return BP4D.footage(root, BP4D_LAST)


def of_disfa(
    root: Path, camera: Literal["left", "right"] = "left", images: Path | None = None
) -> Footage:
    return DISFA.footage(root, DISFA_LAST, camera=camera, images=images)


def videos(footage: Footage) -> dict[SequenceId, str]:
    return {key: source.video.name for key, source in footage.sources.items() if source.video}


def landmarks_of(footage: Footage, subject: str) -> LandmarkFiles:
    landmarks = footage.sources[subject, ""].landmarks
    assert landmarks is not None
    return landmarks


def put_landmarks(folder: Path, names: Iterable[str]) -> None:
    put(*(folder / f"{name}_lm.mat" for name in names))


@pytest.mark.parametrize(
    "names",
    [
        ("2F01_T1.avi", "2F01_T2.avi", "2M18_T5.avi"),
        ("2f01_01.MP4", "2F01_03.avi", "2M18_09.mkv"),
        ("F001_T1.mov", "F01_03.mpg", "2M018_t5.avi"),
    ],
)
def test_videos_of_bp4d_are_found_by_any_of_their_names(bp4d: Path, names: tuple[str, ...]) -> None:
    put(*(bp4d / "Videos" / "colour" / name for name in names))
    put(bp4d / "2F01_02.avi", bp4d / "2F99_T1.avi", bp4d / "about.avi", bp4d / "._2F01_T1.avi")
    footage = of_bp4d(bp4d)
    assert videos(footage) == dict(zip(BP4D_LAST, names, strict=True))
    assert footage.notes == (
        f"videos: 3 of 3 sequences (Videos/colour/{names[0]}, ...)",
        "landmarks: none found",
    )


def test_video_names_may_use_the_numbers_of_the_recording(bp4d: Path) -> None:
    recorded = dict(zip(("01", "03", "07", "08", "09", "10", "11", "13"), range(1, 9), strict=True))
    put(*(bp4d / f"2F01_{number}.avi" for number in recorded))
    last = {("F001", f"T{task}"): 9 for task in recorded.values()}
    assert videos(BP4D.footage(bp4d, last)) == {
        ("F001", f"T{task}"): f"2F01_{number}.avi" for number, task in recorded.items()
    }


def test_two_videos_of_one_sequence_are_an_error(bp4d: Path) -> None:
    put(bp4d / "a" / "2F01_T1.avi", bp4d / "b" / "F001_01.mp4")
    fails(
        lambda: of_bp4d(bp4d),
        str(bp4d / "a" / "2F01_T1.avi"),
        str(bp4d / "b" / "F001_01.mp4"),
        "videos of F001/T1",
    )


@pytest.mark.parametrize("folder", ["2DFeatures", "BP4D-fpoints", "2dfeatures"])
def test_landmarks_of_bp4d_are_found_in_their_folders(bp4d: Path, folder: str) -> None:
    put(bp4d / "deep" / folder / "F001_T1.mat", bp4d / "deep" / folder / "m018_t5.mat")
    put(bp4d / "elsewhere" / "F001_T2.mat", bp4d / "deep" / folder / "F099_T1.mat")
    footage = of_bp4d(bp4d)
    landmarks = {key: source.landmarks for key, source in footage.sources.items()}
    assert landmarks == {
        ("F001", "T1"): LandmarkFiles("bp4d-mat", 49, bp4d / "deep" / folder / "F001_T1.mat", {}),
        ("F001", "T2"): None,
        ("M018", "T5"): LandmarkFiles("bp4d-mat", 49, bp4d / "deep" / folder / "m018_t5.mat", {}),
    }
    assert footage.notes == (
        f"landmarks: 49 points for 2 of 3 sequences (deep/{folder}/F001_T1.mat, ...)",
        "no landmarks of F001/T2",
    )
    put(bp4d / "2DFeatures" / "F001_T1.mat")
    fails(lambda: of_bp4d(bp4d), "both landmarks of F001/T1")


def test_folders_of_images_are_not_opened(bp4d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bp4d / "2D+3D" / "F001" / "T1" / "12.jpg", bp4d / "2D+3D" / "F050" / "T7" / "12.jpg")
    put(bp4d / "2D+3D" / "F001" / "F001_T1.avi")
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(Path(path)), scandir(path))[1])
    assert videos(of_bp4d(bp4d)) == {("F001", "T1"): "F001_T1.avi"}
    assert bp4d / "2D+3D" / "F001" in listed
    assert not {path.name for path in listed} & {"T1", "T7"}


def test_workspaces_synthetic_releases_and_hidden_folders_are_not_searched(bp4d: Path) -> None:
    put(bp4d / "work" / "bp4d" / "frames.parquet", bp4d / "work" / "bp4d" / "x" / "2F01_T1.avi")
    put(bp4d / "synth" / SYNTHETIC_MARKER, bp4d / "synth" / "Videos" / "2F01_T1.avi")
    put(bp4d / "__MACOSX" / "2F01_T1.avi", bp4d / ".cache" / "2F01_T1.avi")
    (bp4d / "loop").symlink_to(bp4d)
    put(bp4d / "Videos" / "2F01_T1.avi")
    footage = of_bp4d(bp4d)
    assert footage.sources["F001", "T1"].video == bp4d / "Videos" / "2F01_T1.avi"


def test_names_that_are_not_utf_8_are_escaped_in_notes(bp4d: Path) -> None:
    folder = bp4d / os.fsdecode(b"Vid\xe9os")
    put(folder / "2F01_T1.avi", folder / os.fsdecode(b"\xe9_land.txt"))
    notes = of_bp4d(bp4d).notes
    assert notes[0] == "videos: 1 of 3 sequences (Vid\\xe9os/2F01_T1.avi)"
    assert notes[2].startswith("\\xe9_land.txt is not read")


@pytest.mark.parametrize("root", [".", "AUCoding", "AUCoding/AU_OCC", ".."])
def test_the_root_may_be_in_at_or_above_the_release(bp4d: Path, root: str) -> None:
    put(bp4d / "2F01_T1.avi")
    assert videos(of_bp4d((bp4d / root).resolve())) == {("F001", "T1"): "2F01_T1.avi"}


def test_a_release_may_have_no_media_files(bp4d: Path) -> None:
    footage = of_bp4d(bp4d)
    assert list(footage.sources) == list(BP4D_LAST)
    assert {(s.archive, s.video, s.landmarks) for s in footage.sources.values()} == {(None,) * 3}
    assert footage.notes == ("landmarks: none found",)


@given(
    folders=st.lists(st.from_regex(r"[a-z]{1,3}", fullmatch=True), max_size=4),
    subject=st.tuples(st.sampled_from("FM"), st.integers(1, 99)),
    task=st.integers(1, 8),
    prefix=st.sampled_from(["", "2"]),
    width=st.sampled_from([2, 3]),
)
def test_videos_are_found_at_any_depth_and_with_any_padding(
    folders: list[str], subject: tuple[str, int], task: int, prefix: str, width: int
) -> None:
    sex, number = subject
    sequence = (f"{sex}{number:03d}", f"T{task}")
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, *folders, f"{prefix}{sex}{number:0{width}}_T{task}.avi")
        put(Path(folder, "AUCoding", "labels"), video)
        assert BP4D.footage(Path(folder), {sequence: 9}).sources[sequence].video == video


def test_videos_of_disfa_are_those_of_the_chosen_camera(disfa: Path) -> None:
    for camera in ("Left", "Right"):
        for subject in ("SN001", "SN031", "SN002"):
            put(disfa / f"Videos_{camera}Camera" / f"{camera}Video{subject}_comp.avi")
    put_landmarks(disfa / "Landmark_Points" / "SN001", ["SN001_0000"])
    for camera in ("left", "right"):
        footage = of_disfa(disfa, camera)
        names = [f"{camera.title()}Video{subject}_comp.avi" for subject in ("SN001", "SN031")]
        assert list(videos(footage).values()) == names
        assert footage.notes[0].endswith(f"{names[0]}, ...), camera {camera}")
        assert (footage.sources["SN001", ""].landmarks is None) == (camera == "right")
    assert footage.notes[1:] == (
        "landmarks: none, since the release has landmarks for the left camera only",
    )
    put(disfa / "LeftVideoSN001_comp.mp4")
    fails(lambda: of_disfa(disfa), "LeftVideoSN001_comp.mp4", "LeftVideoSN001_comp.avi")


@pytest.mark.parametrize(
    ("image", "names_camera"),
    [
        ("Frames/{}VideoSN001_comp/frame-1.jpg", True),
        ("{}videosn001_comp.avi/1.png", True),
        ("Video_{}Camera/SN001/0001.png", True),
        ("frames_{}/SN001/1.png", True),
        ("Frames{}/SN001/1.png", True),
        ("{}/x/SN001/1.png", True),
        ("SN001/{}VideoSN001_comp_00001.png", True),
        ("Left/{}VideoSN001_comp/1.png", True),
        ("Frames/SN001/1.png", False),
        ("Upright/SN001/1.png", False),
        ("LeftRight/SN001/1.png", False),
    ],
)
@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_extracted_images_of_the_other_camera_are_an_error(
    disfa: Path,
    image: str,
    names_camera: bool,
    side: Literal["left", "right"],
    other: Literal["left", "right"],
) -> None:
    path = disfa / image.format(side.title())
    put(path, disfa / f"{other.title()}VideoSN001_comp" / "readme.txt")
    put_landmarks(disfa / "Landmark_Points" / "SN001", ["SN001_0000"])
    assert (of_disfa(disfa, side).sources["SN001", ""].landmarks is None) == (side == "right")
    if names_camera:
        what = f"images of SN001 are from the {side} camera"
        fails(lambda: of_disfa(disfa, other), what, f"--camera {side}", where=path.parent)
    else:
        of_disfa(disfa, other)


def test_the_folder_of_the_subject_with_images_of_the_other_camera_is_named(disfa: Path) -> None:
    wrong = disfa / "Images_Right" / "SN001" / "1.jpg"
    put(wrong, disfa / "Images_Left" / "SN031" / "1.jpg")
    what = "images of SN001 are from the right camera"
    fails(lambda: of_disfa(disfa, "left"), what, where=wrong.parent)


def test_a_named_folder_decides_between_the_images_of_both_cameras(disfa: Path) -> None:
    for side in ("Left", "Right"):
        put(disfa / side / "SN001" / "1.png", disfa.parent / f"{side}Frames" / "SN001" / "1.png")
    of_disfa(disfa, "left", Path("Left"))
    of_disfa(disfa, "right", Path("../RightFrames"))
    fails(
        lambda: of_disfa(disfa, "left", Path("Right")), "from the right camera", "--images FOLDER"
    )
    fails(lambda: of_disfa(disfa, "right", Path("../LeftFrames")), "from the left camera")


@pytest.mark.parametrize("folder", ["Landmark_Points", "Landmark_Points/Landmark_Points"])
@pytest.mark.parametrize("between", ["tmp_frame_lm", "", "a/b"])
def test_landmark_files_of_disfa_count_from_0(disfa: Path, folder: str, between: str) -> None:
    place = disfa / folder / "SN001" / between
    put_landmarks(place, [f"SN001_{number:04}" for number in (0, 1, 7, 11)])
    landmarks = landmarks_of(of_disfa(disfa), "SN001")
    assert (landmarks.form, landmarks.points, landmarks.path) == ("disfa-mat", 66, place)
    assert landmarks.places == {n: f"SN001_{n - 1:04}_lm.mat" for n in (1, 2, 8, 12)}


@pytest.mark.parametrize(
    ("numbers", "base", "note"),
    [
        (range(0, 12), 0, None),
        (range(0, 13), 0, None),
        (range(1, 13), 1, "SN031: its landmark files count from 1"),
        (range(1, 12), 0, "SN031: its landmark files are assumed to count from 0"),
        (range(2, 13), 0, "SN031: its landmark files are assumed to count from 0"),
    ],
)
def test_landmark_files_named_with_the_letter_l_may_count_from_0_or_1(
    disfa: Path, numbers: range, base: int, note: str | None
) -> None:
    present = [number for number in numbers if number != 5]
    put_landmarks(
        disfa / "Landmark_Points" / "SN031" / "tmp_frame_lm", [f"l{n:05}" for n in present]
    )
    footage = of_disfa(disfa)
    expected = {n + 1 - base: f"l{n:05}_lm.mat" for n in present}
    assert landmarks_of(footage, "SN031").places == expected
    assert footage.notes[1] == "no landmarks of SN001"
    assert len(footage.notes) == 2 + bool(note)
    assert note is None or footage.notes[2].startswith(note)


def test_landmark_files_of_disfa_in_a_wrong_folder_are_errors(disfa: Path) -> None:
    put_landmarks(disfa / "SN001", ["SN031_0000"])
    fails(lambda: of_disfa(disfa), "folder of SN001", "another subject")
    (disfa / "SN001" / "SN031_0000_lm.mat").unlink()
    put_landmarks(disfa / "SN001", ["SN001_0003", "SN001_003"])
    fails(lambda: of_disfa(disfa), "SN001_0003_lm.mat", "SN001_003_lm.mat", "file 3 of SN001")
    (disfa / "SN001" / "SN001_003_lm.mat").unlink()
    put_landmarks(disfa / "copy", ["SN001_0000"])
    fails(lambda: of_disfa(disfa), str(disfa / "copy"), str(disfa / "SN001"), "two folders")
    (disfa / "copy" / "SN001_0000_lm.mat").unlink()
    put_landmarks(disfa / "copy", ["l00000"])
    fails(lambda: of_disfa(disfa), "names a subject", where=disfa / "copy" / "l00000_lm.mat")


def test_the_digest_changes_with_every_file_of_its_sequence(disfa: Path) -> None:
    video = disfa / "LeftVideoSN001_comp.avi"
    folder = disfa / "Landmark_Points" / "SN001"
    put(video)
    put_landmarks(folder, ["SN001_0000", "SN001_0001"])
    put_landmarks(disfa / "Landmark_Points" / "SN031", ["l00000"])
    before = of_disfa(disfa).sources
    assert of_disfa(disfa).sources == before
    digests = {before["SN001", ""].digest, before["SN031", ""].digest}

    def changed() -> None:
        now = of_disfa(disfa).sources
        assert now["SN001", ""].digest not in digests
        assert now["SN031", ""].digest == before["SN031", ""].digest
        digests.add(now["SN001", ""].digest)

    video.write_bytes(b"1")
    changed()
    os.utime(folder / "SN001_0001_lm.mat", ns=(0, 7))
    changed()
    video.rename(disfa / "LeftVideoSN001_comp.mp4")
    changed()
    (folder / "SN001_0000_lm.mat").unlink()
    changed()
    assert re.fullmatch("[0-9a-f]{64}", before["SN001", ""].digest)


@pytest.mark.parametrize("folder", ["LeftVideoSN001_comp", "rightvideosn001_comp.avi", "SN001"])
@pytest.mark.parametrize("name", ["{}.jpg", "frame-{}.jpg", "LeftVideoSN001_comp_{:05}.png"])
def test_frames_exported_from_disfas_videos_are_images_of_their_subject(
    tmp_path: Path, folder: str, name: str
) -> None:
    put(*(tmp_path / "frames" / folder / name.format(number) for number in (2, 10, 1)))
    put(tmp_path / "frames" / folder / "preview-3.jpg")
    image_folder = images.find(tmp_path, [("SN001",)])["SN001",]
    listing = images.listing(image_folder)
    assert listing is not None
    assert listing.numbers.tolist() == [1, 2, 10]
    assert listing.names == [name.format(number) for number in (1, 2, 10)]
    assert image_folder.padded == ({5} if "05" in name else set())


def test_frames_exported_from_both_cameras_need_a_named_folder(tmp_path: Path) -> None:
    for camera in ("Left", "Right"):
        put(tmp_path / camera / f"{camera}VideoSN001_comp" / "frame-1.jpg")
    fails(lambda: images.find(tmp_path, [("SN001",)]), "SN001 has images in two folders")
    folders = images.find(tmp_path, [("SN001",)], Path("Right"))
    assert folders["SN001",].folder == "Right/RightVideoSN001_comp"


def test_names_of_exported_frames_are_ignored_for_bp4d(tmp_path: Path) -> None:
    put(tmp_path / "F001" / "T1" / "frame-1.jpg", tmp_path / "F001" / "T1" / "2.jpg")
    assert images.find(tmp_path, [("F001", "T1")])["F001", "T1"].count == 1


def test_the_right_camera_of_a_dataset_with_one_camera_is_an_error(bp4d: Path) -> None:
    with pytest.raises(UsageError, match="has no right camera") as refused:
        DATASETS["bp4d"].footage(bp4d, BP4D_LAST, camera="right")
    assert refused.value.hint == "leave out --camera"
