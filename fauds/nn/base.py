"""The model contract: what a network declares so that the rest of fauds can use it.

A model family is one module with a subclass of `Model`, a folder of presets with a model card,
and a name in `fauds.nn.MODELS`. Training, testing, reports, `fauds explain` and `fauds export`
know this module only. They ask a model for its capabilities (`Describes`, `Attends`, `Embeds`),
never for its name. This module reads no files.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypedDict, Unpack

import torch
from torch import Generator, Tensor, nn

from fauds.settings import ModelSettings

Need = Literal["captions", "landmarks", "subjects"]
"""Optional parts of a batch, besides images and labels, that a model can ask for."""


@dataclass(frozen=True)
class Spec:
    """The task that a network is built for: its outputs, its vocabularies and its input.

    Attributes:
        names: the A names that the network scores, one score for each: action units, or classes.
        form: "multilabel": every name is active or inactive; "multiclass": exactly one name is
            true.
        vocabulary: maps a scope ("local", "global") to the size of its vocabulary, in which <pad>
            is 0, <bos> 1, <eos> 2 and <unk> 3; empty unless the model needs captions.
        image_size: the side of the square input in pixels.
        mean, std: the mean and standard deviation of the pixels, RGB, on a scale of 0 to 1; images
            are normalised with them before `forward`.
    """

    names: tuple[str, ...]
    form: Literal["multilabel", "multiclass"]
    vocabulary: Mapping[str, int]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Batch:
    """A batch of B frames.

    Attributes:
        images: [B, 3, S, S] RGB; uint8 as loaded, float and normalised as a model receives them.
        labels: long, -1 where not coded; multilabel [B, A], 1 active and 0 inactive; multiclass
            [B], the index of the true name.
        rows: [B] long, the rows of the `FaceSet` that the frames were taken from; empty if the
            batch holds only a placeholder, which is a frame without labels and captions.
        views: [B, 2, 3] float, affine maps from pixels (x right, y down, 1) of the stored face
            image to pixels of `images`: the scaling, crop and flip that the image has undergone.
        local: [B, A, T] long, the tokens of the local captions: <bos>, words, <eos>, then <pad>;
            all <pad> where a caption is missing. None unless the model needs "captions".
        global_: [B, T'] long, the tokens of the global captions, laid out in the same way.
        landmarks: [B, 68, 2] float, the 68 iBUG points in pixels of `images`, NaN where a frame
            has none; None unless the model needs "landmarks".
        subjects: [B] long, the same number for frames of the same subject; None unless the model
            needs "subjects".
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
    views: Tensor
    local: Tensor | None = None
    global_: Tensor | None = None
    landmarks: Tensor | None = None
    subjects: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with all tensors except `rows` moved to a device."""
        moved = {
            name: tensor.to(device, non_blocking=True)
            for name, tensor in vars(self).items()
            if tensor is not None and name != "rows"
        }
        return replace(self, **moved)


class Tokens(NamedTuple):
    """Tokens of generated captions: the words, <eos>, then <pad>; no <bos>.

    Attributes:
        local: [B, A, T] long, one caption for each name; None without a local decoder.
        global_: [B, T] long, one caption for each image; None without a global decoder.
    """

    local: Tensor | None
    global_: Tensor | None


class Outputs(NamedTuple):
    """All outputs of a model for a batch of images.

    Attributes:
        scores: [B, A], as the target defines them.
        features: [B, A, d], one feature vector for each name; None if the model has none.
        attention: [B, A, h, w], one attention map for each name; None if the model has none.
        tokens: the generated captions.
    """

    scores: Tensor
    features: Tensor | None
    attention: Tensor | None
    tokens: Tokens


class TestOutputs(NamedTuple):
    """The outputs of a model for a labelled test batch.

    Attributes:
        scores: [B, A], as the target defines them.
        measures: the model's own measures on this batch: metric name to (sum, count).
    """

    scores: Tensor
    measures: dict[str, tuple[int | float, int]]


@dataclass(frozen=True)
class Stage:
    """A stage of the training, with its own optimiser and learning rate schedule.

    Attributes:
        name: the name of the stage as logs show it.
        epochs: the number of epochs that the stage takes.
    """

    name: str
    epochs: int


class BeamSearchOptions(TypedDict, total=False):
    """Keyword arguments of `Describes.describe`."""

    beam_width: int
    max_words_local: int
    max_words_global: int
    length_penalty: float


class Describes(ABC):
    """A model that writes captions."""

    @abstractmethod
    def describe(
        self,
        images: Tensor,
        *,
        beam_width: int = 3,
        max_words_local: int = 64,
        max_words_global: int = 96,
        length_penalty: float = 1.0,
    ) -> Tokens:
        """Write captions of images by beam search.

        Args:
            images: [B, 3, S, S], float and normalised.
            beam_width: the number of hypotheses that are kept for each caption.
            max_words_local: the length at which local captions are cut, <eos> included.
            max_words_global: the length at which global captions are cut, <eos> included.
            length_penalty: the power of its length that the score of a caption is divided by.
        """


class Attends(ABC):
    """A model that has an attention map for every name."""

    @abstractmethod
    def attend(self, images: Tensor) -> Tensor:
        """Return the attention maps [B, A, h, w], 0 or more.

        Args:
            images: [B, 3, S, S], float and normalised.
        """


class Embeds(ABC):
    """A model that has a feature vector for every name."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Return the features [B, A, d].

        Args:
            images: [B, 3, S, S], float and normalised.
        """


CAPABILITIES: dict[type, str] = {
    Describes: "descriptions",
    Attends: "attention maps",
    Embeds: "features by name",
}
"""Maps each capability to the name of its outputs, as results and reports show it."""


class Model(nn.Module, ABC):
    """A network of a model family.

    Class attributes:
        Settings: the type of the ``model:`` part of a preset.
        needs: the parts of a batch that the model needs besides images and labels.
        terms: the names of the losses, in the order in which they are summed and logged.
        preset: the preset that is used on real data unless another is named.
        folder: the folder of the family's presets and weights; None for models/NAME of fauds.
    """

    Settings: ClassVar[type[ModelSettings]]
    needs: ClassVar[frozenset[Need]] = frozenset()
    terms: ClassVar[tuple[str, ...]]
    preset: ClassVar[str] = "paper"
    folder: ClassVar[Path | None] = None

    @classmethod
    @abstractmethod
    def build(cls, settings: Any, spec: Spec) -> Self:
        """Return the network.

        Pretrained weights that timm provides are loaded here; weights files are not.

        Args:
            settings: an instance of the family's own `Settings`.
            spec: the task that the network is built for.

        Raises:
            UsageError: the family does not support this task or these settings.
            DataError: the pretrained weights are not available.
        """

    @property
    def backbone(self) -> nn.Module | None:
        """The part that is pretrained, has its own learning rate and can be compiled."""
        return None

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> None:
        """Load weights into the backbone.

        Raises:
            RuntimeError: the weights belong to another network, or the model has no backbone.
        """
        if self.backbone is None:
            raise RuntimeError("the model has no backbone")
        self.backbone.load_state_dict(dict(tensors))

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trainable parameters in two groups, "backbone" and "rest".

        The backbone has its own learning rate.
        """
        backbone = [] if self.backbone is None else list(self.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known]
        groups = {"backbone": backbone, "rest": rest}
        return {name: [p for p in group if p.requires_grad] for name, group in groups.items()}

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the stages of the training, whose epochs add up to `epochs`.

        There is one stage unless a family overrides this method. Every stage begins with a new
        optimiser over `param_groups` and a new learning rate schedule.
        """
        return (Stage("training", epochs),)

    def begin(self, stage: Stage) -> None:
        """Prepare the model for a stage, for example by freezing parameters.

        Does nothing unless a family overrides it.
        """

    def mix(self, batch: Batch, generator: Generator) -> Batch:
        """Return a training batch after augmentation that needs several images, such as CutMix.

        The batch is unchanged unless a family overrides this method.

        Args:
            batch: a training batch as loaded: on the CPU, images uint8.
            generator: a generator on the CPU, seeded by the run's seed, the epoch, the micro-batch
                and the process, so that a resumed training draws the same numbers.
        """
        return batch

    @abstractmethod
    def forward(self, batch: Batch) -> Any:
        """Return the output that `loss` needs, for a batch with float, normalised images."""

    @abstractmethod
    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of items that each loss of `terms` is a mean over, as scalars.

        The numbers follow from the batch alone and are computed before `forward`, so that the mean
        over several micro-batches and processes is that of the whole batch: the counts of the
        parts of a batch add up to those of the batch.
        """

    @abstractmethod
    def loss(self, output: Any, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Return each loss of `terms`, summed over the items that `counts` counts.

        Args:
            output: the output of `forward`.
            batch: the batch that `output` belongs to.
            weights: the class weights [A].

        Returns:
            Scalars in nats, by the names in `terms`.
        """

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """Return the scores [B, A], as the target defines them.

        Args:
            images: [B, 3, S, S], float and normalised.
        """

    def predict(self, images: Tensor) -> Tensor:
        """Return the result of `scores`, computed without recording gradients."""
        with torch.inference_mode():
            return self.scores(images)

    def test_step(self, batch: Batch) -> TestOutputs:
        """Return the scores of a labelled batch, and the model's own measures on it.

        Args:
            batch: a batch with float, normalised images.
        """
        return TestOutputs(self.predict(batch.images), {})

    def reason_without(self, capability: type) -> str | None:
        """Return why the model lacks one of `CAPABILITIES`; None if it has it."""
        if isinstance(self, capability):
            return None
        return "the model does not produce them"

    def can(self, capability: type) -> bool:
        """Return whether the model, with its present settings, has one of `CAPABILITIES`."""
        return self.reason_without(capability) is None

    def explain(self, images: Tensor, **search: Unpack[BeamSearchOptions]) -> Outputs:
        """Return all outputs of the model; families may compute them in one forward pass.

        Args:
            images: [B, 3, S, S], float and normalised.
            search: keyword arguments of `Describes.describe`.
        """
        with torch.inference_mode():
            return Outputs(
                self.predict(images),
                self.embed(images) if isinstance(self, Embeds) and self.can(Embeds) else None,
                self.attend(images) if isinstance(self, Attends) and self.can(Attends) else None,
                self.describe(images, **search)
                if isinstance(self, Describes) and self.can(Describes)
                else Tokens(None, None),
            )

    @classmethod
    def without_texts(cls, settings: Any) -> Any:
        """Return the settings of the same model without its caption decoders."""
        return settings

    @classmethod
    def vocabulary_sizes(cls, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
        """Return the vocabulary sizes, by scope, of a model whose tensors were saved.

        Args:
            tensors: the (name, tensor) pairs of the saved state dict.
        """
        return {}


def means(sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of every loss, and the sum of the means as ``total``.

    A mean over nothing is 0.

    Args:
        sums: the sums that `Model.loss` returns.
        counts: the number that each sum is divided by: the count of the whole batch, divided by
            the number of processes whose gradients are averaged.
    """
    losses = {
        term: value / torch.where(counts[term] > 0, counts[term], 1) for term, value in sums.items()
    }
    return {**losses, "total": sum(losses.values())}  # type: ignore[dict-item]
