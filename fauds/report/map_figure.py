"""A figure of test faces with the AU map, the attention and the class map of one or more models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from fauds.report.described_faces import AuRow, DescribedFace
from fauds.report.svg import Drawing, as_drawing, drawing

_SIDE = 112
_ROWS = 8
_INCHES = 1.1


@dataclass(frozen=True)
class MappedModel:
    """A model whose maps are drawn.

    Attributes:
        name: the words above its columns; "" if it is the only one.
        faces: the test faces that its run kept, with their maps, by frame id.
    """

    name: str
    faces: Mapping[int, DescribedFace]


def draw_maps(models: Sequence[MappedModel], images: Mapping[int, Path]) -> Drawing | None:
    """Draw faces with the AU map of their class, and each model's attention and class map.

    One face of each class is drawn, and then a second one, up to eight faces that all models have
    and whose class has an AU map.

    Args:
        models: the models.
        images: the path of the image of each face by frame id.

    Returns:
        The figure; None if no face has all maps and an image.
    """
    chosen = _chosen(models, images)
    if not chosen:
        return None
    heads = ["face", "AU map"] + [
        f"{words}\n{model.name}".strip() for model in models for words in ("attention", "class map")
    ]
    with drawing("maps"):
        figure = Figure(figsize=(_INCHES * len(heads), _INCHES * (len(chosen) + 0.4)))
        axes = figure.subplots(len(chosen), len(heads), squeeze=False)
        for row, (frame_id, place) in zip(axes, chosen, strict=True):
            with Image.open(images[frame_id]) as image:
                face = np.asarray(image.convert("RGB").resize((_SIDE, _SIDE)))
            shown = models[0].faces[frame_id].aus[place]
            panels = [None, shown.guide]
            for model in models:
                own = model.faces[frame_id]
                panels += [own.attention, own.aus[place].attention]
            for axis, panel in zip(row, panels, strict=True):
                axis.imshow(face if panel is None else _overlaid(face, panel))
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            row[0].set_ylabel(shown.name, fontsize=9)
        for axis, head in zip(axes[0], heads, strict=True):
            axis.set_title(head, fontsize=8)
        figure.subplots_adjust(0.08, 0.01, 0.99, 0.9, 0.05, 0.05)
        names = ", ".join(models[0].faces[frame].aus[place].name for frame, place in chosen)
        words = (
            f"Test faces ({names}), each with the AU map of its class and what the model "
            "looks at: its attention, and the map of the true class. Yellow is high."
        )
        return as_drawing(figure, "maps", "Faces, AU maps and maps of the model", words)


def _chosen(models: Sequence[MappedModel], images: Mapping[int, Path]) -> list[tuple[int, int]]:
    """Return the frame ids of the faces to draw, each with the place of its true class."""
    by_class: dict[int, list[int]] = {}
    for frame_id, face in models[0].faces.items():
        place = next((i for i, au in enumerate(face.aus) if au.true), None)
        if place is None or frame_id not in images:
            continue
        if all(
            frame_id in model.faces and _complete(model.faces[frame_id], place) for model in models
        ):
            by_class.setdefault(place, []).append(frame_id)
    turns = [
        (frames[turn], place)
        for turn in range(2)
        for place, frames in sorted(by_class.items())
        if len(frames) > turn
    ]
    return sorted(turns[:_ROWS], key=lambda pair: pair[1])


def _complete(face: DescribedFace, place: int) -> bool:
    au: AuRow = face.aus[place]
    has_guide = au.guide is not None and au.guide.max() > 0
    return has_guide and au.attention is not None and face.attention is not None


def _overlaid(face: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a grey face under the colours of a map, yellow where it is high, uint8 [s, s, 3].

    Args:
        face: the image, uint8 [s, s, 3].
        values: the map, float [rows, columns].
    """
    spread = np.ptp(values)
    share = (values - values.min()) / spread if spread > 0 else np.zeros_like(values)
    small = Image.fromarray(share.astype(np.float32))
    large = np.asarray(small.resize(face.shape[1::-1], Image.Resampling.BICUBIC))
    colours = colormaps["viridis"](np.clip(large, 0, 1))[..., :3]
    grey = face.mean(axis=2, keepdims=True) / 255
    mixed: np.ndarray = np.rint(255 * (0.45 * grey + 0.55 * colours)).astype(np.uint8)
    return mixed
