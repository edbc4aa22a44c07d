"""Building the frames table from labels and images, in parts of whole sequences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fauds.datasets.base import FramesSink, natural
from fauds.datasets.image_folders import FolderKey
from fauds.datasets.label_text import MISSING
from fauds.datasets.numbering import Numbering
from fauds.facs import intensity_column
from fauds.tables import schemas
from fauds.tables.columns import category, from_numpy


@dataclass(frozen=True)
class CodedSequence:
    """The labelled frames of one sequence.

    Attributes:
        subject: the subject's id.
        task: the task's name; an empty string for datasets without tasks.
        frames: the frame numbers, int32 [N], in rising order.
    """

    subject: str
    task: str
    frames: np.ndarray

    @property
    def image_key(self) -> FolderKey:
        """The key of the sequence's image folder, see `fauds.datasets.image_folders.find`."""
        return (self.subject, self.task) if self.task else (self.subject,)


@dataclass(frozen=True)
class LabelPart:
    """The labels of some sequences; arrays hold the frames of all of them, one after the other.

    Attributes:
        sequences: the sequences in natural order of subject and task.
        occurrence: the occurrence codes of each AU, int8 [frames]: 0, 1, or MISSING.
        intensity: the intensities of each AU, int8 [frames]: 0 to 5, or MISSING. Intensities of
            an AU that is not in `occurrence` are left out of the table.
    """

    sequences: Sequence[CodedSequence]
    occurrence: Mapping[str, np.ndarray]
    intensity: Mapping[str, np.ndarray]


class FramesTableWriter:
    """Builds the frames table part by part, passes the parts to a function and counts frames.

    Args:
        sink: the function that receives the parts.
        numbering: the object that assigns images to the frames.

    Attributes:
        rows: the number of frames so far.
        counts: the number of frames by subject and task.
        without_image: the number of frames that have no image.
    """

    def __init__(self, sink: FramesSink, numbering: Numbering) -> None:
        self.rows = 0
        self.counts: dict[tuple[str, str], int] = {}
        self.without_image = 0
        self._sink = sink
        self._numbering = numbering

    def add(self, labels: LabelPart, sexes: Mapping[str, str | None]) -> None:
        """Build the table of one part and pass it on.

        Args:
            labels: the labels of sequences that come after those of earlier parts, with the same
                AUs.
            sexes: the sex of each subject, F, M or None if it is not known.
        """
        images = self._numbering.assign([(s.image_key, s.frames) for s in labels.sequences])
        table = frames_table(labels, sexes, images, self.rows)
        self.rows += len(table)
        self.counts |= {(s.subject, s.task): len(s.frames) for s in labels.sequences}
        self.without_image += images.null_count
        self._sink(table)


def frames_table(
    labels: LabelPart, sexes: Mapping[str, str | None], images: pa.Array, first_id: int
) -> pa.Table:
    """Return a part of the frames table, without the column `key`.

    Args:
        labels: the labels of the sequences in this part.
        sexes: the sex of each subject, F, M or None if it is not known.
        images: the path of each frame's image, string [frames].
        first_id: the frame_id of the first row; the others count up from it.
    """
    lengths = [len(sequence.frames) for sequence in labels.sequences]
    subjects = [sequence.subject for sequence in labels.sequences]
    occurrence = sorted(labels.occurrence)
    intensity = [au for au in occurrence if au in labels.intensity]
    arrays = {
        "frame_id": from_numpy(np.arange(first_id, first_id + sum(lengths)), pa.int64()),
        "subject": _category(subjects, lengths),
        "task": _category([sequence.task for sequence in labels.sequences], lengths),
        "frame": from_numpy(np.concatenate([s.frames for s in labels.sequences]), pa.int32()),
        "sex": _category([sexes.get(subject) for subject in subjects], lengths),
        "image": images,
        **{au: _nullable(labels.occurrence[au]) for au in occurrence},
        **{intensity_column(au): _nullable(labels.intensity[au]) for au in intensity},
    }
    schema = schemas.frames_schema(occurrence, intensity)
    # The keys are added when frames.parquet is written.
    schema = schema.remove(schema.get_field_index("key"))
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _nullable(values: np.ndarray) -> pa.Array:
    return from_numpy(values, pa.int8(), values == MISSING)


def _category(values: Sequence[str | None], lengths: Sequence[int]) -> pa.DictionaryArray:
    """Repeat each value, as a dictionary array whose dictionary is in natural order."""
    distinct = sorted({value for value in values if value is not None}, key=natural)
    codes = {value: code for code, value in enumerate(distinct)}
    rows = np.repeat(
        np.array([-1 if value is None else codes[value] for value in values], np.int32), lengths
    )
    return category(rows, distinct)
