"""Every person of a video keeps a number; faces are followed between searches of whole frames."""

from typing import Any

import cv2
import numpy as np
import pytest
from skimage.data import astronaut, coffee

from fauds.errors import UsageError
from fauds.faces.base import Box, Face, Position
from fauds.faces.detectors import open_detector
from fauds.faces.tracking import FaceTracker
from fauds.synthetic.face import FACE_AUS, View, draw_face, draw_identity
from tests.helpers import needs_dlib


class Scripted:
    """A detector that returns given boxes, by the number of the frame."""

    identity = "scripted"

    def __init__(self, boxes: dict[int, list[Box]]) -> None:
        self.boxes = boxes
        self.searched: list[int] = []

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        self.searched.append(at.frame)
        return [Face(box, None, np.full((2, 2), np.nan)) for box in self.boxes.get(at.frame, [])]


def square(left: float, side: float = 100) -> Box:
    """Return a square box at the given left edge."""
    return left, 50.0, left + side, 50.0 + side


def numbers(tracker: FaceTracker, frames: int, images: Any = None) -> list[dict[int, float]]:
    """Return, for each frame, the left edge of every person's box by the person's number."""
    grey = np.full((240, 400, 3), 128, np.uint8)
    seen = []
    for frame in range(1, frames + 1):
        image = images[frame - 1] if images else grey
        people = tracker.find(image, Position("a.mp4", frame))
        seen.append({person.number: person.face.box[0] for person in people})
    return seen


def test_two_people_side_by_side_keep_their_numbers_whoever_is_larger() -> None:
    # The person on the right grows past the one on the left, so that the order by size changes.
    boxes = {n: [square(20 + n, 100), square(200 - n, 80 + 2 * n)] for n in range(1, 31)}
    seen = numbers(FaceTracker(Scripted(boxes)), 30)
    assert seen == [{0: 20.0 + n, 1: 200.0 - n} for n in range(1, 31)]


def test_a_person_who_is_lost_for_a_moment_comes_back_and_another_is_new() -> None:
    boxes = {1: [square(20)], 5: [square(22)], 6: [square(250)], 50: [square(20)]}
    seen = numbers(FaceTracker(Scripted(boxes)), 50)
    assert [(n, list(one)) for n, one in enumerate(seen, 1) if one] == [
        (1, [0]),
        (5, [0]),
        (6, [1]),
        (50, [2]),
    ]


def test_a_cut_of_the_scene_begins_new_people() -> None:
    images = [np.full((240, 400, 3), 60 if n < 5 else 160, np.uint8) for n in range(10)]
    seen = numbers(FaceTracker(Scripted({n: [square(20)] for n in range(1, 11)})), 10, images)
    assert [list(one) for one in seen] == [[0]] * 5 + [[1]] * 5


def test_small_faces_and_all_but_the_largest_can_be_left_out() -> None:
    boxes = {1: [square(20, 40), square(100, 60), square(200, 90)]}
    assert len(numbers(FaceTracker(Scripted(boxes), least=60), 1)[0]) == 2
    assert numbers(FaceTracker(Scripted(boxes), largest=True), 1) == [{0: 200.0}]


def test_a_detector_that_cannot_follow_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot follow faces"):
        FaceTracker(Scripted({}), 5)


def moving_faces(frames: int) -> list[np.ndarray]:
    """Return images, uint8 [360, 640, 3], of two people who come closer to each other."""
    rng = np.random.default_rng(5)
    faces = [
        draw_face(draw_identity(rng), np.zeros(len(FACE_AUS)), View(), 220)[0] for _ in range(2)
    ]
    background = cv2.resize(rng.integers(60, 190, (9, 16, 3), np.uint8), (640, 360))
    images = []
    for n in range(frames):
        image = background.copy()
        image[60:280, 20 + 2 * n : 240 + 2 * n] = faces[0]
        image[90:310, 400 - 2 * n : 620 - 2 * n] = faces[1]
        images.append(image)
    return images


@needs_dlib
@pytest.mark.parametrize("every", [1, 5])
def test_dlib_finds_both_people_in_every_frame_with_their_numbers(every: int) -> None:
    tracker = FaceTracker(open_detector("dlib"), every)
    seen = numbers(tracker, 7, moving_faces(7))
    assert [sorted(one) for one in seen] == [[0, 1]] * 7
    left = min(seen[0], key=seen[0].__getitem__)
    right = 1 - left
    # The boxes move with the people, 2 pixels a frame.
    for person, step in ((left, 2), (right, -2)):
        places = [one[person] - step * n for n, one in enumerate(seen)]
        assert np.ptp(places) < 20


@pytest.mark.parametrize("name", [pytest.param("dlib", marks=needs_dlib), "cascade"])
def test_clips_of_one_person_or_none_have_as_many_faces(name: str) -> None:
    # A camera moves over a photograph; its noise differs from frame to frame.
    rng = np.random.default_rng(0)
    for photograph, expected in ((astronaut(), 1), (coffee(), 0)):
        tracker = FaceTracker(open_detector(name))
        images = []
        for n in range(3):
            view = photograph[2 * n : 2 * n + 380, 3 * n : 3 * n + 460].astype(np.float64)
            images.append(np.clip(view + rng.normal(0, 3, view.shape), 0, 255).astype(np.uint8))
        seen = numbers(tracker, 3, images)
        assert [list(one) for one in seen] == [[0] * expected] * 3
