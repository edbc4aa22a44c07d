"""The largest face of an image is aligned with its landmarks."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fauds.errors import DataError, UsageError
from fauds.faces.aligned_face import largest_face
from fauds.faces.base import Face
from fauds.faces.detectors import open_detector
from fauds.faces.landmarks import marks
from fauds.synthetic.face import FACE_AUS, View, draw_face, draw_identity

NAME = "face ü.png"


class Landmarks:
    """A detector that finds given landmarks in every image."""

    identity = "landmarks"
    gives = frozenset(("eyes", "points", "box"))

    def __init__(self, *faces: np.ndarray) -> None:
        self._faces = faces

    def find(self, image, at):
        known = [marks(points[None]) for points in self._faces]
        return [
            Face(tuple(one.boxes[0]), points, one.eyes[0].astype("f4"))
            for one, points in zip(known, self._faces, strict=True)
        ]


@pytest.fixture
def image(tmp_path) -> tuple[Path, np.ndarray]:
    """Return the file of a synthetic face whose head is tilted, and its landmarks."""
    identity = draw_identity(np.random.default_rng(4))
    pixels, points = draw_face(identity, np.zeros(len(FACE_AUS)), View(roll=20, noise=0), 300)
    path = tmp_path / NAME
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    return path, points


def test_landmarks_are_moved_as_the_image_is(image):
    """A white dot at each landmark is at the moved landmark."""
    path, points = image
    face = largest_face(path, Landmarks(points, points * 0.5))
    assert face.pixels.shape == (256, 256, 3)
    eyes = [face.landmarks[36:42].mean(0), face.landmarks[42:48].mean(0)]
    np.testing.assert_allclose(eyes, [[87.5, 80], [167.5, 80]], atol=1e-3)
    for point in (8, 30, 48, 54):
        dotted = np.zeros((300, 300, 3), np.uint8)
        x, y = np.rint(points[point]).astype(int)
        dotted[y - 1 : y + 2, x - 1 : x + 2] = 255
        path.write_bytes(cv2.imencode(".png", dotted)[1].tobytes())
        rows, columns = np.nonzero(largest_face(path, Landmarks(points)).pixels[..., 0] > 80)
        assert abs(columns.mean() - face.landmarks[point, 0]) < 1
        assert abs(rows.mean() - face.landmarks[point, 1]) < 1


def test_points_that_a_detector_does_not_give_are_unknown(image):
    path, points = image
    whole = largest_face(path, Landmarks(points)).landmarks
    face = largest_face(path, Landmarks(np.delete(points, (60, 64), 0)))
    assert np.flatnonzero(np.isnan(face.landmarks).any(1)).tolist() == [60, 64]
    known = np.isfinite(face.landmarks)
    np.testing.assert_allclose(face.landmarks[known], whole[known], atol=1e-3)


def test_a_face_that_cannot_be_aligned_is_an_error(image):
    path, points = image
    with pytest.raises(DataError, match="No face") as raised:
        largest_face(path, Landmarks())
    assert raised.value.where == str(path)
    with pytest.raises(DataError, match="cannot be aligned"):
        largest_face(path, Landmarks(np.zeros_like(points)))
    with pytest.raises(DataError, match="cannot be read"):
        largest_face(path.with_name("missing.png"), Landmarks(points))


def test_a_detector_of_boxes_is_an_error(image, tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text(f"source,frame,left,top,right,bottom\n{NAME},1,60,60,240,260\n")
    with pytest.raises(UsageError, match=r"the detector csv \(.*\) gives none") as raised:
        largest_face(image[0], open_detector(f"csv:{table}"))
    assert "--detector dlib, face-alignment, mediapipe:MODEL, openface:FOLDER" in raised.value.hint
