"""Figures that ``fauds maps`` draws: AU maps over a face, to see and check their regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fauds.errors import DataError
from fauds.explanation.drawing import overlay_heatmap
from fauds.faces.aligned_face import AlignedFace
from fauds.facs import INTENSITIES, expression_aus, facts
from fauds.report.page_layout import FAINT, Page

_WIDTH, _MARGIN, _GAP, _COLUMNS = 12.0, 0.45, 0.3, 4
_HEAD, _NAME, _TEXT = 15.0, 10.5, 9.5
_PIXELS = 420
_INTENSITY = 4
"""The intensity of AUs in synthetic faces, 1 (A) to 5 (E)."""


@dataclass(frozen=True)
class _Tile:
    """One image of the figure: a face with the map of some AUs, and text below it.

    Attributes:
        face: the face.
        aus: the AUs of the map.
        name: the heading.
        text: the text below the heading.
    """

    face: AlignedFace
    aus: tuple[str, ...]
    name: str
    text: str


def draw_maps(names: Sequence[str], face: AlignedFace | None, path: Path) -> None:
    """Draw the AU maps of action units and expressions over a face.

    An action unit is one image. An expression is its map, which sums those of its AUs, and then
    the map of each of its AUs; if no name is given, the maps of all expressions.

    Args:
        names: names of action units and of expressions, as `fauds.facs` spells them.
        face: the face to draw over. If None, a synthetic face for each name, which shows the AUs.
        path: the file to write: .png, .pdf or .svg.

    Raises:
        DataError: landmarks that a map needs are missing, or the file cannot be written.
    """
    if names:
        tiles = [tile for name in names for tile in _tiles(name, face)]
    else:
        tiles = [_tiles(name, face)[0] for name in expression_aus()]
    images = [_with_map(tile) for tile in tiles]
    title, note = _heading(names, face)
    page = Page(_WIDTH, [title, note, *(text for tile in tiles for text in (tile.name, tile.text))])
    y = page.write([title], _MARGIN, _MARGIN * 0.8, _HEAD, bold=True)
    lines = page.wrap(note, _WIDTH - 2 * _MARGIN, _TEXT)
    y = page.write(lines, _MARGIN, y, _TEXT, colour=FAINT) + 0.15
    width = (_WIDTH - 2 * _MARGIN - (_COLUMNS - 1) * _GAP) / _COLUMNS
    for begin in range(0, len(tiles), _COLUMNS):
        ends = []
        for column, at in enumerate(range(begin, min(begin + _COLUMNS, len(tiles)))):
            x = _MARGIN + column * (width + _GAP)
            end = page.image(images[at], x, y, width) + 0.05
            name = page.wrap(tiles[at].name, width, _NAME, bold=True)
            end = page.write(name, x, end, _NAME, bold=True)
            ends.append(page.write(page.wrap(tiles[at].text, width, _TEXT), x, end, _TEXT))
        y = max(ends) + _GAP
    page.save(path, y - _GAP + _MARGIN)


def _tiles(name: str, face: AlignedFace | None) -> list[_Tile]:
    """Return the images of an action unit or an expression; see `draw_maps` for the arguments."""
    aus = expression_aus().get(name, (name,))
    shown = face or _synthetic_face(aus)
    if name not in expression_aus():
        return [_au_tile(name, shown)]
    return [_Tile(shown, aus, name, ", ".join(aus)), *(_au_tile(au, shown) for au in aus)]


def _au_tile(au: str, face: AlignedFace) -> _Tile:
    return _Tile(face, (au,), au, facts()[au]["name"])


def _heading(names: Sequence[str], face: AlignedFace | None) -> tuple[str, str]:
    """Return the title of the figure, and a note about its faces."""
    from fauds.synthetic.face import FACE_AUS

    title = f"AU maps: {', '.join(names) or 'expressions'}"
    note = "Yellow: where the action units are visible. Each map is relative to its own maximum."
    if face is not None:
        return title, note
    note += f" Synthetic faces with intensity {INTENSITIES[_INTENSITY - 1]}"
    named = {au for name in names for au in expression_aus().get(name, (name,))}
    missing = sorted(named - set(FACE_AUS))
    return title, f"{note}, without {', '.join(missing)}." if missing else f"{note}."


def _synthetic_face(aus: Sequence[str]) -> AlignedFace:
    """Return a synthetic face that shows the AUs of a list, except those that none can show."""
    from fauds.synthetic.face import FACE_AUS, View, draw_face, draw_identity

    identity = draw_identity(np.random.default_rng([7, 21]), "F")
    intensities = np.where(np.isin(FACE_AUS, aus), np.float32(_INTENSITY), np.float32(0))
    view = View(light=(0.35, 0.1), noise=0.0)
    return AlignedFace(*draw_face(identity, intensities, view, _PIXELS))


def _with_map(tile: _Tile) -> np.ndarray:
    """Return the face of an image with its map over it, uint8 [S, S, 3] RGB.

    Raises:
        DataError: landmarks that the map needs are missing.
    """
    import torch

    from fauds.nn.layers.au_map import au_map

    side = len(tile.face.pixels)
    active = torch.ones(1, len(tile.aus))
    (values,) = au_map(torch.from_numpy(tile.face.landmarks)[None], active, side, side, tile.aus)
    if not values.any():
        raise DataError(
            f"There is no map of {tile.name}: landmarks that it needs are missing.",
            hint="use a detector of all 68 landmarks",
        )
    return overlay_heatmap(tile.face.pixels, values.numpy())
