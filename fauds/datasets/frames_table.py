"""The frames table, built and handed on in parts of whole sequences."""

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
    """The labelled frames of one sequence: int32 [N], rising. The task may be empty."""

    subject: str
    task: str
    frames: np.ndarray

    @property
    def image_key(self) -> FolderKey:
        """The names of the folders that hold its images."""
        return (self.subject, self.task) if self.task else (self.subject,)


@dataclass(frozen=True)
class LabelPart:
    """The labels of some sequences, rows in their order.

    Attributes:
        sequences: in natural order of subject and task.
        occurrence: by AU, int8 [all frames]: 0, 1, or MISSING.
        intensity: by AU, int8 [all frames]: 0 to 5, or MISSING. Those of AUs that are not in
            `occurrence` get no column.
    """

    sequences: Sequence[CodedSequence]
    occurrence: Mapping[str, np.ndarray]
    intensity: Mapping[str, np.ndarray]


class Parts:
    """Hands the frames table on in parts, and counts.

    Args:
        sink: is given the parts.
        numbering: knows the images.

    Attributes:
        rows: how many frames there were.
        counts: how many by subject and task.
        without_image: how many have none.
    """

    def __init__(self, sink: FramesSink, numbering: Numbering) -> None:
        self.rows = 0
        self.counts: dict[tuple[str, str], int] = {}
        self.without_image = 0
        self._sink = sink
        self._numbering = numbering

    def add(self, labels: LabelPart, sexes: Mapping[str, str | None]) -> None:
        """Hand a part on.

        Args:
            labels: of sequences that come after those of earlier parts; of the same AUs.
            sexes: by subject, F, M or None.
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
    """Build a part of the frames table.

    Args:
        labels: what was read.
        sexes: by subject, F, M or None.
        images: string [all frames].
        first_id: the frame_id of the first row; the others follow.
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
    # Whoever writes frames.parquet adds the keys.
    schema = schema.remove(schema.get_field_index("key"))
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _nullable(values: np.ndarray) -> pa.Array:
    return from_numpy(values, pa.int8(), values == MISSING)


def _category(values: Sequence[str | None], lengths: Sequence[int]) -> pa.DictionaryArray:
    """Repeat values by lengths, as a dictionary array whose dictionary is in natural order."""
    distinct = sorted({value for value in values if value is not None}, key=natural)
    codes = {value: code for code, value in enumerate(distinct)}
    rows = np.repeat(
        np.array([-1 if value is None else codes[value] for value in values], np.int32), lengths
    )
    return category(rows, distinct)
