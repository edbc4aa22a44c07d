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

_SEARCHED_SIDE = 320
_SMALLEST_SHARE = 8
_SMALLEST_WINDOW = 24
_FEWEST_WINDOWS = 4
_SAME_FACE = 0.5
_OVERLAPPING = 0.3
_EYES = np.array([[0.302, 0.390], [0.674, 0.390]])


class CascadeDetector:
    """A detector that uses scikit-image's cascade of local binary patterns and estimates the eyes.

    An image is first reduced to at most 320 pixels on its longer side, so that the time hardly
    depends on its size. The smallest face that is searched for is an eighth of the shorter side.
    The cascade accepts many overlapping windows around a face. Windows whose intersection is more
    than half of their union count as one face, whose box is the mean of the windows; groups of
    fewer than 4 windows are dropped. If the intersection of two boxes is 30 % of the smaller box
    or more, only the box with more windows is kept.

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
        self.identity = f"cascade (scikit-image {version}, {digest[:16]})"

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the faces found in an image, uint8 [H, W, 3] RGB, largest first."""
        height, width = image.shape[:2]
        scale = min(1.0, _SEARCHED_SIDE / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        boxes = _merged(self._windows(small))
        # The edge of the first pixel lies half a pixel before its middle.
        boxes = boxes * np.tile((width / size[0], height / size[1]), 2) - 0.5
        boxes = boxes[np.argsort(boxes[:, 0] - boxes[:, 2], kind="stable")]
        return [
            Face((left, top, right, bottom), None, _eyes((left, top, right, bottom)), True)
            for left, top, right, bottom in boxes.tolist()
        ]

    def _windows(self, image: np.ndarray) -> np.ndarray:
        """Return the windows of an image that the cascade accepts as faces, float64 [N, 4].

        A window is given by left, top, right and bottom.
        """
        shorter = min(image.shape[:2])
        if shorter < _SMALLEST_WINDOW:
            return np.empty((0, 4))
        smallest = max(shorter // _SMALLEST_SHARE, _SMALLEST_WINDOW)
        windows = self._cascade.detect_multi_scale(
            img=image,
            scale_factor=1.1,
            step_ratio=1,
            min_size=(smallest, smallest),
            max_size=(shorter, shorter),
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
