"""The test faces that a run keeps for its report: labels, predictions, texts, attention maps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fauds.evaluation import results as results_file
from fauds.tables import store
from fauds.tables.paths import GALLERY


@dataclass(frozen=True)
class AuRow:
    """One AU, or class, of one face.

    Attributes:
        name: the AU or class.
        true: the label; None if it is not coded.
        predicted: the decision at the protocol's threshold.
        probability: the predicted probability, 0 to 1.
        text: the generated local description; None if the model wrote none.
        attention: the attention map over the face, float [rows, columns]; None if none was kept.
    """

    name: str
    true: bool | None
    predicted: bool
    probability: float
    text: str | None
    attention: np.ndarray | None = None


@dataclass(frozen=True)
class DescribedFace:
    """One test face.

    Attributes:
        key: the frame's key, such as ``F001/T1/2440``.
        image: the path of its image relative to the run's folder; None without an image.
        aus: a row for each AU or class.
        face_text: the generated global description; None if the model wrote none.
        true_face: the global description of the labels; None if a needed AU is not coded.
        frame_id: the frame's number in frames.parquet.
    """

    key: str
    image: str | None
    aus: list[AuRow]
    face_text: str | None
    true_face: str | None
    frame_id: int = -1

    @property
    def wrong(self) -> list[str]:
        """The AUs, or classes, whose prediction differs from the label."""
        return [au.name for au in self.aus if au.true is not None and au.true != au.predicted]


def gallery(folder: Path) -> list[DescribedFace]:
    """Return the faces that the run in `folder` kept for its report; none if it kept none."""
    path = folder / GALLERY
    if not path.exists():
        return []
    results = results_file.read(folder)
    size = store.read_meta(path)["settings"]
    shape = (size.get("height", -1), size.get("width", -1))
    return [_face(row, results, shape) for row in store.read_table(path).to_pylist()]


def _face(
    row: dict[str, Any], results: "results_file.Results", shape: tuple[int, int]
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
            attention=_map(row.get(f"{au}_attention"), shape),
        )
        for au, predicted in zip(target.names, decided, strict=True)
    ]
    parts = (row[name] for name in ("subject", "task", "frame"))
    key = row.get("key") or "/".join(str(part) for part in parts if part != "")
    return DescribedFace(
        key, row["image"], aus, row.get("face_text"), row.get("true_face"), row["frame_id"]
    )


def _map(values: list[float] | None, shape: tuple[int, int]) -> np.ndarray | None:
    return None if values is None else np.array(values, np.float32).reshape(shape)
