"""What ``fauds bench --list`` and ``--describe`` print: protocols, for a person."""

import csv
from collections import Counter
from pathlib import Path
from textwrap import fill

from rich.console import Console

from fauds import resources
from fauds.nn import MODELS
from fauds.protocols import benchmark as protocols
from fauds.protocols import user_files as protocol_files
from fauds.protocols.benchmark import Benchmark
from fauds.report.formatting import new_console, new_table

_CHOSEN = {"last": "the last epoch; nothing is chosen on the test part"}
_MISSING = {
    "refuse": "predictions made elsewhere that lack a frame are refused",
    "drop": "a frame that predictions made elsewhere lack is left out, and counted",
    "inactive": "a frame that predictions made elsewhere lack counts as inactive",
}
_WITHOUT = {
    "drop": "a frame without landmarks is left out",
    "neighbours": "a frame without landmarks gets those of the frames around it",
    "detect": "a frame without landmarks is given to a detector",
}


def show_protocols() -> None:
    """Print the protocols that ship with fauds, a line each, and the models there are."""
    console = new_console()
    for name in protocols.names():
        found = protocols.benchmark(name)
        console.print(f"{name}  version {found.version}: {found.title}", soft_wrap=True)
    console.print("\nMore of one: fauds bench --describe NAME", soft_wrap=True)
    console.print(f"Models: {', '.join(MODELS)}: fauds bench MODEL --dataset NAME", soft_wrap=True)
    console.print(
        "Another protocol, as a YAML file: fauds bench MODEL --benchmark FILE; to begin with, "
        f"copy one of {resources.root('benchmarks') / 'examples'}",
        soft_wrap=True,
    )


def show_protocol(asked: str, workdir: Path) -> None:
    """Print all that a protocol fixes.

    Args:
        asked: the name of a protocol, or its file.
        workdir: where the files of protocols that do not ship are kept.

    Raises:
        UsageError: there is no such protocol.
        DataError: its file is wrong.
    """
    # No name has a dot or a slash.
    if Path(asked).suffix or Path(asked).name != asked:
        found = protocol_files.read(Path(asked))
    else:
        found = protocol_files.find(asked, workdir)
    console = new_console()
    console.print(f"{found.name}, version {found.version}: {found.title}\n", soft_wrap=True)
    for head, text in _lines(found):
        console.print(_filled(f"{head:<12}{text}", 12))
    _show_folds(console, found)
    for line in _published(found):
        console.print(f"\n{_filled(line)}")
    console.print(f"\nSHA-256 of what decides figures: {found.fingerprint()}", soft_wrap=True)


def _filled(text: str, indent: int = 0) -> str:
    # Names of subjects and addresses stay whole.
    return fill(
        text,
        96,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _lines(found: Benchmark) -> list[tuple[str, str]]:
    if found.joins:
        data = f"trained on all of {found.train}, tested on all of {found.test}"
    else:
        data = str(found.dataset)
    code = found.missing_code
    occurrence = {"coded": "as the labels code it: 0 or 1"}.get(found.occurrence, found.occurrence)
    if found.occurrence_at is not None:
        occurrence = f"a coded intensity of {found.occurrence_at} or more"
    if code is not None:
        occurrence += f"; {code} is not coded, and neither trained on nor scored"
    align = found.alignment
    lines = [
        ("data", data),
        ("AUs", f"{len(found.aus)}: {' '.join(found.aus)}"),
        ("occurrence", occurrence),
        ("frames", _frames(found)),
        (
            "alignment",
            f"{align.name}, version {align.version}; {_WITHOUT[align.without_landmarks]}",
        ),
        ("metric", f"{found.metric.name}; active from probability {found.metric.threshold:g} on"),
        ("epoch", _CHOSEN[found.metric.selection]),
        ("missing", _MISSING[found.missing_predictions]),
        ("licence", found.licence or "see access"),
        ("access", found.access),
    ]
    if align.name == "none":
        lines[4] = ("alignment", "none: the frames are faces as they are")
    return lines


def _frames(found: Benchmark) -> str:
    if found.frames.file is not None:
        return f"those that {found.frames.file.name} lists; {found.frames.described}"
    if found.expected is None:
        return found.frames.described
    whole = found.expected
    return (
        f"{found.frames.described}; a complete release has {whole.frames:,} coded frames of "
        f"{whole.subjects} subjects in {whole.sequences} sequences ({whole.source})"
    )


def _show_folds(console: Console, found: Benchmark) -> None:
    if found.joins:
        console.print(f"\nOne fold: it tests every subject of {found.test}.")
        return
    if found.folds is None:
        console.print("\nNo folds are published: fauds split makes random ones.")
        return
    if found.folds.rule == "leave-one-subject-out":
        console.print("\nFolds: every subject alone, tested by a model trained on all others.")
        return
    origin = f"; {found.folds.source}" if found.folds.source else ""
    console.print(f"\n{_filled(f'Folds: {found.folds.name}{origin}.')}")
    if found.folds.note:
        console.print(_filled(f"Note: {found.folds.note}."))
    table = new_table("part", "subjects", "women", "men", "coded frames")
    for part, subjects in found.folds.parts.items():
        table.add_row(str(part), *_counts(found, subjects))
    every = [subject for part in found.folds.parts.values() for subject in part]
    table.add_section()
    table.add_row("all", *_counts(found, every))
    console.print(table)
    if found.sexes == "not published":
        console.print("The subjects' sexes are not published; --sexes takes a table of them.")
    for part, subjects in found.folds.parts.items():
        text = f"part {part}: {' '.join(subjects)}"
        console.print(_filled(text, 8))


def _counts(found: Benchmark, subjects: list[str] | tuple[str, ...]) -> list[str]:
    sexes = Counter(found.sex_of(subject) for subject in subjects)
    women, men = ("-", "-") if sexes[None] else (str(sexes["F"]), str(sexes["M"]))
    frames = "-"
    if found.expected is not None:
        counts = [found.expected.frames_per_subject.get(subject) for subject in subjects]
        frames = "-" if None in counts else f"{sum(filter(None, counts)):,}"
    return [str(len(subjects)), women, men, frames]


def _published(found: Benchmark) -> list[str]:
    """Return what published rows there are, and what they are compared by."""
    if found.published is None:
        return ["No published figure stands beside its results."]
    with resources.path("benchmarks", found.published).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "F1"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    selections = sorted({row["selection"] for row in rows})
    sources = sorted({row["source"] for row in rows})
    return [
        f"Published F1 of {len(methods)} methods: {', '.join(methods)}. "
        f"Taken from: {', '.join(sources)}. How they chose their epoch: {', '.join(selections)}.",
        "They stand beside a run only if it has this version, real data, and exactly these folds "
        "and subjects. They are compared by F1 per AU and its mean, in percent. Their alignments "
        "and frame sets are their own, and seldom declared.",
    ]
