"""Draws a run's face features as t-SNE maps, coloured by AU (or class), by subject and by sex."""

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
    """Find the first fold of a run that kept a table of the features of its test faces.

    Args:
        folder: the folder of the run.
        folds: the numbers of the folds, in the order in which they are searched.

    Returns:
        The path of the table; None if no fold kept one.
    """
    paths = (fold_folder(folder, fold) / FEATURES for fold in folds)
    return next((path for path in paths if path.exists()), None)


def draw_features(path: Path, target: Target) -> Drawing:
    """Draw t-SNE maps of a run's face features; the same table always gives the same maps.

    Args:
        path: the table of features: one row per test frame with subject, sex, and one list of
            numbers (the feature) for each AU or class.
        target: what the run predicts: AUs or classes.
    """
    aus = target.names
    table = store.read_table(path, ["subject", "sex", *aus])
    table = table.take(_spread(len(table), _POINTS // len(aus)))
    features = np.concatenate([_matrix(table[au]) for au in aus])
    subjects = np.tile(_strings(table["subject"]), len(aus))
    sexes = np.tile(_strings(table["sex"]), len(aus))
    labels = np.repeat(list(aus), len(table))
    places = _embedded(features)
    # Colours need at least two groups.
    others = {"by subject": subjects, "by sex": _in_words(sexes)}
    others = {title: groups for title, groups in others.items() if len(np.unique(groups)) > 1}
    with drawing("features"):
        figure = Figure((4.8, 4.83 * (1 + len(others))), layout="constrained")
        first, *panels = figure.subplots(1 + len(others), squeeze=False)[:, 0]
        _panel(first, places, labels, f"by {target.noun}", named=True)
        for axes, (title, groups) in zip(panels, others.items(), strict=True):
            _panel(axes, places, groups, title)
        count = len(np.unique(subjects))
        faces = f"{len(table)} faces of {count} subject{'s' if count > 1 else ''}"
        by = ", ".join([f"by {target.noun}", *others])
        words = f"t-SNE map of {target.short} features of {faces}, {by}."
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
    """Return the t-SNE map of n features, float [n, 2].

    Args:
        features: the n features, each of d numbers, float [n, d].
    """
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
    """Draw one t-SNE map with a colour for each group.

    Args:
        axes: the axes to draw in.
        places: the points, [n, 2].
        groups: the name of each point's group, such as an AU or a subject, [n].
        title: the title of the map.
        named: write each group's name at the median of its points; by default a legend names them.
    """
    for at, group in enumerate(np.unique(groups).tolist()):
        points = places[groups == group]
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=11,
            color=SERIES[at % len(SERIES)],
            marker=MARKERS[(at + at // len(SERIES)) % len(MARKERS)],
            linewidths=0,
            alpha=0.8,
            label=group,
            # Thousands of points drawn as vectors would take up most of the page's size.
            rasterized=True,
        )
        if named:
            x, y = np.median(points, axis=0)
            axes.text(x, y, group, color=INK, weight="bold", ha="center")
    axes.set_title(title, loc="left")
    axes.set(xticks=[], yticks=[])
    if not named:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4, markerscale=2)
