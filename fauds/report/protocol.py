"""Prints protocols and what they fix, for ``fauds bench --list`` and ``fauds bench --describe``."""

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
from fauds.report.published import chosen_how

_CHOSEN = {"last": "the last epoch; nothing is chosen on the test part"}
_MISSING = {
    "refuse": "external predictions that lack a frame are refused",
    "drop": "a frame that external predictions lack is left out, and counted",
    "inactive": "a frame that external predictions lack counts as inactive",
}
_WITHOUT = {
    "drop": "a frame without landmarks is left out",
    "neighbours": "a frame without landmarks gets those of the frames around it",
    "detect": "a frame without landmarks is given to a detector",
}


def show_protocols() -> None:
    """Print a line for each protocol that ships with fauds, then the names of the models."""
    console = new_console()
    for name in protocols.names():
        protocol = protocols.benchmark(name)
        console.print(f"{name}  version {protocol.version}: {protocol.title}", soft_wrap=True)
    console.print("\nMore of one: fauds bench --describe NAME", soft_wrap=True)
    console.print(f"Models: {', '.join(MODELS)}: fauds bench MODEL --dataset NAME", soft_wrap=True)
    console.print(
        "Another protocol, as a YAML file: fauds bench MODEL --benchmark FILE; to begin with, "
        f"copy one of {resources.root('benchmarks') / 'examples'}",
        soft_wrap=True,
    )


def show_protocol(name: str, workdir: Path) -> None:
    """Print all that a protocol fixes: AUs, labels, folds and scoring; and published results.

    Args:
        name: the name of a protocol, or the path of its YAML file.
        workdir: the folder in which the files of users' protocols are kept.

    Raises:
        UsageError: no protocol has this name.
        DataError: the file is no valid protocol.
    """
    # Names of protocols have neither a dot nor a slash.
    if Path(name).suffix or Path(name).name != name:
        protocol = protocol_files.read(Path(name))
    else:
        protocol = protocol_files.find(name, workdir)
    console = new_console()
    console.print(
        f"{protocol.name}, version {protocol.version}: {protocol.title}\n", soft_wrap=True
    )
    for head, text in _lines(protocol):
        console.print(_filled(f"{head:<12}{text}", 12))
    _show_folds(console, protocol)
    for line in _published(protocol):
        console.print(f"\n{_filled(line)}")
    console.print(f"\nSHA-256 of what decides figures: {protocol.fingerprint()}", soft_wrap=True)


def _filled(text: str, indent: int = 0) -> str:
    # Subject ids and web addresses must not be broken over two lines.
    return fill(
        text,
        96,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _lines(protocol: Benchmark) -> list[tuple[str, str]]:
    if protocol.is_joined:
        data = f"trained on all of {protocol.train}, tested on all of {protocol.test}"
    else:
        data = str(protocol.dataset)
    align, target = protocol.alignment, protocol.target
    crops = f"{align.name}, version {align.version}; {_WITHOUT[align.without_landmarks]}"
    if align.name == "none":
        crops = "none: the frames are faces as they are"
    decided = f"; active from probability {protocol.metric.threshold:g} on"
    if target.form == "multiclass":
        decided = f"; the {target.noun} with the highest score is decided"
    lines = [
        ("data", data),
        (target.shorts, f"{len(target.names)}: {' '.join(target.names)}"),
        *([("occurrence", _occurrence(protocol))] if protocol.occurrence else []),
        ("frames", _frames(protocol)),
        ("alignment", crops),
        ("metric", f"{protocol.metric.name}{decided}"),
        ("epoch", _CHOSEN[protocol.metric.selection]),
        ("missing", _MISSING[protocol.missing_predictions]),
        ("licence", protocol.licence or "see access"),
        ("access", protocol.access),
    ]
    return lines


def _occurrence(protocol: Benchmark) -> str:
    """Return when an AU counts as occurring, in words."""
    code = protocol.missing_code
    occurrence = {"coded": "as the labels code it: 0 or 1"}.get(
        protocol.occurrence, protocol.occurrence
    )
    if protocol.occurrence_at is not None:
        occurrence = f"a coded intensity of {protocol.occurrence_at} or more"
    if code is not None:
        occurrence += f"; {code} is not coded, and neither trained on nor scored"
    return occurrence


def _frames(protocol: Benchmark) -> str:
    if protocol.frames.file is not None:
        return f"those that {protocol.frames.file.name} lists; {protocol.frames.described}"
    if protocol.expected is None:
        return protocol.frames.described
    expected = protocol.expected
    complete = f"{protocol.frames.described}; a complete release has {expected.frames:,}"
    if expected.subjects is not None:
        return (
            f"{complete} coded frames of {expected.subjects} subjects in {expected.sequences} "
            f"sequences ({expected.source})"
        )
    splits = (expected.frames_per_split or {}).items()
    parts = ", ".join(f"{count:,} in the {split} part" for split, count in splits)
    return f"{complete}{f': {parts}' if parts else ''} ({expected.source})"


def _show_folds(console: Console, protocol: Benchmark) -> None:
    if protocol.is_joined:
        console.print(f"\nOne fold: it tests every subject of {protocol.test}.")
        return
    if protocol.folds is None:
        console.print("\nNo folds are published: fauds split makes random ones.")
        return
    if protocol.folds.rule == "leave-one-subject-out":
        console.print("\nFolds: every subject alone, tested by a model trained on all others.")
        return
    origin = f"; {protocol.folds.source}" if protocol.folds.source else ""
    console.print(f"\n{_filled(f'Folds: {protocol.folds.name}{origin}.')}")
    if protocol.folds.note:
        console.print(_filled(f"Note: {protocol.folds.note}."))
    if protocol.folds.rule == "release":
        return
    table = new_table("part", "subjects", "women", "men", "coded frames")
    for part, subjects in protocol.folds.parts.items():
        table.add_row(str(part), *_counts(protocol, subjects))
    subjects_of_all = [subject for part in protocol.folds.parts.values() for subject in part]
    table.add_section()
    table.add_row("all", *_counts(protocol, subjects_of_all))
    console.print(table)
    if protocol.sexes == "not published":
        console.print("The subjects' sexes are not published; --sexes takes a table of them.")
    for part, subjects in protocol.folds.parts.items():
        text = f"part {part}: {' '.join(subjects)}"
        console.print(_filled(text, 8))


def _counts(protocol: Benchmark, subjects: list[str] | tuple[str, ...]) -> list[str]:
    sexes = Counter(protocol.sex_of(subject) for subject in subjects)
    women, men = ("-", "-") if sexes[None] else (str(sexes["F"]), str(sexes["M"]))
    frames = "-"
    if protocol.expected is not None:
        by_subject = protocol.expected.frames_per_subject or {}
        counts = [by_subject.get(subject) for subject in subjects]
        frames = "-" if None in counts else f"{sum(filter(None, counts)):,}"
    return [str(len(subjects)), women, men, frames]


def _published(protocol: Benchmark) -> list[str]:
    """Return sentences on published results: methods, sources, and how runs compare with them."""
    if protocol.published is None:
        return ["No published figure stands beside its results."]
    with resources.path("benchmarks", protocol.published).open(
        newline="", encoding="utf-8"
    ) as file:
        target = protocol.target
        title = target.titles[target.main_metric]
        rows = [row for row in csv.DictReader(file) if row["metric"] == title]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    sources = sorted({row["source"] for row in rows})
    return [
        f"Published {title} of {len(methods)} methods: {', '.join(methods)}. "
        f"Taken from: {', '.join(sources)}.",
        _chosen(protocol, "epoch"),
        *([_chosen(protocol, "threshold")] if target.has_threshold else []),
        "They stand beside a run only if it has this version, real data, and exactly these folds "
        f"and subjects. They are compared by {_compared(protocol)}, in percent. Their alignments "
        "and frame sets are their own, and seldom declared.",
    ]


def _chosen(protocol: Benchmark, what: str) -> str:
    """Return how the published methods chose their epoch or threshold, as far as it is known.

    Args:
        protocol: a protocol with published figures.
        what: "epoch" or "threshold".
    """
    name, sentences = what.capitalize(), []
    for how, methods in chosen_how(protocol, what).items():
        listed = ", ".join(methods)
        sentences.append(
            {
                "test": f"{name} best on the test part: {listed}.",
                "undeclared": f"{name} not declared: the other {len(methods)}.",
            }.get(how, f"{name} {how}: {listed}.")
        )
    return " ".join(sentences)


def _compared(protocol: Benchmark) -> str:
    target = protocol.target
    if target.form == "multilabel":
        return f"{target.titles[target.main_metric]} per {target.short} and its mean"
    return target.overall[target.main_metric]
