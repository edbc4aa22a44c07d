"""A trained model on its test part: scores, its own measures, and what explains them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator

from fauds.captions import Words
from fauds.errors import DataError
from fauds.metrics.words import NoImageWords
from fauds.nn.base import Batch, Model, BeamSearchOptions
from fauds.settings import RunSettings
from fauds.tables import store
from fauds.training import processes
from fauds.training.batches import batches
from fauds.training.device import (
    device_description,
    loader_workers,
    make_accelerator,
    normalise,
    on_device,
)
from fauds.training.face_set import FaceSet

Measures = dict[str, tuple[float, int]]
"""Metric name to (value, count)."""


@dataclass(frozen=True)
class Inference:
    """Scores float32 [N, A], the model's own measures, and on what it ran."""

    scores: np.ndarray
    measures: Measures
    device_description: str


def infer(
    model: Model,
    faces: FaceSet,
    settings: RunSettings[Any],
    advance: Callable[[int], None] = lambda frames: None,
) -> Inference:
    """Predict all frames, and take the model's own measures on them.

    With several processes each predicts its share of the batches; all return the whole.

    Raises:
        DataError: a prediction is not finite.
    """
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    mine: list[tuple[np.ndarray, dict[str, tuple[int | float, int]]]] = []
    with torch.inference_mode():
        for batch in _share(model, faces, settings, accelerator):
            batch = on_device(batch, accelerator.device, settings.model)
            with accelerator.autocast():
                tested = model.test_step(batch)
            mine.append((tested.scores.cpu().numpy(), tested.measures))
            advance(len(batch.rows) * accelerator.num_processes)
    whole = processes.interleave(processes.gathered(mine))
    scores = np.concatenate([part for part, _ in whole])
    _check_finite(scores, faces)
    return Inference(scores, _means([part for _, part in whole]), device_description(accelerator))


def predict(model: Model, faces: FaceSet, settings: RunSettings[Any]) -> np.ndarray:
    """Predict all frames, and no more: scores float32 [N, A].

    Raises:
        DataError: a prediction is not finite.
    """
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    mine = []
    for batch in _share(model, faces, settings, accelerator):
        with accelerator.autocast():
            scores = model.predict(normalise(batch.images.to(accelerator.device), settings.model))
        mine.append(scores.cpu().numpy())
    whole = np.concatenate(processes.interleave(processes.gathered(mine)))
    _check_finite(whole, faces)
    return whole


def _share(
    model: Model, faces: FaceSet, settings: RunSettings[Any], accelerator: Accelerator
) -> Iterator[Batch]:
    """Yield this process's share of the test batches."""
    return batches(
        faces,
        settings,
        epoch=None,
        workers=loader_workers(settings, accelerator),
        needs=model.needs,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        pin=accelerator.device.type == "cuda",
    )


def _means(parts: Sequence[dict[str, tuple[int | float, int]]]) -> Measures:
    measured: Measures = {}
    for name in parts[0]:
        total, count = (sum(part) for part in zip(*(one[name] for one in parts), strict=True))
        measured[name] = (total / count if count else float("nan"), int(count))
    return measured


def _check_finite(scores: np.ndarray, faces: FaceSet) -> None:
    broken = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(broken):
        raise DataError(
            f"The model predicts what is not a number for {len(broken):,} frames.",
            where=str(faces.images[broken[0]]),
            hint="train again with a lower training.learning_rate, or training.precision=no",
        )


def no_image_words(train: FaceSet, test: FaceSet) -> Measures:
    """Return top-5 word accuracy on the test part of a guesser that sees words but no image.

    Local captions: it knows which AU it writes for, as the decoder does. Nothing where the frames
    have no captions.
    """
    if train.captions is None or test.captions is None:
        return {}
    tokens = test.captions.tokens
    hits = words = 0.0
    for au in range(test.captions.local.shape[1]):
        known = _counted(train.captions.local[:, au], tokens.local)
        asked = _counted(test.captions.local[:, au], tokens.local)
        size = sum((len(caption) - 1) * times for caption, times in asked)
        if size:
            hits += NoImageWords(known).accuracy(asked) * size
            words += size
    asked = _counted(test.captions.global_, tokens.global_)
    guesser = NoImageWords(_counted(train.captions.global_, tokens.global_))
    global_words = sum((len(caption) - 1) * times for caption, times in asked)
    return {
        "local_word_top5_no_image": (hits / words if words else float("nan"), int(words)),
        "global_word_top5_no_image": (guesser.accuracy(asked), global_words),
    }


def _counted(codes: np.ndarray, tokens: np.ndarray) -> list[tuple[list[int], int]]:
    rows, times = np.unique(codes, return_counts=True)
    captions = [
        (tokens[row][tokens[row] != 0].tolist(), int(n)) for row, n in zip(rows, times, strict=True)
    ]
    return [(caption, n) for caption, n in captions if caption]


@dataclass(frozen=True)
class Explained:
    """What a model gives for N frames besides scores.

    Attributes:
        texts: column name (``AU01_text``, ``face_text``) to N texts; empty without decoders.
        attention: maps, float32 [N, A, h, w]; None where the model has none.
    """

    texts: dict[str, list[str]]
    attention: np.ndarray | None


def explain(
    model: Model,
    faces: FaceSet,
    words: dict[str, Words],
    settings: RunSettings[Any],
    names: Sequence[str],
    advance: Callable[[int], None] = lambda frames: None,
) -> Explained:
    """Write descriptions by beam search and take attention maps; processes share the batches out.

    Args:
        words: the vocabulary of each scope; empty for models without decoders.
        names: of the local descriptions.
    """
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    mine = []
    for batch in _share(model, faces, settings, accelerator):
        images = normalise(batch.images.to(accelerator.device), settings.model)
        with accelerator.autocast():
            given = model.explain(images, **_search(faces, settings))
        maps = None if given.attention is None else given.attention.float()
        parts = (*given.tokens, maps)
        mine.append([None if part is None else part.cpu().numpy() for part in parts])
        advance(len(batch.rows) * accelerator.num_processes)
    whole = processes.interleave(processes.gathered(mine))
    attention = [part for _, _, part in whole if part is not None]
    return Explained(
        _texts([(local, face) for local, face, _ in whole], words, names),
        np.concatenate(attention) if attention else None,
    )


def _texts(
    tokens: Sequence[tuple[np.ndarray | None, np.ndarray | None]],
    words: dict[str, Words],
    names: Sequence[str],
) -> dict[str, list[str]]:
    """Put generated tokens, [B, A, T] and [B, T], into texts."""
    written: dict[str, list[str]] = {}
    for local, face in tokens:
        if local is not None:
            for place, name in enumerate(names):
                ids = local[:, place].tolist()
                written.setdefault(f"{name}_text", []).extend(map(words["local"].text, ids))
        if face is not None:
            texts = map(words["global"].text, face.tolist())
            written.setdefault("face_text", []).extend(texts)
    return written


def _search(faces: FaceSet, settings: RunSettings[Any]) -> BeamSearchOptions:
    """Return the keywords of the beam search; none where there are no captions."""
    if faces.captions is None:
        return {}
    inference, tokens = settings.inference, faces.captions.tokens
    return {
        "beam_width": inference.beam_width,
        "length_penalty": inference.length_penalty,
        "max_words_local": inference.max_words or tokens.local.shape[1],
        "max_words_global": inference.max_words or tokens.global_.shape[1],
    }


TEST, VALIDATION = "epochs", "validation"
"""Folders in a fold's, with ``epoch3.parquet`` and the like: of the test part, of validation."""


class Watch:
    """Predicts parts after every epoch, for `fauds.training.loop.train`.

    Args:
        folder: the fold's.
        parts: `TEST` and `VALIDATION` to their frames.
        names: of the scores.
    """

    def __init__(
        self,
        folder: Path,
        parts: Mapping[str, FaceSet],
        settings: RunSettings[Any],
        names: Sequence[str],
    ) -> None:
        self._folder = folder
        self._parts = parts
        self._settings = settings
        self._names = names

    def __call__(self, model: Model, epoch: int) -> None:
        """Write what the model predicts after an epoch, from 1."""
        for name, faces in self._parts.items():
            found = predict(model, faces, self._settings)
            if processes.leads():
                columns = {
                    "frame_id": faces.frame_ids,
                    **dict(zip(self._names, found.T, strict=True)),
                }
                path = self._folder / name / f"epoch{epoch}.parquet"
                store.write_table(path, pa.table(columns), {"inputs": name, "settings": {}})


def watched(
    folder: Path,
    testing: FaceSet,
    validating: FaceSet,
    settings: RunSettings[Any],
    names: Sequence[str],
) -> Watch | None:
    """Return what is watched: the test part too where validation chooses, to score its choice."""
    parts = {TEST: testing}
    if len(validating):
        parts[VALIDATION] = validating
    elif not settings.training.watch_test:
        return None
    return Watch(folder, parts, settings, names)
