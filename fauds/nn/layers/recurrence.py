"""The loop of the soft-attention LSTM over words, with a hand-written backward pass.

Automatic differentiation of the loop would compute, at every word, an outer product for the
gradient of the image features and another one for each weight. It would also keep the activations
of the attention, [R captions, P positions, k channels], at every word. Here, each of these
gradients is a single matrix product after the loop, only the [R, k] queries of the attention are
kept, and no time is spent on captions that have ended.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward


class LSTMInputs(NamedTuple):
    """Image features, initial states and weights of the LSTM that writes R captions.

    Symbols are those of eq. 4 and 5 of the VL-FAU paper (ACM Multimedia 2024). The gates are in
    the order input, forget, output, candidate.

    Attributes:
        values: the image features V for each caption, the longest caption first, [R, P, d].
        keys: the features projected for the attention, W^v V with bias, [R, P, k].
        word_gates: what each word of the vocabulary, when fed, adds to the gates, bias included,
            [V, 4h].
        hidden: the initial hidden state h0, [R, h].
        cell: the initial cell state c0, [R, h].
        query_weight: the weight of the hidden state in the attention, W^h, [k, h].
        state_weight: the weight of the previous hidden state in the gates, [4h, h].
        context_weight: the weight of the attended feature in the gates, [4h, d].
        score_weight: the weight that turns the attention's activations into scores, W^a, [k].
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


def run_lstm(inputs: LSTMInputs, words: Tensor, steps: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Run the LSTM with attention (VL-FAU paper, eq. 4 and 5) over all words of R captions.

    The N words of all captions are packed without padding; see `fauds.nn.layers.words.PackedWords`.

    Args:
        inputs: the image features, initial states and weights, all of one dtype.
        words: [N] long, the words that are fed, packed.
        steps: the number of captions that have a first word, a second word, and so on, which never
            increases; the sum is N.

    Returns:
        The hidden state after each word, [N, h], and the feature attended to, [N, d], packed like
        the words.
    """
    states, contexts = _LSTMFunction.apply(words, steps, *inputs)
    return states, contexts


@torch.no_grad()
def step_lstm(inputs: LSTMInputs, words: Tensor) -> tuple[Tensor, Tensor]:
    """Run the LSTM with attention (VL-FAU paper, eq. 4 and 5) for one word, without gradients.

    There are K captions so far for each of R rows of image features, as in a beam search.

    Args:
        inputs: as in `run_lstm`, except that hidden and cell are the states of the K captions,
            [R, K, h].
        words: [R, K] long, the word that is fed for each caption.

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
    input_gate, forget_gate, output_gate, candidate = gates.chunk(4, dim=1)
    gates[:, : -candidate.shape[1]].sigmoid_()
    cell = (forget_gate * cell).addcmul_(input_gate, _tanh_(candidate))
    hidden = _tanh_(cell.clone()).mul_(output_gate)
    return hidden.view_as(inputs.hidden), cell.view_as(inputs.cell)


_CACHE_SIZE = 2**19
"""The number of values that fit into the second-level cache of a CPU core."""


def _scores(keys: Tensor, queries: Tensor, weight: Tensor) -> Tensor:
    """Return the attention score of each position before the softmax, [R, K, P].

    The score is W^a ReLU(key + query), as in eq. 4 of the VL-FAU paper.

    Args:
        keys: the projected image features at P positions, [R, P, k].
        queries: the projected hidden states, [R, K, k].
        weight: W^a, [k].
    """
    keys, queries = keys.unsqueeze(1), queries.unsqueeze(2)
    scores = keys.new_empty(len(keys), queries.shape[1], keys.shape[2])
    # On a CPU, rows are processed in blocks that fit into the cache: the whole [R, K, P, k] would
    # be read from and written to memory three times.
    one_row = scores.shape[1] * scores.shape[2] * len(weight)
    rows = max(1, len(keys) if keys.is_cuda else _CACHE_SIZE // one_row)
    activations = keys.new_empty(min(rows, len(keys)), *scores.shape[1:], len(weight))
    parts = (torch.split(tensor, rows) for tensor in (keys, queries, scores))
    for block, query, block_scores in zip(*parts, strict=True):
        block_activations = torch.add(
            block, query, out=_first_rows(activations, len(block))
        ).relu_()
        torch.mv(block_activations.view(-1, len(weight)), weight, out=block_scores.view(-1))
    return scores


class _Trace(NamedTuple):
    """Results of the LSTM's forward pass that its backward pass needs.

    Each tensor has one row for each of the N words of all captions, packed without padding.
    """

    states: Tensor  # h
    cells: Tensor  # c
    squashed: Tensor  # tanh(c)
    gates: Tensor  # after the sigmoid or tanh
    contexts: Tensor  # attended features
    queries: Tensor  # W^h h
    weights: Tensor  # alpha [N, P]

    def by_time(self, steps: tuple[int, ...]) -> "list[_Trace]":
        # Splitting once saves indexing inside the loop, which costs as much as the small kernels.
        parts = (tensor.split_with_sizes(steps) for tensor in self)
        return [_Trace(*parts_at) for parts_at in zip(*parts, strict=True)]


class _Context(FunctionCtx):
    """The type of the autograd context, in which `forward` saves values for `backward`."""

    steps: tuple[int, ...]
    saved_tensors: tuple[Tensor, ...]


class _LSTMFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, words: Tensor, steps: tuple[int, ...], *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs = LSTMInputs(*tensors)
        h, d, k, p = (inputs.hidden.shape[1], inputs.values.shape[2], *inputs.keys.shape[:0:-1])
        sizes = (h, h, h, 4 * h, d, k, p)
        trace = _Trace(*(inputs.values.new_empty(sum(steps), size) for size in sizes))
        activations = torch.empty_like(inputs.keys)
        hidden, cell = inputs.hidden, inputs.cell
        for current, word in zip(trace.by_time(steps), words.split_with_sizes(steps), strict=True):
            _step(inputs, current, word, activations, hidden, cell)
            hidden, cell = current.states, current.cells
        ctx.steps = steps
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(words, *inputs, *trace)
        return trace.states, trace.contexts

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: _Context, grad_states: Tensor | None, grad_contexts: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        words, *saved = ctx.saved_tensors
        split = len(LSTMInputs._fields)
        backward_pass = _Backward(LSTMInputs(*saved[:split]), _Trace(*saved[split:]), ctx.steps)
        backward_pass.run(grad_states, grad_contexts)
        return None, None, *backward_pass.gradients(words)


def _split_by_time(gradient: Tensor | None, steps: tuple[int, ...]) -> Sequence[Tensor | None]:
    return [None] * len(steps) if gradient is None else gradient.split_with_sizes(steps)


def _first_rows(tensor: Tensor, rows: int) -> Tensor:
    return tensor if len(tensor) == rows else tensor[:rows]


def _tanh_(tensor: Tensor) -> Tensor:
    """Replace the values of a tensor by their tanh, and return the tensor."""
    # On CPUs, torch's tanh takes five times as long as its sigmoid.
    if tensor.is_cuda:
        return tensor.tanh_()
    return tensor.mul_(2).sigmoid_().mul_(2).sub_(1)


def _step(
    inputs: LSTMInputs,
    current: _Trace,
    word: Tensor,
    activations: Tensor,
    hidden: Tensor,
    cell: Tensor,
) -> None:
    """Run one step of the LSTM, for the captions that still have a word.

    Args:
        inputs: the image features and weights of R captions, the longest first.
        current: the tensors into which the results are written.
        word: [n] long, the word that is fed to each of the first n captions.
        activations: [R, P, k], memory for the attention's activations, which is overwritten.
        hidden, cell: the states before the step; rows after the first n are ignored.
    """
    rows, h = len(word), hidden.shape[1]
    hidden, cell, activations = (
        _first_rows(hidden, rows),
        _first_rows(cell, rows),
        _first_rows(activations, rows),
    )
    torch.mm(hidden, inputs.query_weight.t(), out=current.queries)
    torch.add(_first_rows(inputs.keys, rows), current.queries.unsqueeze(1), out=activations).relu_()
    scores = torch.mv(activations.flatten(0, 1), inputs.score_weight).view_as(current.weights)
    torch.softmax(scores, dim=1, out=current.weights)
    values = _first_rows(inputs.values, rows)
    torch.bmm(current.weights.unsqueeze(1), values, out=current.contexts.unsqueeze(1))
    torch.index_select(inputs.word_gates, 0, word, out=current.gates)
    current.gates.addmm_(hidden, inputs.state_weight.t())
    current.gates.addmm_(current.contexts, inputs.context_weight.t())
    input_gate, forget_gate, output_gate, candidate = current.gates.chunk(4, dim=1)
    current.gates[:, : 3 * h].sigmoid_()
    _tanh_(candidate)
    torch.mul(forget_gate, cell, out=current.cells).addcmul_(input_gate, candidate)
    _tanh_(current.squashed.copy_(current.cells))
    torch.mul(output_gate, current.squashed, out=current.states)


class _Backward:
    """The backward pass of the LSTM with attention.

    `run` goes through the words and accumulates gradients; then `gradients` computes the gradients
    of image features and weights as single matrix products.

    Args:
        inputs: the inputs of the forward pass.
        trace: the results that the forward pass saved.
        steps: the number of captions that have a first word, a second word, and so on.
    """

    def __init__(self, inputs: LSTMInputs, trace: _Trace, steps: tuple[int, ...]) -> None:
        self.inputs, self.trace, self.steps = inputs, trace, steps
        self.times = trace.by_time(steps)
        self.grad_hidden = torch.zeros_like(inputs.hidden)
        self.grad_cell = torch.zeros_like(inputs.cell)
        self.grad_keys = torch.zeros_like(inputs.keys)  # before W^a is multiplied in
        self.grad_gates = torch.empty_like(trace.gates)
        self.grad_queries = torch.empty_like(trace.queries)  # before W^a is multiplied in
        self.grad_contexts = torch.empty_like(trace.contexts)
        self.activations = torch.empty_like(inputs.keys)
        self.grad_activated = trace.gates.new_empty(len(inputs.hidden), trace.gates.shape[1])

    def run(self, grad_states: Tensor | None, grad_contexts: Tensor | None) -> None:
        """Accumulate gradients over all words of the captions, the last words first.

        Args:
            grad_states: the gradient with respect to the hidden states, [N, h]; None if it is zero.
            grad_contexts: the gradient with respect to the attended features, [N, d]; None if it
                is zero.
        """
        steps = self.steps
        query_weight = self.inputs.query_weight * self.inputs.score_weight[:, None]
        from_states, from_contexts = (
            _split_by_time(grad_states, steps),
            _split_by_time(grad_contexts, steps),
        )
        buffers = (self.grad_gates, self.grad_queries, self.grad_contexts)
        parts = [buffer.split_with_sizes(steps) for buffer in buffers]
        for t in range(len(steps) - 1, -1, -1):
            grad_gates, grad_queries, grad_context = (part[t] for part in parts)
            grad_hidden = _first_rows(self.grad_hidden, steps[t])
            if (from_state := from_states[t]) is not None:
                grad_hidden += from_state
            self._cell_step(t, grad_hidden, grad_gates)
            torch.mm(grad_gates, self.inputs.context_weight, out=grad_context)
            if (from_context := from_contexts[t]) is not None:
                grad_context += from_context
            self._attention_step(t, grad_context, grad_queries)
            torch.mm(grad_queries, query_weight, out=grad_hidden)
            grad_hidden.addmm_(grad_gates, self.inputs.state_weight)

    def _cell_step(self, t: int, grad_hidden: Tensor, grad_gates: Tensor) -> None:
        """Write the gradient with respect to the LSTM's gates before their sigmoid and tanh.

        This is the derivative of eq. 5 of the VL-FAU paper for one word.

        Args:
            t: the number of the word in its caption, from 0.
            grad_hidden: the gradient with respect to the hidden state after the word, [n, h].
            grad_gates: [n, 4h], the tensor into which the result is written.
        """
        current, rows = self.times[t], len(grad_hidden)
        h = grad_hidden.shape[1]
        previous_cell = _first_rows(self.times[t - 1].cells if t else self.inputs.cell, rows)
        input_gate, forget_gate, output_gate, candidate = current.gates.chunk(4, dim=1)
        grad_activated = _first_rows(self.grad_activated, rows)
        grad_input_gate, grad_forget_gate, grad_output_gate, grad_candidate = grad_activated.chunk(
            4, dim=1
        )
        grad_cell = _first_rows(self.grad_cell, rows)
        grad_cell += _tanh_backward(grad_hidden * output_gate, current.squashed)
        torch.mul(grad_cell, candidate, out=grad_input_gate)
        torch.mul(grad_cell, previous_cell, out=grad_forget_gate)
        torch.mul(grad_hidden, current.squashed, out=grad_output_gate)
        torch.mul(grad_cell, input_gate, out=grad_candidate)
        grad_cell *= forget_gate
        sigmoids = 3 * h
        _sigmoid_backward(
            grad_activated[:, :sigmoids],
            current.gates[:, :sigmoids],
            grad_input=grad_gates[:, :sigmoids],
        )
        _tanh_backward.grad_input(grad_candidate, candidate, grad_input=grad_gates[:, sigmoids:])

    def _attention_step(self, t: int, grad_context: Tensor, grad_queries: Tensor) -> None:
        """Write the gradient with respect to the queries of the attention, for one word.

        This is the derivative of eq. 4 of the VL-FAU paper. The method also adds to the gradient
        with respect to the keys. The gradient with respect to the image features is computed later,
        by `gradients`.

        Args:
            t: the number of the word in its caption, from 0.
            grad_context: the gradient with respect to the attended feature, [n, d].
            grad_queries: [n, k], the tensor into which the result is written.
        """
        current, rows = self.times[t], len(grad_context)
        # A row vector times a matrix: in the other order, MKL takes seven times as long.
        values = _first_rows(self.inputs.values, rows).transpose(1, 2)
        grad_alpha = torch.bmm(grad_context.unsqueeze(1), values).squeeze(1)
        grad_score = torch._softmax_backward_data(grad_alpha, current.weights, 1, grad_alpha.dtype)
        activations = _first_rows(self.activations, rows)
        torch.add(
            _first_rows(self.inputs.keys, rows), current.queries.unsqueeze(1), out=activations
        )
        grad_activations = torch.ops.aten.threshold_backward(
            grad_score.unsqueeze(2), activations, 0
        )
        _first_rows(self.grad_keys, rows).add_(grad_activations)
        torch.sum(grad_activations, dim=1, out=grad_queries)

    def gradients(self, words: Tensor) -> LSTMInputs:
        """Return the gradient of the loss with respect to each input; call `run` first.

        Args:
            words: [N] long, the words that were fed, packed.
        """
        inputs, trace = self.inputs, self.trace
        score = inputs.score_weight
        states = [_first_rows(s, n) for s, n in zip(self._states_before(), self.steps, strict=True)]
        previous_states = torch.cat(states) if states else trace.states
        grad_query_weight = (self.grad_queries.t() @ previous_states) * score[:, None]
        # The sum of the scores' gradient times the ReLU's output, which was not kept. The buffers
        # are overwritten: new memory costs more than the products.
        grad_score = torch.mul(self.grad_keys, inputs.keys, out=self.activations).sum((0, 1))
        grad_score += self.grad_queries.mul_(trace.queries).sum(0)
        return LSTMInputs(
            values=self._grad_values(),
            keys=self.grad_keys.mul_(score),
            word_gates=torch.ops.aten.embedding_dense_backward(
                self.grad_gates, words, len(inputs.word_gates), -1, False
            ),
            hidden=self.grad_hidden,
            cell=self.grad_cell,
            query_weight=grad_query_weight,
            state_weight=self.grad_gates.t() @ previous_states,
            context_weight=self.grad_gates.t() @ trace.contexts,
            score_weight=grad_score,
        )

    def _states_before(self) -> list[Tensor]:
        return [self.inputs.hidden, *(current.states for current in self.times[:-1])][
            : len(self.steps)
        ]

    def _grad_values(self) -> Tensor:
        """Return the gradient with respect to the image features, [R, P, d].

        The gradient is the sum over words of the attention weight times the gradient with respect
        to the attended feature.
        """
        alphas = self._time_major(self.trace.weights)
        return torch.bmm(
            alphas.permute(1, 2, 0), self._time_major(self.grad_contexts).transpose(0, 1)
        )

    def _time_major(self, packed: Tensor) -> Tensor:
        """Return values that are packed without padding, [N, n], on a padded grid [T, R, n].

        The first axis of the grid is the number of the word in its caption, the second the caption;
        the grid is zero where a caption has ended.
        """
        rows, times = len(self.inputs.values), len(self.steps)
        if len(packed) == rows * times:
            return packed.view(times, rows, packed.shape[1])
        grid = packed.new_zeros(times, rows, packed.shape[1])
        for part, values in zip(grid, packed.split_with_sizes(self.steps), strict=True):
            part[: len(values)] = values
        return grid
