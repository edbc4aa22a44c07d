"""Identities: the properties of a synthetic person's face that are the same in all frames.

Lengths are in units of 1/128 of the image side, so a face has the same shape in images of any size.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypedDict

import numpy as np

Colour = tuple[int, int, int]

SKIN_TONES = np.array(
    [
        (247, 217, 199),
        (238, 200, 176),
        (226, 180, 149),
        (203, 153, 119),
        (170, 121, 90),
        (132, 92, 69),
        (101, 71, 56),
    ],
    np.float32,
)
HAIR_COLOURS: tuple[Colour, ...] = (
    (30, 26, 26),
    (52, 38, 32),
    (84, 58, 42),
    (128, 92, 60),
    (176, 142, 96),
    (122, 62, 38),
)
IRIS_COLOURS: tuple[Colour, ...] = (
    (62, 42, 30),
    (84, 58, 38),
    (96, 92, 62),
    (92, 118, 142),
    (104, 122, 116),
)
HAIR_STYLES = ("bald", "short", "side", "tied", "bob", "long")


@dataclass(frozen=True)
class Identity:
    """The properties of a synthetic person's face that are the same in all frames.

    Lengths and positions, such as `mouth_width`, are in 1/128 of the image side; strengths, such
    as `lip_redness`, and the age are from 0 to 1; colours are RGB, 0 to 255. `texture_seed`
    determines the skin texture and the strands of hair. Identities are hashable, so that drawings
    of the face can be cached.
    """

    sex: str
    age: float
    skin_tone: float
    skin_warmth: float
    face_width: float
    jaw_width: float
    chin_y: float
    chin_roundness: float
    hairline: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_gap: float
    brow_darkness: float
    eye_spacing: float
    eye_width: float
    eye_aperture: float
    eye_tilt: float
    lid_fold: float
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    lip_redness: float
    hair_volume: float
    moustache: float
    beard: float
    glasses: float
    mobility: float
    asymmetry: float
    hair_style: str
    hair_colour: Colour
    iris_colour: Colour
    cloth_colour: Colour
    texture_seed: int

    @property
    def skin_colour(self) -> np.ndarray:
        """The RGB colour of the skin before texture and light are added, 0 to 255, float32 [3]."""
        place = np.clip(self.skin_tone, 0, 1) * (len(SKIN_TONES) - 1)
        low = min(int(place), len(SKIN_TONES) - 2)
        colour = SKIN_TONES[low] + (SKIN_TONES[low + 1] - SKIN_TONES[low]) * (place - low)
        warmth = np.array([2.0, 0.0, -6.0], np.float32) * self.skin_warmth
        skin: np.ndarray = (colour + warmth).astype(np.float32)
        return skin


_NOT_ATTRIBUTES = ("hair_style", "hair_colour", "iris_colour", "cloth_colour", "texture_seed")
ATTRIBUTES = tuple(
    f.name for f in fields(Identity) if f.name not in _NOT_ATTRIBUTES and f.name != "mobility"
)
"""The names of the values of `identity_attributes`, in order; `sex` is 0 for F and 1 for M."""


def identity_attributes(identity: Identity) -> np.ndarray:
    """Return numbers that describe a person's face, in the order of `ATTRIBUTES`, float32 [K].

    Examples are the width of the face and the height of the brows. All these attributes are visible
    in the neutral face and none depends on action units, so they can serve as regression targets.
    The numbers have the units of `Identity` and are not standardised.
    """
    values = [
        float(identity.sex == "M") if name == "sex" else float(getattr(identity, name))
        for name in ATTRIBUTES
    ]
    return np.array(values, np.float32)


def draw_identity(rng: np.random.Generator, sex: str | None = None) -> Identity:
    """Sample the properties of a person's face.

    The same state of the generator gives the same identity.

    Args:
        rng: the random generator.
        sex: "F", "M", or None to sample it.

    Raises:
        ValueError: `sex` has another value.
    """
    if sex is None:
        sex = "M" if rng.random() < 0.5 else "F"
    if sex not in ("F", "M"):
        raise ValueError(f"sex must be 'F', 'M' or None, not {sex!r}")
    man = sex == "M"
    age = float(rng.beta(1.4, 2.4))
    tone = float(rng.uniform())
    return Identity(
        sex=sex,
        age=age,
        skin_tone=tone,
        skin_warmth=float(rng.uniform(-1, 1)),
        texture_seed=int(rng.integers(2**31)),
        **_outline(rng, man),
        **_features(rng, man),
        **_mouth(rng, man),
        **_hair(rng, man, age, tone),
    )


def _spread(rng: np.random.Generator, mean: float, deviation: float) -> float:
    """Sample a normal value, limited to two standard deviations, so that faces fit into images."""
    return float(mean + deviation * np.clip(rng.standard_normal(), -2, 2))


def _outline(rng: np.random.Generator, man: bool) -> dict[str, float]:
    return {
        "face_width": _spread(rng, 37.5 if man else 36.5, 1.2),
        "jaw_width": _spread(rng, 0.98 if man else 0.92, 0.035),
        "chin_y": _spread(rng, 43.5 if man else 42.0, 1.1),
        "chin_roundness": float(rng.uniform()),
        "hairline": _spread(rng, -43.0 if man else -42.0, 1.8),
        "asymmetry": _spread(rng, 0.0, 0.05),
        "mobility": _spread(rng, 1.0, 0.07),
    }


def _features(rng: np.random.Generator, man: bool) -> dict[str, float]:
    return {
        "brow_height": _spread(rng, 10.2 if man else 11.0, 0.7),
        "brow_thickness": _spread(rng, 3.7 if man else 2.7, 0.4),
        "brow_arch": _spread(rng, 0.5 if man else 1.1, 0.4),
        "brow_gap": _spread(rng, 7.2 if man else 7.8, 0.5),
        "brow_darkness": float(rng.uniform(0.7, 1.0)),
        "eye_spacing": _spread(rng, 17.2, 0.6),
        "eye_width": _spread(rng, 8.7 if man else 9.0, 0.35),
        "eye_aperture": _spread(rng, 7.2 if man else 7.6, 0.4),
        "eye_tilt": _spread(rng, 0.6, 0.5),
        "lid_fold": float(rng.uniform()),
        "nose_length": _spread(rng, 25.2 if man else 24.2, 0.9),
        "nose_width": _spread(rng, 7.5 if man else 6.8, 0.6),
        "glasses": float(rng.random() < 0.12),
    }


def _mouth(rng: np.random.Generator, man: bool) -> dict[str, float]:
    return {
        "mouth_y": _spread(rng, 22.8, 0.6),
        "mouth_width": _spread(rng, 14.0 if man else 13.4, 0.8),
        "lip_upper": _spread(rng, 3.4 if man else 3.9, 0.45),
        "lip_lower": _spread(rng, 4.4 if man else 4.9, 0.5),
        "lip_redness": float(rng.uniform(0.15, 0.5) if man else rng.uniform(0.35, 1.0)),
    }


class _Hair(TypedDict):
    hair_style: str
    hair_colour: Colour
    iris_colour: Colour
    cloth_colour: Colour
    hair_volume: float
    moustache: float
    beard: float


def _hair(rng: np.random.Generator, man: bool, age: float, tone: float) -> _Hair:
    chances = (0.13, 0.47, 0.40, 0, 0, 0) if man else (0, 0.06, 0.08, 0.26, 0.28, 0.32)
    style = HAIR_STYLES[int(rng.choice(len(HAIR_STYLES), p=chances))]
    fairest = len(HAIR_COLOURS) if tone < 0.5 else 3
    colour = np.array(HAIR_COLOURS[int(rng.integers(fairest))], float)
    grey = np.clip((age - 0.45) * 2.5, 0, 1) * rng.uniform(0, 1)
    colour = colour + (np.array([158, 155, 152]) - colour) * grey
    whiskers = rng.random() if man else 1.0
    return {
        "hair_style": style,
        "hair_colour": _whole(colour),
        "iris_colour": IRIS_COLOURS[int(rng.integers(len(IRIS_COLOURS) if tone < 0.5 else 2))],
        "cloth_colour": _whole(rng.integers(40, 200, 3)),
        "hair_volume": float(rng.uniform()),
        "moustache": float(rng.uniform(0.25, 0.6)) if whiskers < 0.28 else 0.0,
        "beard": float(rng.uniform(0.15, 0.5)) if whiskers < 0.22 else 0.0,
    }


def _whole(colour: np.ndarray) -> Colour:
    red, green, blue = map(int, colour)
    return red, green, blue
