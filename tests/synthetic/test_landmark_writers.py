"""Landmarks of made-up distributions, read back with h5py, scipy and as text."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat

from fauds.synthetic import release as distribution
from fauds.synthetic.labels import Take, lay_out
from fauds.synthetic.landmark_writers import missing_landmarks
from tests.synthetic.helpers import BP4D, DISFA, SEED, TAKES, landmarks, written

INNER_CORNERS = (60, 64)
OF_66 = [index for index in range(68) if index not in INNER_CORNERS]
OF_49 = OF_66[17:]


def test_bp4d_s_landmark_files_have_an_entry_a_frame(tmp_path: Path) -> None:
    root = written(tmp_path, "bp4d", "images")
    missing = missing_landmarks(BP4D, SEED)
    for take, none in zip(BP4D, missing, strict=True):
        path = root / "2DFeatures" / f"{take.subject}_{take.task}.mat"
        assert path.read_bytes().startswith(b"MATLAB 7.3 MAT-file, Platform: ")
        # SciPy says so of files that are MATLAB 7.3's by their header.
        with pytest.raises(NotImplementedError, match=r"v7\.3"):
            loadmat(path)
        expected = dict(zip(take.frames.tolist(), landmarks("bp4d", take), strict=True))
        absent = set(take.frames[none].tolist())
        with h5py.File(path) as file:
            entries = file["fit/pred"]
            assert entries.shape == (take.frames[-1], 1)
            for number in range(1, len(entries) + 1):
                entry = file[entries[number - 1][0]]
                if number in expected and number not in absent:
                    assert "MATLAB_empty" not in entry.attrs
                    pixels = entry[:].T - 1
                    np.testing.assert_allclose(pixels, expected[number][OF_49], atol=1e-3)
                else:
                    assert entry.attrs["MATLAB_empty"] == 1 and entry[:].tolist() == [0, 0]


def test_disfa_s_landmark_files_count_from_0(tmp_path: Path) -> None:
    root = written(tmp_path, "disfa", "videos") / "Landmark_Points"
    missing = missing_landmarks(DISFA, SEED)
    for take, none in zip(DISFA, missing, strict=True):
        name = "l{:05d}_lm.mat" if take.subject == "SN031" else f"{take.subject}_{{:04d}}_lm.mat"
        expected = {
            name.format(number - 1): points
            for number, points, absent in zip(
                take.frames, landmarks("disfa", take), none, strict=True
            )
            if not absent
        }
        folder = root / take.subject / "tmp_frame_lm"
        assert {path.name for path in folder.iterdir()} == expected.keys()
        for file, points in expected.items():
            pts = loadmat(folder / file)["pts"]
            assert pts.shape == (66, 2)
            np.testing.assert_allclose(pts - 1, points[OF_66], atol=1e-3)


@pytest.mark.parametrize(
    ("like", "prefix", "land", "kept"),
    [
        ("bp4d", "BP4D_combine_1_2_3", "land", OF_49),
        ("disfa", "DISFA_combine_1_2_3", "66land", OF_66),
    ],
)
def test_text_landmarks_are_two_files_line_by_line(
    tmp_path: Path, like: str, prefix: str, land: str, kept: list[int]
) -> None:
    root = written(tmp_path, like, "images", "text")
    assert not (root / "2DFeatures").exists() and not (root / "Landmark_Points").exists()
    names = (root / "landmarks" / f"{prefix}_path.txt").read_text().splitlines()
    lines = (root / "landmarks" / f"{prefix}_{land}.txt").read_text().splitlines()
    expected = {}
    for take, none in zip(TAKES[like], missing_landmarks(TAKES[like], SEED), strict=True):
        for number, points, absent in zip(
            take.frames, landmarks(like, take)[:, kept], none, strict=True
        ):
            sequence = f"{take.subject}/{take.task}" if take.task else take.subject
            name = f"{number:04d}.jpg" if take.task else f"{number - 1}.png"
            if not absent:
                # As in the images of DISFA, frame 1 is there whether coded or not.
                if like == "disfa" and number == take.frames[0]:
                    expected[f"{sequence}/0.png"] = points
                expected[f"{sequence}/{name}"] = points
    assert names == list(expected)
    pixels = np.array([line.split() for line in lines], float).reshape(len(lines), -1, 2)
    np.testing.assert_allclose(pixels - 1, np.stack(list(expected.values())), atol=1e-3)


def test_a_sequence_of_which_no_frame_has_landmarks(tmp_path: Path) -> None:
    distribution.write(tmp_path, "bp4d", subjects=2, frames=1, size=64, landmarks="text")
    listed = (tmp_path / "landmarks" / "BP4D_combine_1_2_3_path.txt").read_text().splitlines()
    lines = (tmp_path / "landmarks" / "BP4D_combine_1_2_3_land.txt").read_text().splitlines()
    assert len(lines) == 1 and [name[:4] for name in listed] == ["M002"]


@pytest.mark.parametrize(("like", "frames"), [("bp4d", None), ("bp4d", 48), ("disfa", 200)])
def test_every_third_subject_lacks_landmarks_for_a_while(like: str, frames: int | None) -> None:
    takes = lay_out(like, subjects=7, frames=frames, seed=2)
    missing = missing_landmarks(takes, 2)
    subjects = sorted({take.subject for take in takes})
    assert subjects[0] == takes[0].subject
    for place, subject in enumerate(subjects):
        own = [none for take, none in zip(takes, missing, strict=True) if take.subject == subject]
        lost = [none for none in own if none.any()]
        if place % 3:
            assert not lost
            continue
        (none,) = lost
        run = np.flatnonzero(none)
        assert run[-1] - run[0] + 1 == len(run)
        assert len(run) == max(1, round(0.03 * sum(map(len, own))))
        assert not none[0] and not none[-1]
    again, other = missing_landmarks(takes, 2), missing_landmarks(takes, 3)
    same = [*map(np.array_equal, missing, again)]
    assert same == [True] * len(takes) and len(missing) == len(again) == len(takes)
    assert not all(map(np.array_equal, missing, other))


def test_the_file_that_the_real_landmarks_lack_is_missing() -> None:
    frames = np.arange(3600, 3700, dtype=np.int32)
    takes = [Take(subject, None, "", frames) for subject in ("SN030", "SN031")]
    assert frames[missing_landmarks(takes, 0)[1]].tolist() == [3632]
