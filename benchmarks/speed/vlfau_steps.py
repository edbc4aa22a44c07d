"""Training and inference steps that `vlfau.py` times, and functions that time them."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from fauds.nn.base import Batch
from fauds.nn.layers.backbone import FourStages
from fauds.nn.layers.words import EOS
from fauds.nn.vlfau import VLFAU, vlfau_loss
from tests.nn.plain import PlainVLFAU

AUS, LOCAL_WORDS, GLOBAL_WORDS, VOCABULARY = 12, 32, 64, 300

Step = Callable[[], None]


@dataclass(frozen=True)
class Size:
    """A model and its batches.

    Attributes:
        title: the size in words.
        backbone: the timm name of the backbone.
        backbone_args: further arguments of the backbone.
        side: the side of the square images in pixels.
        dim: the width of the model.
        batch: the number of images per batch.
    """

    title: str
    backbone: str
    backbone_args: dict
    side: int
    dim: int
    batch: int

    def model(self) -> VLFAU:
        """Return a VL-FAU model of this size with random weights."""
        return VLFAU(
            backbone=self.backbone,
            backbone_args=self.backbone_args,
            image_size=self.side,
            dim=self.dim,
            num_aus=AUS,
            local_vocab=VOCABULARY,
            global_vocab=VOCABULARY,
            dropout=0.0,
        )

    def images(self, batch: int, device: str) -> torch.Tensor:
        """Return random images, float32 [batch, 3, side, side]."""
        return torch.randn(batch, 3, self.side, self.side, device=device)


SIZES = {
    "tiny": Size(
        title="small Swin, 112 pixels",
        backbone="swin_tiny_patch4_window7_224",
        backbone_args={
            "embed_dim": 32,
            "depths": (1, 1, 2, 1),
            "num_heads": (1, 2, 4, 8),
            "window_size": 7,
        },
        side=112,
        dim=128,
        batch=32,
    ),
    "swin-b": Size(
        title="Swin-B, 224 pixels",
        backbone="swin_base_patch4_window7_224.ms_in1k",
        backbone_args={},
        side=224,
        dim=512,
        batch=4,
    ),
}


class Bare(nn.Module):
    """The bare backbone: its last stage, pooled, and one linear layer to the AUs."""

    def __init__(self, backbone: FourStages) -> None:
        super().__init__()
        self.backbone = backbone
        self.linear = nn.Linear(backbone.channels[-1], AUS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(self.backbone(images)[-1].mean((2, 3)))


def captions(*shape: int, words: int, ragged: bool) -> torch.Tensor:
    """Return random captions of `words` words, or of half as many to `words` if `ragged`."""
    tokens = torch.randint(4, VOCABULARY, (*shape, words + 1))
    tokens[..., 0] = 1
    last = torch.randint(words // 2, words + 1, shape) if ragged else torch.full(shape, words)
    places = torch.arange(words + 1).expand_as(tokens)
    tokens[places == last[..., None]] = 2
    tokens[places > last[..., None]] = 0
    return tokens


class TrainingSteps:
    """Makes functions that each do one training step (forward, backward, AdamW) on one batch."""

    def __init__(self, size: Size, batch: int, device: str, ragged: bool) -> None:
        self._size, self._device = size, device
        self._images = size.images(batch, device)
        self._local = captions(batch, AUS, words=LOCAL_WORDS, ragged=ragged)
        self._whole = captions(batch, words=GLOBAL_WORDS, ragged=ragged)
        self._labels = torch.randint(0, 2, (batch, AUS), device=device)
        self._weights = torch.ones(AUS, device=device)

    def bare(self, amp: bool) -> Step:
        """Return a step of the bare backbone."""
        size = self._size

        def make() -> nn.Module:
            return Bare(FourStages(size.backbone, size.backbone_args, False, size.side))

        model = self._placed(make)

        def loss() -> torch.Tensor:
            logits = model(self._images).float()
            return F.binary_cross_entropy_with_logits(logits, self._labels.float())

        return self._step(model, loss, amp)

    def full(self, amp: bool, compiled: bool = False) -> Step:
        """Return a step of VL-FAU, with or without a compiled backbone."""
        model = self._placed(self._size.model)
        if compiled:
            model.backbone.compile()
        count = len(self._images)
        rows, views = torch.arange(count), torch.zeros(count, 2, 3)
        batch = Batch(self._images, self._labels, rows, views, self._local, self._whole)
        # As in training, captions are packed on the CPU, while the device does the step before.
        batch = batch.packed().to(torch.device(self._device))

        def loss() -> torch.Tensor:
            output = model(batch)
            return vlfau_loss(output, self._labels, self._weights)["total"]

        return self._step(model, loss, amp)

    def plain(self, amp: bool) -> Step:
        """Return a step of the plain implementation of VL-FAU's equations."""
        model = self._placed(lambda: PlainVLFAU(self._size.model()))
        local, whole = self._local.to(self._device), self._whole.to(self._device)

        def loss() -> torch.Tensor:
            return plain_loss(model(self._images, local, whole), local, whole, self._labels)

        return self._step(model, loss, amp)

    def _placed(self, make: Callable[[], nn.Module]) -> nn.Module:
        """Return a new model on the device."""
        return make().to(self._device)

    def _step(self, model: nn.Module, loss: Callable[[], torch.Tensor], amp: bool) -> Step:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self._device, dtype=torch.bfloat16, enabled=amp):
                value = loss()
            value.backward()
            optimizer.step()

        return step


def plain_loss(output, local, whole, labels) -> torch.Tensor:
    """Return the sum of VL-FAU's four loss terms without masks."""
    au_logits, spoken, described, gau = output
    words = F.cross_entropy(spoken.flatten(0, 2), local[..., 1:].flatten(), ignore_index=0)
    words = words + F.cross_entropy(described.flatten(0, 1), whole[:, 1:].flatten(), ignore_index=0)
    heads = torch.stack([au_logits, gau]).flatten(0, 2)
    return words + 2 * F.cross_entropy(heads, labels.flatten().repeat(2))


def inference_steps(size: Size, batch: int, device: str, amp: bool) -> dict[str, Step]:
    """Return inference steps: the backbone, AU probabilities, and these with captions."""
    model = size.model().to(device).eval()
    for decoder in (model.local_decoder, model.global_decoder):
        decoder.readout.bias.data[EOS] = -1e4
    images = size.images(batch, device)
    longest = {"max_words_local": LOCAL_WORDS, "max_words_global": GLOBAL_WORDS}
    runs = {
        "backbone": lambda: model.stem(images),
        "AUs": lambda: model.predict(images),
        "AUs and texts": lambda: model.explain(images, beam_width=3, **longest),
    }

    def without_gradients(run: Callable[[], object]) -> Step:
        def step() -> None:
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=amp):
                run()

        return step

    return {name: without_gradients(run) for name, run in runs.items()}


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def take_turns(
    steps: dict[str, Step], turns: int, device: str, clock=time.perf_counter, each: int = 1
) -> dict[str, list[float]]:
    """Run the steps in turns and return their seconds in every turn; the first turn is not timed.

    Args:
        steps: the steps by name.
        turns: the number of turns.
        device: the device that the steps run on.
        clock: the function that returns the time in seconds.
        each: how often a step runs in one turn; the mean is its time.
    """
    seconds = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            synchronise(device)
            start = clock()
            for _ in range(each):
                step()
            synchronise(device)
            if turn:
                seconds[name].append((clock() - start) / each)
    return seconds


def ratio(seconds: dict[str, list[float]], over: str, under: str) -> float:
    """Return the median over turns of the ratio of two steps' seconds."""
    pairs = zip(seconds[over], seconds[under], strict=True)
    return statistics.median(a / b for a, b in pairs)
