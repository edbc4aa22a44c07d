"""Synthetic faces and constructed explanations, which need no model."""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from fauds.explanation.explained import Explanation
from fauds.faces.base import Box
from fauds.synthetic import face

AUS = ("AU01", "AU02", "AU04", "AU06", "AU07", "AU10", "AU12", "AU14", "AU15", "AU17")
LOCAL = {au: f"{au} lifts the skin below the brow, and folds gather beside it." for au in AUS}
FACE = (
    "The inner ends of her brows are lifted, her cheeks are raised so that crow's feet gather "
    "beside the eyes, and the corners of her mouth are pulled up and back, which deepens the "
    "folds that run from her nose to her mouth."
)


@lru_cache(maxsize=16)
def image_with_faces(height: int, width: int, faces: int = 1) -> tuple[np.ndarray, list[Box]]:
    """Return an image with synthetic faces side by side, of decreasing size, and their boxes."""
    image = np.full((height, width, 3), 96, np.uint8)
    boxes = []
    step = width // faces
    for at in range(faces):
        size = int(min(height, step) * 0.9**at)
        identity = face.draw_identity(np.random.default_rng([3, at]))
        face_image, landmarks = face.draw_face(identity, np.zeros(17, np.float32), face.View(), 96)
        image[:size, at * step : at * step + size] = cv2.resize(face_image, (size, size))
        left, top, right, bottom = (*landmarks.min(0), *landmarks.max(0))
        box = np.array((left, top, right, bottom)) * size / 96 + (at * step, 0, at * step, 0)
        boxes.append(tuple(box.tolist()))
    return image, boxes


def explanation(active: int = 3, index: int = 0, **changes: Any) -> Explanation:
    """Return an explanation whose first `active` action units are active; `changes` set fields."""
    aus = {au: 0.9 - 0.01 * at if at < active else 0.1 for at, au in enumerate(AUS)}
    rows, columns = np.mgrid[:7, :7]
    attention = np.stack([-((rows - at % 7) ** 2) - (columns - 3) ** 2 for at in range(len(AUS))])
    values = {
        "source": "talk.mp4",
        "frame": 1,
        "timestamp": None,
        "index": index,
        "box": (10.25, 20.5, 110.0, 140.75),
        "eyes": None,
        "estimated": True,
        "transform": np.eye(2, 3),
        "crop": image_with_faces(96, 96)[0],
        "seen": (0, 0, 95, 95),
        "aus": aus,
        "active": AUS[:active],
        "local": LOCAL,
        "face": FACE,
        "attention": attention.astype(np.float32),
        "detector": "cascade 1 (ab)",
        **changes,
    }
    return Explanation(**values)
