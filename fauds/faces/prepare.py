"""The step that crops the face of every coded frame and writes faces.parquet.

A run that was stopped or killed is resumed by the next run; a second run on the same inputs does
nothing. The same inputs and settings give the same bytes with any number of processes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fauds.datasets.media_files import Footage, SequenceId
from fauds.errors import DataError
from fauds.faces import estimates
from fauds.faces import plan as planning
from fauds.faces.crop_files import CropFiles, remove_temporaries
from fauds.faces.landmarks import LONGEST_GAP
from fauds.faces.outcomes import Tally, finished, no_crops
from fauds.faces.plan import CropPlan, CropRequest, SequenceJob
from fauds.faces.workers import crop_all
from fauds.tables import schemas, store
from fauds.tables.disk import free_space, require_space
from fauds.tables.frames import read_keyed
from fauds.tables.paths import FACES


@dataclass(frozen=True)
class Prepared:
    """The result of cropping the faces of a dataset.

    Attributes:
        path: the path of faces.parquet, the table of the outcomes of all frames.
        done: whether there was anything to do; False if an earlier run had done everything.
        meta: the metadata of the table, among them "settings" (alignment, version and so on),
            "described" (how faces are cropped, as text), "frame_set" (which frames can have a
            crop, as text), "request" (fields of `CropRequest`), "frames" (the number of frames of
            each status), "lost" (the number of frames without a crop, by subject and status) and
            "notes" (messages for the user).
    """

    path: Path
    done: bool
    meta: dict[str, Any]


def prepare(
    folder: Path,
    frames: Path,
    media: Footage,
    image_root: Path,
    image_digests: Mapping[SequenceId, str],
    request: CropRequest,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Crop the faces of all coded frames, and write the table faces.parquet with their outcomes.

    Crops are written to ``faces/NAME-VERSION/`` in the dataset's folder, where NAME and VERSION
    are those of the alignment. A lock keeps other processes from writing to the dataset's folder
    meanwhile.

    Args:
        folder: the dataset's folder.
        frames: the path of frames.parquet.
        media: the archives, videos and landmark files of the sequences.
        image_root: the folder that the image paths in frames.parquet are relative to.
        image_digests: a digest of the names, sizes and modification times of the files in a
            sequence's folder of images, by sequence.
        request: the user's choices.
        progress: a function that is called with the number of frames finished so far and the
            number of all frames; None reports nothing.

    Raises:
        UsageError: settings contradict each other, or the alignment or the detector is unknown.
        DataError: images or landmarks cannot be read, no frame can be cropped, the disk has too
            little space, or a file cannot be written.
    """
    columns = ["frame_id", "subject", "task", "frame", "image"]
    table = store.read_table(frames, columns)
    if table["frame"].null_count:
        table = read_keyed(frames, columns)
    plan = planning.make(folder, table, media, image_root, image_digests, request)
    frames_meta = store.read_meta(frames)
    meta = {
        "dataset": frames_meta["dataset"],
        "synthetic": frames_meta["synthetic"],
        "inputs": store.fingerprint(frames_meta["inputs"], frames_meta["settings"]),
        "settings": plan.settings,
        "crops": store.fingerprint([job.fingerprint for job in plan.jobs]),
        "described": plan.describe(),
        "frame_set": plan.describe_frames(frames_meta.get("frame_set", "every coded frame")),
    }
    with store.lock(folder):
        return _run(plan, folder / FACES, meta, progress or (lambda done, total: None))


def _run(
    plan: CropPlan, path: Path, meta: dict[str, Any], progress: Callable[[int, int], None]
) -> Prepared:
    remove_temporaries(path.parent)
    left = {job: count for job in plan.jobs if (count := CropFiles(job).frames_left())}
    old = _unchanged(path, meta)
    if old is not None and not left:
        return Prepared(path, False, old)
    _check_space(path.parent, [*left], plan.request.reserve)
    # From here on crops may change, so a table that names them must go. The crops of another
    # alignment are in another folder, so their table stays until it is replaced.
    if _names_crops_of(path, plan):
        path.unlink(missing_ok=True)
    total = len(plan.frames)
    done = total - sum(left.values())

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    advance(0)
    crop_all([*left], plan.request.workers, advance)
    return Prepared(path, True, _write(plan, path, meta))


def _check_space(folder: Path, jobs: Sequence[SequenceJob], reserve: int) -> None:
    """Check that the disk has space for the crops that are going to be made.

    Args:
        folder: the dataset's folder.
        jobs: the sequences to crop.
        reserve: the bytes of disk space that must stay free.

    Raises:
        DataError: the disk has less space.
    """
    count = sum(CropFiles(job).new_crops() for job in jobs)
    side = jobs[0].alignment.size if jobs else 0
    # A JPEG file is smaller than its pixels: most disks have so much space that no crop needs to
    # be made for a measurement.
    if side is not None and 3 * side**2 * count + reserve <= free_space(folder):
        return
    size = estimates.crop_size(jobs)
    if size is not None:
        needs = {f"{count:,} crops": int(size * count), "the files of the run": reserve}
        require_space(folder, needs)


def _unchanged(path: Path, meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the metadata of faces.parquet if the table exists and is up to date, otherwise None.

    Args:
        path: the path of faces.parquet.
        meta: the metadata that a new run would write, including its inputs and settings.
    """
    try:
        old = store.read_meta(path)
    except DataError:
        return None
    return old if all(old.get(key) == value for key, value in meta.items()) else None


def _names_crops_of(path: Path, plan: CropPlan) -> bool:
    """Return whether faces.parquet may refer to crops that a new run will replace.

    That is the case if the table was made with the same alignment, or if it cannot be read.

    Args:
        path: the path of faces.parquet.
        plan: the plan of the new run, with the folder that crops are written to.
    """
    try:
        old = store.read_meta(path)
    except DataError:
        return True
    settings = old.get("settings", {})
    return all(settings.get(key) == plan.settings[key] for key in ("name", "version"))


def _unfilled(plan: CropPlan, tally: Tally) -> list[str]:
    """Return a message, in a list, about the frames in gaps that are too long to interpolate.

    A gap is a run of frames without landmarks. The list is empty if there are no such frames, or
    if landmarks are not interpolated from neighbouring frames in this run.
    """
    left = tally.totals["no landmarks"]
    if plan.request.without_landmarks != "neighbours" or not left:
        return []
    return [
        f"not filled from neighbouring frames: {left:,} frames in gaps of more than {LONGEST_GAP} "
        "label frame numbers"
    ]


def _unneeded(plan: CropPlan) -> list[str]:
    """Return a message, in a list, about the origin of landmarks that the alignment does not need.

    The list is empty if the alignment needs landmarks, and the description of the crops therefore
    names their origin, or if there are no landmarks.
    """
    origins = [*plan.landmarks, *filter(None, [plan.detector_identity])]
    if plan.jobs[0].alignment.needs != "nothing" or not origins:
        return []
    return [f"landmarks, which do not change the images: {', '.join(origins)}"]


def _write(plan: CropPlan, path: Path, meta: dict[str, Any]) -> dict[str, Any]:
    """Write faces.parquet: the rows of all sequences, in the order of the frames table.

    Args:
        plan: the plan of the run; the crops of all its sequences exist.
        path: the path of faces.parquet.
        meta: the metadata to write, to which counts and messages are added.

    Returns:
        The complete metadata of the table.
    """
    tally, start = Tally(), 0
    with store.table_writer(path, schemas.faces_schema()) as writer:
        for job in plan.jobs:
            files = CropFiles(job)
            numbers = range(len(files.slices))
            ids = plan.frames["frame_id"].slice(start, len(job.frames))
            rows = finished([files.part(number) for number in numbers], ids, job.frames)
            tally.add(job, rows, [files.meta(number) for number in numbers])
            # Done here so that a run resumed after a kill also removes outdated crops.
            files.keep_only(rows["path"].drop_null().to_pylist())
            writer.write(rows, np.zeros(1, np.int64))
            start += len(job.frames)
        if not tally.cropped:
            raise no_crops(plan, tally, meta["dataset"])
        writer.meta = meta | {
            "request": plan.request.json_values(),
            "frames": dict(sorted(tally.totals.items())),
            "lost": tally.lost(),
            "notes": [
                *plan.notes,
                *tally.notes(),
                *_unfilled(plan, tally),
                *_unneeded(plan),
            ],
        }
    return writer.meta
