"""Sentences that sum up a run: the model, the data, the main result, and how certain it is."""

from fauds.evaluation.results import EXTERNAL, Results
from fauds.report.formatting import percent, sentence_case
from fauds.report.html.runs import ReportedRun
from fauds.report.tables import interval

_WEAK = 3


def sentences(run: ReportedRun) -> list[str]:
    """Return the paragraphs that sum up a run, for the top of the page."""
    parts = [_run(run.results), *_missing(run.results), _result(run), _certainty(run)]
    return [*parts, *_by_au(run), *_not_above_trivial(run)]


def _run(results: Results) -> str:
    folds = len(results.folds)
    origin = (
        "was scored on external predictions"
        if results.preset == EXTERNAL
        else f"was trained and tested {folds} times, each time tested on {results.units} that it "
        "had not seen"
        if folds > 1
        else f"was trained once and tested on {results.units} that it had not seen"
    )
    people = "subjects not known" if results.unit == "image" else f"{results.scored_units} subjects"
    return (
        f"{results.model} ({results.preset}) {origin}: {results.frames_scored:,} of "
        f"{results.frames_offered:,} frames, {people}, "
        f"{len(results.protocol.aus)} {results.protocol.predicts.plural}. "
        f"Backbone: {results.pretraining}."
    )


def _missing(results: Results) -> list[str]:
    """Return a sentence on how frames without an external prediction were scored.

    External predictions were made by another program. The list is empty if they cover all frames.
    """
    if results.missing is None or not results.missing.frames:
        return []
    count = sum(results.missing.frames.values())
    treatment = "scored as inactive" if results.missing.rule == "inactive" else "left out"
    return [f"{count:,} frames had no prediction: they were {treatment}."]


def _result(run: ReportedRun) -> str:
    row, target = run.row(run.main_metric), run.target
    figure = target.overall[run.main_metric]
    if row is None or row.value is None:
        return f"The {figure} is undefined: {target.undefined_overall[run.main_metric]}."
    spread = interval(row)
    text = f"{sentence_case(figure)} is {percent(row.value)} %"
    text += f", 95 % interval {spread} %." if spread else f" {_without_interval(run)}."
    for metric, words in target.baselines.items():
        base = run.value(metric)
        if base is not None and metric in target.headline:
            text += f" Baseline ({words}): {percent(base)} %."
    for metric in list(target.statistics)[1:]:
        value = run.value(metric)
        if value is not None:
            text += f" {sentence_case(target.overall[metric])} is {percent(value)} %."
    return text


def _without_interval(run: ReportedRun) -> str:
    """Return why the main result (a mean of the folds) has no interval, in brackets.

    If the main metric over the pooled frames of all folds has an interval, this value and its
    interval are added.
    """
    if run.results.uncertainty is None:
        return "(no interval was computed)"
    sizes = [len(subjects) for subjects in run.results.scored_groups.values()]
    single = run.results.unit == "subject" and min(sizes) == 1 < max(sizes)
    reason = "a test part has one subject" if single else f"the {run.results.units} show no spread"
    pooled = run.row(run.main_metric, "pooled")
    spread = interval(pooled)
    if pooled is None or not spread:
        return f"(no interval: {reason})"
    return (
        f"(no interval: {reason}); over all frames pooled it is {percent(pooled.value)} %, "
        f"95 % interval {spread} %"
    )


def _certainty(run: ReportedRun) -> str:
    """Return sentences on what the main result estimates and how its interval was computed."""
    estimand = run.target.estimand
    uncertainty = run.results.uncertainty
    shown = any(interval(run.row(run.main_metric, scope)) for scope in ("mean_of_folds", "pooled"))
    if uncertainty is None or not shown:
        return f"{estimand}. Without an interval, a gap of some points to another run says little."
    method = f"one {uncertainty.unit} left out at a time"
    if uncertainty.resamples:
        method = f"{uncertainty.resamples:,} resamples of {uncertainty.unit}s"
    name = uncertainty.method.replace("_", " ")
    note = uncertainty.note[:1].lower() + uncertainty.note[1:]
    return f"{estimand}. Intervals: {name}, {method}. They say {note}"


def _by_au(run: ReportedRun) -> list[str]:
    values = [(run.value(run.main_metric, au=au), au) for au in run.results.protocol.aus]
    defined = sorted((value, au) for value, au in values if value is not None)
    if len(defined) <= _WEAK:
        return []
    label = run.target.label
    weak = ", ".join(f"{label(au)} {percent(value)} %" for value, au in defined[:_WEAK])
    value, best = defined[-1]
    return [f"Weakest: {weak}.{_beyond_noise(run)} Strongest: {label(best)} {percent(value)} %."]


def _not_above_trivial(run: ReportedRun) -> list[str]:
    """Return a sentence, in a list, on which AUs are not shown to be above the trivial baseline.

    An AU is shown to be above it if the interval of the difference lies above 0. The list is empty
    for results without these differences.
    """
    rows = {au: run.row("above_trivial", au=au) for au in run.results.protocol.aus}
    defined = {au: row for au, row in rows.items() if row is not None and row.value is not None}
    lows = {au: row.low for au, row in defined.items() if row.low is not None}
    if not lows:
        return []
    baseline = next(iter(run.target.baselines.values()))
    reaching = [au for au, low in lows.items() if low <= 0]
    words = (
        f"Not shown to be above the baseline ({baseline}), since the interval of the difference "
        f"reaches 0: {', '.join(reaching)}."
        if reaching
        else f"Every {run.target.noun} with an interval is above the baseline ({baseline}): the "
        "interval of the difference lies above 0."
    )
    if without := [au for au in defined if au not in lows]:
        words += f" Not tested, since the difference has no interval: {', '.join(without)}."
    return [words]


def _beyond_noise(run: ReportedRun) -> str:
    """Return a sentence that names the AUs that are below the mean by more than noise.

    An AU is named if its interval ends before the interval of the mean over AUs begins. Return ""
    if there are no intervals.
    """
    mean, highs = run.row(run.main_metric), {}
    for au in run.results.protocol.aus:
        row = run.row(run.main_metric, au=au)
        if row is not None and row.high is not None:
            highs[au] = row.high
    if mean is None or mean.low is None or not highs:
        return ""
    below = [au for au, high in highs.items() if high < mean.low]
    if not below:
        return " None has an interval that ends before that of the mean begins."
    return (
        f" Below the mean by more than noise between {run.results.units} (the interval ends before "
        f"that of the mean begins): {', '.join(below)}."
    )
