"""The test faces that a run keeps for its report: labels, predictions, texts, attention maps."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fauds.evaluation import results as results_file
from fauds.tables import store
from fauds.tables.paths import GALLERY


@dataclass(frozen=True)
class AuRow:
    """The label, the prediction and the description of one AU, or class, on one test face.

    Attributes:
        name: the AU or class.
        true: the label; None if it is not coded.
        predicted: the decision at the protocol's threshold.
        probability: the predicted probability, 0 to 1.
        text: the description of this AU that the model generated; None if it generated none.
        attention: the attention map over the face, float [rows, columns]; None if the run kept
            none.
        guide: where the attention should lie by the landmarks of the face, 0 to 1, float [rows,
            columns]; None if the run kept no such map.
    """

    name: str
    true: bool | None
    predicted: bool
    probability: float
    text: str | None
    attention: np.ndarray | None = None
    guide: np.ndarray | None = None


@dataclass(frozen=True)
class DescribedFace:
    """A test face that a run kept for its report.

    Attributes:
        key: the key of the frame, such as ``F001/T1/2440``.
        image: the path of the image relative to the run's folder; None if the run kept no image.
        aus: one row for each AU or class.
        face_text: the description of the face that the model generated; None if it generated none.
        true_face: the description of the face made from its labels; None if a needed AU is not
            coded.
        frame_id: the frame's number in frames.parquet.
        attention: the attention map that all AUs or classes share, float [rows, columns]; None if
            the run kept none.
    """

    key: str
    image: str | None
    aus: list[AuRow]
    face_text: str | None
    true_face: str | None
    frame_id: int = -1
    attention: np.ndarray | None = None

    @property
    def wrong(self) -> list[str]:
        """The AUs, or classes, whose prediction differs from a coded label."""
        return [au.name for au in self.aus if au.true is not None and au.true != au.predicted]


def gallery(folder: Path) -> list[DescribedFace]:
    """Return the test faces that the run in `folder` kept for its report; empty if it kept none."""
    path = folder / GALLERY
    if not path.exists():
        return []
    results = results_file.read(folder)
    sizes = store.read_meta(path)["settings"]
    return [_face(row, results, sizes) for row in store.read_table(path).to_pylist()]


def _face(
    row: dict[str, Any], results: "results_file.Results", sizes: dict[str, int]
) -> DescribedFace:
    target = results.protocol.predicts
    scores = np.array([[row[name] for name in target.names]], np.float32)
    (decided,) = target.decide(scores, results.protocol.threshold).tolist()
    aus = [
        AuRow(
            name=au,
            true=None if row[f"{au}_label"] is None else bool(row[f"{au}_label"]),
            predicted=predicted,
            probability=row[au],
            text=row.get(f"{au}_text"),
            attention=_map(row.get(f"{au}_attention"), sizes.get("height", -1)),
            guide=_map(row.get(f"{au}_guide"), -1),
        )
        for au, predicted in zip(target.names, decided, strict=True)
    ]
    parts = (row[name] for name in ("subject", "task", "frame"))
    key = row.get("key") or "/".join(str(part) for part in parts if part != "")
    return DescribedFace(
        key,
        row["image"],
        aus,
        row.get("face_text"),
        row.get("true_face"),
        row["frame_id"],
        _map(row.get("shared_attention"), sizes.get("shared_height", -1)),
    )


def _map(values: list[float] | None, rows: int) -> np.ndarray | None:
    """Return a stored map as an array with a number of rows; -1 for a square map."""
    if values is None:
        return None
    height = rows if rows > 0 else math.isqrt(len(values))
    return np.array(values, np.float32).reshape(height, -1)
