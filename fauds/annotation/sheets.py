"""Writes tables for spreadsheets and statistics programs: CSV, Excel, Parquet and JSON Lines.

Rows are written a few at a time, in bounded memory. A file is complete or not written at all.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fauds.errors import UsageError
from fauds.tables.atomic import atomic, write_errors
from fauds.tables.store import SCHEMA_VERSION
from fauds.version import VERSION

_EXCEL_ROWS = 2**20
"""How many rows a sheet of Excel has."""

_WIDE = 60
"""The width of columns of texts in Excel, in characters."""

Write = Callable[[pa.Table], None]


@contextmanager
def open_sheet_file(
    path: Path, schema: pa.Schema, title: str, about: Mapping[str, str]
) -> Iterator[Write]:
    """Return a context manager that opens a table file and yields a function that adds rows to it.

    Args:
        path: the file, whose suffix decides the format: .csv, .xlsx, .parquet or .jsonl.
        schema: the columns.
        title: what the rows are, such as "events", for the name of Excel's sheet.
        about: facts about the table, such as its source, which Excel and Parquet files state.

    Raises:
        UsageError: the suffix is another one.
        DataError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SHEET_FORMATS:
        raise UsageError(
            f"A table cannot be written as a {suffix or 'suffix-less'} file.",
            where=path,
            hint=f"give a file that ends in one of {', '.join(SHEET_FORMATS)}",
        )
    with atomic(path) as temporary, SHEET_FORMATS[suffix](temporary, schema, title, about) as write:

        def add(table: pa.Table) -> None:
            with write_errors(path):
                write(table)

        yield add


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema with plain texts in place of dictionaries."""
    return pa.schema(
        (field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for field in schema
    )


@contextmanager
def _csv(path: Path, schema: pa.Schema, title: str, about: Mapping[str, str]) -> Iterator[Write]:
    plain = _plain(schema)
    with pacsv.CSVWriter(path, plain) as writer:
        yield lambda table: writer.write_table(table.cast(plain))


@contextmanager
def _parquet(
    path: Path, schema: pa.Schema, title: str, about: Mapping[str, str]
) -> Iterator[Write]:
    meta = {"schema": SCHEMA_VERSION, "fauds": VERSION, "settings": dict(about)}
    encoded = json.dumps(meta, sort_keys=True, ensure_ascii=False).encode()
    with_meta = schema.with_metadata({b"fauds": encoded})
    with pq.ParquetWriter(path, with_meta, compression="zstd") as writer:
        yield lambda table: writer.write_table(table.unify_dictionaries())


@contextmanager
def _json_lines(
    path: Path, schema: pa.Schema, title: str, about: Mapping[str, str]
) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as file:

        def write(table: pa.Table) -> None:
            for row in table.to_pylist():
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

        yield write


@contextmanager
def _excel(path: Path, schema: pa.Schema, title: str, about: Mapping[str, str]) -> Iterator[Write]:
    import xlsxwriter

    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    book = xlsxwriter.Workbook(str(path), options)
    try:
        _write_about(book, about)
        sheets = _Sheets(book, _plain(schema), title)
        yield sheets.write
        sheets.finish()
    finally:
        book.close()


def _write_about(book: Any, about: Mapping[str, str]) -> None:
    sheet = book.add_worksheet("about")
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, 1, 2 * _WIDE, book.add_format({"text_wrap": True, "valign": "top"}))
    for row, (name, value) in enumerate(about.items()):
        sheet.write_string(row, 0, name)
        sheet.write_string(row, 1, value)


class _Sheets:
    """Writes rows into sheets of Excel, another one where a sheet is full."""

    def __init__(self, book: Any, schema: pa.Schema, title: str) -> None:
        self._book, self._schema, self._title = book, schema, title
        self._bold = book.add_format({"bold": True, "valign": "top"})
        self._wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        self._top = book.add_format({"valign": "top"})
        self._number = 0
        self._sheet: Any = None
        self._row = 0
        self._open()

    def _open(self) -> None:
        self.finish()
        self._number += 1
        name = self._title if self._number == 1 else f"{self._title} {self._number}"
        self._sheet = self._book.add_worksheet(name)
        if self._number == 1:
            self._sheet.activate()
        self._sheet.freeze_panes(1, 0)
        for column, field in enumerate(self._schema):
            is_text = field.name == "text" or field.name.endswith("_text")
            width = _WIDE if is_text else max(9, len(field.name) + 2)
            self._sheet.set_column(column, column, width, self._wrapped if is_text else self._top)
            self._sheet.write_string(0, column, field.name, self._bold)
        self._row = 1

    def write(self, table: pa.Table) -> None:
        columns = [column.to_pylist() for column in table.columns]
        for cells in zip(*columns, strict=True):
            if self._row >= _EXCEL_ROWS:
                self._open()
            for column, value in enumerate(cells):
                if value is None:
                    continue
                if isinstance(value, str):
                    self._sheet.write_string(self._row, column, value)
                else:
                    self._sheet.write_number(self._row, column, value)
            self._row += 1

    def finish(self) -> None:
        if self._sheet is not None and self._row > 1:
            self._sheet.autofilter(0, 0, self._row - 1, len(self._schema) - 1)


SHEET_FORMATS: dict[str, Callable[..., Any]] = {
    ".csv": _csv,
    ".xlsx": _excel,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
}
"""By suffix, the function that opens a table file of each format."""
