"""On a GPU, no step of training, testing or describing waits until the GPU has nothing to do."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor, nn

from fauds.captions import Words
from fauds.nn import MODELS, base, presets
from fauds.nn.base import Batch, Describes, Model, Spec
from fauds.runs import predict
from fauds.settings import RunSettings
from fauds.training import trainer
from fauds.training.face_set import CaptionTokens, FaceSet, FrameCaptions
from fauds.training.trainer import Training
from tests.fake_gpu import DEVICE, FakeGpu, WaitsForGpu, fake_gpu
from tests.nn.helpers import captions, face_landmarks

NAMES = ("AU01", "AU06", "AU12")
CLASSES = ("happiness", "anger", "neutral")
MULTICLASS = {"au-cues"}
"""The families that predict classes of which each image has one."""

FRAMES, BATCH, VOCABULARY = 8, 4, 11
ALWAYS = ("paper", "tiny", "tiny+cues")
PRESETS = [(name, preset) for name in MODELS for preset in presets.names(name)]
CHANGES = (
    f"training.batch_size={BATCH}",
    "training.ema=0.9",
    "training.workers=0",
    f"inference.batch_size={FRAMES}",
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> FaceSet:
    """Images of noise, and captions of different lengths, some of which are missing."""
    rng = np.random.default_rng(0)
    image = str(tmp_path_factory.mktemp("faces") / "face.png")
    cv2.imwrite(image, rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    local, global_ = (captions(7, words=words, vocab=VOCABULARY) for words in (5, 7))
    local[-1] = global_[-1] = 0
    tokens = CaptionTokens(local.numpy(), global_.numpy(), VOCABULARY, VOCABULARY)
    return FaceSet(
        landmarks=face_landmarks(64, FRAMES).numpy(),
        frame_ids=np.arange(FRAMES),
        images=np.array([image] * FRAMES),
        labels=rng.choice([-1, 0, 1], (FRAMES, len(NAMES))).astype(np.int8),
        subjects=np.array(["S1"] * FRAMES),
        captions=FrameCaptions(
            tokens, rng.integers(0, 7, (FRAMES, len(NAMES))), rng.integers(0, 7, FRAMES)
        ),
    )


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    """A GPU without hardware, in bfloat16, on which the functions of a run work."""
    AcceleratorState._reset_state()
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    with pytest.MonkeyPatch.context() as patch:
        for state in (PartialState(), accelerator.state):
            patch.setitem(state.__dict__, "device", DEVICE)
        for module in (trainer, predict):
            patch.setattr(module, "make_accelerator", lambda settings: accelerator)
        patch.setattr(predict, "device_description", lambda accelerator: "no GPU")
        patch.setattr(trainer, "_LOG_EVERY", 1)
        with fake_gpu() as device:
            yield device
    AcceleratorState._reset_state()


def built(gpu: FakeGpu, name: str, settings: RunSettings) -> Model:
    """Return an untrained model on the GPU."""
    model = settings.model
    vocabulary = {"local": VOCABULARY, "global": VOCABULARY}
    names, form = (CLASSES, "multiclass") if name in MULTICLASS else (NAMES, "multilabel")
    spec = Spec(names, form, vocabulary, model.image_size, model.mean, model.std)
    with torch.device("meta"):
        return gpu.move(MODELS[name].build(model.untrained(), spec))


def labelled_for(name: str, faces: FaceSet) -> FaceSet:
    """Return the faces with labels of the kind that a family predicts."""
    return replace(faces, labels=faces.labels[:, 0]) if name in MULTICLASS else faces


def train(gpu: FakeGpu, model: Model, faces: FaceSet, settings: RunSettings) -> Training:
    """Train for an epoch; what waits before its first step is not recorded."""
    training = Training(model, faces, np.ones(len(NAMES)), settings, 0, settings.training.epochs)
    gpu.waits.clear()
    training.epoch(0, None, lambda steps: None)
    return training


def on_gpu(*tensors: Tensor | None) -> bool:
    return all(tensor is not None and tensor.device == DEVICE for tensor in tensors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "preset"),
    [
        pytest.param(*one, marks=() if one[1] in ALWAYS else pytest.mark.exhaustive)
        for one in PRESETS
    ],
)
def test_no_step_of_a_training_waits_until_the_gpu_has_nothing_to_do(gpu, faces, name, preset):
    settings = presets.run_settings(name, preset, CHANGES)
    model = built(gpu, name, settings)
    losses = []
    loss = model.loss
    model.loss = lambda *inputs: losses.append(loss(*inputs)) or losses[-1]
    training = train(gpu, model, labelled_for(name, faces), settings)
    assert gpu.waits == []
    assert on_gpu(*model.parameters(), *model.buffers())
    assert on_gpu(*(value for terms in losses for value in terms.values()))
    state, _ = training.state()
    moments = 2 if settings.training.optimiser == "adamw" else 1
    assert len(state) > (1 + moments) * len(list(model.parameters()))
    assert on_gpu(*state.values())
    # The values of each step are read when the next step has been queued, the last step excepted.
    steps = FRAMES // BATCH
    reads = len(gpu.queued) // steps
    assert len(gpu.queued) == reads * steps
    assert min(gpu.queued[:-reads]) > 100


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_no_batch_of_a_test_waits_until_the_gpu_has_nothing_to_do(gpu, faces, name, preset):
    settings = presets.run_settings(name, preset, CHANGES)
    model, faces = built(gpu, name, settings), labelled_for(name, faces)
    result = predict.infer(model, faces, settings)
    assert result.scores.shape == (FRAMES, len(NAMES))
    assert predict.predict(model, faces, settings).shape == (FRAMES, len(NAMES))
    assert gpu.waits == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_a_word_of_a_beam_search_waits_only_for_an_event_of_the_word_before(
    gpu, faces, name, preset
):
    settings = presets.run_settings(name, preset, CHANGES)
    model = built(gpu, name, settings)
    if not model.can(Describes):
        pytest.skip(str(model.reason_without(Describes)))
    words = Words(tuple(map(str, range(VOCABULARY))), (True,) * VOCABULARY)
    steps = []
    for decoder in (model.local_decoder, model.global_decoder):
        if decoder is not None:
            step = decoder.step
            decoder.step = lambda *inputs, step=step: steps.append(len(gpu.queued)) or step(*inputs)
    predict.explain(model, faces, {"local": words, "global": words}, settings, NAMES)
    assert gpu.waits == []
    waits_a_word = np.diff(steps)
    assert waits_a_word.max() == 1
    assert min(gpu.queued[: steps[-1]]) > 10


class Small(Model):
    """One linear layer on the mean colour."""

    terms = ("entropy",)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, len(NAMES))

    @classmethod
    def build(cls, settings, spec):
        raise NotImplementedError

    def logits(self, images: Tensor) -> Tensor:
        return self.layer(images.mean(dim=(2, 3)))

    def forward(self, batch: Batch) -> Tensor:
        return self.logits(batch.images)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {"entropy": (batch.labels >= 0).sum().float()}

    def loss(self, output: Tensor, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        return {"entropy": (output * weights * (batch.labels >= 0)).sum()}

    def scores(self, images: Tensor) -> Tensor:
        return self.logits(images).float().sigmoid()


def constant(logits: Tensor) -> Tensor:
    return logits * torch.tensor([1.0, 2.0, 3.0], device=logits.device)


def unpinned(logits: Tensor) -> Tensor:
    return logits + torch.arange(3.0).to(logits.device, non_blocking=True)


WAITS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda logits: logits * logits.sum().item(),
    "a condition": lambda logits: logits if logits.sum() > 0 else -logits,
    "nonzero": lambda logits: logits[(logits[:, 0] > 0).nonzero()[:, 0]],
    "a mask as an index": lambda logits: logits[logits[:, 0] > 0],
    "a copy to the CPU": lambda logits: logits + logits.detach().cpu().max().item(),
    "a constant made on the CPU": constant,
    "a copy of memory that is not pinned": unpinned,
    "a list as an index": lambda logits: logits[:, [0, 1, 2]],
}


def small_settings() -> RunSettings:
    return presets.run_settings(
        "linear", "tiny", (*CHANGES, "model.image_size=56", "training.accumulate=2")
    )


@pytest.mark.parametrize("wait", [None, *WAITS])
def test_a_model_that_waits_for_the_gpu_is_found_out(gpu, faces, wait):
    class Waiting(Small):
        def logits(self, images: Tensor) -> Tensor:
            logits = super().logits(images)
            return logits if wait is None else WAITS[wait](logits)

    with torch.device("meta"):
        model = gpu.move(Waiting())
    for action in (partial(train, gpu), predict.predict):
        gpu.waits.clear()
        try:
            action(model, faces, small_settings())
        except WaitsForGpu as error:
            assert str(error) in gpu.waits
        assert bool(gpu.waits) == (wait is not None)
        assert all("tests/runs/test_waits.py" in line for line in gpu.waits)


def test_a_test_step_that_waits_for_the_gpu_is_found_out(gpu, faces):
    class Waiting(Small):
        def test_step(self, batch: Batch) -> base.TestOutputs:
            scores = self.scores(batch.images)
            return base.TestOutputs(scores, {"mean": (float(scores.sum()), scores.numel())})

    with torch.device("meta"):
        model = gpu.move(Waiting())
    with pytest.raises(WaitsForGpu, match="_local_scalar_dense"):
        predict.infer(model, faces, small_settings())
