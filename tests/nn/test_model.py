"""VL-FAU as a whole: its settings, padding, inference and precision."""

import itertools

import pytest
import torch

from fauds.errors import UsageError
from fauds.nn.vlfau import vlfau_loss

from .helpers import AUS, batch, batch_of, captions, small_model

SWITCHES = list(itertools.product([True, False], repeat=3))


@pytest.mark.parametrize(("levels", "local", "whole"), SWITCHES)
def test_every_parameter_trains_with_any_switches_of_table_4(levels, local, whole):
    model = small_model(multi_level=levels, local_language=local, global_language=whole).train()
    images, local_tokens, global_tokens, labels = batch()
    output = model(batch_of(images, local_tokens, global_tokens))
    assert (output.local_logits is None) is not local
    assert (output.global_logits is None) is not whole
    losses = vlfau_loss(output, labels, torch.ones(AUS))
    losses["total"].backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []
    assert losses["total"].isfinite()
    assert (losses["lgen"] > 0) == local
    assert (losses["ggen"] > 0) == (losses["gau"] > 0) == whole
    restored = small_model(multi_level=levels, local_language=local, global_language=whole)
    restored.load_state_dict(model.state_dict())
    torch.testing.assert_close(restored.predict(images), model.eval().predict(images))


@pytest.mark.parametrize(
    "changes",
    [{"msc_pool": "after"}, {"feed_words": False}, {"begin": "zeros"}],
    ids=lambda changes: next(iter(changes)),
)
def test_every_parameter_trains_and_captions_are_written_with_other_choices(changes):
    model = small_model(**changes).train()
    images, local, whole, labels = batch()
    vlfau_loss(model(batch_of(images, local, whole)), labels, torch.ones(AUS))["total"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    tokens = model.eval().describe(images, max_words_local=4, max_words_global=5)
    assert tokens.local.shape[:2] == (2, AUS)
    assert tokens.local[..., 0].all() and tokens.global_[:, 0].all()
    if "begin" in changes:
        state = model.global_decoder.start(torch.randn(2, 4, 12), width=3)
        assert state.hidden.shape == state.cell.shape == (2, 3, 10)
        assert not state.hidden.any()


def test_an_unknown_choice_is_a_usage_error():
    with pytest.raises(UsageError, match="did you mean 'after'"):
        small_model(msc_pool="afterwards")
    with pytest.raises(UsageError, match="did you mean 'zeros'"):
        small_model(begin="zero")


def test_padding_does_not_change_the_outputs():
    model = small_model()
    images, local, whole, _ = batch()
    longer = torch.cat([local, torch.zeros_like(local)], dim=2)
    short, long = model(batch_of(images, local, whole)), model(batch_of(images, longer, whole))
    assert torch.equal(short.local_logits.logits, long.local_logits.logits)
    local[1, 2] = captions(1, words=5, seed=9)
    other = model(batch_of(images, local, whole))
    before, after = short.local_logits.padded(), other.local_logits.padded()
    shared = min(before.shape[1], after.shape[1])
    torch.testing.assert_close(before[:5, :shared], after[:5, :shared])
    torch.testing.assert_close(short.au_logits, other.au_logits)


def test_predict_needs_no_decoders_and_agrees_with_the_logits():
    model = small_model()
    images, local, whole, _ = batch()
    expected = model(batch_of(images, local, whole)).au_logits.softmax(-1)[..., 1]
    model.local_decoder = model.global_decoder = None
    torch.testing.assert_close(model.predict(images), expected)


def test_explain_returns_the_same_as_the_single_methods():
    model = small_model()
    images = batch()[0]
    outputs = model.explain(images, max_words_local=4, max_words_global=5)
    tokens = model.describe(images, max_words_local=4, max_words_global=5)
    assert torch.equal(outputs.scores, model.predict(images))
    assert torch.equal(outputs.features, model.embed(images))
    assert torch.equal(outputs.attention, model.attend(images))
    assert torch.equal(outputs.tokens.local, tokens.local)
    assert tokens.local.shape[:2] == (2, AUS)
    assert tokens.global_.shape[0] == 2
    assert outputs.attention.shape == (2, AUS, 2, 2)
    assert 0 <= outputs.attention.min() <= outputs.attention.max() <= 1


def test_hits_counts_words_among_the_k_most_probable():
    model = small_model()
    images, local, whole, _ = batch()
    words = model(batch_of(images, local, whole)).local_logits
    assert words.hits(k=11).all()
    greedy = words.logits.argmax(1) == words.targets
    assert torch.equal(words.hits(k=1), greedy)


@pytest.mark.parametrize("changes", [{}, {"feed_words": False, "begin": "zeros"}], ids=str)
def test_bfloat16_losses_are_close_to_float32(changes):
    model = small_model(**changes).train()
    images, local, whole, labels = batch()
    exact = vlfau_loss(model(batch_of(images, local, whole)), labels, torch.ones(AUS))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = vlfau_loss(model(batch_of(images, local, whole)), labels, torch.ones(AUS))
        outputs = model.eval().explain(images, max_words_local=4, max_words_global=4)
    rough["total"].backward()
    assert torch.isclose(exact["total"], rough["total"], rtol=0.02)
    assert outputs.scores.dtype == torch.float32
    assert outputs.tokens.local.shape == (2, AUS, 4)
