"""VL-FAU: AU recognition that explains itself in words (the whole network)."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from fauds.nn.backbone import FourStages, LastStage, MultiScale
from fauds.nn.beam import beam_search
from fauds.nn.dair import DAIR
from fauds.nn.decoder import CaptionDecoder
from fauds.nn.heads import BranchHeads, GlobalHead
from fauds.nn.words import WordLogits, pack_words


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


class Description(NamedTuple):
    """Generated captions, words without <bos>, with <eos>, then <pad>; None without a decoder.

    Attributes:
        local_tokens: [B, A, T] long.
        global_tokens: [B, T] long.
    """

    local_tokens: Tensor | None
    global_tokens: Tensor | None


class Explanation(NamedTuple):
    """Everything that one pass over the images gives.

    Attributes:
        probabilities: [B, A], of active.
        features: [B, A, d], before the classification heads.
        attention: [B, A, h, w], DAIR's spatial maps; None without MARL.
        local_tokens, global_tokens: as in `Description`.
    """

    probabilities: Tensor
    features: Tensor
    attention: Tensor | None
    local_tokens: Tensor | None
    global_tokens: Tensor | None


class _Seen(NamedTuple):
    """V [B, P, d], V-hat [B, A, P, d], its pooled features [B, A, d], maps [B, A, h, w]."""

    whole: Tensor
    branches: Tensor
    features: Tensor
    maps: Tensor | None


class VLFAU(nn.Module):
    """The network of "Towards End-to-End Explainable Facial Action Unit Recognition via
    Vision-Language Joint Learning", section 3, in any of the settings of its Table 4.

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

    def __init__(
        self,
        *,
        backbone: str,
        image_size: int,
        num_aus: int,
        local_vocab: int,
        global_vocab: int,
        backbone_args: dict | None = None,
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

    def forward(
        self,
        images: Tensor,
        local_tokens: Tensor | None = None,
        global_tokens: Tensor | None = None,
    ) -> VLFAUOutput:
        """Training and teacher-forced evaluation.

        Args:
            images: [B, 3, H, W] float, normalised for the backbone.
            local_tokens: [B, A, T] long, <bos> words <eos> <pad>..; a caption that is all <pad>
                is absent and costs nothing. None skips the local decoder.
            global_tokens: [B, T] long, likewise.
        """
        # Packing waits for the lengths: before the stem, a GPU has nothing queued to wait for.
        local_words = global_words = None
        if self.local_decoder is not None and local_tokens is not None:
            local_words = pack_words(local_tokens.flatten(0, 1))
        if self.global_decoder is not None and global_tokens is not None:
            global_words = pack_words(global_tokens)
        seen = self._see(images)
        au_logits = self.heads(self.head_dropout(seen.features))
        local_logits = global_logits = global_au_logits = None
        if local_words is not None:
            local_logits, _ = self.local_decoder(seen.branches.flatten(0, 1), local_words)
        if global_words is not None:
            global_logits, attended = self.global_decoder(seen.whole, global_words)
            global_au_logits = self.global_head(global_logits.mean_per_row(attended))
        return VLFAUOutput(au_logits, local_logits, global_logits, global_au_logits)

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Probability of each AU being active [B, A], 0..1. The decoders are not run."""
        return self._probabilities(self._see(images))

    @torch.inference_mode()
    def au_features(self, images: Tensor) -> Tensor:
        """Branch features [B, A, d] before the classification heads (the paper's Figure 4)."""
        return self._see(images).features

    @torch.inference_mode()
    def attention(self, images: Tensor) -> Tensor | None:
        """DAIR's spatial maps [B, A, h, w], 0..1 with `spatial_sigmoid`; None without MARL."""
        return self._see(images).maps

    def describe(self, images: Tensor, **search: int | float) -> Description:
        """Write captions by beam search (see `fauds.nn.beam.beam_search` for its rules).

        All AUs, images and hypotheses are decoded together. The search attends and writes
        freely: the gold words that training fed are not there.

        Args:
            search: keywords of `explain`.
        """
        explained = self.explain(images, **search)
        return Description(explained.local_tokens, explained.global_tokens)

    @torch.inference_mode()
    def explain(
        self,
        images: Tensor,
        *,
        beam_width: int = 3,
        max_words_local: int = 64,
        max_words_global: int = 96,
        length_penalty: float = 1.0,
    ) -> Explanation:
        """Probabilities, features, attention maps and captions from one pass of the backbone."""
        seen = self._see(images)
        search = {"width": beam_width, "length_penalty": length_penalty}
        local_tokens = global_tokens = None
        if self.local_decoder is not None:
            folded = seen.branches.flatten(0, 1)
            words, _ = beam_search(self.local_decoder, folded, max_words=max_words_local, **search)
            local_tokens = words.unflatten(0, (len(images), self.num_aus))
        if self.global_decoder is not None:
            search["max_words"] = max_words_global
            global_tokens, _ = beam_search(self.global_decoder, seen.whole, **search)
        return Explanation(
            self._probabilities(seen), seen.features, seen.maps, local_tokens, global_tokens
        )

    def _see(self, images: Tensor) -> _Seen:
        whole = self.combine(self.stem(images))
        flat = whole.flatten(1, 2)
        if self.dair is None:
            branches = flat.unsqueeze(1).expand(-1, self.num_aus, -1, -1)
            features = flat.mean(dim=1).unsqueeze(1).expand(-1, self.num_aus, -1)
            return _Seen(flat, branches, features, None)
        branches, maps = self.dair(whole)
        return _Seen(flat, branches, branches.mean(dim=2), maps)

    def _probabilities(self, seen: _Seen) -> Tensor:
        return self.heads(seen.features).float().softmax(dim=-1)[..., 1]
