"""Writing of a synthetic release: its layout, its bytes, its marker, and errors."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fauds.datasets.bp4d import BP4D
from fauds.datasets.disfa import CODED_AUS, DISFA
from fauds.errors import DataError, UsageError
from fauds.synthetic import release, sequences
from fauds.synthetic.label_writers import BP4D_INTENSITY_AUS
from fauds.synthetic.labels import draw_intensities, lay_out, occurrence
from fauds.tables.paths import SYNTHETIC_MARKER
from tests.datasets.helpers import read
from tests.synthetic.helpers import digests


def write_small(root: Path, **arguments: object) -> Path:
    arguments = {"like": "bp4d", "subjects": 2, "frames": 8, "seed": 5, "size": 64} | arguments
    release.write(root, **arguments)
    return root


def test_a_synthetic_bp4d_has_the_layout_of_the_release(bp4d_root: Path) -> None:
    names = set(digests(bp4d_root))
    assert {"AUCoding/AU_OCC/F001_T1.csv", "AUCoding/AU_INT/AU06/F001_T1_AU06.csv"} < names
    lines = (bp4d_root / "AUCoding/AU_OCC/M002_T3.csv").read_text().splitlines()
    assert lines[0].split(",") == [str(number) for number in range(100)]
    coded = {1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24}
    for line in lines[1:]:
        frame, *values = line.split(",")
        assert (bp4d_root / "2D+3D/M002/T3" / f"{frame}.jpg").is_file()
        for au, value in enumerate(values, start=1):
            assert value in ("01" if au in coded else "9")


def test_a_synthetic_disfa_has_the_layout_of_the_release(disfa_root: Path) -> None:
    names = set(digests(disfa_root)) - {SYNTHETIC_MARKER}
    assert names == {
        f"ActionUnit_Labels/{subject}/{subject}_au{int(au[2:])}.txt"
        for subject in ("SN001", "SN003", "SN006")
        for au in CODED_AUS
    }


def test_labels_of_bp4d_are_read_back(bp4d_root: Path) -> None:
    coded = lay_out("bp4d", subjects=3, frames=48, seed=3)
    aus, intensities = draw_intensities("bp4d", coded, 3)
    table = read(BP4D, bp4d_root).table
    assert (
        table["frame"].to_pylist()
        == np.concatenate([sequence.frames for sequence in coded]).tolist()
    )
    for index, au in enumerate(aus):
        expected = occurrence("bp4d", intensities)[:, index]
        np.testing.assert_array_equal(table[au].to_numpy(), expected)
    for au in BP4D_INTENSITY_AUS:
        np.testing.assert_array_equal(
            table[f"{au}_intensity"].to_numpy(), intensities[:, aus.index(au)]
        )


@pytest.mark.slow
def test_intensities_of_disfa_are_read_back(disfa_root: Path) -> None:
    coded = lay_out("disfa", subjects=3, frames=60, seed=3)
    aus, intensities = draw_intensities("disfa", coded, 3)
    table = read(DISFA, disfa_root).table
    for index, au in enumerate(aus):
        np.testing.assert_array_equal(table[f"{au}_intensity"].to_numpy(), intensities[:, index])


def test_images_are_faces_of_the_requested_size(bp4d_root: Path) -> None:
    paths = sorted((bp4d_root / "2D+3D").rglob("*.jpg"))
    assert len(paths) == 3 * 48
    image = cv2.imread(str(paths[0]))
    assert image.shape == (64, 64, 3) and image.std() > 10
    # Skin has more red than blue, so the channels were not swapped.
    middle = image[24:40, 24:40].reshape(-1, 3).mean(axis=0)
    assert middle[2] > middle[0]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_any_number_of_processes(tmp_path: Path) -> None:
    first = digests(write_small(tmp_path / "a"))
    assert digests(write_small(tmp_path / "b", processes=2)) == first
    other = digests(write_small(tmp_path / "c", seed=6))
    assert other.keys() != first.keys() or all(
        other[name] != first[name] for name in first if name.endswith(".jpg")
    )


@pytest.mark.slow
def test_an_earlier_release_is_replaced_and_other_files_are_kept(tmp_path: Path) -> None:
    root = write_small(tmp_path / "a", subjects=3)
    (root / "own notes.txt").write_text("kept")
    write_small(root)
    assert digests(root).keys() - digests(write_small(tmp_path / "b")).keys() == {"own notes.txt"}


def test_labels_of_another_dataset_replace_earlier_ones(tmp_path: Path) -> None:
    root = write_small(tmp_path, labels_only=True)
    write_small(root, like="disfa", labels_only=True)
    assert not (root / "AUCoding").exists() and read(DISFA, root).table.num_rows == 16


@pytest.mark.parametrize("other", [{"labels_only": True}, {"like": "disfa"}])
def test_images_are_never_removed_without_being_replaced(tmp_path: Path, other: dict) -> None:
    root = write_small(tmp_path)
    before = digests(root)
    with pytest.raises(UsageError, match=r"holds images .* 2D\+3D"):
        write_small(root, **other)
    assert digests(root) == before


def test_the_marker_records_the_arguments(tmp_path: Path) -> None:
    marker = json.loads((write_small(tmp_path, labels_only=True) / SYNTHETIC_MARKER).read_text())
    assert marker["complete"] is True and marker["version"]
    arguments = {
        "like": "bp4d",
        "subjects": 2,
        "frames": 8,
        "seed": 5,
        "labels_only": True,
        "size": 64,
    }
    assert marker.items() >= arguments.items()
    assert marker["pictures"] is None and marker["landmarks"] is None
    marker = json.loads((write_small(tmp_path, landmarks="text") / SYNTHETIC_MARKER).read_text())
    assert marker["pictures"] == "images" and marker["landmarks"] == "text"


def test_progress_counts_images(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    write_small(tmp_path / "a", progress=lambda done, total: progress.append((done, total)))
    assert progress[-1] == (16, 16) and sorted(progress) == progress


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_incomplete_release_is_an_error_for_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stop(job: object) -> list:
        raise error

    root = write_small(tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(sequences, "_draw", stop)
        with pytest.raises((KeyboardInterrupt, DataError)):
            write_small(root)
    assert (root / "AUCoding").exists()
    with pytest.raises(DataError, match="not completely written"):
        read(BP4D, root)
    assert read(BP4D, write_small(root)).table.num_rows == 16


def test_a_folder_with_other_files_is_an_error_and_stays_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        write_small(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="file"):
        write_small(tmp_path / "thesis.tex")


@pytest.mark.parametrize(
    "wrong",
    [
        {"like": "ck"},
        {"like": "disfa", "pictures": "zips"},
        {"pictures": "images", "labels_only": True},
        {"pictures": "videos", "size": 65},
        {"subjects": 99},
        {"frames": 0},
        {"seed": -1},
        {"size": 8},
    ],
)
def test_arguments_are_checked_before_anything_is_written(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(UsageError):
        write_small(tmp_path / "a", **wrong)
    assert not (tmp_path / "a").exists()


def test_a_file_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(DataError, match="No space left"):
        write_small(tmp_path / "a")
