"""Packing of captions."""

import torch

from fauds.nn.layers.words import pack_words

from .helpers import captions


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
