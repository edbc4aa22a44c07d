"""People and expressions of synthetic releases of single images, each image with one expression.

An expression is drawn by the action units (AUs) that the codebook of `fauds.facs.expression_aus`
gives it, with natural variation at rates that were fixed before any model was trained on such faces
and are not adjusted: each AU is left out with probability `LEFT_OUT`, and with probability
`UNRELATED` one AU is added that does not belong to the expression.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fauds.errors import UsageError
from fauds.facs import expression_aus
from fauds.registry import unknown_name_error
from fauds.synthetic.geometry import FACE_AUS
from fauds.synthetic.population import check_seed, generator

LEFT_OUT = 0.25
"""The probability that an AU of the expression is left out; at least one AU remains."""

UNRELATED = 0.15
"""The probability that a face shows one AU that does not belong to its expression."""

SHOWN_LEVELS = {2: 0.2, 3: 0.35, 4: 0.3, 5: 0.15}
"""The probability of each intensity (2 is B, 5 is E) of an AU that belongs to the expression."""

UNRELATED_LEVELS = {1: 0.4, 2: 0.4, 3: 0.2}
"""The probability of each intensity (1 is A, 3 is C) of an AU that does not belong to it."""

_INSTEAD = {"AU27": ("AU25", "AU26")}
"""What is drawn for an AU that the synthetic faces cannot show; AU16 is not drawn at all."""

_WITHOUT_CODEBOOK = {"neutral": (), "contempt": ("AU14",)}
"""The AUs of expressions that are not in the codebook.

Contempt is a tightened lip corner, AU14 (Ekman and Friesen, 1986); in people on one side only.
"""


@dataclass(frozen=True)
class ExpressionLayout:
    """The people, images and classes of a synthetic release of single images.

    Attributes:
        folders: the names of its folders in the root of the release.
        shares: how often each expression is shown, relative to the others, in the training part.
        test_shares: the same in the test part.
        people: the default number of people; a third of them are in the test part.
        images: the default number of images per training person; a test person has two thirds.
        size: the default height and width of a face in pixels.
    """

    folders: tuple[str, ...]
    shares: Mapping[str, float]
    test_shares: Mapping[str, float]
    people: int = 90
    images: int = 24
    size: int = 112


def _roots(counts: Mapping[str, int]) -> dict[str, float]:
    return {name: float(count**0.5) for name, count in counts.items()}


# The numbers of training images by class in the two releases. Their square roots keep the order of
# the classes, but leave enough images of rare classes in a small release.
_RAFDB = _roots(
    {
        "surprise": 1290,
        "fear": 281,
        "disgust": 717,
        "happiness": 4772,
        "sadness": 1982,
        "anger": 705,
        "neutral": 2524,
    }
)
_AFFECTNET = _roots(
    {
        "neutral": 74874,
        "happiness": 134415,
        "sadness": 25459,
        "surprise": 14090,
        "fear": 6378,
        "disgust": 3803,
        "anger": 24882,
        "contempt": 3750,
    }
)
# AffectNet's validation part has as many images of each class.
_BALANCED = dict.fromkeys(_AFFECTNET, 1.0)

EXPRESSION_LAYOUTS = {
    "rafdb": ExpressionLayout(("basic",), _RAFDB, _RAFDB),
    "affectnet": ExpressionLayout(("train_set", "val_set"), _AFFECTNET, _BALANCED),
    "affectnet-csv": ExpressionLayout(
        ("Manually_Annotated_file_lists", "Manually_Annotated_Images"), _AFFECTNET, _BALANCED
    ),
}
"""The layouts of datasets of single images by the names that `fauds synth --like` takes."""


@dataclass(frozen=True)
class Portrait:
    """One image of a synthetic release.

    Attributes:
        number: the number of the image in its part, from 1.
        split: the part that the image is in, "train" or "test".
        subject: the id of the person, such as P07.
        sex: the person's sex, "F" or "M".
        expression: the name of the expression, such as "happiness".
        intensities: the intensities of the AUs in `fauds.synthetic.geometry.FACE_AUS`, 0 to 5.
    """

    number: int
    split: str
    subject: str
    sex: str
    expression: str
    intensities: tuple[int, ...]


def draw_expression(rng: np.random.Generator, expression: str) -> np.ndarray:
    """Sample the intensities of the action units of a face that shows an expression.

    Args:
        rng: the random generator.
        expression: a name of the codebook, "neutral" or "contempt".

    Returns:
        The intensities of the AUs in `fauds.synthetic.geometry.FACE_AUS`, 0 to 5, int8 [17].

    Raises:
        UsageError: the expression is unknown.
    """
    aus = _drawable(expression)
    levels = np.zeros(len(FACE_AUS), np.int8)
    if aus:
        kept = rng.random(len(aus)) >= LEFT_OUT
        if not kept.any():
            kept[rng.integers(len(aus))] = True
        for au in np.array(aus)[kept]:
            levels[FACE_AUS.index(au)] = _level(rng, SHOWN_LEVELS)
    if rng.random() < UNRELATED:
        others = [au for au in FACE_AUS if au not in aus]
        levels[FACE_AUS.index(str(rng.choice(others)))] = _level(rng, UNRELATED_LEVELS)
    return levels


def _drawable(expression: str) -> tuple[str, ...]:
    """Return the AUs of an expression that the synthetic faces can show, in FACS order."""
    known = expression_aus() | _WITHOUT_CODEBOOK
    if expression not in known:
        raise unknown_name_error("expression", expression, [*known])
    aus = known[expression]
    shown = {part for au in aus for part in _INSTEAD.get(au, (au,))}
    return tuple(au for au in FACE_AUS if au in shown)


def _level(rng: np.random.Generator, levels: Mapping[int, float]) -> int:
    return int(rng.choice([*levels], p=[*levels.values()]))


def lay_out_portraits(
    like: str, *, people: int | None = None, images: int | None = None, seed: int = 0
) -> list[Portrait]:
    """Return the images of a synthetic release of single images, the training part first.

    Two thirds of the people are in the training part and one third in the test part, so no person
    is in both. Women and men take turns. The images of a part are in random order.

    Args:
        like: the layout, a key of `EXPRESSION_LAYOUTS`.
        people: the number of people, 3 or more; None for the layout's default.
        images: the number of images per training person, 1 or more; a test person has two thirds as
            many, rounded up. None for the layout's default.
        seed: the random seed, 0 or more.

    Raises:
        UsageError: the layout is unknown, the seed is negative, or there are fewer than three
            people or less than one image per person.
    """
    check_seed(seed)
    if like not in EXPRESSION_LAYOUTS:
        raise unknown_name_error("layout of single images", like, [*EXPRESSION_LAYOUTS])
    layout = EXPRESSION_LAYOUTS[like]
    people = layout.people if people is None else people
    images = layout.images if images is None else images
    if images < 1:
        raise UsageError(
            f"The number of images per person is {images}.", hint="choose 1 or more (--frames)"
        )
    if people < 3:
        raise UsageError(
            f"The number of subjects is {people}.",
            hint="choose 3 or more (--subjects): a third of the people are in the test part",
        )
    names = [f"P{number:0{len(str(people))}d}" for number in range(1, people + 1)]
    tested = people // 3
    parts = {
        "train": (names[:-tested], images, layout.shares),
        "test": (names[-tested:], -(-images * 2 // 3), layout.test_shares),
    }
    return [
        portrait
        for split, (subjects, count, shares) in parts.items()
        for portrait in _part(split, subjects, count, shares, seed)
    ]


def _part(
    split: str, subjects: Sequence[str], count: int, shares: Mapping[str, float], seed: int
) -> list[Portrait]:
    everyone = [(subject, at) for subject in subjects for at in range(count)]
    order = generator(seed, "order", split).permutation(len(everyone))
    chances = np.array([*shares.values()]) / sum(shares.values())
    portraits = []
    for number, place in enumerate(order.tolist(), start=1):
        subject, at = everyone[place]
        rng = generator(seed, "expression", subject, str(at))
        expression = str(rng.choice([*shares], p=chances))
        levels = tuple(draw_expression(rng, expression).tolist())
        sex = "FM"[int(subject[1:]) % 2]
        portraits.append(Portrait(number, split, subject, sex, expression, levels))
    return portraits
