"""Applies a trained model to frames to get scores, descriptions and attention maps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from torch import Tensor

from fauds.captions import Words
from fauds.errors import DataError
from fauds.metrics.words import NoImageBaseline
from fauds.nn.base import (
    Attends,
    Batch,
    BeamSearchOptions,
    Guided,
    Model,
    Need,
    mean_with_mirrored,
)
from fauds.nn.transfer import HostCopy, send
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
from fauds.training.face_set import FaceSet, FrameCaptions

Measures = dict[str, tuple[float, int]]
"""Maps the name of a metric to (mean, count), its mean over items and the number of items."""


@dataclass(frozen=True)
class Inference:
    """The outputs of a model for N labelled frames.

    Attributes:
        scores: float32 [N, A], the probability that each AU is active, or of each class.
        measures: metrics that the model computes itself, such as the accuracy of its words: maps
            the name of a metric to its mean over items and the number of items.
        by_frame: metrics that have a value for each frame and each AU or class, float32 [N, A], NaN
            where a frame has none.
        computed_on: the device, precision and number of processes, such as "CPU, float32".
    """

    scores: np.ndarray
    measures: Measures
    by_frame: dict[str, np.ndarray]
    computed_on: str


def infer(
    model: Model,
    faces: FaceSet,
    settings: RunSettings[Any],
    advance: Callable[[int], None] = lambda frames: None,
) -> Inference:
    """Return the scores of all frames, and metrics that the model computes itself.

    With ``inference.flip``, scores are means over the image and the mirrored image; the metrics are
    those of the image.

    With several processes, each process predicts its share of the batches, and every process
    returns the scores of all frames.

    Args:
        model: the trained model.
        faces: the frames.
        settings: the settings of the run.
        advance: called with the number of frames that were finished since the last call, for a
            progress bar.

    Raises:
        DataError: a prediction is not finite.
    """
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    copies = []
    with torch.inference_mode():
        for batch in _own_batches(model, faces, settings, accelerator, model.uses):
            batch = on_device(batch, accelerator.device, settings.model)
            with accelerator.autocast():
                test_outputs = model.test_step(batch)
                scores = test_outputs.scores
                if settings.inference.flip:
                    scores = mean_with_mirrored(model, batch.images, scores)
            measures = {
                name: (HostCopy(total) if isinstance(total, Tensor) else total, count)
                for name, (total, count) in test_outputs.measures.items()
            }
            by_frame = {name: HostCopy(v.float()) for name, v in test_outputs.by_frame.items()}
            copies.append((HostCopy(scores), measures, by_frame))
            advance(len(batch.rows) * accelerator.num_processes)
    # Results are read after the last batch: reading each at once would keep the GPU waiting.
    outputs = [
        (
            scores.read().numpy(),
            _read(measures),
            {name: copy.read().numpy() for name, copy in by_frame.items()},
        )
        for scores, measures, by_frame in copies
    ]
    batch_scores, batch_measures, batch_values = zip(
        *processes.interleave(processes.gather(outputs)), strict=True
    )
    all_scores = np.concatenate(batch_scores)
    _check_finite(all_scores, faces)
    return Inference(
        all_scores,
        _means(batch_measures),
        {name: np.concatenate([v[name] for v in batch_values]) for name in batch_values[0]},
        device_description(accelerator),
    )


def predict(model: Model, faces: FaceSet, settings: RunSettings[Any]) -> np.ndarray:
    """Return the scores of N frames: the probability of each AU or class, float32 [N, A].

    Raises:
        DataError: a prediction is not finite.
    """
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    copies = []
    for batch in _own_batches(model, faces, settings, accelerator):
        images = normalise(send(batch.images, accelerator.device), settings.model)
        with torch.inference_mode(), accelerator.autocast():
            scores = model.predict(images)
            if settings.inference.flip:
                scores = mean_with_mirrored(model, images, scores)
        copies.append(HostCopy(scores))
    batch_scores = [copy.read().numpy() for copy in copies]
    all_scores = np.concatenate(processes.interleave(processes.gather(batch_scores)))
    _check_finite(all_scores, faces)
    return all_scores


def _own_batches(
    model: Model,
    faces: FaceSet,
    settings: RunSettings[Any],
    accelerator: Accelerator,
    uses: frozenset[Need] = frozenset(),
) -> Iterator[Batch]:
    """Yield this process's share of the batches; other processes predict the other batches.

    Args:
        model: the trained model.
        faces: the frames.
        settings: the settings of the run.
        accelerator: the device and the processes.
        uses: what the batches should hold, besides what the model needs, if the frames have it.
    """
    return batches(
        faces,
        settings,
        epoch=None,
        workers=loader_workers(settings, accelerator),
        needs=model.needs | uses,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        pin=accelerator.device.type == "cuda",
    )


def _read(
    measures: Mapping[str, tuple[HostCopy | int | float, int]],
) -> dict[str, tuple[int | float, int]]:
    return {
        name: (total.read().item() if isinstance(total, HostCopy) else total, count)
        for name, (total, count) in measures.items()
    }


def _means(parts: Sequence[dict[str, tuple[int | float, int]]]) -> Measures:
    measured: Measures = {}
    for name in parts[0]:
        total, count = (
            sum(part) for part in zip(*(measures[name] for measures in parts), strict=True)
        )
        measured[name] = (total / count if count else float("nan"), int(count))
    return measured


def _check_finite(scores: np.ndarray, faces: FaceSet) -> None:
    broken = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(broken):
        raise DataError(
            f"The model's scores are not finite for {len(broken):,} frames; the image of the first "
            "one is named here.",
            where=str(faces.images[broken[0]]),
            hint="train again with a lower training.learning_rate, or with training.precision=no",
        )


def no_image_words(train: FaceSet, test: FaceSet) -> Measures:
    """Return the top-5 word accuracy of a baseline that reads the captions but not the images.

    A word of a test caption is a hit if it is among the five words that the baseline finds most
    probable after the words before it. For local captions, which are about one AU, the baseline
    knows the AU, as the decoder does.

    Args:
        train: the frames that the fold trains on.
        test: the frames that the fold tests.

    Returns:
        Maps "local_word_top5_no_image" and "global_word_top5_no_image" to the accuracy and the
        number of words, and "local_decision_top1_no_image" and "global_decision_top1_no_image" to
        the accuracy of the most probable word on decision words and their number; empty if the
        frames have no captions.
    """
    if train.captions is None or test.captions is None:
        return {}
    tokens = test.captions.tokens
    measures = _no_image_decisions(train.captions, test.captions)
    hits = words = 0.0
    for au in range(test.captions.local.shape[1]):
        training = _distinct_captions(train.captions.local[:, au], tokens.local)
        tested = _distinct_captions(test.captions.local[:, au], tokens.local)
        size = sum((len(caption) - 1) * times for caption, times in tested)
        if size:
            hits += NoImageBaseline(training).accuracy(tested) * size
            words += size
    tested = _distinct_captions(test.captions.global_, tokens.global_)
    baseline = NoImageBaseline(_distinct_captions(train.captions.global_, tokens.global_))
    global_words = sum((len(caption) - 1) * times for caption, times in tested)
    return measures | {
        "local_word_top5_no_image": (hits / words if words else float("nan"), int(words)),
        "global_word_top5_no_image": (baseline.accuracy(tested), global_words),
    }


def _no_image_decisions(train: FrameCaptions, test: FrameCaptions) -> Measures:
    """Return the accuracy of the baseline's most probable word on the decision words of captions.

    The baseline knows the words before, as the decoder does, and for local captions the AU.
    """
    measures: Measures = {}
    tokens = test.tokens
    for scope, ids, decides, columns in (
        ("local", tokens.local, tokens.local_decides, [c.local.T for c in (train, test)]),
        ("global", tokens.global_, tokens.global_decides, [c.global_[None] for c in (train, test)]),
    ):
        if decides is None:
            continue
        hits = words = 0
        for trained, tested in zip(*columns, strict=True):
            baseline = NoImageBaseline(_distinct_captions(trained, ids), k=1)
            for row, times in zip(*np.unique(tested, return_counts=True), strict=True):
                length = int((ids[row] != 0).sum())
                counted = decides[row][:length].tolist()
                hits += baseline.hits(ids[row][:length].tolist(), counted) * int(times)
                words += sum(counted) * int(times)
        accuracy = hits / words if words else float("nan")
        measures[f"{scope}_decision_top1_no_image"] = accuracy, words
    return measures


def image_gains(measures: Measures) -> Measures:
    """Return the share of the image's possible gain on decision words, by scope.

    It is (accuracy - blind) / (1 - blind), where blind is the accuracy without the image after the
    same words: 0 if the image adds nothing, 1 if it decides all words; NaN, of 0 words, if nothing
    is left to gain.

    Args:
        measures: metrics with "local_decision_top1" and "local_decision_top1_no_image", and the
            same of "global"; one that is missing gives none.
    """
    gains: Measures = {}
    for scope in ("local", "global"):
        names = (f"{scope}_decision_top1", f"{scope}_decision_top1_no_image")
        if all(name in measures for name in names):
            (accuracy, count), (blind, _) = (measures[name] for name in names)
            undefined = blind == 1 or not count
            gain = float("nan") if undefined else (accuracy - blind) / (1 - blind)
            gains[f"{scope}_image_gain"] = gain, 0 if undefined else count
    return gains


def _distinct_captions(codes: np.ndarray, tokens: np.ndarray) -> list[tuple[list[int], int]]:
    """Return the tokens of each caption that occurs, with the number of frames that have it.

    Args:
        codes: for each frame, the row of its caption in `tokens`.
        tokens: all distinct captions, one a row; a row that is all <pad> stands for a missing
            caption, which is left out.
    """
    rows, times = np.unique(codes, return_counts=True)
    captions = [
        (tokens[row][tokens[row] != 0].tolist(), int(n)) for row, n in zip(rows, times, strict=True)
    ]
    return [(caption, n) for caption, n in captions if caption]


GUIDE_SIZE = 14
"""The side, in cells, of the stored maps of where attention should lie."""


@dataclass(frozen=True)
class Explanations:
    """The descriptions and attention maps of N frames.

    Attributes:
        texts: maps a column name (``AU01_text``, ``face_text``) to N descriptions; empty if the
            model writes none.
        attention: the attention maps, float32 [N, A, h, w]; None if the model has none.
        guides: where the attention for each name should lie by the landmarks of the face, float32
            [N, A, GUIDE_SIZE, GUIDE_SIZE]; None if the model has no such maps, or if no landmarks
            are known.
        shared: the attention that all names share, float32 [N, h', w']; None if there is none.
    """

    texts: dict[str, list[str]]
    attention: np.ndarray | None
    guides: np.ndarray | None = None
    shared: np.ndarray | None = None


def explain(
    model: Model,
    faces: FaceSet,
    words: dict[str, Words],
    settings: RunSettings[Any],
    names: Sequence[str],
    advance: Callable[[int], None] = lambda frames: None,
) -> Explanations:
    """Return descriptions, written by beam search, and attention maps of all frames.

    With several processes, each process handles its share of the batches, and every process returns
    the result for all frames.

    Args:
        model: the trained model.
        faces: the frames.
        words: the vocabularies of "local" descriptions (of an AU) and "global" descriptions (of the
            face); empty if the model writes no descriptions.
        settings: the settings of the run.
        names: the names of the AUs that are described.
        advance: called with the number of frames that were finished since the last call, for a
            progress bar.
    """
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    copies = []
    for batch in _own_batches(model, faces, settings, accelerator, model.uses):
        images = normalise(send(batch.images, accelerator.device), settings.model)
        with accelerator.autocast():
            explained = model.explain(images, **_search(faces, settings))
            guides, shared = _guides(model, batch, images)
        maps = None if explained.attention is None else explained.attention.float()
        parts = (*explained.tokens, maps, guides, shared)
        copies.append([None if part is None else HostCopy(part) for part in parts])
        advance(len(batch.rows) * accelerator.num_processes)
    outputs = [
        [None if part is None else part.read().numpy() for part in parts] for parts in copies
    ]
    all_outputs = processes.interleave(processes.gather(outputs))
    arrays = (
        np.concatenate(parts) if parts[0] is not None else None
        for parts in list(zip(*all_outputs, strict=True))[2:]
    )
    return Explanations(
        _texts([(local, face) for local, face, *_ in all_outputs], words, names), *arrays
    )


def _guides(model: Model, batch: Batch, images: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return where the attention of a model should lie, and the attention that all names share.

    Either is None if the model does not have it; see `Explanations`.

    Args:
        model: the model.
        batch: the batch as loaded, which may hold landmarks.
        images: the normalised images, [B, 3, S, S].
    """
    if not isinstance(model, Guided) or batch.landmarks is None or not model.can(Attends):
        return None, None
    shared = model.shared_attention(images)
    guides = model.guides(send(batch.landmarks.float(), images.device), GUIDE_SIZE)
    return guides, None if shared is None else shared.float()


def _texts(
    tokens: Sequence[tuple[np.ndarray | None, np.ndarray | None]],
    words: dict[str, Words],
    names: Sequence[str],
) -> dict[str, list[str]]:
    """Return the descriptions that a model wrote as tokens, as text.

    Args:
        tokens: for each batch, the tokens of the descriptions of AUs, [B, A, T], and of the whole
            face, [B, T]; None where the model does not write them.
        words: the vocabularies of "local" descriptions (of an AU) and "global" descriptions (of the
            face).
        names: the names of the A described AUs.

    Returns:
        Maps a column name (``AU01_text``, ``face_text``) to the texts of all frames.
    """
    texts: dict[str, list[str]] = {}
    for local, face in tokens:
        if local is not None:
            for column, name in enumerate(names):
                ids = local[:, column].tolist()
                texts.setdefault(f"{name}_text", []).extend(map(words["local"].text, ids))
        if face is not None:
            face_texts = map(words["global"].text, face.tolist())
            texts.setdefault("face_text", []).extend(face_texts)
    return texts


def _search(faces: FaceSet, settings: RunSettings[Any]) -> BeamSearchOptions:
    """Return the options of the beam search that writes captions.

    Captions are cut after ``inference.max_words`` words; if this setting has no value, after as
    many words as the longest caption of the dataset has. The result is empty if the frames have no
    captions.
    """
    if faces.captions is None:
        return {}
    inference, tokens = settings.inference, faces.captions.tokens
    return {
        "beam_width": inference.beam_width,
        "length_penalty": inference.length_penalty,
        "max_words_local": inference.max_words or tokens.local.shape[1],
        "max_words_global": inference.max_words or tokens.global_.shape[1],
    }


TEST_EPOCHS, VALIDATION_EPOCHS = "epochs", "validation"
"""Folders in a fold's folder: predictions of its test and validation frames after each epoch."""


class EpochPredictor:
    """Writes the predictions of the model after each epoch of a fold's training to a file.

    An instance is passed to `fauds.training.loop.train`, which calls it after each epoch.

    Args:
        folder: the folder of the fold.
        parts: maps the name of a folder to the frames to predict: `TEST_EPOCHS` to the frames of
            the test subjects, `VALIDATION_EPOCHS` to the frames of the validation subjects.
        settings: the settings of the run.
        names: the names of the AUs or classes that are scored.
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
        """Write the predictions of a model after an epoch.

        Args:
            model: the model as it would be saved after this epoch.
            epoch: the number of the epoch, from 1.
        """
        for name, faces in self._parts.items():
            scores = predict(model, faces, self._settings)
            if processes.is_leader():
                columns = {
                    "frame_id": faces.frame_ids,
                    **dict(zip(self._names, scores.T, strict=True)),
                }
                path = self._folder / name / f"epoch{epoch}.parquet"
                store.write_table(path, pa.table(columns), {"inputs": name, "settings": {}})


def epoch_predictor(
    folder: Path,
    testing: FaceSet,
    validating: FaceSet,
    settings: RunSettings[Any],
    names: Sequence[str],
) -> EpochPredictor | None:
    """Return the object that writes predictions after each epoch; None if they are not needed.

    They are needed if there are validation subjects or ``training.watch_test`` is on. If there are
    validation subjects, test subjects are predicted after each epoch too, so that the epoch that is
    best on the validation subjects can be scored on the test subjects.

    Args:
        folder: the folder of the fold.
        testing: the frames of the test subjects.
        validating: the frames of the validation subjects, which may be none.
        settings: the settings of the run.
        names: the names of the AUs or classes that are scored.
    """
    parts = {TEST_EPOCHS: testing}
    if len(validating):
        parts[VALIDATION_EPOCHS] = validating
    elif not settings.training.watch_test:
        return None
    return EpochPredictor(folder, parts, settings, names)
