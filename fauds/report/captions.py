"""What ``fauds captions`` prints about an action unit, a frame, and a dataset's captions."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fauds.captions.statistics import Lengths, Scope, Statistics
from fauds.captions.summaries import AuSheet, FrameSheet
from fauds.facs import INTENSITIES
from fauds.report.formatting import new_console, new_table

DEGREES = dict(zip(INTENSITIES, ("trace", "slight", "marked", "extreme", "maximum"), strict=True))
"""The names of the FACS intensities A to E."""

_COMBINATIONS = 5
_MOST, _LEAST = 10, 5


def state_label(state: str) -> str:
    """Return the state of an action unit in words: ``inactive``, ``active`` or ``A trace``.

    Args:
        state: "inactive", "active" or an intensity, A to E.
    """
    return f"{state} {DEGREES[state]}" if state in DEGREES else state


def label(occurs: bool | None, intensity: int | None) -> str:
    """Return the label of an action unit in words, such as ``active, B`` or ``not coded``.

    Args:
        occurs: whether the action unit is active; None if it is not coded.
        intensity: the FACS intensity from 1 (A) to 5 (E); None or 0 if the label has no intensity.
    """
    if occurs is None:
        return "not coded"
    state = "active" if occurs else "inactive"
    return state if not intensity else f"{state}, {INTENSITIES[intensity - 1]}"


def show_au(sheet: AuSheet, *, every: bool = False, console: Console | None = None) -> None:
    """Print the FACS facts about an action unit and its descriptions.

    Args:
        sheet: the facts and descriptions of the action unit.
        every: print all paraphrases of a description; by default only the first.
        console: the console to print to; stdout by default.
    """
    console = console or new_console()
    facts = sheet.facts
    console.print(f"{sheet.au}  {facts['name']}", soft_wrap=True)
    _entries(
        console,
        [
            ("muscles", ", ".join(facts["muscles"])),
            ("region", facts["region"]),
            *_more("seen", (f"{part}: {change}" for part, change in facts["changes"].items())),
            ("grows", facts["grows"]),
            *_more(
                "look-alikes",
                (f"{au}: {difference}" for au, difference in facts["confused_with"].items()),
            ),
        ],
    )
    console.print()
    shown = [(state, texts if every else texts[:1]) for state, texts in sheet.texts.items()]
    _entries(console, [row for state, texts in shown for row in _more(state_label(state), texts)])
    console.print()
    _entries(console, [("alone", sheet.face)])


def show_frame(sheet: FrameSheet, *, chosen: bool = False, console: Console | None = None) -> None:
    """Print the labels and descriptions of one frame.

    Args:
        sheet: the labels and descriptions of the frame.
        chosen: whether fauds chose the frame; if so, the output says by which rule.
        console: the console to print to; stdout by default.
    """
    console = console or new_console()
    why = " (the first with something active)" if chosen else ""
    synthetic = ", synthetic" if sheet.synthetic else ""
    console.print(f"{sheet.key} of {sheet.dataset}{synthetic}{why}", soft_wrap=True)
    face = sheet.face or "(an action unit is not coded)"
    _entries(
        console,
        [("sex", sheet.sex or "not known"), ("image", image_words(sheet)), ("face", face)],
    )
    console.print()
    rows = [(f"{au.au} {label(au.occurs, au.intensity)}", au.text or "-") for au in sheet.aus]
    _entries(console, rows)


def image_words(sheet: FrameSheet) -> str:
    """Return the path of a frame's image as text, or a text that says why there is no image."""
    if sheet.image is None:
        return "none was found for this frame"
    return str(sheet.image) if sheet.image.is_file() else f"{sheet.image} (no longer exists)"


def _more(name: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return table rows (name, text), one per text; the name stands in the first row only."""
    return [("" if at else name, text) for at, text in enumerate(texts)]


def _entries(console: Console, rows: list[tuple[str, str]]) -> None:
    """Print names and texts in two columns; if the output is no terminal, texts are not wrapped."""
    left = max(len(name) for name, _ in rows) + 4
    for name, text in rows:
        lines = [Text(text)]
        if console.is_terminal:
            lines = list(Text(text).wrap(console, console.width - left))
        for at, line in enumerate(lines):
            before = f"  {'' if at else name}".ljust(left)
            console.print(Text(before) + line, soft_wrap=True)


def show_statistics(statistics: Statistics, console: Console | None = None) -> None:
    """Print tables about a dataset's captions: AUs, lengths, words, and combinations of active AUs.

    Args:
        statistics: the statistics of the captions.
        console: the console to print to; stdout by default.
    """
    console = console or new_console()
    synthetic = ", synthetic" if statistics.synthetic else ""
    settings = statistics.settings
    console.print(
        f"{statistics.dataset}: {statistics.frames:,} frames of {statistics.subjects} "
        f"subjects{synthetic}; descriptions in {settings['language']}"
        + (", with degrees" if settings["degrees"] else "")
        + (f", {settings['variants']} paraphrases" if settings["variants"] > 1 else ""),
        soft_wrap=True,
    )
    console.print(_au_table(statistics))
    console.print(_scope_table(statistics))
    console.print("lengths: least / median / mean / most; a word is any token but punctuation\n")
    _words(console, statistics)
    console.print(_at_once_table(statistics))
    _combinations(console, statistics)


def _au_table(statistics: Statistics) -> Table:
    degrees = INTENSITIES if statistics.settings["degrees"] else ""
    table = new_table("AU", "coded", "active", "%", *degrees)
    for au in statistics.aus:
        share = _percent(au.active, au.coded)
        graded = any(letter in au.states and au.states[letter] for letter in degrees)
        counts = [f"{au.states[letter]:,}" if graded else "-" for letter in degrees]
        table.add_row(au.au, f"{au.coded:,}", f"{au.active:,}", share, *counts)
    return table


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"


def _scope_table(statistics: Statistics) -> Table:
    table = new_table("descriptions", "local", "global")
    scopes = (statistics.local, statistics.face)
    rows: list[tuple[str, list[str]]] = [
        ("said of frames", [f"{scope.count:,}" for scope in scopes]),
        ("distinct, said of frames", [f"{scope.used:,}" for scope in scopes]),
        ("distinct, there are", [f"{scope.phrases:,}" for scope in scopes]),
    ]
    if statistics.settings["variants"] > 1:
        for at in range(statistics.settings["variants"]):
            rows.append((f"  of paraphrase {at + 1}", [_at(scope, at) for scope in scopes]))
    for name, lengths in (
        ("tokens, over frames", [scope.tokens for scope in scopes]),
        ("words, over frames", [scope.words for scope in scopes]),
        ("tokens, over distinct", [scope.distinct_tokens for scope in scopes]),
        ("words, over distinct", [scope.distinct_words for scope in scopes]),
    ):
        rows.append((name, list(map(_length, lengths))))
    rows.append(("vocabulary, with 4 specials", [f"{scope.vocabulary:,}" for scope in scopes]))
    for name, cells in rows:
        table.add_row(name, *cells)
    return table


def _at(scope: Scope, variant: int) -> str:
    return f"{scope.by_variant[variant]:,}" if variant < len(scope.by_variant) else "0"


def _length(lengths: Lengths) -> str:
    return f"{lengths.least} / {lengths.median:g} / {lengths.mean:.1f} / {lengths.most}"


def _words(console: Console, statistics: Statistics) -> None:
    rows = []
    for name, scope in (("local", statistics.local), ("global", statistics.face)):
        used = [(word, count) for word, count in scope.word_counts.items() if count]
        unused = len(scope.word_counts) - len(used)
        rows.append((f"{name}, most", _counted(used[:_MOST])))
        rows.append((f"{name}, least", _counted(used[_MOST:][-_LEAST:])))
        if unused:
            rows.append((f"{name}, never", f"{unused:,} words of the vocabulary"))
    console.print("words by how often they are said")
    _entries(console, rows)


def _counted(words: list[tuple[str, int]]) -> str:
    return ", ".join(f"{word} {count:,}" for word, count in words) or "-"


def _at_once_table(statistics: Statistics) -> Table:
    table = new_table("AUs active at once", "frames", "%")
    for number, frames in statistics.at_once.items():
        table.add_row(str(number), f"{frames:,}", _percent(frames, statistics.described))
    return table


def _combinations(console: Console, statistics: Statistics) -> None:
    total = len(statistics.combinations)
    console.print(f"the most frequent of {total:,} combinations", soft_wrap=True)
    for combination in statistics.combinations[:_COMBINATIONS]:
        share = _percent(combination.frames, statistics.described)
        names = " ".join(combination.aus) or "nothing active"
        head = f"{combination.frames:,} frames ({share} %)"
        _entries(console, [(head, names), ("", combination.text)])
    undescribed = statistics.frames - statistics.described
    if undescribed:
        console.print(
            f"{undescribed:,} frames without a global description: an action unit is not coded",
            soft_wrap=True,
        )
