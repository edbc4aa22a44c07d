"""dlib's detector: faces and landmarks of synthetic faces and a photograph, and what can go wrong.

The tests of real detection are skipped where the extra dlib is not installed.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from skimage.data import astronaut, coffee

from fauds.errors import DataError, UsageError
from fauds.faces.base import Detector, Face, Position
from fauds.faces.detectors import dlib as module
from fauds.faces.detectors import open_detector
from fauds.synthetic.face import FACE_AUS, draw_face, draw_identity, draw_views
from tests.helpers import needs_dlib

from .helpers import SmallDataset, tree

AT = Position("image.png", 1)
SIZES = (64, 100, 128, 224, 256, 400, 512, 700)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return open_detector("dlib")


def synthetic_face(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a face with three active AUs, uint8 [size, size, 3], and its 68 landmarks."""
    rng = np.random.default_rng([11, seed])
    levels = np.zeros(len(FACE_AUS))
    levels[rng.integers(0, len(FACE_AUS), 3)] = rng.integers(1, 6, 3)
    return draw_face(draw_identity(rng), levels, draw_views(rng, 1)[0], size)


def error(face: Face, landmarks: np.ndarray) -> float:
    """Return the mean distance of a face's landmarks from the true ones, in inter-ocular units."""
    eyes = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    distances = np.linalg.norm(face.landmarks - landmarks, axis=1)
    return float(distances.mean() / np.linalg.norm(eyes[1] - eyes[0]))


@needs_dlib
@pytest.mark.parametrize("size", [64, 256, 448])
def test_the_landmarks_of_a_synthetic_face_are_near_the_true_ones(
    detector: Detector, size: int
) -> None:
    image, landmarks = synthetic_face(size, size)
    (face,) = detector.find(image, AT)
    assert face.landmarks.shape == (68, 2) and face.landmarks.dtype == np.float32
    assert error(face, landmarks) < 0.1
    eyes = [face.landmarks[36:42].mean(0), face.landmarks[42:48].mean(0)]
    np.testing.assert_allclose(face.eyes, eyes, atol=1e-3)
    assert not face.estimated
    corners = [*face.landmarks.min(0), *face.landmarks.max(0)]
    np.testing.assert_allclose(face.box, corners, atol=1e-3)


@needs_dlib
@pytest.mark.slow
def test_forty_synthetic_faces_of_all_sizes_are_found_once_each(detector: Detector) -> None:
    errors = []
    for seed in range(40):
        image, landmarks = synthetic_face(seed, SIZES[seed % len(SIZES)])
        (face,) = detector.find(image, AT)
        errors.append(error(face, landmarks))
    assert np.mean(errors) < 0.06 and max(errors) < 0.13


@needs_dlib
def test_landmarks_are_in_pixels_of_the_whole_image(detector: Detector) -> None:
    image, landmarks = synthetic_face(3, 512)
    # The face is about an eighth of the width, and the image is reduced to a third.
    canvas = np.full((1400, 1920, 3), 110, np.uint8)
    canvas[900:1284, 1500:1884] = cv2.resize(image, (384, 384), interpolation=cv2.INTER_AREA)
    (face,) = detector.find(canvas, AT)
    assert error(face, (landmarks + 0.5) * 0.75 - 0.5 + [1500, 900]) < 0.1


@needs_dlib
def test_the_largest_face_comes_first(detector: Detector) -> None:
    canvas = np.full((400, 800, 3), 110, np.uint8)
    canvas[100:300, 40:240] = synthetic_face(1, 200)[0]
    canvas[20:380, 400:760] = synthetic_face(2, 360)[0]
    first, second = detector.find(canvas, AT)
    assert first.box[0] > 400 > 240 > second.box[2]


@needs_dlib
def test_the_face_in_a_photograph_is_found_with_its_eyes(detector: Detector) -> None:
    (face,) = detector.find(astronaut(), AT)
    # The pupils, measured in the image.
    pupils = np.array([[202.0, 100.5], [247.0, 102.6]])
    assert np.linalg.norm(face.eyes - pupils, axis=1).mean() < 0.06 * 45


@needs_dlib
def test_images_without_a_face_give_no_face(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    tiny = np.zeros((8, 8, 3), np.uint8)
    for image in (coffee(), noise, tiny, np.zeros((2, 3000, 3), np.uint8)):
        assert detector.find(image, AT) == []


@needs_dlib
def test_a_face_at_the_edge_has_landmarks_outside_the_image(detector: Detector) -> None:
    image, landmarks = synthetic_face(5, 256)
    cut = int(landmarks[8, 1]) - 4  # above the chin
    (face,) = detector.find(np.ascontiguousarray(image[:cut]), AT)
    assert face.box[3] > cut - 0.5


@needs_dlib
def test_setuptools_without_pkg_resources_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkg_resources", None)
    monkeypatch.delitem(sys.modules, "face_recognition_models", raising=False)
    assert open_detector("dlib").gives == {"eyes", "points", "box"}
    assert "face_recognition_models" not in sys.modules


@needs_dlib
def test_the_identity_has_the_version_and_the_digest_of_the_model(detector: Detector) -> None:
    import dlib

    assert detector.identity == f"dlib {dlib.__version__} (fbdc2cb80eb9aa7a)"


@needs_dlib
def test_a_damaged_model_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(module, "find_spec", lambda name: package)
    for content in (None, b"not a model", b""):
        if content is not None:
            (tmp_path / "models").mkdir(exist_ok=True)
            (tmp_path / "models/shape_predictor_68_face_landmarks.dat").write_bytes(content)
        with pytest.raises(DataError, match="cannot read its landmark model") as caught:
            open_detector("dlib")
        assert str(tmp_path) in str(caught.value)
        assert "pip install --force-reinstall face-recognition-models" in caught.value.hint


@pytest.mark.parametrize(
    ("present", "missing"),
    [(None, "package dlib is not"), (ModuleType("dlib"), "face-recognition-models, which")],
)
def test_a_missing_package_is_an_error_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, present: Any, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", present)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=missing) as caught:
        open_detector("dlib")
    assert caught.value.hint == "pip install 'fauds[dlib]'"


def test_a_path_after_the_name_is_an_error() -> None:
    with pytest.raises(UsageError, match="takes no file"):
        open_detector("dlib:shape_predictor.dat")


FACELESS, CUT = 3, 5


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[SmallDataset, dict[int, np.ndarray]]:
    """Return six images of faces and the true landmarks; 3 shows no face, 5 is cut at the chin.

    There are three images of each of two subjects.
    """
    dataset = SmallDataset(tmp_path / "work", tmp_path / "raw")
    truth = {}
    for subject in ("F001", "F002"):
        numbers = (1, 2, FACELESS) if subject == "F001" else (4, CUT, 6)
        names = []
        for number in numbers:
            image, truth[number] = synthetic_face(number, 256)
            if number == FACELESS:
                image = np.ascontiguousarray(coffee()[:256, :256])
            if number == CUT:
                image = image[: int(truth[number][8, 1]) - 4]
            names.append(f"{subject}/T1/{number}.png")
            path = dataset.root / names[-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))
        dataset.add((subject, "T1"), numbers, images=names)
    return dataset, truth


@needs_dlib
@pytest.mark.parametrize(
    "alignment",
    [
        "eyes-similarity",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("bbox-5", "none")),
    ],
)
def test_prepare_keeps_the_landmarks_that_dlib_finds_in_pixels_of_the_crops(
    photographs: tuple[SmallDataset, dict[int, np.ndarray]], alignment: str
) -> None:
    dataset, truth = photographs
    done = dataset.prepare(alignment=alignment, detector="dlib")
    printed = [done.meta["described"], *done.meta["notes"]]
    assert any(done.meta["settings"]["detector"] in line for line in printed)
    assert done.meta["settings"]["detector"].startswith("dlib ")
    for number, row in enumerate(dataset.rows(), 1):
        if number == FACELESS:
            assert row["points"] is None and row["landmarks"] is None
            continue
        assert row["status"] == "detected" and row["landmarks"] == "dlib"
        assert row["outside"] == (number == CUT)
        points = np.array(row["points"], np.float32).reshape(68, 2)
        transform = np.array(row["transform"]).reshape(2, 3)
        expected = truth[number] @ transform[:, :2].T + transform[:, 2]
        apart = np.linalg.norm(expected[36:42].mean(0) - expected[42:48].mean(0))
        # Without the chin, the jaw is lost.
        some = slice(17, 68) if number == CUT else slice(68)
        assert np.linalg.norm((points - expected)[some], axis=1).mean() < 0.1 * apart


@needs_dlib
def test_a_faceless_image_and_landmarks_outside_get_one_message_and_the_rest_is_kept(
    photographs: tuple[SmallDataset, dict[int, np.ndarray]],
) -> None:
    dataset, _ = photographs
    done = dataset.prepare(detector="dlib")
    assert done.meta["frames"] == {"detected": 5, "no face": 1}
    about_faces = [note for note in done.meta["notes"] if "no face was" in note]
    assert about_faces == ["frames in which no face was found: 1 (F001/T1 frame 3)"]
    about_points = [note for note in done.meta["notes"] if "reach out of the image" in note]
    assert about_points == [
        "flagged, landmarks reach out of the image (outside): 1 frames; most in F002 1"
    ]
    assert [row["path"] is None for row in dataset.rows()] == [False] * 2 + [True] + [False] * 3
    assert dataset.prepare(detector="dlib").done is False


@needs_dlib
def test_an_image_without_a_face_is_kept_if_the_alignment_needs_none(
    photographs: tuple[SmallDataset, dict[int, np.ndarray]],
) -> None:
    dataset, _ = photographs
    done = dataset.prepare(alignment="none", detector="dlib")
    assert done.meta["frames"] == {"aligned": 1, "detected": 5}
    note = "frames with a crop but without landmarks: 1 (F001/T1 frame 3)"
    assert note in done.meta["notes"]
    row = dataset.rows()[FACELESS - 1]
    assert (row["status"], row["eyes"]) == ("aligned", None) and row["path"]


@needs_dlib
@pytest.mark.slow
def test_several_processes_find_the_same_landmarks(
    photographs: tuple[SmallDataset, dict[int, np.ndarray]],
) -> None:
    dataset, _ = photographs
    dataset.prepare(detector="dlib")
    alone = tree(dataset.folder)
    (dataset.folder / "faces.parquet").unlink()
    for part in (dataset.folder / "faces").rglob("*.parquet"):
        part.unlink()
    assert dataset.prepare(detector="dlib", workers=2).done
    assert tree(dataset.folder) == alone
