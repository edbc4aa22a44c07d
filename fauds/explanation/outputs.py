"""What a model says of faces, as tables and lines: Parquet, JSON Lines, and CSV as of OpenFace.

Everything is written face by face, in bounded memory. A file takes its name when it is whole;
of one that was stopped, `growing` keeps the beginning.
"""

import csv
import json
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from fauds.errors import UsageError
from fauds.explanation.explained import Explanation
from fauds.tables.atomic import growing, writing
from fauds.tables.part_writer import TableWriter
from fauds.tables.store import SCHEMA_VERSION
from fauds.version import VERSION

OUTPUT_ROW_GROUP = 10_000
_WAITING = 1_000
_DIGITS = 6
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def open_output(path: Path, aus: Sequence[str], texts: bool, *, several: bool = False) -> "Output":
    """Return what writes explanations to a file, in the form of its suffix.

    Args:
        path: ``.parquet``, ``.jsonl`` or ``.csv``; its folder is made.
        aus: the model's action units, in its order.
        texts: whether the model writes descriptions; without, the file has no place for them.
        several: whether pictures come from more than one file; only the CSV form, which has no
            place for the file's name otherwise, differs.

    Raises:
        UsageError: another suffix.
        DataError: the file system refuses.
    """
    if path.suffix.lower() not in _FORMS:
        raise UsageError(
            f"{path.name} has no suffix that says how to write it.",
            where=path,
            hint=f"name a file that ends in {', '.join(_FORMS)}",
        )
    return _FORMS[path.suffix.lower()](path, aus, texts, several)


class Output:
    """A file that explanations are written to; also a context manager.

    Left with an error or Ctrl-C, it keeps its beginning as `growing.part_of` names it. One that is
    neither left nor closed leaves nothing.
    """

    def __init__(self, path: Path, aus: Sequence[str], texts: bool, several: bool) -> None:
        self.path = path
        self._aus = tuple(aus)
        self._texts = texts
        self._several = several
        self._stack = ExitStack()
        self._open(self._stack.enter_context(growing(path)))

    def _open(self, temporary: Path) -> None:
        """Open the temporary file, to be closed by the stack."""
        raise NotImplementedError

    def write(self, explanations: Sequence[Explanation]) -> None:
        """Write faces, in this order."""
        raise NotImplementedError

    def skip(self, source: str, frame: int, timestamp: float | None, why: str) -> None:
        """Take note of a picture of which nothing is said: forms of one row a face have none."""

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def _source(name: str) -> str:
    """Return a file's name as one line of UTF-8: what is neither becomes ``\\n``, ``\\udce9``."""
    return _UNWRITABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


class ParquetOutput(Output):
    """One row a face.

    Columns: source string, frame int32 (from 1), timestamp float64 (seconds, null for images),
    face int16 (0 is the largest of its picture), left, top, right, bottom float32 (pixels, null
    where the whole picture is the face or no box is known), estimated bool, one float32 an action
    unit (probability, 0 to 1), then one text column an action unit (``AU01_text``) and
    ``face_text``.
    """

    def _open(self, temporary: Path) -> None:
        self._schema = _schema(self._aus, self._texts)
        self._rows: list[dict[str, Any]] = []
        self._table = TableWriter(self.path, temporary, self._schema, OUTPUT_ROW_GROUP)
        self._begun = False
        self._stack.push(self._finish)

    def write(self, explanations: Sequence[Explanation]) -> None:
        self._begun = True
        self._rows += [self._row(explanation) for explanation in explanations]
        if len(self._rows) >= _WAITING:
            self._put()

    def _put(self) -> None:
        rows, self._rows = self._rows, []
        self._table.write(pa.Table.from_pylist(rows, self._schema))

    def _finish(self, error: type[BaseException] | None, *_: Any) -> None:
        # A Parquet file can be read only once its end is written, also one that was stopped.
        if error and not self._begun:
            return
        self._put()
        settings = {"aus": self._aus, "texts": self._texts}
        meta = {"schema": SCHEMA_VERSION, "fauds": VERSION, "settings": settings}
        with writing(self.path):
            self._table.finish({b"fauds": json.dumps(meta, sort_keys=True).encode()})

    def _row(self, said: Explanation) -> dict[str, Any]:
        row = {
            "source": _source(said.source),
            "frame": said.frame,
            "timestamp": said.timestamp,
            "face": said.index,
            "estimated": said.estimated,
            **dict(zip(("left", "top", "right", "bottom"), said.box or (), strict=False)),
            **said.aus,
        }
        if self._texts:
            row |= {f"{au}_text": text for au, text in said.local.items()}
            row["face_text"] = said.face
        return row


def _schema(aus: Sequence[str], texts: bool) -> pa.Schema:
    return pa.schema(
        [
            ("source", pa.string()),
            ("frame", pa.int32()),
            ("timestamp", pa.float64()),
            ("face", pa.int16()),
            *((side, pa.float32()) for side in ("left", "top", "right", "bottom")),
            ("estimated", pa.bool_()),
            *((au, pa.float32()) for au in aus),
            *((f"{name}_text", pa.string()) for name in ((*aus, "face") if texts else ())),
        ]
    )


class JsonLinesOutput(Output):
    """One JSON object a face and line.

    Keys: source, frame (from 1), timestamp (seconds, null for images), face (0 is the largest of
    its picture), box ([left, top, right, bottom] in pixels, null where the whole picture is the
    face or none is known), estimated, aus (probabilities, 0 to 1), active (names), and where
    descriptions are written local (by action unit) and global.
    """

    def _open(self, temporary: Path) -> None:
        with writing(self.path):
            self._file = temporary.open("w", encoding="utf-8", newline="\n")
        self._stack.callback(self._file.close)

    def write(self, explanations: Sequence[Explanation]) -> None:
        lines = "".join(
            json.dumps(self._object(said), ensure_ascii=False, allow_nan=False) + "\n"
            for said in explanations
        )
        with writing(self.path):
            self._file.write(lines)

    def _object(self, said: Explanation) -> dict[str, Any]:
        value = {
            "source": _source(said.source),
            "frame": said.frame,
            "timestamp": said.timestamp,
            "face": said.index,
            "box": None if said.box is None else [round(float(at), 2) for at in said.box],
            "estimated": bool(said.estimated),
            "aus": {au: round(float(value), _DIGITS) for au, value in said.aus.items()},
            "active": list(said.active),
        }
        if self._texts:
            value |= {"local": said.local, "global": said.face}
        return value


class CsvOutput(Output):
    """One row a face, in the columns of OpenFace 2, separated by commas without blanks.

    Columns: frame (from 1), face_id (0 is the largest of its picture; faces are not followed from
    frame to frame), timestamp (seconds, empty for images), confidence, success, then presence 0 or
    1 (``AU01_c``) of every action unit, as OpenFace has it, and after these, which OpenFace has
    not, its probability 0 to 1 (``AU01_p``). Confidence is as success: 1 for a face, 0 for a
    picture without one, whose action units are 0. Of several files, a first column ``source``
    says which. Descriptions have no place here.
    """

    def _open(self, temporary: Path) -> None:
        with writing(self.path):
            file = temporary.open("w", encoding="utf-8", newline="")
        self._stack.callback(file.close)
        self._writer = csv.writer(file, lineterminator="\n")
        self._headed = False
        self._stack.push(self._finish)

    def _finish(self, error: type[BaseException] | None, *_: Any) -> None:
        if error is None:
            self._put([])

    def write(self, explanations: Sequence[Explanation]) -> None:
        self._put([self._row(said) for said in explanations])

    def skip(self, source: str, frame: int, timestamp: float | None, why: str) -> None:
        """Write a row without success for a picture of which nothing is said."""
        begin = self._begin(source, frame, 0, timestamp)
        self._put([[*begin, 0, 0, *[0] * (2 * len(self._aus))]])

    def _row(self, said: Explanation) -> list[Any]:
        present = [int(au in said.active) for au in self._aus]
        probable = [round(float(said.aus[au]), _DIGITS) for au in self._aus]
        begin = self._begin(said.source, said.frame, said.index, said.timestamp)
        return [*begin, 1, 1, *present, *probable]

    def _begin(self, source: str, frame: int, face: int, timestamp: float | None) -> list[Any]:
        time = "" if timestamp is None else f"{timestamp:.3f}"
        return [*([_source(source)] if self._several else []), frame, face, time]

    def _put(self, rows: list[list[Any]]) -> None:
        with writing(self.path):
            self._writer.writerows(rows if self._headed else [self._head(), *rows])
        self._headed = True

    def _head(self) -> list[str]:
        return [
            *(["source"] if self._several else []),
            *("frame", "face_id", "timestamp", "confidence", "success"),
            *(f"{au}_c" for au in self._aus),
            *(f"{au}_p" for au in self._aus),
        ]


_FORMS: dict[str, Callable[[Path, Sequence[str], bool, bool], Output]] = {
    ".parquet": ParquetOutput,
    ".jsonl": JsonLinesOutput,
    ".csv": CsvOutput,
}
