"""Reading and writing tables: atomic, with metadata, by one process at a time."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fauds.errors import DataError
from fauds.tables import store
from fauds.tables.atomic import write_error

META = {"inputs": "abc", "settings": {"language": "en"}}
TABLE = pa.table({"x": list(range(10))})


def test_a_table_has_the_metadata_of_its_inputs_and_settings(tmp_path):
    path = tmp_path / "deep" / "t.parquet"
    store.write_table(path, TABLE, META)
    assert store.read_table(path).to_pydict() == TABLE.to_pydict()
    meta = store.read_meta(path)
    assert meta["schema"] == store.SCHEMA_VERSION
    assert META.items() <= meta.items()
    assert json.loads(pq.read_metadata(path).metadata[b"fauds"]) == meta


def test_tables_with_their_metadata_in_the_schema_are_read(tmp_path):
    path = tmp_path / "t.parquet"
    meta = {"schema": store.SCHEMA_VERSION, **META}
    pq.write_table(TABLE.replace_schema_metadata({b"fauds": json.dumps(meta)}), path)
    assert store.read_meta(path) == meta
    # A table that was read can be written with new metadata.
    store.write_table(path, store.read_table(path), {"inputs": "new"})
    assert store.read_meta(path)["inputs"] == "new"


def test_columns_are_returned_in_the_requested_order(tmp_path):
    path = tmp_path / "t.parquet"
    store.write_table(path, pa.table({"a": [1], "b": [2], "c": [3]}), META)
    assert store.read_table(path, ["c", "a"]).column_names == ["c", "a"]
    assert next(store.read_batches(path, ["c", "a"])).column_names == ["c", "a"]
    for read in (store.read_table, lambda *arguments: list(store.read_batches(*arguments))):
        with pytest.raises(DataError, match=r"(?s)has no column d.*t.parquet"):
            read(path, ["a", "d"])


def test_a_batch_is_a_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ROW_GROUP", 4)
    path = tmp_path / "t.parquet"
    names = pa.array(["a", "b", "a", "a", "c"]).dictionary_encode()
    store.write_table(path, pa.table({"x": range(5), "name": names}), META, np.array([0, 3]))
    batches = list(store.read_batches(path, ["x", "name"]))
    assert [batch["x"].to_pylist() for batch in batches] == [[0, 1, 2], [3, 4]]
    assert [batch["name"].to_pylist() for batch in batches] == [["a", "b", "a"], ["a", "c"]]
    assert store.read_table(path)["name"].combine_chunks().dictionary.to_pylist() == ["a", "b", "c"]


def test_row_groups_begin_with_a_sequence(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ROW_GROUP", 100)
    starts = np.array([0, 70, 90, 160, 330])
    store.write_table(tmp_path / "t.parquet", pa.table({"x": range(400)}), META, starts)
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    begins = np.cumsum([0, *sizes])
    assert begins[-1] == 400
    assert set(begins[:-1]) <= set(starts)
    assert len(sizes) > 1


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyError("x")])
def test_a_failed_write_leaves_the_old_file_and_no_temporary_files(tmp_path, monkeypatch, error):
    path = tmp_path / "t.parquet"
    store.write_table(path, TABLE, META)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    expected = DataError if isinstance(error, OSError) else KeyError
    with pytest.raises(expected, match=r"space|x"):
        store.write_table(path, TABLE, META)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_a_path_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "deep" / "t.parquet"
    with pytest.raises(DataError, match=r"t\.parquet could not be written: Not a dir") as error:
        store.write_table(path, TABLE, META)
    assert error.value.where == str(path)
    assert error.value.hint.startswith("choose another place, or move away")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EROFS, "this file system is read-only"),
        (errno.EISDIR, "move away the file or folder"),
        (errno.EACCES, "permission to write there"),
    ],
)
def test_the_hint_depends_on_the_error_of_the_file_system(tmp_path, number, hint):
    error = write_error(tmp_path / "t.parquet", OSError(number, os.strerror(number)))
    assert hint in error.hint and "choose another place" in error.hint


def test_a_truncated_table_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "frames.parquet"
    store.write_table(path, TABLE, META)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"(?s)cannot be read as Parquet.*frames.parquet"):
        store.read_table(path)
    with pytest.raises(DataError, match=r"(?s)cannot be read as Parquet.*frames.parquet"):
        next(store.read_batches(path))


def test_a_missing_foreign_or_newer_table_is_an_error(tmp_path):
    pq.write_table(TABLE, tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match="not written by fauds"):
        store.read_table(tmp_path / "foreign.parquet")
    meta = {b"fauds": json.dumps({"schema": 99}).encode()}
    pq.write_table(TABLE.replace_schema_metadata(meta), tmp_path / "newer.parquet")
    with pytest.raises(DataError, match="schema version 99"):
        store.read_table(tmp_path / "newer.parquet")
    with pytest.raises(DataError, match=r"no absent\.parquet"):
        store.read_table(tmp_path / "absent.parquet")


def test_fingerprints_depend_on_the_division_into_parts():
    assert store.fingerprint("ab", "c") != store.fingerprint("a", "bc")
    assert store.fingerprint({"a": 1, "b": 2}) == store.fingerprint({"b": 2, "a": 1})
    assert store.fingerprint(b"x") != store.fingerprint("x")


def test_only_one_process_writes_a_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from fauds.tables import store\n"
        "try:\n    with store.lock(Path(sys.argv[1])): print('got it')\n"
        "except store.DataError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with store.lock(tmp_path):
        second = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    third = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Another fauds process" in second
    assert str(tmp_path) in second
    assert third == "got it\n"
