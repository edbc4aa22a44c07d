"""One run of the bench: its folds one after the other, then the results of all."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch

from fauds import __version__, resources, schemas, store
from fauds.bench import finish
from fauds.bench.faces import check_unchanged
from fauds.bench.infer import describe, infer, no_image_words
from fauds.bench.inputs import Inputs, copy_folds, load, wanted_folds
from fauds.bench.plan import Plan
from fauds.captions.vocabulary import Words
from fauds.errors import DataError
from fauds.nn.vlfau import VLFAU
from fauds.training import checkpoint, processes, resuming
from fauds.training.loop import WEIGHTS, build_model, train


class Progress(Protocol):
    """Shows how far a step is; `bar` gives a function that takes the number of steps done."""

    def say(self, line: str) -> None:
        """Show a line for people."""

    def bar(self, description: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar for a step of `total` parts."""


def run(tables: Path, plan: Plan, progress: Progress, *, tensorboard: bool = False) -> Path:
    """Train and test a model on the folds of a dataset's folder; return the run's folder.

    A fold whose predictions are there is not done again; one that was stopped goes on from its
    newest checkpoint. results.json is written when all asked folds are there. With several
    processes all do this together, and the first one writes.

    Args:
        tables: the dataset's folder, with frames, captions, phrases, vocabulary and folds.
        tensorboard: write TensorBoard's event files beside log.jsonl.

    Raises:
        UsageError: a fold that does not exist.
        DataError: tables or images are missing, damaged, or do not belong together.
    """
    inputs = load(tables, plan)
    folds = wanted_folds(plan, inputs)
    with _begun(tables, plan, inputs):
        left = [fold for fold in folds if not _predicted(plan, fold)]
        # All have looked before the first one writes.
        processes.wait()
        for fold in left:
            try:
                _fold(plan, inputs, fold, progress, tensorboard)
            except DataError:
                # A crop that is gone has this reason, if it is one.
                check_unchanged(inputs.found)
                raise
        if processes.leads():
            finish.write(plan, inputs, folds)
    return plan.folder


@contextmanager
def _begun(tables: Path, plan: Plan, inputs: Inputs) -> Iterator[None]:
    """Begin the run, or go on with it; the leader holds its folder."""
    if not processes.leads():
        processes.wait()
        yield
        return
    plan.claim()
    with store.lock(plan.folder):
        copy_folds(tables, plan)
        plan.save(inputs.made_from)
        processes.wait()
        yield


def _predicted(plan: Plan, fold: int) -> bool:
    return (plan.folder / f"fold{fold}" / finish.PREDICTIONS).exists()


def _fold(plan: Plan, inputs: Inputs, fold: int, progress: Progress, tensorboard: bool) -> None:
    began = time.perf_counter()
    folder = plan.folder / f"fold{fold}"
    folder.mkdir(parents=True, exist_ok=True)
    test = inputs.tested_by(fold)
    training, testing = inputs.faces.where(~test), inputs.faces.where(test)
    meta = header(plan, inputs, fold)
    model = _trained(plan, inputs, fold, meta, progress, tensorboard)
    with progress.bar(f"fold {fold}, part {fold}: testing", len(testing)) as advance:
        inference = infer(model, testing, inputs.tokens, plan.settings, advance)
    words = inference.words
    if words:
        baseline = no_image_words(training, testing, inputs.tokens)
        words |= {k: v for k, v in baseline.items() if k.removesuffix("_no_image") in words}
    table = _predictions(plan, inputs, fold, model, inference.probabilities, progress)
    check_unchanged(inputs.found)
    if not processes.leads():
        return
    measured = {
        "words": {
            name: [value if count else None, count] for name, (value, count) in words.items()
        },
        "seconds": round(time.perf_counter() - began, 1),
        "computed_on": inference.computed_on,
    }
    store.write_json(folder / finish.MEASURED, measured)
    store.write_table(
        folder / finish.PREDICTIONS, table, {"inputs": meta["vocabulary"], "settings": meta}
    )


def header(plan: Plan, inputs: Inputs, fold: int) -> dict[str, Any]:
    """Return the header of a fold's weights: what they are, and all that using them needs."""
    return {
        "model": plan.model,
        "preset": plan.preset,
        "benchmark": plan.benchmark.name,
        "benchmark_version": plan.benchmark.version,
        "aus": list(plan.benchmark.aus),
        "fold": fold,
        "settings": plan.settings.model_dump(mode="json"),
        "normalisation": plan.settings.model.model_dump(
            mode="json", include={"mean", "std", "image_size"}
        ),
        "vocabulary": store.fingerprint(inputs.vocabulary["token"].to_pylist()),
        "fauds": __version__,
        **_meaning(plan, inputs, fold),
    }


def _meaning(plan: Plan, inputs: Inputs, fold: int) -> dict[str, Any]:
    """Return what else the weights' header needs, so that they can be used without the tables."""
    words = {scope: Words.from_table(inputs.vocabulary, scope) for scope in ("local", "global")}
    seen = inputs.faces.subjects[~inputs.tested_by(fold)]
    return {
        "words": {
            scope: {"tokens": list(of.tokens), "spaces": list(of.spaces)}
            for scope, of in words.items()
        },
        "longest": {
            "local": inputs.tokens.local.shape[1],
            "global": inputs.tokens.global_.shape[1],
        },
        "threshold": plan.benchmark.metric.threshold,
        "alignment": {key: inputs.found.alignment[key] for key in ("name", "version")},
        "trained_on": f"{plan.benchmark.name}{', made up' if inputs.synthetic else ''}: "
        f"{len(seen):,} frames of {len(np.unique(seen))} subjects, without part {fold}.",
        "synthetic": inputs.synthetic,
    }


def _trained(
    plan: Plan,
    inputs: Inputs,
    fold: int,
    meta: dict[str, Any],
    progress: Progress,
    tensorboard: bool,
) -> VLFAU:
    settings, folder = plan.settings, plan.folder / f"fold{fold}"
    # Initial weights depend on the seed and the fold alone, whatever was run before.
    torch.manual_seed(settings.training.seed * 1_000_003 + 500_000 + fold)
    presets = resources.path("models", plan.model)
    architecture = settings.model
    trained = (folder / WEIGHTS).exists()
    if trained or resuming.newest(folder, meta) is not None:
        # All weights come from the run itself: nothing of the stem's is looked for again.
        stem = architecture.backbone.model_copy(update={"pretrained": False, "weights": None})
        architecture = architecture.model_copy(update={"backbone": stem})
    model = build_model(architecture, len(plan.benchmark.aus), inputs.tokens, presets)
    if trained:
        tensors, found = checkpoint.load(folder / WEIGHTS)
        checkpoint.check(found, meta, folder / WEIGHTS)
        model.load_state_dict(tensors)
        if processes.leads():
            # A kill may have come between the weights and this.
            resuming.clear(folder)
        return model
    faces = inputs.faces.where(~inputs.tested_by(fold))
    weights = inputs.class_weights(fold, settings.training.class_weights)
    steps = -(-len(faces) // settings.training.batch_size) * settings.training.epochs
    with progress.bar(f"fold {fold}, without part {fold}: training", steps) as advance:
        return train(
            model,
            faces,
            inputs.tokens,
            weights,
            settings,
            folder,
            meta,
            advance=advance,
            say=lambda line: progress.say(f"fold {fold}, {line}"),
            tensorboard=tensorboard,
        )


def _predictions(
    plan: Plan,
    inputs: Inputs,
    fold: int,
    model: VLFAU,
    probabilities: np.ndarray,
    progress: Progress,
) -> pa.Table:
    aus, model_settings = plan.benchmark.aus, plan.settings.model
    rows = np.flatnonzero(inputs.tested_by(fold))
    described = 0
    if model_settings.local_language or model_settings.global_language:
        described = min(len(rows), plan.settings.inference.described)
    keys = inputs.frames.select(["subject", "task", "frame", "frame_id"]).take(pa.array(rows))
    columns = [*keys.columns, pa.array(np.full(len(rows), fold, np.int16))]
    columns += [pa.array(column) for column in probabilities.T]
    schema = schemas.predictions_schema(aus, descriptions=described > 0)
    if described:
        # Spread over the whole test part, so that every subject is likely to be there.
        chosen = np.unique(np.linspace(0, len(rows) - 1, described).astype(int))
        faces = inputs.faces.where(rows[chosen])
        with progress.bar(f"fold {fold}: describing", len(chosen)) as advance:
            written = describe(
                model, faces, inputs.tokens, inputs.vocabulary, plan.settings, aus, advance
            )
        place = np.full(len(rows), len(chosen))
        place[chosen] = np.arange(len(chosen))
        for name in schema.names[len(columns) :]:
            texts = pa.array([*written.get(name, [None] * len(chosen)), None], pa.string())
            columns.append(texts.take(pa.array(place)))
    return pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)
