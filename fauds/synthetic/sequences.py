"""Draws the sequences of a made-up distribution into images, zip files or videos, with landmarks.

A sequence is drawn frame by frame and never held as a whole, so that memory does not grow with
its length. Only landmarks are kept until its end, since their files are written at once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain, groupby, repeat
from multiprocessing import get_context
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np

from fauds.synthetic.face import DRAWN_AUS, draw_face
from fauds.synthetic.identity import draw_identity
from fauds.synthetic.label_writers import SyntheticLabels
from fauds.synthetic.labels import Take
from fauds.synthetic.landmark_writers import (
    missing_landmarks,
    write_bp4d_mat,
    write_disfa_mats,
    write_jaa_text,
)
from fauds.synthetic.media_writers import add_to_zip, write_images, write_video
from fauds.synthetic.population import generator
from fauds.synthetic.view import draw_views

Traced = tuple[Take, np.ndarray, np.ndarray]
"""A sequence, its landmarks float32 [F, 68, 2], and bool [F], whether a frame has none."""


@dataclass(frozen=True)
class MediaForm:
    """What is written: see `fauds.synthetic.release.write`.

    Attributes:
        folder: of the pictures, in the distribution's root.
    """

    like: str
    pictures: str
    landmarks: str
    seed: int
    size: int
    folder: str


@dataclass(frozen=True, eq=False)
class _Scene:
    """One sequence to draw.

    Attributes:
        intensities: int8 [F, A].
        none: bool [F], whether a frame's landmarks are left out.
        spare: how many frames a video has after the last label frame.
    """

    take: Take
    intensities: np.ndarray
    none: np.ndarray
    spare: int


@dataclass(frozen=True)
class _DrawingJob:
    """What one process draws at a time: a sequence, or all of a subject where they share a file."""

    out: Path
    style: MediaForm
    aus: tuple[str, ...]
    scenes: tuple[_Scene, ...]


def write_footage(
    out: Path,
    style: MediaForm,
    labels: SyntheticLabels,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write pictures and landmarks of all sequences; the bytes do not depend on the processes.

    Raises:
        OSError: the disk refuses.
        DataError: a video could not be written whole.
    """
    drawn = _counted(_run(_jobs(out, style, labels), processes), labels, progress)
    if style.landmarks == "text":
        lines = map(_with_first, drawn) if style.like == "disfa" else drawn
        write_jaa_text(out / "landmarks", style.like, lines)
    else:
        for _ in drawn:
            pass


def _jobs(out: Path, style: MediaForm, labels: SyntheticLabels) -> list[_DrawingJob]:
    missing = missing_landmarks(labels.takes, style.seed)
    # DISFA's videos are longer than its labels, not all by the same number of frames.
    scenes = [
        _Scene(take, part, none, 9 + place % 2 if style.like == "disfa" else 0)
        for place, ((take, part), none) in enumerate(zip(labels.by_take(), missing, strict=True))
    ]
    if style.pictures == "zips":
        groups = [tuple(own) for _, own in groupby(scenes, key=lambda scene: scene.take.subject)]
    else:
        groups = [(scene,) for scene in scenes]
    return [_DrawingJob(out, style, labels.aus, group) for group in groups]


def _run(jobs: Sequence[_DrawingJob], processes: int) -> Iterator[list[Traced]]:
    if processes <= 1:
        yield from map(_draw, jobs)
        return
    # spawn: a fork of a process with running threads (torch, Arrow) may hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_draw, jobs)


def _counted(
    results: Iterable[list[Traced]],
    labels: SyntheticLabels,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Traced]:
    """Yield the sequences one by one, and tell how many of the frames are drawn."""
    done, total = 0, len(labels.intensities)
    for drawn in chain.from_iterable(results):
        done += len(drawn[0].frames)
        if progress is not None:
            progress(done, total)
        yield drawn


def _draw(job: _DrawingJob) -> list[Traced]:
    """Draw and write sequences; return their landmarks."""
    zipped = job.style.pictures == "zips"
    folder = job.out / job.style.folder
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{job.scenes[0].take.subject}.zip"
    with ZipFile(folder / name, "w") if zipped else nullcontext() as archive:
        drawn = [_draw_sequence(job, scene, folder, archive) for scene in job.scenes]
    if job.style.landmarks == "mat":
        for traced in drawn:
            _write_mat(job.out, job.style.like, *traced)
    return drawn


def _draw_sequence(
    job: _DrawingJob, scene: _Scene, folder: Path, archive: ZipFile | None
) -> Traced:
    take, style = scene.take, job.style
    points = np.empty((len(take.frames), 68, 2), np.float32)
    numbers = _numbers(style, scene)
    shown = np.bincount(_nearest_before(take.frames, numbers), minlength=len(take.frames))
    frames = _repeated(_frames(job, scene, points), shown)
    if style.pictures == "videos":
        write_video(folder / _video_name(take), 25 if style.like == "bp4d" else 20, frames)
    elif archive is not None:
        add_to_zip(archive, f"{take.subject}/{take.task}", numbers, frames)
    else:
        write_images(folder / take.subject / take.task, numbers, frames)
    return take, points, scene.none


def _numbers(style: MediaForm, scene: _Scene) -> np.ndarray:
    """The numbers of the pictures of a sequence, rising."""
    frames = scene.take.frames
    if style.pictures == "videos":
        return np.arange(1, frames[-1] + scene.spare + 1)
    return frames if style.like == "bp4d" else _from_first(frames)


def _from_first(frames: np.ndarray) -> np.ndarray:
    """Frame 1 and the coded frames: what numbers count from is seen by the first of them."""
    return frames if frames[0] == 1 else np.concatenate([[1], frames])


def _with_first(traced: Traced) -> Traced:
    take, points, none = traced
    numbers = _from_first(take.frames)
    at = _nearest_before(take.frames, numbers)
    return replace(take, frames=numbers), points[at], none[at]


def _nearest_before(frames: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The index of the coded frame before each number, or at it; of the first where none is."""
    return np.searchsorted(frames, numbers, side="right").clip(min=1) - 1


def _repeated(frames: Iterator[np.ndarray], times: np.ndarray) -> Iterator[np.ndarray]:
    return chain.from_iterable(map(repeat, frames, times.tolist()))


def _frames(job: _DrawingJob, scene: _Scene, points: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the drawn frames, uint8 [H, W, 3] BGR, and fill in their landmarks."""
    take, style = scene.take, job.style
    who = draw_identity(generator(style.seed, "identity", take.subject), take.sex)
    views = draw_views(generator(style.seed, "views", take.subject, take.task), len(take.frames))
    intensities = np.zeros((len(take.frames), len(DRAWN_AUS)), np.float32)
    intensities[:, [DRAWN_AUS.index(au) for au in job.aus]] = scene.intensities
    # DISFA's pictures are wider than high. At 4:3, x and y cannot be taken for each other.
    side = style.size // 6 if style.like == "disfa" else 0
    for index, (levels, view) in enumerate(zip(intensities, views, strict=True)):
        image, points[index] = draw_face(who, levels, view, style.size)
        points[index, :, 0] += side
        frame = image[:, :, ::-1]
        if side:
            frame = cv2.copyMakeBorder(frame, 0, 0, side, side, cv2.BORDER_REPLICATE)
        yield frame


def _video_name(take: Take) -> str:
    if take.task:
        return f"2{take.subject[0]}{int(take.subject[1:]):02d}_{take.task}.avi"
    return f"LeftVideo{take.subject}_comp.avi"


def _write_mat(out: Path, like: str, take: Take, points: np.ndarray, none: np.ndarray) -> None:
    if like == "bp4d":
        folder = out / "2DFeatures"
        folder.mkdir(exist_ok=True)
        write_bp4d_mat(folder / f"{take.subject}_{take.task}.mat", take.frames, points, none)
    else:
        folder = out / "Landmark_Points" / take.subject / "tmp_frame_lm"
        folder.mkdir(parents=True)
        write_disfa_mats(folder, take.subject, take.frames, points, none)
