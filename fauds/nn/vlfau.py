"""VL-FAU, AU recognition with descriptions in words: the network, its settings and its losses.

Source: "Towards End-to-End Explainable Facial Action Unit Recognition via Vision-Language Joint
Learning" (ACM Multimedia 2024), section 3. Equations have the numbers of the paper.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Unpack

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from fauds.errors import UsageError
from fauds.facs import AUS
from fauds.nn.base import (
    Attends,
    Batch,
    BeamSearchOptions,
    CaptionLikelihoods,
    Describes,
    Embeds,
    Guided,
    Model,
    Need,
    Outputs,
    RatesCaptions,
    Spec,
    TestOutputs,
    Tokens,
    means,
)
from fauds.nn.layers.au_map import au_maps
from fauds.nn.layers.backbone import FourStages, LastStage, MultiScale
from fauds.nn.layers.beam import beam_search
from fauds.nn.layers.dair import DAIR
from fauds.nn.layers.decoder import CaptionDecoder
from fauds.nn.layers.heads import BranchHeads, GlobalHead, focus
from fauds.nn.layers.map_agreement import agreement, au_regions, cosine
from fauds.nn.layers.words import PAD, UNK, PackedWords, WordLogits, pack_words
from fauds.nn.loaded_tensors import LoadedTensors
from fauds.settings import AULoss, BackboneSettings, ModelSettings

TERMS = ("fau", "lgen", "ggen", "gau")
"""The names of the losses L_Fau, L_Lgen, L_Ggen and L_Gau."""

CUE = "cue"
"""The name of the term that aligns attention maps with AU maps, which is not in the paper."""


class VLFAUSettings(ModelSettings):
    """The settings of VL-FAU's architecture; the defaults are the paper's values where it has any.

    Terms of the paper (ACM Multimedia 2024): V is the feature map of the whole face; MARL computes
    V and the features of a branch for each AU; LLGA and GLGA are the LSTM decoders that write a
    local caption for each AU and a global caption for the face.

    Attributes:
        backbone: the timm network and its weights.
        dim: d, the number of channels of V.
        hidden: h, the number of channels of the decoders' hidden state; `dim` if null.
        embed_dim: the number of channels of a word embedding; `dim` if null.
        attention_dim: k, the number of channels of the decoders' attention in eq. 4; `dim` if null.
        msc_width: the number of channels of the 3 x 3 convolution of each backbone stage in eq. 1
            (the paper's 1024 channels are four stages of 256).
        msc_pool: whether the stages are pooled to the size of the last stage "before" or "after"
            their convolution.
        reduction: d divided by the hidden width of the channel attention's MLP in eq. 2.
        multi_level: whether to use MARL, which consists of MSC (eq. 1, which combines the stages
            of the backbone) and DAIR (eq. 2 and 3, the branches of the AUs).
        local_language: whether to use LLGA, the decoder of the local captions.
        global_language: whether to use GLGA, the decoder of the global captions.
        spatial_sigmoid: whether to apply a sigmoid in eq. 3. The paper writes none, but CBAM, on
            which eq. 3 is based, has one.
        stage_norm: whether to normalise the features of each stage before eq. 1, since the scales
            of the stages differ.
        feed_words: whether the embedding of the previous word enters the gates. Eq. 5 as written
            has none, but eq. 10 and 11 need it.
        begin: how the decoders' hidden and cell states begin: "mean" for a linear function of the
            mean image feature, "zeros" for zero.
        dropout: the probability of dropout before the decoders' output layer.
        head_dropout: the probability of dropout before the layers that classify the AUs.
        cues: the weight of a term that is not in the paper: 1 - cos(S_a, A_a), where S_a is the
            spatial attention map of the branch of AU a (eq. 3), and A_a the map of where this AU is
            visible on the face. 0 for training without it; it needs landmarks and `multi_level`.
        decision_weight: the weight of a caption's decision words (those that the words before them
            do not determine, see `fauds.captions.decisions`) relative to its other words in the
            mean of eq. 10 and 11. The paper has no such weights: 1.
        word_dropout: the share of the words fed in training that are replaced by <unk>, so that the
            next word cannot be guessed from them alone; start tokens are kept. Not in the paper: 0.
    """

    backbone: BackboneSettings
    dim: int = Field(512, ge=1)
    hidden: int | None = Field(None, ge=1)
    embed_dim: int | None = Field(None, ge=1)
    attention_dim: int | None = Field(None, ge=1)
    msc_width: int = Field(256, ge=1)
    msc_pool: Literal["before", "after"] = "before"
    reduction: int = Field(16, ge=1)
    multi_level: bool = True
    local_language: bool = True
    global_language: bool = True
    spatial_sigmoid: bool = True
    stage_norm: bool = True
    feed_words: bool = True
    begin: Literal["mean", "zeros"] = "mean"
    dropout: float = Field(0.3, ge=0, lt=1)
    head_dropout: float = Field(0.0, ge=0, lt=1)
    # Left out of saved settings unless used, so that older runs have the same settings.
    cues: float = Field(0.0, ge=0, exclude_if=lambda weight: not weight)
    decision_weight: float = Field(1.0, ge=1, exclude_if=lambda weight: weight == 1)
    word_dropout: float = Field(0.0, ge=0, lt=1, exclude_if=lambda share: not share)

    @model_validator(mode="after")
    def _languages_need_branches(self) -> "VLFAUSettings":
        if self.local_language and not self.multi_level:
            raise ValueError(
                "local_language needs multi_level, since its decoder reads the AU branches: "
                "set model.multi_level=true or model.local_language=false"
            )
        if self.cues and not self.multi_level:
            raise ValueError(
                "cues needs multi_level, since it is about the attention maps of the AU branches: "
                "set model.multi_level=true or model.cues=0"
            )
        return self


class VLFAUOutput(NamedTuple):
    """The outputs of VL-FAU for B images and A action units, from which the losses are computed.

    Attributes:
        au_logits: [B, A, 2], the logits of inactive and active.
        local_logits: the logits of the words of the local captions, one for each AU, in rows
            image * A + AU; None if the model has no local decoder or the batch no local captions.
        global_logits: the logits of the words of the global captions, one for each image; None if
            the model has no global decoder or the batch no global captions.
        global_au_logits: [B, A, 2], the logits for the paper's loss L_Gau, predicted from the image
            feature that the global decoder attends to, averaged over the words; None if
            `global_logits` is None.
        maps: the spatial attention map of each AU, [B, A, h, w]; None without AU branches.
    """

    au_logits: Tensor
    local_logits: WordLogits | None = None
    global_logits: WordLogits | None = None
    global_au_logits: Tensor | None = None
    maps: Tensor | None = None


class _BackboneFeatures(NamedTuple):
    """The image features that heads and decoders read: B images, P = h * w positions, A AUs.

    Attributes:
        whole: the features of the whole face, V in the paper, [B, P, d].
        branches: the features of the branch of each AU, V-hat in the paper, [B, A, P, d].
        features: `branches` averaged over positions, [B, A, d].
        maps: the spatial attention map of each AU, [B, A, h, w]; None if the model has no AU
            branches (`multi_level` is off).
    """

    whole: Tensor
    branches: Tensor
    features: Tensor
    maps: Tensor | None


class VLFAU(Model, Describes, RatesCaptions, Attends, Embeds, Guided):
    """VL-FAU, a network that predicts AUs and describes them in words.

    It is the network of section 3 of the paper (ACM Multimedia 2024), with any of the ablations of
    the paper's Table 4. In the paper, MSC combines the stages of the backbone into a feature map V
    of the face; DAIR derives from V the features of a branch for each AU; LLGA is the decoder that
    writes a local caption for each AU, and GLGA the decoder that writes a global caption for the
    face.

    Args:
        backbone: the timm name of a backbone with four stages, or of a plain vision transformer,
            from whose last map a `FeaturePyramid` makes four stages.
        image_size: the side of the input in pixels.
        num_aus: A, the number of AUs.
        local_vocab: the number of words in the vocabulary of local captions, including <pad> 0,
            <bos> 1, <eos> 2 and <unk> 3.
        global_vocab: the number of words in the vocabulary of global captions, including the same
            four tokens.
        backbone_args: further arguments of ``timm.create_model``.
        pretrained: whether to load timm's pretrained weights of `backbone`.
        dim: d, the number of channels of V, 512 in the paper.
        multi_level: whether to use MSC and DAIR. Without them (Table 4's baseline) the last stage
            is mapped to d channels by one linear layer and pooled, and each AU has one linear
            layer. All branches then have the same features, so that local captions cannot differ
            between AUs.
        local_language: whether to use LLGA, one decoder for the captions of all AUs.
        global_language: whether to use GLGA, and the loss L_Gau, which predicts AUs from the
            features that GLGA attends to.
        spatial_sigmoid: whether to apply a sigmoid in eq. 3; see `DAIR`.
        embed_dim: the number of channels of a word embedding; `dim` unless given.
        hidden: h, the number of channels of the decoders' hidden state; `dim` unless given, as in
            the paper.
        attention_dim: k, the number of channels of the decoders' attention (eq. 4); `dim` unless
            given, as in the paper.
        dropout: the probability of dropout before the decoders' output layer; not in the paper.
        head_dropout: the probability of dropout before the layers that classify the AUs; not in
            the paper.
        reduction: d divided by the hidden width of DAIR's channel MLP; 16 as in CBAM.
        msc_width: the number of channels after each convolution of MSC.
        msc_pool, stage_norm: see `MultiScale`.
        feed_words, begin: see `CaptionDecoder`.
        aus: the names of the AUs, of which the maps of AUs need to know where they are visible; ()
            if fauds does not know all of them.
        cues: the weight of the term that aligns attention maps with AU maps; see `VLFAUSettings`.
        decision_weight, word_dropout: see `VLFAUSettings`.

    Attributes:
        stem.body: the timm network, into which the weights of a backbone alone are loaded.

    Raises:
        UsageError, DataError: see `FourStages`, `MultiScale` and `CaptionDecoder`.
    """

    Settings = VLFAUSettings
    needs: frozenset[Need] = frozenset({"captions"})
    uses = frozenset({"landmarks"})
    terms: tuple[str, ...] = TERMS
    au_losses = ("entropy", "asymmetric")
    preset = "full"

    def __init__(
        self,
        *,
        backbone: str,
        image_size: int,
        num_aus: int,
        local_vocab: int,
        global_vocab: int,
        backbone_args: dict[str, Any] | None = None,
        pretrained: bool = False,
        dim: int = 512,
        multi_level: bool = True,
        local_language: bool = True,
        global_language: bool = True,
        spatial_sigmoid: bool = True,
        embed_dim: int | None = None,
        hidden: int | None = None,
        attention_dim: int | None = None,
        dropout: float = 0.3,
        head_dropout: float = 0.0,
        reduction: int = 16,
        msc_width: int = 256,
        msc_pool: Literal["before", "after"] = "before",
        stage_norm: bool = True,
        feed_words: bool = True,
        begin: Literal["mean", "zeros"] = "mean",
        aus: tuple[str, ...] = (),
        cues: float = 0.0,
        decision_weight: float = 1.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_aus, self.image_size = num_aus, image_size
        self.aus, self.cues = aus, cues
        self.decision_weight, self.word_dropout = decision_weight, word_dropout
        if cues:
            self.needs, self.terms = self.needs | {"landmarks"}, (*TERMS, CUE)
        self.stem = FourStages(
            backbone, backbone_args, pretrained, image_size, last_only=not multi_level
        )
        channels = self.stem.channels
        self.combine: MultiScale | LastStage
        if multi_level:
            self.combine = MultiScale(channels, dim, msc_width, stage_norm, msc_pool)
        else:
            self.combine = LastStage(channels, dim, stage_norm)
        self.dair = DAIR(num_aus, dim, reduction, spatial_sigmoid) if multi_level else None
        self.head_dropout = nn.Dropout(head_dropout)
        self.heads = BranchHeads(num_aus, dim)

        def decoder(vocab: int) -> CaptionDecoder:
            sizes = (dim, hidden, embed_dim, attention_dim, dropout)
            return CaptionDecoder(vocab, *sizes, feed_words=feed_words, begin=begin)

        self.local_decoder = decoder(local_vocab) if local_language else None
        self.global_decoder = decoder(global_vocab) if global_language else None
        self.global_head = GlobalHead(num_aus, dim) if global_language else None

    @classmethod
    def build(cls, settings: VLFAUSettings, spec: Spec) -> "VLFAU":
        """Return a new network for a task, with timm's pretrained weights if the settings say so.

        Args:
            settings: the architecture.
            spec: the AUs to predict, the sizes of the vocabularies and the size of the images.

        Raises:
            UsageError: the task is to predict classes that exclude each other, not AUs.
        """
        if spec.form != "multilabel":
            raise UsageError(
                "VL-FAU has a branch for every action unit and cannot predict the classes of this "
                "protocol, of which each frame has one.",
                where="model",
                hint="choose another model, for example linear",
            )
        unknown = [name for name in spec.names if name not in AUS]
        if settings.cues and unknown:
            raise UsageError(
                f"Where {', '.join(unknown)} is visible is not known, so that attention maps "
                "cannot be aligned with AU maps.",
                where="model.cues",
                hint="set model.cues=0",
            )
        backbone = settings.backbone
        return cls(
            backbone=backbone.name,
            backbone_args=dict(backbone.args),
            pretrained=backbone.pretrained and backbone.weights is None,
            num_aus=len(spec.names),
            aus=() if unknown else spec.names,
            local_vocab=spec.vocabulary["local"],
            global_vocab=spec.vocabulary["global"],
            **settings.model_dump(exclude={"backbone", "mean", "std"}),
        )

    @classmethod
    def needs_of(cls, settings: VLFAUSettings) -> frozenset[Need]:
        """Return what a batch must hold besides images and labels, for a model with settings."""
        return cls.needs | {"landmarks"} if settings.cues else cls.needs

    @property
    def backbone(self) -> nn.Module:
        """The timm network that computes image features."""
        return self.stem.body

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> LoadedTensors:
        """Load weights into the timm network; see `FourStages.load`.

        Args:
            tensors: the tensors of a weights file that fauds, timm or the network's authors saved.
        """
        return self.stem.load(tensors)

    def forward(self, batch: Batch) -> VLFAUOutput:
        """Return the logits of AUs and words; decoders are fed the reference captions.

        A caption that is all <pad> counts as missing and takes no computing time. If the batch has
        no captions, the decoders are not run.
        """
        batch = batch.packed()
        encoded = self._encode(batch.images)
        au_logits = self.heads(self.head_dropout(encoded.features))
        local_logits = global_logits = global_au_logits = None
        if self.local_decoder is not None and batch.local_words is not None:
            rows = encoded.branches.flatten(0, 1)
            local_logits, _ = self.local_decoder(rows, self._fed(batch.local_words))
        if self.global_decoder is not None and batch.global_words is not None:
            words = self._fed(batch.global_words)
            global_logits, attended = self.global_decoder(encoded.whole, words)
            if self.global_head is not None:
                global_au_logits = self.global_head(global_logits.mean_per_row(attended))
        outputs = (au_logits, local_logits, global_logits, global_au_logits)
        return VLFAUOutput(*outputs, encoded.maps)

    def _fed(self, words: PackedWords) -> PackedWords:
        """Return captions of which, in training, a share of the fed words is <unk>."""
        if not self.training or not self.word_dropout or not words.steps:
            return words
        dropped = torch.rand(words.inputs.shape, device=words.inputs.device) < self.word_dropout
        dropped[: words.steps[0]] = False
        return dataclasses.replace(words, inputs=words.inputs.masked_fill(dropped, UNK))

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of items over which each loss is averaged; see `loss_counts`.

        The items of the term `CUE` are the coded AUs of faces with landmarks.
        """
        counts = loss_counts(batch.labels, batch.local, batch.global_)
        by_term = dict(zip(TERMS, counts, strict=True))
        return {**by_term, CUE: self._guided(batch).sum().float()} if self.cues else by_term

    def loss(self, output: VLFAUOutput, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Return each of the losses by name, summed over its items; see `loss_sums`."""
        sums = loss_sums(output, batch.labels, weights, self.au_loss, self.decision_weight)
        if not self.cues or output.maps is None or batch.landmarks is None:
            return sums
        maps = output.maps.float()
        distance = 1 - cosine(maps, self.guides(batch.landmarks.float(), maps.shape[-1]))
        guided = torch.where(self._guided(batch), distance, 0)
        return {**sums, CUE: self.cues * guided.sum()}

    def scores(self, images: Tensor) -> Tensor:
        """Return the probability of each AU being active, [B, A], without writing captions."""
        return self._probabilities(self._encode(images))

    def test_step(self, batch: Batch) -> TestOutputs:
        """Return the probabilities of AUs, the top-5 accuracy of words, and where maps lie.

        A word of a reference caption is a hit if the decoder has it among its five most probable
        words, after being fed the reference words before it (teacher forcing). The measures
        "local_word_top5" and "global_word_top5" are (hits, words); "local_decision_top1" and
        "global_decision_top1" are those of the most probable word on decision words alone.

        If the batch has landmarks, the attention map of each coded AU is compared with the map of
        where this AU is visible: "att_cos", "att_inside" and "att_pointing"; see
        `fauds.nn.layers.map_agreement.agreement`.
        """
        output = self(batch)
        words = {"local_word_top5": output.local_logits, "global_word_top5": output.global_logits}
        hits: dict[str, tuple[Tensor | int | float, int]] = {
            name: (logits.hits(5).sum(), len(logits.targets))
            for name, logits in words.items()
            if logits is not None
        }
        for scope, logits in (("local", output.local_logits), ("global", output.global_logits)):
            if logits is not None and logits.decides is not None:
                decided = (logits.hits(1) & logits.decides).sum()
                hits[f"{scope}_decision_top1"] = decided, logits.decisions
        probabilities = output.au_logits.float().softmax(dim=-1)[..., 1]
        if output.maps is None or batch.landmarks is None or not self.aus:
            return TestOutputs(probabilities, hits)
        maps, landmarks = output.maps.float(), batch.landmarks.float()
        alone = torch.eye(self.num_aus, device=maps.device).expand(len(maps), -1, -1)
        measures = agreement(
            maps,
            self.guides(landmarks, maps.shape[-1]),
            au_regions(landmarks, alone, self.image_size, self.aus),
        )
        coded = batch.labels >= 0
        by_frame = {f"att_{k}": torch.where(coded, v, torch.nan) for k, v in measures.items()}
        return TestOutputs(probabilities, hits, by_frame)

    def guides(self, landmarks: Tensor, size: int) -> Tensor:
        """Return where each AU is visible on each face, [B, A, size, size], 0 to 1.

        Raises:
            UsageError: fauds does not know where one of the AUs is visible.
        """
        return au_maps(landmarks, size, self.image_size, self.aus)

    def _guided(self, batch: Batch) -> Tensor:
        """Return which AUs have an attention map to align: coded ones of known faces, [B, A]."""
        if batch.landmarks is None:
            return torch.zeros_like(batch.labels, dtype=torch.bool)
        known = self.guides(batch.landmarks.float(), 1)[:, :, 0, 0] > 0
        return (batch.labels >= 0) & known

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """Return the feature vector of each AU's branch, [B, A, d], as in the paper's Figure 4.

        The AU is classified from this vector.
        """
        return self._encode(images).features

    @torch.inference_mode()
    def attend(self, images: Tensor) -> Tensor:
        """Return the spatial attention map of each AU's branch, [B, A, h, w].

        The values are 0 to 1 if the setting `spatial_sigmoid` is on, and unbounded otherwise.

        Raises:
            UsageError: the setting `multi_level` is off, so that there are no maps.
        """
        maps = self._encode(images).maps
        if maps is None:
            raise UsageError(
                f"The model has no attention maps: {self.reason_without(Attends)}.",
                hint="use a model that was trained with model.multi_level=true",
            )
        return maps

    def describe(self, images: Tensor, **search: Unpack[BeamSearchOptions]) -> Tokens:
        """Write captions by beam search, and return their tokens.

        All AUs, images and hypotheses are decoded together. Unlike in training, each word follows
        the words that the model wrote, not the words of a reference caption.

        Args:
            images: [B, 3, S, S], float and normalised.
            search: options of the beam search; see `Describes.describe`.
        """
        return self.explain(images, **search).tokens

    @torch.inference_mode()
    def explain(
        self,
        images: Tensor,
        *,
        beam_width: int = 3,
        max_words_local: int = 64,
        max_words_global: int = 96,
        length_penalty: float = 1.0,
    ) -> Outputs:
        """Return AU probabilities, AU features, attention maps and captions of images.

        The image features are computed once. See `Describes.describe` for the arguments.
        """
        encoded = self._encode(images)
        search: dict[str, Any] = {"width": beam_width, "length_penalty": length_penalty}
        local_tokens = global_tokens = None
        if self.local_decoder is not None:
            branch_rows = encoded.branches.flatten(0, 1)
            words, _ = beam_search(
                self.local_decoder, branch_rows, max_words=max_words_local, **search
            )
            local_tokens = torch.unflatten(words, 0, (len(images), self.num_aus))
        if self.global_decoder is not None:
            search["max_words"] = max_words_global
            global_tokens, _ = beam_search(self.global_decoder, encoded.whole, **search)
        tokens = Tokens(local_tokens, global_tokens)
        return Outputs(self._probabilities(encoded), encoded.features, encoded.maps, tokens)

    @torch.inference_mode()
    def rate(
        self, images: Tensor, candidates: Callable[[Tensor], Tokens]
    ) -> tuple[Outputs, CaptionLikelihoods]:
        """Return all outputs except captions, and the likelihood of captions that others wrote.

        The image features are computed once. See `RatesCaptions.rate`.
        """
        encoded = self._encode(images)
        scores = self._probabilities(encoded)
        tokens = candidates(scores)
        local = global_ = None
        if self.local_decoder is not None and tokens.local is not None:
            rated = _rated(
                self.local_decoder, encoded.branches.flatten(0, 1), tokens.local.flatten(0, 1)
            )
            local = torch.unflatten(rated, 0, (len(images), self.num_aus))
        if self.global_decoder is not None and tokens.global_ is not None:
            global_ = _rated(self.global_decoder, encoded.whole, tokens.global_)
        outputs = Outputs(scores, encoded.features, encoded.maps, Tokens(None, None))
        return outputs, CaptionLikelihoods(local, global_)

    def reason_without(self, capability: type) -> str | None:
        """Return why the model lacks a capability, as text; None if it has the capability.

        The settings `multi_level`, `local_language` and `global_language`, the ablations of the
        paper's Table 4, switch capabilities off.

        Args:
            capability: a key of `fauds.nn.base.CAPABILITIES`, for example `Describes`.
        """
        decoders = (self.local_decoder, self.global_decoder)
        if capability in (Describes, RatesCaptions) and decoders == (None, None):
            return "local_language and global_language are off: there is no caption decoder"
        if capability is Attends and self.dair is None:
            return "multi_level is off: there are no AU branches with attention maps"
        return super().reason_without(capability)

    @classmethod
    def without_text_settings(cls, settings: VLFAUSettings) -> VLFAUSettings:
        """Return the settings of the same model without its caption decoders."""
        return settings.model_copy(update={"local_language": False, "global_language": False})

    @classmethod
    def vocabulary_sizes(cls, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
        """Return the sizes of the vocabularies of a saved model, read from its decoders' weights.

        Args:
            tensors: the (name, tensor) pairs of the saved state dict.

        Returns:
            Maps each kind of caption, "local" (of one AU) and "global" (of the whole face), to the
            number of words in its vocabulary. A kind is left out if its decoder was not saved.
        """
        saved = dict(tensors)
        readouts = {scope: f"{scope}_decoder.readout.weight" for scope in ("local", "global")}
        return {scope: len(saved[name]) for scope, name in readouts.items() if name in saved}

    def _encode(self, images: Tensor) -> _BackboneFeatures:
        whole = self.combine(self.stem(images))
        flat = whole.flatten(1, 2)
        if self.dair is None:
            branches = flat.unsqueeze(1).expand(-1, self.num_aus, -1, -1)
            features = flat.mean(dim=1).unsqueeze(1).expand(-1, self.num_aus, -1)
            return _BackboneFeatures(flat, branches, features, None)
        branches, maps = self.dair(whole)
        return _BackboneFeatures(flat, branches, branches.mean(dim=2), maps)

    def _probabilities(self, encoded: _BackboneFeatures) -> Tensor:
        logits: Tensor = self.heads(encoded.features)
        return logits.float().softmax(dim=-1)[..., 1]


def _rated(decoder: CaptionDecoder, values: Tensor, tokens: Tensor) -> Tensor:
    """Return the log-likelihood of K candidate captions of each of R rows, in nats, [R, K].

    Args:
        decoder: the decoder, in evaluation mode.
        values: the image features of each row, [R, P, d].
        tokens: the candidates, [R, K, T] long, on the CPU; see `RatesCaptions.rate`.
    """
    candidates = tokens.shape[1]
    packed = pack_words(tokens.flatten(0, 1)).to(values.device)
    logits, _ = decoder(values.repeat_interleave(candidates, dim=0), packed)
    log_p = -F.cross_entropy(_at_least_float32(logits.logits), packed.targets, reduction="none")
    total = log_p.new_zeros(len(packed.lengths)).index_add(0, packed.rows, log_p)
    return total.masked_fill(packed.lengths == 0, -torch.inf).view(-1, candidates)


def loss_sums(
    output: VLFAUOutput,
    labels: Tensor,
    weights: Tensor,
    au_loss: AULoss = "entropy",
    decision_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Return the four losses of the VL-FAU paper, each summed over its items, in nats.

    L_Fau (eq. 8) and L_Gau are cross-entropies of AUs. L_Lgen (eq. 10) and L_Ggen (eq. 11) are
    cross-entropies of the words of local captions (of one AU) and of global captions. An AU
    that is not coded (label -1) takes no part in L_Fau, L_Lgen or L_Gau. A missing caption takes
    no part in the losses of words, and an image without a global caption takes no part in L_Gau. A
    sum over no items is 0.

    Args:
        output: the output of the model.
        labels: the label of each image and AU, [B, A]: 1 active, 0 inactive, -1 not coded.
        weights: the class weights [A], gamma of eq. 9.
        au_loss: the loss of ``fau`` and ``gau``: "entropy" as in the paper, or "asymmetric", the
            loss of ME-GraphAU; see `fauds.nn.layers.heads.focus`.
        decision_weight: the weight of decision words in the mean over a caption's words.

    Returns:
        Four scalars with the names ``fau``, ``lgen``, ``ggen`` and ``gau``.
    """
    coded = labels >= 0
    local, global_ = output.local_logits, output.global_logits
    has_global = None if global_ is None else global_.lengths > 0
    coded_with_global = coded if has_global is None else coded & has_global.unsqueeze(1)
    sums = {
        "fau": _au_sum(output.au_logits, labels, weights, coded, au_loss),
        "lgen": _word_sum(local, coded.flatten(), decision_weight),
        "ggen": _word_sum(global_, None, decision_weight),
        "gau": _au_sum(output.global_au_logits, labels, weights, coded_with_global, au_loss),
    }
    empty = output.au_logits.new_zeros(())
    return {term: empty if value is None else value for term, value in sums.items()}


def vlfau_loss(
    output: VLFAUOutput, labels: Tensor, weights: Tensor, counts: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the four losses of the VL-FAU paper and their sum ``total`` (eq. 12).

    Each loss is a mean over the coded AUs or over the captions that are present.

    Args:
        output, labels, weights: see `loss_sums`.
        counts: [4], the number of items by which each summed loss is divided (see `loss_counts`);
            computed from this batch unless given.

    Returns:
        ``fau``, ``lgen``, ``ggen``, ``gau`` and ``total``: scalars, in nats.
    """
    if counts is None:
        local, whole = output.local_logits, output.global_logits
        has_local = None if local is None else (local.lengths > 0).view_as(labels)
        counts = _counts(labels >= 0, has_local, None if whole is None else whole.lengths > 0)
    return means(loss_sums(output, labels, weights), dict(zip(TERMS, counts, strict=True)))


def loss_counts(
    labels: Tensor, local_tokens: Tensor | None = None, global_tokens: Tensor | None = None
) -> Tensor:
    """Return the number of items over which each of VL-FAU's four losses is averaged.

    The items of ``fau`` are the coded (image, AU) pairs; of ``lgen``, the coded pairs with a local
    caption; of ``ggen``, the global captions; of ``gau``, the coded pairs of images with a global
    caption. No forward pass is needed. If a batch is divided into micro-batches, their counts add
    up to the counts of the batch.

    Args:
        labels: the label of each image and AU, [B, A], -1 where not coded.
        local_tokens: long [B, A, T], the caption of each AU: <bos>, words, <eos>, then <pad>; a
            caption is present if a word follows <bos>. None if there are no local captions.
        global_tokens: long [B, T], the caption of each face, laid out like `local_tokens`.

    Returns:
        Counts [4], float32, in the order of `TERMS`.
    """
    return _counts(labels >= 0, _captioned(local_tokens), _captioned(global_tokens))


def _captioned(tokens: Tensor | None) -> Tensor | None:
    return None if tokens is None else (tokens[..., 1:] != PAD).any(dim=-1)


def _counts(coded: Tensor, has_local: Tensor | None, has_global: Tensor | None) -> Tensor:
    """Return the number of items over which each of VL-FAU's four losses is averaged, [4].

    Args:
        coded: bool [B, A], whether the label of each image and AU is coded.
        has_local: bool [B, A], whether there is a caption of this AU; None if no AU has a caption.
        has_global: bool [B], whether there is a caption of the face; None if no face has a caption.
    """
    none = coded.new_zeros((), dtype=torch.long)
    return torch.stack(
        [
            coded.sum(),
            none if has_local is None else (coded & has_local).sum(),
            none if has_global is None else has_global.sum(),
            none if has_global is None else (coded & has_global.unsqueeze(1)).sum(),
        ]
    ).float()


def _au_sum(
    logits: Tensor | None, labels: Tensor, weights: Tensor, coded: Tensor, au_loss: AULoss
) -> Tensor | None:
    """Return the class-weighted loss of AUs, summed over coded (image, AU) pairs.

    The cross-entropy is the sum in eq. 8 of the VL-FAU paper. The result is None if `logits` is
    None.

    Args:
        logits: [B, A, 2], inactive and active; or None.
        labels: [B, A], 1 active and 0 inactive.
        weights: the class weights [A].
        coded: bool [B, A], the pairs that are counted.
        au_loss: "entropy" or "asymmetric"; see `loss_sums`.
    """
    if logits is None:
        return None
    logits, targets = _at_least_float32(logits), labels.clamp(min=0).long()
    entropy = F.cross_entropy(logits.movedim(-1, 1), targets, reduction="none")
    if au_loss == "asymmetric":
        entropy = entropy * focus(logits, targets)
    return (entropy * weights * coded).sum()


def _word_sum(
    words: WordLogits | None, counted: Tensor | None, decision_weight: float
) -> Tensor | None:
    """Return the sum over captions of the (weighted) mean cross-entropy of the caption's words.

    This is the sum in eq. 10 or 11 of the VL-FAU paper. The result is None if `words` is None.

    Args:
        words: the logits of the words of R captions; or None.
        counted: bool [R], the captions that are counted; all captions if None.
        decision_weight: the weight of decision words in the mean; 1 for the paper's mean.
    """
    if words is None:
        return None
    entropy: Tensor = _WordEntropy.apply(_at_least_float32(words.logits), words.targets)
    if decision_weight != 1 and words.decides is not None:
        weights = 1 + (decision_weight - 1) * words.decides.to(entropy.dtype)
        mean_weight = words.mean_per_row(weights).clamp(min=1)
        entropy = entropy * weights / mean_weight[words.rows]
    share = words.lengths.clamp(min=1).to(entropy.dtype).reciprocal()
    if counted is not None:
        share = share * counted
    return (entropy * share[words.rows]).sum()


class _Context(FunctionCtx):
    """The type of the autograd context, in which `forward` saves tensors for `backward`."""

    saved_tensors: tuple[Tensor, ...]


class _WordEntropy(torch.autograd.Function):
    """Cross-entropy of N words over a vocabulary of V words: logits [N, V], targets [N].

    Returns -log p of each target, [N]. The forward pass and the backward pass each allocate one
    [N, V] tensor fewer than torch's cross-entropy.
    """

    @staticmethod
    def forward(ctx: _Context, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = logits.log_softmax(dim=1)
        ctx.save_for_backward(log_p, targets)
        return -log_p.gather(1, targets[:, None])[:, 0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor, None]:
        log_p, targets = ctx.saved_tensors
        to_logits = log_p.exp().mul_(grad[:, None])
        return to_logits.scatter_add_(1, targets[:, None], -grad[:, None]), None


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
