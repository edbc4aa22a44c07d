"""Writing of synthetic releases of single images in the raw layouts of RAF-DB and AffectNet.

Landmarks are exact: they are those of the drawn face. AffectNet's layouts hold them where the
release does; RAF-DB's has a table landmarks.csv beside the images, as `fauds prepare` reads it.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from fauds.datasets.affectnet import AFFECTNET_CLASSES
from fauds.datasets.labelled_images import LANDMARKS
from fauds.datasets.rafdb import LIST, RAFDB_CLASSES, SUBJECTS
from fauds.synthetic.expressions import Portrait
from fauds.synthetic.face import draw_face
from fauds.synthetic.identity import draw_identity
from fauds.synthetic.media_writers import jpeg
from fauds.synthetic.population import generator
from fauds.synthetic.view import draw_views

_CODES = {name: code for code, name in AFFECTNET_CLASSES.items()}
_RAFDB_CODES = {name: code for code, name in RAFDB_CLASSES.items()}
_SETS = {"train": "train_set", "test": "val_set"}
_LISTS = {"train": "training.csv", "test": "validation.csv"}
_LIST_COLUMNS = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal"
)
# Valence and arousal, -1 to 1, about where the circumplex model of affect has the expressions.
_AFFECT = {
    "neutral": (0.0, 0.0),
    "happiness": (0.7, 0.2),
    "sadness": (-0.6, -0.3),
    "surprise": (0.2, 0.7),
    "fear": (-0.2, 0.8),
    "disgust": (-0.6, 0.4),
    "anger": (-0.5, 0.6),
    "contempt": (-0.5, 0.5),
}
_SURROUNDINGS = 48
"""The most pixels of surroundings that an original image of RAF-DB has on each side of the face."""

PointsOf = dict[tuple[str, int], np.ndarray]
"""The landmarks, float32 [68, 2], in pixels, of images by their split and number."""

Rendering = tuple[Portrait, np.ndarray, np.ndarray]
"""A portrait, its image, uint8 [S, S, 3] BGR, and its landmarks, float32 [68, 2], in pixels."""


def write_portraits(
    out: Path,
    like: str,
    portraits: Sequence[Portrait],
    *,
    seed: int,
    size: int,
    images: bool = True,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the labels of a release of single images and, unless told otherwise, its images.

    Args:
        out: the root folder of the release.
        like: the layout: "rafdb", "affectnet" or "affectnet-csv".
        portraits: the images, as `lay_out_portraits` returns them.
        seed: the random seed of people and views.
        size: the height and width of a face in pixels.
        images: whether to draw the faces; without them there are no landmarks either.
        processes: the number of processes that draw faces; the bytes do not depend on it.
        progress: a function that is called with the number of faces drawn so far and the number of
            all faces.

    Raises:
        OSError: a file cannot be written.
    """
    landmarks: PointsOf = {}
    if images:
        write = {"rafdb": _write_rafdb_image, "affectnet": _write_affectnet_image}
        draw = partial(_draw_person, out, write.get(like, _write_listed_image), seed, size)
        people = _people(portraits)
        done = 0
        for results in _run(draw, people, processes):
            landmarks |= results
            done += len(results)
            if progress is not None:
                progress(done, len(portraits))
    labels = {"rafdb": _write_rafdb, "affectnet": _write_sets, "affectnet-csv": _write_lists}
    labels[like](out, portraits, landmarks, seed)


def _people(portraits: Iterable[Portrait]) -> list[list[Portrait]]:
    ordered = sorted(portraits, key=lambda portrait: (portrait.subject, portrait.number))
    return [list(own) for _, own in groupby(ordered, key=lambda portrait: portrait.subject)]


def _run(
    draw: Callable[[list[Portrait]], PointsOf], people: list[list[Portrait]], processes: int
) -> Iterator[PointsOf]:
    if processes <= 1:
        yield from map(draw, people)
        return
    # spawn: a fork of a process with running threads (torch, Arrow) may hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw, people)


def _draw_person(
    out: Path,
    write: Callable[[Path, Rendering, int], None],
    seed: int,
    size: int,
    portraits: list[Portrait],
) -> PointsOf:
    """Draw all images of a person, write them, and return their landmarks."""
    first = portraits[0]
    identity = draw_identity(generator(seed, "identity", first.subject), first.sex)
    results: PointsOf = {}
    for portrait in portraits:
        # Photographs of one person are unlike frames of a video: each has its own view.
        name = f"{portrait.split} {portrait.number}"
        (view,) = draw_views(generator(seed, "view", name), 1)
        levels = np.array(portrait.intensities, np.float32)
        image, points = draw_face(identity, levels, view, size)
        write(out, (portrait, image[:, :, ::-1], points), seed)
        results[portrait.split, portrait.number] = points
    return results


def _rafdb_name(portrait: Portrait) -> str:
    digits = 5 if portrait.split == "train" else 4
    return f"{portrait.split}_{portrait.number:0{digits}d}"


def _surroundings(seed: int, name: str) -> tuple[int, int, int, int]:
    """Return how many pixels an original image has left, above, right and below the face."""
    rng = generator(seed, "surroundings", name)
    left, top, right, bottom = rng.integers(8, _SURROUNDINGS + 1, 4).tolist()
    return left, top, right, bottom


def _write_rafdb_image(out: Path, rendering: Rendering, seed: int) -> None:
    portrait, image, points = rendering
    name = _rafdb_name(portrait)
    left, top, right, bottom = _surroundings(seed, name)
    original = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE)
    _write(out / "basic" / "Image" / "aligned" / f"{name}_aligned.jpg", jpeg(image))
    _write(out / "basic" / "Image" / "original" / f"{name}.jpg", jpeg(original))
    points = points + np.array((left, top))
    low, high = points.min(0), points.max(0)
    # The landmarks end at the brows, a face's box at the forehead.
    low[1] -= (high[1] - low[1]) / 4
    box = " ".join(f"{value:.4f}" for value in (*low, *high))
    folder = out / "basic" / "Annotation"
    _write(folder / "boundingbox" / f"{name}_boundingbox.txt", f"{box} \n".encode())
    eyes = points[36:42].mean(0), points[42:48].mean(0)
    lines = [f"{x:.4f}\t{y:.4f}" for x, y in (*eyes, points[30], points[48], points[54])]
    gender = "1" if portrait.sex == "F" else "0"
    # Synthetic people have no race; age group 2 is 20 to 39 years.
    lines += [gender, "0", "2"]
    _write(folder / "manual" / f"{name}_manu_attri.txt", ("\n".join(lines) + "\n").encode())


def _write_rafdb(
    out: Path,
    portraits: Sequence[Portrait],
    landmarks: PointsOf,
    seed: int,
) -> None:
    lines = [f"{_rafdb_name(one)}.jpg {_RAFDB_CODES[one.expression]}\n" for one in portraits]
    folder = out / "basic" / "EmoLabel"
    _write(folder / LIST, "".join(lines).encode())
    subjects = [f"{_rafdb_name(one)}.jpg,{one.subject}\n" for one in portraits]
    _write(folder / SUBJECTS, "".join(["image,subject\n", *subjects]).encode())
    aligned, original = [], []
    for one in portraits if landmarks else ():
        name, points = _rafdb_name(one), landmarks[one.split, one.number]
        aligned.append((name, points))
        original.append((name, points + np.array(_surroundings(seed, name)[:2])))
    if landmarks:
        _write_table(out / "basic" / "Image" / "aligned" / LANDMARKS, aligned)
        _write_table(out / "basic" / "Image" / "original" / LANDMARKS, original)


def _write_table(path: Path, rows: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write landmarks as a table that `fauds prepare --detector csv:FILE` reads too."""
    head = ",".join(["source", "frame", *(f"x{k},y{k}" for k in range(68))])
    lines = [
        f"{name},1,{','.join(f'{value:.4f}' for value in points.ravel().tolist())}"
        for name, points in rows
    ]
    _write(path, ("\n".join([head, *lines]) + "\n").encode())


def _write_affectnet_image(out: Path, rendering: Rendering, seed: int) -> None:
    portrait, image, points = rendering
    folder = out / _SETS[portrait.split]
    _write(folder / "images" / f"{portrait.number}.jpg", jpeg(image))
    _save(folder / "annotations" / f"{portrait.number}_lnd.npy", points.ravel())


def _write_sets(out: Path, portraits: Sequence[Portrait], landmarks: PointsOf, seed: int) -> None:
    for one in portraits:
        folder = out / _SETS[one.split] / "annotations"
        values = (_CODES[one.expression], *_AFFECT[one.expression])
        for name, value in zip(("exp", "val", "aro"), values, strict=True):
            # The release holds these numbers as texts.
            _save(folder / f"{one.number}_{name}.npy", np.array(str(value)))


def _save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values, allow_pickle=False)


def _listed_path(portrait: Portrait, seed: int) -> str:
    """Return the path of an image in AffectNet's lists: a numbered folder and a hash."""
    name = f"{seed} {portrait.split} {portrait.number}".encode()
    return f"{portrait.number % 8 + 1}/{hashlib.blake2b(name, digest_size=28).hexdigest()}.jpg"


def _write_listed_image(out: Path, rendering: Rendering, seed: int) -> None:
    portrait, image, _ = rendering
    _write(out / "Manually_Annotated_Images" / _listed_path(portrait, seed), jpeg(image))


def _write_lists(out: Path, portraits: Sequence[Portrait], landmarks: PointsOf, seed: int) -> None:
    for split, name in _LISTS.items():
        lines = [
            _listed(one, landmarks.get((split, one.number)), seed)
            for one in portraits
            if one.split == split
        ]
        path = out / "Manually_Annotated_file_lists" / name
        _write(path, ("\n".join([_LIST_COLUMNS, *lines]) + "\n").encode())


def _listed(portrait: Portrait, points: np.ndarray | None, seed: int) -> str:
    """Return an image's line of AffectNet's lists; without points, box and points are unknown."""
    box, text = [-1, -1, -1, -1], ""
    if points is not None:
        low, high = np.floor(points.min(0)), np.ceil(points.max(0))
        box = [int(value) for value in (*low, *(high - low))]
        text = ";".join(f"{value:.2f}" for value in points.ravel().tolist())
    affect = _AFFECT[portrait.expression]
    cells = [_listed_path(portrait, seed), *box, text, _CODES[portrait.expression], *affect]
    return ",".join(map(str, cells))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
