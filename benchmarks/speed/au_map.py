"""Compare the cost of AU maps with that of the training step that would use them.

    python benchmarks/speed/au_map.py [TURNS] [--device cuda]

In turns, it makes the maps of 16 faces at 28 x 28 cells, computes the AU term of the family au-cues
on the last features of a ResNet-50 (forward and backward, its maps included), and trains a
ResNet-50 on 16 images of 224 pixels for a step (forward, backward, SGD). It prints the time of
each, and the medians over turns of their ratios to the step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from vlfau_steps import Step, ratio, take_turns

from fauds.facs import expression_aus
from fauds.nn.layers.au_map import au_map, codebook_table
from fauds.nn.layers.map_agreement import cosine
from fauds.synthetic.face import FACE_AUS, draw_identity, draw_views, face_landmarks

BATCH, SIDE, CELLS = 16, 224, 28
EXPRESSIONS = tuple(expression_aus())


def main() -> None:
    """Time both steps in turns and print the ratio of their times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("turns", nargs="?", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    labels = torch.arange(BATCH, device=options.device) % len(EXPRESSIONS)
    steps = {
        "maps": map_step(labels),
        "AU term": term_step(labels),
        "ResNet-50 step": training_step(labels),
    }
    seconds = take_turns(steps, options.turns, options.device)
    device = options.device
    if device == "cpu":
        device = f"cpu, {torch.get_num_threads()} threads"
    print(f"{BATCH} faces, maps of {CELLS} x {CELLS}, images of {SIDE} pixels, {device}")
    for name, times in seconds.items():
        print(f"{name:16} {1e3 * statistics.median(times):9.2f} ms")
    for name in ("maps", "AU term"):
        print(f"{name} / step {100 * ratio(seconds, name, 'ResNet-50 step'):9.2f} %")


def map_step(labels: torch.Tensor) -> Step:
    """Return a function that makes the maps of synthetic faces with these expressions."""
    landmarks, table = synthetic_landmarks(labels), codebook_table(EXPRESSIONS).to(labels.device)

    def step() -> None:
        au_map(landmarks, table[labels], CELLS, SIDE)

    return step


def term_step(labels: torch.Tensor) -> Step:
    """Return a function that computes the AU term and its gradient on features [16, 2048, 7, 7]."""
    landmarks, table = synthetic_landmarks(labels), codebook_table(EXPRESSIONS).to(labels.device)
    features = torch.rand(BATCH, 2048, 7, 7, device=labels.device, requires_grad=True)

    def step() -> None:
        features.grad = None
        cues = au_map(landmarks, table[labels], 7, SIDE)
        (1 - cosine(features.mean(1), cues)).sum().backward()

    return step


def synthetic_landmarks(labels: torch.Tensor) -> torch.Tensor:
    """Return the landmarks of 16 synthetic faces on the device of the labels."""
    rng = np.random.default_rng(0)
    rest = np.zeros(len(FACE_AUS))
    points = [
        face_landmarks(draw_identity(rng), rest, view, SIDE) for view in draw_views(rng, BATCH)
    ]
    return torch.from_numpy(np.stack(points)).to(labels.device)


def training_step(labels: torch.Tensor) -> Step:
    """Return a function that trains a ResNet-50 with random weights for one step."""
    model = timm.create_model("resnet50", num_classes=len(EXPRESSIONS)).to(labels.device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=2e-3, momentum=0.9)
    images = torch.randn(BATCH, 3, SIDE, SIDE, device=labels.device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
