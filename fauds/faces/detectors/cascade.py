"""Detection of frontal faces by the cascade in scikit-image, which gives boxes but no landmarks.

The cascade is part of scikit-image, so nothing needs to be downloaded.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import skimage
from scipy.sparse.csgraph import connected_components
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from fauds.errors import UsageError
from fauds.faces.base import Box, Face, Position
from fauds.faces.tracking import around, overlap

_SEARCHED_SIDE = 320
_SMALLEST_SHARE = 8
_SMALLEST_WINDOW = 24
_FEWEST_WINDOWS = 17
_FOLLOWED = 2.0
_FOLLOWED_SIZES = 0.7, 1.4
_SAME_FACE = 0.5
_OVERLAPPING = 0.3
_EYES = np.array([[0.302, 0.390], [0.674, 0.390]])


class CascadeDetector:
    """A detector that uses scikit-image's cascade of local binary patterns and estimates the eyes.

    An image is first reduced to at most 320 pixels on its longer side, so that the time hardly
    depends on its size. The smallest face that is searched for is an eighth of the shorter side.
    The cascade accepts many overlapping windows around a face. Windows whose intersection is more
    than half of their union count as one face, whose box is the mean of the windows; groups of
    fewer than 17 windows are dropped, because in videos of one person or none, more than one frame
    in a hundred had a false face with a lower number (docs/faces.md). If the intersection of two
    boxes is 30 % of the smaller box or more, only the box with more windows is kept.

    The eyes are placed at fixed shares of the box's width and height, the means over 40 synthetic
    faces in three sizes. On these faces the error of the eyes was 5 % of the distance between them
    on average and 13 % at most; on a photograph, scikit-image's astronaut, it was 9 %.
    """

    gives = frozenset(("eyes", "box"))

    def __init__(self) -> None:
        # scikit-image has no types for this function and for its version.
        path = lbp_frontal_face_cascade_filename()  # type: ignore[no-untyped-call]
        self._cascade = Cascade(path)
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        version = skimage.__version__  # type: ignore[attr-defined]
        self.identity = f"cascade 2 (scikit-image {version}, {digest[:16]})"

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the faces found in an image, uint8 [H, W, 3] RGB, largest first."""
        small = _small(image)
        shorter = min(small.shape[:2])
        least = max(shorter // _SMALLEST_SHARE, _SMALLEST_WINDOW)
        boxes = _enlarged(_merged(self._windows(small, least, shorter)), small, image)
        boxes = boxes[np.argsort(boxes[:, 0] - boxes[:, 2], kind="stable")]
        return [_face(box) for box in boxes]

    def follow(self, image: np.ndarray, boxes: list[Box]) -> list[Face | None]:
        """Return the face near each box; see `fauds.faces.tracking.Follows.follow`.

        Faces of 0.7 to 1.4 times the size of a box are searched for, in a part of the reduced image
        that is twice as wide.
        """
        small = _small(image)
        scale = small.shape[1] / image.shape[1]
        return [self._near(image, small, box, scale) for box in boxes]

    def _near(self, image: np.ndarray, small: np.ndarray, box: Box, scale: float) -> Face | None:
        left, top, right, bottom = (scale * (edge + 0.5) - 0.5 for edge in box)
        part, begin = around(small, (left, top, right, bottom), _FOLLOWED)
        least, most = (int(factor * (right - left)) for factor in _FOLLOWED_SIZES)
        most = min(most, *part.shape[:2])
        windows = self._windows(part, max(least, _SMALLEST_WINDOW), most) + np.tile(begin, 2)
        boxes = _enlarged(_merged(windows), small, image)
        if not len(boxes):
            return None
        near = overlap(np.array([box]), boxes)[0]
        return _face(boxes[near.argmax()]) if near.max() > 0 else None

    def _windows(self, image: np.ndarray, least: int, most: int) -> np.ndarray:
        """Return the windows of an image that the cascade accepts as faces, float64 [N, 4].

        A window is given by left, top, right and bottom.

        Args:
            image: the image, uint8 [H, W, 3].
            least: the side of the smallest window in pixels.
            most: the side of the largest window in pixels.
        """
        if most < least:
            return np.empty((0, 4))
        windows = self._cascade.detect_multi_scale(
            img=np.ascontiguousarray(image),
            scale_factor=1.1,
            step_ratio=1,
            min_size=(least, least),
            max_size=(most, most),
            # The merging of scikit-image keeps boxes within boxes. No window reaches this score,
            # so it merges nothing.
            min_neighbor_number=1,
            intersection_score_threshold=2,
        )
        corners = [
            (
                window["c"],
                window["r"],
                window["c"] + window["width"],
                window["r"] + window["height"],
            )
            for window in sorted(
                windows, key=lambda window: (window["width"], window["r"], window["c"])
            )
        ]
        return np.array(corners, np.float64).reshape(-1, 4)


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = min(1.0, _SEARCHED_SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _enlarged(boxes: np.ndarray, small: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return boxes in the reduced image, [N, 4], in pixels of the image."""
    scale = image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]
    # The edge of the first pixel lies half a pixel before its middle.
    enlarged: np.ndarray = boxes * np.tile(scale, 2) - 0.5
    return enlarged


def _face(box: np.ndarray) -> Face:
    left, top, right, bottom = box.tolist()
    return Face((left, top, right, bottom), None, _eyes((left, top, right, bottom)), True)


def open_cascade(path: Path | None) -> CascadeDetector:
    """Return the detector that uses scikit-image's cascade.

    Raises:
        UsageError: a path is given, although the cascade reads no file.
    """
    if path is not None:
        raise UsageError(
            "The detector cascade takes no file, but its name is followed by a path.",
            where=path,
            hint="use --detector cascade, without a path",
        )
    return CascadeDetector()


def _merged(windows: np.ndarray) -> np.ndarray:
    """Return the boxes of likely faces, one for each group of overlapping windows, [M, 4].

    Args:
        windows: left, top, right and bottom of each window, [N, 4].
    """
    if len(windows) == 0:
        return windows
    shared, areas = _intersections(windows)
    union = areas[:, None] + areas - shared
    _, group = connected_components(shared > _SAME_FACE * union, directed=False)
    votes = np.bincount(group)
    sums = [np.bincount(group, column) for column in windows.T]
    boxes = np.stack(sums, axis=1) / votes[:, None]
    order = np.argsort(-votes, kind="stable")
    boxes = boxes[order[votes[order] >= _FEWEST_WINDOWS]]
    shared, areas = _intersections(boxes)
    overlapping = shared >= _OVERLAPPING * np.minimum(areas[:, None], areas)
    kept: list[int] = []
    for index in range(len(boxes)):
        if not overlapping[index, kept].any():
            kept.append(index)
    return boxes[kept]


def _intersections(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the areas of all pairwise intersections of boxes, [N, N], and of the boxes, [N]."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=-1), np.prod(
        boxes[:, 2:] - boxes[:, :2], axis=-1
    )


def _eyes(box: Box) -> np.ndarray:
    """Return the eye centres estimated from the box around a face, float32 [2, 2], in pixels."""
    left, top, right, bottom = box
    eyes: np.ndarray = np.array([left, top]) + _EYES * [right - left, bottom - top]
    return eyes.astype(np.float32)
