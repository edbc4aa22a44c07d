"""Charts of runs: the main metric by AU or class, balance over AUs, calibration, training loss."""

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fauds.evaluation.results import MetricRow
from fauds.metrics.calibration import reliability
from fauds.metrics.occurrence import defined_mean
from fauds.report.formatting import sentence_case
from fauds.report.svg import INK, MARKERS, SERIES, Drawing, as_drawing, drawing, grid
from fauds.tables.paths import LOG, fold_folder
from fauds.targets.base import Target

_WIDTH = 4.8
_VARIANCE, _MEAN = attrgetter("variance"), attrgetter("mean")


def draw_by_name(target: Target, runs: Mapping[str, Sequence[MetricRow | None]]) -> Drawing:
    """Draw the main metric (such as F1) of each AU or class, with intervals, for one or more runs.

    Args:
        target: what the runs predict: AUs or classes, and the metrics that score them.
        runs: for each run's title, the values to draw: one row of results.json per AU or class, in
            the target's order; None where a value is missing.
    """
    aus, title = target.names, target.titles[target.main_metric]
    with drawing("f1"):
        height = 1.1 + len(aus) * max(0.28, 0.13 * len(runs))
        figure = Figure((_WIDTH, height), layout="constrained")
        axes = figure.subplots()
        begin = (1 - len(runs)) / 2
        for place, (name, rows) in enumerate(runs.items()):
            style = _style(place)
            defined = [(at, row) for at, row in enumerate(rows) if row and row.value is not None]
            shift = (begin + place) * 0.7 / len(runs)
            values = np.array([100 * (row.value or 0.0) for _, row in defined])
            axes.errorbar(
                values,
                [at + shift for at, _ in defined],
                xerr=_reach([row for _, row in defined], values),
                linestyle="none",
                label=name,
                capsize=3,
                **style,
            )
        axes.set(yticks=range(len(aus)), yticklabels=aus, xlim=(0, 100), xlabel=f"{title}, %")
        axes.set_ylim(len(aus) - 0.4, -0.6)
        grid(axes, "both")
        if len(runs) > 1:
            figure.legend(loc="outside upper center", ncols=3)
        heading = f"{title} by {target.noun}"
        words = f"{heading} of {_listed(list(runs))}; the table below has the figures."
        return as_drawing(figure, "f1", heading, words)


def _reach(rows: Sequence[MetricRow], values: np.ndarray) -> np.ndarray | None:
    """Return the lengths of error bars: the distances from each value to the ends of its interval.

    Args:
        rows: n rows of results.json, with interval ends from 0 to 1.
        values: the values of the same rows in %, float [n].

    Returns:
        The lengths in %, float [2, n]: below the value (row 0) and above it (row 1); None if no
        value has an interval.
    """
    if all(row.low is None for row in rows):
        return None
    ends = [(row.low, row.high) if row.low is not None else (row.value, row.value) for row in rows]
    low, high = (100 * np.array(end, np.float64) for end in zip(*ends, strict=True))
    reach: np.ndarray = np.maximum(np.stack([values - low, high - values]), 0)
    return reach


def draw_balance(
    target: Target, ours: Mapping[str, tuple[float, float]], theirs: pd.DataFrame | None
) -> Drawing:
    """Draw the mean of the main metric against its variance over AUs or classes.

    Each run and each published method is a point. A high variance means that a model does well on
    some AUs only. The chart follows Figure 3 of the VL-FAU paper (Ge et al., ACM Multimedia 2024).

    Args:
        target: what the runs predict: AUs or classes, and the metrics that score them.
        ours: for each run's title, the variance in squared % and the mean in %.
        theirs: one row per published method, with the columns method, variance and Avg (the mean);
            None if published results may not be shown beside the runs.
    """
    with drawing("balance"):
        figure = Figure((_WIDTH, 3.8), layout="constrained")
        axes = figure.subplots()
        points = [] if theirs is None else _points(theirs)
        for point in points:
            axes.plot(point.variance, point.mean, "o", color=INK, alpha=0.45, markersize=5)
        for point in _extremes(points):
            spot = (point.variance, point.mean)
            axes.annotate(point.method, spot, (4, 4), textcoords="offset points", fontsize=8)
        for place, (name, (variance, mean)) in enumerate(ours.items()):
            axes.plot(variance, mean, linestyle="none", **_style(place, 9))
            axes.annotate(
                name, (variance, mean), (7, -4), textcoords="offset points", weight="bold"
            )
        title, mean_of = target.titles[target.main_metric], target.overall[target.main_metric]
        across = f"variance of {title} over {target.plural}, squared %"
        axes.set(xlabel=across, ylabel=f"{mean_of}, %")
        axes.margins(0.15)
        grid(axes, "both")
        words = (
            f"{sentence_case(mean_of)} over its variance across {target.plural} of "
            f"{_listed(list(ours))}"
            + (f" and {len(points)} published methods" if points else "")
            + ". Further left is more even, further up is better."
        )
        return as_drawing(figure, "balance", f"Balance over {target.plural}", words)


class _Point(NamedTuple):
    """A published method with the mean (in %) and the variance (in squared %) of F1 over AUs."""

    method: str
    variance: float
    mean: float


def _points(theirs: pd.DataFrame) -> list[_Point]:
    columns = (theirs[name].tolist() for name in ("method", "variance", "Avg"))
    return [_Point(*values) for values in zip(*columns, strict=True)]


def _extremes(points: Sequence[_Point]) -> list[_Point]:
    """Return the points with the least and the greatest variance and mean.

    Only these points have their name in the chart: the names of all points would overlap.
    """
    if not points:
        return []
    ends = [end(points, key=key) for end in (min, max) for key in (_VARIANCE, _MEAN)]
    return list(dict.fromkeys(ends))


def draw_reliability(labels: np.ndarray, probabilities: np.ndarray, folds: np.ndarray) -> Drawing:
    """Draw a reliability diagram: the share of active frames against the predicted probability.

    Each fold has its own model, so that the values of a bin are computed for each fold and
    averaged. Each faint line is one AU; the line with markers is the mean over AUs.

    Args:
        labels: the labels of N frames and A AUs, int8 [N, A]: 0, 1, or -1 if not coded.
        probabilities: the predicted probabilities of the same frames and AUs, float [N, A].
        folds: the number of the fold that tests each frame, int [N].
    """
    of_folds = [
        np.stack(reliability(labels[folds == fold], probabilities[folds == fold])[:2])
        for fold in np.unique(folds)
    ]
    # [2, A, bins]: the mean probability and the share of active frames.
    by_au = defined_mean(np.stack(of_folds), axis=0)
    mean, share = defined_mean(by_au, axis=1)
    with drawing("reliability"):
        figure = Figure((_WIDTH, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color=INK, alpha=0.5, linestyle=":", label="as it should be")
        for predicted, active in zip(*by_au, strict=True):
            axes.plot(100 * predicted, 100 * active, color=INK, alpha=0.25, linewidth=0.8)
        axes.plot(100 * mean, 100 * share, label="mean over action units", **_style(0))
        axes.set(xlabel="probability given, %", ylabel="frames that are active, %")
        axes.set(xlim=(0, 100), ylim=(0, 100))
        grid(axes, "both")
        axes.legend(loc="upper left")
        bins = [
            f"{100 * predicted:.0f} % given, {100 * active:.0f} % active"
            for predicted, active in zip(mean, share, strict=True)
            if not np.isnan(predicted)
        ]
        return as_drawing(figure, "reliability", "Reliability", f"Reliability: {'; '.join(bins)}.")


def read_logs(folder: Path, folds: Sequence[int]) -> dict[int, list[dict[str, float]]]:
    """Read the training logs of a run.

    Args:
        folder: the folder of the run.
        folds: the numbers of the folds whose logs are read.

    Returns:
        For each fold, one record per epoch with the keys "epoch", "total" (the training loss) and
        others; folds without a log are left out.
    """
    logs = {}
    for fold in folds:
        path = fold_folder(folder, fold) / LOG
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            records = [json.loads(line) for line in lines]
            logs[fold] = [record for record in records if "step" not in record]
    return {fold: epochs for fold, epochs in logs.items() if epochs}


def draw_training(logs: Mapping[int, Sequence[Mapping[str, float]]]) -> Drawing:
    """Draw the training loss after every epoch, one line per fold.

    If there are more folds than colours, all lines are grey and have no names.

    Args:
        logs: for each fold, one record per epoch, as `read_logs` returns them.
    """
    named = len(logs) <= len(SERIES)
    with drawing("training"):
        figure = Figure((_WIDTH, 2.9), layout="constrained")
        axes = figure.subplots()
        grey: _Style = {"color": INK, "alpha": 0.4, "linewidth": 0.8}
        for place, (fold, log) in enumerate(logs.items()):
            style = _style(place) if named else grey
            axes.plot(
                [line["epoch"] for line in log],
                [line["total"] for line in log],
                label=f"fold {fold}",
                **style,
            )
        axes.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
        axes.locator_params(axis="x", integer=True)
        grid(axes, "both")
        if named:
            axes.legend()
        words = f"Training loss; {_courses(logs) if named else _all_courses(logs)}."
        return as_drawing(figure, "training", "Course of training", words)


def _courses(logs: Mapping[int, Sequence[Mapping[str, float]]]) -> str:
    return "; ".join(
        f"fold {fold}: from {log[0]['total']:.3f} to {log[-1]['total']:.3f} "
        f"in {log[-1]['epoch']} epochs"
        for fold, log in logs.items()
    )


def _all_courses(logs: Mapping[int, Sequence[Mapping[str, float]]]) -> str:
    first, last = ([log[at]["total"] for log in logs.values()] for at in (0, -1))
    return (
        f"{len(logs)} folds: from {min(first):.3f} to {max(first):.3f} after the first epoch, "
        f"from {min(last):.3f} to {max(last):.3f} after the last one"
    )


class _Style(TypedDict, total=False):
    """matplotlib's keyword arguments for the look of a line and its markers."""

    color: str
    alpha: float
    linewidth: float
    marker: str
    markersize: float


def _style(place: int, size: float = 5) -> _Style:
    at = place % len(SERIES)
    return {"color": SERIES[at], "marker": MARKERS[at], "markersize": size}


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
