"""An explanation as a piece of HTML for notebooks, readable on light and on dark."""

import base64
from collections.abc import Mapping, Sequence
from html import escape

import cv2
import numpy as np

_SIDE = 192
_BAR = "display:inline-block;height:0.7em;background:currentColor;vertical-align:middle"


def as_html(
    title: str,
    crop: np.ndarray,
    aus: Mapping[str, float],
    active: Sequence[str],
    local: Mapping[str, str],
    face: str,
) -> str:
    """Return the crop, a bar for every action unit, and what is said; all text is escaped.

    Args:
        title: which face this is.
        crop: uint8 [H, W, 3] RGB; it becomes a JPEG inside the page.
        aus: probabilities, 0 to 1.
        active: names whose descriptions are shown.
        local: descriptions by name; may be empty.
        face: the description of the whole face; may be empty.
    """
    rows = "".join(_row(au, value, au in active) for au, value in aus.items())
    said = "".join(
        f"<dt><b>{escape(au)}</b></dt><dd>{escape(local[au])}</dd>" for au in active if au in local
    )
    return (
        "<div><p><b>" + escape(title) + "</b></p>"
        '<div style="display:flex;gap:1.5em;flex-wrap:wrap;align-items:flex-start">'
        f'<img alt="the face as the model is shown it" width="{_SIDE}" src="{_data_uri(crop)}">'
        f"<table>{rows}</table>"
        f'<div style="max-width:40em">'
        + (f"<dl>{said}</dl>" if said else "")
        + (f"<p>{escape(face)}</p>" if face else "")
        + "</div></div></div>"
    )


def _row(au: str, value: float, active: bool) -> str:
    name = f"<b>{escape(au)}</b>" if active else escape(au)
    opacity = 1 if active else 0.35
    bar = f'<span style="{_BAR};width:{value * 8:.2f}em;opacity:{opacity}"></span>'
    return f'<tr><td>{name}</td><td style="text-align:left">{bar} {value:.2f}</td></tr>'


def _data_uri(crop: np.ndarray) -> str:
    scale = min(1.0, 2 * _SIDE / max(crop.shape[:2]))
    if scale < 1:
        size = [max(1, round(side * scale)) for side in crop.shape[1::-1]]
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
