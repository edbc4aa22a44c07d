"""An AU that is not coded, or a missing caption, takes part in no loss and affects no other AU."""

import pytest
import torch

from fauds.nn.vlfau import loss_counts, vlfau_loss

from .helpers import AUS, batch, batch_of, small_model

IMAGE, AU = 0, 1
OTHERS = [a for a in range(AUS) if a != AU]


def coded_batch():
    """Return a float64 batch in which every AU is coded and has a caption."""
    images, local, whole, labels = batch(dtype=torch.float64)
    labels[IMAGE, AU] = 1
    local[IMAGE, AU] = local[IMAGE, 0]
    return images, local, whole, labels


def output_and_gradients(images, local, whole, labels, counts):
    """Return the output for a batch, and the gradients of the losses that depend on labels."""
    model = small_model().double()
    output = model(batch_of(images, local, whole))
    losses = vlfau_loss(output, labels, torch.ones(AUS, dtype=torch.float64), counts)
    (losses["fau"] + losses["lgen"] + losses["gau"]).backward()
    parameters = model.named_parameters()
    return output, {name: p.grad for name, p in parameters if p.grad is not None}


@pytest.mark.parametrize("described", [True, False], ids=["with its text", "without its text"])
def test_an_au_that_is_not_coded_does_not_affect_the_others(described):
    images, local, whole, labels = coded_batch()
    # The counts of the fully coded batch are used for both: only they would differ.
    counts = loss_counts(labels, local, whole)
    coded, coded_gradients = output_and_gradients(images, local, whole, labels, counts)
    uncoded_labels, local_tokens = labels.clone(), local.clone()
    uncoded_labels[IMAGE, AU] = -1
    if not described:
        local_tokens[IMAGE, AU] = 0
    uncoded, uncoded_gradients = output_and_gradients(
        images, local_tokens, whole, uncoded_labels, counts
    )

    assert torch.equal(uncoded.au_logits, coded.au_logits)
    assert torch.equal(uncoded.global_au_logits, coded.global_au_logits)
    assert torch.equal(uncoded.global_logits.logits, coded.global_logits.logits)
    words = [output.local_logits.padded().unflatten(0, (-1, AUS)) for output in (coded, uncoded)]
    words[0][IMAGE, AU] = words[1][IMAGE, AU] = 0
    torch.testing.assert_close(*words, atol=1e-12, rtol=0)

    for name in coded_gradients:
        if name.startswith(("dair.", "heads.")):
            torch.testing.assert_close(
                uncoded_gradients[name][OTHERS],
                coded_gradients[name][OTHERS],
                atol=1e-12,
                rtol=1e-12,
            )
            assert not torch.allclose(
                uncoded_gradients[name][AU], coded_gradients[name][AU], rtol=1e-6, atol=0
            )
    rows = [
        of["global_head.linear.weight"].unflatten(0, (AUS, 2))
        for of in (coded_gradients, uncoded_gradients)
    ]
    assert torch.equal(rows[0][OTHERS], rows[1][OTHERS])


def test_the_gradients_without_an_au_and_of_this_au_alone_add_up():
    images, local, whole, labels = coded_batch()
    counts = loss_counts(labels, local, whole)
    rest, alone = labels.clone(), torch.full_like(labels, -1)
    rest[IMAGE, AU], alone[IMAGE, AU] = -1, labels[IMAGE, AU]
    everything, without, only = (
        output_and_gradients(images, local, whole, coded, counts)[1]
        for coded in (labels, rest, alone)
    )
    for name, gradient in everything.items():
        torch.testing.assert_close(without[name] + only[name], gradient, atol=1e-12, rtol=1e-9)


def test_an_au_that_is_not_coded_takes_part_in_no_loss():
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


def test_the_branch_of_an_au_that_is_never_coded_has_no_gradient():
    model = small_model(global_language=False).train()
    images, local, _, labels = batch()
    labels[:, 2] = -1
    local[:, 2] = 0
    vlfau_loss(model(batch_of(images, local)), labels, torch.ones(AUS))["total"].backward()
    for parameter in (*model.dair.parameters(), *model.heads.parameters()):
        assert not parameter.grad[2].any()
        assert parameter.grad[0].any()


@pytest.mark.parametrize("changes", [{}, {"feed_words": False, "begin": "zeros"}], ids=str)
def test_a_batch_without_labels_and_captions_has_losses_of_zero(changes):
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


def test_loss_counts_equal_the_numbers_of_labels_and_captions():
    _, local, whole, labels = batch(size=3)
    local[2, 0, 1:] = 0  # <bos> alone is not a caption
    whole[1] = 0
    pairs = [(b, a) for b in range(3) for a in range(AUS) if labels[b, a] >= 0]
    with_local = [(b, a) for b, a in pairs if local[b, a, 1:].any()]
    with_global = [(b, a) for b, a in pairs if whole[b].any()]
    assert len(pairs) > len(with_local) > 0
    counts = loss_counts(labels, local, whole)
    assert counts.dtype == torch.float32
    assert counts.tolist() == [len(pairs), len(with_local), 2, len(with_global)]
    assert loss_counts(labels).tolist() == [len(pairs), 0, 0, 0]
    assert loss_counts(labels, None, whole).tolist() == [len(pairs), 0, 2, len(with_global)]


@pytest.mark.parametrize("switches", [{}, {"local_language": False}, {"global_language": False}])
def test_counts_of_the_output_equal_counts_of_the_tokens(switches):
    model = small_model(**switches)
    images, local, whole, labels = batch(size=3)
    local[2, 0], whole[1] = 0, 0
    output = model(batch_of(images, local, whole))
    counts = loss_counts(labels, local, whole)
    from_output = vlfau_loss(output, labels, torch.ones(AUS))
    from_tokens = vlfau_loss(output, labels, torch.ones(AUS), counts)
    assert {k: v.item() for k, v in from_output.items()} == {
        k: v.item() for k, v in from_tokens.items()
    }


def test_the_losses_of_the_parts_of_a_batch_add_up():
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
