"""Building the frames table (one row per labelled frame) from labels and images.

To save memory, the rows of only a few sequences (subject and task) are built at a time.
"""

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
from fauds.tables.columns import categories, from_numpy


@dataclass(frozen=True)
class CodedSequence:
    """The labelled frames of one sequence, that is, of one subject in one task.

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
        """The names of the nested folders with the sequence's images, for example (F001, T1).

        For datasets without tasks, this is only the subject, for example (SN001,). See
        `fauds.datasets.image_folders.find`.
        """
        return (self.subject, self.task) if self.task else (self.subject,)


@dataclass(frozen=True)
class LabelPart:
    """The labels of a few sequences (subject and task), to be added to the frames table.

    Each array of labels has the frames of the first sequence, then of the second, and so on.

    Attributes:
        sequences: the sequences, sorted by subject and task, with T2 before T10.
        occurrence: the occurrence codes by action unit (AU), int8 [frames]: 0, 1, or MISSING (not
            coded).
        intensity: the intensities by AU, int8 [frames]: 0 to 5, or MISSING (not coded).
            Intensities of an AU that is not in `occurrence` are left out of the table.
    """

    sequences: Sequence[CodedSequence]
    occurrence: Mapping[str, np.ndarray]
    intensity: Mapping[str, np.ndarray]


class FramesTableWriter:
    """Builds the rows of the frames table, a few sequences at a time, and counts the frames.

    Args:
        sink: a function that is called with the rows of a few sequences, as an Arrow table.
        numbering: the object that finds the image of each frame.

    Attributes:
        rows: the number of frames added so far.
        counts: the number of frames added so far, by subject and task.
        without_image: the number of frames added so far that have no image.
    """

    def __init__(self, sink: FramesSink, numbering: Numbering) -> None:
        self.rows = 0
        self.counts: dict[tuple[str, str], int] = {}
        self.without_image = 0
        self._sink = sink
        self._numbering = numbering

    def add(self, labels: LabelPart, sexes: Mapping[str, str | None]) -> None:
        """Build the rows of the frames table for a few sequences, and pass the rows to the sink.

        Args:
            labels: the labels of the sequences. They must be sorted after the sequences of earlier
                calls, and have the same AUs.
            sexes: the sex of each subject: F, M, or None if it is not known.
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
    """Return the rows of the frames table for a few sequences, without the column `key`.

    Args:
        labels: the labels of the sequences (subject and task).
        sexes: the sex of each subject: F, M, or None if it is not known.
        images: the path of each frame's image, an Arrow array of strings [frames].
        first_id: the value of the column frame_id in the first row; each further row has the next
            number.
    """
    lengths = [len(sequence.frames) for sequence in labels.sequences]
    subjects = [sequence.subject for sequence in labels.sequences]
    occurrence = sorted(labels.occurrence)
    intensity = [au for au in occurrence if au in labels.intensity]
    arrays = {
        "frame_id": from_numpy(np.arange(first_id, first_id + sum(lengths)), pa.int64()),
        "subject": categories(subjects, lengths=lengths, order=natural),
        "task": categories([s.task for s in labels.sequences], lengths=lengths, order=natural),
        "frame": from_numpy(np.concatenate([s.frames for s in labels.sequences]), pa.int32()),
        "sex": categories([sexes.get(subject) for subject in subjects], lengths=lengths),
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
