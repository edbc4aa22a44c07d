"""A made-up distribution on disk, in the raw layout of BP4D or DISFA.

What is written here is read by the same reader as the real thing. A marker file in its root
keeps it apart: without one a folder is never overwritten, and while the marker says that the
writing is not complete, readers refuse the folder.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from fauds import __version__, store
from fauds.datasets.base import MARKER
from fauds.datasets.text import MISSING
from fauds.errors import DataError, UsageError
from fauds.facs import au_number
from fauds.synthetic.labels import Take, draw_intensities, lay_out, occurrence
from fauds.synthetic.population import generator

BP4D_INTENSITY_AUS = ("AU06", "AU10", "AU12", "AU14", "AU17")
"""The AUs whose intensities BP4D's release codes."""

_FOLDERS = ("AUCoding", "2D+3D", "ActionUnit_Labels")
_BP4D_COLUMNS = 100
_JPEG_QUALITY = 92


def write(
    out: Path,
    like: str,
    *,
    subjects: int | None = None,
    frames: int | None = None,
    seed: int = 0,
    labels_only: bool = False,
    size: int = 128,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a made-up distribution; the same arguments write the same bytes.

    Args:
        out: its root. A folder that an earlier call wrote is written anew.
        like: "bp4d" (labels, intensities and JPEG frames) or "disfa" (labels).
        subjects: how many, None for all that the dataset has.
        frames: coded frames a subject, None for all that it has.
        seed: 0 or more; decides labels, faces and views.
        labels_only: leave the images out.
        size: side of the images in pixels, 64 or more.
        processes: how many draw faces; the bytes do not depend on it.
        progress: called with the images that are done and all that there will be.

    Raises:
        UsageError: the folder holds something else, an argument is out of its range, or images
            of DISFA are asked for.
        DataError: the disk refuses.
    """
    if like == "disfa" and not labels_only:
        raise UsageError(
            "Made-up DISFA comes without images and videos for now.",
            hint="ask for its labels alone: --labels-only; --like bp4d has images",
        )
    if size < 64:
        raise UsageError(f"The images would be {size} pixels wide.", hint="64 or more")
    takes = lay_out(like, subjects=subjects, frames=frames, seed=seed)
    aus, intensities = draw_intensities(like, takes, seed)
    labels = _Labels(takes, aus, intensities)
    marker = {
        "like": like,
        "seed": seed,
        "subjects": subjects,
        "frames": frames,
        "labels_only": labels_only,
        "size": size,
        "version": __version__,
    }
    try:
        _clear(out)
        store.write_json(out / MARKER, marker | {"complete": False})
        _WRITERS[like](out, labels)
        if not labels_only:
            _write_images(out / "2D+3D", labels, seed, size, processes, progress)
        store.write_json(out / MARKER, marker | {"complete": True})
    except OSError as error:
        raise DataError(
            f"The made-up distribution could not be written: {error.strerror or error}.",
            where=error.filename or out,
            hint="free space or choose another folder, then run the same command again",
        ) from error


@dataclass(frozen=True)
class _Labels:
    """Sequences, the A AUs, and intensities int8 [frames of all sequences, A], 0 to 5."""

    takes: Sequence[Take]
    aus: tuple[str, ...]
    intensities: np.ndarray

    def by_take(self) -> Iterator[tuple[Take, np.ndarray]]:
        start = 0
        for take in self.takes:
            yield take, self.intensities[start : start + len(take.frames)]
            start += len(take.frames)


def _clear(out: Path) -> None:
    """Make the folder, or empty it of what an earlier call wrote."""
    if out.exists() and not out.is_dir():
        raise UsageError("This is a file.", where=out, hint="name a folder")
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / MARKER).exists():
        raise UsageError(
            f"The folder is not empty and fauds did not make it: it has no {MARKER}.",
            where=out,
            hint="name a folder that is new or empty",
        )
    for name in _FOLDERS:
        if (out / name).exists():
            # The marker first: a folder half removed is not whole either.
            store.write_json(out / MARKER, {"complete": False})
            shutil.rmtree(out / name)


def _write_bp4d(out: Path, labels: _Labels) -> None:
    header = (",".join(map(str, range(_BP4D_COLUMNS))) + "\n").encode()
    columns = [au_number(au) - 1 for au in labels.aus]
    coder = out / "AUCoding"
    for folder in ("AU_OCC", *(f"AU_INT/{au}" for au in BP4D_INTENSITY_AUS)):
        (coder / folder).mkdir(parents=True)
    for take, intensities in labels.by_take():
        name = f"{take.subject}_{take.task}"
        codes = np.full((len(take.frames), _BP4D_COLUMNS - 1), MISSING, np.uint8)
        codes[:, columns] = occurrence("bp4d", intensities)
        (coder / "AU_OCC" / f"{name}.csv").write_bytes(header + _csv(take.frames, codes))
        for au in BP4D_INTENSITY_AUS:
            column = intensities[:, [labels.aus.index(au)]]
            (coder / "AU_INT" / au / f"{name}_{au}.csv").write_bytes(_csv(take.frames, column))


def _write_disfa(out: Path, labels: _Labels) -> None:
    for take, intensities in labels.by_take():
        folder = out / "ActionUnit_Labels" / take.subject
        folder.mkdir(parents=True)
        for index, au in enumerate(labels.aus):
            path = folder / f"{take.subject}_au{au_number(au)}.txt"
            path.write_bytes(_csv(take.frames, intensities[:, [index]]))


_WRITERS: dict[str, Callable[[Path, _Labels], None]] = {"bp4d": _write_bp4d, "disfa": _write_disfa}


def _csv(frames: np.ndarray, values: np.ndarray) -> bytes:
    """Return CSV rows: frame numbers [N], then values [N, K], each 0 to 9."""
    # Numbers are padded with zero bytes to one width, which are then taken out.
    numbers = frames.astype("S11").view(np.uint8).reshape(len(frames), -1)
    cells = np.full((len(frames), 2 * values.shape[1] + 1), ord(","), np.uint8)
    cells[:, 1::2] = values.astype(np.uint8) + ord("0")
    cells[:, -1] = ord("\n")
    return np.hstack([numbers, cells]).tobytes().translate(None, b"\0")


def _write_images(
    folder: Path,
    labels: _Labels,
    seed: int,
    size: int,
    processes: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    jobs = [(folder, take, labels.aus, part, seed, size) for take, part in labels.by_take()]
    total = sum(len(take.frames) for take in labels.takes)
    done = 0
    for count in _run(jobs, processes):
        done += count
        if progress is not None:
            progress(done, total)


def _run(jobs: Sequence[tuple], processes: int) -> Iterator[int]:
    if processes <= 1:
        yield from map(_draw_sequence, jobs)
        return
    # spawn: a fork of a process with running threads (torch, Arrow) may hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_draw_sequence, jobs)


def _draw_sequence(job: tuple[Path, Take, tuple[str, ...], np.ndarray, int, int]) -> int:
    """Draw and write the frames of one sequence; return how many."""
    import cv2

    from fauds.synthetic.face import AUS, draw_face
    from fauds.synthetic.identity import draw_identity
    from fauds.synthetic.view import draw_views

    root, take, aus, labelled, seed, size = job
    who = draw_identity(generator(seed, "identity", take.subject), take.sex)
    views = draw_views(generator(seed, "views", take.subject, take.task), len(take.frames))
    intensities = np.zeros((len(take.frames), len(AUS)), np.float32)
    intensities[:, [AUS.index(au) for au in aus]] = labelled
    folder = root / take.subject / take.task
    folder.mkdir(parents=True)
    for number, levels, view in zip(take.frames.tolist(), intensities, views, strict=True):
        image, _ = draw_face(who, levels, view, size)
        written, data = cv2.imencode(
            ".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        if not written:
            raise RuntimeError("OpenCV cannot write JPEG")
        (folder / f"{number}.jpg").write_bytes(data.tobytes())
    return len(take.frames)
