"""Beam search is greedy at width 1, never worse than greedy, and exhaustive if wide enough."""

import itertools

import pytest
import torch

from fauds.nn.layers import beam, recurrence
from fauds.nn.layers.beam import beam_search
from fauds.nn.layers.decoder import CaptionDecoder
from fauds.nn.layers.recurrence import LSTMInputs, run_lstm, step_lstm

BOS, EOS = 1, 2


def toy(vocab: int, seed: int = 0, rows: int = 6):
    """Return a decoder whose words differ clearly in probability, and image features."""
    torch.manual_seed(seed)
    decoder = CaptionDecoder(vocab, 8, 8, 8, 8).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(4)
    return decoder, torch.randn(rows, 4, 8)


def score(decoder, values, words, penalty):
    """Return the score of a caption for one row [1, P, d], feeding it word by word."""
    state, total, last = decoder.start(values), 0.0, BOS
    for word in words:
        logits, state = decoder.step(state, torch.tensor([[last]]))
        total += float(logits[0, 0].log_softmax(0)[word])
        last = word
    return total / len(words) ** penalty


def greedy(decoder, values, max_words):
    state, last, words = decoder.start(values), BOS, []
    while len(words) < max_words and last != EOS:
        logits, state = decoder.step(state, torch.tensor([[last]]))
        logits[..., [0, 1, 3]] = -torch.inf
        last = int(logits.argmax())
        words.append(last)
    return words


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_width_one_is_greedy_decoding(seed):
    decoder, values = toy(vocab=9, seed=seed)
    tokens, scores = beam_search(decoder, values, width=1, max_words=7)
    for row, (words, value) in enumerate(zip(tokens.tolist(), scores.tolist(), strict=True)):
        expected = greedy(decoder, values[row : row + 1], 7)
        assert [w for w in words if w] == expected
        assert value == pytest.approx(
            score(decoder, values[row : row + 1], expected, 1.0), abs=1e-4
        )


@torch.no_grad()
@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_wider_beam_never_scores_lower_than_greedy_decoding(seed, penalty):
    decoder, values = toy(vocab=12, seed=seed, rows=12)
    options = {"max_words": 9, "length_penalty": penalty}
    _, narrow = beam_search(decoder, values, width=1, **options)
    for width in (2, 3, 5):
        tokens, wide = beam_search(decoder, values, width=width, **options)
        assert (wide >= narrow - 1e-5).all()
        words = [w for w in tokens[0].tolist() if w]
        assert float(wide[0]) == pytest.approx(score(decoder, values[:1], words, penalty), abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_wider_than_the_number_of_captions_finds_the_best_one(penalty):
    vocab, longest = 7, 3
    decoder, values = toy(vocab, rows=3)
    tokens, scores = beam_search(
        decoder, values, width=60, max_words=longest, length_penalty=penalty
    )
    words = range(4, vocab)
    endings = [(*w, EOS) for n in range(longest) for w in itertools.product(words, repeat=n)]
    cut = list(itertools.product(words, repeat=longest))
    for row in range(3):
        one = values[row : row + 1]
        best = max(endings + cut, key=lambda h: score(decoder, one, h, penalty))
        assert tuple(w for w in tokens[row].tolist() if w) == best
        assert float(scores[row]) == pytest.approx(score(decoder, one, best, penalty), abs=1e-4)


@torch.no_grad()
def test_rows_are_independent_and_special_tokens_are_not_written():
    decoder, values = toy(vocab=9, rows=8)
    tokens, scores = beam_search(decoder, values, width=3, max_words=6)
    for row in range(8):
        alone, value = beam_search(decoder, values[row : row + 1], width=3, max_words=6)
        assert tokens[row, : alone.shape[1]].tolist() == alone[0].tolist()
        assert not tokens[row, alone.shape[1] :].any()
        assert float(value) == pytest.approx(float(scores[row]), abs=1e-5)
        words = tokens[row].tolist()
        end = words.index(EOS) + 1 if EOS in words else len(words)
        assert words[end:] == [0] * (len(words) - end)
        assert not {0, 1, 3} & set(words[:end])


@torch.no_grad()
def test_rows_that_end_early_do_not_disturb_the_others():
    decoder, values = toy(vocab=9, rows=12)
    tokens, _ = beam_search(decoder, values, width=2, max_words=12)
    lengths = (tokens != 0).sum(dim=1)
    assert len(set(lengths.tolist())) > 2
    for row in range(12):
        alone, _ = beam_search(decoder, values[row : row + 1], width=2, max_words=12)
        assert [w for w in alone[0].tolist() if w] == tokens[row, : lengths[row]].tolist()


@torch.no_grad()
@pytest.mark.parametrize("width", [1, 3])
def test_learning_one_word_late_which_rows_have_ended_does_not_change_captions(width, monkeypatch):
    decoder, values = toy(vocab=9, rows=40)
    expected, expected_scores = beam_search(decoder, values, width=width, max_words=12)
    steps = []
    real = decoder.step
    monkeypatch.setattr(decoder, "step", lambda *inputs: steps.append(1) or real(*inputs))
    monkeypatch.setattr(beam, "_flags_are_late", lambda device: True)
    tokens, scores = beam_search(decoder, values, width=width, max_words=12)
    longest = expected.shape[1]
    assert torch.equal(tokens[:, :longest], expected)
    assert not tokens[:, longest:].any()
    assert len(steps) <= longest + 1
    torch.testing.assert_close(scores, expected_scores)


@torch.no_grad()
@pytest.mark.parametrize("cached", [1, 40, 10**6])
def test_a_search_step_equals_a_step_of_the_training_loop(cached, monkeypatch):
    """The result does not depend on how many rows fit into the cache."""
    monkeypatch.setattr(recurrence, "_CACHE_SIZE", cached)
    torch.manual_seed(0)
    rows, width, places, d, h, k, vocab = 5, 3, 4, 6, 7, 8, 9
    values, keys = torch.randn(rows, places, d), torch.randn(rows, places, k)
    states = torch.randn(rows, width, h), torch.randn(rows, width, h)
    sizes = ((k, h), (4 * h, h), (4 * h, d), (k,))
    weights = [torch.randn(*size) for size in sizes]
    gates = torch.randn(vocab, 4 * h)
    words = torch.randint(0, vocab, (rows, width))
    inputs = LSTMInputs(values, keys, gates, *states, *weights)
    hidden, cell = step_lstm(inputs, words)
    next_hidden, _ = step_lstm(inputs._replace(hidden=hidden, cell=cell), words)
    for place in range(width):
        alone = LSTMInputs(values, keys, gates, *(s[:, place] for s in states), *weights)
        fed = words[:, place].repeat(2)
        expected, _ = run_lstm(alone, fed, (rows, rows))
        assert torch.allclose(hidden[:, place], expected[:rows], atol=1e-6)
        assert torch.allclose(next_hidden[:, place], expected[rows:], atol=1e-6)


def test_a_search_without_rows_returns_no_captions():
    decoder, _ = toy(vocab=9)
    tokens, scores = beam_search(decoder, torch.zeros(0, 4, 8), max_words=5)
    assert tokens.shape == (0, 0)
    assert scores.shape == (0,)
