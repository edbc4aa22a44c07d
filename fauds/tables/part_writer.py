"""Writing a Parquet table in parts: row groups of whole sequences, no columns without values."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fauds.tables.atomic import unwritable


class RowGroups:
    """Joins the parts of a table, and cuts them into row groups where sequences begin.

    The groups are the same however a table is divided into parts.

    Args:
        limit: rows in a group; a sequence of more rows is a group of its own.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._starts = np.empty(0, np.int64)

    def add(self, part: pa.Table, starts: np.ndarray | None) -> list[pa.Table]:
        """Take a part, and return the groups that are full.

        Args:
            part: rows that end where a sequence ends.
            starts: row numbers in the part where a sequence begins, the first 0, rising; None
                where groups may be cut anywhere.
        """
        allowed = np.arange(len(part)) if starts is None else np.asarray(starts)
        self._starts = np.concatenate([self._starts, allowed + self._rows])
        self._waiting.append(part)
        self._rows += len(part)
        if self._rows <= self._limit:
            return []
        return self._cut(self._full())

    def rest(self) -> list[pa.Table]:
        """Return the last group, if there is one."""
        return self._cut([self._rows]) if self._rows else []

    def _full(self) -> list[int]:
        """Return where the full groups end, in rows."""
        bounds = np.append(self._starts, self._rows)
        ends: list[int] = []
        begin = 0
        while self._rows - begin > self._limit:
            fits = bounds[np.searchsorted(bounds, begin + self._limit, side="right") - 1]
            longer = bounds[np.searchsorted(bounds, begin, side="right")]
            begin = int(max(fits, longer))
            ends.append(begin)
        return ends

    def _cut(self, ends: list[int]) -> list[pa.Table]:
        table = pa.concat_tables(self._waiting)
        begins = [0, *ends[:-1]]
        groups = [table.slice(begin, end - begin) for begin, end in zip(begins, ends, strict=True)]
        self._waiting = [table.slice(ends[-1])]
        self._rows -= ends[-1]
        self._starts = self._starts[self._starts >= ends[-1]] - ends[-1]
        return groups


class TableWriter:
    """Writes a table in parts to a temporary file; `fauds.tables.store.table_writer` makes one.

    Args:
        path: the table's path, for errors.
        temporary: where to write.
        schema: the columns that are written in any case. Parts may have more; those are left
            out where they are null throughout.
        row_group: rows in a row group, see `RowGroups`.

    Attributes:
        meta: what made the table ("inputs", "settings", ...); read at the end.
    """

    def __init__(self, path: Path, temporary: Path, schema: pa.Schema, row_group: int) -> None:
        self.meta: dict[str, Any] = {}
        self._path = path
        self._temporary = temporary
        self._schema = schema.remove_metadata()
        self._groups = RowGroups(row_group)
        self._file: pq.ParquetWriter | None = None

    def write(self, part: pa.Table, starts: np.ndarray | None = None) -> None:
        """Write rows, which end where a sequence ends.

        Args:
            part: the rows; every part has the same columns, dictionaries may differ.
            starts: row numbers in the part where a sequence begins, the first 0; row groups are
                cut there only. None where they may be cut anywhere.

        Raises:
            DataError: the file system refuses (full, no permission).
        """
        # Whoever reads the parts may take every OSError for one of its own.
        try:
            for group in self._groups.add(part, starts):
                self._put(group)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def finish(self, metadata: dict[bytes, bytes]) -> None:
        """Write the rows that wait, and the file's key-value metadata."""
        for group in self._groups.rest():
            self._put(group)
        file = self._file or self._open(self._schema)
        file.add_key_value_metadata(metadata)
        self.close()

    def close(self) -> None:
        """Close the file, as it is; a second time does nothing."""
        if self._file is not None:
            self._file.close()

    def _put(self, group: pa.Table) -> None:
        # Parquet gives up dictionaries that change within a row group.
        group = group.unify_dictionaries()
        known = {*self._schema.names, *(self._file.schema.names if self._file else ())}
        fields = [
            self._schema.field(field.name) if field.name in self._schema.names else field
            for field in group.schema
            if field.name in known or group[field.name].null_count < len(group)
        ]
        names = [field.name for field in fields]
        file = self._file or self._open(pa.schema(fields))
        if names != file.schema.names:
            file = self._widen(pa.schema(fields))
        file.write_table(group.select(names), row_group_size=len(group))

    def _open(self, schema: pa.Schema) -> pq.ParquetWriter:
        self._file = pq.ParquetWriter(self._temporary, schema, compression="zstd")
        return self._file

    def _widen(self, schema: pa.Schema) -> pq.ParquetWriter:
        """Write again what has been written, with columns that were null until now."""
        self.close()
        narrow = self._temporary.with_name(f"{self._temporary.name}.narrow")
        self._temporary.replace(narrow)
        try:
            wide = self._open(schema)
            with pq.ParquetFile(narrow) as file:
                for index in range(file.num_row_groups):
                    group = _widened(file.read_row_group(index), schema)
                    wide.write_table(group, row_group_size=len(group))
            return wide
        finally:
            narrow.unlink(missing_ok=True)


def _widened(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[field.name] if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
