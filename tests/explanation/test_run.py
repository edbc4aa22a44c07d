"""Frames keep their order and are held in bounded memory, however many faces they have."""

import weakref

import numpy as np
import pytest

from fauds.errors import DataError
from fauds.explanation import run as running
from fauds.explanation.engine import Explainer
from fauds.explanation.explained import MediaFrame
from fauds.explanation.face_cropping import FaceCrop
from fauds.explanation.weights import open_weights
from tests.explanation.models import write_weights

SIDE = 32


@pytest.fixture(scope="module")
def explainer(tmp_path_factory):
    path = write_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")
    return Explainer(open_weights(path), device="cpu", batch_size=4, describe=False)


class FakeCropper:
    """Finds as many faces as the first pixel of the image says."""

    def crop(self, image, at):
        if not image[0, 0, 0]:
            raise DataError("No face was found.")
        crops = [np.full((SIDE, SIDE, 3), 40 * at.frame % 250, np.uint8)] * int(image[0, 0, 0])
        return [
            FaceCrop((0, 0, index, 9), None, True, np.eye(2, 3), crop, None, index)
            for index, crop in enumerate(crops)
        ]


class RecordingWriter:
    """Records the frames that it receives."""

    def __init__(self):
        self.received = []

    def write(self, explanations):
        assert [explanation.index for explanation in explanations] == list(range(len(explanations)))
        assert [explanation.box[2] for explanation in explanations] == list(
            range(len(explanations))
        )
        self.received.append((explanations[0].frame, len(explanations)))

    def skip(self, frame, why):
        self.received.append((frame.number, why))

    def draw(self, frame, explanations):
        assert frame.image.shape == (SIDE, SIDE, 3)
        self.received.append((frame.number, len(explanations)))

    def close(self):
        pass


def frames(counts):
    """Yield frames with these numbers of faces; None is a frame that cannot be read."""
    for number, count in enumerate(counts, start=1):
        image = DataError("It is broken.")
        if count is not None:
            image = np.zeros((SIDE, SIDE, 3), np.uint8)
            image[0, 0, 0] = count
        yield MediaFrame("talk.avi", number, number / 10, 10.0, image)


COUNTS = [1, 0, 3, None, 2, 9, 0, 0, 0, 0, 0, 1, 1, None]


def test_every_frame_is_written_once_and_in_order(explainer):
    writer, painter, steps = RecordingWriter(), RecordingWriter(), []
    summary = running.run(
        frames(COUNTS), FakeCropper(), explainer, [writer], [painter], steps.append
    )
    expected = [
        (number, "It is broken." if count is None else count or "No face was found.")
        for number, count in enumerate(COUNTS, start=1)
    ]
    assert writer.received == expected
    assert painter.received == [(n, c) for n, c in enumerate(COUNTS, start=1) if c is not None]
    assert sum(steps) == summary.images == len(COUNTS)
    assert (summary.explained, summary.faces, summary.estimated) == (6, 17, 17)
    assert summary.skipped[:2] == [
        "talk.avi, frame 2: No face was found.",
        "talk.avi, frame 4: It is broken.",
    ]


def test_the_summary_lists_only_the_first_skipped_frames(explainer):
    summary = running.run(frames([0] * 50), FakeCropper(), explainer)
    assert (summary.images, summary.explained, len(summary.skipped)) == (50, 0, 10)


@pytest.mark.parametrize("painted", [False, True])
def test_few_frames_are_in_memory_at_once(explainer, monkeypatch, painted):
    # A limit that three frames and their crops exceed.
    monkeypatch.setattr(running, "_MAX_PENDING_BYTES", 6 * SIDE * SIDE * 3)
    monkeypatch.setattr(explainer, "batch_size", 100)
    images, most = [], 0

    def counted_frames():
        nonlocal most
        for frame in frames([1] * 40):
            images.append(weakref.ref(frame.image))
            most = max(most, sum(image() is not None for image in images))
            yield frame

    summary = running.run(
        counted_frames(), FakeCropper(), explainer, [], [RecordingWriter()] if painted else []
    )
    assert summary.images == 40
    assert most <= (7 if painted else 3)
