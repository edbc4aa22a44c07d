"""Beam search over all captions of a batch together."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fauds.nn.layers.decoder import CaptionDecoder, DecoderState
from fauds.nn.layers.words import BOS, EOS, PAD, UNK

NEVER = (PAD, BOS, UNK)
"""Words that no caption may contain."""


@dataclass
class _Beams:
    """K hypotheses of each of R rows."""

    tokens: Tensor  # [R, K, t], the words so far, pad after the end
    total: Tensor  # [R, K], summed log-probabilities
    words: Tensor  # [R, K], how many, end of sentence included
    ended: Tensor  # [R, K] bool

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
    """The best caption of every row found by beam search (paper, section 3.2.1).

    A hypothesis scores (sum of log-probabilities) / words ** length_penalty, <eos> being a word:
    1, the default, compares captions by their mean, 0 by their plain sum. Ended hypotheses keep
    their place in the beam while nothing scores higher. The first place always follows the most
    probable word: width 1 is greedy decoding, and no width scores lower than greedy. <pad>,
    <bos> and <unk> are never written. The search stops when every hypothesis of every row has
    ended or holds `max_words`; rows that are through are left out once they are a quarter.

    Args:
        decoder: the caption decoder, in eval mode.
        values: image features [R, P, d].
        width: K, hypotheses per row.
        max_words: longest caption, <eos> included; longer ones are cut.
        length_penalty: the exponent above, 0 to 1.

    Returns:
        Words [R, T] long, without <bos>, with <eos>, <pad> after it; and the scores [R].
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
    for t in range(max_words):
        logits, state = decoder.step(state, last)
        beams, parents = _advance(beams, logits, length_penalty)
        state, last = _follow(state, parents), beams.tokens[..., -1]
        done = beams.ended.all(dim=1)
        if t + 1 == max_words:
            done = torch.ones_like(done)
        # Rows that are through stay as they are until it pays to copy the others.
        if int(done.sum()) * 4 > len(done):
            words, scores[active[done]] = _best(beams.pick(done), length_penalty)
            tokens[active[done], : t + 1] = words
            active, beams, state = active[~done], beams.pick(~done), state.rows(~done)
            last = last[~done]
        if len(active) == 0:
            break
    return tokens[:, : t + 1], scores


def _first_beams(rows: int, width: int, device: torch.device) -> _Beams:
    """One live hypothesis per row; the other places are dead until the first word splits it."""
    total = torch.full((rows, width), -math.inf, device=device)
    total[:, 0] = 0.0
    zeros = torch.zeros(rows, width, dtype=torch.long, device=device)
    return _Beams(zeros.unsqueeze(2)[..., :0], total, zeros, zeros.bool())


def _continuations(beams: _Beams, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Each hypothesis' best next words, the best first: log-probabilities and words [R, K, C].

    C is K at most: of words that follow the same hypothesis no more can be kept. An ended
    hypothesis goes on as itself: one continuation, <pad>, at no cost.
    """
    log_probs = logits.float().log_softmax(dim=-1)
    log_probs[..., NEVER] = -math.inf
    best = log_probs.topk(min(log_probs.shape[1:]), dim=-1)
    stay = torch.full_like(best.values, -math.inf)
    stay[..., 0] = 0.0
    ended = beams.ended.unsqueeze(2)
    return torch.where(ended, stay, best.values), best.indices.masked_fill(ended, PAD)


def _advance(beams: _Beams, logits: Tensor, length_penalty: float) -> tuple[_Beams, Tensor]:
    """Extend every hypothesis by a word and keep the K best. Also returns their parents [R, K]."""
    gain, words = _continuations(beams, logits)
    total = beams.total.unsqueeze(2) + gain
    longer = beams.words + (~beams.ended)
    rank = total / longer.to(total.dtype).unsqueeze(2) ** length_penalty
    rank[:, 0, 0] = math.inf  # the most probable word of the first beam
    place = rank.flatten(1).topk(beams.words.shape[1], dim=1).indices
    parents = place // gain.shape[2]
    choice = words.flatten(1).gather(1, place)
    total = total.flatten(1).gather(1, place)
    written = beams.tokens.gather(1, parents.unsqueeze(2).expand_as(beams.tokens))
    following = _Beams(
        tokens=torch.cat([written, choice.unsqueeze(2)], dim=2),
        total=total,
        words=longer.gather(1, parents),
        ended=beams.ended.gather(1, parents) | (choice == EOS) | total.isneginf(),
    )
    return following, parents


def _follow(state: DecoderState, parents: Tensor) -> DecoderState:
    """Give each hypothesis its parent's hidden state."""
    rows, width = parents.shape
    # Whole states are copied by their number: a gather would look up every single channel.
    first = torch.arange(rows, device=parents.device) * width
    numbers = (parents + first.unsqueeze(1)).flatten()
    hidden, cell = (
        each.flatten(0, 1).index_select(0, numbers).view_as(each)
        for each in (state.hidden, state.cell)
    )
    return state._replace(hidden=hidden, cell=cell)


def _best(beams: _Beams, length_penalty: float) -> tuple[Tensor, Tensor]:
    """The best hypothesis of each row: words [R, T] and score [R]."""
    score, place = beams.score(length_penalty).max(dim=1)
    return beams.tokens[torch.arange(len(place), device=place.device), place], score
