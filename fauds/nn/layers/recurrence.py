"""The word loop of the soft-attention LSTM, with a backward pass written for its shape.

Automatic differentiation of the loop would make, at every word, an outer product for the
gradient of V, another for each weight, and keep every [R, P, k] activation. Written out, the
gradients of V and of all weights are single products after the loop, only the [R, k] queries are
kept, and rows whose caption has ended cost nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward


class Recurrent(NamedTuple):
    """What `recur` reads. Gates are ordered input, forget, output, candidate.

    Attributes:
        values: V of each sorted row [R, P, d].
        keys: W^v V, bias included [R, P, k].
        word_gates: each vocabulary word's share of the gates, bias included [V, 4h].
        hidden: h0 [R, h].
        cell: c0 [R, h].
        query_weight: W^h [k, h].
        state_weight: the gates' share of the last hidden state [4h, h].
        context_weight: the gates' share of the attended feature [4h, d].
        score_weight: W^a [k].
    """

    values: Tensor
    keys: Tensor
    word_gates: Tensor
    hidden: Tensor
    cell: Tensor
    query_weight: Tensor
    state_weight: Tensor
    context_weight: Tensor
    score_weight: Tensor


def recur(inputs: Recurrent, words: Tensor, steps: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Run eq. 4 and 5 of the paper over packed words (see `fauds.nn.layers.words.PackedWords`).

    Args:
        inputs: image features, first states and weights, of one dtype.
        words: [N] long, the word fed at each place.
        steps: rows that have a word at each time, never growing; their sum is N.

    Returns:
        The hidden states [N, h] and the attended features [N, d], packed like the words.
    """
    states, contexts = _Recurrence.apply(words, steps, *inputs)
    return states, contexts


@torch.no_grad()
def proceed(inputs: Recurrent, words: Tensor) -> tuple[Tensor, Tensor]:
    """Run eq. 4 and 5 for one word of each of K hypotheses of R rows, without gradients.

    Args:
        inputs: as in `recur`, but hidden and cell are of the hypotheses [R, K, h].
        words: [R, K] long, the word fed to each.

    Returns:
        The next hidden and cell states, [R, K, h] each.
    """
    hidden, cell = inputs.hidden.flatten(0, 1), inputs.cell.flatten(0, 1)
    queries = (hidden @ inputs.query_weight.t()).view(*words.shape, -1)
    alpha = torch.softmax(_scores(inputs.keys, queries, inputs.score_weight), dim=2)
    contexts = torch.bmm(alpha, inputs.values).flatten(0, 1)
    gates = inputs.word_gates.index_select(0, words.flatten())
    gates.addmm_(hidden, inputs.state_weight.t())
    gates.addmm_(contexts, inputs.context_weight.t())
    enter, forget, leave, candidate = gates.chunk(4, dim=1)
    gates[:, : -candidate.shape[1]].sigmoid_()
    cell = (forget * cell).addcmul_(enter, _tanh_(candidate))
    hidden = _tanh_(cell.clone()).mul_(leave)
    return hidden.view_as(inputs.hidden), cell.view_as(inputs.cell)


_CACHED = 2**19
"""Numbers that a core's second cache holds."""


def _scores(keys: Tensor, queries: Tensor, weight: Tensor) -> Tensor:
    """W^a ReLU(keys + queries): [R, P, k] and [R, K, k] -> [R, K, P]."""
    keys, queries = keys.unsqueeze(1), queries.unsqueeze(2)
    scores = keys.new_empty(len(keys), queries.shape[1], keys.shape[2])
    # On CPUs [R, K, P, k] as a whole would go through memory three times.
    one_row = scores.shape[1] * scores.shape[2] * len(weight)
    rows = max(1, len(keys) if keys.is_cuda else _CACHED // one_row)
    match = keys.new_empty(min(rows, len(keys)), *scores.shape[1:], len(weight))
    parts = (torch.split(tensor, rows) for tensor in (keys, queries, scores))
    for some, query, into in zip(*parts, strict=True):
        here = torch.add(some, query, out=_first(match, len(some))).relu_()
        torch.mv(here.view(-1, len(weight)), weight, out=into.view(-1))
    return scores


class _Trace(NamedTuple):
    """What the backward pass needs of the forward one: packed over words [N, ..]."""

    states: Tensor  # h
    cells: Tensor  # c
    squashed: Tensor  # tanh(c)
    gates: Tensor  # after their sigmoid and tanh
    contexts: Tensor  # attended features
    queries: Tensor  # W^h h
    weights: Tensor  # alpha [N, P]

    def by_time(self, steps: tuple[int, ...]) -> "list[_Trace]":
        # Split once: indexing inside the loop costs as much as the small kernels do.
        parts = (tensor.split_with_sizes(steps) for tensor in self)
        return [_Trace(*now) for now in zip(*parts, strict=True)]


class _Context(FunctionCtx):
    """What the forward pass leaves for the backward one."""

    steps: tuple[int, ...]
    saved_tensors: tuple[Tensor, ...]


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, words: Tensor, steps: tuple[int, ...], *inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        given = Recurrent(*inputs)
        h, d, k, p = (given.hidden.shape[1], given.values.shape[2], *given.keys.shape[:0:-1])
        sizes = (h, h, h, 4 * h, d, k, p)
        trace = _Trace(*(given.values.new_empty(sum(steps), size) for size in sizes))
        match = torch.empty_like(given.keys)
        last, last_cell = given.hidden, given.cell
        for now, word in zip(trace.by_time(steps), words.split_with_sizes(steps), strict=True):
            _step(given, now, word, match, last, last_cell)
            last, last_cell = now.states, now.cells
        ctx.steps = steps
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(words, *given, *trace)
        return trace.states, trace.contexts

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: _Context, to_states: Tensor | None, to_contexts: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        words, *rest = ctx.saved_tensors
        count = len(Recurrent._fields)
        back = _Backward(Recurrent(*rest[:count]), _Trace(*rest[count:]), ctx.steps)
        back.run(to_states, to_contexts)
        return None, None, *back.gradients(words)


def _by_time(gradient: Tensor | None, steps: tuple[int, ...]) -> Sequence[Tensor | None]:
    return [None] * len(steps) if gradient is None else gradient.split_with_sizes(steps)


def _first(tensor: Tensor, rows: int) -> Tensor:
    return tensor if len(tensor) == rows else tensor[:rows]


def _tanh_(tensor: Tensor) -> Tensor:
    """tanh in place. On CPUs torch's tanh takes five times as long as its sigmoid."""
    if tensor.is_cuda:
        return tensor.tanh_()
    return tensor.mul_(2).sigmoid_().mul_(2).sub_(1)


def _step(
    given: Recurrent, now: _Trace, word: Tensor, match: Tensor, last: Tensor, last_cell: Tensor
) -> None:
    """One word of the rows that have one: fill `now`, the trace's part of this time."""
    rows, h = len(word), last.shape[1]
    last, last_cell, match = _first(last, rows), _first(last_cell, rows), _first(match, rows)
    torch.mm(last, given.query_weight.t(), out=now.queries)
    torch.add(_first(given.keys, rows), now.queries.unsqueeze(1), out=match).relu_()
    scores = torch.mv(match.flatten(0, 1), given.score_weight).view_as(now.weights)
    torch.softmax(scores, dim=1, out=now.weights)
    values = _first(given.values, rows)
    torch.bmm(now.weights.unsqueeze(1), values, out=now.contexts.unsqueeze(1))
    torch.index_select(given.word_gates, 0, word, out=now.gates)
    now.gates.addmm_(last, given.state_weight.t())
    now.gates.addmm_(now.contexts, given.context_weight.t())
    enter, forget, leave, candidate = now.gates.chunk(4, dim=1)
    now.gates[:, : 3 * h].sigmoid_()
    _tanh_(candidate)
    torch.mul(forget, last_cell, out=now.cells).addcmul_(enter, candidate)
    _tanh_(now.squashed.copy_(now.cells))
    torch.mul(leave, now.squashed, out=now.states)


class _Backward:
    """The backward pass: accumulators over time, then the products after the loop."""

    def __init__(self, given: Recurrent, trace: _Trace, steps: tuple[int, ...]) -> None:
        self.given, self.trace, self.steps = given, trace, steps
        self.times = trace.by_time(steps)
        self.to_hidden = torch.zeros_like(given.hidden)
        self.to_cell = torch.zeros_like(given.cell)
        self.to_keys = torch.zeros_like(given.keys)  # before W^a is multiplied in
        self.to_gates = torch.empty_like(trace.gates)
        self.to_queries = torch.empty_like(trace.queries)  # before W^a is multiplied in
        self.to_contexts = torch.empty_like(trace.contexts)
        self.match = torch.empty_like(given.keys)
        self.raw = trace.gates.new_empty(len(given.hidden), trace.gates.shape[1])

    def run(self, to_states: Tensor | None, to_contexts: Tensor | None) -> None:
        """All words, the last one first. None stands for a gradient that is zero."""
        steps = self.steps
        query_weight = self.given.query_weight * self.given.score_weight[:, None]
        from_states, from_contexts = _by_time(to_states, steps), _by_time(to_contexts, steps)
        buffers = (self.to_gates, self.to_queries, self.to_contexts)
        parts = [buffer.split_with_sizes(steps) for buffer in buffers]
        for t in range(len(steps) - 1, -1, -1):
            to_gates, to_queries, to_context = (part[t] for part in parts)
            to_hidden = _first(self.to_hidden, steps[t])
            if (from_state := from_states[t]) is not None:
                to_hidden += from_state
            self._cell_step(t, to_hidden, to_gates)
            torch.mm(to_gates, self.given.context_weight, out=to_context)
            if (from_context := from_contexts[t]) is not None:
                to_context += from_context
            self._attention_step(t, to_context, to_queries)
            torch.mm(to_queries, query_weight, out=to_hidden)
            to_hidden.addmm_(to_gates, self.given.state_weight)

    def _cell_step(self, t: int, to_hidden: Tensor, to_gates: Tensor) -> None:
        """Eq. 5 backwards: the gradient before the gates' sigmoid and tanh."""
        now, rows = self.times[t], len(to_hidden)
        h = to_hidden.shape[1]
        before = _first(self.times[t - 1].cells if t else self.given.cell, rows)
        enter, forget, leave, candidate = now.gates.chunk(4, dim=1)
        raw = _first(self.raw, rows)
        to_enter, to_forget, to_leave, to_candidate = raw.chunk(4, dim=1)
        to_cell = _first(self.to_cell, rows)
        to_cell += _tanh_backward(to_hidden * leave, now.squashed)
        torch.mul(to_cell, candidate, out=to_enter)
        torch.mul(to_cell, before, out=to_forget)
        torch.mul(to_hidden, now.squashed, out=to_leave)
        torch.mul(to_cell, enter, out=to_candidate)
        to_cell *= forget
        cut = 3 * h
        _sigmoid_backward(raw[:, :cut], now.gates[:, :cut], grad_input=to_gates[:, :cut])
        _tanh_backward.grad_input(to_candidate, candidate, grad_input=to_gates[:, cut:])

    def _attention_step(self, t: int, to_context: Tensor, to_queries: Tensor) -> None:
        """Eq. 4 backwards. The values' gradient waits for `gradients`."""
        now, rows = self.times[t], len(to_context)
        # a row vector times a matrix: the other way round takes MKL seven times as long
        values = _first(self.given.values, rows).transpose(1, 2)
        to_alpha = torch.bmm(to_context.unsqueeze(1), values).squeeze(1)
        to_score = torch._softmax_backward_data(to_alpha, now.weights, 1, to_alpha.dtype)
        match = _first(self.match, rows)
        torch.add(_first(self.given.keys, rows), now.queries.unsqueeze(1), out=match)
        through = torch.ops.aten.threshold_backward(to_score.unsqueeze(2), match, 0)
        _first(self.to_keys, rows).add_(through)
        torch.sum(through, dim=1, out=to_queries)

    def gradients(self, words: Tensor) -> Recurrent:
        """The gradient of every input, after `run`."""
        given, trace = self.given, self.trace
        score = given.score_weight
        states = [_first(s, n) for s, n in zip(self._states_before(), self.steps, strict=True)]
        before = torch.cat(states) if states else trace.states
        to_query_weight = (self.to_queries.t() @ before) * score[:, None]
        # Sum of the scores' gradient times ReLU(match), without having kept the ReLU. The buffers
        # are used up in place: fresh memory costs more than the products do.
        to_score = torch.mul(self.to_keys, given.keys, out=self.match).sum((0, 1))
        to_score += self.to_queries.mul_(trace.queries).sum(0)
        return Recurrent(
            values=self._to_values(),
            keys=self.to_keys.mul_(score),
            word_gates=torch.ops.aten.embedding_dense_backward(
                self.to_gates, words, len(given.word_gates), -1, False
            ),
            hidden=self.to_hidden,
            cell=self.to_cell,
            query_weight=to_query_weight,
            state_weight=self.to_gates.t() @ before,
            context_weight=self.to_gates.t() @ trace.contexts,
            score_weight=to_score,
        )

    def _states_before(self) -> list[Tensor]:
        return [self.given.hidden, *(now.states for now in self.times[:-1])][: len(self.steps)]

    def _to_values(self) -> Tensor:
        """The sum over words of alpha times the attended feature's gradient: one product."""
        alphas = self._time_major(self.trace.weights)
        return torch.bmm(
            alphas.permute(1, 2, 0), self._time_major(self.to_contexts).transpose(0, 1)
        )

    def _time_major(self, packed: Tensor) -> Tensor:
        """Packed [N, n] -> [T, R, n], zero where a row has ended."""
        rows, times = len(self.given.values), len(self.steps)
        if len(packed) == rows * times:
            return packed.view(times, rows, packed.shape[1])
        grid = packed.new_zeros(times, rows, packed.shape[1])
        for part, moved in zip(grid, packed.split_with_sizes(self.steps), strict=True):
            part[: len(moved)] = moved
        return grid
