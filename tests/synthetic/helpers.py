"""Pictures and landmarks of a few short sequences, and what they must show."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fauds.synthetic import sequences
from fauds.synthetic.face import DRAWN_AUS, face_landmarks
from fauds.synthetic.identity import draw_identity
from fauds.synthetic.label_writers import SyntheticLabels
from fauds.synthetic.labels import Take, draw_intensities
from fauds.synthetic.population import generator
from fauds.synthetic.view import draw_views

SEED, SIZE = 7, 64
WIDE = 84  # of a 64-pixel face, 10 columns on either side

# Short sequences: whole ones have thousands of frames.
BP4D = [
    Take("F001", "F", "T1", np.array([3, 4, 5, 9, 12], np.int32)),
    Take("F001", "F", "T5", np.array([1, 2], np.int32)),
    Take("M002", "M", "T3", np.array([5, 6, 30], np.int32)),
]
DISFA = [
    Take("SN001", None, "", np.array([1, 2, 3, 7, 8], np.int32)),
    Take("SN031", None, "", np.array([4, 6, 11], np.int32)),
]
TAKES = {"bp4d": BP4D, "disfa": DISFA}
FOLDER = {
    ("bp4d", "images"): "2D+3D",
    ("bp4d", "zips"): "2D+3D",
    ("bp4d", "videos"): "Videos",
    ("disfa", "images"): "Frames",
    ("disfa", "videos"): "Videos_LeftCamera",
}


def written(
    out: Path, like: str, pictures: str, landmarks: str = "mat", processes: int = 1
) -> Path:
    labels = SyntheticLabels(TAKES[like], *draw_intensities(like, TAKES[like], SEED))
    style = sequences.MediaForm(like, pictures, landmarks, SEED, SIZE, FOLDER[like, pictures])
    sequences.write_footage(out, style, labels, processes=processes)
    return out


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def faces(like: str, take: Take) -> Iterator[tuple]:
    """What `draw_face` is asked for: identity, intensities, view, size."""
    aus, intensities = draw_intensities(like, [take], SEED)
    who = draw_identity(generator(SEED, "identity", take.subject), take.sex)
    views = draw_views(generator(SEED, "views", take.subject, take.task), len(take.frames))
    for row, view in zip(intensities, views, strict=True):
        levels = dict(zip(aus, row, strict=True))
        yield who, np.array([levels.get(au, 0) for au in DRAWN_AUS], np.float32), view, SIZE


def landmarks(like: str, take: Take) -> np.ndarray:
    """Where the drawn landmarks are in the pictures, [F, 68, 2]."""
    points = np.stack([face_landmarks(*face) for face in faces(like, take)])
    return points + np.array([(WIDE - SIZE) / 2, 0]) if like == "disfa" else points
