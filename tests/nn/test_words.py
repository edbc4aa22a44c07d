"""Packing of captions."""

import pytest
import torch

from fauds.errors import UsageError
from fauds.nn.base import means
from fauds.nn.layers.words import UNK, WordLogits, pack_words
from fauds.nn.vlfau import VLFAUOutput, loss_sums

from .helpers import batch_of, captions, small_model


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


def test_decision_words_count_by_their_weight_in_the_mean_of_a_caption():
    tokens = captions(5, words=6)
    decides = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(3)) < 0.4
    packed = pack_words(tokens, decides)
    logits = torch.randn(len(packed.targets), 11, generator=torch.Generator().manual_seed(4))
    output = WordLogits(
        logits, packed.targets, packed.rows, packed.lengths, packed.decides, packed.decisions
    )
    expected = 0.0
    for row in range(5):
        length = int((tokens[row] != 0).sum()) - 1
        in_row = logits[packed.rows == row].log_softmax(dim=1)
        weights = [7.0 if decides[row, at + 1] else 1.0 for at in range(length)]
        entropy = [-float(in_row[at, tokens[row, at + 1]]) for at in range(length)]
        expected += sum(w * e for w, e in zip(weights, entropy, strict=True)) / sum(weights)
    none = torch.zeros(1, 1, 2)
    labels = torch.full((1, 1), -1)
    sums = loss_sums(
        VLFAUOutput(none, global_logits=output), labels, torch.ones(1), decision_weight=7.0
    )
    assert float(sums["ggen"]) == pytest.approx(expected, rel=1e-5)


def test_dropped_words_are_unknown_in_training_alone_and_never_the_start():
    model = small_model(word_dropout=0.5)
    packed = pack_words(captions(400, words=9))
    assert model._fed(packed) is packed
    fed = model.train()._fed(packed).inputs
    starts = packed.steps[0]
    assert torch.equal(fed[:starts], packed.inputs[:starts])
    changed = fed[starts:] != packed.inputs[starts:]
    assert 0.4 < float((fed[starts:] == UNK).float().mean()) < 0.65
    assert (fed[starts:][changed] == UNK).all()


def test_a_weight_of_a_loss_changes_the_total_alone_and_an_unknown_loss_is_refused():
    sums = {"a": torch.tensor(6.0), "b": torch.tensor(4.0)}
    counts = {"a": torch.tensor(2.0), "b": torch.tensor(4.0)}
    weighted = means(sums, counts, {"b": 10.0})
    assert {name: float(value) for name, value in weighted.items()} == {"a": 3, "b": 1, "total": 13}
    with pytest.raises(UsageError, match="no loss of the model named 'lge'"):
        small_model().check_loss_weights({"lge": 2.0})
