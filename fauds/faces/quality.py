"""Landmarks that are likely wrong, flagged frame by frame; nothing is dropped for a flag."""

import numpy as np

from fauds.faces.landmarks import MOUTH_CORNERS, Marks

_LONGEST_MOVE = 1 / 2
_LARGEST_GROWTH = 1 / 3


def inter_ocular(marks: Marks) -> np.ndarray:
    """Return the distance between the eye centres, pixels, float32 [N]; NaN where unknown."""
    return np.linalg.norm(marks.eyes[:, 1] - marks.eyes[:, 0], axis=1).astype(np.float32)


def outside(marks: Marks, sizes: np.ndarray) -> np.ndarray:
    """Return where a known point, an eye centre or the box reaches out of the image, bool [N].

    Args:
        marks: of N faces.
        sizes: of their images, width and height in pixels, int [N, 2]. An image reaches from
            -0.5, half a pixel before the middle of its first, to its size - 0.5.
    """
    places = np.concatenate([marks.points, marks.eyes, marks.boxes.reshape(-1, 2, 2)], 1)
    # Comparisons with what is not known are False.
    return ((places < -0.5) | (places > sizes[:, None] - 0.5)).any((1, 2))


def eyes_crossed(marks: Marks) -> np.ndarray:
    """Return where eyes or mouth cannot be where they are said to be, bool [N].

    That is where the image-left eye's centre is not left of the other's, or where the middle of
    the mouth's corners lies above the line through the eyes, in the direction square to it.
    """
    left, right = marks.eyes[:, 0], marks.eyes[:, 1]
    across = right - left
    down = marks.points[:, MOUTH_CORNERS].mean(1) - (left + right) / 2
    above = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] <= 0
    return (across[:, 0] <= 0) | above


def jump(marks: Marks, frames: np.ndarray) -> np.ndarray:
    """Return where the eyes moved further in one frame than heads move, bool [N].

    Args:
        marks: of one sequence.
        frames: its label frame numbers, rising, int [N].

    Returns:
        True where, against the frame whose number is one less, the middle between the eyes moved
        by more than half of that frame's inter-ocular distance, or that distance changed by more
        than a third; False where either frame's eyes are not known.
    """
    distance = np.linalg.norm(marks.eyes[:, 1] - marks.eyes[:, 0], axis=1)
    moved = np.linalg.norm(np.diff(marks.eyes.mean(1), axis=0), axis=1)
    far = moved > distance[:-1] * _LONGEST_MOVE
    grown = np.abs(np.diff(distance)) > distance[:-1] * _LARGEST_GROWTH
    found = np.zeros(len(frames), bool)
    found[1:] = (far | grown) & (np.diff(frames) == 1)
    return found
