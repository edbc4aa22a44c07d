"""What became of frames, as arrays in a worker and as rows of faces.parquet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets.media_files import Source
from fauds.datasets.subjects import shortened
from fauds.errors import DataError
from fauds.faces.landmarks import MOUTH_CORNERS, Marks
from fauds.faces.plan import CropPlan, SequenceJob
from fauds.faces.streams import VideoStream, open_stream
from fauds.tables import schemas
from fauds.tables.columns import category, from_numpy, from_strings, to_numpy

_LONGEST_MOVE = 1 / 2
_LARGEST_GROWTH = 1 / 3


def inter_ocular(marks: Marks) -> np.ndarray:
    """Return the distance between the eye centres, pixels, float32 [N]; NaN where unknown."""
    distances: np.ndarray = np.linalg.norm(marks.eyes[:, 1] - marks.eyes[:, 0], axis=1)
    return distances.astype(np.float32)


def outside(marks: Marks, sizes: np.ndarray) -> np.ndarray:
    """Return where a known point, an eye centre or the box reaches out of the image, bool [N].

    Args:
        marks: of N faces.
        sizes: of their images, width and height in pixels, int [N, 2]. An image reaches from
            -0.5, half a pixel before the middle of its first, to its size - 0.5.
    """
    places = np.concatenate([marks.points, marks.eyes, marks.boxes.reshape(-1, 2, 2)], 1)
    # Comparisons with what is not known are False.
    reach_out: np.ndarray = np.any((places < -0.5) | (places > sizes[:, None] - 0.5), (1, 2))
    return reach_out


def eyes_crossed(marks: Marks) -> np.ndarray:
    """Return where eyes or mouth cannot be where they are said to be, bool [N].

    That is where the image-left eye's centre is not left of the other's, or where the middle of
    the mouth's corners lies above the line through the eyes, in the direction square to it.
    """
    left, right = marks.eyes[:, 0], marks.eyes[:, 1]
    across = right - left
    down = marks.points[:, MOUTH_CORNERS].mean(1) - (left + right) / 2
    above = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] <= 0
    crossed: np.ndarray = (across[:, 0] <= 0) | above
    return crossed


def jump(marks: Marks, frames: np.ndarray) -> np.ndarray:
    """Return where the eyes moved further in one frame than heads move, bool [N].

    Args:
        marks: of one sequence.
        frames: its label frame numbers, rising, int [N].

    Returns:
        True where, against the frame whose number is one less, the middle between the eyes moved
        by more than half of that frame's inter-ocular distance, or that distance changed by more
        than a third; False where either frame's eyes are not known.
    """
    distance = np.linalg.norm(marks.eyes[:, 1] - marks.eyes[:, 0], axis=1)
    moved = np.linalg.norm(np.diff(marks.eyes.mean(1), axis=0), axis=1)
    far = moved > distance[:-1] * _LONGEST_MOVE
    grown = np.abs(np.diff(distance)) > distance[:-1] * _LARGEST_GROWTH
    found = np.zeros(len(frames), bool)
    found[1:] = (far | grown) & (np.diff(frames) == 1)
    return found


STATUSES = (
    "aligned",
    "neighbours",
    "detected",
    "no landmarks",
    "no face",
    "no picture",
    "unreadable",
    "excluded",
)
"""A frame has a crop by its landmarks, by those of the frames around it, or by a detector's; or
it has none: no (usable) landmarks, no face found by the detector, no picture, a picture that
cannot be read, or not in the list of frames that was asked for."""

(
    ALIGNED,
    NEIGHBOURS,
    DETECTED,
    NO_LANDMARKS,
    NO_FACE,
    NO_PICTURE,
    UNREADABLE,
    EXCLUDED,
) = range(len(STATUSES))

CROPPED = STATUSES[: DETECTED + 1]


class CropRows:
    """What is known of the N frames of a part; filled in while they are worked on.

    Attributes:
        status: int32 [N], positions in `STATUSES`. That of a frame whose picture has not been
            reached says what it will be if there is one.
        marks: of the frames' faces.
        transforms: float64 [N, 2, 3].
        sizes: width and height of the pictures, int64 [N, 2].
    """

    def __init__(self, status: np.ndarray, marks: Marks, transforms: np.ndarray) -> None:
        self.status = status
        self.marks = marks
        self.transforms = transforms
        self.sizes = np.zeros((len(status), 2), np.int64)

    def put_face(self, row: int, marks: Marks, transform: np.ndarray) -> None:
        """Enter the one face of `marks` that a detector found."""
        self.marks.eyes[row] = marks.eyes[0]
        self.marks.points[row] = marks.points[0]
        self.marks.boxes[row] = marks.boxes[0]
        self.transforms[row] = transform

    def table(self, paths: Sequence[str | None], origins: Sequence[str]) -> pa.Table:
        """Return rows of faces.parquet without ``frame_id`` and ``jump``.

        Args:
            paths: of the frames' crops, relative to the dataset's folder; None where there is none.
            origins: where landmarks come from, by status "aligned", "neighbours", "detected".
        """
        marks, status = self.marks, self.status
        lost = status > DETECTED
        without = lost | ~np.isfinite(marks.eyes).all((1, 2))
        eyes = marks.eyes.reshape(-1, 4)
        origin = np.where(without & np.isnan(marks.boxes).any(1), -1, status)
        return pa.table(
            {
                "path": _strings(paths),
                "status": category(status, STATUSES),
                "transform": _fixed(self.transforms.reshape(-1, 6), pa.float64(), lost),
                "inter_ocular": from_numpy(inter_ocular(marks), pa.float32(), without),
                "eyes": _fixed(eyes, pa.float32(), without),
                "landmarks": category(np.where(lost, -1, origin), origins),
                "outside": _flags(outside(marks, self.sizes), lost),
                "eyes_crossed": _flags(eyes_crossed(marks), lost),
            }
        )


def finished(parts: Sequence[pa.Table], ids: pa.ChunkedArray, frames: np.ndarray) -> pa.Table:
    """Return the rows of a whole sequence as faces.parquet has them.

    Args:
        parts: as `CropRows.table` makes them, in order.
        ids: the frame_id of every row.
        frames: label frame numbers, int [N].
    """
    table = pa.concat_tables(parts).combine_chunks()
    known = _bits(table["eyes"].is_valid().combine_chunks())
    eyes = np.full((len(table), 4), np.nan)
    eyes[known] = to_numpy(pa.chunked_array([table["eyes"].combine_chunks().flatten()])).reshape(
        -1, 4
    )
    marks = Marks(eyes.reshape(-1, 2, 2), np.empty(0), np.empty(0))
    lost = _bits(table["path"].is_null().combine_chunks())
    columns: dict[str, Any] = {name: table[name] for name in table.column_names}
    columns |= {"frame_id": ids, "jump": _flags(jump(marks, frames), lost)}
    schema = schemas.faces_schema()
    return pa.table({name: columns[name] for name in schema.names}, schema)


def _fixed(values: np.ndarray, kind: pa.DataType, null: np.ndarray) -> pa.Array:
    """Return rows [N, K] as a column of lists of K."""
    values = np.where(null[:, None], 0, values)
    flat = from_numpy(values.ravel(), kind)
    layout = pa.list_(kind, values.shape[1])
    return pa.Array.from_buffers(layout, len(values), [_packed(~null)], children=[flat])


def _flags(values: np.ndarray, null: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.bool_(), len(values), [_packed(~null), _packed(values & ~null)])


def _packed(values: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def _strings(values: Sequence[str | None]) -> pa.Array:
    there = np.array([value is not None for value in values], bool)
    places = from_numpy(np.cumsum(there) - 1, pa.int64(), ~there)
    return from_strings([value for value in values if value is not None]).take(places)


def _bits(column: pa.Array) -> np.ndarray:
    """Return truth values without nulls as bool [N]."""
    return to_numpy(pa.chunked_array([column.cast(pa.uint8())])).astype(bool)


_MANY = 0.01  # of a subject's frames lost: said for every such subject
_FLAGS = {
    "outside": "landmarks reach out of the image",
    "eyes_crossed": "eyes or mouth cannot be where they are said to be",
    "jump": "the eyes jump from one frame to the next",
}


class Tally:
    """Counts rows of faces.parquet, a sequence after the other.

    Attributes:
        statuses: by subject, how many frames have each status.
        flags: by flag, how many cropped frames of each subject carry it.
        first: by status, the first sequence with such a frame.
        unreadable: pictures, each by its sequence and frame with where it is and why.
    """

    def __init__(self) -> None:
        self.statuses: dict[str, Counter[str]] = {}
        self.flags: dict[str, Counter[str]] = {name: Counter() for name in _FLAGS}
        self._videos: dict[tuple[str, str], list[str]] = {}
        self.first: dict[str, SequenceJob] = {}
        self.unreadable: list[str] = []

    def add(self, job: SequenceJob, rows: pa.Table, metas: Sequence[Mapping[str, Any]]) -> None:
        """Count a sequence: its rows, and what its parts say."""
        subject = job.sequence[0]
        counts = self.statuses.setdefault(subject, Counter())
        for entry in pc.value_counts(rows["status"].combine_chunks()).to_pylist():
            counts[entry["values"]] += entry["counts"]
            self.first.setdefault(entry["values"], job)
        for flag, flagged in self.flags.items():
            found = pc.sum(rows[flag]).as_py()
            if found:
                flagged[subject] += found
        for meta in metas:
            for frame, why in meta["unreadable"].items():
                self.unreadable.append(f"{job.name} frame {frame} ({why})")
        ended_at = next((m["ended_at"] for m in metas if m["ended_at"]), None)
        # A video of which no frame was wanted need not even be one.
        if ended_at is not None or rows["path"].null_count < len(rows):
            self._compare_video(job, rows["path"], ended_at)

    def _compare_video(
        self, job: SequenceJob, paths: pa.ChunkedArray, ended_at: int | None
    ) -> None:
        pictures = open_stream(job.image_root, job.images.to_pylist(), job.source, job.frames)
        if not isinstance(pictures, VideoStream):
            return
        declared, first, last = pictures.declared, int(job.frames[0]), int(job.frames[-1])
        after = int(np.searchsorted(job.frames, declared, "right"))
        # Where the last frames have no landmarks, none of their pictures was asked for.
        if ended_at is None and declared and paths[after:].null_count == len(paths) - after:
            ended_at = declared
        if ended_at is not None and ended_at < last:
            of = f" of {declared:,} declared" if declared != ended_at else ""
            line = (
                f"the video ends at frame {ended_at:,}{of}",
                f"frames {ended_at + 1:,} to {last:,} have no picture",
            )
        # Where labels cover a part of a video only, it goes on after them as a matter of course.
        elif declared > last and first == 1 and last == len(job.frames):
            line = (
                f"the video has {declared:,} frames, the labels end at {last:,}",
                f"the {declared - last:,} frames after are not used",
            )
        else:
            return
        self._videos.setdefault(line, []).append(job.name)

    @property
    def totals(self) -> Counter[str]:
        """How many frames have each status."""
        return sum(self.statuses.values(), Counter())

    @property
    def cropped(self) -> int:
        """How many frames have a crop."""
        return sum(self.totals[status] for status in CROPPED)

    def lost(self) -> dict[str, dict[str, int]]:
        """Return by subject how many frames have no crop, by status; "excluded" is not lost."""
        found = {
            subject: {
                status: count
                for status, count in sorted(counts.items())
                if status not in (*CROPPED, "excluded")
            }
            for subject, counts in self.statuses.items()
        }
        return {subject: counts for subject, counts in found.items() if counts}

    def notes(self) -> list[str]:
        """Return what there is to tell, a line each."""
        lines = [f"frames with a crop: {self.cropped:,} of {self._kept(self.statuses):,}"]
        lines.append(f"by status: {_counts(self.totals)}")
        for subject, lost in self.lost().items():
            count, of = sum(lost.values()), self._kept([subject])
            if count > _MANY * of:
                share = f"{100 * count / of:.1f} %"
                lines.append(
                    f"{subject} loses {count:,} of {of:,} frames ({share}): {_counts(lost)}"
                )
        for flag, flagged in self.flags.items():
            if flagged:
                worst = [f"{subject} {count:,}" for subject, count in flagged.most_common()]
                lines.append(
                    f"flagged, {_FLAGS[flag]} ({flag}): {flagged.total():,} frames; most in "
                    f"{shortened(worst, 3)}"
                )
        for (what, then), names in self._videos.items():
            lines.append(f"{shortened(names)}: {what}: {then}")
        if self.unreadable:
            lines.append(f"pictures that cannot be read: {shortened(self.unreadable)}")
        return lines

    def _kept(self, subjects: Any) -> int:
        """Return how many frames of subjects were to be cropped."""
        return sum(
            self.statuses[subject].total() - self.statuses[subject]["excluded"]
            for subject in subjects
        )


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{status} {count:,}" for status, count in ordered)


def no_crops(plan: CropPlan, tally: Tally, dataset: str) -> DataError:
    """Return the error: the most frequent reason, with an example of it, and what to do.

    Args:
        plan: what was to be cropped.
        tally: of all sequences; no frame has a crop.
        dataset: its name, for the command that says more.
    """
    lost = {s: n for s, n in tally.totals.items() if s not in (*CROPPED, "excluded")}
    status = max(lost, key=lambda name: (lost[name], name))
    job = tally.first[status]
    example, where, to_do = _EXPLAINED[status](job, tally)
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(lost.items()))
    return DataError(
        f"Not one frame could be cropped ({counts}): {example}.",
        where=where,
        hint=f"{to_do}; what the distribution holds and lacks says: "
        f"fauds check --dataset {dataset} --root {job.image_root}",
    )


def _no_picture(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    source = job.source or Source(None, None, None, "")
    found = (source.archive and source.archive.path) or source.video
    if found is None:
        what = f"{job.name} has neither images nor an archive or a video in this folder"
        return what, job.image_root, "copy or unpack the pictures there"
    return (
        f"{found.name} holds no picture of the frames of {job.name} that could be cropped",
        found,
        "copy it again, if it is not whole",
    )


def _unreadable(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    return f"the first is {tally.unreadable[0]}", job.image_root, "copy the pictures again"


def _no_landmarks(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    how = job.how.name
    if job.request.detector is not None:
        what = f"in {job.name} the detector {job.request.detector} finds faces without what {how}"
        return f"{what} needs", job.image_root, "try another detector"
    to_do = "copy the landmarks again, or use a detector (--detector)"
    files = job.source.landmarks if job.source else None
    if files is None:
        return f"{job.name} has no landmarks, which {how} needs", job.image_root, to_do
    return f"{files.path.name} holds no landmarks of {job.name} that can be used", files.path, to_do


def _no_face(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    what = f"in {job.name} the detector {job.request.detector} finds no face"
    return what, job.image_root, "try another detector, and look at the pictures"


_EXPLAINED = {
    "no picture": _no_picture,
    "unreadable": _unreadable,
    "no landmarks": _no_landmarks,
    "no face": _no_face,
}
