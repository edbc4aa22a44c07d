"""What ``fauds compare`` prints: the metrics of two models side by side, and a verdict in words."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.table import Table

from fauds.evaluation.compare import (
    SEED,
    MetricComparison,
    ModelComparison,
    changed_settings,
)
from fauds.evaluation.finished import CountedRun
from fauds.metrics.intervals import LEVEL
from fauds.report import map_metrics
from fauds.report.formatting import (
    new_console,
    new_table,
    percent,
    points,
    points_range,
    sentence_case,
)

_ESTIMANDS = {
    "mean_of_folds": "means of the folds",
    "pooled": "over the frames of all folds together, since a fold tests a single subject",
}
_FEW = 5
"""With so few subjects, or fewer, no p-value can be below 0.05: there are at most 32 swaps."""


def show_comparison(
    pair: ModelComparison, margin: float | None = None, runs: int | None = None
) -> None:
    """Print which two models are compared, a table for each metric, and the verdict in words.

    Args:
        pair: the comparison of the two models.
        margin: the largest difference, 0 to 1, that counts as none; None if equivalence is not
            asked for.
        runs: the number of runs of the same protocol in the workdir; None if unknown.
    """
    console = new_console()
    results = pair.a[0].results
    synthetic = "  (synthetic faces: not comparable with any published figure)"
    console.print(
        f"{results.benchmark} v{results.benchmark_version}, {results.protocol.folds}: "
        f"{results.frames_scored:,} frames{_of_subjects(pair)}"
        + (synthetic if results.synthetic else ""),
        soft_wrap=True,
    )
    for line in _models(pair):
        console.print(line, soft_wrap=True)
    for name in pair.target.statistics:
        console.print(_table(pair, name, pair.metrics[name]))
    if maps := _maps(pair):
        console.print(_map_table(maps))
    for line in _notes(pair, runs):
        console.print(line, soft_wrap=True)
    console.print()
    for line in verdict(pair, margin):
        console.print(line, soft_wrap=True)


def _notes(pair: ModelComparison, runs: int | None) -> Iterator[str]:
    """Yield lines of text that explain the columns of the tables."""
    results = pair.a[0].results
    seeds = _seeds_covered(pair)
    over = f"{results.units} and {seeds}" if seeds else results.units
    yield (
        f"a - b: difference in points, {_ESTIMANDS[pair.estimand]}, with its 95 % interval over "
        f"{over}; p: permutation test, the two models swapped by {results.unit}; adjusted p: "
        f"for testing {len(pair.aus)} {pair.target.shorts} at once (max-T)."
    )
    yield (
        f"Not in the interval: that models trained on other {results.units} would differ too "
        "(docs/metrics.md says how much)."
    )
    if any(np.isnan(c.comparison.low[:-1]).any() for c in pair.metrics.values()):
        yield (
            f"No interval: the difference is the same without any one {results.unit}, or a single "
            f"{results.unit} of a fold shows the {pair.target.short}."
        )
    if runs is not None and runs > 1:
        yield (
            f"The workdir holds {runs} runs of this protocol. A comparison chosen among many looks "
            "better than it is: say how many you made."
        )


def _seeds_covered(pair: ModelComparison) -> str:
    """Return which training seeds the interval is over besides subjects, in words; "" if none."""
    if pair.covers_training:
        return "training seeds"
    several = [side for side, runs in (("a", pair.a), ("b", pair.b)) if len(runs) > 1]
    return f"the training seeds of model {several[0]}" if several else ""


def _model(pair: ModelComparison, side: str) -> str:
    """Return what a verdict is about: "trained model a" for one run, "model a" for several."""
    runs = pair.a if side == "a" else pair.b
    return f"model {side}" if len(runs) > 1 else f"trained model {side}"


def _both(pair: ModelComparison) -> str:
    """Return the words for the two models that are compared."""
    if (len(pair.a) > 1) == (len(pair.b) > 1):
        return f"these two {'models' if pair.covers_training else 'trained models'}"
    return f"{_model(pair, 'a')} and {_model(pair, 'b')}"


def _of_subjects(pair: ModelComparison) -> str:
    if pair.a[0].results.unit == "image":
        return ", paired by image: subjects are not known, and people may repeat"
    return f" of {pair.subjects} subjects"


def verdict(pair: ModelComparison, margin: float | None = None) -> list[str]:
    """Return sentences that say whether two models differ, first by the main metric.

    Args:
        pair: the comparison of the two models.
        margin: the largest difference, 0 to 1, that counts as none; None if equivalence is not
            asked for.
    """
    lines = [*_main_verdict(pair, margin), *_others(pair)]
    if pair.subjects <= _FEW:
        units = pair.a[0].results.units
        lines.append(
            f"With {pair.subjects} {units} no permutation test can reach p < 0.05, however large "
            "the difference."
        )
    if pair.headline.told_apart and pair.same_method:
        lines.append(
            "The two differ by the seed alone: this is how much training varies, and no reason to "
            "prefer either."
        )
    elif not pair.covers_training:
        lines.append(
            "Where a model is one training run, nothing here says what training with another seed "
            "would change: train three to five seeds of each and join them with commas."
        )
    return lines


def _main_verdict(pair: ModelComparison, margin: float | None) -> Iterator[str]:
    """Yield sentences about the main metric: the verdict, what it could have detected, the check.

    Arguments are those of `verdict`.
    """
    compared, results = pair.headline, pair.a[0].results
    like = "images" if results.unit == "image" else "people"
    whom = f"{like} like these {pair.subjects:,}"
    figure = pair.target.overall[pair.target.main_metric]
    if np.isnan(compared.comparison.difference[-1]):
        yield _undefined(pair, pair.target.main_metric)
        return
    if not compared.has_interval:
        yield _without_interval(pair, pair.target.main_metric)
        return
    if compared.told_apart:
        better, worse = (_model(pair, side) for side in _ranked(compared))
        yield (
            f"{sentence_case(better)} is better than {worse} for {whom}: by {_by(compared)} "
            f"of {figure} ({_sure(compared)})."
        )
    else:
        yield (
            f"{sentence_case(_both(pair))} cannot be told apart for {whom}: their {figure} differs "
            f"by {_less(compared)}. A comparison like this one detects a true difference of "
            f"{100 * compared.detectable:.1f} points in about four of five cases, and a smaller "
            "one less often."
        )
    if margin is not None:
        within = f"within {100 * margin:g} point{'' if round(100 * margin, 9) == 1 else 's'}"
        yield (
            f"They are equivalent {within}: the interval lies inside."
            if compared.equivalent(margin)
            else f"That they are equivalent {within} is not shown: the interval reaches further."
        )
    if not compared.agrees_with_p:
        excludes = "excludes" if compared.told_apart else "includes"
        seeds = _seeds_covered(pair)
        yield (
            f"The permutation test, a check, disagrees (p {_probability(compared.comparison.p[-1])}"
            f"): the verdict follows the interval, which {excludes} 0. The interval is about the "
            f"size of the difference{f' over {seeds}' if seeds else ''}; p only asks "
            f"whether the two could be swapped on these {results.units}."
        )


def _others(pair: ModelComparison) -> Iterator[str]:
    """Yield a sentence for each metric except the main one: which model has the better value."""
    for name in pair.target.statistics:
        compared = pair.metrics[name]
        if name == pair.target.main_metric:
            continue
        figure = pair.target.overall[name]
        if np.isnan(compared.comparison.difference[-1]):
            yield _undefined(pair, name)
        elif not compared.has_interval:
            yield _without_interval(pair, name)
        elif not compared.told_apart:
            subject, less = sentence_case(figure), _less(compared)
            yield f"{subject} does not tell them apart: it differs by {less}."
        else:
            better, _ = _ranked(compared)
            by = f"by {_by(compared)} ({_sure(compared)})"
            yield f"By {figure} model {better} is better: {by}."


def _undefined(pair: ModelComparison, name: str) -> str:
    return f"The {pair.target.overall[name]} is undefined: {pair.target.undefined_overall[name]}."


def _without_interval(pair: ModelComparison, name: str) -> str:
    """Return a sentence on a metric whose difference has no interval, and therefore no verdict."""
    units = pair.a[0].results.units
    return (
        f"The {pair.target.overall[name]} of {_both(pair)} differs by "
        f"{points(pair.metrics[name].comparison.difference[-1])} points (a - b), but the spread "
        f"between {units} is unknown, so that there is no interval and no verdict."
    )


def _less(compared: MetricComparison) -> str:
    """Return the difference a - b of the two models as text: points, 95 % interval and p-value."""
    comparison = compared.comparison
    spread = points_range(comparison.low[-1], comparison.high[-1]) or "-"
    return (
        f"{points(comparison.difference[-1])} points (a - b; 95 % interval {spread}, "
        f"p {_probability(comparison.p[-1])})"
    )


def _ranked(compared: MetricComparison) -> tuple[str, str]:
    """Return the names of the two models, "a" and "b", the better one first."""
    return ("a", "b") if compared.comparison.difference[-1] > 0 else ("b", "a")


def _by(compared: MetricComparison) -> str:
    return f"{100 * abs(compared.comparison.difference[-1]):.1f} points"


def _sure(compared: MetricComparison) -> str:
    """Return the 95 % interval (in points) and the p-value of the better model's lead, as text."""
    comparison = compared.comparison
    low, high = sorted(100 * abs(end) for end in (comparison.low[-1], comparison.high[-1]))
    return f"95 % interval {low:.1f} to {high:.1f}, p {_probability(comparison.p[-1])}"


def _models(pair: ModelComparison) -> Iterator[str]:
    """Yield lines of text: one that names the runs of each model, then the settings that differ."""
    for side, runs, seeds in (
        ("a", pair.a, pair.headline.of_seeds_a),
        ("b", pair.b, pair.headline.of_seeds_b),
    ):
        yield f"{side}: {', '.join(map(_described, runs))}"
        if len(runs) > 1:
            each = ", ".join(f"{100 * value:.1f}" for value in seeds)
            figure, spread = pair.target.overall[pair.target.main_metric], 100 * _spread(seeds)
            yield f"   {figure} of each seed: {each} (spread {spread:.1f} points)"
    changed = changed_settings(pair.a[0].results, pair.b[0].results)
    if len(pair.a) > 1 or len(pair.b) > 1:
        changed.pop("training.seed", None)
    for name, (of_a, of_b) in changed.items():
        yield f"differs: {name}: {_value(of_a)} (a), {_value(of_b)} (b)"
    for words in pair.undeclared:
        yield f"not declared alike: {words}"


def _described(run: CountedRun) -> str:
    seeds = ", ".join(map(str, run.results.seeds))
    return f"{run.name} (seed {seeds})" if seeds else run.name


def _value(value: Any) -> str:
    return "not set" if value is None else str(value)


def _spread(values: tuple[float, ...]) -> float:
    return max(values) - min(values)


def _table(pair: ModelComparison, name: str, compared: MetricComparison) -> Table:
    table = new_table(
        f"{pair.target.titles[name]} %", "a", "b", "a - b", "95 % interval", "p", "adjusted p"
    )
    for row in _rows(pair, compared):
        if row["au"] is None:
            table.add_section()
        table.add_row(
            row["au"] or pair.target.total,
            percent(row["a"]),
            percent(row["b"]),
            points(row["difference"]),
            points_range(row["low"], row["high"]) or "-",
            _probability(row["p"]),
            "" if row["au"] is None else _probability(row["adjusted_p"]),
        )
    return table


def _maps(pair: ModelComparison) -> dict[str, MetricComparison]:
    """Return the comparisons by metrics of maps, by the titles of the metrics."""
    return {
        title: pair.metrics[name]
        for name, title in map_metrics.TITLES.items()
        if name in pair.metrics
    }


def _map_table(maps: dict[str, MetricComparison]) -> Table:
    """Return the table of the comparisons by metrics of maps, over all AUs or classes, 0 to 1."""
    table = new_table("agreement of maps", "a", "b", "a - b", "95 % interval", "p")
    for title, compared in maps.items():
        a, b = compared.a[-1], compared.b[-1]
        comparison = compared.comparison
        low, high = comparison.low[-1], comparison.high[-1]
        table.add_row(
            title,
            *("-" if np.isnan(value) else f"{value:.2f}" for value in (a, b)),
            "-" if np.isnan(a - b) else f"{comparison.difference[-1]:+.2f}",
            "-" if np.isnan(low) else f"{low:+.2f} to {high:+.2f}",
            _probability(comparison.p[-1]),
        )
    return table


def _rows(pair: ModelComparison, compared: MetricComparison) -> Iterator[dict[str, Any]]:
    """Yield the rows of a comparison table as dictionaries: one per AU or class, then one for all.

    A row has the keys "au" (None in the last row), "a" and "b" (the metric of the two models),
    "difference" (a - b), "low" and "high" (the ends of the difference's interval), "p" (the
    p-value) and "adjusted_p" (the p-value adjusted for the number of AUs or classes). Undefined
    values are None.
    """
    figures = {"a": compared.a, "b": compared.b, **compared.comparison._asdict()}
    for i, au in enumerate((*pair.aus, None)):
        yield {"au": au, **{name: _plain(values[i]) for name, values in figures.items()}}


def _plain(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)


def _probability(value: float | None) -> str:
    if value is None or np.isnan(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def as_data(pair: ModelComparison, margin: float | None = None) -> dict[str, Any]:
    """Return a comparison as a dictionary for a JSON file.

    Metrics range from 0 to 1 and differences from -1 to 1; undefined values are None.

    Args:
        pair: the comparison of the two models.
        margin: the largest difference, 0 to 1, that counts as none; None if equivalence is not
            asked for.
    """
    results = pair.a[0].results
    return {
        "benchmark": results.benchmark,
        "benchmark_version": results.benchmark_version,
        "synthetic": results.synthetic,
        "frames_fingerprint": results.frames_fingerprint,
        "frames": results.frames_scored,
        "unit": results.unit,
        "subjects": pair.subjects,
        "a": [run.name for run in pair.a],
        "b": [run.name for run in pair.b],
        "estimand": pair.estimand,
        "level": LEVEL,
        "permutations": pair.swaps,
        "seed": SEED,
        "covers_training": pair.covers_training,
        "margin": margin,
        "verdict": verdict(pair, margin),
        "metrics": {
            name: {
                "told_apart": compared.told_apart,
                "detectable": _plain(np.float64(compared.detectable)),
                "equivalent": None if margin is None else compared.equivalent(margin),
                "of_seeds_a": [_plain(np.float64(value)) for value in compared.of_seeds_a],
                "of_seeds_b": [_plain(np.float64(value)) for value in compared.of_seeds_b],
                "rows": list(_rows(pair, compared)),
            }
            for name, compared in pair.metrics.items()
        },
    }
