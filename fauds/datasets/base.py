"""What readers share: their interface, their order, the marker of made-up distributions."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pyarrow as pa

from fauds.datasets.media_files import Footage, SequenceId
from fauds.errors import DataError, UsageError
from fauds.tables.paths import SYNTHETIC_MARKER

if TYPE_CHECKING:
    from fauds.datasets.image_folders import Key, Listing


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

    @classmethod
    def as_last(
        cls, last: Mapping[str, Any], root: Path | None, given: Mapping[str, Any]
    ) -> "ReadOptions":
        """Return the options of last time, where they are of the same root, but for those given.

        Args:
            last: what `plain` made of them, and "root"; empty where nothing was read yet.
            root: what is read now; None for what was read last.
            given: fields that are named now.
        """
        kept = dict(last)
        last_root = kept.pop("root", None)
        # What was said of one distribution need not hold for another.
        if root is not None and str(root.resolve()) != last_root:
            kept = {}
        return cls(**{**cls.fields_of(kept), **given})


@dataclass(frozen=True)
class Reading:
    """What a reader found, but for the frames themselves.

    Attributes:
        root: the folder that the table's image paths are relative to.
        fingerprint: hex digest of label files by content, images by name, size and time.
        synthetic: whether fauds made this distribution up.
        image_base: the number of the image of label frame 1; None without images.
        differences: from the published counts, a line a subject.
        notes: what was found and how it was taken, a line each.
    """

    root: Path
    fingerprint: str
    synthetic: bool
    image_base: int | None = None
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


FramesSink = Callable[[pa.Table], None]
"""Takes a part of the frames table."""


class Reader(Protocol):
    """Reads the raw layout of one dataset. Every method raises DataError for bad data."""

    def label_files(self, root: Path, options: ReadOptions | None = ...) -> list[Path]:
        """Return the label files that `read` would read, in natural order."""

    def fingerprint(self, root: Path, options: ReadOptions | None = ...) -> str:
        """Return `Reading.fingerprint` without parsing anything."""

    def image_base(
        self, folders: "Mapping[Key, Listing]", last: "Mapping[Key, int]", declared: int | None
    ) -> tuple[int | None, str]:
        """Return the number of label frame 1's image (None: no images), and how it is known.

        Args:
            folders: images by sequence, of some of the sequences.
            last: the last labelled frame by sequence.
            declared: what the user says it is.
        """

    def footage(
        self,
        root: Path,
        last: Mapping[SequenceId, int],
        *,
        camera: Literal["left", "right"] = ...,
        image_base: int | None = ...,
        images: Path | None = ...,
    ) -> Footage:
        """Find what the sequences can be cropped from, beside the images that `read` finds.

        Args:
            root: where the distribution is, as for `read`.
            last: by subject and task, the last label frame; each sequence gets a source.
            camera: whose pictures, where a distribution has two cameras'.
            image_base: the number of the image of label frame 1; None finds it out.
            images: where `read` looks for images, relative to the root.

        Raises:
            DataError: two files of one sequence, a broken archive, lists of frames that do not
                fit their landmarks, a numbering that cannot be told, or images that `read`
                finds and that are another camera's.
        """

    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = ...,
        options: ReadOptions | None = ...,
        *,
        sink: FramesSink,
    ) -> Reading:
        """Read a distribution, or the part of it that is there.

        Args:
            root: where it is.
            expected: published counts, see `fauds.datasets.subjects.differences`.
            options: see `ReadOptions`.
            sink: is given the frames in parts, as they are read, each of whole sequences. All
                have the columns of `fauds.tables.schemas.frames_schema` for the same AUs, which
                may be null throughout. `key` may be left out; given, it is unique.
        """


def natural(text: str) -> tuple[tuple[str, int], ...]:
    """Return a sort key by which T2 comes before T10."""
    parts = re.findall(r"(\D*)(\d*)", text)
    return tuple((letters, int(digits or -1)) for letters, digits in parts)


def sequence_key(subject: str, task: str) -> tuple[Any, ...]:
    """Return the natural sort key of a sequence."""
    return natural(subject), natural(task)


def read_marker(*folders: Path) -> dict[str, Any] | None:
    """Return what the marker of a made-up distribution says; None where there is no marker.

    Args:
        folders: where to look; the first marker counts.

    Raises:
        DataError: the marker cannot be read, or says that the writing did not finish.
    """
    path = next(
        (folder / SYNTHETIC_MARKER for folder in folders if (folder / SYNTHETIC_MARKER).exists()),
        None,
    )
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
