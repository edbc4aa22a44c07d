"""Every frame has a readable key, and tables of an older fauds without keys can still be used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fauds import resources
from fauds.datasets.base import FramesSink, Reading, ReadOptions
from fauds.datasets.bp4d import BP4D
from fauds.pipeline import Project
from fauds.protocols import benchmark as protocols
from fauds.tables import store
from fauds.tables.columns import from_strings
from fauds.tables.frames import frame_keys
from tests.helpers import Cli, small


def remove_keys(path: Path) -> None:
    """Write frames.parquet again without keys, as an older fauds wrote it."""
    table, meta = store.read_table(path), store.read_meta(path)
    table = table.drop_columns("key")
    store.write_table(path, table, meta, store.sequence_starts(table))


def plain_keys(path: Path) -> list[str]:
    """Return the keys, computed by a plain loop over the rows."""
    rows = pq.read_table(path, columns=["subject", "task", "frame"]).to_pylist()
    return ["/".join(str(part) for part in row.values() if part != "") for row in rows]


def test_a_key_omits_a_task_that_is_empty_or_null() -> None:
    parts = [("F001", "T1", 2440), ("SN003", "", 29), ("SN003", None, 30), ("ä", "T10", 0)]
    columns = [pa.array(column) for column in zip(*parts, strict=True)]
    whole = pa.table(dict(zip(("subject", "task", "frame"), columns, strict=True)))
    expected = ["F001/T1/2440", "SN003/29", "SN003/30", "ä/T10/0"]
    assert frame_keys(whole).to_pylist() == expected
    encoded = [
        whole.slice(begin, 2).set_column(1, "task", whole["task"][begin:][:2].dictionary_encode())
        for begin in (0, 2)
    ]
    assert frame_keys(pa.concat_tables(encoded)).to_pylist() == expected
    assert frame_keys(whole.slice(0, 0)).to_pylist() == []


@pytest.mark.parametrize(
    ("dataset", "like"), [("bp4d", "F001/T1/"), ("disfa", "SN001/")], ids=["bp4d", "disfa"]
)
def test_frames_have_a_unique_key_as_well_as_a_frame_id(
    request: pytest.FixtureRequest, work: Path, dataset: str, like: str
) -> None:
    step = Project(work, dataset).frames(request.getfixturevalue(f"{dataset}_root"))
    table = store.read_table(step.path)
    assert table.column_names[:3] == ["frame_id", "key", "subject"]
    assert table.schema.field("key").type == pa.string()
    keys = table["key"].to_pylist()
    assert keys == plain_keys(step.path) and len(set(keys)) == len(keys)
    assert keys[0].startswith(like)


class _ReaderWithKeys:
    """BP4D's reader with keys of its own, in the last column of the table."""

    def __getattr__(self, name: str) -> Any:
        return getattr(BP4D, name)

    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = None,
        options: ReadOptions | None = None,
        *,
        sink: FramesSink,
    ) -> Reading:
        def add_keys(part: pa.Table) -> None:
            keys = from_strings([f"clip-{number}" for number in part["frame_id"].to_pylist()])
            sink(part.append_column("key", keys.dictionary_encode()))

        return BP4D.read(root, expected, options, sink=add_keys)


def test_keys_of_a_reader_are_kept(
    work: Path, bp4d_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fauds.datasets.bp4d.BP4D", _ReaderWithKeys())
    table = store.read_table(Project(work, "bp4d").frames(bp4d_root).path)
    assert table.column_names[:3] == ["frame_id", "key", "subject"]
    assert table["key"].to_pylist() == [f"clip-{number}" for number in range(len(table))]


@pytest.mark.slow
def test_frames_of_an_older_fauds_are_used_without_changes(
    cli: Cli, work: Path, bp4d_root: Path
) -> None:
    options = ("--dataset", "bp4d")
    cli.ok("build-captions", *options, "--root", bp4d_root)
    path = work / "bp4d" / "frames.parquet"
    remove_keys(path)
    before = path.read_bytes()
    assert cli.ok("build-captions", *options).count("(unchanged)") == 2
    cli.ok("build-captions", *options, "--language", "zh")
    cli.ok("split", *options, "--method", "random", "--folds", 2)
    cli.ok("prepare", *options, "--alignment", "none", "--workers", 1)
    cli.ok("bench", "vlfau", *options, *small("training.epochs=1", texts=False), "--fold", 1)
    aus = protocols.benchmark("bp4d").aus
    predictions = pq.read_table(path, columns=["subject", "task", "frame", *aus]).to_pandas()
    predictions.fillna(dict.fromkeys(aus, 0)).to_csv(work / "predictions.csv", index=False)
    cli.ok("score", work / "predictions.csv", *options)
    for words in (
        ("show", "AU12"),
        ("show", plain_keys(path)[0]),
        ("stats",),
        ("export", "--format", "jsonl"),
    ):
        cli.ok("captions", *words, *options)
    assert path.read_bytes() == before


def test_frames_of_an_older_fauds_get_keys_when_they_are_joined(
    work: Path, bp4d_root: Path, disfa_root: Path
) -> None:
    Project(work, "bp4d").frames(bp4d_root)
    Project(work, "disfa").frames(disfa_root)
    remove_keys(work / "disfa" / "frames.parquet")
    file = resources.path("benchmarks", "examples") / "bp4d-to-disfa.yaml"
    step = Project.by_file(work, file, print).frames()
    table = store.read_table(step.path)
    assert table.column_names[:3] == ["frame_id", "key", "subject"]
    assert table["key"].to_pylist() == plain_keys(step.path)
