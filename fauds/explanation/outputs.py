"""Writes explanations as Parquet, JSON Lines, CSV with the columns of OpenFace, or subtitles.

An explanation is the model's output for one face. Faces are written one by one, in bounded memory.
The file has a temporary name until it is complete; if writing is interrupted, the faces written so
far are kept in a file with the suffix ``.part``. Every file names the weights of the model.
"""

import csv
import json
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pyarrow as pa

from fauds.annotation.clips import ReadingOptions, read_clips
from fauds.annotation.describing import CLIP_FORMATS, Describing, describe_clips
from fauds.annotation.events import EventSettings
from fauds.errors import UsageError
from fauds.explanation.explained import Explanation, MediaFrame
from fauds.tables.atomic import atomic_keeping_partial, write_errors
from fauds.tables.part_writer import TableWriter
from fauds.tables.store import SCHEMA_VERSION
from fauds.version import VERSION

OUTPUT_ROW_GROUP = 10_000
_BUFFERED_ROWS = 1_000
_DIGITS = 6
_SUPPORT_DIGITS = 2
_SIDES = ("left", "top", "right", "bottom")
_NO_BOX = ("",) * len(_SIDES)
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def open_output(
    path: Path,
    aus: Sequence[str],
    texts: Sequence[str] = (),
    *,
    several: bool = False,
    weights: str = "",
) -> "Output | ClipOutput":
    """Open a file for explanations, in the format of its suffix.

    Args:
        path: a file that ends in ``.parquet``, ``.jsonl`` or ``.csv``, or in ``.srt``, ``.vtt``,
            ``.eaf`` or ``.TextGrid`` for the events of a video; its folder is created if necessary.
        aus: the model's action units, in the model's order.
        texts: what has descriptions, which the file then contains: names of action units, and
            "face" for the whole face; see `Weights.texts`.
        several: whether the frames are from more than one file; if so, CSV files have a column
            ``source``.
        weights: the model's weights in words.

    Raises:
        UsageError: the path ends in another suffix; or the frames are from several files, and the
            name of a file that holds the events of one video has no ``{clip}`` in it.
        DataError: the file cannot be created.
    """
    suffix = path.suffix.lower()
    if suffix in CLIP_FORMATS:
        if several and "{clip}" not in path.name:
            raise UsageError(
                f"There are several files, but a {path.suffix} file holds one video's events.",
                where=path,
                hint=f"put {{clip}} into the name: --out '{{clip}}{path.suffix}'",
            )
        return ClipOutput(path, aus, weights)
    if suffix not in _FORMATS:
        raise UsageError(
            f"The suffix of {path.name} is not that of an output format.",
            where=path,
            hint=f"give a file that ends in one of {', '.join([*_FORMATS, *CLIP_FORMATS])}",
        )
    return _FORMATS[suffix](path, aus, texts, several, weights)


class Output:
    """A file that explanations are written to; use as a context manager, or call `close`.

    If the context ends with an error or Ctrl-C, the faces written so far are kept in a file with
    the suffix ``.part``. If `close` is never called, no file is left. For the arguments see
    `open_output`.
    """

    def __init__(
        self,
        path: Path,
        aus: Sequence[str],
        texts: Sequence[str],
        several: bool,
        weights: str = "",
    ) -> None:
        self.path = path
        self._weights = weights
        self._aus = tuple(aus)
        self._texts = tuple(texts)
        self._several = several
        self._stack = ExitStack()
        self._open(self._stack.enter_context(atomic_keeping_partial(path)))

    def _open(self, temporary: Path) -> None:
        """Open the temporary file, and add a callback that closes it to `self._stack`."""
        raise NotImplementedError

    def write(self, explanations: Sequence[Explanation]) -> None:
        """Write explanations, in the given order."""
        raise NotImplementedError

    def skip(self, frame: MediaFrame, why: str) -> None:
        """Record a frame that has no explanations, if the format can represent such a frame.

        Formats with one entry for each face ignore the call. For the arguments see
        `fauds.explanation.explained.ExplanationWriter.skip`.
        """

    def close(self) -> None:
        """Finish the file and rename it to its final name."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def _source(name: str) -> str:
    """Return a file's name as one line of valid UTF-8.

    Line breaks and other unprintable characters become escapes such as ``\\n`` or ``\\udce9``.
    """
    return _UNWRITABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), name)


class ParquetOutput(Output):
    """A Parquet file with one row for each face.

    Columns: source string, frame int32 (from 1), timestamp float64 (presentation time in seconds,
    null for images), timing string ("stored in the video" or "constant rate assumed", null for
    images), face int32 (the number of the person, see `fauds.explanation.explained`), left, top,
    right, bottom float32 (pixels, null if the whole image is the face or no box is known),
    estimated bool (whether the positions of the eyes were estimated from the box), detector string
    (the name and version of the detector that found the face, null if the whole image is the
    face), and a float32 column for each action unit (probability, 0 to 1). If the model generates
    descriptions, a text column for each action unit (``AU01_text``) and ``face_text`` follow. The
    last column, weights, names the model's weights, and so do the metadata.
    """

    def _open(self, temporary: Path) -> None:
        self._schema = _schema(self._aus, self._texts)
        self._rows: list[dict[str, Any]] = []
        self._table = TableWriter(self.path, temporary, self._schema, OUTPUT_ROW_GROUP)
        self._has_rows = False
        self._stack.push(self._finish)

    def write(self, explanations: Sequence[Explanation]) -> None:
        self._has_rows = True
        self._rows += [self._row(explanation) for explanation in explanations]
        if len(self._rows) >= _BUFFERED_ROWS:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._table.write(pa.Table.from_pylist(rows, self._schema))

    def _finish(self, error: type[BaseException] | None, *_: Any) -> None:
        # A Parquet file is readable only with its footer, also if writing was interrupted.
        if error and not self._has_rows:
            return
        self._flush()
        settings = {"aus": self._aus, "texts": bool(self._texts), "weights": self._weights}
        meta = {"schema": SCHEMA_VERSION, "fauds": VERSION, "settings": settings}
        with write_errors(self.path):
            self._table.finish({b"fauds": json.dumps(meta, sort_keys=True).encode()})

    def _row(self, explanation: Explanation) -> dict[str, Any]:
        row = {
            "source": _source(explanation.source),
            "frame": explanation.frame,
            "timestamp": explanation.timestamp,
            "timing": explanation.timing,
            "face": explanation.index,
            "estimated": explanation.estimated,
            "detector": explanation.detector,
            **dict(zip(_SIDES, explanation.box or (), strict=False)),
            **explanation.aus,
        }
        row |= {f"{name}_text": _text(explanation, name) for name in self._texts}
        return row | {"weights": self._weights}


def _text(explanation: Explanation, name: str) -> str:
    """Return the description of an action unit, or of the whole face if the name is "face"."""
    return explanation.face if name == "face" else explanation.local.get(name, "")


def _schema(aus: Sequence[str], texts: Sequence[str]) -> pa.Schema:
    return pa.schema(
        [
            ("source", pa.string()),
            ("frame", pa.int32()),
            ("timestamp", pa.float64()),
            ("timing", pa.string()),
            ("face", pa.int32()),
            *((side, pa.float32()) for side in _SIDES),
            ("estimated", pa.bool_()),
            ("detector", pa.string()),
            *((au, pa.float32()) for au in aus),
            *((f"{name}_text", pa.string()) for name in texts),
            ("weights", pa.string()),
        ]
    )


class JsonLinesOutput(Output):
    """A JSON Lines file with one object for each face.

    Keys: source, frame (from 1), timestamp (presentation time in seconds, null for images), timing
    ("stored in the video" or "constant rate assumed", null for images), face (the number of the
    person), box ([left, top, right, bottom] in pixels, null if the whole image is the face or
    no box is known), estimated (whether the positions of the eyes were estimated from the box),
    detector (the name and version of the detector that found the face, null if the whole image is
    the face), aus (by action unit, the probability, 0 to 1), active (the names of active action
    units), if the model generates descriptions, local (by action unit) and global (for the whole
    face), if the descriptions are consistent, support (by action unit, in nats, see
    `fauds.explanation.explained.Explanation`), and weights (the model's weights in words).
    """

    def _open(self, temporary: Path) -> None:
        with write_errors(self.path):
            self._file = temporary.open("w", encoding="utf-8", newline="\n")
        self._stack.callback(self._file.close)

    def write(self, explanations: Sequence[Explanation]) -> None:
        lines = "".join(
            json.dumps(self._object(explanation), ensure_ascii=False, allow_nan=False) + "\n"
            for explanation in explanations
        )
        with write_errors(self.path):
            self._file.write(lines)

    def _object(self, explanation: Explanation) -> dict[str, Any]:
        value = {
            "source": _source(explanation.source),
            "frame": explanation.frame,
            "timestamp": explanation.timestamp,
            "timing": explanation.timing,
            "face": explanation.index,
            "box": None
            if explanation.box is None
            else [round(float(at), 2) for at in explanation.box],
            "estimated": bool(explanation.estimated),
            "detector": explanation.detector,
            "aus": {au: round(float(value), _DIGITS) for au, value in explanation.aus.items()},
            "active": list(explanation.active),
        }
        if self._texts:
            value |= {"local": explanation.local, "global": explanation.face}
        if explanation.support:
            value["support"] = {
                au: round(nats, _SUPPORT_DIGITS) for au, nats in explanation.support.items()
            }
        return value | {"weights": self._weights}


class CsvOutput(Output):
    """A CSV file with one row for each face and the columns of OpenFace 2, without blanks.

    Columns: frame (from 1), face_id (the number of the person, which is the same in all frames of a
    video), timestamp (presentation time in seconds, empty for images), confidence, success, and, as
    in OpenFace, the presence of every action unit, 0 or 1 (``AU01_c``). Columns that OpenFace does
    not have follow: the probability of every action unit, 0 to 1 (``AU01_p``), timing ("stored in
    the video" or "constant rate assumed", empty for images), the box of the face, left, top, right
    and bottom (pixels, empty if unknown), if the model generates descriptions those of every action
    unit (``AU01_text``) and of the face (``face_text``), and the model's weights in words
    (``weights``). Confidence equals success: 1 for a face, 0 for a frame without a face, whose
    action units are 0 and whose descriptions are empty. If the frames are from several files, the
    first column is ``source``.
    """

    def _open(self, temporary: Path) -> None:
        with write_errors(self.path):
            file = temporary.open("w", encoding="utf-8", newline="")
        self._stack.callback(file.close)
        self._writer = csv.writer(file, lineterminator="\n")
        self._has_header = False
        self._stack.push(self._finish)

    def _finish(self, error: type[BaseException] | None, *_: Any) -> None:
        if error is None:
            self._flush([])

    def write(self, explanations: Sequence[Explanation]) -> None:
        self._flush([self._row(explanation) for explanation in explanations])

    def skip(self, frame: MediaFrame, why: str) -> None:
        """Write a row in which success is 0, for a frame without explanations."""
        key_cells = self._key_cells(frame.source, frame.number, 0, frame.timestamp)
        absent = [0] * (2 * len(self._aus))
        rest = [frame.timing or "", *_NO_BOX, *("" for _ in self._texts), self._weights]
        self._flush([[*key_cells, 0, 0, *absent, *rest]])

    def _row(self, explanation: Explanation) -> list[Any]:
        present = [int(au in explanation.active) for au in self._aus]
        probabilities = [round(float(explanation.aus[au]), _DIGITS) for au in self._aus]
        key_cells = self._key_cells(
            explanation.source, explanation.frame, explanation.index, explanation.timestamp
        )
        box = [f"{edge:.1f}" for edge in explanation.box] if explanation.box else _NO_BOX
        texts = [_text(explanation, name) for name in self._texts]
        rest = [explanation.timing or "", *box, *texts, self._weights]
        return [*key_cells, 1, 1, *present, *probabilities, *rest]

    def _key_cells(self, source: str, frame: int, face: int, timestamp: float | None) -> list[Any]:
        time = "" if timestamp is None else f"{timestamp:.3f}"
        return [*([_source(source)] if self._several else []), frame, face, time]

    def _flush(self, rows: list[list[Any]]) -> None:
        with write_errors(self.path):
            self._writer.writerows(rows if self._has_header else [self._header(), *rows])
        self._has_header = True

    def _header(self) -> list[str]:
        return [
            *(["source"] if self._several else []),
            *("frame", "face_id", "timestamp", "confidence", "success"),
            *(f"{au}_c" for au in self._aus),
            *(f"{au}_p" for au in self._aus),
            "timing",
            *_SIDES,
            *(f"{name}_text" for name in self._texts),
            "weights",
        ]


class ClipOutput:
    """Subtitles, or an ELAN or Praat file, with the events of the largest face of each video.

    The events are those of `fauds.annotation`, by the decisions of the model, and their texts are
    those of the templates. The files are written when this is closed. For the arguments see
    `open_output`.
    """

    def __init__(self, path: Path, aus: Sequence[str], weights: str) -> None:
        self.path = path
        self._weights = weights
        self._folder = TemporaryDirectory()
        self._table = Path(self._folder.name) / "explained.csv"
        self._rows = CsvOutput(self._table, aus, (), several=True)

    def write(self, explanations: Sequence[Explanation]) -> None:
        """Write explanations, in the given order."""
        self._rows.write(explanations)

    def skip(self, frame: MediaFrame, why: str) -> None:
        """Record a frame that has no explanations."""
        self._rows.skip(frame, why)

    def close(self) -> None:
        """Find the events and write the files."""
        self._rows.close()
        reader = read_clips([self._table], ReadingOptions(face="largest"))
        describing = Describing("events", events=EventSettings(by="decision"), note=self._weights)
        describe_clips(reader, describing, self.path, lambda line: None, lambda line: None)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: Any) -> None:
        if error is None:
            self.close()
            return
        self._rows.close()
        self._folder.cleanup()


_FORMATS: dict[str, Callable[[Path, Sequence[str], Sequence[str], bool, str], Output]] = {
    ".parquet": ParquetOutput,
    ".jsonl": JsonLinesOutput,
    ".csv": CsvOutput,
}
