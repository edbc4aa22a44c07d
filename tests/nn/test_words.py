"""Packing of captions."""

import torch

from fauds.nn.layers.words import pack_words

from .helpers import batch_of, captions


def test_packing_keeps_every_word_once_and_in_order():
    tokens = captions(7, words=6)
    tokens[3] = 0
    packed = pack_words(tokens)
    assert packed.lengths.tolist() == (tokens[:, 1:] != 0).sum(1).tolist()
    assert sum(packed.steps) == len(packed.targets) == int(packed.lengths.sum())
    assert list(packed.steps) == sorted(packed.steps, reverse=True)
    for row in range(7):
        in_row, length = packed.rows == row, int(packed.lengths[row])
        assert packed.inputs[in_row].tolist() == tokens[row, :length].tolist()
        assert packed.targets[in_row].tolist() == tokens[row, 1 : length + 1].tolist()


def test_packing_rows_without_captions_gives_no_words():
    packed = pack_words(torch.zeros(3, 5, dtype=torch.long))
    assert packed.steps == ()
    assert packed.lengths.tolist() == [0, 0, 0]
    assert len(packed.targets) == len(packed.order) == 0


def test_a_packed_batch_has_the_words_of_its_own_captions():
    local, whole = captions(4, 3, words=5), captions(4, words=7, seed=2)
    batch = batch_of(torch.zeros(4, 3, 8, 8), local, whole)
    assert batch.local_words is None
    packed = batch.packed()
    for words, tokens in ((packed.local_words, local.flatten(0, 1)), (packed.global_words, whole)):
        expected = pack_words(tokens)
        assert words.steps == expected.steps
        for name in ("order", "inputs", "targets", "rows", "lengths"):
            assert torch.equal(getattr(words, name), getattr(expected, name)), name
    assert packed.packed().local_words is packed.local_words
    moved = packed.to(torch.device("cpu"))
    assert torch.equal(moved.global_words.targets, packed.global_words.targets)
    assert moved.global_words.steps == packed.global_words.steps
    assert torch.equal(moved.local, local)


def test_a_batch_without_captions_has_no_words():
    packed = batch_of(torch.zeros(2, 3, 8, 8)).packed()
    assert packed.local_words is packed.global_words is None
