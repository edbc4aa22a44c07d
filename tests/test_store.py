"""Tables on disk: written whole or not at all, with what made them, by one process at a time."""

import errno
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fauds import store
from fauds.errors import DataError

META = {"inputs": "abc", "settings": {"language": "en"}}
TABLE = pa.table({"x": list(range(10))})


def test_a_table_carries_what_made_it(tmp_path):
    path = tmp_path / "deep" / "t.parquet"
    store.write_table(path, TABLE, META)
    assert store.read_table(path).to_pydict() == TABLE.to_pydict()
    meta = store.read_meta(path)
    assert meta["schema"] == store.SCHEMA_VERSION
    assert META.items() <= meta.items()


def test_row_groups_are_cut_where_sequences_begin(tmp_path, monkeypatch):
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
def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, error):
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


def test_a_truncated_table_is_named(tmp_path):
    path = tmp_path / "frames.parquet"
    store.write_table(path, TABLE, META)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"(?s)cannot be read as Parquet.*frames.parquet"):
        store.read_table(path)


def test_a_foreign_or_newer_table_is_refused(tmp_path):
    pq.write_table(TABLE, tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match="not written by fauds"):
        store.read_table(tmp_path / "foreign.parquet")
    meta = {b"fauds": json.dumps({"schema": 99}).encode()}
    pq.write_table(TABLE.replace_schema_metadata(meta), tmp_path / "newer.parquet")
    with pytest.raises(DataError, match="schema version 99"):
        store.read_table(tmp_path / "newer.parquet")
    with pytest.raises(DataError, match=r"no absent\.parquet"):
        store.read_table(tmp_path / "absent.parquet")


def test_fingerprints_tell_parts_apart():
    assert store.fingerprint("ab", "c") != store.fingerprint("a", "bc")
    assert store.fingerprint({"a": 1, "b": 2}) == store.fingerprint({"b": 2, "a": 1})
    assert store.fingerprint(b"x") != store.fingerprint("x")


def test_only_one_process_writes_a_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from fauds import store\n"
        "try:\n    with store.lock(Path(sys.argv[1])): print('got it')\n"
        "except store.DataError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with store.lock(tmp_path):
        refused = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    allowed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Another fauds process" in refused
    assert str(tmp_path) in refused
    assert allowed == "got it\n"
