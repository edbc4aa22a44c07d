"""What `vlfau.py` times: training steps and inference passes as closures, and their clock."""

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
    """A model and the batches that it is timed with; images are square, side in pixels."""

    title: str
    backbone: str
    backbone_args: dict
    side: int
    dim: int
    batch: int

    def model(self) -> VLFAU:
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
    """The backbone alone: its last stage, pooled, one Linear to the AUs."""

    def __init__(self, stem: FourStages) -> None:
        super().__init__()
        self.stem = stem
        self.linear = nn.Linear(stem.channels[-1], AUS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(self.stem(images)[-1].mean((2, 3)))


def captions(*shape: int, words: int, ragged: bool) -> torch.Tensor:
    """Random sequences that predict `words` words, or between half as many and `words`."""
    tokens = torch.randint(4, VOCABULARY, (*shape, words + 1))
    tokens[..., 0] = 1
    last = torch.randint(words // 2, words + 1, shape) if ragged else torch.full(shape, words)
    places = torch.arange(words + 1).expand_as(tokens)
    tokens[places == last[..., None]] = 2
    tokens[places > last[..., None]] = 0
    return tokens


class TrainingSteps:
    """Makes closures that each do one training step on the same batch: there, back, AdamW."""

    def __init__(self, size: Size, batch: int, device: str, ragged: bool) -> None:
        self._size, self._device = size, device
        self._images = size.images(batch, device)
        self._local = captions(batch, AUS, words=LOCAL_WORDS, ragged=ragged).to(device)
        self._whole = captions(batch, words=GLOBAL_WORDS, ragged=ragged).to(device)
        self._labels = torch.randint(0, 2, (batch, AUS), device=device)
        self._weights = torch.ones(AUS, device=device)

    def bare(self, amp: bool) -> Step:
        """The backbone, and one Linear."""
        size = self._size
        stem = FourStages(size.backbone, size.backbone_args, False, size.side)
        model = Bare(stem).to(self._device)

        def loss() -> torch.Tensor:
            logits = model(self._images).float()
            return F.binary_cross_entropy_with_logits(logits, self._labels.float())

        return self._step(model, loss, amp)

    def full(self, amp: bool, compiled: bool = False) -> Step:
        """VL-FAU, its backbone compiled or not."""
        model = self._size.model().to(self._device)
        if compiled:
            model.backbone.compile()
        count = len(self._images)
        rows, views = torch.arange(count), torch.zeros(count, 2, 3)
        batch = Batch(self._images, self._labels, rows, views, self._local, self._whole)

        def loss() -> torch.Tensor:
            output = model(batch)
            return vlfau_loss(output, self._labels, self._weights)["total"]

        return self._step(model, loss, amp)

    def plain(self, amp: bool) -> Step:
        """VL-FAU as its equations read."""
        model = PlainVLFAU(self._size.model()).to(self._device)

        def loss() -> torch.Tensor:
            output = model(self._images, self._local, self._whole)
            return plain_loss(output, self._local, self._whole, self._labels)

        return self._step(model, loss, amp)

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
    """The same four terms without their masks."""
    au_logits, spoken, described, gau = output
    words = F.cross_entropy(spoken.flatten(0, 2), local[..., 1:].flatten(), ignore_index=0)
    words = words + F.cross_entropy(described.flatten(0, 1), whole[:, 1:].flatten(), ignore_index=0)
    heads = torch.stack([au_logits, gau]).flatten(0, 2)
    return words + 2 * F.cross_entropy(heads, labels.flatten().repeat(2))


def inference_steps(size: Size, batch: int, device: str, amp: bool) -> dict[str, Step]:
    """The backbone alone; AU probabilities; AU probabilities and all captions."""
    model = size.model().to(device).eval()
    for decoder in (model.local_decoder, model.global_decoder):
        decoder.readout.bias.data[EOS] = -1e4
    images = size.images(batch, device)
    longest = {"max_words_local": LOCAL_WORDS, "max_words_global": GLOBAL_WORDS}
    passes = {
        "backbone": lambda: model.stem(images),
        "AUs": lambda: model.predict(images),
        "AUs and texts": lambda: model.explain(images, beam_width=3, **longest),
    }

    def quietly(run: Callable[[], object]) -> Step:
        def step() -> None:
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=amp):
                run()

        return step

    return {name: quietly(run) for name, run in passes.items()}


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def take_turns(
    steps: dict[str, Step], turns: int, device: str, clock=time.perf_counter, each: int = 1
) -> dict[str, list[float]]:
    """Seconds of every variant's step in every turn; one unmeasured turn first.

    Args:
        each: steps that a variant does in one turn; their mean is its time.
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
    """The median of each turn's own ratio."""
    pairs = zip(seconds[over], seconds[under], strict=True)
    return statistics.median(a / b for a, b in pairs)
