"""A handful of test faces of a run: what is true, what was predicted, what was written."""

from dataclasses import dataclass
from pathlib import Path

from fauds import store
from fauds.bench import results as results_file
from fauds.bench.results import GALLERY


@dataclass(frozen=True)
class AuRow:
    """One AU of one face: probability 0 to 1; `true` is None where it is not coded."""

    name: str
    true: bool | None
    predicted: bool
    probability: float
    text: str | None


@dataclass(frozen=True)
class Face:
    """One described test face; `image` is relative to the run's folder, None without a picture."""

    key: str
    image: str | None
    aus: list[AuRow]
    face_text: str | None
    true_face: str | None

    @property
    def wrong(self) -> list[str]:
        """The AUs predicted wrongly."""
        return [au.name for au in self.aus if au.true is not None and au.true != au.predicted]


def gallery(folder: Path) -> list[Face]:
    """Return the described faces that a run kept for its report."""
    path = folder / GALLERY
    if not path.exists():
        return []
    results = results_file.read(folder)
    return [_face(row, results) for row in store.read_table(path).to_pylist()]


def _face(row: dict, results: "results_file.Results") -> Face:
    aus = [
        AuRow(
            name=au,
            true=None if row[f"{au}_label"] is None else bool(row[f"{au}_label"]),
            predicted=row[au] >= results.protocol.threshold,
            probability=row[au],
            text=row.get(f"{au}_text"),
        )
        for au in results.protocol.aus
    ]
    key = "/".join(str(row[name]) for name in ("subject", "task", "frame") if row[name] != "")
    return Face(key, row["image"], aus, row.get("face_text"), row["true_face"])
