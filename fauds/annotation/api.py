"""``fauds.events``, and ``fauds.describe`` for tables: action units of clips as DataFrames."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from fauds.annotation.clips import ClipReader, ReadingOptions, read_clips
from fauds.annotation.event_tables import EVENTS_SCHEMA, EventsOfClips, event_rows
from fauds.annotation.events import By, EventSettings
from fauds.annotation.frames import FrameDescriber, FrameRule
from fauds.annotation.wording import Wording
from fauds.captions import Description, describe_codes, load
from fauds.datasets.codes import Scale
from fauds.facs import AUS, FacsCode, au_name, format_codes

if TYPE_CHECKING:
    import pandas as pd


def reading_options(
    *,
    columns: Mapping[str, str] | None = None,
    scale: Scale | None = None,
    min_confidence: float | None = None,
    face: str | None = None,
    fps: float | None = None,
    aus: Sequence[int | str] | None = None,
    sex: Literal["F", "M"] | None = None,
) -> ReadingOptions:
    """Return the options with which a table is read; see `ReadingOptions`."""
    return ReadingOptions(
        columns=columns or {},
        scale=scale,
        min_confidence=min_confidence,
        face=face,
        fps=fps,
        aus=None if aus is None else tuple(au_name(au) for au in aus),
        sex=sex,
    )


@contextmanager
def _opened(
    table: "pd.DataFrame | Path | str", options: ReadingOptions, say: Callable[[str], None]
) -> Iterator[ClipReader]:
    if isinstance(table, Path | str):
        yield read_clips([Path(table).expanduser()], options, say)
        return
    # A table in memory is read by the code that reads files, so that both follow the same rules.
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        table.rename(columns=str).to_parquet(path, index=False)
        yield read_clips([path], options, say)


def describe_table(
    table: "pd.DataFrame | Path | str",
    options: ReadingOptions,
    *,
    by: By | None = None,
    threshold: float | None = None,
    language: str = "en",
    degrees: bool = False,
    templates: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> "pd.DataFrame":
    """Return a description of every frame of a table; see `fauds.describe`."""
    with _opened(table, options, say) as reader:
        wording = Wording(language, degrees, templates)
        describer = FrameDescriber(reader, wording, FrameRule(by, threshold), codes=True)
        parts = [describer.table(part) for part in reader.parts()]
    return _as_pandas(parts, describer.schema)


def find_events(
    table: "pd.DataFrame | Path | str",
    options: ReadingOptions,
    settings: EventSettings,
    *,
    language: str = "en",
    degrees: bool = False,
    templates: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> "pd.DataFrame":
    """Return the events of the clips of a table; see `fauds.events`."""
    with _opened(table, options, say) as reader:
        wording = Wording(language, degrees, templates)
        clips = EventsOfClips(reader, settings)
        parts = [rows for clip in clips for rows in event_rows(clip, wording, settings)]
    return _as_pandas(parts, EVENTS_SCHEMA)


def describe_notation(
    codes: Mapping[str, FacsCode | int | str | None],
    sex: str | None,
    language: str,
    variant: int,
    templates: Path | None,
    style: str | None,
) -> Description:
    """Return the descriptions of one face from FACS codes, with the sides that they state.

    Codes that fauds does not count, such as those of the head, are left out. The arguments are
    those of `fauds.describe`.
    """
    plain: dict[int | str, int | str | None] = {
        name: code.code if isinstance(code, FacsCode) else code
        for name, code in codes.items()
        if not isinstance(code, FacsCode) or name in AUS
    }
    described = describe_codes(
        plain, sex, language, variant=variant, templates=templates, style=style
    )
    sides = {
        name: code.side
        for name, code in codes.items()
        if isinstance(code, FacsCode) and code.side and name in described.active
    }
    if not sides:
        return described
    wording = Wording(language, degrees=True, templates=templates, variant=variant)
    local = {
        au: wording.on_side(text, sides[au], sex) if au in sides else text
        for au, text in described.local.items()
    }
    degrees = {au_name(name): code for name, code in plain.items() if isinstance(code, str)}
    face = wording.face(described.active, sex, sides, degrees)
    sentence = wording.face(described.active, sex, sides, degrees, single=True)
    counted = {name: code for name, code in codes.items() if name in described.active}
    lines = described.report.splitlines()
    if lines:
        opening, closing = load(language, templates).face_file.report["code"]
        lines[0] = face
        for at, au in enumerate(described.active, 1):
            lines[at] = f"{local[au]}{opening}{format_codes({au: counted[au]})}{closing}"
    return replace(
        described,
        face=face,
        local=local,
        facs=format_codes(counted),
        sentence=sentence,
        report="\n".join(lines),
    )


def _as_pandas(parts: Sequence[pa.Table], schema: pa.Schema) -> "pd.DataFrame":
    plain = pa.schema(
        (field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for field in schema
    )
    joined = pa.concat_tables([part.cast(plain) for part in parts] or [plain.empty_table()])
    frame: pd.DataFrame = joined.to_pandas(integer_object_nulls=False)
    return frame
