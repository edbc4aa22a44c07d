"""What readers share: their interface, the frames table, the marker of made-up distributions."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from fauds import store
from fauds.columns import category, from_numpy
from fauds.datasets.text import MISSING
from fauds.errors import DataError, UsageError
from fauds.facs import intensity_column

MARKER = "fauds-synthetic.json"
"""The file in a distribution's root that says that fauds made it up."""


@dataclass(frozen=True)
class ReadOptions:
    """What a reader needs to be told.

    Attributes:
        aus: the benchmark's AUs, as AU01; each must be coded and gets a column.
        subjects: read only these; None reads all that there are.
        missing_aus: an AU that a subject's labels lack is an "error", or all "null".
        occurrence_at: the lowest intensity that counts as occurring, where only intensity is
            coded (DISFA); None where occurrence itself is.
        image_base: the number of the image of label frame 1, 0 or 1; None finds it out.
        images: folder to look for images in, relative to the root; None looks everywhere.
        sex_table: CSV file with columns subject and sex (F or M), for DISFA.
    """

    aus: tuple[str, ...] = ()
    subjects: tuple[str, ...] | None = None
    missing_aus: Literal["error", "null"] = "error"
    occurrence_at: int | None = 2
    image_base: int | None = None
    images: Path | None = None
    sex_table: Path | None = None

    def __post_init__(self) -> None:
        if self.missing_aus not in ("error", "null"):
            raise UsageError(f"missing_aus is {self.missing_aus!r}.", hint="error or null")
        if self.image_base not in (None, 0, 1):
            raise UsageError(f"The image base is {self.image_base!r}.", hint="0 or 1")
        if self.occurrence_at is not None and not 1 <= self.occurrence_at <= 5:
            raise UsageError(f"occurrence_at is {self.occurrence_at!r}.", hint="1 to 5")

    def plain(self) -> dict[str, Any]:
        """Return the options as JSON can say them; `fields_of` turns them back."""
        values = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @staticmethod
    def fields_of(plain: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of some options that `plain` made."""
        paths = {key: Path(plain[key]) for key in ("sex_table", "images") if plain.get(key)}
        lists = {key: tuple(plain[key]) for key in ("subjects", "aus") if plain.get(key)}
        return {**plain, **paths, **lists}


@dataclass(frozen=True)
class Reading:
    """What a reader found.

    Attributes:
        table: the frames, with the columns of `store.frames_schema`.
        root: the folder that the table's image paths are relative to.
        fingerprint: hex digest of label files by content, images by name, size and time.
        synthetic: whether fauds made this distribution up.
        image_base: the number of the image of label frame 1; None without images.
        differences: from the published counts, a line a subject.
        notes: what was found and how it was taken, a line each.
    """

    table: pa.Table
    root: Path
    fingerprint: str
    synthetic: bool
    image_base: int | None = None
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """Reads the raw layout of one dataset. Every method raises DataError for bad data."""

    def label_files(self, root: Path, options: ReadOptions | None = ...) -> list[Path]:
        """Return the label files that `read` would read, in natural order."""

    def fingerprint(self, root: Path, options: ReadOptions | None = ...) -> str:
        """Return `Reading.fingerprint` without parsing anything."""

    def image_base(
        self, folders: Mapping[Any, Any], last: Mapping[Any, int], declared: int | None
    ) -> tuple[int | None, str]:
        """Return the number of label frame 1's image (None: no images), and how it is known.

        Args:
            folders: image folders by sequence, as `fauds.datasets.images.find` returns them.
            last: the last labelled frame by sequence.
            declared: what the user says it is.
        """

    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = ...,
        options: ReadOptions | None = ...,
    ) -> Reading:
        """Read a distribution, or the part of it that is there."""


@dataclass(frozen=True)
class CodedSequence:
    """The labels of one sequence: frames int32 [N] rising; the rest as `Labels` has it."""

    subject: str
    task: str
    frames: np.ndarray


@dataclass
class Labels:
    """The labels of a distribution, rows in the order of `sequences`.

    Attributes:
        sequences: in natural order of subject and task.
        occurrence: by AU, int8 [all frames]: 0, 1, or MISSING.
        intensity: by AU, int8 [all frames]: 0 to 5, or MISSING.
    """

    sequences: list[CodedSequence]
    occurrence: dict[str, np.ndarray] = field(default_factory=dict)
    intensity: dict[str, np.ndarray] = field(default_factory=dict)


def natural(text: str) -> tuple[tuple[str, int], ...]:
    """Return a sort key by which T2 comes before T10."""
    parts = re.findall(r"(\D*)(\d*)", text)
    return tuple((letters, int(digits or -1)) for letters, digits in parts)


def sequence_key(subject: str, task: str) -> tuple[Any, ...]:
    """Return the natural sort key of a sequence."""
    return natural(subject), natural(task)


def frames_table(
    labels: Labels, sexes: Mapping[str, str | None], images: pa.Array, aus: Sequence[str]
) -> pa.Table:
    """Build the frames table.

    Args:
        labels: what was read. An AU that is missing throughout gets no column, unless it is
            one of `aus`.
        sexes: by subject, F, M or None.
        images: string [all frames].
        aus: AUs that get an occurrence column in any case.
    """
    lengths = [len(sequence.frames) for sequence in labels.sequences]
    subjects = [sequence.subject for sequence in labels.sequences]
    occurrence = {
        au: values
        for au, values in sorted(labels.occurrence.items())
        if au in aus or (values != MISSING).any()
    }
    intensity = {
        au: values
        for au, values in sorted(labels.intensity.items())
        if au in occurrence and (values != MISSING).any()
    }
    arrays = {
        "frame_id": from_numpy(np.arange(sum(lengths)), pa.int64()),
        "subject": _category(subjects, lengths),
        "task": _category([sequence.task for sequence in labels.sequences], lengths),
        "frame": from_numpy(np.concatenate([s.frames for s in labels.sequences]), pa.int32()),
        "sex": _category([sexes.get(subject) for subject in subjects], lengths),
        "image": images,
        **{au: _nullable(values) for au, values in occurrence.items()},
        **{intensity_column(au): _nullable(values) for au, values in intensity.items()},
    }
    schema = store.frames_schema(tuple(occurrence), tuple(intensity))
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _nullable(values: np.ndarray) -> pa.Array:
    return from_numpy(values, pa.int8(), values == MISSING)


def _category(values: Sequence[str | None], lengths: Sequence[int]) -> pa.DictionaryArray:
    """Repeat values by lengths, as a dictionary array whose dictionary is in natural order."""
    distinct = sorted({value for value in values if value is not None}, key=natural)
    codes = {value: code for code, value in enumerate(distinct)}
    rows = np.repeat(np.array([codes.get(value, -1) for value in values], np.int32), lengths)
    return category(rows, distinct)


def read_marker(*folders: Path) -> dict[str, Any] | None:
    """Return what the marker of a made-up distribution says; None where there is no marker.

    Args:
        folders: where to look; the first marker counts.

    Raises:
        DataError: the marker cannot be read, or says that the writing did not finish.
    """
    path = next((folder / MARKER for folder in folders if (folder / MARKER).exists()), None)
    if path is None:
        return None
    again = "make it again: fauds synth with the same folder"
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"The marker cannot be read: {error}.", where=path, hint=again) from error
    if not isinstance(marker, dict) or marker.get("complete") is not True:
        raise DataError("This made-up distribution was not written whole.", where=path, hint=again)
    return marker


def is_written(root: Path, marked: Mapping[str, Any]) -> bool:
    """Whether fauds wrote a whole made-up distribution there, and its marker says `marked`."""
    try:
        marker = read_marker(root)
    except DataError:
        return False
    return marker is not None and marked.items() <= marker.items()
