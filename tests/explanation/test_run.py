"""Pictures keep their order and wait in bounded memory, whatever their faces."""

import weakref

import numpy as np
import pytest

from fauds.errors import DataError
from fauds.explanation import run as running
from fauds.explanation.cutting import Cut
from fauds.explanation.engine import Explainer
from fauds.explanation.explained import MediaFrame
from fauds.explanation.weights import open_weights
from tests.explanation.models import write_weights

SIDE = 32


@pytest.fixture(scope="module")
def explainer(tmp_path_factory):
    path = write_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")
    return Explainer(open_weights(path), device="cpu", batch_size=4, describe=False)


class Cutter:
    """Finds as many faces as the picture's first pixel says."""

    def cut(self, image, at):
        if not image[0, 0, 0]:
            raise DataError("No face was found.")
        crops = [np.full((SIDE, SIDE, 3), 40 * at.frame % 250, np.uint8)] * int(image[0, 0, 0])
        return [
            Cut((0, 0, index, 9), None, True, np.eye(2, 3), crop)
            for index, crop in enumerate(crops)
        ]


class Sink:
    """Remembers what it is given."""

    def __init__(self):
        self.taken = []

    def write(self, explanations):
        assert [said.index for said in explanations] == list(range(len(explanations)))
        assert [said.box[2] for said in explanations] == list(range(len(explanations)))
        self.taken.append((explanations[0].frame, len(explanations)))

    def skip(self, source, frame, timestamp, why):
        self.taken.append((frame, why))

    def draw(self, frame, explanations):
        assert frame.image.shape == (SIDE, SIDE, 3)
        self.taken.append((frame.number, len(explanations)))

    def close(self):
        pass


def frames(counts):
    """Pictures with so many faces each; None is one that cannot be read."""
    for number, count in enumerate(counts, start=1):
        image = DataError("It is broken.")
        if count is not None:
            image = np.zeros((SIDE, SIDE, 3), np.uint8)
            image[0, 0, 0] = count
        yield MediaFrame("talk.avi", number, number / 10, 10.0, image)


COUNTS = [1, 0, 3, None, 2, 9, 0, 0, 0, 0, 0, 1, 1, None]


def test_every_picture_is_passed_on_once_and_in_order(explainer):
    sink, painter, steps = Sink(), Sink(), []
    summary = running.run(frames(COUNTS), Cutter(), explainer, [sink], [painter], steps.append)
    expected = [
        (number, "It is broken." if count is None else count or "No face was found.")
        for number, count in enumerate(COUNTS, start=1)
    ]
    assert sink.taken == expected
    assert painter.taken == [(n, c) for n, c in enumerate(COUNTS, start=1) if c is not None]
    assert sum(steps) == summary.pictures == len(COUNTS)
    assert (summary.explained, summary.faces, summary.estimated) == (6, 17, 17)
    assert summary.skipped[:2] == [
        "talk.avi, frame 2: No face was found.",
        "talk.avi, frame 4: It is broken.",
    ]


def test_only_so_many_skipped_pictures_are_named(explainer):
    summary = running.run(frames([0] * 50), Cutter(), explainer)
    assert (summary.pictures, summary.explained, len(summary.skipped)) == (50, 0, 10)


@pytest.mark.parametrize("painted", [False, True])
def test_few_pictures_are_in_memory_at_once(explainer, monkeypatch, painted):
    # As if pictures were so large that three of them, with their crops, are too many.
    monkeypatch.setattr(running, "_HELD", 6 * SIDE * SIDE * 3)
    monkeypatch.setattr(explainer, "batch_size", 100)
    seen, most = [], 0

    def pictures():
        nonlocal most
        for frame in frames([1] * 40):
            seen.append(weakref.ref(frame.image))
            most = max(most, sum(image() is not None for image in seen))
            yield frame

    summary = running.run(pictures(), Cutter(), explainer, [], [Sink()] if painted else [])
    assert summary.pictures == 40
    assert most <= (7 if painted else 3)
