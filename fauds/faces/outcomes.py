"""The outcome of every frame: whether it was cropped, or why not, and flags of implausible marks.

While frames are cropped, `CropRows` collects their outcomes as arrays, which become rows of the
table faces.parquet. `Tally` counts these rows and writes the messages for the user.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets.media_files import Source
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError
from fauds.faces.landmark_offset import mismatch
from fauds.faces.landmarks import MOUTH_CORNERS, POINTS, Marks
from fauds.faces.plan import NEEDED, CropPlan, SequenceJob
from fauds.faces.streams import VideoStream, open_stream
from fauds.tables import schemas
from fauds.tables.columns import category, from_numpy, from_strings, to_numpy
from fauds.tables.frames import UNKNOWN_SUBJECT

# Both as shares of the inter-ocular distance in the frame before.
_LARGEST_MOVE = 1 / 2
_LARGEST_GROWTH = 1 / 3

_POINT_STEPS = 64
"""The steps per pixel to which stored landmarks are rounded; the table is then a third as large."""


def inter_ocular(marks: Marks) -> np.ndarray:
    """Return the distance between the eye centres of N faces, float32 [N], in pixels.

    It is NaN for a face whose eye centres are unknown.
    """
    distances: np.ndarray = np.linalg.norm(marks.eyes[:, 1] - marks.eyes[:, 0], axis=1)
    return distances.astype(np.float32)


def outside(marks: Marks, sizes: np.ndarray) -> np.ndarray:
    """Return which faces extend beyond their image, bool [N].

    A face does so if any known landmark, eye centre or edge of its box lies outside the image.

    Args:
        marks: the eye centres, landmarks and boxes of N faces, in pixels.
        sizes: the width and height of the faces' images in pixels, int [N, 2]. An image of width W
            extends from -0.5, half a pixel before the middle of its first pixel, to W - 0.5.
    """
    points = np.concatenate([marks.points, marks.eyes, marks.boxes.reshape(-1, 2, 2)], 1)
    # Comparisons with NaN are False.
    reach_out: np.ndarray = np.any((points < -0.5) | (points > sizes[:, None] - 0.5), (1, 2))
    return reach_out


def eyes_crossed(marks: Marks) -> np.ndarray:
    """Return which faces have eyes or a mouth in an impossible place, bool [N].

    That is the case if the eye that should be on the left side of the image is not left of the
    other eye, or if the middle between the corners of the mouth is on the upper side of the line
    through the eye centres.

    Args:
        marks: the eye centres and the landmarks of N faces.
    """
    left, right = marks.eyes[:, 0], marks.eyes[:, 1]
    across = right - left
    down = marks.points[:, MOUTH_CORNERS].mean(1) - (left + right) / 2
    above = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] <= 0
    crossed: np.ndarray = (across[:, 0] <= 0) | above
    return crossed


def jump(marks: Marks, frames: np.ndarray) -> np.ndarray:
    """Return in which frames the eyes moved implausibly far since the frame before, bool [N].

    A frame is compared with the frame whose number is one smaller. The frame is marked if the
    middle between the eyes moved by more than half of the earlier frame's inter-ocular distance,
    or if this distance changed by more than a third. It is not marked if the eyes are unknown in
    one of the two frames, or if the earlier frame is not among the N. Single images, which have no
    numbers, are never marked.

    Args:
        marks: the marks of the N frames of one sequence, of which the eye centres are used.
        frames: the numbers of these frames, increasing, int [N]; or their keys, str [N].
    """
    if frames.dtype.kind == "U":
        return np.zeros(len(frames), bool)
    distance = np.linalg.norm(marks.eyes[:, 1] - marks.eyes[:, 0], axis=1)
    moved = np.linalg.norm(np.diff(marks.eyes.mean(1), axis=0), axis=1)
    far = moved > distance[:-1] * _LARGEST_MOVE
    grown = np.abs(np.diff(distance)) > distance[:-1] * _LARGEST_GROWTH
    jumps = np.zeros(len(frames), bool)
    jumps[1:] = (far | grown) & (np.diff(frames) == 1)
    return jumps


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
"""The possible outcomes of a frame, in the order of their codes.

Frames with the first three outcomes have a crop. It was made with the frame's own landmarks
("aligned"), with landmarks interpolated from neighbouring frames, or with those of a detector.
Frames with the other outcomes have no crop, because the frame has no usable landmarks, the detector
detects no face, there is no image, the image cannot be read, or the frame is not in the user's list
of frames to crop ("excluded").
"""

(
    ALIGNED,
    NEIGHBOURS,
    DETECTED,
    NO_LANDMARKS,
    NO_FACE,
    NO_IMAGE,
    UNREADABLE,
    EXCLUDED,
) = range(len(STATUSES))

CROPPED = STATUSES[: DETECTED + 1]
"""The outcomes of frames that have a crop."""


class CropRows:
    """The outcomes of up to 512 frames of a sequence, filled in while the frames are cropped.

    Attributes:
        status: the status of each of the N frames, as a position in `STATUSES`, int32 [N]. Until
            the image of a frame is reached, this is the status that the frame will get if the
            image can be read.
        marks: the eye centres, landmarks and boxes of the faces, in pixels.
        transforms: the affine maps from pixels of the image to pixels of the crop, float64
            [N, 2, 3].
        sizes: the width and height of the images in pixels, int64 [N, 2].
    """

    def __init__(self, status: np.ndarray, marks: Marks, transforms: np.ndarray) -> None:
        self.status = status
        self.marks = marks
        self.transforms = transforms
        self.sizes = np.zeros((len(status), 2), np.int64)

    def put_face(self, row: int, marks: Marks, transform: np.ndarray) -> None:
        """Store a detected face as the face of a frame.

        Args:
            row: the row of the frame in these arrays.
            marks: the eye centres, landmarks and box of one face.
            transform: the affine map from pixels of the image to pixels of the crop, [2, 3].
        """
        self.marks.eyes[row] = marks.eyes[0]
        self.marks.landmarks[row] = marks.landmarks[0]
        self.marks.boxes[row] = marks.boxes[0]
        self.transforms[row] = transform

    def table(self, paths: Sequence[str | None], origins: Sequence[str]) -> pa.Table:
        """Return the outcomes as rows of faces.parquet, without the columns frame_id and jump.

        Args:
            paths: the paths of the N crops, relative to the dataset's folder; None for a frame
                without a crop.
            origins: the source of the landmarks, as three names: for frames with the status
                "aligned", "neighbours" and "detected".
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
                "points": self._points(lost),
                "outside": _flags(outside(marks, self.sizes), lost),
                "eyes_crossed": _flags(eyes_crossed(marks), lost),
            }
        )

    def _points(self, lost: np.ndarray) -> pa.Array:
        """Return the landmarks in pixels of the crops as a column of lists; null where unknown.

        Args:
            lost: the frames without a crop, bool [N].
        """
        points = self.marks.landmarks
        transforms = self.transforms
        moved = np.einsum("nij,npj->npi", transforms[:, :, :2], points) + transforms[:, None, :, 2]
        rounded = np.round(moved * _POINT_STEPS) / _POINT_STEPS
        unknown = np.isnan(points).all((1, 2))
        return _fixed(rounded.reshape(len(points), -1), pa.float32(), lost | unknown)


def finished(parts: Sequence[pa.Table], ids: pa.ChunkedArray, frames: np.ndarray) -> pa.Table:
    """Return the complete rows of faces.parquet for the N frames of a sequence, as a table.

    Args:
        parts: the tables that `CropRows.table` returned for up to 512 frames each, in order.
        ids: the value of the column frame_id for every row.
        frames: the numbers of the frames, as in the label files, int [N]; or their keys, str [N].
    """
    table = pa.concat_tables(parts).combine_chunks()
    known = _bits(table["eyes"].is_valid().combine_chunks())
    eyes = np.full((len(table), 4), np.nan)
    eyes[known] = to_numpy(pa.chunked_array([table["eyes"].combine_chunks().flatten()])).reshape(
        -1, 4
    )
    marks = Marks(eyes.reshape(-1, 2, 2), np.empty((0, 68, 2)), np.empty((0, 4)))
    lost = _bits(table["path"].is_null().combine_chunks())
    columns: dict[str, Any] = {name: table[name] for name in table.column_names}
    columns |= {"frame_id": ids, "jump": _flags(jump(marks, frames), lost)}
    schema = schemas.faces_schema()
    return pa.table({name: columns[name] for name in schema.names}, schema)


def _fixed(values: np.ndarray, kind: pa.DataType, null: np.ndarray) -> pa.Array:
    """Return an array as a column of an Arrow table, each row a list of fixed length.

    Args:
        values: the values, [N, K], for N lists of length K; NaN becomes null.
        kind: the Arrow type of a value.
        null: the rows that are null in the column, bool [N].
    """
    values = np.where(null[:, None], 0, values)
    flat = from_numpy(values.ravel(), kind, np.isnan(values.ravel()))
    layout = pa.list_(kind, values.shape[1])
    return pa.Array.from_buffers(layout, len(values), [_packed(~null)], children=[flat])


def _flags(values: np.ndarray, null: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.bool_(), len(values), [_packed(~null), _packed(values & ~null)])


def _packed(values: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def _strings(values: Sequence[str | None]) -> pa.Array:
    valid = np.array([value is not None for value in values], bool)
    rows = from_numpy(np.cumsum(valid) - 1, pa.int64(), ~valid)
    return from_strings([value for value in values if value is not None]).take(rows)


def _bits(column: pa.Array) -> np.ndarray:
    """Return a boolean column without nulls as an array, bool [N]."""
    return to_numpy(pa.chunked_array([column.cast(pa.uint8())])).astype(bool)


_REPORTED_LOSS = 0.01  # the share of lost frames from which on a subject is reported
_FLAGS = {
    "outside": "landmarks reach out of the image",
    "eyes_crossed": "eyes or mouth in an impossible place",
    "jump": "the eyes jump from one frame to the next",
}


class Tally:
    """Counts of the outcomes of frames, collected sequence by sequence.

    The outcome is a status, which says whether the frame was cropped ("aligned"), or why not ("no
    face"), and flags, such as "jump", which mark implausible landmarks.

    Attributes:
        statuses: the number of frames of each status, by subject and status.
        flags: the number of flagged frames, by flag and subject.
        first: the first sequence that has a frame of a status, by status.
        faceless: the names of the frames in which the detector found no face.
        unplaced: the names of the frames with a crop but without landmarks, in sequences with
            landmark files or with a detector.
        unreadable: messages about images that cannot be read, with sequence, frame and reason.
    """

    def __init__(self) -> None:
        self.statuses: dict[str, Counter[str]] = {}
        self.flags: dict[str, Counter[str]] = {name: Counter() for name in _FLAGS}
        self._videos: dict[tuple[str, str], list[str]] = {}
        self.first: dict[str, SequenceJob] = {}
        self.faceless: list[str] = []
        self.unplaced: list[str] = []
        self.unreadable: list[str] = []
        self._oriented: Counter[str] = Counter()
        self._upright = False
        self._landmarks: list[str] = []

    def add(self, job: SequenceJob, rows: pa.Table, metas: Sequence[Mapping[str, Any]]) -> None:
        """Count the outcomes of the frames of a sequence.

        Args:
            job: the sequence.
            rows: the rows of faces.parquet for this sequence.
            metas: the metadata of each part (up to 512 rows), which name unreadable images and
                the last readable frame of a video that ended too early.
        """
        subject = job.sequence[0] or UNKNOWN_SUBJECT
        counts = self.statuses.setdefault(subject, Counter())
        for entry in pc.value_counts(rows["status"].combine_chunks()).to_pylist():
            counts[entry["values"]] += entry["counts"]
            self.first.setdefault(entry["values"], job)
        for flag, flagged in self.flags.items():
            count = pc.sum(rows[flag]).as_py()
            if count:
                flagged[subject] += count
        statuses = rows["status"].to_pylist()
        self.faceless += _names(job, [status == STATUSES[NO_FACE] for status in statuses])
        files = job.source.landmarks if job.source else None
        if job.request.detector is not None or (files and files.points >= POINTS):
            unplaced = pc.and_(pc.is_valid(rows["path"]), pc.is_null(rows["points"]))
            self.unplaced += _names(job, unplaced.to_pylist())
        self._upright = job.upright
        if oriented := sum(meta["oriented"] for meta in metas):
            self._oriented[job.name] += oriented
        for meta in metas:
            for frame, reason in meta["unreadable"].items():
                name = f"{job.name} frame {frame}" if job.numbered else frame
                self.unreadable.append(f"{name} ({reason})")
        ended_at = next((m["ended_at"] for m in metas if m["ended_at"]), None)
        # A video from which no frame is needed is never opened: it may be broken.
        if ended_at is not None or rows["path"].null_count < len(rows):
            self._compare_video(job, rows["path"], ended_at)
            if line := mismatch(job):
                self._landmarks.append(f"{job.name}: {line}")

    def _compare_video(
        self, job: SequenceJob, paths: pa.ChunkedArray, ended_at: int | None
    ) -> None:
        stream = open_stream(
            job.image_root, job.images.to_pylist(), job.source, job.frames, upright=job.upright
        )
        if not isinstance(stream, VideoStream):
            return
        declared, first, last = stream.declared, int(job.frames[0]), int(job.frames[-1])
        after = int(np.searchsorted(job.frames, declared, "right"))
        # Frames without landmarks are never read, so a video may end among them unnoticed.
        if ended_at is None and declared and paths[after:].null_count == len(paths) - after:
            ended_at = declared
        if ended_at is not None and ended_at < last:
            of_declared = f" of {declared:,} declared" if declared != ended_at else ""
            line = (
                f"the video ends at frame {ended_at:,}{of_declared}",
                f"frames {ended_at + 1:,} to {last:,} have no image",
            )
        # Labels that cover only a part of a video are expected to end before it.
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
        """The number of frames of each status, such as "aligned" or "no face"."""
        return sum(self.statuses.values(), Counter())

    @property
    def cropped(self) -> int:
        """The number of frames that have a crop."""
        return sum(self.totals[status] for status in CROPPED)

    def lost(self) -> dict[str, dict[str, int]]:
        """Return the number of frames without a crop, by subject and status (the reason).

        Frames that are not in the user's list of frames to crop (status "excluded") are not
        counted.
        """
        lost = {
            subject: {
                status: count
                for status, count in sorted(counts.items())
                if status not in (*CROPPED, "excluded")
            }
            for subject, counts in self.statuses.items()
        }
        return {subject: counts for subject, counts in lost.items() if counts}

    def notes(self) -> list[str]:
        """Return messages about frames without a crop and about flagged frames, one per line."""
        lines = [f"frames with a crop: {self.cropped:,} of {self._kept(self.statuses):,}"]
        lines.append(f"by status: {_counts(self.totals)}")
        for subject, lost in self.lost().items():
            count, total = sum(lost.values()), self._kept([subject])
            if count > _REPORTED_LOSS * total:
                share = f"{100 * count / total:.1f} %"
                lines.append(
                    f"{subject} loses {count:,} of {total:,} frames ({share}): {_counts(lost)}"
                )
        if self.faceless:
            lines.append(
                f"frames in which no face was found: {len(self.faceless):,} "
                f"({abbreviated(self.faceless)})"
            )
        if self.unplaced:
            lines.append(
                f"frames with a crop but without landmarks: {len(self.unplaced):,} "
                f"({abbreviated(self.unplaced)})"
            )
        if self._oriented:
            used = "turned by it" if self._upright else "used as they are stored (--orientation)"
            lines.append(
                f"images with an EXIF orientation: {self._oriented.total():,}, {used} "
                f"({abbreviated([*self._oriented])})"
            )
        for flag, flagged in self.flags.items():
            if flagged:
                worst = [f"{subject} {count:,}" for subject, count in flagged.most_common()]
                lines.append(
                    f"flagged, {_FLAGS[flag]} ({flag}): {flagged.total():,} frames; most in "
                    f"{abbreviated(worst, 3)}"
                )
        for (observation, consequence), names in self._videos.items():
            lines.append(f"{abbreviated(names)}: {observation}: {consequence}")
        lines += self._landmarks
        if self.unreadable:
            lines.append(f"images that cannot be read: {abbreviated(self.unreadable)}")
        return lines

    def _kept(self, subjects: Any) -> int:
        """Return the number of frames of some subjects that were to be cropped.

        Args:
            subjects: the ids of the subjects.
        """
        return sum(
            self.statuses[subject].total() - self.statuses[subject]["excluded"]
            for subject in subjects
        )


def _names(job: SequenceJob, chosen: Sequence[bool]) -> list[str]:
    """Return the names of some frames of a sequence, such as "F001/T1 frame 2440", or their keys.

    Args:
        job: the sequence.
        chosen: for each frame of the sequence, whether it is one of them.
    """
    frames = job.frames[np.array(chosen, bool)].tolist()
    return [f"{job.name} frame {frame}" for frame in frames] if job.numbered else frames


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{status} {count:,}" for status, count in ordered)


def no_crops(plan: CropPlan, tally: Tally, dataset: str) -> DataError:
    """Return the error to raise if no frame could be cropped.

    The error names the most frequent reason and an example.

    Args:
        plan: the plan of the run.
        tally: the counts of the outcomes of all frames, of which none has a crop.
        dataset: the name of the dataset, for the command in the hint.
    """
    lost = {
        name: count for name, count in tally.totals.items() if name not in (*CROPPED, "excluded")
    }
    status = max(lost, key=lambda name: (lost[name], name))
    job = tally.first[status]
    example, where, to_do = _EXPLAINED[status](job, tally)
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(lost.items()))
    return DataError(
        f"No frame could be cropped ({counts}): {example}.",
        where=where,
        hint=f"{to_do}; to see what the release holds and what is missing, run "
        f"fauds check --dataset {dataset} --root {job.image_root}",
    )


def _no_image(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    source = job.source or Source(None, None, None, "")
    file = (source.archive and source.archive.path) or source.video
    if file is None:
        message = f"{job.name} has neither images nor an archive or a video in this folder"
        return message, job.image_root, "copy or unpack the images there"
    return (
        f"{file.name} has no image of any frame of {job.name} that could be cropped",
        file,
        "copy it again if it is incomplete",
    )


def _unreadable(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    return f"the first is {tally.unreadable[0]}", job.image_root, "copy the images again"


def _no_landmarks(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    alignment = job.alignment
    if job.request.detector is not None:
        message = (
            f"the faces that the detector {job.request.detector} finds in {job.name} lack "
            f"{NEEDED[alignment.needs]}, which {alignment.name} needs"
        )
        return message, job.image_root, "try another detector"
    to_do = "copy the landmarks again, or use a detector (--detector)"
    files = job.source.landmarks if job.source else None
    if files is None:
        return f"{job.name} has no landmarks, which {alignment.name} needs", job.image_root, to_do
    return f"{files.path.name} holds no usable landmarks of {job.name}", files.path, to_do


def _no_face(job: SequenceJob, tally: Tally) -> tuple[str, object, str]:
    message = f"the detector {job.request.detector} finds no face in {job.name}"
    return message, job.image_root, "try another detector, and look at the images"


# By status: functions that return an example of it, the file or folder, and what to do.
_EXPLAINED = {
    "no picture": _no_image,
    "unreadable": _unreadable,
    "no landmarks": _no_landmarks,
    "no face": _no_face,
}
