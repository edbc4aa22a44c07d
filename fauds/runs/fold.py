"""One fold of a run: trained, tested on its part, described; its files written."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch

from fauds.faces.frame_images import check_unchanged
from fauds.nn import presets
from fauds.nn.base import CAPABILITIES, Attends, Describes, Model
from fauds.runs import illustrations as seen
from fauds.runs.inputs import Inputs
from fauds.runs.plan import Plan
from fauds.runs.predict import Explained, explain, infer, no_image_words, watched
from fauds.tables import predictions, store
from fauds.tables.paths import MEASURED, PREDICTIONS, WEIGHTS, fold_folder
from fauds.training import checkpoint, processes
from fauds.training import checkpoint as resuming
from fauds.training.face_set import FaceSet
from fauds.training.loop import build_model, train
from fauds.version import VERSION


def header(plan: Plan, inputs: Inputs, fold: int, learns: np.ndarray) -> dict[str, Any]:
    """Return the header of a fold's weights.

    Args:
        learns: the frames that are trained on, bool [N].
    """
    target = plan.benchmark.target
    declared = target.declared().get("target")
    captions = inputs.captions
    vocabulary = None if captions is None else captions.vocabulary["token"].to_pylist()
    return {
        "model": plan.model,
        "preset": plan.preset,
        "benchmark": plan.benchmark.name,
        "benchmark_version": plan.benchmark.version,
        "aus": list(target.names),
        **({} if declared is None else {"target": declared}),
        "fold": fold,
        "settings": plan.settings.model_dump(mode="json"),
        "normalisation": plan.settings.model.model_dump(
            mode="json", include={"mean", "std", "image_size"}
        ),
        "vocabulary": None if vocabulary is None else store.fingerprint(vocabulary),
        "fauds": VERSION,
        **_texts(inputs),
        **_meaning(plan, inputs, fold, learns),
    }


def _texts(inputs: Inputs) -> dict[str, Any]:
    """Return the vocabularies of captions, and the tokens of the longest of each scope."""
    if inputs.captions is None or inputs.faces.captions is None:
        return {}
    tokens = inputs.faces.captions.tokens
    return {
        "words": {
            scope: {"tokens": list(words.tokens), "spaces": list(words.spaces)}
            for scope, words in inputs.captions.words().items()
        },
        "longest": {"local": tokens.local.shape[1], "global": tokens.global_.shape[1]},
    }


def _meaning(plan: Plan, inputs: Inputs, fold: int, learns: np.ndarray) -> dict[str, Any]:
    """Return what else the weights' header needs, so that they can be used without the tables."""
    seen = inputs.faces.subjects[learns]
    return {
        "threshold": plan.benchmark.metric.threshold,
        "alignment": {key: inputs.found.alignment[key] for key in ("name", "version")},
        "trained_on": f"{plan.benchmark.name}{', made up' if inputs.synthetic else ''}: "
        f"{len(seen):,} frames of {len(np.unique(seen))} subjects, without part {fold}.",
        "synthetic": inputs.synthetic,
    }


class Progress(Protocol):
    """Shows how far a step is; `bar` gives a function that takes the number of steps done."""

    def say(self, line: str) -> None:
        """Show a line for people."""

    def bar(self, description: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar for a step of `total` parts."""

    def counter(self, description: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Show a bar for a step that says how many parts are done, and of how many."""


@dataclass(frozen=True)
class OneFold:
    """A fold of a run, whose tables are read."""

    plan: Plan
    inputs: Inputs
    fold: int
    progress: Progress

    @property
    def folder(self) -> Path:
        """Where the fold's files lie."""
        return fold_folder(self.plan.folder, self.fold)

    @cached_property
    def test(self) -> np.ndarray:
        """The frames that it tests, bool [N]."""
        return self.inputs.tested_by(self.fold)

    @cached_property
    def validates(self) -> np.ndarray:
        """The frames that choose an epoch, bool [N]."""
        training = self.plan.settings.training
        return self.inputs.validates(self.fold, training.validation_subjects, training.seed)

    @property
    def learns(self) -> np.ndarray:
        """The frames that it trains on, bool [N]."""
        frames: np.ndarray = ~self.test & ~self.validates
        return frames

    def _faces(self, frames: np.ndarray) -> FaceSet:
        return self.inputs.faces.where(frames)

    def do(self, tensorboard: bool) -> None:
        """Train, test and explain; the first process writes. Predictions come last.

        Raises:
            DataError: images are missing or damaged, or a loss or a prediction is not finite.
        """
        began = time.perf_counter()
        plan, inputs = self.plan, self.inputs
        self.folder.mkdir(parents=True, exist_ok=True)
        meta = header(plan, inputs, self.fold, self.learns)
        model = self._trained(meta, tensorboard)
        testing = self._faces(self.test)
        with self._bar("testing", len(testing)) as advance:
            inference = infer(model, testing, plan.settings, advance)
        measures = inference.measures
        if measures:
            guessed = no_image_words(self._faces(self.learns), testing)
            measures |= {
                k: v for k, v in guessed.items() if k.removesuffix("_no_image") in measures
            }
        rows = np.flatnonzero(self.test)
        chosen, explained = self._explained(model, rows)
        check_unchanged(inputs.found)
        if not processes.leads():
            return
        seen.write_features(self.folder, model, inputs, rows, plan.settings)
        if explained.attention is not None:
            ids = inputs.faces.frame_ids[rows[chosen]]
            seen.write_attention(self.folder, ids, explained.attention, inputs.target.names)
        measured = {
            "words": {name: [v if count else None, count] for name, (v, count) in measures.items()},
            "seconds": round(time.perf_counter() - began, 1),
            "computed_on": inference.computed_on,
            "validation_subjects": sorted(set(self._faces(self.validates).subjects.tolist())),
            "without": self._without(model),
        }
        store.write_json(self.folder / MEASURED, measured)
        self._write_predictions(inference.scores, chosen, explained, meta)

    def _bar(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        return self.progress.bar(f"fold {self.fold}, part {self.fold}: {what}", total)

    def _without(self, model: Model) -> dict[str, str]:
        """Return what the model does not give, and why."""
        reasons = {words: model.reason_without(kind) for kind, words in CAPABILITIES.items()}
        return {words: reason for words, reason in reasons.items() if reason is not None}

    def _trained(self, meta: dict[str, Any], tensorboard: bool) -> Model:
        plan, inputs, folder = self.plan, self.inputs, self.folder
        settings, training = plan.settings, plan.settings.training
        model = self._built(meta)
        if (folder / WEIGHTS).exists():
            tensors, saved = checkpoint.load(folder / WEIGHTS)
            checkpoint.check(saved, meta, folder / WEIGHTS)
            model.load_state_dict(tensors)
            if processes.leads():
                # A kill may have come between the weights and this.
                resuming.remove_checkpoints(folder)
            return model
        faces, testing, validating = map(self._faces, (self.learns, self.test, self.validates))
        watch = watched(folder, testing, validating, settings, inputs.target.names)
        steps = -(-len(faces) // training.batch_size) * training.epochs
        title = f"fold {self.fold}, without part {self.fold}: training"
        with self.progress.bar(title, steps) as advance:
            return train(
                model,
                faces,
                inputs.class_weights(self.fold, self.learns, training.class_weights),
                settings,
                folder,
                meta,
                advance=advance,
                say=lambda line: self.progress.say(f"fold {self.fold}, {line}"),
                watch=watch,
                tensorboard=tensorboard,
            )

    def _built(self, meta: dict[str, Any]) -> Model:
        """Return the model as training begins; with any weights where the run has its own."""
        plan, folder = self.plan, self.folder
        # Initial weights depend on the seed and the fold alone, whatever was run before.
        torch.manual_seed(plan.settings.training.seed * 1_000_003 + 500_000 + self.fold)
        architecture = plan.settings.model
        if (folder / WEIGHTS).exists() or resuming.load_newest(folder, meta) is not None:
            # All weights come from the run itself: no other file is looked for again.
            architecture = architecture.untrained()
        return build_model(
            plan.family,
            architecture,
            self.inputs.target.names,
            self.inputs.target.form,
            self._vocabulary_sizes(),
            presets.folder(plan.model),
        )

    def _vocabulary_sizes(self) -> dict[str, int]:
        captions = self.inputs.faces.captions
        if captions is None:
            return {}
        tokens = captions.tokens
        return {"local": tokens.local_vocabulary, "global": tokens.global_vocabulary}

    def _explained(self, model: Model, rows: np.ndarray) -> tuple[np.ndarray, Explained]:
        """Explain frames spread over the test part; return their places in it and the outcome."""
        settings, inputs = self.plan.settings, self.inputs
        able = model.can(Describes) or model.can(Attends)
        count = min(len(rows), settings.inference.described) if able else 0
        if not count:
            return np.zeros(0, int), Explained({}, None)
        # Over the whole test part, so that every subject is likely to be there.
        chosen = np.unique(np.linspace(0, len(rows) - 1, count).astype(int))
        words = {} if inputs.captions is None else inputs.captions.words()
        with self._bar("describing", len(chosen)) as advance:
            explained = explain(
                model,
                self._faces(rows[chosen]),
                words,
                settings,
                inputs.target.described,
                advance,
            )
        return chosen, explained

    def _write_predictions(
        self, scores: np.ndarray, chosen: np.ndarray, explained: Explained, meta: dict[str, Any]
    ) -> None:
        target, rows = self.inputs.target, np.flatnonzero(self.test)
        place = np.full(len(rows), len(chosen))
        place[chosen] = np.arange(len(chosen))
        names = [f"{name}_text" for name in target.described] + ["face_text"]
        texts = {
            name: pa.array([*explained.texts.get(name, [None] * len(chosen)), None], pa.string())
            for name in (names if explained.texts else ())
        }
        predictions.write(
            self.folder / PREDICTIONS,
            self.inputs.frames.take(pa.array(rows)),
            self.fold,
            target.names,
            scores,
            {"inputs": meta["vocabulary"], "settings": meta},
            texts={name: column.take(pa.array(place)) for name, column in texts.items()},
        )
