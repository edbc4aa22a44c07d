"""Writing a Parquet table a few rows at a time, with all rows of a sequence in one row group.

A sequence is one subject's video of one task. Columns without any value can be left out.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fauds.tables.atomic import write_error


class RowGroups:
    """Divides the rows of a table into groups, each of one or more whole sequences.

    A sequence is the rows of one subject and task. The rows are added a few at a time; the groups
    do not depend on how many rows are added at a time.

    Args:
        limit: the largest number of rows in a group. A longer sequence is a group by itself.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._starts = np.empty(0, np.int64)

    def add(self, part: pa.Table, starts: np.ndarray | None) -> list[pa.Table]:
        """Add rows, and return the groups of rows that are now complete, as tables.

        Args:
            part: the rows to add, those of one or more whole sequences.
            starts: the indices of the rows of `part` at which a sequence begins, in rising order,
                with 0 first; None if groups may begin at any row.
        """
        allowed = np.arange(len(part)) if starts is None else np.asarray(starts)
        self._starts = np.concatenate([self._starts, allowed + self._rows])
        self._waiting.append(part)
        self._rows += len(part)
        if self._rows <= self._limit:
            return []
        return self._split(self._ends())

    def rest(self) -> list[pa.Table]:
        """Return a list with the group of the remaining rows; empty if no rows remain."""
        return self._split([self._rows]) if self._rows else []

    def _ends(self) -> list[int]:
        """Return the index of the first row after each complete group, among the waiting rows."""
        bounds = np.append(self._starts, self._rows)
        ends: list[int] = []
        begin = 0
        while self._rows - begin > self._limit:
            last_fitting = bounds[np.searchsorted(bounds, begin + self._limit, side="right") - 1]
            first_end = bounds[np.searchsorted(bounds, begin, side="right")]
            begin = int(max(last_fitting, first_end))
            ends.append(begin)
        return ends

    def _split(self, ends: list[int]) -> list[pa.Table]:
        table = pa.concat_tables(self._waiting)
        begins = [0, *ends[:-1]]
        groups = [table.slice(begin, end - begin) for begin, end in zip(begins, ends, strict=True)]
        self._waiting = [table.slice(ends[-1])]
        self._rows -= ends[-1]
        self._starts = self._starts[self._starts >= ends[-1]] - ends[-1]
        return groups


class TableWriter:
    """Writes a Parquet table a few rows at a time; see `fauds.tables.store.table_writer`.

    Args:
        path: the final path of the table, for error messages.
        temporary: the path of the temporary file to write.
        schema: the columns to write even if they have no value in any row. The rows may have
            further columns, which are written only if they have a value in some row.
        row_group: the largest number of rows in a row group of the file, see `RowGroups`.

    Attributes:
        meta: what to store with the table: a dictionary with keys such as "inputs" (a digest of
            what the table was computed from) and "settings".
    """

    def __init__(self, path: Path, temporary: Path, schema: pa.Schema, row_group: int) -> None:
        self.meta: dict[str, Any] = {}
        self._path = path
        self._temporary = temporary
        self._schema = schema.remove_metadata()
        self._groups = RowGroups(row_group)
        self._file: pq.ParquetWriter | None = None

    def write(self, part: pa.Table, starts: np.ndarray | None = None) -> None:
        """Add the rows of one or more whole sequences (subject and task) to the table.

        Args:
            part: the rows, with the same columns in every call. The dictionaries of dictionary
                columns may differ.
            starts: the indices of the rows of `part` at which a sequence begins, in rising order,
                with 0 first; None if row groups may begin at any row.

        Raises:
            DataError: the file cannot be written, for example because the disk is full.
        """
        # The caller may be reading other files and would report an OSError as an error of those.
        try:
            for group in self._groups.add(part, starts):
                self._put(group)
        except OSError as error:
            raise write_error(self._path, error) from error

    def finish(self, metadata: dict[bytes, bytes]) -> None:
        """Write the remaining rows and the key-value metadata of the Parquet file, and close it."""
        for group in self._groups.rest():
            self._put(group)
        file = self._file or self._open(self._schema)
        file.add_key_value_metadata(metadata)
        self.close()

    def close(self) -> None:
        """Close the file without writing the remaining rows. A second call has no effect."""
        if self._file is not None:
            self._file.close()

    def _put(self, group: pa.Table) -> None:
        # Parquet stores plain strings if the dictionary changes within a row group.
        group = group.unify_dictionaries()
        written = {*self._schema.names, *(self._file.schema.names if self._file else ())}
        fields = [
            self._schema.field(field.name) if field.name in self._schema.names else field
            for field in group.schema
            if field.name in written or group[field.name].null_count < len(group)
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
        """Rewrite the file with more columns, which are null in the rows written so far.

        Args:
            schema: all columns of the new file, the old and the added ones.

        Returns:
            The open writer of the new file.
        """
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
