"""The LSTM with soft attention to image features that writes captions.

Equations are those of the VL-FAU paper (ACM Multimedia 2024), eq. 4 to 6.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from fauds.nn.layers.heads import stacked_uniform
from fauds.nn.layers.recurrence import LSTMInputs, run_lstm, step_lstm
from fauds.nn.layers.words import PAD, PackedWords, WordLogits
from fauds.registry import unknown_name_error

BEGINNINGS = ("mean", "zeros")
"""Choices for the LSTM's initial states h0 and c0: linear in the mean image feature, or zero."""


class DecoderState(NamedTuple):
    """The state of a caption decoder for R rows of image features, each with K captions so far.

    Attributes:
        values: the image features of each row [R, P, d].
        keys: the image features of each row, projected for the attention [R, P, k].
        hidden: the hidden state of the LSTM after each caption so far [R, K, h].
        cell: the cell state of the LSTM after each caption so far [R, K, h].
        word_gates: what each word of the vocabulary, when fed, adds to the LSTM's gates before
            their sigmoid and tanh [V, 4h].
    """

    values: Tensor
    keys: Tensor
    hidden: Tensor
    cell: Tensor
    word_gates: Tensor

    def rows(self, kept: Tensor) -> "DecoderState":
        """Return the state of some rows.

        Args:
            kept: the numbers of the rows, long.
        """
        parts = (self.values, self.keys, self.hidden, self.cell)
        values, keys, hidden, cell = (part[kept] for part in parts)
        return DecoderState(values, keys, hidden, cell, self.word_gates)


class CaptionDecoder(nn.Module):
    """A "show, attend and tell" LSTM that reads the previous word and the attended feature.

    It is the decoder of the VL-FAU paper (ACM Multimedia 2024), eq. 4 to 6. The paper leaves four
    points open, which are decided as follows. Eq. 5 does not feed the previous word, but eq. 10
    and 11 need it, so the word's embedding enters the gates (`feed_words`). The initial hidden and
    cell states are linear in the image features V, averaged over positions (`begin`). Dropout is
    applied to the hidden state before the output layer. The layer that scores positions, W^a, has
    no bias, which the softmax would cancel; the projection W^v of V and the gates have a bias.

    Args:
        vocab: V, the number of words in the vocabulary, including the four special tokens.
        dim: d, the number of channels of the image features.
        hidden: h, the number of channels of the hidden state; d unless given.
        embed_dim: the number of channels of a word embedding; d unless given.
        attention_dim: k, the number of channels in which the attention (eq. 4) compares V with the
            hidden state; d unless given, as in the paper.
        dropout: the probability of dropout on the hidden state before the output layer.
        feed_words: whether the previous word enters the gates. False is eq. 5 as written: a
            caption depends on the image alone, and there is no embedding table.
        begin: the initial hidden and cell state: "mean" for a linear function of the mean image
            feature, "zeros" for zero.

    Raises:
        UsageError: `begin` is neither "mean" nor "zeros".
    """

    def __init__(
        self,
        vocab: int,
        dim: int,
        hidden: int | None = None,
        embed_dim: int | None = None,
        attention_dim: int | None = None,
        dropout: float = 0.0,
        *,
        feed_words: bool = True,
        begin: Literal["mean", "zeros"] = "mean",
    ) -> None:
        super().__init__()
        if begin not in BEGINNINGS:
            raise unknown_name_error("begin option", begin, list(BEGINNINGS))
        hidden, embed_dim, attention_dim = hidden or dim, embed_dim or dim, attention_dim or dim
        self.hidden = hidden
        self.embedding: nn.Embedding | None = None
        if feed_words:
            self.embedding = nn.Embedding(vocab, embed_dim, padding_idx=PAD)
            self.word_gates = nn.Linear(embed_dim, 4 * hidden)
        else:
            self.gate_bias = stacked_uniform(4 * hidden, fan_in=dim)
        self.context_gates = nn.Linear(dim, 4 * hidden, bias=False)
        self.state_gates = nn.Linear(hidden, 4 * hidden, bias=False)
        self.key = nn.Linear(dim, attention_dim)
        self.query = nn.Linear(hidden, attention_dim, bias=False)
        self.score = nn.Linear(attention_dim, 1, bias=False)
        self.begin = nn.Linear(dim, 2 * hidden) if begin == "mean" else None
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden, vocab)

    def forward(self, values: Tensor, words: PackedWords) -> tuple[WordLogits, Tensor]:
        """Predict every word of R captions from the reference words before it (teacher forcing).

        Args:
            values: the image features of each caption [R, P, d].
            words: the words of the captions, packed without padding by `pack_words`.

        Returns:
            The logits of all N words, and the image feature that was attended to for each word,
            [N, d].
        """
        if len(words.order) < len(values) or len(set(words.steps)) > 1:
            values = values[words.order]
        inputs = LSTMInputs(
            values,
            self.key(values),
            self._vocabulary_gates(),
            *self._begin(values),
            *self._weights(),
        )
        # Autocast leaves some of these float32: convert all to the dtype of the matrix products.
        inputs = LSTMInputs(*(tensor.to(inputs.keys.dtype) for tensor in inputs))
        with torch.autocast(values.device.type, enabled=False):
            states, contexts = run_lstm(inputs, words.inputs, words.steps)
        logits = self.readout(self.dropout(states))
        of_words = (words.targets, words.rows, words.lengths, words.decides, words.decisions)
        return WordLogits(logits, *of_words), contexts

    def _vocabulary_gates(self) -> Tensor:
        """Return what each word of the vocabulary, when fed, adds to the LSTM's gates, [V, 4h].

        It is computed for the whole vocabulary, which has fewer words than the captions of a batch
        together.
        """
        if self.embedding is None:
            return self.gate_bias.expand(self.readout.out_features, -1)
        gates: Tensor = self.word_gates(self.embedding.weight)
        return gates

    def _begin(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the initial hidden and cell states of the LSTM, [R, h] each.

        Args:
            values: the image features of R rows at P positions, [R, P, d].
        """
        if self.begin is None:
            zeros = values.new_zeros(len(values), self.hidden)
            return zeros, zeros
        states: Tensor = self.begin(values.mean(dim=1))
        hidden, cell = states.chunk(2, dim=1)
        return hidden, cell

    def _weights(self) -> tuple[Tensor, ...]:
        gates = (self.state_gates.weight, self.context_gates.weight)
        return (self.query.weight, *gates, self.score.weight[0])

    def start(self, values: Tensor, width: int = 1) -> DecoderState:
        """Return the state before the first word, for `width` captions of each row.

        Args:
            values: the image features of R rows at P positions, [R, P, d].
            width: the number of captions that are written for each row (the width of the beam).
        """
        hidden, cell = (s[:, None].expand(-1, width, -1) for s in self._begin(values))
        return DecoderState(values, self.key(values), hidden, cell, self._vocabulary_gates())

    def step(self, state: DecoderState, words: Tensor) -> tuple[Tensor, DecoderState]:
        """Feed one word to each of K captions of R rows, and predict the next word.

        Args:
            state: the state before the word is fed.
            words: [R, K] long, the last word of each caption so far.

        Returns:
            The logits of the next word, [R, K, V], and the new state.
        """
        values, keys, hidden, cell, word_gates = state
        inputs = LSTMInputs(values, keys, word_gates, hidden, cell, *self._weights())
        # As in `forward`: one dtype under autocast.
        inputs = LSTMInputs(*(tensor.to(keys.dtype) for tensor in inputs))
        with torch.autocast(words.device.type, enabled=False):
            hidden, cell = step_lstm(inputs, words)
        return self.readout(hidden), state._replace(hidden=hidden, cell=cell)
