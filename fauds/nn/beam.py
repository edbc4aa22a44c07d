"""Beam search over all captions of a batch together."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fauds.nn.decoder import CaptionDecoder, DecoderState
from fauds.nn.words import BOS, EOS, PAD, UNK

NEVER = (PAD, BOS, UNK)
"""Words that no caption may contain."""


@dataclass
class _Beams:
    """K hypotheses of each of R rows."""

    tokens: Tensor  # [R, K, T], pad after the end
    total: Tensor  # [R, K], summed log-probabilities
    words: Tensor  # [R, K], words so far, end of sentence included
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
    beams = _first_beams(rows, width, max_words, device)
    longest = 0
    for t in range(max_words):
        last = beams.tokens[..., t - 1] if t else torch.full_like(beams.words, BOS)
        logits, state = decoder.step(state, last)
        beams, parents = _advance(beams, _log_probabilities(logits), t, length_penalty)
        state = _follow(state, parents)
        longest = t + 1
        done = beams.ended.all(dim=1)
        if t + 1 == max_words:
            done = torch.ones_like(done)
        # Rows that are through stay as they are until it pays to copy the others.
        if int(done.sum()) * 4 > len(done):
            tokens[active[done]], scores[active[done]] = _best(beams.pick(done), length_penalty)
            active, beams, state = active[~done], beams.pick(~done), state.rows(~done)
        if len(active) == 0:
            break
    return tokens[:, :longest], scores


def _first_beams(rows: int, width: int, max_words: int, device: torch.device) -> _Beams:
    """One live hypothesis per row; the other places are dead until the first word splits it."""
    total = torch.full((rows, width), -math.inf, device=device)
    total[:, 0] = 0.0
    zeros = torch.zeros(rows, width, dtype=torch.long, device=device)
    return _Beams(zeros[..., None].repeat(1, 1, max_words), total, zeros, zeros.bool())


def _log_probabilities(logits: Tensor) -> Tensor:
    logits = logits.float().log_softmax(dim=-1)
    logits[..., NEVER] = -math.inf
    return logits


def _advance(
    beams: _Beams, log_probs: Tensor, t: int, length_penalty: float
) -> tuple[_Beams, Tensor]:
    """Extend every hypothesis by word t and keep the K best. Also returns their parents [R, K]."""
    width, vocab = log_probs.shape[1:]
    ended = beams.ended.unsqueeze(2)
    # An ended hypothesis goes on as itself: one continuation, <pad>, at no cost.
    stay = torch.full_like(log_probs, -math.inf)
    stay[..., PAD] = 0.0
    total = beams.total.unsqueeze(2) + torch.where(ended, stay, log_probs)
    words = (beams.words + (~beams.ended)).to(total.dtype)
    rank = total / words.unsqueeze(2) ** length_penalty
    greedy = total[:, 0].argmax(dim=1, keepdim=True)  # places 0 .. V-1 are the first beam's
    rank = rank.flatten(1).scatter(1, greedy, math.inf)
    place = rank.topk(width, dim=1).indices
    parents, choice = place // vocab, place % vocab
    total = total.flatten(1).gather(1, place)
    was_ended = beams.ended.gather(1, parents)
    tokens = beams.tokens.gather(1, parents.unsqueeze(2).expand_as(beams.tokens))
    tokens[..., t] = choice
    following = replace(
        beams,
        tokens=tokens,
        total=total,
        words=beams.words.gather(1, parents) + (~was_ended),
        ended=was_ended | (choice == EOS) | total.isneginf(),
    )
    return following, parents


def _follow(state: DecoderState, parents: Tensor) -> DecoderState:
    """Give each hypothesis its parent's hidden state."""
    places = parents.unsqueeze(2).expand(-1, -1, state.hidden.shape[2])
    return state._replace(hidden=state.hidden.gather(1, places), cell=state.cell.gather(1, places))


def _best(beams: _Beams, length_penalty: float) -> tuple[Tensor, Tensor]:
    """The best hypothesis of each row: words [R, T] and score [R]."""
    score, place = beams.score(length_penalty).max(dim=1)
    return beams.tokens[torch.arange(len(place), device=place.device), place], score
