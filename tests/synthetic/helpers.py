"""Images and landmarks of a few short synthetic sequences, and the expected content."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fauds.synthetic.face import FACE_AUS, face_landmarks
from fauds.synthetic.identity import draw_identity
from fauds.synthetic.label_writers import SyntheticLabels
from fauds.synthetic.labels import SyntheticSequence, draw_intensities
from fauds.synthetic.population import generator
from fauds.synthetic.sequences import MediaForm, write_media
from fauds.synthetic.view import draw_views

SEED, SIZE = 7, 64
WIDE = 84  # the width of a DISFA image with a 64-pixel face, which has 10 more columns per side

# Short sequences, because complete ones have thousands of frames.
BP4D = [
    SyntheticSequence("F001", "F", "T1", np.array([3, 4, 5, 9, 12], np.int32)),
    SyntheticSequence("F001", "F", "T5", np.array([1, 2], np.int32)),
    SyntheticSequence("M002", "M", "T3", np.array([5, 6, 30], np.int32)),
]
DISFA = [
    SyntheticSequence("SN001", None, "", np.array([1, 2, 3, 7, 8], np.int32)),
    SyntheticSequence("SN031", None, "", np.array([4, 6, 11], np.int32)),
]
SEQUENCES = {"bp4d": BP4D, "disfa": DISFA}
FOLDERS = {
    ("bp4d", "images"): "2D+3D",
    ("bp4d", "zips"): "2D+3D",
    ("bp4d", "videos"): "Videos",
    ("disfa", "images"): "Frames",
    ("disfa", "videos"): "Videos_LeftCamera",
}


def write_sequences(
    out: Path, like: str, pictures: str, landmarks: str = "mat", processes: int = 1
) -> Path:
    labels = SyntheticLabels(SEQUENCES[like], *draw_intensities(like, SEQUENCES[like], SEED))
    style = MediaForm(like, pictures, landmarks, SEED, SIZE, FOLDERS[like, pictures])
    write_media(out, style, labels, processes=processes)
    return out


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def face_arguments(like: str, sequence: SyntheticSequence) -> Iterator[tuple]:
    """Yield the arguments of `draw_face` for a sequence: identity, intensities, view, size."""
    aus, intensities = draw_intensities(like, [sequence], SEED)
    identity = draw_identity(generator(SEED, "identity", sequence.subject), sequence.sex)
    views = draw_views(
        generator(SEED, "views", sequence.subject, sequence.task), len(sequence.frames)
    )
    for row, view in zip(intensities, views, strict=True):
        levels = dict(zip(aus, row, strict=True))
        yield identity, np.array([levels.get(au, 0) for au in FACE_AUS], np.float32), view, SIZE


def landmarks(like: str, sequence: SyntheticSequence) -> np.ndarray:
    """Return the true landmarks in the images of a sequence, [F, 68, 2]."""
    points = np.stack([face_landmarks(*face) for face in face_arguments(like, sequence)])
    return points + np.array([(WIDE - SIZE) / 2, 0]) if like == "disfa" else points
