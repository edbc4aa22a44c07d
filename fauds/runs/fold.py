"""One fold of a run: the model is trained and tested, and the files of the fold are written."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
from fauds.runs import illustrations
from fauds.runs.inputs import Inputs
from fauds.runs.plan import Plan
from fauds.runs.predict import (
    Explanations,
    Inference,
    epoch_predictor,
    explain,
    image_gains,
    infer,
    no_image_words,
)
from fauds.settings import BackboneSettings
from fauds.tables import predictions, store
from fauds.tables.frames import subjects_known
from fauds.tables.paths import MEASURED, PREDICTIONS, WEIGHTS, fold_folder
from fauds.training import backbone_file, checkpoint, processes
from fauds.training.batches import steps_an_epoch
from fauds.training.face_set import FaceSet
from fauds.training.loop import build_model, train
from fauds.version import VERSION, versions


def header(plan: Plan, inputs: Inputs, fold: int, training_frames: np.ndarray) -> dict[str, Any]:
    """Return the header of a fold's weights file: metadata about the model and its training.

    Args:
        plan: the plan of the run.
        inputs: the N frames of the run, with their folds and captions.
        fold: the number of the fold.
        training_frames: bool [N], whether the fold trains on each frame.
    """
    target = plan.benchmark.target
    declared_target = target.protocol_keys().get("target")
    captions = inputs.captions
    vocabulary = None if captions is None else captions.vocabulary["token"].to_pylist()
    return {
        "model": plan.model,
        "preset": plan.preset,
        "benchmark": plan.benchmark.name,
        "benchmark_version": plan.benchmark.version,
        "aus": list(target.names),
        **({} if declared_target is None else {"target": declared_target}),
        "fold": fold,
        "settings": plan.settings.model_dump(mode="json"),
        "normalisation": plan.settings.model.model_dump(
            mode="json", include={"mean", "std", "image_size"}
        ),
        "vocabulary": None if vocabulary is None else store.fingerprint(vocabulary),
        "fauds": VERSION,
        **_caption_header(inputs),
        **_usage_header(plan, inputs, fold, training_frames),
    }


def pretraining(plan: Plan) -> str:
    """Return a phrase that describes how the backbone of a run was pretrained.

    Raises:
        DataError: the file with the backbone's weights cannot be read.
    """
    backbone = getattr(plan.settings.model, "backbone", None)
    if not isinstance(backbone, BackboneSettings):
        return "not declared by the model"
    if backbone.weights:
        return backbone_file.pretraining(presets.folder(plan.model) / backbone.weights)
    return f"timm's weights of {backbone.name}" if backbone.pretrained else "from scratch"


def _caption_header(inputs: Inputs) -> dict[str, Any]:
    """Return the part of a weights file's header that describes captions.

    This part has the vocabularies ("words") and the number of tokens of the longest caption
    ("longest"), each for "local" captions (of one AU) and for "global" captions (of the whole
    face), and the settings on which the wording of captions depends ("wording"). It is empty if the
    model needs no captions.
    """
    if inputs.captions is None or inputs.faces.captions is None:
        return {}
    tokens = inputs.faces.captions.tokens
    return {
        "words": {
            scope: {"tokens": list(words.tokens), "spaces": list(words.spaces)}
            for scope, words in inputs.captions.words().items()
        },
        "longest": {"local": tokens.local.shape[1], "global": tokens.global_.shape[1]},
        "wording": inputs.captions.wording,
    }


def _usage_header(
    plan: Plan, inputs: Inputs, fold: int, training_frames: np.ndarray
) -> dict[str, Any]:
    """Return the part of a weights file's header that is needed to use the weights elsewhere.

    This part has the threshold of the scores, the alignment of faces, and what the model was
    trained on, so that the weights can be used without the tables of the dataset.

    Args:
        plan: the plan of the run.
        inputs: the N frames of the run, with their folds.
        fold: the number of the fold.
        training_frames: bool [N], whether the fold trains on each frame.
    """
    subjects = inputs.faces.subjects[training_frames]
    people = f"{len(np.unique(subjects))} subjects"
    if not subjects_known(inputs.frames):
        people = "unknown subjects"
    return {
        "threshold": plan.benchmark.metric.threshold,
        "alignment": {key: inputs.face_images.alignment[key] for key in ("name", "version")},
        "trained_on": f"{plan.benchmark.name}{', synthetic' if inputs.synthetic else ''}: "
        f"{len(subjects):,} frames of {people}, without part {fold}.",
        "synthetic": inputs.synthetic,
    }


class Progress(Protocol):
    """Shows the user how far the work has got, as lines of text and progress bars."""

    def say(self, line: str) -> None:
        """Show a line of text."""

    def bar(self, description: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show a progress bar until the returned context manager ends.

        The context manager gives a function; call this function with the number of items (such as
        frames) that were finished since its last call.

        Args:
            description: the text beside the bar.
            total: the number of all items.
        """

    def counter(self, description: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Show a progress bar whose total is not known yet, until the context manager ends.

        The context manager gives a function; call this function with the number of items finished
        so far and the total number of items.

        Args:
            description: the text beside the bar.
        """


class LinesOnly:
    """A `Progress` without bars, which processes that share a terminal would draw over each other.

    Each bar becomes a line when it would appear.

    Args:
        say: the function that shows a line of text.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show the description as a line; the function that is given does nothing."""
        self.say(description)
        yield lambda steps: None

    @contextmanager
    def counter(self, description: str) -> Iterator[Callable[[int, int], None]]:
        """Show the description as a line; the function that is given does nothing."""
        self.say(description)
        yield lambda done, total: None


@dataclass(frozen=True)
class FoldRun:
    """One fold of a run: trains the model, and tests it on the subjects that the fold tests.

    Attributes:
        plan: the plan of the run.
        inputs: the N frames of the run, with their folds and captions.
        fold: the number of the fold.
        progress: shows the progress to the user.
    """

    plan: Plan
    inputs: Inputs
    fold: int
    progress: Progress

    @property
    def folder(self) -> Path:
        """The folder into which the files of the fold are written."""
        return fold_folder(self.plan.folder, self.fold)

    @cached_property
    def test_frames(self) -> np.ndarray:
        """For each frame of the run, whether the fold tests the model on this frame, bool [N]."""
        return self.inputs.test_frames(self.fold)

    @cached_property
    def validation_frames(self) -> np.ndarray:
        """For each frame of the run, whether it shows a validation subject, bool [N].

        The model is not trained on validation subjects: the epoch with the best result on their
        frames is chosen.
        """
        training = self.plan.settings.training
        return self.inputs.validation_frames(self.fold, training.validation_subjects, training.seed)

    @property
    def training_frames(self) -> np.ndarray:
        """For each frame of the run, whether the fold trains the model on this frame, bool [N]."""
        frames: np.ndarray = ~self.test_frames & ~self.validation_frames
        return frames

    def _faces(self, frames: np.ndarray) -> FaceSet:
        return self.inputs.faces.select(frames)

    def run(self, tensorboard: bool) -> None:
        """Train and test the model of the fold, and write weights, predictions and descriptions.

        With several processes, only the leader writes files. The predictions are written
        last, so that their file exists only if the fold is finished.

        Args:
            tensorboard: whether to write TensorBoard event files too.

        Raises:
            DataError: images are missing or damaged, or a loss or a prediction is not finite.
        """
        start = time.perf_counter()
        plan, inputs = self.plan, self.inputs
        self.folder.mkdir(parents=True, exist_ok=True)
        meta = header(plan, inputs, self.fold, self.training_frames)
        model = self._trained_model(meta, tensorboard)
        testing = self._faces(self.test_frames)
        with self._bar("testing", len(testing)) as advance:
            inference = infer(model, testing, plan.settings, advance)
        measures = inference.measures
        if measures:
            baseline = no_image_words(self._faces(self.training_frames), testing)
            measures |= {
                k: v for k, v in baseline.items() if k.removesuffix("_no_image") in measures
            }
            measures |= image_gains(measures)
        rows = np.flatnonzero(self.test_frames)
        chosen, explained = self._explained(model, rows)
        check_unchanged(inputs.face_images)
        if not processes.is_leader():
            return
        illustrations.write_features(self.folder, model, inputs, rows, plan.settings)
        if explained.attention is not None:
            ids = inputs.faces.frame_ids[rows[chosen]]
            illustrations.write_attention(self.folder, ids, explained, inputs.target.names)
        measured = {
            "words": {name: [v if count else None, count] for name, (v, count) in measures.items()},
            "seconds": round(time.perf_counter() - start, 1),
            "computed_on": inference.computed_on,
            "validation_subjects": sorted(
                set(self._faces(self.validation_frames).subjects.tolist())
            ),
            "pretraining": pretraining(plan),
            "without": self._missing_outputs(model),
            "versions": versions(),
        }
        store.write_json(self.folder / MEASURED, measured)
        self._write_predictions(inference, chosen, explained, meta)

    def _say(self, line: str) -> None:
        self.progress.say(f"fold {self.fold}, {line}")

    def _bar(self, step: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        return self.progress.bar(f"fold {self.fold}, part {self.fold}: {step}", total)

    def _missing_outputs(self, model: Model) -> dict[str, str]:
        """Return the reasons why the model lacks outputs, such as descriptions.

        Returns:
            Maps the name of each output that the model does not have to the reason, as text.
        """
        reasons = {words: model.reason_without(kind) for kind, words in CAPABILITIES.items()}
        return {words: reason for words, reason in reasons.items() if reason is not None}

    def _trained_model(self, meta: dict[str, Any], tensorboard: bool) -> Model:
        plan, inputs, folder = self.plan, self.inputs, self.folder
        settings, training = plan.settings, plan.settings.training
        model = self._initial_model(meta)
        if (folder / WEIGHTS).exists():
            tensors, saved = checkpoint.load(folder / WEIGHTS)
            checkpoint.check(saved, meta, folder / WEIGHTS)
            model.load_state_dict(tensors)
            if processes.is_leader():
                # The process may have been killed between writing the weights and this.
                checkpoint.remove_checkpoints(folder)
            return model
        faces, testing, validating = map(
            self._faces, (self.training_frames, self.test_frames, self.validation_frames)
        )
        after_epoch = epoch_predictor(folder, testing, validating, settings, inputs.target.names)
        steps = steps_an_epoch(len(faces), training) * training.epochs
        title = f"fold {self.fold}, without part {self.fold}: training"
        with self.progress.bar(title, steps) as advance:
            return train(
                model,
                faces,
                inputs.class_weights(self.fold, self.training_frames, training.class_weights),
                settings,
                folder,
                meta,
                advance=advance,
                say=self._say,
                after_epoch=after_epoch,
                tensorboard=tensorboard,
            )

    def _initial_model(self, meta: dict[str, Any]) -> Model:
        """Return the model as it is before training.

        Pretrained weights are not loaded if the fold already has trained weights or a checkpoint,
        from which all weights are loaded later.

        Args:
            meta: the metadata that a checkpoint's header must match.
        """
        plan, folder = self.plan, self.folder
        # Initial weights depend only on the seed and the fold, not on what ran before.
        torch.manual_seed(plan.settings.training.seed * 1_000_003 + 500_000 + self.fold)
        architecture = plan.settings.model
        if (folder / WEIGHTS).exists() or checkpoint.load_newest(folder, meta) is not None:
            # All weights come from the run itself, so that no pretrained weights are needed.
            architecture = architecture.untrained()
        return build_model(
            plan.family,
            architecture,
            self.inputs.target.names,
            self.inputs.target.form,
            self._vocabulary_sizes(),
            presets.folder(plan.model),
            self._say,
        )

    def _vocabulary_sizes(self) -> dict[str, int]:
        captions = self.inputs.faces.captions
        if captions is None:
            return {}
        tokens = captions.tokens
        return {"local": tokens.local_vocabulary, "global": tokens.global_vocabulary}

    def _explained(self, model: Model, rows: np.ndarray) -> tuple[np.ndarray, Explanations]:
        """Return descriptions and attention maps of some of the fold's test frames.

        The frames are spread evenly over all test frames.

        Args:
            model: the trained model.
            rows: the row numbers of the fold's test frames.

        Returns:
            The indices of the chosen frames in `rows`, int [n], and their explanations.
        """
        settings, inputs = self.plan.settings, self.inputs
        explains = model.can(Describes) or model.can(Attends)
        count = min(len(rows), settings.inference.described) if explains else 0
        if not count:
            return np.zeros(0, int), Explanations({}, None)
        # The frames are spread over the whole test part, to include as many subjects as possible.
        chosen = np.unique(np.linspace(0, len(rows) - 1, count).astype(int))
        words = {} if inputs.captions is None else inputs.captions.words()
        with self._bar("describing", len(chosen)) as advance:
            explained = explain(
                model,
                self._faces(rows[chosen]),
                words,
                settings,
                inputs.target.described_aus,
                advance,
            )
        return chosen, explained

    def _write_predictions(
        self,
        inference: Inference,
        chosen: np.ndarray,
        explained: Explanations,
        meta: dict[str, Any],
    ) -> None:
        target, rows = self.inputs.target, np.flatnonzero(self.test_frames)
        positions = np.full(len(rows), len(chosen))
        positions[chosen] = np.arange(len(chosen))
        names = [f"{name}_text" for name in target.described_aus] + ["face_text"]
        texts = {
            name: pa.array([*explained.texts.get(name, [None] * len(chosen)), None], pa.string())
            for name in (names if explained.texts else ())
        }
        predictions.write(
            self.folder / PREDICTIONS,
            self.inputs.frames.take(pa.array(rows)),
            self.fold,
            target.names,
            inference.scores,
            {"inputs": meta["vocabulary"], "settings": meta},
            by_frame=inference.by_frame,
            texts={name: column.take(pa.array(positions)) for name, column in texts.items()},
        )
