"""Says in words on which action units (AUs) the evidence for a predicted expression lies."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from fauds.annotation.wording import Wording
from fauds.facs import AUS, expression_aus
from fauds.nn.layers.map_agreement import REGION_SIZE, au_regions


class EvidenceWords:
    """Describes predicted expressions by the AUs of the codebook that the class map supports.

    An AU is supported if the map of the predicted class is higher in the AU's region than on
    average over the face (the convex hull of its landmarks, and the regions of the AUs), and than
    on average over the image. The text is about the model: which part of the image it responded to.
    It says nothing about what the person feels.

    Args:
        image_size: the side of the model's input in pixels.
        language: the code of the language.
    """

    def __init__(self, image_size: int, language: str = "en") -> None:
        self._size, self._wording = image_size, Wording(language)

    def describe(
        self, name: str, score: float, class_map: np.ndarray | None, points: np.ndarray | None
    ) -> str:
        """Return the description of a predicted expression.

        Args:
            name: the predicted class, such as "happiness".
            score: its probability, 0 to 1.
            class_map: the map of this class, float32 [h, w], 0 or more; None if the model has none.
            points: the landmarks, float32 [68, 2], in pixels of the model's input; None if unknown.
        """
        aus = expression_aus().get(name, ())
        supported = None
        if aus and class_map is not None and points is not None:
            supported = self.supported(aus, class_map, points)
        return self._wording.expression(name, score, aus, supported)

    def supported(
        self, aus: tuple[str, ...], class_map: np.ndarray, points: np.ndarray
    ) -> tuple[str, ...]:
        """Return those of some AUs whose region the class map supports; see the class."""
        active = torch.tensor([[[float(au == name) for name in AUS] for au in aus]])
        landmarks = torch.from_numpy(points)[None]
        regions = au_regions(landmarks, active, self._size, AUS)[0].numpy()
        seen = torch.from_numpy(class_map)[None, None]
        large = F.interpolate(seen, REGION_SIZE, mode="bilinear", align_corners=False)[0, 0].numpy()
        face = np.zeros((REGION_SIZE, REGION_SIZE), np.uint8)
        cells = (points + 0.5) * REGION_SIZE / self._size - 0.5
        cv2.fillConvexPoly(face, cv2.convexHull(np.rint(cells).astype(np.int32)), 1)
        face_mean = float(large[face.astype(bool) | regions.any(0)].mean())
        least = max(face_mean, float(large.mean()))
        return tuple(
            au
            for au, region in zip(aus, regions, strict=True)
            if region.any() and float(large[region].mean()) > least
        )
