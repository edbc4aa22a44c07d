"""Writing tables in parts: row groups, dictionaries, and columns without values."""

import errno
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.errors import DataError
from fauds.tables import store
from fauds.tables.part_writer import RowGroups

NUMBERS = pa.schema([("x", pa.int64())])


def plain_sizes(lengths: Sequence[int], limit: int) -> list[int]:
    """Return the sizes of the row groups for sequences of these lengths, computed in a loop."""
    sizes: list[int] = []
    for length in lengths:
        if sizes and sizes[-1] + length <= limit:
            sizes[-1] += length
        else:
            sizes.append(length)
    return sizes


def starts_of(lengths: Sequence[int]) -> np.ndarray:
    return np.cumsum([0, *lengths[:-1]])


@given(st.lists(st.lists(st.integers(1, 30), max_size=6), max_size=6), st.integers(1, 40))
def test_row_groups_do_not_depend_on_the_division_into_parts(
    parts: list[list[int]], limit: int
) -> None:
    groups = RowGroups(limit)
    results: list[pa.Table] = []
    first = 0
    for lengths in filter(None, parts):
        part = pa.table({"x": range(first, first + sum(lengths))})
        results += groups.add(part, starts_of(lengths))
        first += sum(lengths)
    results += groups.rest()
    assert [len(group) for group in results] == plain_sizes([*chain(*parts)], limit)
    assert [x for group in results for x in group["x"].to_pylist()] == list(range(first))


@given(st.lists(st.integers(0, 50), max_size=6), st.integers(1, 40))
def test_groups_that_may_begin_at_any_row_are_full(sizes: list[int], limit: int) -> None:
    groups = RowGroups(limit)
    parts = [pa.table({"x": range(size)}, schema=NUMBERS) for size in sizes]
    results = [group for part in parts for group in groups.add(part, None)]
    results += groups.rest()
    assert [len(group) for group in results[:-1]] == [limit] * len(results[:-1])
    assert sum(map(len, results)) == sum(sizes)


def test_complete_groups_are_returned_at_once() -> None:
    groups = RowGroups(100)
    waiting = 0
    for _ in range(50):
        waiting += 40 - sum(map(len, groups.add(pa.table({"x": range(40)}), np.array([0, 25]))))
        assert waiting <= 100


def test_row_groups_of_a_table_in_parts_begin_with_a_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 100)
    with store.table_writer(tmp_path / "t.parquet", NUMBERS) as writer:
        writer.write(pa.table({"x": range(90)}), np.array([0, 70]))
        writer.write(pa.table({"x": range(250)}), np.array([0, 20]))
        writer.write(pa.table({"x": range(60)}), np.array([0]))
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert sizes == [90, 20, 230, 60]


def test_parts_may_have_different_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    category = pa.dictionary(pa.int32(), pa.string())
    with store.table_writer(path, pa.schema([("name", category)])) as writer:
        for names in (["b", "a", "b"], ["c", None], ["a", "c"]):
            writer.write(pa.table({"name": pa.array(names).dictionary_encode()}))
    assert pq.read_metadata(path).num_row_groups == 1
    assert "RLE_DICTIONARY" in pq.read_metadata(path).row_group(0).column(0).encodings
    table = store.read_table(path)
    assert table["name"].to_pylist() == ["b", "a", "b", "c", None, "a", "c"]
    assert table.schema.field("name").type == category


def test_a_column_without_any_value_is_left_out_unless_it_is_required(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    kinds = pa.schema([("kept", pa.int8()), ("x", pa.int64()), ("never", pa.int8())])
    with store.table_writer(path, kinds.remove(2)) as writer:
        for x in range(3):
            row = {"kept": [None], "x": [x], "never": [None]}
            writer.write(pa.table(row, schema=kinds))
    assert store.read_table(path).to_pydict() == {"kept": [None] * 3, "x": [0, 1, 2]}


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_the_first_value_of_a_column_may_be_in_a_late_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", limit)
    path = tmp_path / "t.parquet"
    rows = [
        {"x": x, "early": x if x < 2 else None, "late": x if x > 5 else None, "name": str(x % 2)}
        for x in range(9)
    ]
    kinds = pa.schema(
        [("late", pa.int8()), ("x", pa.int64()), ("early", pa.int8()), ("name", pa.string())]
    )
    with store.table_writer(path, NUMBERS) as writer:
        for row in rows:
            writer.write(pa.Table.from_pylist([row], schema=kinds))
        writer.meta = {"inputs": "abc"}
    assert store.read_table(path).to_pylist() == rows
    assert pq.read_schema(path) == kinds
    assert store.read_meta(path)["inputs"] == "abc"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.parquet"]


def test_a_table_without_parts_has_the_columns_of_its_schema(tmp_path: Path) -> None:
    with store.table_writer(tmp_path / "t.parquet", NUMBERS) as writer:
        writer.meta = {"inputs": "abc"}
    assert store.read_table(tmp_path / "t.parquet").to_pydict() == {"x": []}
    assert list(store.read_batches(tmp_path / "t.parquet")) == []


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), DataError("bad labels")])
def test_an_error_between_parts_leaves_the_old_table_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP", 2)
    path = tmp_path / "t.parquet"
    store.write_table(path, pa.table({"x": [1]}), {})
    before = path.read_bytes()

    def write() -> None:
        with store.table_writer(path, NUMBERS) as writer:
            writer.write(pa.table({"x": range(10)}))
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.parquet"]


def test_a_full_disk_is_reported_for_the_table_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", refuse)
    monkeypatch.setattr(store, "ROW_GROUP", 2)
    path = tmp_path / "t.parquet"
    with store.table_writer(path, NUMBERS) as writer:
        with pytest.raises(DataError, match="could not be written: No space left") as caught:
            writer.write(pa.table({"x": range(10)}))
        monkeypatch.undo()
    assert caught.value.where == str(path)
