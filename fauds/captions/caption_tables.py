"""Opens, checks and reads the caption tables that were built for a dataset.

The caption tables are captions.parquet, phrases.parquet and vocabulary.parquet. They are in the
dataset's folder within the working directory, beside frames.parquet.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fauds.captions.styles import DEFAULT_STYLE
from fauds.captions.templates import languages, template_hash
from fauds.errors import DataError
from fauds.facs import intensity_column
from fauds.tables import store
from fauds.tables.paths import CAPTIONS

TABLES = ("captions", "phrases", "vocabulary")
ROWS_AT_ONCE = 16 * 1024
"""Number of rows that are read at a time; the captions of so many rows are 10 to 50 MB of text."""

NO_CAPTIONS = {"language": "none", "templates": "none"}
"""The caption settings that test results record for a model or program without captions."""
_MIXED = "The caption tables do not belong together: they come from different builds."
_OTHER_FRAMES = "The captions were built from other frames than frames.parquet contains now."


@dataclass(frozen=True)
class BuiltCaptions:
    """The caption tables of one dataset, which `open_captions` has checked to belong together.

    Attributes:
        dataset: the dataset's name.
        folder: the folder that holds the tables.
        frames: the metadata of frames.parquet.
        captions: the metadata of captions.parquet.
        graded: the names of the captioned AUs that have an intensity column in frames.parquet.
        rows: the number of frames.
    """

    dataset: str
    folder: Path
    frames: dict[str, Any]
    captions: dict[str, Any]
    graded: tuple[str, ...]
    rows: int

    @property
    def aus(self) -> list[str]:
        """The names of the captioned action units, in FACS order."""
        aus: list[str] = self.captions["settings"]["aus"]
        return aus

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with which the captions were built, by name.

        They are language, style, aus (the captioned AUs), degrees, variants and seed (see
        `fauds.captions.build.Style`), occurrence_at (the lowest intensity that counts as occurring,
        or None), and templates (the hash of the template files).
        """
        settings: dict[str, Any] = self.captions["settings"]
        return settings

    @property
    def synthetic(self) -> bool:
        """Whether the frames are synthetic."""
        synthetic: bool = self.frames["synthetic"]
        return synthetic

    @property
    def image_root(self) -> Path:
        """The folder that the image paths in the frames table are relative to."""
        return Path(self.frames["image_root"])

    def pictured(self) -> int:
        """Return the number of frames that have an image file of their own.

        Frames whose image is inside an archive or a video are not counted.
        """
        tables = store.read_batches(self.path("frames"), ["image"])
        return sum(len(table) - table["image"].null_count for table in tables)

    def path(self, table: str) -> Path:
        """Return the path of the Parquet file of a table.

        Args:
            table: "frames", "captions", "phrases" or "vocabulary".
        """
        return self.folder / f"{table}.parquet"

    def read(self, columns: Sequence[str], texts: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the frames with their captions, in order, in tables of at most `ROWS_AT_ONCE` rows.

        Args:
            columns: the columns to read from the frames table; frame_id is always read.
            texts: the columns to read from the captions table: AU names and "face".

        Yields:
            Tables with the column frame_id, the columns in `columns`, and the columns in `texts`.
            The names of the columns in `texts` end with "_text", such as AU12_text and face_text.

        Raises:
            DataError: the frames and captions tables hold different frames.
        """
        frames = _read_parts(self.path("frames"), ["frame_id", *columns])
        captions = _read_parts(self.path("captions"), ["frame_id", *texts])
        for left, right in _side_by_side(frames, captions):
            if not pc.all(pc.equal(left["frame_id"], right["frame_id"])).as_py():
                raise _other_frames_error(self.dataset, self.folder, self.captions)
            table = left
            for name in texts:
                table = table.append_column(f"{name}_text", right[name])
            yield table


def open_captions(folder: Path, dataset: str) -> BuiltCaptions:
    """Open the caption tables of a dataset, and check that they belong together.

    Args:
        folder: the folder that holds the tables.
        dataset: the dataset's name.

    Raises:
        DataError: a table is missing or unreadable, the captions were built from other frames than
            frames.parquet contains, or the caption tables come from different builds.
    """
    paths = {name: folder / f"{name}.parquet" for name in ("frames", *TABLES)}
    if not all(path.exists() for path in paths.values()):
        raise DataError(
            f"The captions of {dataset} have not been built yet.",
            where=folder,
            hint=f"build them: {_command(dataset, folder, {})}",
        )
    metadata = {name: store.read_meta(path) for name, path in paths.items()}
    frames, captions = metadata["frames"], metadata["captions"]
    frames_now = store.fingerprint(frames["inputs"], frames["settings"])
    rows = store.row_count(paths["frames"])
    if captions["inputs"] != frames_now or rows != store.row_count(paths["captions"]):
        raise _other_frames_error(dataset, folder, captions)
    if any(
        metadata[name][key] != captions[key] for name in TABLES for key in ("inputs", "settings")
    ):
        # Captions are written last: a build that was stopped leaves older ones beside new phrases.
        raise DataError(
            _MIXED, where=folder, hint=_rebuild_hint(dataset, folder, captions["settings"])
        )
    columns = store.column_names(paths["frames"])
    aus = captions["settings"]["aus"]
    graded = tuple(au for au in aus if intensity_column(au) in columns)
    return BuiltCaptions(dataset, folder, frames, captions, graded, rows)


def check_same_templates(dataset: str, folder: Path, captions: dict[str, Any], frames: str) -> None:
    """Raise an error unless captions were built with the templates that fauds ships now.

    This is checked before captions are rebuilt, because other templates would change their wording.

    Args:
        dataset: the dataset's name.
        folder: the folder that holds the caption tables.
        captions: the metadata of captions.parquet.
        frames: the fingerprint (a hash of inputs and settings) of the present frames.parquet.

    Raises:
        DataError: the captions were built with other templates than those that fauds ships now; the
            message says why the captions must be rebuilt, and with which command.
    """
    settings = captions["settings"]
    language = settings["language"]
    if language not in languages():
        difference = f"in the language {language!r}, which fauds does not ship"
    elif settings["templates"] != template_hash(language):
        difference = "with other templates than those that fauds ships now"
    else:
        return
    raise DataError(
        f"{_reason_to_rebuild(folder, captions, frames)} They were built {difference}.",
        where=folder / CAPTIONS,
        hint=_rebuild_hint(dataset, folder, settings),
    )


def _reason_to_rebuild(folder: Path, captions: dict[str, Any], frames: str) -> str:
    """Return a sentence that says why the captions in a folder must be rebuilt."""
    if captions["inputs"] != frames:
        return _OTHER_FRAMES
    missing = [f"{name}.parquet" for name in TABLES if not (folder / f"{name}.parquet").exists()]
    return f"The caption tables lack {', '.join(missing)}." if missing else _MIXED


def _rebuild_hint(dataset: str, folder: Path, settings: dict[str, Any]) -> str:
    """Return a hint for an error: the command that rebuilds captions with the same settings."""
    command = _command(dataset, folder, settings)
    language = settings["language"]
    if language not in languages():
        return f"build them again: {command} --templates FOLDER (the one that has {language!r})"
    return f"build them again: {command} (with the --templates that you used, if any)"


def row_at(path: Path, row: int, columns: list[str] | None = None) -> dict[str, Any]:
    """Return one row of a Parquet file as a dict; only the row group that contains it is read.

    Args:
        path: the path of the Parquet file.
        row: the row's number, from 0.
        columns: the names of the columns to return; None returns all columns.

    Raises:
        IndexError: the file has no such row.
    """
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                values: dict[str, Any]
                (values,) = file.read_row_group(group, columns).slice(row, 1).to_pylist()
                return values
            row -= rows
    raise IndexError(f"{path} has fewer rows than the requested row number")


def _read_parts(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    for group in store.read_batches(path, columns):
        # With one dictionary per column, slices can be taken by the codes alone.
        whole = group.unify_dictionaries().combine_chunks()
        yield from (
            whole.slice(begin, ROWS_AT_ONCE) for begin in range(0, len(whole), ROWS_AT_ONCE)
        )


def _side_by_side(
    lefts: Iterator[pa.Table], rights: Iterator[pa.Table]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield the rows of two tables as pairs of slices that have the same number of rows.

    Args:
        lefts: the consecutive pieces of the first table.
        rights: the consecutive pieces of the second table, which may differ in length.
    """
    left, right = next(lefts, None), next(rights, None)
    while left is not None and right is not None:
        rows = min(len(left), len(right))
        yield left.slice(0, rows), right.slice(0, rows)
        left = left.slice(rows) if len(left) > rows else next(lefts, None)
        right = right.slice(rows) if len(right) > rows else next(rights, None)


def _other_frames_error(dataset: str, folder: Path, captions: dict[str, Any]) -> DataError:
    return DataError(
        _OTHER_FRAMES,
        where=folder / CAPTIONS,
        hint=_rebuild_hint(dataset, folder, captions["settings"]),
    )


def _command(dataset: str, folder: Path, settings: dict[str, Any]) -> str:
    arguments = ["fauds", "build-captions", "--dataset", dataset]
    if folder.parent != Path("fauds-work"):
        arguments += ["--workdir", str(folder.parent)]
    if settings.get("language", "en") != "en":
        arguments += ["--language", settings["language"]]
    # Tables of older versions do not name their style, which was the plain one.
    style = settings.get("style", "plain") if settings else DEFAULT_STYLE
    if style != DEFAULT_STYLE:
        arguments += ["--style", style]
    if settings.get("degrees"):
        arguments += ["--degrees"]
    if settings.get("variants", 1) > 1:
        arguments += ["--variants", str(settings["variants"]), "--seed", str(settings["seed"])]
    return shlex.join(arguments)
