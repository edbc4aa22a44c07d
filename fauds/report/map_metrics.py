"""The words and tables of metrics that compare a model's maps with AU maps, such as ATT-COS.

A model computes these metrics itself, for each frame (`fauds.nn.base.TestOutputs.by_frame`), so
that no target knows them. "att" is the spatial attention, "cam" the map of a class.
"""

from fauds.evaluation.results import MetricRow, Results
from fauds.report.tables import Cell, Row, Table

TITLES = {
    "att_cos": "ATT-COS",
    "cam_cos": "CAM-COS",
    "att_inside": "attention inside the AU regions",
    "cam_inside": "class map inside the AU regions",
    "att_pointing": "attention highest inside an AU region",
    "cam_pointing": "class map highest inside an AU region",
}
"""The titles of the metrics in tables. All range from 0 to 1, but cosines from -1."""

NOTE = (
    "ATT-COS and CAM-COS: the cosine between a map of the model and the AU map, which shows where "
    "the action units are visible on this face; ATT is the spatial attention, CAM the map of the "
    "true class. Inside: the share of the map that lies inside the regions of the action units. "
    "Highest inside: the share of faces where the highest value of the map lies inside them."
)


def shown(results: Results) -> list[str]:
    """Return the names of the metrics of maps that a run has, in the order of `TITLES`."""
    return [name for name in TITLES if results.row(name, "mean_of_folds") is not None]


def decimals(row: MetricRow | None) -> str:
    """Return a value with its interval as text, such as ``0.85 (0.82 to 0.87)``; "-" for none."""
    if row is None or row.value is None:
        return "-"
    if row.low is None or row.high is None:
        return f"{row.value:.2f}"
    return f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"


def map_table(results: Results) -> Table | None:
    """Return a table of the metrics of maps by AU or class; None if the run has none."""
    metrics = shown(results)
    if not metrics:
        return None
    target = results.protocol.predicts
    rows = [
        Row(
            au or "all faces",
            tuple(_cell(results.row(m, "mean_of_folds", au)) for m in metrics),
            au is None,
        )
        for au in (*target.names, None)
        if any(_value(results, m, au) is not None for m in metrics)
    ]
    return Table(
        caption="Agreement of the model's maps with AU maps, 0 to 1, with 95 % intervals",
        head=(target.noun, *(TITLES[m] for m in metrics)),
        rows=tuple(rows),
    )


def _cell(row: MetricRow | None) -> Cell:
    text, _, interval = decimals(row).partition(" (")
    return Cell(text, interval.removesuffix(")"))


def _value(results: Results, metric: str, au: str | None) -> float | None:
    row = results.row(metric, "mean_of_folds", au)
    return None if row is None else row.value
