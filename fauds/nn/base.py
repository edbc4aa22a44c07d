"""The model contract: what a network declares so that everything else can use it.

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
"""What a batch can hold besides images and labels."""


@dataclass(frozen=True)
class Spec:
    """What a network is built for.

    Attributes:
        names: A names that a score each is given for: action units, or classes.
        form: "multilabel": every name is active or not; "multiclass": exactly one name is true.
        vocabulary: scope ("local", "global") to the size of its vocabulary, where <pad> is 0,
            <bos> 1, <eos> 2 and <unk> 3; empty unless the model needs captions.
        image_size: side of the square input in pixels.
        mean, std: of the pixels, RGB, 0 to 1; images are normalised by them before `forward`.
    """

    names: tuple[str, ...]
    form: Literal["multilabel", "multiclass"]
    vocabulary: Mapping[str, int]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Batch:
    """B frames.

    Attributes:
        images: [B, 3, S, S] RGB; uint8 as loaded, float and normalised where a model sees them.
        labels: long, -1 where not coded; multilabel [B, A], 1 active and 0 inactive; multiclass
            [B], the place of the true name.
        rows: [B] long, rows of the set of faces that the batch was taken from; empty where the
            batch holds a placeholder alone, a frame without labels and captions.
        views: [B, 2, 3] float, which maps pixels (x right, y down, 1) of the stored face image to
            pixels of `images`: the scaling, crop and flip that the image has undergone.
        local: [B, A, T] long and global_: [B, T'] long, <bos> words <eos> <pad>.., all <pad> where
            there is no caption; None unless the model needs "captions".
        landmarks: [B, 68, 2] float, pixels of `images` in iBUG's order, NaN where there are none;
            None unless the model needs "landmarks".
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
        """Return the batch with all tensors but `rows` on a device."""
        moved = {
            name: tensor.to(device, non_blocking=True)
            for name, tensor in vars(self).items()
            if tensor is not None and name != "rows"
        }
        return replace(self, **moved)


class Tokens(NamedTuple):
    """Generated captions, words without <bos>, with <eos>, then <pad>; None without a decoder.

    Attributes:
        local: [B, A, T] long.
        global_: [B, T] long.
    """

    local: Tensor | None
    global_: Tensor | None


class Outputs(NamedTuple):
    """Everything that a model gives for images; None for what it cannot do.

    Attributes:
        scores: [B, A], as the target defines them.
        features: [B, A, d], one feature a name.
        attention: [B, A, h, w], one map a name.
        tokens: generated captions.
    """

    scores: Tensor
    features: Tensor | None
    attention: Tensor | None
    tokens: Tokens


class Tested(NamedTuple):
    """What a model gives for a labelled batch.

    Attributes:
        scores: [B, A], as the target defines them.
        measures: metric name to (sum, count), of the model's own measures on this batch.
    """

    scores: Tensor
    measures: dict[str, tuple[int | float, int]]


@dataclass(frozen=True)
class Stage:
    """A part of the training that has an optimiser and a schedule of its own.

    Attributes:
        name: in words, for logs.
        epochs: how many of the training's epochs it takes.
    """

    name: str
    epochs: int


class Search(TypedDict, total=False):
    """Keywords of `Describes.describe`."""

    beam_width: int
    max_words_local: int
    max_words_global: int
    length_penalty: float


class Describes(ABC):
    """Writes captions."""

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
        """Write captions of images [B, 3, S, S], float and normalised, by beam search."""


class Attends(ABC):
    """Has an attention map for every name."""

    @abstractmethod
    def attend(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S], float and normalised -> maps [B, A, h, w], 0 or more."""


class Embeds(ABC):
    """Has a feature for every name."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S], float and normalised -> features [B, A, d]."""


CAPABILITIES: dict[type, str] = {
    Describes: "descriptions",
    Attends: "attention maps",
    Embeds: "features by name",
}
"""Each capability and what it gives, in words."""


class Model(nn.Module, ABC):
    """A network of a model family.

    Class attributes:
        Settings: the model part of a preset.
        needs: what a batch must hold besides images and labels.
        terms: names of the losses, in the order in which they are summed and logged.
        preset: the preset that is used on real data where none is named.
        folder: where the family's presets and weights lie; None for models/NAME of fauds.
    """

    Settings: ClassVar[type[ModelSettings]]
    needs: ClassVar[frozenset[Need]] = frozenset()
    terms: ClassVar[tuple[str, ...]]
    preset: ClassVar[str] = "paper"
    folder: ClassVar[Path | None] = None

    @classmethod
    @abstractmethod
    def build(cls, settings: Any, spec: Spec) -> Self:
        """Return the network; pretrained weights that timm has are loaded, files are not.

        Args:
            settings: of the family's own `Settings`.
            spec: what it is built for.

        Raises:
            UsageError: the family cannot do what is asked for.
            DataError: pretrained weights are missing.
        """

    @property
    def backbone(self) -> nn.Module | None:
        """The part that a backbone's own weights, its learning rate and compiling belong to."""
        return None

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a backbone's own weights.

        Raises:
            RuntimeError: they are another network's, or there is no backbone.
        """
        if self.backbone is None:
            raise RuntimeError("the model has no backbone")
        self.backbone.load_state_dict(dict(tensors))

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trained parameters: "backbone", which has its own rate, and "rest"."""
        backbone = [] if self.backbone is None else list(self.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known]
        groups = {"backbone": backbone, "rest": rest}
        return {name: [p for p in group if p.requires_grad] for name, group in groups.items()}

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the stages of the training: one unless overridden. Epochs add up to `epochs`.

        Every stage begins with a new optimiser over `param_groups` and its own schedule.
        """
        return (Stage("training", epochs),)

    def begin(self, stage: Stage) -> None:
        """Prepare for a stage, for example by freezing parameters; nothing unless overridden."""

    def mix(self, batch: Batch, generator: Generator) -> Batch:
        """Return the training batch that is learnt from; unchanged unless overridden.

        For augmentation that needs several images, such as CutMix. The batch is as loaded: on the
        CPU, images uint8.

        Args:
            generator: on the CPU, seeded by the run's seed, the step, the micro-batch and the
                process, so that a resumed training draws the same.
        """
        return batch

    @abstractmethod
    def forward(self, batch: Batch) -> Any:
        """Return what `loss` needs of a batch, images float and normalised."""

    @abstractmethod
    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return how many things each loss of `terms` is a mean over, from the batch alone.

        It is asked before `forward`, so that a mean over several micro-batches and processes is
        that of the whole batch: the counts of a batch's parts add up to those of the batch.
        """

    @abstractmethod
    def loss(self, output: Any, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Return the sum of each loss of `terms` over what `counts` counts, scalars in nats.

        Args:
            output: of `forward`.
            weights: class weights [A].
        """

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S], float and normalised -> scores [B, A] as the target defines them."""

    def predict(self, images: Tensor) -> Tensor:
        """Return `scores` without recording gradients."""
        with torch.inference_mode():
            return self.scores(images)

    def test_step(self, batch: Batch) -> Tested:
        """Return the scores of a labelled batch, and the model's own measures on it."""
        return Tested(self.predict(batch.images), {})

    def reason_without(self, capability: type) -> str | None:
        """Return why the model lacks one of `CAPABILITIES`; None where it has it."""
        if isinstance(self, capability):
            return None
        return "the model has no part that gives them"

    def can(self, capability: type) -> bool:
        """Return whether the model, as it is configured, has one of `CAPABILITIES`."""
        return self.reason_without(capability) is None

    def explain(self, images: Tensor, **search: Unpack[Search]) -> Outputs:
        """Return all that the model gives for images; families may do it in one pass.

        Args:
            search: keywords of `Describes.describe`.
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
        """Return the settings of the same model without what writes captions."""
        return settings

    @classmethod
    def vocabulary_sizes(cls, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
        """Return scope to the vocabulary size that saved tensors were trained with, if any."""
        return {}


def means(sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of every loss, 0 where it is over nothing, and their sum as ``total``.

    Args:
        sums: of `Model.loss`.
        counts: what each mean divides by: of the whole batch, over the number of processes whose
            gradients are averaged.
    """
    losses = {
        term: value / torch.where(counts[term] > 0, counts[term], 1) for term, value in sums.items()
    }
    return {**losses, "total": sum(losses.values())}  # type: ignore[dict-item]
