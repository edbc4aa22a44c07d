"""The caption tables of a dataset as they lie in a workdir: opened, checked, read together."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fauds.captions.templates import languages, template_hash
from fauds.errors import DataError
from fauds.facs import intensity_column
from fauds.tables import store
from fauds.tables.paths import CAPTIONS

TABLES = ("captions", "phrases", "vocabulary")
ROWS_AT_ONCE = 16 * 1024
"""Rows that are handled at once; 10 to 50 MB as text."""

NO_CAPTIONS = {"language": "none", "templates": "none"}
"""What results say of captions where a model or a program needs none."""
_MIXED = "The tables of captions are of different builds."
_OTHER_FRAMES = "The captions are of other frames than those that are there."


@dataclass(frozen=True)
class Built:
    """The tables of one dataset; `opened` makes it, which has checked that they fit together.

    Attributes:
        dataset: the dataset's name.
        folder: where its tables lie.
        frames: the metadata of frames.parquet.
        captions: the metadata of captions.parquet.
        graded: the captioned AUs whose intensity frames.parquet has.
        rows: how many frames there are.
    """

    dataset: str
    folder: Path
    frames: dict[str, Any]
    captions: dict[str, Any]
    graded: tuple[str, ...]
    rows: int

    @property
    def aus(self) -> list[str]:
        """The captioned action units, in FACS order."""
        aus: list[str] = self.captions["settings"]["aus"]
        return aus

    @property
    def settings(self) -> dict[str, Any]:
        """How captions were made: language, aus, degrees, variants, seed, templates."""
        settings: dict[str, Any] = self.captions["settings"]
        return settings

    @property
    def synthetic(self) -> bool:
        """Whether the frames are made up."""
        synthetic: bool = self.frames["synthetic"]
        return synthetic

    @property
    def image_root(self) -> Path:
        """The folder that image paths are relative to."""
        return Path(self.frames["image_root"])

    def pictured(self) -> int:
        """Return how many frames have an image file; pictures in archives and videos are none."""
        parts = store.read_batches(self.path("frames"), ["image"])
        return sum(len(part) - part["image"].null_count for part in parts)

    def path(self, table: str) -> Path:
        """Return the path of one of the tables."""
        return self.folder / f"{table}.parquet"

    def read(self, columns: Sequence[str], said: Sequence[str]) -> Iterator[pa.Table]:
        """Read frames with their captions, some 16,000 rows at a time, in order.

        Args:
            columns: of frames, beside frame_id.
            said: columns of captions: AU names and "face".

        Yields:
            Tables of frame_id, of `columns` by name, and of `said` with "_text"
            added: AU12_text, face_text.

        Raises:
            DataError: the tables are of different frames.
        """
        frames = _steps(self.path("frames"), ["frame_id", *columns])
        captions = _steps(self.path("captions"), ["frame_id", *said])
        for left, right in _together(frames, captions):
            if not pc.all(pc.equal(left["frame_id"], right["frame_id"])).as_py():
                raise _stale(self.dataset, self.folder, self.captions)
            table = left
            for name in said:
                table = table.append_column(f"{name}_text", right[name])
            yield table


def opened(folder: Path, dataset: str) -> Built:
    """Open the tables of a dataset.

    Args:
        folder: where they lie.
        dataset: its name.

    Raises:
        DataError: tables are missing, unreadable, not of the same frames or of one build.
    """
    paths = {name: folder / f"{name}.parquet" for name in ("frames", *TABLES)}
    if not all(path.exists() for path in paths.values()):
        raise DataError(
            f"There are no captions of {dataset} yet.",
            where=folder,
            hint=f"build them: {_command(dataset, folder, {})}",
        )
    metas = {name: store.read_meta(path) for name, path in paths.items()}
    frames, captions = metas["frames"], metas["captions"]
    made = store.fingerprint(frames["inputs"], frames["settings"])
    rows = store.row_count(paths["frames"])
    if captions["inputs"] != made or rows != store.row_count(paths["captions"]):
        raise _stale(dataset, folder, captions)
    if any(metas[name][key] != captions[key] for name in TABLES for key in ("inputs", "settings")):
        # Captions are written last: a build that was stopped leaves older ones beside new phrases.
        raise DataError(_MIXED, where=folder, hint=_again(dataset, folder, captions["settings"]))
    columns = store.column_names(paths["frames"])
    aus = captions["settings"]["aus"]
    graded = tuple(au for au in aus if intensity_column(au) in columns)
    return Built(dataset, folder, frames, captions, graded, rows)


def refuse_other_templates(
    dataset: str, folder: Path, captions: dict[str, Any], frames: str
) -> None:
    """Raise where captions must be made again and the shipped templates would make others.

    Args:
        dataset: its name.
        folder: where its tables lie.
        captions: the metadata of captions.parquet.
        frames: the fingerprint of the frames that are there.

    Raises:
        DataError: says why they cannot stay, why they are not made again, and the command.
    """
    made = captions["settings"]
    language = made["language"]
    if language not in languages():
        of = f"in the language {language!r}, which fauds does not ship"
    elif made["templates"] != template_hash(language):
        of = "of other templates than those that fauds ships now"
    else:
        return
    raise DataError(
        f"{_why_again(folder, captions, frames)} They were made {of}.",
        where=folder / CAPTIONS,
        hint=_again(dataset, folder, made),
    )


def _why_again(folder: Path, captions: dict[str, Any], frames: str) -> str:
    """Return, as a sentence, why captions cannot stay as they are."""
    if captions["inputs"] != frames:
        return _OTHER_FRAMES
    missing = [f"{name}.parquet" for name in TABLES if not (folder / f"{name}.parquet").exists()]
    return f"The captions are not whole: there is no {', '.join(missing)}." if missing else _MIXED


def _again(dataset: str, folder: Path, settings: dict[str, Any]) -> str:
    """Return how captions are built again as they were: the command, for people."""
    command = _command(dataset, folder, settings)
    language = settings["language"]
    if language not in languages():
        return f"build them again: {command} --templates FOLDER (the one that has {language!r})"
    return f"build them again: {command} (with the --templates that you used, if any)"


def row_at(path: Path, row: int, columns: list[str] | None = None) -> dict[str, Any]:
    """Read one row of a table by its number, from 0; reads its row group only."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                found: list[dict[str, Any]] = (
                    file.read_row_group(group, columns).slice(row, 1).to_pylist()
                )
                return found[0]
            row -= rows
    raise IndexError(row)


def _steps(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    for group in store.read_batches(path, columns):
        # One dictionary a column, so that slices can be taken by their codes.
        whole = group.unify_dictionaries().combine_chunks()
        yield from (
            whole.slice(begin, ROWS_AT_ONCE) for begin in range(0, len(whole), ROWS_AT_ONCE)
        )


def _together(
    lefts: Iterator[pa.Table], rights: Iterator[pa.Table]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield the rows of both side by side, however each is cut."""
    left, right = next(lefts, None), next(rights, None)
    while left is not None and right is not None:
        rows = min(len(left), len(right))
        yield left.slice(0, rows), right.slice(0, rows)
        left = left.slice(rows) if len(left) > rows else next(lefts, None)
        right = right.slice(rows) if len(right) > rows else next(rights, None)


def _stale(dataset: str, folder: Path, captions: dict[str, Any]) -> DataError:
    return DataError(
        _OTHER_FRAMES,
        where=folder / CAPTIONS,
        hint=_again(dataset, folder, captions["settings"]),
    )


def _command(dataset: str, folder: Path, settings: dict[str, Any]) -> str:
    words = ["fauds", "build-captions", "--dataset", dataset]
    if folder.parent != Path("fauds-work"):
        words += ["--workdir", str(folder.parent)]
    if settings.get("language", "en") != "en":
        words += ["--language", settings["language"]]
    if settings.get("degrees"):
        words += ["--degrees"]
    if settings.get("variants", 1) > 1:
        words += ["--variants", str(settings["variants"]), "--seed", str(settings["seed"])]
    return shlex.join(words)
