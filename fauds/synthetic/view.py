"""Views of a synthetic face: head pose, crop, light, gaze, background and sensor noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Shade = tuple[float, float, float]


@dataclass(frozen=True)
class View:
    """How a face is shown in one frame: pose, crop, light, gaze, background and noise.

    Attributes:
        yaw: the yaw in degrees; positive values turn the nose to the right of the image.
        pitch: the pitch in degrees; positive values lift the nose.
        roll: the roll in degrees; positive values turn the head clockwise on screen.
        scale: the factor by which the face is enlarged.
        shift: the displacement of the face, (x, y) in 1/128 of the image side.
        light: the strength of light from the right and of light from below, each -1 to 1, which
            is added to the light from above.
        exposure: the factor by which the image is brightened.
        tint: the colour of the light, as factors of red, green and blue.
        gaze: the displacement of the irises, (x, y) in 1/128 of the image side.
        background: the RGB colours, 0 to 255, of the background at the top and at the bottom.
        noise: the standard deviation of the sensor noise in grey levels.
        seed: the seed of the sensor noise.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    light: tuple[float, float] = (0.0, 0.0)
    exposure: float = 1.0
    tint: Shade = (1.0, 1.0, 1.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    background: tuple[Shade, Shade] = ((150, 158, 168), (112, 118, 128))
    noise: float = 2.0
    seed: int = 0


def draw_views(rng: np.random.Generator, n: int) -> list[View]:
    """Sample how the face is shown in each frame of a sequence.

    Light and background are the same in all frames, and the crop nearly so. The pose drifts
    smoothly in time; yaw and pitch stay within 10 degrees and roll within 6. The same state of the
    generator gives the same views.

    Args:
        rng: the random generator.
        n: the number of frames.

    Raises:
        ValueError: `n` is less than 1.
    """
    if n < 1:
        raise ValueError(f"a sequence needs at least one frame, not {n}")
    centre = rng.standard_normal(3) * (3.0, 2.2, 1.4)
    path = np.clip(centre + _drift(rng, n, 3) * (2.2, 1.8, 1.2), (-10, -10, -6), (10, 10, 6))
    crop = np.clip(rng.standard_normal(3), -2, 2) * (0.02, 0.8, 0.8) + (1.0, 0.0, 0.0)
    wander = _drift(rng, n, 5)
    light = rng.uniform(-1, 1, 2) * (0.8, 0.4)
    exposure = float(rng.uniform(0.86, 1.1))
    tint = _shade(1 + rng.uniform(-0.04, 0.04, 3))
    grey = rng.uniform(50, 205) + rng.uniform(-14, 14, (2, 3)) + ((12,), (-12,))
    background = (_shade(grey[0]), _shade(grey[1]))
    noise = float(rng.uniform(1.2, 3.0))
    seeds = rng.integers(2**31, size=n)
    gaze = np.clip(wander[:, 3:5] * (0.7, 0.3), -1.6, 1.6)
    return [
        View(
            yaw=float(path[i, 0]),
            pitch=float(path[i, 1]),
            roll=float(path[i, 2]),
            scale=float(crop[0] * (1 + 0.004 * wander[i, 0])),
            shift=(float(crop[1] + 0.35 * wander[i, 1]), float(crop[2] + 0.35 * wander[i, 2])),
            light=(float(light[0]), float(light[1])),
            exposure=exposure,
            tint=tint,
            gaze=(float(gaze[i, 0]), float(gaze[i, 1])),
            background=background,
            noise=noise,
            seed=int(seeds[i]),
        )
        for i in range(n)
    ]


def _shade(values: np.ndarray) -> Shade:
    red, green, blue = map(float, values)
    return red, green, blue


def _drift(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Return k smooth random curves over n frames, [n, k], each the sum of four slow sines.

    Their means are near 0 and their standard deviations near 1.
    """
    time = np.arange(n)[:, None, None] / 300.0
    frequency = rng.uniform(0.3, 3.0, (1, k, 4))
    phase = rng.uniform(0, 2 * np.pi, (1, k, 4))
    paths: np.ndarray = np.sin(2 * np.pi * frequency * time + phase).sum(2) / np.sqrt(2)
    return paths
