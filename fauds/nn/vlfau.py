"""VL-FAU: AU recognition that explains itself in words: the network, its settings, its losses.

"Towards End-to-End Explainable Facial Action Unit Recognition via Vision-Language Joint Learning"
(ACM Multimedia 2024), section 3. Equations are numbered as there.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, NamedTuple, Unpack

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from fauds.errors import UsageError
from fauds.nn.base import (
    Attends,
    Batch,
    Describes,
    Embeds,
    Model,
    Need,
    Outputs,
    Search,
    Spec,
    Tested,
    Tokens,
    means,
)
from fauds.nn.layers.backbone import FourStages, LastStage, MultiScale
from fauds.nn.layers.beam import beam_search
from fauds.nn.layers.dair import DAIR
from fauds.nn.layers.decoder import CaptionDecoder
from fauds.nn.layers.heads import BranchHeads, GlobalHead
from fauds.nn.layers.words import PAD, WordLogits, pack_words
from fauds.settings import BackboneSettings, ModelSettings

TERMS = ("fau", "lgen", "ggen", "gau")
"""L_Fau, L_Lgen, L_Ggen and L_Gau."""


class VLFAUSettings(ModelSettings):
    """The architecture of VL-FAU; the paper's values are the defaults where it states them.

    `spatial_sigmoid`: eq. 3 writes none, CBAM, from which it comes, has one; ours is on.
    `msc_width`: channels of each stage's 3 x 3 convolution in eq. 1 (4 x 256 = 1024).
    `msc_pool`: whether stages are pooled to the last one's size before that convolution or after
    it. `reduction`: of the channel attention's MLP in eq. 2. `stage_norm`: normalise each stage's
    features before eq. 1, since the stages' scales differ. `feed_words`: the previous word's
    embedding enters the gates; eq. 5 as written has none, eq. 10 and 11 need it. `begin`: h0 and
    c0 are linear in the mean feature, or zero. `dropout`: before the decoders' readout;
    `head_dropout`: before the AU heads.
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

    @model_validator(mode="after")
    def _languages_need_branches(self) -> "VLFAUSettings":
        if self.local_language and not self.multi_level:
            raise ValueError("local_language needs multi_level: it reads the AU branches")
        return self


class VLFAUOutput(NamedTuple):
    """What the losses need.

    Attributes:
        au_logits: [B, A, 2], logits of inactive and active.
        local_logits: of the local captions' real words, rows image * A + AU; None without LLGA
            or without tokens.
        global_logits: of the global captions' real words, rows images; None likewise.
        global_au_logits: [B, A, 2] from the global decoder's mean attended feature, for L_Gau.
    """

    au_logits: Tensor
    local_logits: WordLogits | None = None
    global_logits: WordLogits | None = None
    global_au_logits: Tensor | None = None


class _BackboneFeatures(NamedTuple):
    """V [B, P, d], V-hat [B, A, P, d], its pooled features [B, A, d], maps [B, A, h, w]."""

    whole: Tensor
    branches: Tensor
    features: Tensor
    maps: Tensor | None


class VLFAU(Model, Describes, Attends, Embeds):
    """The network of the paper's section 3, in any of the settings of its Table 4.

    Args:
        backbone: timm name of a four-stage backbone.
        backbone_args: further arguments of ``timm.create_model``.
        pretrained: load timm's weights for `backbone`.
        image_size: side of the input in pixels.
        num_aus: A.
        dim: d, 512 in the paper.
        local_vocab, global_vocab: sizes of the vocabularies, <pad> 0, <bos> 1, <eos> 2, <unk> 3.
        multi_level: MARL, that is MSC and DAIR. Without it (Table 4's baseline) the last stage
            goes through one Linear to d, is pooled, and has one FC per AU. All branches then
            see the same feature, so that local captions cannot tell AUs apart.
        local_language: LLGA, the decoder that all branches share.
        global_language: GLGA, the global decoder and L_Gau.
        spatial_sigmoid: see `DAIR`.
        embed_dim: channels of a word embedding, default `dim`.
        hidden: h of the decoders, default `dim` as in the paper.
        attention_dim: k of eq. 4, default `dim` as in the paper.
        dropout: before the decoders' readout, probability. Not in the paper; default 0.3.
        head_dropout: before the AU heads, probability. Not in the paper; default 0.
        reduction: of DAIR's channel MLP, 16 as in CBAM.
        msc_width: channels after each convolution of MSC, 256.
        msc_pool, stage_norm: see `MultiScale`.
        feed_words, begin: see `CaptionDecoder`.

    Attributes:
        stem.body: the timm network, where weights of a backbone alone belong.

    Raises:
        UsageError, DataError: see `FourStages`, `MultiScale` and `CaptionDecoder`.
    """

    Settings = VLFAUSettings
    needs: ClassVar[frozenset[Need]] = frozenset({"captions"})
    terms = TERMS
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
    ) -> None:
        super().__init__()
        self.num_aus = num_aus
        self.stem = FourStages(backbone, backbone_args, pretrained, image_size)
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
        """Return the network; see `Model.build`."""
        if spec.form != "multilabel":
            raise UsageError(
                "VL-FAU has a branch for every action unit; this protocol predicts one class a "
                "frame.",
                where="model",
                hint="name another model, for example linear",
            )
        backbone = settings.backbone
        return cls(
            backbone=backbone.name,
            backbone_args=dict(backbone.args),
            pretrained=backbone.pretrained and backbone.weights is None,
            num_aus=len(spec.names),
            local_vocab=spec.vocabulary["local"],
            global_vocab=spec.vocabulary["global"],
            **settings.model_dump(exclude={"backbone", "mean", "std"}),
        )

    @property
    def backbone(self) -> nn.Module:
        """The timm network."""
        return self.stem.body

    def forward(self, batch: Batch) -> VLFAUOutput:
        """Return logits for training and teacher-forced evaluation.

        A caption that is all <pad> is absent and costs nothing; a batch without captions leaves
        the decoders out.
        """
        # Packing waits for the lengths: before the backbone, a GPU has nothing queued to wait for.
        local_words = global_words = None
        if self.local_decoder is not None and batch.local is not None:
            local_words = pack_words(batch.local.flatten(0, 1))
        if self.global_decoder is not None and batch.global_ is not None:
            global_words = pack_words(batch.global_)
        seen = self._see(batch.images)
        au_logits = self.heads(self.head_dropout(seen.features))
        local_logits = global_logits = global_au_logits = None
        if self.local_decoder is not None and local_words is not None:
            local_logits, _ = self.local_decoder(seen.branches.flatten(0, 1), local_words)
        if self.global_decoder is not None and global_words is not None:
            global_logits, attended = self.global_decoder(seen.whole, global_words)
            if self.global_head is not None:
                global_au_logits = self.global_head(global_logits.mean_per_row(attended))
        return VLFAUOutput(au_logits, local_logits, global_logits, global_au_logits)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return how many things each of the four means is over; see `loss_counts`."""
        counts = loss_counts(batch.labels, batch.local, batch.global_)
        return dict(zip(TERMS, counts, strict=True))

    def loss(self, output: VLFAUOutput, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Return the sums of the four losses; see `loss_sums`."""
        return loss_sums(output, batch.labels, weights)

    def scores(self, images: Tensor) -> Tensor:
        """Return the probability of each AU being active [B, A]. The decoders are not run."""
        return self._probabilities(self._see(images))

    def test_step(self, batch: Batch) -> Tested:
        """Return probabilities, and how many words are among the five most probable.

        The decoders are fed the reference caption's words (teacher forcing).
        """
        output = self(batch)
        words = {"local_word_top5": output.local_logits, "global_word_top5": output.global_logits}
        hits: dict[str, tuple[int | float, int]] = {
            name: (int(logits.hits(5).sum()), len(logits.targets))
            for name, logits in words.items()
            if logits is not None
        }
        return Tested(output.au_logits.float().softmax(dim=-1)[..., 1], hits)

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """Return branch features [B, A, d] before the heads (the paper's Figure 4)."""
        return self._see(images).features

    @torch.inference_mode()
    def attend(self, images: Tensor) -> Tensor:
        """Return DAIR's spatial maps [B, A, h, w], 0 to 1 with `spatial_sigmoid`."""
        maps = self._see(images).maps
        if maps is None:
            raise UsageError(str(self.reason_without(Attends)))
        return maps

    def describe(self, images: Tensor, **search: Unpack[Search]) -> Tokens:
        """Write captions by beam search (see `fauds.nn.layers.beam.beam_search` for its rules).

        All AUs, images and hypotheses are decoded together. The search attends and writes
        freely: the reference words that training fed are not there.

        Args:
            search: keywords of `explain`.
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
        """Return probabilities, features, maps and captions from one pass of the backbone."""
        seen = self._see(images)
        search: dict[str, Any] = {"width": beam_width, "length_penalty": length_penalty}
        local_tokens = global_tokens = None
        if self.local_decoder is not None:
            folded = seen.branches.flatten(0, 1)
            words, _ = beam_search(self.local_decoder, folded, max_words=max_words_local, **search)
            local_tokens = torch.unflatten(words, 0, (len(images), self.num_aus))
        if self.global_decoder is not None:
            search["max_words"] = max_words_global
            global_tokens, _ = beam_search(self.global_decoder, seen.whole, **search)
        tokens = Tokens(local_tokens, global_tokens)
        return Outputs(self._probabilities(seen), seen.features, seen.maps, tokens)

    def reason_without(self, capability: type) -> str | None:
        """Return why the model, in its row of Table 4, lacks a capability; see `Model`."""
        if capability is Describes and self.local_decoder is None and self.global_decoder is None:
            return "local_language and global_language are off: no decoder writes descriptions"
        if capability is Attends and self.dair is None:
            return "multi_level is off: there are no AU branches with attention maps"
        return super().reason_without(capability)

    @classmethod
    def without_texts(cls, settings: VLFAUSettings) -> VLFAUSettings:
        """Return the settings without decoders; see `Model.without_texts`."""
        return settings.model_copy(update={"local_language": False, "global_language": False})

    @classmethod
    def vocabulary_sizes(cls, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
        """Return the vocabulary sizes of the decoders' readouts; see `Model`."""
        saved = dict(tensors)
        readouts = {scope: f"{scope}_decoder.readout.weight" for scope in ("local", "global")}
        return {scope: len(saved[name]) for scope, name in readouts.items() if name in saved}

    def _see(self, images: Tensor) -> _BackboneFeatures:
        whole = self.combine(self.stem(images))
        flat = whole.flatten(1, 2)
        if self.dair is None:
            branches = flat.unsqueeze(1).expand(-1, self.num_aus, -1, -1)
            features = flat.mean(dim=1).unsqueeze(1).expand(-1, self.num_aus, -1)
            return _BackboneFeatures(flat, branches, features, None)
        branches, maps = self.dair(whole)
        return _BackboneFeatures(flat, branches, branches.mean(dim=2), maps)

    def _probabilities(self, seen: _BackboneFeatures) -> Tensor:
        logits: Tensor = self.heads(seen.features)
        return logits.float().softmax(dim=-1)[..., 1]


def loss_sums(output: VLFAUOutput, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Return the sums of eq. 8, 10, 11 and of L_Gau, before their means, in nats.

    A null AU (label -1) takes no part in L_Fau, L_Lgen or L_Gau, an absent caption none in the
    losses of words, and an absent global caption none in L_Gau. A sum over nothing is 0.

    Args:
        output: of the model.
        labels: occurrence [B, A], 1, 0, or -1 where not coded.
        weights: [A], gamma of eq. 9.
    """
    coded = labels >= 0
    local, whole = output.local_logits, output.global_logits
    described = None if whole is None else whole.lengths > 0
    told = coded if described is None else coded & described.unsqueeze(1)
    sums = {
        "fau": _au_sum(output.au_logits, labels, weights, coded),
        "lgen": _word_sum(local, coded.flatten()),
        "ggen": _word_sum(whole, None),
        "gau": _au_sum(output.global_au_logits, labels, weights, told),
    }
    empty = output.au_logits.new_zeros(())
    return {term: empty if value is None else value for term, value in sums.items()}


def vlfau_loss(
    output: VLFAUOutput, labels: Tensor, weights: Tensor, counts: Tensor | None = None
) -> dict[str, Tensor]:
    """Return eq. 12: the sum ``total`` of four losses, each a mean over what there is.

    Args:
        output, labels, weights: of `loss_sums`.
        counts: [4], what each mean divides by, instead of this batch's own (see `loss_counts`).

    Returns:
        ``fau``, ``lgen``, ``ggen``, ``gau`` and ``total``: scalars, in nats.
    """
    if counts is None:
        local, whole = output.local_logits, output.global_logits
        told = None if local is None else (local.lengths > 0).view_as(labels)
        counts = _counts(labels >= 0, told, None if whole is None else whole.lengths > 0)
    return means(loss_sums(output, labels, weights), dict(zip(TERMS, counts, strict=True)))


def loss_counts(
    labels: Tensor, local_tokens: Tensor | None = None, global_tokens: Tensor | None = None
) -> Tensor:
    """How many things each of the four means is over, before any forward pass.

    Coded (image, AU) pairs; coded pairs with a local caption; global captions; coded pairs of
    images with a global caption. The counts of a batch's parts add up to those of the batch.

    Args:
        labels: occurrence [B, A], -1 where not coded.
        local_tokens: long [B, A, T], <bos> words <eos> <pad>..; a caption is there where a word
            follows <bos>. None: there are none.
        global_tokens: long [B, T], likewise.

    Returns:
        Counts [4], float32, in the order of `TERMS`.
    """
    return _counts(labels >= 0, _captioned(local_tokens), _captioned(global_tokens))


def _captioned(tokens: Tensor | None) -> Tensor | None:
    return None if tokens is None else (tokens[..., 1:] != PAD).any(dim=-1)


def _counts(coded: Tensor, told: Tensor | None, described: Tensor | None) -> Tensor:
    """The counts [4], given which labels [B, A], local [B, A] and global captions [B] there are."""
    none = coded.new_zeros((), dtype=torch.long)
    return torch.stack(
        [
            coded.sum(),
            none if told is None else (coded & told).sum(),
            none if described is None else described.sum(),
            none if described is None else (coded & described.unsqueeze(1)).sum(),
        ]
    ).float()


def _au_sum(logits: Tensor | None, labels: Tensor, weights: Tensor, coded: Tensor) -> Tensor | None:
    """Return eq. 8 before its mean: weighted cross-entropy over the coded pairs."""
    if logits is None:
        return None
    targets = labels.clamp(min=0).long()
    entropy = F.cross_entropy(_at_least_float32(logits).movedim(-1, 1), targets, reduction="none")
    return (entropy * weights * coded).sum()


def _word_sum(words: WordLogits | None, counted: Tensor | None) -> Tensor | None:
    """Return eq. 10 and 11 before their mean over captions: of each, the mean over its words."""
    if words is None:
        return None
    entropy: Tensor = _WordEntropy.apply(_at_least_float32(words.logits), words.targets)
    share = words.lengths.clamp(min=1).to(entropy.dtype).reciprocal()
    if counted is not None:
        share = share * counted
    return (entropy * share[words.rows]).sum()


class _Context(FunctionCtx):
    """What the forward pass leaves for the backward one."""

    saved_tensors: tuple[Tensor, ...]


class _WordEntropy(torch.autograd.Function):
    """-log p of each target: [N, V] -> [N]. One [N, V] tensor less than torch's each way."""

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
