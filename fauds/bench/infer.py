"""A trained model on its test part: probabilities, word accuracy and written descriptions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator

from fauds.captions import Words
from fauds.errors import DataError
from fauds.metrics.words import NoImageWords
from fauds.nn.vlfau import VLFAU, VLFAUOutput
from fauds.settings import RunSettings
from fauds.training import processes
from fauds.training.batches import Batch, batches
from fauds.training.data import CaptionTokens, FaceSet
from fauds.training.device import computed_on, loader_workers, make_accelerator, normalise

Counts = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Inference:
    """Probabilities float32 [N, A], (value, words) of each word metric, and on what it ran."""

    probabilities: np.ndarray
    words: dict[str, tuple[float, int]]
    computed_on: str


def infer(
    model: VLFAU,
    faces: FaceSet,
    tokens: CaptionTokens,
    settings: RunSettings,
    advance: Callable[[int], None] = lambda frames: None,
) -> Inference:
    """Predict all frames, and measure top-5 word accuracy with the gold words before each word.

    With several processes each predicts its share of the batches; all return the whole.

    Raises:
        DataError: a prediction is not finite.
    """
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    mine: list[tuple[np.ndarray, Counts]] = []
    with torch.inference_mode():
        for batch in _share(faces, tokens, settings, accelerator):
            images, local, whole = (
                tensor.to(accelerator.device)
                for tensor in (batch.images, batch.local, batch.global_)
            )
            with accelerator.autocast():
                output = model(normalise(images, settings.model), local, whole)
            found = output.au_logits.float().softmax(dim=-1)[..., 1].cpu().numpy()
            mine.append((found, _hits(output)))
            advance(len(batch.rows) * accelerator.num_processes)
    all_ = processes.dealt_back(processes.gathered(mine))
    probabilities = np.concatenate([found for found, _ in all_])
    _check_finite(probabilities, faces)
    return Inference(
        probabilities, _accuracies([counts for _, counts in all_]), computed_on(accelerator)
    )


def predict(
    model: VLFAU, faces: FaceSet, tokens: CaptionTokens, settings: RunSettings
) -> np.ndarray:
    """Predict all frames, without their descriptions: probabilities float32 [N, A].

    Raises:
        DataError: a prediction is not finite.
    """
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    mine = []
    for batch in _share(faces, tokens, settings, accelerator):
        with accelerator.autocast():
            found = model.predict(normalise(batch.images.to(accelerator.device), settings.model))
        mine.append(found.cpu().numpy())
    probabilities = np.concatenate(processes.dealt_back(processes.gathered(mine)))
    _check_finite(probabilities, faces)
    return probabilities


def _share(
    faces: FaceSet, tokens: CaptionTokens, settings: RunSettings, accelerator: Accelerator
) -> Iterator[Batch]:
    """Yield this process's share of the test batches."""
    return batches(
        faces,
        tokens,
        settings,
        epoch=None,
        workers=loader_workers(settings, accelerator),
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        pin=accelerator.device.type == "cuda",
    )


def _hits(output: VLFAUOutput) -> Counts:
    """Return how many words are among the five most probable, and of how many."""
    of = {"local_word_top5": output.local_logits, "global_word_top5": output.global_logits}
    return {
        name: (int(words.hits(5).sum()), len(words.targets))
        for name, words in of.items()
        if words is not None
    }


def _accuracies(counts: Sequence[Counts]) -> dict[str, tuple[float, int]]:
    measured = {}
    for name in counts[0]:
        hits, words = (sum(part) for part in zip(*(count[name] for count in counts), strict=True))
        measured[name] = (hits / words if words else float("nan"), words)
    return measured


def _check_finite(probabilities: np.ndarray, faces: FaceSet) -> None:
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        raise DataError(
            f"The model predicts what is not a number for {len(broken):,} frames.",
            where=str(faces.images[broken[0]]),
            hint="train again with a lower training.learning_rate, or training.precision=no",
        )


def no_image_words(
    train: FaceSet, test: FaceSet, tokens: CaptionTokens
) -> dict[str, tuple[float, int]]:
    """Return top-5 word accuracy on the test part of a guesser that sees words but no image.

    Local captions: it knows which AU's branch it writes for, as the decoder does.
    """
    hits = words = 0
    for au in range(test.local.shape[1]):
        known = _counted(train.local[:, au], tokens.local)
        asked = _counted(test.local[:, au], tokens.local)
        size = sum((len(caption) - 1) * times for caption, times in asked)
        if size:
            hits += NoImageWords(known).accuracy(asked) * size
            words += size
    asked = _counted(test.global_, tokens.global_)
    guesser = NoImageWords(_counted(train.global_, tokens.global_))
    global_words = sum((len(caption) - 1) * times for caption, times in asked)
    return {
        "local_word_top5_no_image": (hits / words if words else float("nan"), words),
        "global_word_top5_no_image": (guesser.accuracy(asked), global_words),
    }


def _counted(codes: np.ndarray, tokens: np.ndarray) -> list[tuple[list[int], int]]:
    rows, times = np.unique(codes, return_counts=True)
    captions = [
        (tokens[row][tokens[row] != 0].tolist(), int(n)) for row, n in zip(rows, times, strict=True)
    ]
    return [(caption, n) for caption, n in captions if caption]


@dataclass(frozen=True)
class Descriptions:
    """What the model writes about N frames, and where it looks.

    Attributes:
        texts: column name (``AU01_text``, ``face_text``) to N texts.
        attention: DAIR's spatial maps, float32 [N, A, h, w]; None without MARL.
    """

    texts: dict[str, list[str]]
    attention: np.ndarray | None


def describe(
    model: VLFAU,
    faces: FaceSet,
    tokens: CaptionTokens,
    vocabulary: pa.Table,
    settings: RunSettings,
    aus: Sequence[str],
    advance: Callable[[int], None] = lambda frames: None,
) -> Descriptions:
    """Write descriptions by beam search; several processes share the batches out."""
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    mine = []
    for batch in _share(faces, tokens, settings, accelerator):
        images = normalise(batch.images.to(accelerator.device), settings.model)
        with accelerator.autocast():
            found = model.explain(images, **_search(tokens, settings))
        maps = None if found.attention is None else found.attention.float()
        parts = (found.local_tokens, found.global_tokens, maps)
        mine.append([None if part is None else part.cpu().numpy() for part in parts])
        advance(len(batch.rows) * accelerator.num_processes)
    seen = processes.dealt_back(processes.gathered(mine))
    looked = [attention for _, _, attention in seen if attention is not None]
    return Descriptions(
        _texts([(local, whole) for local, whole, _ in seen], vocabulary, aus),
        np.concatenate(looked) if looked else None,
    )


def _texts(
    seen: Sequence[tuple[np.ndarray | None, np.ndarray | None]],
    vocabulary: pa.Table,
    aus: Sequence[str],
) -> dict[str, list[str]]:
    """Put generated words, [B, A, T] and [B, T], into texts."""
    local_words, global_words = (Words.from_table(vocabulary, s) for s in ("local", "global"))
    written: dict[str, list[str]] = {}
    for local, whole in seen:
        for place, au in enumerate(aus if local is not None else ()):
            ids = local[:, place].tolist()
            written.setdefault(f"{au}_text", []).extend(map(local_words.text, ids))
        if whole is not None:
            texts = map(global_words.text, whole.tolist())
            written.setdefault("face_text", []).extend(texts)
    return written


def _search(tokens: CaptionTokens, settings: RunSettings) -> dict[str, int | float]:
    """Return the keywords of the beam search."""
    inference = settings.inference
    return {
        "beam_width": inference.beam_width,
        "length_penalty": inference.length_penalty,
        "max_words_local": inference.max_words or tokens.local.shape[1],
        "max_words_global": inference.max_words or tokens.global_.shape[1],
    }
