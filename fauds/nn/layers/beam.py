"""Beam search for the most probable captions, for all captions of a batch at once."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fauds.nn.layers.decoder import CaptionDecoder, DecoderState
from fauds.nn.layers.words import BOS, EOS, PAD, UNK
from fauds.nn.transfer import HostCopy, send

NEVER = (PAD, BOS, UNK)
"""Tokens that a caption must not contain."""


@dataclass
class _Beams:
    """The beams of a search: for each of R rows of image features, K captions so far."""

    tokens: Tensor  # [R, K, t], the words so far, <pad> after the end
    total: Tensor  # [R, K], the sums of log-probabilities
    words: Tensor  # [R, K], the numbers of words, <eos> included
    ended: Tensor  # [R, K] bool, whether <eos> was written

    def score(self, length_penalty: float) -> Tensor:
        return self.total / self.words.clamp(min=1).to(self.total.dtype) ** length_penalty

    def pick(self, rows: Tensor) -> "_Beams":
        return _Beams(self.tokens[rows], self.total[rows], self.words[rows], self.ended[rows])


@torch.no_grad()
def beam_search(
    decoder: CaptionDecoder,
    values: Tensor,
    *,
    width: int = 3,
    max_words: int = 64,
    length_penalty: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return the best caption of every row of image features, found by beam search.

    A row is an image, or one AU of an image. The VL-FAU paper uses beam search in section 3.2.1.

    The score of a hypothesis (a caption so far) is its sum of log-probabilities divided by (number
    of words) ** length_penalty, where <eos> counts as a word. An exponent of 1, the default,
    compares captions by their mean log-probability; 0 compares them by the sum. A hypothesis that
    has ended stays in the beam until K other hypotheses score higher. The first hypothesis always
    continues with the most probable word, so that width 1 is greedy decoding, and no width scores
    lower than greedy decoding. <pad>, <bos> and <unk> are never written. The search stops when
    every hypothesis of every row has ended or has `max_words` words. Finished rows are removed from
    the computation when they are more than a quarter of the rows. With a GPU, the program learns
    one word late which rows have ended, when the GPU has the next word to work on; it waits for
    nothing else.

    Args:
        decoder: the caption decoder, in eval mode.
        values: the image features [R, P, d]: R rows, P positions.
        width: K, the number of hypotheses for each row.
        max_words: the number of words, <eos> included, at which a caption is cut.
        length_penalty: the exponent of the number of words in the score, 0 to 1.

    Returns:
        The captions, long [R, T], as words, <eos>, then <pad>, without <bos>; and the scores of the
        captions, [R]. T is at most `max_words`.
    """
    rows, device = len(values), values.device
    tokens = torch.full((rows, max_words), PAD, dtype=torch.long, device=device)
    scores = values.new_zeros(rows, dtype=torch.float32)
    if rows == 0:
        return tokens[:, :0], scores
    active = torch.arange(rows, device=device)
    state = decoder.start(values, width)
    beams = _first_beams(rows, width, device)
    last = torch.full_like(beams.words, BOS)
    late = _flags_are_late(device)
    flags: HostCopy | None = None
    for t in range(max_words):
        logits, state = decoder.step(state, last)
        beams, parents = _advance(beams, logits, length_penalty)
        state, last = _reorder(state, parents), beams.tokens[..., -1]
        if not late:
            flags = HostCopy(beams.ended.all(dim=1))
        done = torch.zeros(len(active), dtype=torch.bool) if flags is None else flags.read()
        if t + 1 == max_words:
            done = torch.ones_like(done)
        # Copying the other rows costs time, so finished rows stay until they are a quarter.
        if int(done.sum()) * 4 > len(done):
            finished, others = (send(mask.nonzero()[:, 0], device) for mask in (done, ~done))
            words, scores[active[finished]] = _best(beams.pick(finished), length_penalty)
            tokens[active[finished], : t + 1] = words
            active, beams, state = active[others], beams.pick(others), state.rows(others)
            last = last[others]
        if len(active) == 0:
            break
        if late:
            flags = HostCopy(beams.ended.all(dim=1))
    return tokens[:, : t + 1], scores


def _flags_are_late(device: torch.device) -> bool:
    """Return whether it is one word later that the search learns which rows have ended."""
    return device.type == "cuda"


def _first_beams(rows: int, width: int, device: torch.device) -> _Beams:
    """Return the beams before the first word: K empty captions for each row.

    The first caption of each row has a probability of 1 and the other captions have 0, so that the
    search never returns the same caption twice.

    Args:
        rows: the number of rows of image features.
        width: K, the number of captions that are kept for each row.
        device: the device of the tensors.
    """
    total = torch.full((rows, width), -math.inf, device=device)
    total[:, 0] = 0.0
    zeros = torch.zeros(rows, width, dtype=torch.long, device=device)
    return _Beams(zeros.unsqueeze(2)[..., :0], total, zeros, zeros.bool())


def _continuations(beams: _Beams, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the most probable next words of each hypothesis (a caption so far), the best first.

    A hypothesis that has ended has one continuation, <pad> with a log-probability of 0.

    Args:
        beams: K hypotheses for each of R rows of image features.
        logits: the logits of the next word [R, K, V].

    Returns:
        The log-probabilities of the C best words, and the words, [R, K, C] each. C is at most K,
        since no more than K continuations of one hypothesis can be kept.
    """
    log_probs = logits.float().log_softmax(dim=-1)
    for word in NEVER:  # one index for all would be copied from the CPU, word after word
        log_probs[..., word] = -math.inf
    best = log_probs.topk(min(log_probs.shape[1:]), dim=-1)
    ended_values = torch.full_like(best.values, -math.inf)
    ended_values[..., 0] = 0.0
    ended = beams.ended.unsqueeze(2)
    return torch.where(ended, ended_values, best.values), best.indices.masked_fill(ended, PAD)


def _advance(beams: _Beams, logits: Tensor, length_penalty: float) -> tuple[_Beams, Tensor]:
    """Extend the captions of a beam search by one word, and keep the K best of each row.

    Args:
        beams: K captions so far for each of R rows of image features.
        logits: the logits of the next word [R, K, V].
        length_penalty: the exponent of the number of words in the score.

    Returns:
        The new captions, and [R, K], the index of the old caption that each new caption extends.
    """
    gain, words = _continuations(beams, logits)
    total = beams.total.unsqueeze(2) + gain
    longer = beams.words + (~beams.ended)
    rank = total / longer.to(total.dtype).unsqueeze(2) ** length_penalty
    rank[:, 0, 0] = math.inf  # keeps the greedy caption in the beam
    positions = rank.flatten(1).topk(beams.words.shape[1], dim=1).indices
    parents = positions // gain.shape[2]
    next_words = words.flatten(1).gather(1, positions)
    total = total.flatten(1).gather(1, positions)
    previous = beams.tokens.gather(1, parents.unsqueeze(2).expand_as(beams.tokens))
    extended = _Beams(
        tokens=torch.cat([previous, next_words.unsqueeze(2)], dim=2),
        total=total,
        words=longer.gather(1, parents),
        ended=beams.ended.gather(1, parents) | (next_words == EOS) | total.isneginf(),
    )
    return extended, parents


def _reorder(state: DecoderState, parents: Tensor) -> DecoderState:
    """Return the decoder state of each new caption: the state of the caption that it extends.

    Args:
        state: the decoder state of the K old captions of each of R rows.
        parents: [R, K], the index of the old caption that each new caption extends.
    """
    rows, width = parents.shape
    # index_select copies whole states; gather would look up every channel separately.
    first = torch.arange(rows, device=parents.device) * width
    numbers = (parents + first.unsqueeze(1)).flatten()
    hidden, cell = (
        tensor.flatten(0, 1).index_select(0, numbers).view_as(tensor)
        for tensor in (state.hidden, state.cell)
    )
    return state._replace(hidden=hidden, cell=cell)


def _best(beams: _Beams, length_penalty: float) -> tuple[Tensor, Tensor]:
    """Return the caption with the highest score of each of R rows.

    Returns:
        The words of these captions [R, T], and their scores [R].
    """
    score, positions = beams.score(length_penalty).max(dim=1)
    return beams.tokens[torch.arange(len(positions), device=positions.device), positions], score
