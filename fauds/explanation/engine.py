"""Runs a trained model on cropped faces, exactly as ``fauds bench`` runs it on test frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from fauds import launcher
from fauds.captions.candidates import Candidates
from fauds.errors import UsageError
from fauds.explanation.evidence import EvidenceWords
from fauds.explanation.weights import Weights
from fauds.faces.base import Box
from fauds.nn.base import RatesCaptions, mean_with_mirrored
from fauds.runs.consistent import ConsistentTexts, describe_consistently
from fauds.training.batches import centre_crop, scale_shorter_side
from fauds.training.device import normalise, precision_on
from fauds.training.nvidia import reason_unused

_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """The output of the model for one cropped face.

    Attributes:
        aus: by action unit, the probability of being active, 0 to 1, in the model's order.
        active: the action units whose probability reaches the model's threshold.
        local: by action unit, the generated description; empty if the model generates none.
        face: the generated description of the whole face, or the description of a predicted
            expression; empty if the model has neither.
        support: by action unit, how much the decoder favours "active" over "inactive" in nats; see
            `fauds.runs.consistent.ConsistentTexts`. Empty if descriptions are free.
        attention: the attention map of each action unit's branch, float32 [A, h, w], in the order
            of `aus`; None if the model has no attention maps.
        seen: the part of the crop that the model gets as its input: left, top, right and bottom
            edge in pixels of the crop.
    """

    aus: dict[str, float]
    active: tuple[str, ...]
    local: dict[str, str]
    face: str
    support: dict[str, float]
    attention: np.ndarray | None = field(repr=False)
    seen: Box


class Explainer:
    """A trained model on a device, which predicts action units and describes faces.

    Args:
        weights: the trained weights; see `fauds.explanation.weights.open_weights`.
        device: "cpu", "cuda", or "auto" for a GPU if one is available.
        batch_size: the number of crops in a batch; None for the setting of the training run.
        beam_width: the number of hypotheses in the beam search that generates descriptions; None
            for the setting of the training run.
        describe: whether descriptions are generated; without descriptions the model is much faster.
        language: the language of the descriptions of expressions; those of action units are in the
            language of the training run.

    Raises:
        UsageError: the device does not exist.
        DataError: the tensors in the weights file do not fit the file's header.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        beam_width: int | None = None,
        describe: bool = True,
        language: str = "en",
    ) -> None:
        inference = weights.settings.inference
        self.weights = weights
        self.device = _device(device)
        self.batch_size = batch_size or inference.batch_size
        self._beam_width = beam_width or inference.beam_width
        self._model = weights.model(describe=describe).to(self.device)
        self._evidence: EvidenceWords | None = None
        if describe and weights.has_expressions:
            self._evidence = EvidenceWords(weights.settings.model.image_size, language)
        self._candidates: Candidates | None = None
        rates = isinstance(self._model, RatesCaptions) and self._model.can(RatesCaptions)
        if describe and rates and weights.words and weights.wording and not weights.why_free:
            self._candidates = Candidates(weights.aus, weights.words, weights.wording)

    @property
    def consistent(self) -> bool:
        """Whether descriptions assert exactly the predicted states; if not, they are free."""
        return self._candidates is not None

    def explain(
        self, crops: Sequence[np.ndarray], points: Sequence[np.ndarray | None] = ()
    ) -> list[ModelOutput]:
        """Return the model's output for each cropped face.

        Args:
            crops: the cropped faces, uint8 [H, W, 3] RGB, which may have different sizes.
            points: the landmarks of each face in pixels of its crop, float32 [68, 2], or None;
                empty if none are known.
        """
        points = points or [None] * len(crops)
        outputs: list[ModelOutput] = []
        for first in range(0, len(crops), self.batch_size):
            part = slice(first, first + self.batch_size)
            outputs.extend(self._batch(crops[part], points[part]))
        return outputs

    def _batch(
        self, crops: Sequence[np.ndarray], points: Sequence[np.ndarray | None]
    ) -> Iterator[ModelOutput]:
        weights, model = self.weights, self.weights.settings.model
        size = model.image_size
        stacked = np.stack([centre_crop(scale_shorter_side(crop, size), size) for crop in crops])
        images = torch.from_numpy(stacked.transpose(0, 3, 1, 2)).to(self.device)
        normalised = normalise(images, model)
        scores = decisions = np.zeros((0, 0))

        def decide(probabilities: torch.Tensor) -> np.ndarray:
            nonlocal scores, decisions
            if weights.settings.inference.flip:
                probabilities = mean_with_mirrored(self._model, normalised, probabilities)
            scores = probabilities.float().cpu().numpy()
            decisions = weights.target.decide(scores, weights.threshold)
            return decisions

        texts: ConsistentTexts | None = None
        with torch.inference_mode(), self._autocast():
            if self._candidates is not None and isinstance(self._model, RatesCaptions):
                output, texts = describe_consistently(
                    self._model, normalised, self._candidates, weights.aus, decide
                )
            else:
                output = self._model.explain(normalised, **self._search())
                decide(output.scores)
        maps = None if output.attention is None else output.attention.float().cpu().numpy()
        local, face = (None if tokens is None else tokens.tolist() for tokens in output.tokens)
        for at, crop in enumerate(crops):
            seen = visible_part(crop.shape[0], crop.shape[1], size)
            active = zip(weights.aus, decisions[at].tolist(), strict=True)
            of_aus = _texts(weights, local[at]) if local else {}
            of_face = weights.words["global"].text(face[at]) if face else ""
            support: dict[str, float] = {}
            if texts is not None:
                of_aus = dict(zip(weights.aus, texts.local[at], strict=False))
                of_face = texts.face[at]
                if texts.support is not None:
                    support = dict(zip(weights.aus, texts.support[at].tolist(), strict=True))
            if self._evidence is not None:
                winner = int(scores[at].argmax())
                of_face = self._evidence.describe(
                    weights.aus[winner],
                    float(scores[at][winner]),
                    None if maps is None else maps[at][winner],
                    _points_seen(points[at], seen, size),
                )
            yield ModelOutput(
                aus=dict(zip(weights.aus, scores[at].tolist(), strict=True)),
                active=tuple(name for name, decided in active if decided),
                local=of_aus,
                face=of_face,
                support=support,
                attention=None if maps is None else maps[at],
                seen=seen,
            )

    def _search(self) -> dict[str, int]:
        """Return the arguments for the model's beam search, which generates descriptions.

        The dict is empty for a model that generates no descriptions.
        """
        if not self.weights.words:
            return {}
        longest = self.weights.max_words
        return {
            "beam_width": self._beam_width,
            "max_words_local": longest["local"],
            "max_words_global": longest["global"],
        }

    def _autocast(self) -> torch.autocast:
        """Return a context manager that runs the model in the precision of its training run.

        If the device does not support this precision, the model runs in float32.
        """
        precision = precision_on(self.device.type, self.weights.settings.training.precision)
        usable = precision == "bf16" or (precision == "fp16" and self.device.type == "cuda")
        dtype = _PRECISIONS[precision] if usable else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=usable)


def visible_part(height: int, width: int, size: int) -> Box:
    """Return the part of a cropped face that the model gets as its input.

    It is a square at the centre, whose side is 7/8 of the shorter side of the crop.

    Args:
        height: the height of the crop in pixels.
        width: the width of the crop in pixels.
        size: the side of the model's input in pixels.

    Returns:
        The left, top, right and bottom edge in the crop's pixels; (0, 0) is the centre of the
        first pixel.
    """
    scale = round(size * 8 / 7) / min(height, width)
    (top, bottom), (left, right) = (
        _middle(side, round(side * scale), size) for side in (height, width)
    )
    return left, top, right, bottom


def _points_seen(points: np.ndarray | None, seen: Box, size: int) -> np.ndarray | None:
    """Return points in pixels of the model's input, float32 [K, 2], from points in the crop."""
    if points is None:
        return None
    left, top, right, bottom = seen
    corner, extent = np.array((left, top)), np.array((right - left, bottom - top))
    mapped: np.ndarray = (points - corner) / extent * size - 0.5
    return mapped.astype(np.float32)


def _middle(side: int, scaled_side: int, size: int) -> tuple[float, float]:
    before = (scaled_side - size) // 2
    unit = side / scaled_side
    return before * unit - 0.5, (before + size) * unit - 0.5


def _texts(weights: Weights, ids: Sequence[Sequence[int]]) -> dict[str, str]:
    return dict(zip(weights.aus, map(weights.words["local"].text, ids), strict=True))


def _device(name: str) -> torch.device:
    available = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not available):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise UsageError(f"The device {name!r} is unknown.", hint="choose from: auto, cpu, cuda")
    if not available:
        reason = reason_unused()
        raise UsageError(
            "PyTorch finds no CUDA device" + (f": {reason}." if reason else "."),
            hint="use --device cpu or --device auto",
        )
    # The processes that torchrun starts are distributed over the GPUs.
    return torch.device("cuda", launcher.local_rank() % torch.cuda.device_count())
