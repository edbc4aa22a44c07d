"""Drawing of the sequences of a synthetic release as images, zip files or videos, with landmarks.

The images of a sequence are drawn and written one by one, so memory use does not grow with the
number of images. Only the landmarks are kept until the end of the sequence, because the landmark
file of a sequence is written in one step.
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

from fauds.synthetic.face import FACE_AUS, draw_face
from fauds.synthetic.identity import draw_identity
from fauds.synthetic.label_writers import SyntheticLabels
from fauds.synthetic.labels import SyntheticSequence
from fauds.synthetic.landmark_writers import (
    missing_landmarks,
    write_bp4d_mat,
    write_disfa_mats,
    write_jaa_text,
)
from fauds.synthetic.media_writers import add_to_zip, write_images, write_video
from fauds.synthetic.population import generator
from fauds.synthetic.view import draw_views

Traced = tuple[SyntheticSequence, np.ndarray, np.ndarray]
"""A sequence, its landmarks, float32 [F, 68, 2], and which frames have no landmarks, bool [F]."""


@dataclass(frozen=True)
class MediaForm:
    """The settings that determine the images and landmark files of a synthetic release.

    Attributes:
        like: the dataset that is imitated, "bp4d" or "disfa".
        form: the form of the images: "images", "zips" or "videos".
        landmarks: the format of the landmark files: "mat" for MATLAB files, "text" for JAA-Net's.
        seed: the random seed of faces and views.
        size: the height of the images in pixels.
        folder: the name of the folder of images in the root of the release.
    """

    like: str
    form: str
    landmarks: str
    seed: int
    size: int
    folder: str


@dataclass(frozen=True, eq=False)
class _Scene:
    """One sequence to draw.

    Attributes:
        sequence: the sequence, with the numbers of its F coded frames.
        intensities: the intensities, 0 to 5, of A action units in these frames, int8 [F, A].
        none: the frames whose landmarks are left out, bool [F].
        spare: the number of frames that a video of the sequence has after the last coded frame.
    """

    sequence: SyntheticSequence
    intensities: np.ndarray
    none: np.ndarray
    spare: int


@dataclass(frozen=True)
class _DrawingJob:
    """The sequences that one process draws at a time.

    A job has one sequence, or all sequences of a subject if the images are written to zip files.

    Attributes:
        out: the root folder of the release.
        style: the form of the images and landmark files.
        aus: the names of the action units that have intensities.
        scenes: the sequences to draw.
    """

    out: Path
    style: MediaForm
    aus: tuple[str, ...]
    scenes: tuple[_Scene, ...]


def write_media(
    out: Path,
    style: MediaForm,
    labels: SyntheticLabels,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the images and landmarks of all sequences.

    Args:
        out: the root folder of the release.
        style: the form of the media files.
        labels: the labels of the sequences.
        processes: the number of processes; the written bytes do not depend on it.
        progress: a function that is called with the number of frames drawn so far and the number
            of all frames.

    Raises:
        OSError: a file cannot be written.
        DataError: a video could not be written completely.
    """
    results = _counted(_run(_jobs(out, style, labels), processes), labels, progress)
    if style.landmarks == "text":
        lines = map(_with_first, results) if style.like == "disfa" else results
        write_jaa_text(out / "landmarks", style.like, lines)
    else:
        for _ in results:
            pass


def _jobs(out: Path, style: MediaForm, labels: SyntheticLabels) -> list[_DrawingJob]:
    missing = missing_landmarks(labels.sequences, style.seed)
    # DISFA's videos are longer than its labels, not all by the same number of frames.
    scenes = [
        _Scene(sequence, part, none, 9 + place % 2 if style.like == "disfa" else 0)
        for place, ((sequence, part), none) in enumerate(
            zip(labels.by_sequence(), missing, strict=True)
        )
    ]
    if style.form == "zips":
        groups = [
            tuple(own) for _, own in groupby(scenes, key=lambda scene: scene.sequence.subject)
        ]
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
    """Yield the drawn sequences one by one and report the number of frames drawn so far.

    Args:
        results: lists of drawn sequences with their landmarks.
        labels: the labels, which determine the number of all frames.
        progress: a function that is called with the number of frames drawn so far and the number
            of all frames; None reports nothing.
    """
    done, total = 0, len(labels.intensities)
    for traced in chain.from_iterable(results):
        done += len(traced[0].frames)
        if progress is not None:
            progress(done, total)
        yield traced


def _draw(job: _DrawingJob) -> list[Traced]:
    """Draw the sequences of a job, write their images and return the sequences with landmarks.

    Landmarks in MATLAB's format are written too. Those in JAA-Net's format are written later,
    because one text file holds the landmarks of all sequences.
    """
    zipped = job.style.form == "zips"
    folder = job.out / job.style.folder
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{job.scenes[0].sequence.subject}.zip"
    with ZipFile(folder / name, "w") if zipped else nullcontext() as archive:
        results = [_draw_sequence(job, scene, folder, archive) for scene in job.scenes]
    if job.style.landmarks == "mat":
        for traced in results:
            _write_mat(job.out, job.style.like, *traced)
    return results


def _draw_sequence(
    job: _DrawingJob, scene: _Scene, folder: Path, archive: ZipFile | None
) -> Traced:
    sequence, style = scene.sequence, job.style
    points = np.empty((len(sequence.frames), 68, 2), np.float32)
    numbers = _numbers(style, scene)
    repetitions = np.bincount(
        _nearest_before(sequence.frames, numbers), minlength=len(sequence.frames)
    )
    frames = _repeated(_frames(job, scene, points), repetitions)
    if style.form == "videos":
        write_video(folder / _video_name(sequence), 25 if style.like == "bp4d" else 20, frames)
    elif archive is not None:
        add_to_zip(archive, f"{sequence.subject}/{sequence.task}", numbers, frames)
    else:
        write_images(folder / sequence.subject / sequence.task, numbers, frames)
    return sequence, points, scene.none


def _numbers(style: MediaForm, scene: _Scene) -> np.ndarray:
    """Return the numbers of all images that are written for a sequence, increasing, int [M].

    Videos, and image folders of DISFA, also have images of frames that are not coded.
    """
    frames = scene.sequence.frames
    if style.form == "videos":
        return np.arange(1, frames[-1] + scene.spare + 1)
    return frames if style.like == "bp4d" else _from_first(frames)


def _from_first(frames: np.ndarray) -> np.ndarray:
    """Return frame numbers with 1 added in front if it is missing.

    Readers infer from the first image whether images are numbered from 0 or from 1.
    """
    return frames if frames[0] == 1 else np.concatenate([[1], frames])


def _with_first(traced: Traced) -> Traced:
    sequence, points, none = traced
    numbers = _from_first(sequence.frames)
    at = _nearest_before(sequence.frames, numbers)
    return replace(sequence, frames=numbers), points[at], none[at]


def _nearest_before(frames: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the index of the coded frame that each image repeats, int [M].

    An image repeats the last coded frame whose number is not larger than that of the image. An
    image before all coded frames repeats the first coded frame.

    Args:
        frames: the numbers of the coded frames, increasing, [F].
        numbers: the numbers of the images, [M].
    """
    return np.searchsorted(frames, numbers, side="right").clip(min=1) - 1


def _repeated(frames: Iterator[np.ndarray], times: np.ndarray) -> Iterator[np.ndarray]:
    return chain.from_iterable(map(repeat, frames, times.tolist()))


def _frames(job: _DrawingJob, scene: _Scene, points: np.ndarray) -> Iterator[np.ndarray]:
    """Draw and yield the coded frames of a sequence, each uint8 [H, W, 3] BGR.

    Args:
        job: the job, with the form of the images and the names of the action units.
        scene: the sequence.
        points: an array, [F, 68, 2], that receives the landmarks of each frame as it is drawn.
    """
    sequence, style = scene.sequence, job.style
    identity = draw_identity(generator(style.seed, "identity", sequence.subject), sequence.sex)
    views = draw_views(
        generator(style.seed, "views", sequence.subject, sequence.task), len(sequence.frames)
    )
    intensities = np.zeros((len(sequence.frames), len(FACE_AUS)), np.float32)
    intensities[:, [FACE_AUS.index(au) for au in job.aus]] = scene.intensities
    # DISFA's images are 4:3, so tests notice if x and y are swapped.
    side = style.size // 6 if style.like == "disfa" else 0
    for index, (levels, view) in enumerate(zip(intensities, views, strict=True)):
        image, points[index] = draw_face(identity, levels, view, style.size)
        points[index, :, 0] += side
        frame = image[:, :, ::-1]
        if side:
            frame = cv2.copyMakeBorder(frame, 0, 0, side, side, cv2.BORDER_REPLICATE)
        yield frame


def _video_name(sequence: SyntheticSequence) -> str:
    if sequence.task:
        return f"2{sequence.subject[0]}{int(sequence.subject[1:]):02d}_{sequence.task}.avi"
    return f"LeftVideo{sequence.subject}_comp.avi"


def _write_mat(
    out: Path, like: str, sequence: SyntheticSequence, points: np.ndarray, none: np.ndarray
) -> None:
    if like == "bp4d":
        folder = out / "2DFeatures"
        folder.mkdir(exist_ok=True)
        write_bp4d_mat(
            folder / f"{sequence.subject}_{sequence.task}.mat", sequence.frames, points, none
        )
    else:
        folder = out / "Landmark_Points" / sequence.subject / "tmp_frame_lm"
        folder.mkdir(parents=True)
        write_disfa_mats(folder, sequence.subject, sequence.frames, points, none)
