"""Recognises, by the names of columns, tables of action units (AUs) that other programs wrote.

OpenFace, py-feat, LibreFace, AUCanvas and OpenGraphAU, PyAFAR, iMotions, fauds itself, and people
who code faces by hand write AUs in tables whose columns have different names and scales.
`recognise` says what each column of a table holds; `fauds.datasets.code_rows` then reads the rows.
Columns are recognised by their names, never by their positions, and what a number means follows
from the name of its column, from the program, or from what the user says, never from the numbers.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError, UsageError
from fauds.facs import AUS
from fauds.registry import unknown_name_error
from fauds.tables.delimited import ColumnFile

Quantity = Literal["decision", "probability", "intensity", "evidence", "unnamed"]
"""What the numbers in a column say about an AU.

"decision": 0 or 1; "probability": 0 to 1; "intensity": 0 to 5, the FACS intensities, or a degree
A to E; "evidence": the decimal logarithm of the odds, as FACET writes it; "unnamed": the name of
the column does not say which.
"""

Scale = Literal["occurrence", "probability", "0-5", "0-1", "0-100"]
"""What the user can say about columns whose names do not state their scale.

"occurrence": 0 or 1; "probability": 0 to 1; "0-5", "0-1" and "0-100": intensities from nothing to
the maximum, E.
"""

SCALES: tuple[str, ...] = get_args(Scale)

Role = Literal[
    "subject",
    "clip",
    "frame",
    "time",
    "time_ms",
    "sex",
    "image",
    "key",
    "face",
    "success",
    "confidence",
    "codes",
    "au",
    "value",
    "side",
    "fold",
    "benchmark_version",
]
"""What a column can hold besides an AU of its own; see `CodeLayout.places`."""

ROLES: tuple[str, ...] = get_args(Role)

_NAMES: dict[Role, tuple[str, ...]] = {
    "subject": ("subject", "subject_id", "person", "participant", "participant_id"),
    "clip": ("task", "clip", "video", "session", "recording", "sequence", "trial", "source"),
    "frame": ("frame", "frame_idx", "frame_number", "frame_no", "frameno", "frame_index"),
    "time": ("time", "timestamp", "time_s", "seconds", "time_in_s", "timestamp_s"),
    "time_ms": ("time_ms", "timestamp_ms", "milliseconds", "time_in_ms", "frame_time_in_ms"),
    "sex": ("sex", "gender"),
    "image": ("image", "image_path", "path", "filename", "file", "file_name"),
    "key": ("key",),
    "face": ("face_id", "face", "person_id"),
    "success": ("success",),
    "confidence": ("confidence", "facescore"),
    "codes": ("facs", "facs_codes", "facs_code", "codes", "aus", "action_units", "au_codes"),
    "au": ("au", "action_unit"),
    "value": ("value", "intensity", "occurrence", "probability", "degree", "presence", "active"),
    "side": ("side",),
    "fold": ("fold",),
    "benchmark_version": ("benchmark_version",),
}
"""The usual names of the columns with each role, in lower case with underscores."""

_AU = re.compile(
    r"(?:(?P<before>occ|int)[ _.-])?au[ _.-]?(?P<side>[lr])?[ _.-]?0*(?P<number>\d{1,2})"
    r"(?:[ _.-](?P<after>[a-z]+))?",
    re.IGNORECASE,
)
_LIKE_AU = re.compile(r"au[ _.-]?\d(?!.*text)", re.IGNORECASE)
"""What names of columns look like that may be meant to hold an AU, but do not say it as usual."""

_BARE = re.compile(r"0*(?P<number>[1-9]\d?)")
_QUANTITIES: dict[str, Quantity] = {
    **dict.fromkeys(("c", "act", "active", "presence", "occurrence", "occ"), "decision"),
    **dict.fromkeys(("p", "prob", "probability"), "probability"),
    **dict.fromkeys(("r", "intensity", "int"), "intensity"),
    "evidence": "evidence",
}
_KNOWN_OTHERS = ("frame_id", "split", "approx_time", "weights")
"""Columns that are neither read nor worth a word."""

_SIDE_WORDS = {"l": "L", "left": "L", "right": "R"}


@dataclass(frozen=True)
class AuColumn:
    """A column with one number an AU.

    Attributes:
        name: the name of the column in the file.
        au: the name of the AU, such as AU12.
        quantity: what the numbers say.
        side: "L" or "R" if the column is about one side of the face, the person's; None for both.
    """

    name: str
    au: str
    quantity: Quantity
    side: str | None = None


@dataclass(frozen=True)
class CodeLayout:
    """What the columns of a table hold.

    Attributes:
        tool: the program that writes such tables, such as "OpenFace", or a kind of table, such as
            "a table of codes".
        columns: the columns of AUs that fauds knows; empty if AUs are in `places`.
        places: the name of the column with each other role. subject, clip and frame say what a row
            is about; time is in seconds and time_ms in milliseconds; image is the path of an image
            or video, key the unique id of an image; face numbers the faces of a frame; success and
            confidence are the program's own; codes holds FACS notation; au and value, and side, are
            those of a long table, which has one row an AU.
        sides: by AU, the name of the column with its side.
        first_frame: the number of a video's first frame, 0 or 1; None if the program does not say.
        sizes: the names of the columns from which the size of a face can be computed: its width and
            height, its four edges, or its 68 landmarks; empty if there are none.
        unknown_aus: the names of columns of AUs that fauds does not know.
        others: the names of columns that are not recognised.
        made_by: the benchmark's name and version that the metadata of a file of fauds names; None
            if it names none.
        weights: what the metadata of a file of fauds says about the weights that predicted it.
        images: whether the rows are faces of single images, not frames of videos.
    """

    tool: str
    columns: tuple[AuColumn, ...]
    places: Mapping[str, str]
    sides: Mapping[str, str] = field(default_factory=dict)
    first_frame: int | None = None
    sizes: tuple[str, ...] = ()
    unknown_aus: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    made_by: tuple[str, int] | None = None
    weights: str | None = None
    images: bool = False

    @property
    def aus(self) -> tuple[str, ...]:
        """The names of the AUs that have columns, in FACS order."""
        names = {column.au for column in self.columns}
        return tuple(au for au in AUS if au in names)

    def of(self, quantity: Quantity) -> dict[str, str]:
        """Return the name of the column of each AU with a quantity, both sides together."""
        return {
            column.au: column.name
            for column in self.columns
            if column.quantity == quantity and column.side is None
        }

    @property
    def is_facs(self) -> bool:
        """Whether the AUs are in a column of FACS notation."""
        return "codes" in self.places

    @property
    def is_long(self) -> bool:
        """Whether the table has one row an AU."""
        return "au" in self.places and not self.is_facs

    def described(self) -> str:
        """Return what was recognised in words: the program, what identifies rows, and the AUs."""
        shown = [f"{role} in {name!r}" for role, name in self.places.items() if role in _STATED]
        names: dict[str, list[str]] = {}
        for column in self.columns:
            words = _WORDS[column.quantity] if column.side is None else "sides"
            names.setdefault(words, []).append(column.au)
        counts = [
            f"{words} of {len(dict.fromkeys(aus))} AU{'s' * (len(set(aus)) > 1)}"
            for words, aus in names.items()
        ]
        if self.sides:
            counts.append(f"sides of {abbreviated([*self.sides], 4)}")
        unread = [name for name in self.others if _LIKE_AU.match(name)]
        unread += self.unknown_aus
        more = [f"not read: {abbreviated(unread, 4)}"] if unread else []
        more += [f"weights: {self.weights}"] if self.weights else []
        return f"{self.tool}: {', '.join([*shown, *counts, *more])}"


_STATED = ("subject", "clip", "frame", "time", "time_ms", "image", "key", "codes", "au", "value")
_WORDS: dict[Quantity, str] = {
    "decision": "decisions",
    "probability": "probabilities",
    "intensity": "intensities",
    "evidence": "evidence",
    "unnamed": "codes",
}


def recognise(
    file: ColumnFile,
    *,
    names: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> CodeLayout:
    """Return what the columns of a table hold.

    Args:
        file: the opened table.
        names: names of classes or AUs whose columns are recognised by exactly these names, before
            anything else; their numbers are probabilities.
        columns: the names of columns with roles (see `Role`), which the user states.

    Raises:
        UsageError: `columns` has an unknown role, or a column that the file lacks.
        DataError: two columns hold the same, or no column holds AUs. The message says what to do.
    """
    _check_columns(file, columns or {})
    made_by, weights = _metadata(file)
    by_name = {_plain(name): name for name in reversed(file.header)}
    tool, images = _tool(file, by_name)
    places = _places(by_name, tool, columns or {})
    aus, sides, unknown, others = _au_columns(file, names, {*places.values()}, tool)
    layout = CodeLayout(
        tool=tool,
        columns=aus,
        places=places if aus else _code_places(places),
        sides=sides,
        first_frame=_FIRST_FRAMES.get(tool),
        sizes=_sizes(by_name),
        unknown_aus=tuple(unknown),
        others=tuple(others),
        made_by=made_by,
        weights=weights,
        images=images,
    )
    if not aus:
        return _without_au_columns(file, layout)
    # A column of notation beside columns of AUs would say the same twice.
    kept = {role: name for role, name in layout.places.items() if role not in _CODE_ROLES}
    return replace(layout, places=kept)


_CODE_ROLES = ("codes", "au", "value", "side")
_FIRST_FRAMES = {
    "OpenFace": 1,
    "fauds explain": 1,
    "py-feat": 0,
    "LibreFace": 0,
    "AUCanvas or OpenGraphAU": 0,
    "iMotions": 0,
}
TABLE = "a table of codes"
LONG_TABLE = "a long table, one row an AU"
FACS_TABLE = "a table in FACS notation"
"""`CodeLayout.tool` of a table that no known program wrote: with columns of AUs, or without."""


def _plain(name: str) -> str:
    """Return a column's name in lower case, with underscores in place of blanks."""
    return re.sub(r"[\s-]+", "_", name.strip()).casefold()


def _check_columns(file: ColumnFile, columns: Mapping[str, str]) -> None:
    for role, name in columns.items():
        if role not in ROLES:
            raise unknown_name_error("role of a column", role, list(ROLES))
        if name not in file.header:
            raise UsageError(
                f"The table has no column {name!r} for {role}.",
                where=file.path,
                hint=f"its columns are {abbreviated([*file.header], 12)}",
            )


def _metadata(file: ColumnFile) -> tuple[tuple[str, int] | None, str | None]:
    """Return what the metadata of a Parquet file of fauds says about its benchmark and weights."""
    if b"fauds" not in file.metadata:
        return None, None
    try:
        settings: dict[str, Any] = json.loads(file.metadata[b"fauds"])["settings"]
        weights = settings.get("weights")
        benchmark = settings.get("benchmark")
        version = settings.get("benchmark_version")
        made_by = None if benchmark is None else (str(benchmark), int(str(version)))
        return made_by, None if weights is None else str(weights)
    except (ValueError, LookupError, TypeError, AttributeError):
        # The metadata is of another program, or of a table of fauds that has no benchmark.
        return None, None


def _tool(file: ColumnFile, names: Mapping[str, str]) -> tuple[str, bool]:
    """Return the program that writes tables with these columns, and whether of single images.

    Args:
        file: the opened table.
        names: the columns' names by their plain forms.
    """
    kinds = {match["after"].casefold() for match in _matches(file) if match["after"]}
    before = {match["before"].casefold() for match in _matches(file) if match["before"]}
    has_aus = any(True for _ in _matches(file))
    if {"subject", "frame"} <= names.keys() or ("key" in names and "frame" not in names):
        return TABLE, False
    if {"estimated", "detector"} <= names.keys() or ("success" in names and {"c", "p"} <= kinds):
        return "fauds explain", False
    if "facerectx" in names or ("input" in names and has_aus):
        return "py-feat", "frame" not in names and "approx_time" not in names
    if "stimulusname" in names or "evidence" in kinds:
        return "iMotions", False
    if "success" in names and "frame" in names:
        return "OpenFace", False
    if {"face", "confidence"} <= names.keys() and {"r", "c"} & kinds:
        return "OpenFace", True
    if before:
        return "PyAFAR", False
    if {"prob", "act"} <= kinds:
        return "AUCanvas or OpenGraphAU", False
    if "frame_idx" in names and has_aus:
        return "LibreFace", False
    return TABLE, False


def _matches(file: ColumnFile) -> list[re.Match[str]]:
    matches = (_AU.fullmatch(name.strip()) for name in file.header)
    return [match for match in matches if match is not None]


def _places(names: Mapping[str, str], tool: str, columns: Mapping[str, str]) -> dict[str, str]:
    """Return the name of the column with each role that is not an AU's own."""
    places: dict[str, str] = {}
    for role, usual in _NAMES.items():
        first = next((names[name] for name in usual if name in names), None)
        if first is not None:
            places[role] = first
    if tool == "py-feat":
        # py-feat's "input" is the path of an image or a video.
        places.pop("image", None)
        _add(places, names, image="input", face="identity")
    elif tool == "iMotions":
        _add(places, names, subject="name", clip="stimulusname", frame="frameno")
        if "time" in places:
            places["time_ms"] = places.pop("time")
    elif "input" in names and "image" not in places and tool == TABLE:
        places["image"] = names["input"]
    if "time" in places and "time_ms" in places:
        del places["time_ms"]
    for stated, name in columns.items():
        places = {other: used for other, used in places.items() if used != name}
        places[stated] = name
    return places


def _add(places: dict[str, str], names: Mapping[str, str], **roles: str) -> None:
    for role, name in roles.items():
        if name in names:
            places[role] = names[name]


def _sizes(names: Mapping[str, str]) -> tuple[str, ...]:
    for sides in (("facerectwidth", "facerectheight"), ("facerect_width", "facerect_height")):
        if {*sides} <= names.keys():
            return tuple(names[side] for side in sides)
    landmarks = [f"{axis}_{point}" for axis in "xy" for point in range(68)]
    for columns in (["left", "top", "right", "bottom"], landmarks):
        if {*columns} <= names.keys():
            return tuple(names[name] for name in columns)
    return ()


def _au_columns(
    file: ColumnFile, targets: Sequence[str], taken: set[str], tool: str
) -> tuple[tuple[AuColumn, ...], dict[str, str], list[str], list[str]]:
    """Return the columns of AUs, of sides by AU, of unknown AUs, and all other columns."""
    columns: list[AuColumn] = []
    sides: dict[str, str] = {}
    unknown: list[str] = []
    others: list[str] = []
    # Numbers alone name AUs only where other columns have names.
    bare_aus = bool(taken) and not _are_counted(file.header)
    for name in file.header:
        if name in targets and name not in AUS:
            columns.append(AuColumn(name, name, "probability"))
            continue
        if name in taken:
            continue
        if _plain(name) in _KNOWN_OTHERS or name.startswith(" "):
            continue
        bare = _BARE.fullmatch(name.strip()) if bare_aus else None
        match = _AU.fullmatch(name.strip()) or bare
        groups = match.groupdict() if match else {}
        after = (groups.get("after") or "").casefold()
        known = after in ("", "side", "text", *_QUANTITIES, *_SIDE_WORDS)
        if match is None or not known or after == "text":
            others.append(name)
            continue
        au = f"AU{int(groups['number']):02d}"
        if au not in AUS:
            unknown.append(name)
        elif after == "side":
            sides[au] = name
        else:
            columns.append(_column(name, au, groups, after, tool))
    _check_once(file, columns)
    return tuple(columns), sides, unknown, others


def _are_counted(header: Sequence[str]) -> bool:
    """Return whether columns are numbered 0, 1, 2, ... or 1, 2, 3, ..., and do not name AUs.

    There is no AU 3. BP4D has a column for each number up to 99, which do name AUs.
    """
    numbers = sorted(int(name) for name in header if name.isdecimal())
    return 2 < len(numbers) < 50 and numbers in (
        [*range(len(numbers))],
        [*range(1, len(numbers) + 1)],
    )


def _column(
    name: str, au: str, groups: Mapping[str, str | None], after: str, tool: str
) -> AuColumn:
    before = (groups.get("before") or "").casefold()
    side = (groups.get("side") or "").upper() or _SIDE_WORDS.get(after)
    if before:
        quantity: Quantity = "probability" if before == "occ" else "intensity"
    elif after in _QUANTITIES:
        quantity = _QUANTITIES[after]
    else:
        quantity = _OF_TOOLS.get(tool, "unnamed")
    return AuColumn(name, au, quantity, side)


_OF_TOOLS: dict[str, Quantity] = {
    "py-feat": "probability",
    "fauds explain": "probability",
    "LibreFace": "decision",
    "AUCanvas or OpenGraphAU": "probability",
}
"""What columns such as AU01 hold in the tables of programs that document it."""


def _check_once(file: ColumnFile, columns: Sequence[AuColumn]) -> None:
    first: dict[tuple[str, Quantity, str | None], str] = {}
    for column in columns:
        # Columns without a scale and columns of decisions both say whether an AU occurs.
        quantity = "decision" if column.quantity == "unnamed" else column.quantity
        place = (column.au, quantity, column.side)
        if place in first:
            raise DataError(
                f"The columns {first[place]} and {column.name} both hold {column.au}.",
                where=f"{file.path}:{file.form.head + 1}",
                hint="remove or rename one of the two columns",
            )
        first[place] = column.name


def _code_places(places: Mapping[str, str]) -> dict[str, str]:
    """Return the places of a table whose AUs are in one column: notation, or one row an AU."""
    places = dict(places)
    if "codes" in places:
        return {role: name for role, name in places.items() if role not in ("au", "value", "side")}
    if "au" in places and "value" not in places and "side" not in places:
        places["codes"] = places.pop("au")
    return places


def _without_au_columns(file: ColumnFile, layout: CodeLayout) -> CodeLayout:
    """Return the layout of a table in FACS notation or of a long table, or raise an error."""
    if layout.is_facs:
        return replace(layout, tool=FACS_TABLE)
    if layout.is_long:
        return replace(layout, tool=LONG_TABLE)
    shown = abbreviated([name for name in file.header if not name.startswith(" ")], 12)
    if layout.tool == "OpenFace" or "pose_rx" in map(str.casefold, file.header):
        hint = "run OpenFace again with the option -aus"
    elif layout.unknown_aus:
        hint = f"fauds knows {AUS[0]} to {AUS[-1]}; rename the columns"
    elif all(re.fullmatch(r"[\d.eE+-]+", name.strip()) for name in file.header):
        hint = (
            "the first line holds numbers, not names: write a first line that names every column, "
            "such as frame,AU01,AU02,..., in the order that the program documents"
        )
    elif len(file.header) == 1 and re.search(r"\s", file.header[0]):
        hint = "put commas, semicolons or tabs between the columns, not blanks"
    elif _are_counted(file.header):
        hint = (
            "columns numbered 0, 1, 2, ... do not say which AUs they hold: name them "
            "AU01, AU02, ..., in the order that the program documents"
        )
    else:
        hint = (
            "name each column after its AU, such as AU12 or AU12_intensity; if the program writes "
            "AUs without names (OpenFace 3) or only features such as Smile (AFFDEX), take the "
            "order or the translation from its documentation; or name the column of FACS notation "
            "'codes'"
        )
    raise DataError(
        f"No column holds action units. The columns are: {shown}.",
        where=file.path,
        hint=hint,
    )
