"""Small frames tables, their sequences, and files of external predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fauds.datasets import DATASETS
from fauds.evaluation.external.frame_names import Sequences

AUS = ("AU01", "AU12")
BENCHMARK = ("bp4d", 2)


def frames_of(keys: Sequence[tuple[str, str, int]]) -> pa.Table:
    """Return a frames table with these subjects, tasks and frame numbers."""
    subjects, tasks, frames = zip(*keys, strict=True)
    return pa.table(
        {
            "subject": pa.array(subjects).dictionary_encode(),
            "task": pa.array(tasks).dictionary_encode(),
            "frame": pa.array(frames, pa.int32()),
        }
    )


BP4D = frames_of(
    [(subject, task, n) for subject in ("F001", "M002") for task in ("T1", "T10") for n in (5, 9)]
)
DISFA = frames_of([(subject, "", n) for subject in ("SN001", "SN010") for n in (1, 4)])


def bp4d() -> Sequences:
    """Return the sequences of a dataset with subjects and tasks."""
    return Sequences(BP4D, DATASETS["bp4d"], None)


def disfa(image_base: int | None = None) -> Sequences:
    """Return the sequences of a dataset without tasks, whose labels end at frame 4."""
    return Sequences(DISFA, DATASETS["disfa"], image_base)


def images() -> Sequences:
    """Return the sequences of a dataset of single images: none."""
    nothing = pa.nulls(2, pa.string())
    columns = {"subject": nothing, "task": nothing, "frame": pa.nulls(2, pa.int32())}
    return Sequences(pa.table(columns), DATASETS["rafdb"], None)


def write(path: Path, columns: Mapping[str, object], metadata: Mapping | None = None) -> Path:
    """Write columns as CSV or Parquet, depending on the suffix of the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(dict(columns))
    if path.suffix == ".parquet":
        pq.write_table(table.replace_schema_metadata(metadata), path)
    else:
        pacsv.write_csv(table, path)
    return path
