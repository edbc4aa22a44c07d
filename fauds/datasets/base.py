"""The interface of dataset readers, their options, and the marker file of synthetic releases."""

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
    """Options of reading a release.

    Attributes:
        aus: the benchmark's AUs, such as AU01; each must be coded and gets a column.
        subjects: the subjects to read; None reads all subjects of the release.
        missing_aus: what to do where a subject has no labels of an AU: raise an "error", or store
            "null" for all of the subject's frames.
        occurrence_at: the lowest intensity that counts as occurrence, for datasets that code
            intensity only (DISFA); None for datasets that code occurrence.
        image_base: the number of label frame 1's image, 0 or 1; None derives it from the images.
        images: the folder to search for images, relative to the root; None searches all of the
            root.
        sex_table: a CSV file with the columns subject and sex (F or M), for DISFA.

    Raises:
        UsageError: `missing_aus`, `image_base` or `occurrence_at` has another value.
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
            raise UsageError(
                f"missing_aus is {self.missing_aus!r}.", hint="choose from: error, null"
            )
        if self.image_base not in (None, 0, 1):
            raise UsageError(f"The image base is {self.image_base!r}.", hint="choose from: 0, 1")
        if self.occurrence_at is not None and not 1 <= self.occurrence_at <= 5:
            raise UsageError(f"occurrence_at is {self.occurrence_at!r}.", hint="use 1 to 5")

    def plain(self) -> dict[str, Any]:
        """Return the options as values that JSON can store; `fields_of` reverses this."""
        values = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @staticmethod
    def fields_of(plain: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of `ReadOptions` from the result of `plain`, which may be partial."""
        paths = {key: Path(plain[key]) for key in ("sex_table", "images") if plain.get(key)}
        lists = {key: tuple(plain[key]) for key in ("subjects", "aus") if plain.get(key)}
        return {**plain, **paths, **lists}

    @classmethod
    def as_last(
        cls, last: Mapping[str, Any], root: Path | None, changes: Mapping[str, Any]
    ) -> "ReadOptions":
        """Return the options of the last reading with changes, or defaults for another root.

        Args:
            last: the result of `plain` for the last reading, with its "root"; empty if nothing
                was read yet.
            root: the release to read now; None for the one that was read last.
            changes: the fields that the user sets now.
        """
        kept = dict(last)
        last_root = kept.pop("root", None)
        # Options that suit one release need not suit another.
        if root is not None and str(root.resolve()) != last_root:
            kept = {}
        return cls(**{**cls.fields_of(kept), **changes})


@dataclass(frozen=True)
class Reading:
    """The result of reading a release, without the frames themselves.

    Attributes:
        root: the folder that the image paths in the frames table are relative to.
        fingerprint: a hex digest of the label files by content, and of the images by name, size
            and modification time.
        synthetic: whether the release is synthetic, written by fauds.
        image_base: the number of label frame 1's image, 0 or 1; None if there are no images.
        differences: differences from the published counts, one line per subject.
        notes: messages about the labels and images of the release and how they were
            interpreted, one line each.
    """

    root: Path
    fingerprint: str
    synthetic: bool
    image_base: int | None = None
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


FramesSink = Callable[[pa.Table], None]
"""A function that receives one part of the frames table."""


class Reader(Protocol):
    """A reader of one dataset's raw files. Every method raises DataError for invalid files."""

    def label_files(self, root: Path, options: ReadOptions | None = ...) -> list[Path]:
        """Return the paths of the label files that `read` would read, in natural order."""

    def fingerprint(self, root: Path, options: ReadOptions | None = ...) -> str:
        """Return the same digest as `Reading.fingerprint`, without parsing the labels."""

    def image_base(
        self, folders: "Mapping[Key, Listing]", last: "Mapping[Key, int]", declared: int | None
    ) -> tuple[int | None, str]:
        """Return the number of label frame 1's image, and a phrase that says how it is known.

        Args:
            folders: the images of each sequence that has images.
            last: the last labelled frame of each sequence.
            declared: the number as the user declares it, 0 or 1; None if it is not declared.

        Returns:
            0 or 1, or None if there are no images; and the phrase, such as "declared".
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
        """Find the archives, videos and landmarks that faces can be cropped from.

        Extracted images are not among them: `read` finds those.

        Args:
            root: the folder of the release, as for `read`.
            last: the last labelled frame of each sequence, by subject and task; the result has a
                source for each of these sequences.
            camera: the camera whose images are wanted, for releases with two cameras.
            image_base: the number of label frame 1's image; None derives it from the images.
            images: the folder that `read` searches for images, relative to the root.

        Raises:
            DataError: two files belong to the same sequence, an archive is damaged, a list of
                frames does not match its landmarks, the numbering cannot be determined, or the
                extracted images are those of the other camera.
        """

    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = ...,
        options: ReadOptions | None = ...,
        *,
        sink: FramesSink,
    ) -> Reading:
        """Read a release, which may be incomplete, and return all but its frames.

        Args:
            root: the folder of the release.
            expected: the published counts, see `fauds.datasets.subjects.differences`; None skips
                the comparison.
            options: the options of reading; None for the defaults of `ReadOptions`.
            sink: a function that is called with each part of the frames table as it is read.
                Every part holds whole sequences and has the columns of
                `fauds.tables.schemas.frames_schema` for the same AUs; a column may be null
                throughout. The column `key` may be left out; its values must be unique.
        """


def natural(text: str) -> tuple[tuple[str, int], ...]:
    """Return a sort key that orders numbers in a text by value: T2 comes before T10."""
    parts = re.findall(r"(\D*)(\d*)", text)
    return tuple((letters, int(digits or -1)) for letters, digits in parts)


def sequence_key(subject: str, task: str) -> tuple[Any, ...]:
    """Return the natural sort key of a sequence."""
    return natural(subject), natural(task)


def read_marker(*folders: Path) -> dict[str, Any] | None:
    """Read the marker file of a synthetic release; return None if there is no marker file.

    Args:
        folders: the folders to search; the first marker file is read.

    Raises:
        DataError: the marker file cannot be read, or the release was not completely written.
    """
    path = next(
        (folder / SYNTHETIC_MARKER for folder in folders if (folder / SYNTHETIC_MARKER).exists()),
        None,
    )
    if path is None:
        return None
    again = "write it again: fauds synth with the same folder"
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"The marker file cannot be read: {error}.", where=path, hint=again
        ) from error
    if not isinstance(marker, dict) or marker.get("complete") is not True:
        raise DataError(
            "This synthetic release was not completely written.", where=path, hint=again
        )
    return marker


def is_complete_synthetic(root: Path, expected: Mapping[str, Any]) -> bool:
    """Return whether a folder holds a complete synthetic release with this marker content.

    Args:
        root: the folder of the release.
        expected: keys and values that the marker file must contain; it may contain more.
    """
    try:
        marker = read_marker(root)
    except DataError:
        return False
    return marker is not None and expected.items() <= marker.items()
