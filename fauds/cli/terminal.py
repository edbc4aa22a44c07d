"""Prints the results of the commands as short tables and messages."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from fauds.explanation.explained import Explanation, MediaFrame
from fauds.facs import MOST_BESIDE, STATES, intensity_column
from fauds.protocols import folds as folding
from fauds.report.formatting import new_console, new_table, percent
from fauds.tables import store
from fauds.tables.disk import size_text
from fauds.tables.frames import subjects_known
from fauds.targets.base import Target

if TYPE_CHECKING:
    from fauds.evaluation.results import Results
    from fauds.faces.check import Check
    from fauds.pipeline.workspace import Step


_LISTED = 8
"""The maximum number of undefined scores to print; leave-one-subject-out folds have hundreds."""


def _done(step: "Step") -> str:
    return "" if step.done else " (unchanged)"


def show_frames(step: "Step") -> None:
    """Print how many frames and subjects were read, and differences from the published counts."""
    console = new_console()
    subjects: set[str | None] = set()
    rows = 0
    for part in store.read_batches(step.path, ["subject"]):
        subjects |= set(part["subject"].unique().to_pylist())
        rows += len(part)
    synthetic = ", synthetic" if step.meta["synthetic"] else ""
    people = "unknown subjects" if None in subjects else f"{len(subjects)} subjects"
    console.print(f"{step.path}: {rows:,} frames of {people}{synthetic}{_done(step)}")
    for line in (*step.meta["notes"], *step.meta["differences"]) if step.done else ():
        console.print(f"  {line}", soft_wrap=True)


def show_captions(step: "Step") -> None:
    """Print the numbers of distinct descriptions, the longest lengths, and examples.

    Local descriptions (of one AU) and global descriptions (of the whole face) are counted apart.
    """
    console = new_console()
    phrases = store.read_table(step.beside("phrases"))
    vocabulary = store.read_table(step.beside("vocabulary"), ["scope"])
    for scope in ("local", "global"):
        scoped = phrases.filter(pc.equal(phrases["scope"], scope))
        size = pc.sum(pc.equal(vocabulary["scope"], scope)).as_py()
        lengths = pc.list_value_length(scoped["tokens"])
        longest = f"longest {pc.max(lengths).as_py() - 2} tokens" if len(scoped) else "none"
        kinds = _kinds(step.meta["settings"], scope)
        console.print(
            f"{scope}: {len(scoped):,} distinct descriptions{kinds}, {longest}, "
            f"vocabulary of {size} tokens"
        )
    _show_ungraded(console, step)
    for row in phrases.filter(pc.equal(phrases["state"], "active")).slice(0, 1).to_pylist():
        console.print(f"  {row['au']} active: {row['text']}", soft_wrap=True)
    part = next(iter(store.read_batches(step.path, ["face"])), None)
    if part is not None and len(part):
        middle = part["face"][len(part) // 2].as_py() or "(no description: an AU is not coded)"
        console.print(f"  whole face: {middle}", soft_wrap=True)
    rows = store.row_count(step.path)
    console.print(f"{step.path}: {rows:,} frames captioned{_done(step)}")


def _kinds(settings: dict[str, Any], scope: str) -> str:
    """Return the numbers of AUs, states and paraphrases as text, such as `` (12 AUs, 2 states)``.

    In the composed style, the largest number of neighbours that a text mentions is given as well.

    Only the number of paraphrases is given for global descriptions, and only if there are several.

    Args:
        settings: the settings of the captions.
        scope: "local" (descriptions of one AU) or "global" (descriptions of the whole face).
    """
    states = STATES if settings["degrees"] else STATES[:2]
    kinds = [f"{len(settings['aus'])} AUs", f"{len(states)} states"] if scope == "local" else []
    if scope == "local" and settings["style"] == "composed":
        kinds.append(f"up to {MOST_BESIDE} neighbours")
    if settings["variants"] > 1:
        kinds.append(f"{settings['variants']} paraphrases")
    return f" ({', '.join(kinds)})" if kinds else ""


def _show_ungraded(console: Console, step: "Step") -> None:
    """Print which AUs are described without their intensity, because it is not coded."""
    columns = store.column_names(step.beside("frames"))
    aus = step.meta["settings"]["aus"] if step.meta["settings"]["degrees"] else ()
    lacking = [au for au in aus if intensity_column(au) not in columns]
    if lacking:
        console.print(
            f"  {', '.join(lacking)}: described without a degree, as the intensity is not coded"
        )


def show_faces(step: "Step") -> None:
    """Print how the faces were aligned, and notes such as counts of frames without a crop."""
    console = new_console()
    console.print(f"{step.path}: {step.meta['described']}{_done(step)}", soft_wrap=True)
    for line in step.meta["notes"]:
        console.print(f"  {line}", soft_wrap=True)


def show_folds(step: "Step", target: Target) -> None:
    """Print the subjects that each fold tests, and a table with a row for each AU or class.

    The table has, for each fold, the share of the test part's frames in which the AU is active, and
    the class weight of the AU when the model of this fold is trained.

    Args:
        step: the step that made the folds.
        target: what the protocol predicts.
    """
    console = new_console()
    folds = store.read_table(step.path)
    statistics = store.read_table(step.beside("fold_statistics"))
    numbers = folding.fold_numbers(folds)
    known = subjects_known(store.read_table(step.beside("frames"), ["subject"]))
    always = folds.filter(pc.equal(folds["fold"], 0))["subject"].to_pylist()
    if always and known:
        console.print(f"only trained on: {len(always)} subjects, whom no fold tests")
    for fold in numbers:
        names = folds.filter(pc.equal(folds["fold"], fold))["subject"].to_pylist()
        count = f" ({len(names)} subjects)" if known else ""
        own = "" if known else ", the release's own part"
        console.print(
            f"fold {fold} tests part {fold}{own}{count}: {' '.join(names)}", soft_wrap=True
        )
    if not known:
        console.print("the subjects are not known: the same person may be in both parts")
    heads = [f"part {fold} %" for fold in numbers] + [f"weight {fold}" for fold in numbers]
    table = new_table(target.short, *heads)
    for au in dict.fromkeys(statistics["au"].to_pylist()):
        rows = statistics.filter(pc.equal(statistics["au"], au)).to_pylist()
        rates = [percent(_share(row["test_positives"], row["test_frames"])) for row in rows]
        weights = ["-" if row["weight"] is None else f"{row['weight']:.3f}" for row in rows]
        table.add_row(au, *rates, *weights)
    console.print(table)
    active = target.form == "multilabel"
    positive = "in which the AU is active" if active else f"that are of the {target.noun}"
    rate = "active frames" if active else f"frames of the {target.noun}"
    console.print(
        f"part k %: share of the frames of part k {positive}; weight k: class weight "
        f"of the {target.short} in fold k, 1 / share of {rate} in all other parts, scaled to a "
        "mean of 1",
        soft_wrap=True,
    )
    console.print(f"{step.path}: {folds['protocol'][0].as_py()}{_done(step)}")


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def show_results(folder: Path) -> None:
    """Print a run's scores by fold, confidence intervals, and the descriptions of one test face.

    Args:
        folder: the folder of the run.
    """
    from fauds.evaluation import results as results_file
    from fauds.report.described_faces import gallery

    console = new_console()
    results = results_file.read(folder)
    synthetic = "  (synthetic faces: not comparable with any published result)"
    console.print(
        f"{results.model} {results.preset} on {results.benchmark} v{results.benchmark_version}, "
        f"{results.protocol.folds} (fold k tests part k), "
        f"{results.frames_scored:,} of {results.frames_offered:,} frames"
        + (synthetic if results.synthetic else ""),
        soft_wrap=True,
    )
    console.print(f"backbone: {results.pretraining}", soft_wrap=True)
    console.print(_fold_table(results))
    _show_certainty(console, results)
    _show_maps(console, results)
    _show_words(console, results)
    _show_list(console, "undefined and left out of means", results.undefined)
    _show_list(console, "no interval", results.without_interval)
    # Show the face with most active labels, whether or not its prediction is right.
    faces = sorted(gallery(folder), key=lambda face: -sum(bool(au.true) for au in face.aus))
    for reason in dict.fromkeys(results.without.values()):
        missing = ", ".join(name for name, why in results.without.items() if why == reason)
        console.print(f"no {missing}: {reason}", soft_wrap=True)
    described = any(face.face_text or any(au.text for au in face.aus) for face in faces)
    for face in faces[: 1 if described else 0]:
        console.print(f"\nOne test face ({face.key}), in the model's words:", soft_wrap=True)
        if face.face_text:
            console.print(f"  whole face: {face.face_text}", soft_wrap=True)
        for au in face.aus:
            if au.text and au.predicted:
                console.print(f"  {au.name}: {au.text}", soft_wrap=True)
    console.print(f"\n{folder / 'report.html'}, report.md", soft_wrap=True)


def _show_list(console: Console, what: str, lines: Sequence[str]) -> None:
    for line in lines[:_LISTED]:
        console.print(f"{what}: {line}", soft_wrap=True)
    if more := lines[_LISTED:]:
        console.print(f"{what}: {len(more)} more, see report.html")


def _fold_table(results: "Results") -> Table:
    from fauds.report.tables import MEAN, POOLED, fold_table

    target = results.protocol.predicts
    first, *others = target.statistics
    beside = {**target.baselines, **{name: f"{target.titles[name]} %" for name in others}}
    table = fold_table(results, first, beside)
    table = table.without(POOLED).with_intervals(MEAN, "95 % interval")
    heads = ("mean" if head == MEAN else head for head in table.head[1:])
    return replace(table, head=(f"{target.titles[first]} %", *heads)).rich()


def _has_interval(results: "Results") -> bool:
    """Return whether the main result, a mean of the folds, has a confidence interval."""
    row = results.row(results.protocol.predicts.main_metric, "mean_of_folds")
    return row is not None and row.low is not None


def _show_certainty(console: Console, results: "Results") -> None:
    """Print what the intervals cover, scores with other choices of the epoch, and missing frames.

    Missing frames are those for which another program made no prediction.
    """
    target = results.protocol.predicts
    first = target.main_metric
    if results.uncertainty is not None and _has_interval(results):
        people = "people" if results.unit == "subject" else "images"
        repeats = "" if results.unit == "subject" else "; the same people may be on several images"
        console.print(
            f"interval: range of the score on other {people}, estimated from "
            f"{results.scored_units:,} {results.units} "
            f"({results.uncertainty.method.replace('_', ' ')}){repeats}; variation between "
            "training runs is not included",
            soft_wrap=True,
        )
    for chosen in results.optimism:
        words = chosen.selection.replace("_", " ")
        flatters = (
            "" if chosen.selection == "validation" else ": chosen on the test part, optimistic"
        )
        gap = 0.0 if chosen.difference is None else 100 * chosen.difference
        console.print(
            f"{words}: {target.titles[first]} {percent(chosen.f1)} ({gap:+.1f}){flatters}",
            soft_wrap=True,
        )
    if results.missing is not None and results.missing.frames:
        done = "scored as inactive" if results.missing.rule == "inactive" else "not scored"
        frames = sum(results.missing.frames.values())
        subjects = len(results.missing.frames)
        console.print(
            f"{frames:,} frames of {subjects} subject{'s' if subjects > 1 else ''} have no "
            f"prediction: {done}",
            soft_wrap=True,
        )


def _show_maps(console: Console, results: "Results") -> None:
    """Print how well the maps of the model agree with AU maps."""
    from fauds.report.map_metrics import TITLES, decimals, shown

    figures = [
        f"{TITLES[metric]} {decimals(results.row(metric, 'mean_of_folds'))}"
        for metric in shown(results)
    ]
    if figures:
        console.print(f"agreement with AU maps: {'; '.join(figures)}", soft_wrap=True)


def _show_words(console: Console, results: "Results") -> None:
    asserted = results.value("local_text_f1", "mean_of_folds")
    if asserted is not None:
        whole = results.value("global_text_f1", "mean_of_folds")
        contradicted = results.value("text_contradictions", "mean_of_folds")
        more = "" if whole is None else f", global {percent(whole)}"
        faces = (
            ""
            if contradicted is None
            else "; local and global descriptions contradict each other in "
            f"{percent(contradicted)} % of the faces"
        )
        console.print(
            f"F1 of the AUs that the descriptions assert: local {percent(asserted)}{more}{faces}"
        )
    agreement = results.value("local_text_agreement", "mean_of_folds")
    if agreement is not None:
        console.print(
            f"{percent(agreement)} % of the local descriptions equal, word for word, a template's "
            "description of the predicted AU state"
        )
    for scope in ("local", "global"):
        value = results.value(f"{scope}_word_top5", "mean_of_folds")
        if value is not None:
            baseline = results.value(f"{scope}_word_top5_no_image", "mean_of_folds")
            console.print(
                f"{scope} descriptions: word top-5 accuracy {percent(value)} %, "
                f"{percent(baseline)} % without the image"
            )
        decided = results.value(f"{scope}_decision_top1", "mean_of_folds")
        if decided is not None:
            blind = results.value(f"{scope}_decision_top1_no_image", "mean_of_folds")
            gain = results.value(f"{scope}_image_gain", "mean_of_folds")
            of_gain = "" if gain is None else f": {percent(gain)} % of the possible gain"
            console.print(
                f"{scope} decision words: accuracy {percent(decided)} %, {percent(blind)} % "
                f"without the image{of_gain}"
            )


_NOT_KNOWN = "-"


def show_check(dataset: str, check: "Check") -> None:
    """Print which images and labels a dataset has, what is missing, and what each step needs.

    Args:
        dataset: the name of the dataset.
        check: the contents of the raw files, and the time and the disk space that each step needs.
    """
    console = new_console()
    synthetic = ", synthetic" if check.synthetic else ""
    console.print(f"{dataset} in {check.root}{synthetic}", soft_wrap=True)
    groups = {
        "found": check.contents,
        "differs from the published counts": check.differences,
        "missing": check.missing,
    }
    for head, lines in groups.items():
        console.print(f"\n{head}:{'' if lines else ' nothing'}")
        for line in lines:
            console.print(f"  {line}", soft_wrap=True)
    table = new_table("step", "time", "disk")
    for need in check.needs:
        table.add_row(need.step, _duration(need.seconds), _size(need.size))
    console.print(table)
    for need in check.needs:
        console.print(f"  {need.step}: {need.basis}", soft_wrap=True)
    console.print(
        f"  this machine: {check.processes} CPU cores, {_size(check.free)} free on the workdir's "
        "disk",
        soft_wrap=True,
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return _NOT_KNOWN
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def _size(size: int | None) -> str:
    return _NOT_KNOWN if size is None else size_text(size)


class Printed:
    """An output for ``fauds explain`` that prints explanations instead of writing a file.

    Args:
        echo: the function that prints one text, such as `click.echo`.
    """

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo
        self._video: str | None = None

    def write(self, explanations: Sequence[Explanation]) -> None:
        """Print the explanations of the faces in one image.

        Explanations of the first frame of a video are printed in full, later ones in one line each.
        """
        for explanation in explanations:
            if explanation.timestamp is not None and explanation.source == self._video:
                self._echo(explanation.line())
            else:
                self._echo(f"{explanation}\n")
        self._video = explanations[0].source

    def skip(self, frame: MediaFrame, why: str) -> None:
        """Do nothing: the command lists all skipped images when it ends."""

    def close(self) -> None:
        """Do nothing: there is no open file to close."""
