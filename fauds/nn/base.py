"""The base class of models: what a network declares so that the rest of fauds can use it.

A model family is one module with a subclass of `Model`, a folder of presets with a model card,
and a name in `fauds.nn.MODELS`. Training, testing, reports, `fauds explain` and `fauds export`
use models only through the classes of this module. They ask a model for its capabilities
(`Describes`, `Attends`, `Embeds`), never for its name. This module reads no files.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypedDict, Unpack

import torch
from torch import Generator, Tensor, nn

from fauds.errors import UsageError
from fauds.nn.layers.words import PackedWords, pack_words
from fauds.nn.loaded_tensors import LoadedTensors
from fauds.nn.transfer import send
from fauds.registry import unknown_name_error
from fauds.settings import AULoss, ModelSettings

Need = Literal["captions", "landmarks", "subjects"]
"""Optional parts of a batch, besides images and labels, that a model can ask for."""


@dataclass(frozen=True)
class Spec:
    """The task that a network is built for: its outputs, its vocabularies and its input.

    Attributes:
        names: the names of the A outputs, which are action units or classes; the network gives
            each name one score.
        form: "multilabel" if every name is active or inactive on its own; "multiclass" if exactly
            one name is true for a frame.
        vocabulary: maps each kind of caption, "local" (of one AU) and "global" (of the whole
            face), to the number of words in its vocabulary. In both vocabularies <pad> is 0, <bos>
            1, <eos> 2 and <unk> 3. Empty unless the model needs captions.
        image_size: the side of the square input in pixels.
        mean, std: the mean and standard deviation of each RGB channel, for pixels scaled to 0 to
            1; images are normalised with these values before `forward`.
    """

    names: tuple[str, ...]
    form: Literal["multilabel", "multiclass"]
    vocabulary: Mapping[str, int]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Batch:
    """A batch of B frames, each with the labels of A action units, or with one class.

    Attributes:
        images: [B, 3, S, S] RGB, S pixels square; uint8 when loaded, float and normalised when
            passed to a model.
        labels: long, -1 where not coded. For AUs [B, A], 1 active and 0 inactive; for classes that
            exclude each other [B], the index of the true class.
        rows: [B] long, the rows of the `FaceSet` that the frames were taken from; empty if the
            batch holds only a placeholder, which is a frame without labels and captions.
        views: [B, 2, 3] float, affine maps from pixels (x right, y down, 1) of the stored face
            image to pixels of `images`: the scaling, crop and flip that the image has undergone.
        local: [B, A, T] long, the tokens of the local captions (one for each AU): <bos>, words,
            <eos>, then <pad>; all <pad> where a caption is missing. None unless the model needs
            "captions".
        global_: [B, T'] long, the tokens of the global captions (one for the whole face), laid out
            like `local`.
        landmarks: [B, 68, 2] float, the 68 iBUG points in pixels of `images`, NaN where a frame
            has none and for points that its landmarks lack; None unless the model needs
            "landmarks".
        subjects: [B] long, the number of the subject in each frame, equal for all frames of one
            subject; None unless the model needs "subjects".
        local_decides: [B, A, T] bool, which tokens of `local` are decision words, which the words
            before them do not determine; None if not known.
        global_decides: [B, T'] bool, the same of `global_`.
        local_words: the words of the B * A captions in `local` without padding, in rows
            image * A + AU; None before `packed`, or if `local` is None.
        global_words: the words of the B captions in `global_` without padding; None before
            `packed`, or if `global_` is None.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
    views: Tensor
    local: Tensor | None = None
    global_: Tensor | None = None
    landmarks: Tensor | None = None
    subjects: Tensor | None = None
    local_decides: Tensor | None = None
    global_decides: Tensor | None = None
    local_words: PackedWords | None = None
    global_words: PackedWords | None = None

    def packed(self) -> "Batch":
        """Return the batch with `local_words` and `global_words`.

        Batches are packed on the CPU, before they are moved to a GPU; see `pack_words`.
        """
        local, global_ = self.local_words, self.global_words
        if local is None and self.local is not None:
            decides = self.local_decides
            decides = None if decides is None else decides.flatten(0, 1)
            local = pack_words(self.local.flatten(0, 1), decides)
        if global_ is None and self.global_ is not None:
            global_ = pack_words(self.global_, self.global_decides)
        return replace(self, local_words=local, global_words=global_)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with everything except `rows` on a device, without waiting for it."""
        moved: dict[str, Any] = {
            name: send(value, device) if isinstance(value, Tensor) else value.to(device)
            for name, value in vars(self).items()
            if value is not None and name != "rows"
        }
        return replace(self, **moved)


class Tokens(NamedTuple):
    """Tokens of captions that a model wrote for B images: words, <eos>, then <pad>; no <bos>.

    Attributes:
        local: [B, A, T] long, one caption for each of the A action units; None if the model does
            not write them.
        global_: [B, T] long, one caption for the whole face; None if the model does not write
            them.
    """

    local: Tensor | None
    global_: Tensor | None


class Outputs(NamedTuple):
    """All outputs of a model for B images and A names (action units or classes).

    Attributes:
        scores: [B, A], the probability that each AU is active, or the probability of each class.
        features: [B, A, d], one feature vector for each name; None if the model has none.
        attention: [B, A, h, w], one attention map for each name; None if the model has none.
        tokens: the generated captions.
    """

    scores: Tensor
    features: Tensor | None
    attention: Tensor | None
    tokens: Tokens


class TestOutputs(NamedTuple):
    """The outputs of a model for a labelled test batch of B frames.

    Attributes:
        scores: [B, A], the probability that each AU is active, or the probability of each class.
        measures: metrics that the model computes itself, such as the accuracy of its words: maps
            the name of a metric to (sum, count), its sum over the items of this batch and the
            number of these items. The sum may be a scalar tensor, which is read after the last
            batch, so that no batch waits for the GPU.
        by_frame: metrics that have a value for each frame and each AU or class, such as the cosine
            between two maps: maps the name of a metric to its values [B, A], NaN where a frame has
            none. They are averaged over frames, and their intervals are computed over subjects.
    """

    scores: Tensor
    measures: dict[str, tuple[Tensor | int | float, int]]
    by_frame: Mapping[str, Tensor] = MappingProxyType({})


@dataclass(frozen=True)
class Stage:
    """A stage of the training: successive epochs with one optimiser and learning rate schedule.

    Attributes:
        name: the name of the stage as logs show it.
        epochs: the number of epochs that the stage takes.
    """

    name: str
    epochs: int


class BeamSearchOptions(TypedDict, total=False):
    """Options of the beam search for captions: the keyword arguments of `Describes.describe`."""

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
        """Write captions of images by beam search, and return their tokens.

        Args:
            images: [B, 3, S, S], float and normalised.
            beam_width: the number of hypotheses that are kept for each caption.
            max_words_local: the largest number of words, <eos> included, of a local caption (of
                one AU); longer captions are cut.
            max_words_global: the largest number of words, <eos> included, of a global caption (of
                the whole face); longer captions are cut.
            length_penalty: an exponent: captions are compared by their log-probability divided by
                (number of words) ** length_penalty.
        """


class CaptionLikelihoods(NamedTuple):
    """The log-likelihoods of candidate captions of B images, in nats, given the image.

    Each is the sum over the caption's words, each word after the words before it; -inf where there
    is no candidate.

    Attributes:
        local: [B, A, K], of K candidates for each of A action units; None if the model does not
            write local captions.
        global_: [B, G], of G candidates for the whole face; None if the model does not write
            global captions.
    """

    local: Tensor | None
    global_: Tensor | None


class RatesCaptions(ABC):
    """A model that gives the likelihood of captions that others wrote."""

    @abstractmethod
    def rate(
        self, images: Tensor, candidates: Callable[[Tensor], Tokens]
    ) -> tuple[Outputs, CaptionLikelihoods]:
        """Return the outputs of a model without captions, and the likelihood of given captions.

        Args:
            images: [B, 3, S, S], float and normalised.
            candidates: called once with the scores of the images, [B, A]; returns the candidates,
                each laid out as in `Batch.local`: ``local`` [B, A, K, T] and ``global_``
                [B, G, T'], on the CPU; a row of <pad> alone is no candidate.
        """


class Attends(ABC):
    """A model that has an attention map for every action unit or class."""

    @abstractmethod
    def attend(self, images: Tensor) -> Tensor:
        """Return an attention map for each image and each AU or class: [B, A, h, w], 0 or more.

        Args:
            images: [B, 3, S, S], float and normalised.
        """


class Embeds(ABC):
    """A model that has a feature vector for every action unit or class."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Return a feature vector for each image and each AU or class: [B, A, d].

        Args:
            images: [B, 3, S, S], float and normalised.
        """


class Guided(ABC):
    """A model whose attention maps can be compared with AU maps, made from landmarks."""

    @abstractmethod
    def guides(self, landmarks: Tensor, size: int) -> Tensor:
        """Return where the attention for each AU or class should lie: [B, A, size, size], 0 to 1.

        The map of a name without AUs, such as neutral, is zero, and so is that of a face without
        landmarks.

        Args:
            landmarks: [B, 68, 2], iBUG's points in pixels of the image.
            size: the side of the maps in cells.
        """

    def shared_attention(self, images: Tensor) -> Tensor | None:
        """Return the attention that all AUs or classes share, [B, h, w].

        The result is None if each of them has attention of its own (`Attends`), as by default.

        Args:
            images: [B, 3, S, S], float and normalised.
        """
        return None


CAPABILITIES: dict[type, str] = {
    Describes: "descriptions",
    Attends: "attention maps",
    Embeds: "features by name",
}
"""Maps each capability to the name of its outputs, as results and reports show it."""


class Model(nn.Module, ABC):
    """The base class of networks; each subclass is a model family, such as VL-FAU.

    A preset is a YAML file with the settings of a network and its training.

    On a GPU, `forward`, `loss`, `scores` and `test_step` should not ask for values of tensors, for
    example by `.item()`, a condition, `nonzero` or a mask as an index, and should not make tensors
    from Python numbers: each of these waits until the GPU has nothing left to do. Constants belong
    into buffers. With several processes, buffers such as the statistics of batch norm may differ
    during an epoch; at its end, all processes take those of the first.

    Class attributes:
        Settings: the type of the ``model:`` section of a preset, which describes the architecture.
        needs: what a batch must hold besides images and labels: "captions", "landmarks" or
            "subjects". A model whose needs depend on its settings sets the attribute in `build`,
            and overrides `needs_of`.
        uses: what a tested batch should hold if the dataset has it, for metrics that the model
            computes.
        terms: the names of the losses, in the order in which they are summed and logged. A model
            whose losses depend on its settings sets the attribute in `build`.
        au_losses: the values of the setting ``training.au_loss`` that `loss` supports. A family
            that supports more than the default computes the loss that the attribute `au_loss`
            names.
        preset: the name of the preset that is used on real data unless the user names another.
        benchmark: the name of the benchmark that is used unless the user names one.
        control: the changes of settings, ``key=value``, that make the model's control: the same
            model without what the family is about; empty if there is none. ``fauds bench`` can
            train both and compare them.
        folder: the folder with the family's presets and weights; None if it is the folder
            models/NAME that is shipped with fauds.

    Attributes:
        au_loss: the loss of AUs that `loss` computes, one of `au_losses`; training sets it to the
            setting ``training.au_loss``.
    """

    Settings: ClassVar[type[ModelSettings]]
    needs: frozenset[Need] = frozenset()
    uses: ClassVar[frozenset[Need]] = frozenset()
    terms: tuple[str, ...]
    au_losses: ClassVar[tuple[AULoss, ...]] = ("entropy",)
    preset: ClassVar[str] = "paper"
    benchmark: ClassVar[str] = "synthetic"
    control: ClassVar[tuple[str, ...]] = ()
    folder: ClassVar[Path | None] = None
    au_loss: AULoss = "entropy"

    @classmethod
    @abstractmethod
    def build(cls, settings: Any, spec: Spec) -> Self:
        """Return a new network of this family.

        Pretrained weights that timm provides are loaded here; files of weights that the user names
        are loaded by the caller.

        Args:
            settings: the architecture, an instance of the family's own `Settings`.
            spec: the task that the network is built for.

        Raises:
            UsageError: the family does not support this task or these settings.
            DataError: the pretrained weights are not available.
        """

    @classmethod
    def needs_of(cls, settings: Any) -> frozenset[Need]:
        """Return what a batch must hold besides images and labels, for a model with settings.

        Args:
            settings: the architecture, an instance of the family's own `Settings`.
        """
        return cls.needs

    @property
    def backbone(self) -> nn.Module | None:
        """The image network, which may be pretrained and has its own learning rate.

        None if the model has no such part.
        """
        return None

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> LoadedTensors:
        """Load weights into the backbone, the part of the model that may be pretrained.

        Families with a timm backbone override this method, to accept files in which the tensors
        have other names than in the backbone.

        Args:
            tensors: the tensors of a weights file by name: the state dict of the backbone.

        Returns:
            Which tensors of the file were used, and which were not.

        Raises:
            RuntimeError: the weights belong to another network, or the model has no backbone.
        """
        if self.backbone is None:
            raise RuntimeError("the model has no backbone to load weights into")
        self.backbone.load_state_dict(dict(tensors))
        return LoadedTensors(tuple(tensors), (), ())

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trainable parameters in two groups, "backbone" and "rest".

        The groups are separate because the backbone has its own learning rate.
        """
        backbone = [] if self.backbone is None else list(self.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known]
        groups = {"backbone": backbone, "rest": rest}
        return {name: [p for p in group if p.requires_grad] for name, group in groups.items()}

    @classmethod
    def check_au_loss(cls, au_loss: AULoss) -> None:
        """Check that the family supports a loss of AUs.

        Args:
            au_loss: the setting ``training.au_loss``.

        Raises:
            UsageError: the family does not support this loss.
        """
        if au_loss not in cls.au_losses:
            raise UsageError(
                f"This model, {cls.__name__}, cannot be trained with the AU loss {au_loss!r}.",
                where="training.au_loss",
                hint=f"choose from: {', '.join(cls.au_losses)}",
            )

    def check_loss_weights(self, weights: Mapping[str, float]) -> None:
        """Check that the setting ``training.loss_weights`` names losses of the model only.

        Args:
            weights: the setting.

        Raises:
            UsageError: it names a loss that the model does not have.
        """
        for name in weights.keys() - set(self.terms):
            raise unknown_name_error("loss of the model", name, list(self.terms))

    def stages(self, epochs: int) -> Sequence[Stage]:
        """Return the stages of the training, for example first the heads, then all parameters.

        There is one stage unless a model family overrides this method. Every stage begins with a
        new optimiser over `param_groups` and a new learning rate schedule.

        Args:
            epochs: the number of epochs of the whole training. The numbers of epochs of the stages
                must add up to it.
        """
        return (Stage("training", epochs),)

    def begin(self, stage: Stage) -> None:
        """Prepare the model for a stage of its training, for example by freezing parameters.

        This method does nothing unless a model family overrides it.
        """

    def mix(self, batch: Batch, generator: Generator) -> Batch:
        """Return a training batch after augmentation that needs several images, such as CutMix.

        The batch is unchanged unless a model family overrides this method.

        Args:
            batch: a training batch on the CPU, with uint8 images and captions that are not packed
                yet.
            generator: the source of random numbers, on the CPU. It is seeded by the run's seed,
                the epoch, the micro-batch and the process, so that a resumed training draws the
                same numbers.
        """
        return batch

    @abstractmethod
    def forward(self, batch: Batch) -> Any:
        """Return whatever the model's `loss` needs, such as logits.

        Args:
            batch: a batch with float, normalised images.
        """

    @abstractmethod
    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of items, such as coded labels, over which each loss is averaged.

        The counts are computed before `forward`, from the batch alone. A batch may be divided into
        micro-batches and among processes. The counts of all parts are then added up, and each loss
        is divided by the count of the whole batch.

        Returns:
            A scalar for each name in `terms`.
        """

    @abstractmethod
    def loss(self, output: Any, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Return each loss of a batch, summed (not averaged) over the items that `counts` counts.

        Args:
            output: the output of `forward`.
            batch: the batch that `output` belongs to.
            weights: the class weights [A], one for each AU or class.

        Returns:
            A scalar in nats for each name in `terms`.
        """

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """Return the probability that each AU is active, or the probability of each class: [B, A].

        Args:
            images: [B, 3, S, S], float and normalised.
        """

    def predict(self, images: Tensor) -> Tensor:
        """Return the probabilities [B, A] of `scores`, computed without recording gradients.

        Args:
            images: [B, 3, S, S], float and normalised.
        """
        with torch.inference_mode():
            return self.scores(images)

    def test_step(self, batch: Batch) -> TestOutputs:
        """Return the scores of a labelled batch, and metrics that the model computes itself.

        Args:
            batch: a batch with float, normalised images.
        """
        return TestOutputs(self.predict(batch.images), {})

    def reason_without(self, capability: type) -> str | None:
        """Return why the model lacks a capability, as text; None if it has the capability.

        Args:
            capability: a key of `CAPABILITIES`, for example `Attends` (has attention maps).
        """
        if isinstance(self, capability):
            return None
        return "the model does not produce them"

    def can(self, capability: type) -> bool:
        """Return whether the model, with its present settings, has a capability.

        Args:
            capability: a key of `CAPABILITIES`, for example `Attends` (has attention maps).
        """
        return self.reason_without(capability) is None

    def explain(self, images: Tensor, **search: Unpack[BeamSearchOptions]) -> Outputs:
        """Return the scores, features, attention maps and captions of images.

        Outputs that the model does not have are None. A model family may override this method to
        compute all outputs in one forward pass.

        Args:
            images: [B, 3, S, S], float and normalised.
            search: options of the beam search for captions; see `Describes.describe`.
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
    def without_text_settings(cls, settings: Any) -> Any:
        """Return the settings of the same model without its caption decoders.

        The settings are unchanged unless a model family overrides this method.

        Args:
            settings: the architecture, an instance of the family's own `Settings`.
        """
        return settings

    @classmethod
    def vocabulary_sizes(cls, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
        """Return the sizes of the vocabularies of a saved model, read from its tensors.

        Args:
            tensors: the (name, tensor) pairs of the saved state dict.

        Returns:
            Maps each kind of caption, "local" (of one AU) and "global" (of the whole face), to the
            number of words in its vocabulary; empty if the model writes no captions.
        """
        return {}


def means(
    sums: Mapping[str, Tensor],
    counts: Mapping[str, Tensor],
    weights: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """Return the mean of every loss, and the weighted sum of the means as ``total``.

    The mean of a loss that has no items is 0.

    Args:
        sums: each loss by name, summed over its items, as `Model.loss` returns it.
        counts: the number by which each sum is divided: the number of items in the whole batch,
            divided by the number of processes, since the processes' gradients are averaged later.
        weights: the weight of each loss in the total; 1 for losses that are not named.
    """
    losses = {
        term: value / torch.where(counts[term] > 0, counts[term], 1) for term, value in sums.items()
    }
    weighted = [
        value if (weight := weights.get(term, 1)) == 1 else value * weight
        for term, value in losses.items()
    ]
    return {**losses, "total": sum(weighted)}  # type: ignore[dict-item]


def mean_with_mirrored(model: Model, images: Tensor, scores: Tensor) -> Tensor:
    """Return the mean of the scores of images and of the scores of the mirrored images, [B, A].

    Args:
        model: the model, in evaluation mode.
        images: [B, 3, S, S], float and normalised.
        scores: the model's scores of these images, [B, A].
    """
    return (scores + model.scores(images.flip(-1))) / 2
