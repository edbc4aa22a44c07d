"""Functions shared by the tests of readers, among them independent readers of label files."""

import csv
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from fauds.datasets.base import Reader, Reading, ReadOptions
from fauds.errors import DataError
from fauds.tables import schemas, store
from fauds.tables.frames import with_keys

BP4D_AUS = tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24))
DISFA_AUS = tuple(f"AU{number:02d}" for number in (1, 2, 4, 6, 9, 12, 25, 26))

Labels = dict[tuple[str, str, int], dict[str, int | None]]


@dataclass(frozen=True, kw_only=True)
class ReadingWithFrames(Reading):
    """The result of a reader, with the frames table."""

    table: pa.Table


def read(
    reader: Reader,
    root: Path,
    expected: Mapping | None = None,
    options: ReadOptions | None = None,
) -> ReadingWithFrames:
    """Read a release, and return its frames as read back from a Parquet file."""
    aus = options.aus if options else ()
    if options and options.classes:
        aus = ("expression",)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.parquet"
        with store.table_writer(path, schemas.frames_schema(aus)) as writer:

            def write(part: pa.Table) -> None:
                writer.write(with_keys(part), store.sequence_starts(part))

            reading = reader.read(root, expected, options, sink=write)
        return ReadingWithFrames(table=store.read_table(path), **vars(reading))


def plain_bp4d(root: Path) -> Labels:
    """Read BP4D's labels row by row with the csv module."""
    rows: Labels = {}
    for path in (root / "AUCoding" / "AU_OCC").glob("*.csv"):
        subject, task = path.stem.split("_")
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                labels = {au: int(row[str(int(au[2:]))]) for au in BP4D_AUS}
                rows[subject, task, int(row["0"])] = {
                    au: None if value == 9 else value for au, value in labels.items()
                }
    for path in (root / "AUCoding" / "AU_INT").glob("*/*.csv"):
        subject, task, au = path.stem.split("_")
        with path.open(newline="") as file:
            for frame, value in csv.reader(file):
                key = subject, task, int(frame)
                if key in rows:
                    rows[key][f"{au}_intensity"] = None if value == "9" else int(value)
    return rows


def plain_disfa(root: Path, occurrence_at: int = 2) -> Labels:
    """Read DISFA's labels row by row with the csv module."""
    rows: Labels = {}
    for path in (root / "ActionUnit_Labels").glob("*/*.txt"):
        subject, au = path.stem.split("_au")
        with path.open(newline="") as file:
            for frame, value in csv.reader(file):
                labels = rows.setdefault((subject, "", int(frame)), {})
                labels[f"AU{int(au):02d}"] = int(int(value) >= occurrence_at)
                labels[f"AU{int(au):02d}_intensity"] = int(value)
    return rows


def as_labels(table: pa.Table, columns: Iterable[str] | None = None) -> Labels:
    """Return the AU columns of a table in the form of `plain_bp4d`."""
    names = list(columns or (name for name in table.column_names if name.startswith("AU")))
    return {
        (row["subject"], row["task"], row["frame"]): {name: row[name] for name in names}
        for row in table.to_pylist()
    }


def fails(read: Callable[[], object], *words: str, where: object = None) -> str:
    """Check that reading raises a DataError with this place and these words in its message."""
    with pytest.raises(DataError) as caught:
        read()
    message = str(caught.value)
    if where is not None:
        assert caught.value.where == str(where), message
    for word in words:
        assert word in message, message
    return message
