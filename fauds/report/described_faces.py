"""Test faces of a run: what is true, what was predicted, what was written, where it looked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fauds.evaluation import results as results_file
from fauds.tables import store
from fauds.tables.paths import GALLERY


@dataclass(frozen=True)
class AuRow:
    """One name (AU or class) of one face.

    Attributes:
        true: None where it is not coded.
        probability: 0 to 1.
        attention: the branch's map over the face, float [rows, columns]; None where none was kept.
    """

    name: str
    true: bool | None
    predicted: bool
    probability: float
    text: str | None
    attention: np.ndarray | None = None


@dataclass(frozen=True)
class DescribedFace:
    """One test face; `image` is relative to the run's folder, None without a picture."""

    key: str
    image: str | None
    aus: list[AuRow]
    face_text: str | None
    true_face: str | None
    frame_id: int = -1

    @property
    def wrong(self) -> list[str]:
        """The AUs predicted wrongly."""
        return [au.name for au in self.aus if au.true is not None and au.true != au.predicted]


def gallery(folder: Path) -> list[DescribedFace]:
    """Return the faces that a run kept for its report."""
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
