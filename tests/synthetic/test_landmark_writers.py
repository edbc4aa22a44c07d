"""Landmark files of synthetic releases, read back with h5py, SciPy and as text."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat

from fauds.synthetic import release
from fauds.synthetic.labels import SyntheticSequence, lay_out
from fauds.synthetic.landmark_writers import missing_landmarks
from tests.synthetic.helpers import BP4D, DISFA, SEED, SEQUENCES, landmarks, write_sequences

INNER_CORNERS = (60, 64)
OF_66 = [index for index in range(68) if index not in INNER_CORNERS]
OF_49 = OF_66[17:]


def test_landmark_files_of_bp4d_have_an_entry_per_frame(tmp_path: Path) -> None:
    root = write_sequences(tmp_path, "bp4d", "images")
    missing = missing_landmarks(BP4D, SEED)
    for sequence, none in zip(BP4D, missing, strict=True):
        path = root / "2DFeatures" / f"{sequence.subject}_{sequence.task}.mat"
        assert path.read_bytes().startswith(b"MATLAB 7.3 MAT-file, Platform: ")
        # SciPy raises this for files with the header of MATLAB 7.3.
        with pytest.raises(NotImplementedError, match=r"v7\.3"):
            loadmat(path)
        expected = dict(zip(sequence.frames.tolist(), landmarks("bp4d", sequence), strict=True))
        absent = set(sequence.frames[none].tolist())
        with h5py.File(path) as file:
            entries = file["fit/pred"]
            assert entries.shape == (sequence.frames[-1], 1)
            for number in range(1, len(entries) + 1):
                entry = file[entries[number - 1][0]]
                if number in expected and number not in absent:
                    assert "MATLAB_empty" not in entry.attrs
                    pixels = entry[:].T - 1
                    np.testing.assert_allclose(pixels, expected[number][OF_49], atol=1e-3)
                else:
                    assert entry.attrs["MATLAB_empty"] == 1 and entry[:].tolist() == [0, 0]


def test_landmark_files_of_disfa_are_numbered_from_0(tmp_path: Path) -> None:
    root = write_sequences(tmp_path, "disfa", "videos") / "Landmark_Points"
    missing = missing_landmarks(DISFA, SEED)
    for sequence, none in zip(DISFA, missing, strict=True):
        name = (
            "l{:05d}_lm.mat"
            if sequence.subject == "SN031"
            else f"{sequence.subject}_{{:04d}}_lm.mat"
        )
        expected = {
            name.format(number - 1): points
            for number, points, absent in zip(
                sequence.frames, landmarks("disfa", sequence), none, strict=True
            )
            if not absent
        }
        folder = root / sequence.subject / "tmp_frame_lm"
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
def test_text_landmarks_are_two_files_with_a_line_per_frame(
    tmp_path: Path, like: str, prefix: str, land: str, kept: list[int]
) -> None:
    root = write_sequences(tmp_path, like, "images", "text")
    assert not (root / "2DFeatures").exists() and not (root / "Landmark_Points").exists()
    names = (root / "landmarks" / f"{prefix}_path.txt").read_text().splitlines()
    lines = (root / "landmarks" / f"{prefix}_{land}.txt").read_text().splitlines()
    expected = {}
    for sequence, none in zip(
        SEQUENCES[like], missing_landmarks(SEQUENCES[like], SEED), strict=True
    ):
        for number, points, absent in zip(
            sequence.frames, landmarks(like, sequence)[:, kept], none, strict=True
        ):
            folder = f"{sequence.subject}/{sequence.task}" if sequence.task else sequence.subject
            name = f"{number:04d}.jpg" if sequence.task else f"{number - 1}.png"
            if not absent:
                # As in the images of DISFA, frame 1 is always included.
                if like == "disfa" and number == sequence.frames[0]:
                    expected[f"{folder}/0.png"] = points
                expected[f"{folder}/{name}"] = points
    assert names == list(expected)
    pixels = np.array([line.split() for line in lines], float).reshape(len(lines), -1, 2)
    np.testing.assert_allclose(pixels - 1, np.stack(list(expected.values())), atol=1e-3)


def test_a_sequence_without_landmarks_is_left_out_of_the_text_files(tmp_path: Path) -> None:
    release.write(tmp_path, "bp4d", subjects=2, frames=1, size=64, landmarks="text")
    listed = (tmp_path / "landmarks" / "BP4D_combine_1_2_3_path.txt").read_text().splitlines()
    lines = (tmp_path / "landmarks" / "BP4D_combine_1_2_3_land.txt").read_text().splitlines()
    assert len(lines) == 1 and [name[:4] for name in listed] == ["M002"]


@pytest.mark.parametrize(("like", "frames"), [("bp4d", None), ("bp4d", 48), ("disfa", 200)])
def test_every_third_subject_has_one_run_of_frames_without_landmarks(
    like: str, frames: int | None
) -> None:
    sequences = lay_out(like, subjects=7, frames=frames, seed=2)
    missing = missing_landmarks(sequences, 2)
    subjects = sorted({sequence.subject for sequence in sequences})
    assert subjects[0] == sequences[0].subject
    for place, subject in enumerate(subjects):
        own = [
            none
            for sequence, none in zip(sequences, missing, strict=True)
            if sequence.subject == subject
        ]
        lost = [none for none in own if none.any()]
        if place % 3:
            assert not lost
            continue
        (none,) = lost
        run = np.flatnonzero(none)
        assert run[-1] - run[0] + 1 == len(run)
        assert len(run) == max(1, round(0.03 * sum(map(len, own))))
        assert not none[0] and not none[-1]
    again, other = missing_landmarks(sequences, 2), missing_landmarks(sequences, 3)
    same = [*map(np.array_equal, missing, again)]
    assert same == [True] * len(sequences) and len(missing) == len(again) == len(sequences)
    assert not all(map(np.array_equal, missing, other))


def test_the_file_that_is_missing_in_the_real_disfa_is_missing() -> None:
    frames = np.arange(3600, 3700, dtype=np.int32)
    sequences = [SyntheticSequence(subject, None, "", frames) for subject in ("SN030", "SN031")]
    assert frames[missing_landmarks(sequences, 0)[1]].tolist() == [3632]
