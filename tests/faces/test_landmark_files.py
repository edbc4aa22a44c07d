"""Landmarks are read from the files of releases exactly; damaged files are reported."""

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from fauds.datasets.media_files import LandmarkFiles
from fauds.errors import DataError
from fauds.faces.landmark_files import read


def random_points(frames: int, points: int) -> np.ndarray:
    return np.random.default_rng(frames).uniform(1, 900, (frames, points, 2))


def write_bp4d(
    path: Path, entries: Sequence[np.ndarray | None], across: bool = False, turned: bool = True
) -> LandmarkFiles:
    """Write the tracker's file as MATLAB does; None is a frame without landmarks."""
    with h5py.File(path, "w", userblock_size=512) as file:
        store = file.create_group("#refs#")
        references = []
        for index, points in enumerate(entries):
            if points is None:
                entry = store.create_dataset(f"e{index}", data=np.zeros(2, np.uint64))
                entry.attrs["MATLAB_empty"] = np.uint8(1)
            else:
                entry = store.create_dataset(f"e{index}", data=points.T if turned else points)
            references.append(entry.ref)
        shape = (1, len(entries)) if across else (len(entries), 1)
        pred = file.create_dataset("fit/pred", shape, dtype=h5py.ref_dtype)
        pred[...] = np.array(references, h5py.ref_dtype).reshape(shape)
    return LandmarkFiles("bp4d-mat", 49, path, {})


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_bp4d_landmarks_are_read_by_frame(tmp_path: Path, across: bool, turned: bool) -> None:
    points = random_points(8, 49)
    entries: list[np.ndarray | None] = [*points]
    entries[2] = None
    entries[3] = np.zeros((49, 2))
    entries[4] = np.full((49, 2), np.nan)
    files = write_bp4d(tmp_path / "F001_T1.mat", entries, across, turned)
    # Frames from 9 on come after the end of the tracker's file.
    points_read = read(files, np.array([1, 2, 3, 4, 5, 8, 9, 5000]))
    assert points_read.shape == (8, 49, 2) and points_read.dtype == np.float32
    np.testing.assert_allclose(points_read[[0, 1, 5]], points[[0, 1, 7]] - 1, atol=1e-4)
    assert np.isnan(points_read[[2, 3, 4, 6, 7]]).all()


def test_bp4d_points_of_another_shape_are_an_error(tmp_path: Path) -> None:
    files = write_bp4d(tmp_path / "F001_T1.mat", [*random_points(2, 49), np.ones((66, 2))])
    assert np.isfinite(read(files, np.array([1, 2]))).all()
    with pytest.raises(DataError, match=r"frame 3 have the shape \(2, 66\)") as caught:
        read(files, np.array([1, 2, 3]))
    assert "F001_T1.mat" in str(caught.value)


def test_a_bp4d_file_without_points_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "F001_T1.mat"
    with h5py.File(path, "w") as file:
        file["fit/pose"] = np.zeros(3)
    with pytest.raises(DataError, match="no references fit/pred"):
        read(LandmarkFiles("bp4d-mat", 49, path, {}), np.array([1]))


def test_a_bp4d_file_that_is_not_hdf5_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "F001_T1.mat"
    files = LandmarkFiles("bp4d-mat", 49, path, {})
    with pytest.raises(DataError, match="No such file"):
        read(files, np.array([1]))
    savemat(path, {"fit": np.zeros(3)})
    with pytest.raises(DataError, match=r"old version 5, but .* version 7\.3 \(HDF5\)"):
        read(files, np.array([1]))
    path.write_text("<html>Not found</html>")
    with pytest.raises(DataError, match=r"is not a MATLAB file of version 7\.3 \(HDF5\)"):
        read(files, np.array([1]))


def test_a_truncated_bp4d_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "F001_T1.mat"
    files = write_bp4d(path, [*random_points(5, 49), None])
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 97), 1, 511, 512, 513, 520, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            read(files, np.arange(1, 7))
        assert str(path) in str(caught.value)


def write_disfa(folder: Path, points: dict[int, np.ndarray]) -> LandmarkFiles:
    places = {frame: f"SN001_{frame - 1:04d}_lm.mat" for frame in points}
    for frame, values in points.items():
        savemat(folder / places[frame], {"pts": values})
    return LandmarkFiles("disfa-mat", 66, folder, places)


def test_disfa_landmarks_are_read_by_frame(tmp_path: Path) -> None:
    points = random_points(4, 66)
    files = write_disfa(tmp_path, dict(zip([1, 2, 4, 5], points, strict=True)))
    (tmp_path / "SN001_0004_lm.mat").unlink()
    points_read = read(files, np.array([1, 2, 3, 4, 5]))
    assert points_read.shape == (5, 66, 2) and points_read.dtype == np.float32
    np.testing.assert_allclose(points_read[[0, 1, 3]], points[:3] - 1, atol=1e-4)
    assert np.isnan(points_read[[2, 4]]).all()


@given(
    kind=st.sampled_from(["<f8", ">f8", "<f4", "i1", "u1", "<i2", "u2", "i4", "u4"]),
    compressed=st.booleans(),
    others=st.lists(st.sampled_from(["a", "face", "a_longer_name_than_others"]), unique=True),
    seed=st.integers(0, 9999),
)
def test_disfa_files_are_read_in_every_form_that_matlab_writes(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    compressed: bool,
    others: list[str],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("disfa")
    points = np.random.default_rng(seed).uniform(1, 120, (66, 2)).astype(kind)
    variables = {name: np.arange(5) for name in others} | {"text": "pts", "pts": points}
    savemat(folder / "a.mat", variables, do_compression=compressed)
    points_read = read(LandmarkFiles("disfa-mat", 66, folder, {1: "a.mat"}), np.array([1]))
    np.testing.assert_allclose(points_read[0], points.astype(float) - 1, atol=1e-4)


@given(data=st.data(), compressed=st.booleans())
def test_damaged_bytes_in_a_disfa_file_never_crash_the_reader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, compressed: bool
) -> None:
    folder = tmp_path_factory.mktemp("disfa")
    path = folder / "a.mat"
    savemat(path, {"pts": random_points(1, 66)[0]}, do_compression=compressed)
    damaged = bytearray(path.read_bytes())
    for _ in range(3):
        damaged[data.draw(st.integers(0, 220))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        points_read = read(LandmarkFiles("disfa-mat", 66, folder, {1: "a.mat"}), np.array([1]))
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert points_read.shape == (1, 66, 2)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_disfa_file_is_an_error(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "SN001_0000_lm.mat"
    files = LandmarkFiles("disfa-mat", 66, tmp_path, {1: path.name})
    savemat(path, {"pts": random_points(1, 66)[0]}, do_compression=compressed)
    whole = path.read_bytes()
    assert np.isfinite(read(files, np.array([1]))).all()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            read(files, np.array([1]))
        assert str(path) in str(caught.value)


def test_disfa_points_of_another_shape_or_name_are_an_error(tmp_path: Path) -> None:
    files = write_disfa(tmp_path, {1: np.ones((68, 2))})
    with pytest.raises(DataError, match=r"SN001_0000_lm.mat has the shape \(68, 2\)"):
        read(files, np.array([1]))
    savemat(tmp_path / "SN001_0000_lm.mat", {"points": np.ones((66, 2))})
    with pytest.raises(DataError, match="no matrix pts"):
        read(files, np.array([1]))


def text_line(points: np.ndarray) -> str:
    return "\t".join(f"{value:f}" for value in points.ravel())


@given(
    places=st.lists(st.integers(0, 19), min_size=1, max_size=12, unique=True),
    points=st.sampled_from([49, 66]),
    end=st.sampled_from(["\n", "\r\n"]),
    ended=st.booleans(),
)
def test_text_landmarks_are_read_by_line(
    tmp_path_factory: pytest.TempPathFactory,
    places: list[int],
    points: int,
    end: str,
    ended: bool,
) -> None:
    landmarks = random_points(20, points)
    path = tmp_path_factory.mktemp("text") / "all_land.txt"
    text = end.join(map(text_line, landmarks)) + end * ended
    path.write_bytes(text.encode())
    frames = {100 + index: place for index, place in enumerate(places)}
    files = LandmarkFiles("jaa-text", points, path, frames)
    points_read = read(files, np.array([7, *frames]))
    assert np.isnan(points_read[0]).all() and points_read.dtype == np.float32
    np.testing.assert_allclose(points_read[1:], landmarks[places] - 1, atol=1e-4)


def test_a_wrong_line_of_a_text_file_is_an_error_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "all_land.txt"
    lines = [text_line(points) for points in random_points(6, 49)]
    lines[1] = " ".join(["0"] * 98)
    lines[2] = lines[2].rsplit("\t", 1)[0]
    lines[3] = lines[3].replace("\t", "\tnothing\t", 1).rsplit("\t", 1)[0]
    lines[4] = "nan " * 98
    path.write_text("\n".join([*lines, ""]))

    def line(number: int) -> np.ndarray:
        return read(LandmarkFiles("jaa-text", 49, path, {1: number - 1}), np.array([1]))

    assert np.isfinite(line(1)).all() and np.isfinite(line(6)).all()
    assert np.isnan(line(2)).all() and np.isnan(line(5)).all()
    for number, message in ((3, "has 97 numbers, not 98"), (4, "'nothing', which is not a number")):
        with pytest.raises(DataError, match=message) as caught:
            line(number)
        assert f"{path}:{number}" in str(caught.value)
    with pytest.raises(DataError, match="has only 6 lines, and line 7 is needed") as caught:
        line(7)
    assert caught.value.hint.startswith("the file is cut off or has changed")
    path.unlink()
    with pytest.raises(DataError, match="No such file"):
        line(1)


def test_a_text_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "all_land.txt"
    files = LandmarkFiles("jaa-text", 49, path, {1: 1})
    for seed in (2, 3):
        points = random_points(seed, 49)
        path.write_text("\n".join(map(text_line, points)))
        os.utime(path, ns=(seed, seed))
        np.testing.assert_allclose(read(files, np.array([1]))[0], points[1] - 1, atol=1e-4)


def test_a_disfa_file_of_another_format_is_an_error_that_names_the_format(tmp_path: Path) -> None:
    files = LandmarkFiles("disfa-mat", 66, tmp_path, {1: "SN001_0000_lm.mat"})
    path = tmp_path / "SN001_0000_lm.mat"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"SN001_0000_lm\.mat is empty"):
        read(files, np.array([1]))
    for header in (512, 0):
        with h5py.File(path, "w", userblock_size=header) as file:
            file.create_dataset("pts", data=np.ones((2, 66)))
        with pytest.raises(DataError, match=r"of version 7\.3 \(HDF5\), but DISFA") as caught:
            read(files, np.array([1]))
        assert "-v7" in caught.value.hint
