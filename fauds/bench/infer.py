"""A trained model on its test part: probabilities, word accuracy and written descriptions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from fauds.captions import Words
from fauds.metrics.words import NoImageWords
from fauds.nn.vlfau import VLFAU
from fauds.settings import RunSettings
from fauds.training.batches import batches
from fauds.training.data import CaptionTokens, FaceSet
from fauds.training.loop import loader_workers, make_accelerator, normalise

WordCounts = dict[str, list[int]]


@dataclass(frozen=True)
class Inference:
    """Probabilities float32 [N, A], and (value, words) of each word metric."""

    probabilities: np.ndarray
    words: dict[str, tuple[float, int]]


def infer(
    model: VLFAU,
    faces: FaceSet,
    tokens: CaptionTokens,
    settings: RunSettings,
    advance: Callable[[int], None] = lambda frames: None,
) -> Inference:
    """Predict all frames, and measure top-5 word accuracy with the gold words before each word."""
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    counted: WordCounts = {}
    probabilities = []
    workers = loader_workers(settings, accelerator)
    with torch.inference_mode():
        for batch in batches(faces, tokens, settings, epoch=None, workers=workers):
            device = accelerator.device
            images = normalise(batch.images.to(device), settings.model)
            with accelerator.autocast():
                output = model(images, batch.local.to(device), batch.global_.to(device))
            probabilities.append(output.au_logits.float().softmax(dim=-1)[..., 1].cpu().numpy())
            for name, words in (
                ("local_word_top5", output.local_logits),
                ("global_word_top5", output.global_logits),
            ):
                if words is not None:
                    hits = words.hits(5)
                    total = counted.setdefault(name, [0, 0])
                    total[0] += int(hits.sum())
                    total[1] += len(hits)
            advance(len(batch.rows))
    measured = {
        name: (hits / words if words else float("nan"), words)
        for name, (hits, words) in counted.items()
    }
    return Inference(np.concatenate(probabilities), measured)


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


def describe(
    model: VLFAU,
    faces: FaceSet,
    tokens: CaptionTokens,
    vocabulary: pa.Table,
    settings: RunSettings,
    aus: Sequence[str],
    advance: Callable[[int], None] = lambda frames: None,
) -> dict[str, list[str]]:
    """Write descriptions by beam search: column name (``AU01_text``, ``face_text``) to texts."""
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    local_words, global_words = (Words.from_table(vocabulary, s) for s in ("local", "global"))
    written: dict[str, list[str]] = {}
    workers = loader_workers(settings, accelerator)
    for batch in batches(faces, tokens, settings, epoch=None, workers=workers):
        images = normalise(batch.images.to(accelerator.device), settings.model)
        with accelerator.autocast():
            found = model.describe(
                images,
                beam_width=settings.inference.beam_width,
                max_words_local=tokens.local.shape[1],
                max_words_global=tokens.global_.shape[1],
            )
        if found.local_tokens is not None:
            for place, au in enumerate(aus):
                ids = found.local_tokens[:, place].tolist()
                written.setdefault(f"{au}_text", []).extend(map(local_words.text, ids))
        if found.global_tokens is not None:
            ids = found.global_tokens.tolist()
            written.setdefault("face_text", []).extend(map(global_words.text, ids))
        advance(len(batch.rows))
    return written
