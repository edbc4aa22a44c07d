"""The step that crops every coded frame's face and writes faces.parquet.

A run that was stopped or killed goes on where it was; a run on the same inputs does nothing. The
same inputs and settings give the same bytes, with any number of processes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fauds.datasets.media_files import Footage, SequenceId
from fauds.errors import DataError
from fauds.faces import plan as planning
from fauds.faces.crop_files import CropFiles, remove_temporaries
from fauds.faces.landmarks import LONGEST_GAP
from fauds.faces.outcomes import Tally, finished, no_crops
from fauds.faces.plan import CropPlan, CropRequest
from fauds.faces.workers import crop_all
from fauds.tables import schemas, store
from fauds.tables.paths import FACES


@dataclass(frozen=True)
class Prepared:
    """What became of the step.

    Attributes:
        path: faces.parquet.
        done: whether anything was to be done.
        meta: the table's metadata: "settings" (alignment's name, version and so on),
            "described", "frame_set", "request" (fields of `CropRequest`), "frames" (how many have
            each status), "lost" (by subject and status) and "notes".
    """

    path: Path
    done: bool
    meta: dict[str, Any]


def prepare(
    folder: Path,
    frames: Path,
    footage: Footage,
    image_root: Path,
    picture_digests: Mapping[SequenceId, str],
    request: CropRequest,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Write the crops of all coded frames, and faces.parquet.

    Holds the folder's lock. Crops lie in ``faces/NAME-VERSION/`` in the folder.

    Args:
        folder: the dataset's.
        frames: frames.parquet.
        footage: what the sequences can be cropped from beside the images it names.
        image_root: what the images it names are relative to.
        picture_digests: of the images' folders by name, size and time, by sequence.
        request: how to crop.
        progress: called with the frames that are done and all that there are.

    Raises:
        UsageError: settings that contradict each other, an unknown alignment or detector.
        DataError: pictures or landmarks cannot be read, not one frame can be cropped, or the
            disk refuses.
    """
    table = store.read_table(frames, ["frame_id", "subject", "task", "frame", "image"])
    plan = planning.make(folder, table, footage, image_root, picture_digests, request)
    made_of = store.read_meta(frames)
    meta = {
        "dataset": made_of["dataset"],
        "synthetic": made_of["synthetic"],
        "inputs": store.fingerprint(made_of["inputs"], made_of["settings"]),
        "settings": plan.settings,
        "crops": store.fingerprint([job.fingerprint for job in plan.jobs]),
        "described": plan.describe(),
        "frame_set": plan.describe_frames(made_of.get("frame_set", "every coded frame")),
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
    # From here on crops may change, and a table must not speak of others. Those of another
    # alignment lie in another folder: its table stays until the new one takes its place.
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


def _unchanged(path: Path, meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the metadata of the table, if it was made of the same things."""
    try:
        old = store.read_meta(path)
    except DataError:
        return None
    return old if all(old.get(key) == value for key, value in meta.items()) else None


def _names_crops_of(path: Path, plan: CropPlan) -> bool:
    """Whether the table may name crops in the folder that the plan writes into."""
    try:
        old = store.read_meta(path)
    except DataError:
        return True
    settings = old.get("settings", {})
    return all(settings.get(key) == plan.settings[key] for key in ("name", "version"))


def _unfilled(plan: CropPlan, tally: Tally) -> list[str]:
    left = tally.totals["no landmarks"]
    if plan.request.without_landmarks != "neighbours" or not left:
        return []
    return [
        f"not filled from neighbours: {left:,} frames in gaps of more than {LONGEST_GAP} frames, "
        "by the labels' numbers"
    ]


def _write(plan: CropPlan, path: Path, meta: dict[str, Any]) -> dict[str, Any]:
    """Join the parts of all sequences, in the order of the frames table."""
    tally, start = Tally(), 0
    with store.table_writer(path, schemas.faces_schema()) as writer:
        for job in plan.jobs:
            files = CropFiles(job)
            numbers = range(len(files.slices))
            ids = plan.frames["frame_id"].slice(start, len(job.frames))
            rows = finished([files.part(number) for number in numbers], ids, job.frames)
            tally.add(job, rows, [files.meta(number) for number in numbers])
            # Here, where also a run that was killed before it comes past.
            files.keep_only(rows["path"].drop_null().to_pylist())
            writer.write(rows, np.zeros(1, np.int64))
            start += len(job.frames)
        if not tally.cropped:
            raise no_crops(plan, tally, meta["dataset"])
        writer.meta = meta | {
            "request": plan.request.plain(),
            "frames": dict(sorted(tally.totals.items())),
            "lost": tally.lost(),
            "notes": [*plan.notes, *tally.notes(), *_unfilled(plan, tally)],
        }
    return writer.meta
