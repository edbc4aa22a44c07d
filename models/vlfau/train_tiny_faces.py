"""Train the whole tiny model on synthetic faces: the weights that ship with `fauds explain`.

    python models/vlfau/train_tiny_faces.py models/vlfau/tiny-faces.safetensors

Faces are generated, written in BP4D's layout, cropped by `eyes-similarity`, and used for training
like those of any dataset, with all subjects at once. The scores that the script prints at its end
are for 41 other synthetic people; the model card reports them.
"""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import torch

from fauds.evaluation.score import text_agreement
from fauds.explanation.engine import Explainer
from fauds.explanation.weights import open_weights
from fauds.faces.image_decoding import decode
from fauds.metrics import occurrence
from fauds.nn import presets
from fauds.pipeline import Project
from fauds.runs import plan as planning
from fauds.runs.fold import header
from fauds.runs.inputs import load
from fauds.synthetic import release as distribution
from fauds.tables.paths import WEIGHTS
from fauds.training import checkpoint
from fauds.training.loop import build_model, train

SEED, TEST_SEED = 20260201, 20260202
TEST_FRAMES = 48


def read(folder: Path, frames: int, seed: int, changes: tuple[str, ...]) -> tuple:
    """Generate a synthetic release and run all steps on it; return the run's plan and inputs."""
    workers = os.cpu_count() or 1
    distribution.write(folder / "raw", "bp4d", frames=frames, seed=seed, processes=workers)
    project = Project(folder, "bp4d")
    step = project.frames(folder / "raw")
    project.captions(step)
    project.folds(step)
    project.faces()
    request = planning.RunRequest("vlfau", "tiny", changes=changes)
    workspace = project.workspace
    plan = planning.make_plan(request, workspace.protocol, workspace.folder / "runs")
    return plan, load(workspace.folder, plan)


def fit(out: Path, frames: int, epochs: int) -> None:
    """Train on all subjects and write the weights, in half precision."""
    changes = (f"training.epochs={epochs}", f"training.seed={SEED}")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        plan, inputs = read(folder, frames, SEED, changes)
        people = len(np.unique(inputs.faces.subjects))
        everyone = np.ones(len(inputs.faces), bool)
        meta = header(plan, inputs, 0, everyone)
        meta["trained_on"] = f"{len(inputs.faces):,} synthetic faces of {people} synthetic people."
        torch.manual_seed(SEED)
        tokens = inputs.faces.captions.tokens
        model = build_model(
            plan.family,
            plan.settings.model,
            plan.benchmark.aus,
            "multilabel",
            {"local": tokens.local_vocabulary, "global": tokens.global_vocabulary},
            presets.folder(plan.model),
        )
        run = folder / "run"
        run.mkdir()
        weights = inputs.class_weights(0, everyone, plan.settings.training.class_weights)
        train(model, inputs.faces, weights, plan.settings, run, meta)
        tensors, _ = checkpoint.load(run / WEIGHTS)
    # Half precision halves the file.
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    checkpoint.save(out, halves, meta)


def test(weights: Path) -> None:
    """Print what the weights reach on people that they have not seen."""
    with TemporaryDirectory() as temporary:
        plan, inputs = read(Path(temporary), TEST_FRAMES, TEST_SEED, ())
        explainer = Explainer(open_weights(weights))
        crops = [decode(Path(path).read_bytes(), path) for path in inputs.faces.images]
        said = explainer.explain(crops)
    aus, threshold = plan.benchmark.aus, plan.benchmark.metric.threshold
    probabilities = np.array([[face.aus[au] for au in aus] for face in said])
    counts = occurrence.count(inputs.faces.labels, occurrence.decide(probabilities, threshold))
    for au, value in zip(aus, occurrence.f1(counts), strict=True):
        print(f"{au} {100 * value:.1f}")
    print(f"mean F1 {100 * np.nanmean(occurrence.f1(counts)):.1f} % of {len(crops):,} frames")
    texts = {f"{au}_text": [face.local[au] for face in said] for au in aus}
    table = pa.table({**dict(zip(aus, probabilities.T, strict=True)), **texts})
    agreement = text_agreement(table, inputs.captions.phrases, aus, threshold)
    print(f"local texts word for word that of the predicted state: {100 * agreement[0]:.1f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=144, help="a subject")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--test-only", action="store_true", help="of weights that are there")
    args = parser.parse_args()
    if not args.test_only:
        fit(args.out, args.frames, args.epochs)
    test(args.out)
