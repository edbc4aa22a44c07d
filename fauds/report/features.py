"""The t-SNE map of a run's features by name (AU or class), coloured by name, subject and sex."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fauds.report.svg import INK, MARKERS, SERIES, Drawing, as_drawing, drawing
from fauds.tables import store
from fauds.tables.paths import FEATURES, fold_folder
from fauds.targets.base import Target

_POINTS = 960
_PARTS = 50


def find_features(folder: Path, folds: Sequence[int]) -> Path | None:
    """Return the table of features that a run kept, of whichever fold; None where there is none."""
    paths = (fold_folder(folder, fold) / FEATURES for fold in folds)
    return next((path for path in paths if path.exists()), None)


def draw_features(path: Path, target: Target) -> Drawing:
    """Draw the map; the same table gives the same map.

    Args:
        path: rows of test frames: subject, sex, and a list of numbers for each of the names.
        target: whose names these are.
    """
    aus = target.names
    table = store.read_table(path, ["subject", "sex", *aus])
    table = table.take(_spread(len(table), _POINTS // len(aus)))
    features = np.concatenate([_matrix(table[au]) for au in aus])
    subjects = np.tile(_strings(table["subject"]), len(aus))
    sexes = np.tile(_strings(table["sex"]), len(aus))
    which = np.repeat(list(aus), len(table))
    places = _embedded(features)
    # One subject or one sex alone is told from nobody.
    others = {"by subject": subjects, "by sex": _in_words(sexes)}
    others = {title: groups for title, groups in others.items() if len(np.unique(groups)) > 1}
    with drawing("features"):
        figure = Figure((4.8, 4.83 * (1 + len(others))), layout="constrained")
        first, *panels = figure.subplots(1 + len(others), squeeze=False)[:, 0]
        _panel(first, places, which, f"by {target.noun}", named=True)
        for axes, (title, groups) in zip(panels, others.items(), strict=True):
            _panel(axes, places, groups, title)
        people = len(np.unique(subjects))
        who = f"{len(table)} faces of {people} subject{'s' if people > 1 else ''}"
        by = ", ".join([f"by {target.noun}", *others])
        words = f"t-SNE map of {target.short} features of {who}, {by}."
        return as_drawing(figure, "features", f"Map of {target.short} features", words)


def _spread(rows: int, most: int) -> pa.Array:
    return pa.array(np.unique(np.linspace(0, rows - 1, min(rows, most)).astype(int)))


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    return np.stack(column.to_numpy()).astype(np.float32)


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    return np.array([value or "" for value in column.to_pylist()], dtype=np.str_)


def _in_words(sexes: np.ndarray) -> np.ndarray:
    names = {"F": "women", "M": "men", "": "not known"}
    return np.array([names.get(sex, sex) for sex in sexes.tolist()])


def _embedded(features: np.ndarray) -> np.ndarray:
    """Return the map, [n, 2]."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    parts = min(_PARTS, *features.shape)
    reduced = PCA(parts, random_state=0).fit_transform(features)
    perplexity = min(30.0, max(1.0, (len(reduced) - 1) / 3))
    embedding = TSNE(perplexity=perplexity, init="pca", random_state=0)
    places: np.ndarray = embedding.fit_transform(reduced)
    return places


def _panel(
    axes: Axes, places: np.ndarray, groups: np.ndarray, title: str, named: bool = False
) -> None:
    """Draw one colouring; `named` writes each group's name in its midst."""
    for at, group in enumerate(np.unique(groups).tolist()):
        mine = places[groups == group]
        axes.scatter(
            mine[:, 0],
            mine[:, 1],
            s=11,
            color=SERIES[at % len(SERIES)],
            marker=MARKERS[(at + at // len(SERIES)) % len(MARKERS)],
            linewidths=0,
            alpha=0.8,
            label=group,
            # Thousands of points would be most of the page.
            rasterized=True,
        )
        if named:
            x, y = np.median(mine, axis=0)
            axes.text(x, y, group, color=INK, weight="bold", ha="center")
    axes.set_title(title, loc="left")
    axes.set(xticks=[], yticks=[])
    if not named:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4, markerscale=2)
