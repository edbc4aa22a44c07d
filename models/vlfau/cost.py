"""What each preset of VL-FAU costs: its parameters, and the operations that one face takes.

    python models/vlfau/cost.py
    python models/vlfau/cost.py tiny full

Prints the rows of the model card's table. Counted are the floating-point operations of matrix
products, convolutions and attention in one forward pass, a multiply-add as two. Looking a word up
costs none, and what works element by element is not counted.
"""

import sys
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, mm_flop

from fauds.facs import AUS as AU_NAMES
from fauds.nn import presets
from fauds.nn.base import Batch, Model
from fauds.nn.presets import run_settings
from fauds.nn.vlfau import VLFAU
from fauds.training.loop import build_model

AUS, VOCABULARY, LOCAL_WORDS, GLOBAL_WORDS = 12, 300, 32, 64
PRESETS = ("baseline", "marl", "marl-llga", "marl-glga", "full", "tiny")
HEADING = "| preset | face | parameters | of these, the backbone | AUs | AUs and descriptions |"


class Cost(NamedTuple):
    """Of one preset: pixels a side, parameters, and operations of one face's forward pass.

    `described` has the texts' words fed to the decoders, as in training; it is `recognised` for a
    preset that writes none.
    """

    preset: str
    pixels: int
    parameters: int
    backbone: int
    recognised: int
    described: int

    def row(self) -> str:
        """The preset's row in the model card."""
        cells = (
            self.preset,
            f"{self.pixels} x {self.pixels}",
            *(f"{count / 1e6:.2f} M" for count in (self.parameters, self.backbone)),
            *(f"{count / 1e9:.3f} G" for count in (self.recognised, self.described)),
        )
        return f"| {' | '.join(cells)} |"


def cost(preset: str, *changes: str) -> Cost:
    """Build a preset's model, untrained, with changes of its settings, and count."""
    untrained = ("model.backbone.pretrained=false", "model.backbone.weights=null")
    settings = run_settings("vlfau", preset, (*untrained, *changes)).model
    names, sizes = AU_NAMES[:AUS], {"local": VOCABULARY, "global": VOCABULARY}
    folder = presets.folder("vlfau")
    model = build_model(VLFAU, settings, names, "multilabel", sizes, folder).eval()
    face = torch.zeros(1, 3, settings.image_size, settings.image_size)
    texts = sentence(1, AUS, words=LOCAL_WORDS), sentence(1, words=GLOBAL_WORDS)
    return Cost(
        preset=preset,
        pixels=settings.image_size,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        backbone=sum(parameter.numel() for parameter in model.backbone.parameters()),
        recognised=operations(model, face),
        described=operations(model, face, *texts),
    )


def sentence(*shape: int, words: int) -> Tensor:
    """Sequences [*shape, words + 1] that predict that many words, the end of sentence included."""
    tokens = torch.full((*shape, words + 1), VOCABULARY - 1)
    tokens[..., 0], tokens[..., -1] = 1, 2
    return tokens


def operations(
    model: Model, images: Tensor, local: Tensor | None = None, whole: Tensor | None = None
) -> int:
    """Return the floating-point operations of one forward pass."""
    labels = torch.full((len(images), AUS), -1)
    views = torch.zeros(len(images), 2, 3)
    batch = Batch(images, labels, torch.arange(len(images)), views, local, whole)
    aten = torch.ops.aten
    # The word loop adds products to what is there, which torch does not count by itself.
    more = {
        aten.addmm_: lambda there, a, b, **kept: mm_flop(a, b),
        aten.mv: lambda matrix, vector, **kept: 2 * matrix[0] * matrix[1],
    }
    counter = FlopCounterMode(display=False, custom_mapping=more)
    with torch.no_grad(), counter:
        model(batch)
    return counter.get_total_flops()


if __name__ == "__main__":
    print(HEADING, "|---|---|---|---|---|---|", sep="\n")
    for name in sys.argv[1:] or PRESETS:
        print(cost(name).row(), flush=True)
