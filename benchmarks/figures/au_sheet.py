"""Draw synthetic faces with every action unit at every intensity: docs/figures/au_sheet_*.jpg.

    python benchmarks/figures/au_sheet.py [FOLDER]

A sheet shows one identity, with one row per action unit and columns from absent (0) over A to E.
The files are small enough for the repository.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from fauds.synthetic.face import FACE_AUS, View, draw_face, draw_identity

SHEETS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "brows": (("AU01", "AU02", "AU04"), 13, "M"),
    "eyes": (("AU05", "AU06", "AU07"), 21, "F"),
    "nose": (("AU09", "AU10", "AU12"), 4, "M"),
    "corners": (("AU14", "AU15", "AU17"), 8, "F"),
    "lips": (("AU20", "AU23", "AU24"), 30, "M"),
    "jaw": (("AU25", "AU26"), 2, "F"),
}
LEVELS = "0ABCDE"
SIZE, LABEL = 144, 20
LIMIT = 48_000


def sheet(aus: tuple[str, ...], seed: int, sex: str) -> np.ndarray:
    """Return a labelled sheet of some action units, uint8 [height, width, 3] RGB."""
    identity = draw_identity(np.random.default_rng([7, seed]), sex)
    view = View(light=(0.35, 0.1), noise=0.0)
    width = 2 * LABEL + SIZE * len(LEVELS)
    page = np.full((LABEL + SIZE * len(aus), width, 3), 255, np.uint8)
    for column, level in enumerate(LEVELS):
        _write(page, level, 2 * LABEL + SIZE * column + SIZE // 2 - 5, 15)
    for row, au in enumerate(aus):
        top = LABEL + SIZE * row
        _write(page, au, 1, top + SIZE // 2)
        for column in range(len(LEVELS)):
            intensities = np.zeros(len(FACE_AUS), np.float32)
            intensities[FACE_AUS.index(au)] = column
            image, _ = draw_face(identity, intensities, view, SIZE)
            left = 2 * LABEL + SIZE * column
            page[top : top + SIZE, left : left + SIZE] = image
    return page


def _write(page: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)


def _encoded(page: np.ndarray) -> bytes:
    """Return a JPEG of at most LIMIT bytes, in the best quality that fits."""
    for quality in range(94, 40, -4):
        done, data = cv2.imencode(".jpg", page[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
        if done and len(data) <= LIMIT:
            return data.tobytes()
    raise RuntimeError("the sheet does not fit its limit; lower SIZE")


def main() -> None:
    """Write all sheets."""
    root = Path(__file__).resolve().parents[2]
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "docs" / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (aus, seed, sex) in SHEETS.items():
        path = folder / f"au_sheet_{name}.jpg"
        path.write_bytes(_encoded(sheet(aus, seed, sex)))
        print(path)


if __name__ == "__main__":
    main()
