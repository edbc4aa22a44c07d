"""What is not coded or not described takes part in nothing, and changes nothing for the rest."""

import pytest
import torch

from fauds.nn.vlfau import loss_counts, vlfau_loss

from .helpers import AUS, batch, batch_of, small_model

IMAGE, AU = 0, 1
OTHERS = [a for a in range(AUS) if a != AU]


def coded_batch():
    """A float64 batch in which all is coded and described."""
    images, local, whole, labels = batch(dtype=torch.float64)
    labels[IMAGE, AU] = 1
    local[IMAGE, AU] = local[IMAGE, 0]
    return images, local, whole, labels


def learnt(images, local, whole, labels, counts):
    """The model's output for a batch, and the gradients of the losses that labels take part in."""
    model = small_model().double()
    output = model(batch_of(images, local, whole))
    losses = vlfau_loss(output, labels, torch.ones(AUS, dtype=torch.float64), counts)
    (losses["fau"] + losses["lgen"] + losses["gau"]).backward()
    parameters = model.named_parameters()
    return output, {name: p.grad for name, p in parameters if p.grad is not None}


@pytest.mark.parametrize("described", [True, False], ids=["with its text", "without its text"])
def test_a_null_au_changes_nothing_for_the_others(described):
    images, local, whole, labels = coded_batch()
    counts = loss_counts(labels, local, whole)  # those of the whole batch: they alone may differ
    known, of_known = learnt(images, local, whole, labels, counts)
    missing, text = labels.clone(), local.clone()
    missing[IMAGE, AU] = -1
    if not described:
        text[IMAGE, AU] = 0
    null, of_null = learnt(images, text, whole, missing, counts)

    assert torch.equal(null.au_logits, known.au_logits)
    assert torch.equal(null.global_au_logits, known.global_au_logits)
    assert torch.equal(null.global_logits.logits, known.global_logits.logits)
    words = [output.local_logits.padded().unflatten(0, (-1, AUS)) for output in (known, null)]
    words[0][IMAGE, AU] = words[1][IMAGE, AU] = 0
    torch.testing.assert_close(*words, atol=1e-12, rtol=0)

    for name in of_known:
        if name.startswith(("dair.", "heads.")):
            torch.testing.assert_close(
                of_null[name][OTHERS], of_known[name][OTHERS], atol=1e-12, rtol=1e-12
            )
            assert not torch.allclose(of_null[name][AU], of_known[name][AU], rtol=1e-6, atol=0)
    rows = [of["global_head.linear.weight"].unflatten(0, (AUS, 2)) for of in (of_known, of_null)]
    assert torch.equal(rows[0][OTHERS], rows[1][OTHERS])


def test_what_a_null_au_takes_away_is_its_own_share_of_every_gradient():
    images, local, whole, labels = coded_batch()
    counts = loss_counts(labels, local, whole)
    rest, alone = labels.clone(), torch.full_like(labels, -1)
    rest[IMAGE, AU], alone[IMAGE, AU] = -1, labels[IMAGE, AU]
    everything, without, only = (
        learnt(images, local, whole, coded, counts)[1] for coded in (labels, rest, alone)
    )
    for name, gradient in everything.items():
        torch.testing.assert_close(without[name] + only[name], gradient, atol=1e-12, rtol=1e-9)


def test_a_null_au_takes_part_in_no_loss():
    model = small_model()
    images, local, whole, labels = batch()
    labels[0, 1] = 1
    local[0, 1] = local[0, 0]
    known = vlfau_loss(model(batch_of(images, local, whole)), labels, torch.ones(AUS))
    labels[0, 1] = -1
    masked = vlfau_loss(model(batch_of(images, local, whole)), labels, torch.ones(AUS))
    local[0, 1] = 0
    absent = vlfau_loss(model(batch_of(images, local, whole)), labels, torch.ones(AUS))
    for name, value in masked.items():
        torch.testing.assert_close(value, absent[name])
    assert known["fau"] != masked["fau"]
    assert known["lgen"] != masked["lgen"]
    assert known["ggen"] == masked["ggen"]


def test_a_null_au_sends_no_gradient_into_its_branch():
    model = small_model(global_language=False).train()
    images, local, _, labels = batch()
    labels[:, 2] = -1
    local[:, 2] = 0
    vlfau_loss(model(batch_of(images, local)), labels, torch.ones(AUS))["total"].backward()
    for parameter in (*model.dair.parameters(), *model.heads.parameters()):
        assert not parameter.grad[2].any()
        assert parameter.grad[0].any()


@pytest.mark.parametrize("changes", [{}, {"feed_words": False, "begin": "zeros"}], ids=str)
def test_nothing_to_learn_from_is_zero_and_not_nan(changes):
    model = small_model(**changes).train()
    images, local, whole, labels = batch()
    output = model(batch_of(images, torch.zeros_like(local), torch.zeros_like(whole)))
    losses = vlfau_loss(output, torch.full_like(labels, -1), torch.ones(AUS))
    assert {name: value.item() for name, value in losses.items()} == dict.fromkeys(losses, 0.0)
    losses["total"].backward()
    gradients = [p.grad for p in model.parameters()]
    assert len(gradients) > 10
    for gradient in gradients:
        assert gradient is not None and not gradient.any()


def test_counts_of_a_batch_are_counted_one_by_one():
    _, local, whole, labels = batch(size=3)
    local[2, 0, 1:] = 0  # begun and never written: no caption
    whole[1] = 0
    pairs = [(b, a) for b in range(3) for a in range(AUS) if labels[b, a] >= 0]
    told = [(b, a) for b, a in pairs if local[b, a, 1:].any()]
    seen = [(b, a) for b, a in pairs if whole[b].any()]
    assert len(pairs) > len(told) > 0
    found = loss_counts(labels, local, whole)
    assert found.dtype == torch.float32
    assert found.tolist() == [len(pairs), len(told), 2, len(seen)]
    assert loss_counts(labels).tolist() == [len(pairs), 0, 0, 0]
    assert loss_counts(labels, None, whole).tolist() == [len(pairs), 0, 2, len(seen)]


@pytest.mark.parametrize("switches", [{}, {"local_language": False}, {"global_language": False}])
def test_a_batch_counts_as_its_tokens_do(switches):
    model = small_model(**switches)
    images, local, whole, labels = batch(size=3)
    local[2, 0], whole[1] = 0, 0
    output = model(batch_of(images, local, whole))
    counts = loss_counts(labels, local, whole)
    own = vlfau_loss(output, labels, torch.ones(AUS))
    given = vlfau_loss(output, labels, torch.ones(AUS), counts)
    assert {k: v.item() for k, v in own.items()} == {k: v.item() for k, v in given.items()}


def test_parts_of_a_batch_add_up_to_the_whole():
    model = small_model()
    images, local, whole, labels = batch(size=4)
    whole[3] = 0
    weights = torch.tensor([0.5, 1.5, 1.0])
    together = vlfau_loss(model(batch_of(images, local, whole)), labels, weights)
    halves = slice(0, 2), slice(2, 4)
    counts = sum(loss_counts(labels[s], local[s], whole[s]) for s in halves) / 2
    parts = [
        vlfau_loss(model(batch_of(images[s], local[s], whole[s])), labels[s], weights, counts)[
            "total"
        ]
        for s in halves
    ]
    torch.testing.assert_close(sum(parts) / 2, together["total"])
