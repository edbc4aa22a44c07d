"""What became of the frames, in numbers for tables and in words for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets.subjects import shortened
from fauds.faces.pictures import VideoStream, open_stream
from fauds.faces.plan import SequenceJob
from fauds.faces.rows import CROPPED

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
