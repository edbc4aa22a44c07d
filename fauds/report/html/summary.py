"""The summary of a page: what was run, on what, how well it does, and how sure that is."""

from fauds.evaluation.results import ELSEWHERE, Results
from fauds.report.formatting import percent, sentence_case
from fauds.report.html.runs import Run
from fauds.report.tables import interval

_WEAK = 3


def sentences(run: Run) -> list[str]:
    """Return the summary of a run, a paragraph each."""
    parts = [_what(run.results), *_missing(run.results), _result(run), _certainty(run)]
    return [*parts, *_by_au(run)]


def _what(results: Results) -> str:
    subjects = sum(map(len, results.protocol.test_subjects.values()))
    folds = len(results.folds)
    how = (
        "was scored on predictions made elsewhere"
        if results.preset == ELSEWHERE
        else f"was trained and tested {folds} times, each time tested on subjects that it had not "
        "seen"
        if folds > 1
        else "was trained once and tested on subjects that it had not seen"
    )
    return (
        f"{results.model} ({results.preset}) {how}: {results.frames_scored:,} of "
        f"{results.frames_offered:,} frames, {subjects} subjects, "
        f"{len(results.protocol.aus)} {results.protocol.predicts.plural}. "
        f"Backbone: {results.pretraining}."
    )


def _missing(results: Results) -> list[str]:
    """Say what became of frames that predictions made elsewhere lack."""
    if results.missing is None or not results.missing.frames:
        return []
    count = sum(results.missing.frames.values())
    became = "scored as inactive" if results.missing.rule == "inactive" else "left out"
    return [f"{count:,} frames had no prediction: they were {became}."]


def _result(run: Run) -> str:
    row, target = run.row(run.first), run.target
    figure = target.overall[run.first]
    if row is None or row.value is None:
        return f"The {figure} is undefined: {target.undefined_overall[run.first]}."
    spread = interval(row)
    said = f"{sentence_case(figure)} is {percent(row.value)} %"
    said += f", 95 % interval {spread} %." if spread else f" {_without_interval(run)}."
    for metric, words in target.baselines.items():
        base = run.value(metric)
        if base is not None and metric in target.headline:
            said += f" Baseline ({words}): {percent(base)} %."
    for metric in list(target.statistics)[1:]:
        value = run.value(metric)
        if value is not None:
            said += f" {sentence_case(target.overall[metric])} is {percent(value)} %."
    return said


def _without_interval(run: Run) -> str:
    """Say why the headline has no interval, and give the pooled figure's where that has one."""
    if run.results.uncertainty is None:
        return "(no interval was computed)"
    alone = any(len(who) == 1 for who in run.results.protocol.test_subjects.values())
    why = "a test part has one subject" if alone else "the subjects show no spread"
    pooled = run.row(run.first, "pooled")
    spread = interval(pooled)
    if pooled is None or not spread:
        return f"(no interval: {why})"
    return (
        f"(no interval: {why}); over all frames pooled it is {percent(pooled.value)} %, "
        f"95 % interval {spread} %"
    )


def _certainty(run: Run) -> str:
    """Say what the headline is an estimate of, and what the interval is of."""
    estimand = run.target.estimand
    uncertainty = run.results.uncertainty
    shown = any(interval(run.row(run.first, scope)) for scope in ("mean_of_folds", "pooled"))
    if uncertainty is None or not shown:
        return f"{estimand}. Without an interval, a gap of some points to another run says little."
    how = "one subject left out at a time"
    if uncertainty.resamples:
        how = f"{uncertainty.resamples:,} resamples of subjects"
    method = uncertainty.method.replace("_", " ")
    note = uncertainty.note[:1].lower() + uncertainty.note[1:]
    return f"{estimand}. Intervals: {method}, {how}. They say {note}"


def _by_au(run: Run) -> list[str]:
    found = [(run.value(run.first, au=au), au) for au in run.results.protocol.aus]
    known = sorted((value, au) for value, au in found if value is not None)
    if len(known) <= _WEAK:
        return []
    named = run.target.label
    weak = ", ".join(f"{named(au)} {percent(value)} %" for value, au in known[:_WEAK])
    value, best = known[-1]
    return [f"Weakest: {weak}.{_beyond_noise(run)} Strongest: {named(best)} {percent(value)} %."]


def _beyond_noise(run: Run) -> str:
    """Name the AUs whose whole interval lies below that of the mean; "" without intervals."""
    mean, highs = run.row(run.first), {}
    for au in run.results.protocol.aus:
        row = run.row(run.first, au=au)
        if row is not None and row.high is not None:
            highs[au] = row.high
    if mean is None or mean.low is None or not highs:
        return ""
    below = [au for au, high in highs.items() if high < mean.low]
    if not below:
        return " None has an interval that ends before that of the mean begins."
    return (
        " Below the mean by more than noise between subjects (the interval ends before that of the "
        f"mean begins): {', '.join(below)}."
    )
