"""Measure how much the losses of words teach the backbone: their share of its gradient.

    python benchmarks/studies/words.py fauds-work/synthetic RUN [RUN ...]

RUN is the name of a finished run of `fauds bench vlfau` on the benchmark "synthetic". For each of
its folds, the gradient of every loss with respect to the backbone's weights is computed on batches
of training frames with the trained weights, at loss weights of 1, without dropped words. Printed is
the mean norm of each, divided by that of L_Fau; with --decision-weight, as if the run had been
trained with that weight of decision words. Compare runs that differ in model.decision_weight or
model.word_dropout; the F1 of the same runs is compared by `fauds compare`.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from fauds.errors import UsageError
from fauds.nn import presets
from fauds.nn.base import Model, means
from fauds.protocols.benchmark import benchmark
from fauds.runs.inputs import Inputs, load
from fauds.runs.plan import Plan, RunRequest, make_plan
from fauds.tables.paths import WEIGHTS
from fauds.training import checkpoint
from fauds.training.batches import batches
from fauds.training.device import on_device
from fauds.training.loop import build_model


def shares(plan: Plan, inputs: Inputs, fold: int, count: int, weight: float | None) -> np.ndarray:
    """Return the norm of each loss's gradient on the backbone relative to L_Fau's, float [terms].

    Args:
        plan: the plan of a finished run.
        inputs: the frames of the run.
        fold: the number of the fold.
        count: the number of batches.
        weight: the weight of decision words; None for that of the run.
    """
    model = trained(plan, inputs, fold)
    if weight is not None:
        model.decision_weight = weight
    parts = inputs.folds.to_pandas().set_index("subject")["fold"]
    training = np.flatnonzero(parts.reindex(inputs.faces.subjects).to_numpy() != fold)
    mask = np.zeros(len(inputs.faces), bool)
    mask[training] = True
    rule = plan.settings.training.class_weights
    weights = torch.tensor(inputs.class_weights(fold, mask, rule), dtype=torch.float32)
    loaded = batches(inputs.faces.select(training), plan.settings, epoch=0, workers=0,
                     needs=model.needs)  # fmt: skip
    norms = []
    for batch in islice(loaded, count):
        batch = on_device(batch, torch.device("cpu"), plan.settings.model)
        norms.append(list(gradient_norms(model, batch, weights)))
    mean: np.ndarray = np.mean(norms, axis=0)
    return mean / mean[0]


def gradient_norms(model: Model, batch: object, weights: torch.Tensor) -> Iterator[float]:
    """Yield the norm of each loss's gradient on the backbone, in the order of the model's terms."""
    losses = means(model.loss(model(batch), batch, weights), model.counts(batch))
    parameters = [p for p in model.backbone.parameters() if p.requires_grad]
    for term in model.terms:
        found = torch.autograd.grad(losses[term], parameters, retain_graph=True, allow_unused=True)
        yield float(torch.sqrt(sum(g.square().sum() for g in found if g is not None)))


def trained(plan: Plan, inputs: Inputs, fold: int) -> Model:
    """Return the trained model of a fold, in evaluation mode."""
    tokens = inputs.faces.captions.tokens
    sizes = {"local": tokens.local_vocabulary, "global": tokens.global_vocabulary}
    names, form = inputs.target.names, inputs.target.form
    folder, settings = presets.folder(plan.model), plan.settings.model.untrained()
    model = build_model(plan.family, settings, names, form, sizes, folder)
    tensors, _ = checkpoint.load(plan.folder / f"fold{fold}" / WEIGHTS)
    model.load_state_dict(tensors)
    return model.eval()


def main() -> None:
    """Print a row for each fold of each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, help="the folder of the benchmark's tables")
    parser.add_argument("runs", nargs="+", help="names of finished runs")
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--decision-weight", type=float)
    given = parser.parse_args()
    for name in given.runs:
        plan = make_plan(RunRequest(resume=name), benchmark("synthetic"), given.tables / "runs")
        inputs = load(given.tables, plan)
        folds = sorted(int(path.parent.name[4:]) for path in plan.folder.glob(f"fold*/{WEIGHTS}"))
        if not folds:
            raise UsageError("The run has no trained weights.", where=name)
        for fold in folds:
            found = shares(plan, inputs, fold, given.batches, given.decision_weight)
            pairs = zip(plan.family.terms, found, strict=True)
            print(f"{name} fold {fold}: " + "  ".join(f"{term} {v:.3f}" for term, v in pairs))


if __name__ == "__main__":
    main()
