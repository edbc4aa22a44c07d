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

from fauds import resources, schemas, store
from fauds.bench import finish, seen
from fauds.bench.faces import check_unchanged
from fauds.bench.header import header
from fauds.bench.infer import Descriptions, describe, infer, no_image_words
from fauds.bench.inputs import Inputs
from fauds.bench.plan import Plan
from fauds.bench.watch import watched
from fauds.nn.vlfau import VLFAU
from fauds.training import checkpoint, processes, resuming
from fauds.training.data import FaceSet
from fauds.training.loop import WEIGHTS, build_model, train


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
        return self.plan.folder / f"fold{self.fold}"

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
        return ~self.test & ~self.validates

    def _faces(self, frames: np.ndarray) -> FaceSet:
        return self.inputs.faces.where(frames)

    def do(self, tensorboard: bool) -> None:
        """Train, test and describe; the first process writes. Predictions come last.

        Raises:
            DataError: images are missing or damaged, or nothing finite comes of them.
        """
        began = time.perf_counter()
        plan, inputs = self.plan, self.inputs
        self.folder.mkdir(parents=True, exist_ok=True)
        meta = header(plan, inputs, self.fold, self.learns)
        model = self._trained(meta, tensorboard)
        testing = self._faces(self.test)
        with self._bar("testing", len(testing)) as advance:
            inference = infer(model, testing, inputs.tokens, plan.settings, advance)
        words = inference.words
        if words:
            guessed = no_image_words(self._faces(self.learns), testing, inputs.tokens)
            words |= {k: v for k, v in guessed.items() if k.removesuffix("_no_image") in words}
        rows = np.flatnonzero(self.test)
        chosen, described = self._described(model, rows)
        check_unchanged(inputs.found)
        if not processes.leads():
            return
        seen.write_features(self.folder, model, inputs, rows, plan.settings)
        if described.attention is not None:
            ids = inputs.faces.frame_ids[rows[chosen]]
            seen.write_attention(self.folder, ids, described.attention, inputs.aus)
        measured = {
            "words": {name: [v if count else None, count] for name, (v, count) in words.items()},
            "seconds": round(time.perf_counter() - began, 1),
            "computed_on": inference.computed_on,
            "validation_subjects": sorted(set(self._faces(self.validates).subjects.tolist())),
        }
        store.write_json(self.folder / finish.MEASURED, measured)
        table = self._predictions(inference.probabilities, chosen, described)
        made = {"inputs": meta["vocabulary"], "settings": meta}
        store.write_table(self.folder / finish.PREDICTIONS, table, made)

    def _bar(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        return self.progress.bar(f"fold {self.fold}, part {self.fold}: {what}", total)

    def _trained(self, meta: dict[str, Any], tensorboard: bool) -> VLFAU:
        plan, inputs, folder = self.plan, self.inputs, self.folder
        settings, training = plan.settings, plan.settings.training
        model = self._built(meta)
        if (folder / WEIGHTS).exists():
            tensors, found = checkpoint.load(folder / WEIGHTS)
            checkpoint.check(found, meta, folder / WEIGHTS)
            model.load_state_dict(tensors)
            if processes.leads():
                # A kill may have come between the weights and this.
                resuming.clear(folder)
            return model
        faces, testing, validating = map(self._faces, (self.learns, self.test, self.validates))
        watch = watched(folder, testing, validating, inputs.tokens, settings, inputs.aus)
        steps = -(-len(faces) // training.batch_size) * training.epochs
        title = f"fold {self.fold}, without part {self.fold}: training"
        with self.progress.bar(title, steps) as advance:
            return train(
                model,
                faces,
                inputs.tokens,
                inputs.class_weights(self.fold, self.learns, training.class_weights),
                settings,
                folder,
                meta,
                advance=advance,
                say=lambda line: self.progress.say(f"fold {self.fold}, {line}"),
                watch=watch,
                tensorboard=tensorboard,
            )

    def _built(self, meta: dict[str, Any]) -> VLFAU:
        """Return the model as training begins; with any weights where the run has its own."""
        settings, folder = self.plan.settings, self.folder
        # Initial weights depend on the seed and the fold alone, whatever was run before.
        torch.manual_seed(settings.training.seed * 1_000_003 + 500_000 + self.fold)
        architecture = settings.model
        if (folder / WEIGHTS).exists() or resuming.newest(folder, meta) is not None:
            # All weights come from the run itself: nothing of the stem's is looked for again.
            stem = architecture.backbone.model_copy(update={"pretrained": False, "weights": None})
            architecture = architecture.model_copy(update={"backbone": stem})
        presets = resources.path("models", self.plan.model)
        aus = self.plan.benchmark.aus
        return build_model(architecture, len(aus), self.inputs.tokens, presets)

    def _described(self, model: VLFAU, rows: np.ndarray) -> tuple[np.ndarray, Descriptions]:
        """Describe frames spread over the test part; return their places in it and the texts."""
        settings, inputs = self.plan.settings, self.inputs
        writes = settings.model.local_language or settings.model.global_language
        count = min(len(rows), settings.inference.described) if writes else 0
        if not count:
            return np.zeros(0, int), Descriptions({}, None)
        # Over the whole test part, so that every subject is likely to be there.
        chosen = np.unique(np.linspace(0, len(rows) - 1, count).astype(int))
        with self._bar("describing", len(chosen)) as advance:
            described = describe(
                model,
                self._faces(rows[chosen]),
                inputs.tokens,
                inputs.vocabulary,
                settings,
                inputs.aus,
                advance,
            )
        return chosen, described

    def _predictions(
        self, probabilities: np.ndarray, chosen: np.ndarray, described: Descriptions
    ) -> pa.Table:
        rows = np.flatnonzero(self.test)
        keys = self.inputs.frames.select(["subject", "task", "frame", "frame_id"])
        columns = [*keys.take(pa.array(rows)).columns]
        columns.append(pa.array(np.full(len(rows), self.fold, np.int16)))
        columns += [pa.array(column) for column in probabilities.T]
        schema = schemas.predictions_schema(self.plan.benchmark.aus, descriptions=len(chosen) > 0)
        place = np.full(len(rows), len(chosen))
        place[chosen] = np.arange(len(chosen))
        for name in schema.names[len(columns) :]:
            texts = described.texts.get(name, [None] * len(chosen))
            columns.append(pa.array([*texts, None], pa.string()).take(pa.array(place)))
        return pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)
