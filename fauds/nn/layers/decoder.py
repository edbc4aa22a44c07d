"""The soft-attention LSTM that writes captions (paper, eq. 4 to 6), for one or many branches."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from fauds.nn.layers.heads import stacked_uniform
from fauds.nn.layers.recurrence import Recurrent, proceed, recur
from fauds.nn.layers.words import PAD, PackedWords, WordLogits
from fauds.registry import unknown

BEGINNINGS = ("mean", "zeros")
"""What h0 and c0 can be made of."""


class DecoderState(NamedTuple):
    """Where K hypotheses of each of R rows stand.

    values [R, P, d] and keys [R, P, k] belong to the row, hidden and cell [R, K, h] to the
    hypothesis, word_gates [V, 4h] to the vocabulary.
    """

    values: Tensor
    keys: Tensor
    hidden: Tensor
    cell: Tensor
    word_gates: Tensor

    def rows(self, kept: Tensor) -> "DecoderState":
        """The state of some rows: bool [R] or long."""
        parts = (self.values, self.keys, self.hidden, self.cell)
        values, keys, hidden, cell = (part[kept] for part in parts)
        return DecoderState(values, keys, hidden, cell, self.word_gates)


class CaptionDecoder(nn.Module):
    """Show-attend-and-tell with the previous word fed in beside the attended feature.

    What the paper leaves open, and what is done here: eq. 5 has no previous word, eq. 10 and 11
    need it, so its embedding enters the gates (`feed_words`); h0 and c0 are linear in the mean of
    V over the positions (`begin`); dropout stands between the hidden state and the readout; W^a
    has no bias (softmax cancels it), W^v and the gates have one.

    Args:
        vocab: V, words in the vocabulary, the four special ones included.
        dim: d, channels of the image feature.
        hidden: h, default d.
        embed_dim: channels of a word embedding, default d.
        attention_dim: k, channels in which eq. 4 compares V and h, default d as in the paper.
        dropout: probability, on the hidden state before the readout.
        feed_words: False is eq. 5 as written: no word enters the gates, so that a caption follows
            from the image alone, and there is no embedding table.
        begin: "mean", or "zeros" for h0 and c0 of zero.

    Raises:
        UsageError: no such `begin`.
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
            raise unknown("choice of begin", begin, list(BEGINNINGS))
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
        """Predict every next word from the gold words before it (teacher forcing).

        Args:
            values: image features [R, P, d].
            words: of the R captions, packed by `pack_words`.

        Returns:
            The logits on the N real words, and the feature attended at each of them [N, d].
        """
        if len(words.order) < len(values) or len(set(words.steps)) > 1:
            values = values[words.order]
        inputs = Recurrent(
            values,
            self.key(values),
            self._vocabulary_gates(),
            *self._begin(values),
            *self._weights(),
        )
        # Under autocast some of these are float32 and some are not: take the products' type.
        inputs = Recurrent(*(tensor.to(inputs.keys.dtype) for tensor in inputs))
        with torch.autocast(values.device.type, enabled=False):
            states, contexts = recur(inputs, words.inputs, words.steps)
        logits = self.readout(self.dropout(states))
        return WordLogits(logits, words.targets, words.rows, words.lengths), contexts

    def _vocabulary_gates(self) -> Tensor:
        """Every word's share of the gates [V, 4h]: a vocabulary is shorter than a batch's text."""
        if self.embedding is None:
            return self.gate_bias.expand(self.readout.out_features, -1)
        gates: Tensor = self.word_gates(self.embedding.weight)
        return gates

    def _begin(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """h0 and c0, [R, h] each."""
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
        """Begin `width` hypotheses per row of image features [R, P, d]."""
        hidden, cell = (s[:, None].expand(-1, width, -1) for s in self._begin(values))
        return DecoderState(values, self.key(values), hidden, cell, self._vocabulary_gates())

    def step(self, state: DecoderState, words: Tensor) -> tuple[Tensor, DecoderState]:
        """Feed one word to each hypothesis: long [R, K] -> logits [R, K, V] and the new state."""
        values, keys, hidden, cell, word_gates = state
        inputs = Recurrent(values, keys, word_gates, hidden, cell, *self._weights())
        # As in `forward`: under autocast, the products' type.
        inputs = Recurrent(*(tensor.to(keys.dtype) for tensor in inputs))
        with torch.autocast(words.device.type, enabled=False):
            hidden, cell = proceed(inputs, words)
        return self.readout(hidden), state._replace(hidden=hidden, cell=cell)
