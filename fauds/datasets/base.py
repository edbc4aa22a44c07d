"""The interface of dataset readers, and the options with which they read a release.

A release is the files of a dataset. A synthetic release has a marker file, which says so.
"""

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
    """The options with which a release, the files of a dataset, is read.

    Attributes:
        aus: the action units (AUs) that the benchmark needs, such as AU01. Each gets a column in
            the frames table, and must have labels unless `missing_aus` is "null".
        subjects: the ids of the subjects to read; None reads all subjects of the release.
        missing_aus: what to do if a subject has no labels of an AU: raise an error ("error"), or
            store the AU as not coded in all of the subject's frames ("null").
        occurrence_at: the lowest intensity, 1 to 5, that counts as occurrence, for datasets that
            code intensity only (DISFA); None for datasets that code occurrence.
        image_base: the number, 0 or 1, in the file name of the image that shows labelled frame 1;
            None derives it from the images.
        images: the folder to search for images, relative to the root (the folder that the user
            names as the release); None searches all of the root.
        sex_table: the path of a CSV file with the columns subject and sex (F or M), for datasets
            whose labels do not state the sex (DISFA); None for no such file.
        classes: the names of the classes that the benchmark tells apart, for datasets that label
            each image with one class (RAF-DB, AffectNet), in the order of the labels: the first is
            stored as 0. Images of other classes are left out. Empty for datasets of AUs.
        table: the user's own table of codes and how it is read, for the dataset "table": the fields
            of `fauds.protocols.benchmark.CodedTable` as JSON values, and missing_code. None for
            other datasets.

    Raises:
        UsageError: `missing_aus`, `image_base` or `occurrence_at` has none of the values above.
    """

    aus: tuple[str, ...] = ()
    subjects: tuple[str, ...] | None = None
    missing_aus: Literal["error", "null"] = "error"
    occurrence_at: int | None = 2
    image_base: int | None = None
    images: Path | None = None
    sex_table: Path | None = None
    classes: tuple[str, ...] = ()
    table: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.missing_aus not in ("error", "null"):
            raise UsageError(
                f"missing_aus must be 'error' or 'null', not {self.missing_aus!r}.",
                hint="choose from: error, null",
            )
        if self.image_base not in (None, 0, 1):
            raise UsageError(
                f"image_base must be 0 or 1, not {self.image_base!r}.",
                hint="give the number in the name of the image that shows labelled frame 1",
            )
        if self.occurrence_at is not None and not 1 <= self.occurrence_at <= 5:
            raise UsageError(
                f"occurrence_at must be an intensity from 1 to 5, not {self.occurrence_at!r}.",
                hint="give the lowest intensity that counts as occurrence",
            )

    def json_values(self) -> dict[str, Any]:
        """Return the options by name, as values that JSON can store.

        `from_json_values` converts these values back.
        """
        values = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        if not self.classes:
            # Tables of datasets of AUs, also of an older fauds, do not store this option.
            del values["classes"]
        if self.table is None:
            del values["table"]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @staticmethod
    def from_json_values(values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of `ReadOptions` for options that were stored as JSON.

        Args:
            values: all or some of the values that `ReadOptions.json_values` returned, by name.
        """
        paths = {key: Path(values[key]) for key in ("sex_table", "images") if values.get(key)}
        names = ("subjects", "aus", "classes")
        lists = {key: tuple(values[key]) for key in names if values.get(key)}
        return {**values, **paths, **lists}

    @classmethod
    def like_last_read(
        cls, last: Mapping[str, Any], root: Path | None, changes: Mapping[str, Any]
    ) -> "ReadOptions":
        """Return the options to read a release with: those that the user sets, and remembered ones.

        An option that the user does not set has the value with which the same release was read
        last. If another release was read last, or none, the option has its default.

        Args:
            last: the options of the last reading, as `json_values` returns them, and under the key
                "root" the folder that was read; empty if nothing was read yet.
            root: the folder of the release to read now; None for the release that was read last.
            changes: the options that the user sets now, by name.
        """
        kept = dict(last)
        last_root = kept.pop("root", None)
        # Options that suit one release need not suit another.
        if root is not None and str(root.resolve()) != last_root:
            kept = {}
        return cls(**{**cls.from_json_values(kept), **changes})


_FLAGS = {
    "subjects": "--subjects",
    "missing_aus": "--missing-aus",
    "image_base": "--image-base",
    "images": "--images",
    "sex_table": "--sexes",
}


def option_error(option: str, reason: str) -> UsageError:
    """Return the error to raise for an option that a release cannot be read with.

    Args:
        option: the name of a field of `ReadOptions` that the user sets.
        reason: why the option cannot be used, as a clause.
    """
    flag = _FLAGS[option]
    return UsageError(
        f"This dataset cannot be read with {flag}: {reason}.", hint=f"leave out {flag}"
    )


def check_options(options: ReadOptions, **reasons: str) -> None:
    """Check that no option is set that a dataset cannot be read with.

    Args:
        options: the options of reading.
        reasons: for each option that cannot be used, by the name of the field of `ReadOptions`: the
            reason, as a clause.

    Raises:
        UsageError: one of these options is set.
    """
    default = ReadOptions()
    for option, reason in reasons.items():
        if getattr(options, option) != getattr(default, option):
            raise option_error(option, reason)


@dataclass(frozen=True)
class Reading:
    """What a reader reports after reading a release, the files of a dataset.

    The frames and their labels are not part of it; a reader passes them on while it reads.

    Attributes:
        root: the folder that the image paths in the frames table are relative to.
        fingerprint: a hex digest of the contents of the label files, and of the names, sizes and
            modification times of the images.
        synthetic: whether fauds generated the release, with faces that are not real.
        image_base: the number, 0 or 1, in the file name of the image that shows labelled frame 1;
            None if there are no images.
        differences: texts that say how the numbers of subjects, sequences and frames differ from
            those that the authors of the dataset published; empty if they agree.
        notes: messages about the labels and images of the release and how fauds interpreted
            them, one line each.
    """

    root: Path
    fingerprint: str
    synthetic: bool
    image_base: int | None = None
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


FramesSink = Callable[[pa.Table], None]
"""A function that is called with some rows of the frames table, as an Arrow table."""


class Reader(Protocol):
    """The interface of an object that reads the raw files of one dataset.

    Every method raises DataError for invalid files.
    """

    def label_files(self, root: Path, options: ReadOptions | None = ...) -> list[Path]:
        """Return the paths of the label files that `read` would read, in natural order (2 < 10).

        Args:
            root: the folder of the release, as for `read`.
            options: the options of reading; None for the defaults of `ReadOptions`.
        """

    def fingerprint(self, root: Path, options: ReadOptions | None = ...) -> str:
        """Return a hex digest of a release, which shows whether its files have changed.

        The digest equals `Reading.fingerprint`, but is computed without parsing the labels.

        Args:
            root: the folder of the release, as for `read`.
            options: the options of reading; None for the defaults of `ReadOptions`.
        """

    def image_base(
        self, folders: "Mapping[Key, Listing]", last: "Mapping[Key, int]", declared: int | None
    ) -> tuple[int | None, str]:
        """Return the image base: the number in the name of the image that shows labelled frame 1.

        Args:
            folders: the names and numbers of the images of each sequence (subject and task) that
                has images.
            last: the number of the last labelled frame of each sequence.
            declared: the image base, 0 or 1, if the user states it; None to derive it.

        Returns:
            The image base, 0 or 1, or None if there are no images; and a phrase for messages that
            says how the base is known, such as "declared" (stated by the user).
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
        """Find the zip files of images, the videos and the landmarks to crop faces from.

        Images that are already extracted to folders are not searched for here; `read` finds them.

        Args:
            root: the folder of the release, as for `read`.
            last: the number of the last labelled frame of each sequence, by subject and task; the
                result has an entry for each of these sequences. It is 0 for images without a
                number; both texts are empty if their subject is not known.
            camera: the camera whose images are wanted, for releases with two cameras.
            image_base: the number, 0 or 1, in the name of the image that shows labelled frame 1;
                None derives it from the images.
            images: the folder that `read` searches for extracted images, relative to the root;
                None for all of the root.

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
        """Read the labels of a release and find its images; the release may be incomplete.

        The labelled frames are passed to `sink`, some rows at a time, to save memory. The result
        describes the release as a whole. An option that the dataset cannot be read with is an error
        and never ignored, see `check_options`.

        Args:
            root: the folder of the release.
            expected: the numbers of subjects, sequences and frames that the authors of the dataset
                published, see `fauds.datasets.subjects.differences`; None skips the comparison.
            options: the options of reading; None for the defaults of `ReadOptions`.
            sink: a function that is called with some rows of the frames table at a time. The rows
                of a sequence (subject and task) come in the same call. All calls have the columns
                of `fauds.tables.schemas.frames_schema` for the same AUs; a column may be null
                throughout. The column `key` may be left out; its values must be unique. A dataset
                of single images passes `key`, and null for what is not known of subject, task and
                frame; successive rows whose subject and task are both null are one sequence. A
                dataset with a training and a test part of its own adds the column
                `fauds.tables.schemas.SPLIT`.
        """


def natural(text: str) -> tuple[tuple[str, int], ...]:
    """Return a key for sorting texts by the numbers in them, so that T2 comes before T10."""
    parts = re.findall(r"(\D*)(\d*)", text)
    return tuple((letters, int(digits or -1)) for letters, digits in parts)


def sequence_key(subject: str, task: str) -> tuple[Any, ...]:
    """Return a key for sorting sequences by subject, then by task, with T2 before T10."""
    return natural(subject), natural(task)


def read_marker(*folders: Path) -> dict[str, Any] | None:
    """Return the content of the marker file of a synthetic release, which fauds generated.

    The result is None if no folder has such a marker file.

    Args:
        folders: the folders that may hold the file; the first file found is read.

    Raises:
        DataError: the marker file cannot be read, or the release was not completely written.
    """
    path = next(
        (folder / SYNTHETIC_MARKER for folder in folders if (folder / SYNTHETIC_MARKER).exists()),
        None,
    )
    if path is None:
        return None
    again = "generate the release again: run fauds synth with the same folder"
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"The marker file of this synthetic release cannot be read: {error}.",
            where=path,
            hint=again,
        ) from error
    if not isinstance(marker, dict) or marker.get("complete") is not True:
        raise DataError(
            "This synthetic release was not completely written.", where=path, hint=again
        )
    return marker


def is_complete_synthetic(root: Path, expected: Mapping[str, Any]) -> bool:
    """Return whether a folder holds a complete synthetic release generated with certain settings.

    Args:
        root: the folder of the release.
        expected: the keys and values that the release's marker file must contain, such as the
            seed; the file may contain further keys.
    """
    try:
        marker = read_marker(root)
    except DataError:
        return False
    return marker is not None and expected.items() <= marker.items()
