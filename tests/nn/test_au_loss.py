"""The weighted asymmetric loss of ME-GraphAU, which can replace the cross-entropy of AUs."""

import pytest
import torch

from fauds.errors import UsageError
from fauds.nn import MODELS
from fauds.nn.base import Model
from fauds.nn.layers.heads import weighted_entropy
from fauds.protocols import benchmark as protocols
from fauds.runs.plan import RunRequest, make_plan
from tests.nn.test_contract import batch_for, built

LOGITS = torch.tensor(
    [[[0.3, 1.1], [2.0, -1.0], [0.0, 0.4]], [[-0.7, 0.2], [0.1, 0.1], [3.0, -3.0]]]
)
LABELS = torch.tensor([[1, 0, 0], [0, -1, 1]])
WEIGHTS = torch.tensor([0.5, 1.5, 1.0])


def plain(logits, labels, weights):
    """Return the asymmetric loss term by term: its sum, and its gradient by the probabilities."""
    total, slopes = 0.0, torch.zeros(labels.shape)
    for row in range(len(labels)):
        for au, label in enumerate(labels[row].tolist()):
            p, weight = float(logits[row, au].softmax(0)[1]), float(weights[au])
            if label == 1:
                total -= weight * torch.tensor(p).log().item()
                slopes[row, au] = -weight / p
            elif label == 0:
                total -= weight * p * torch.tensor(1 - p).log().item()
                slopes[row, au] = weight * p / (1 - p)  # the factor p counts as a constant
    return total, slopes


def test_an_inactive_au_counts_by_its_predicted_probability_of_being_active():
    total, _ = plain(LOGITS, LABELS, WEIGHTS)
    loss = weighted_entropy(LOGITS, LABELS, WEIGHTS, "asymmetric")
    assert float(loss) == pytest.approx(total, rel=1e-5)
    assert total < float(weighted_entropy(LOGITS, LABELS, WEIGHTS))


def test_no_gradient_flows_through_the_factor_of_an_inactive_au():
    _, slopes = plain(LOGITS, LABELS, WEIGHTS)
    logits = LOGITS.clone().requires_grad_()
    weighted_entropy(logits, LABELS, WEIGHTS, "asymmetric").backward()
    p = LOGITS.softmax(-1)[..., 1]
    torch.testing.assert_close(logits.grad[..., 1], slopes * p * (1 - p))
    torch.testing.assert_close(logits.grad[..., 0], -slopes * p * (1 - p))


@pytest.mark.parametrize("name", [n for n in MODELS if "asymmetric" in MODELS[n].au_losses])
@torch.no_grad()
def test_every_family_that_predicts_aus_can_be_trained_with_either_loss(name):
    model, weights = built(name), WEIGHTS
    batch = batch_for(model)
    output = model(batch)
    entropies = model.loss(output, batch, weights)
    model.check_au_loss("asymmetric")
    model.au_loss = "asymmetric"
    losses = model.loss(output, batch, weights)
    logits = output if isinstance(output, torch.Tensor) else output.au_logits
    first = next(iter(losses))
    assert float(losses[first]) == pytest.approx(plain(logits, batch.labels, weights)[0], rel=1e-4)
    changed = {term for term in losses if not torch.equal(losses[term], entropies[term])}
    assert changed == ({"fau", "gau"} if name == "vlfau" else {"entropy"})
    if name == "vlfau":
        of_global = plain(output.global_au_logits, batch.labels, weights)[0]
        assert float(losses["gau"]) == pytest.approx(of_global, rel=1e-4)


def test_a_family_that_declares_no_other_loss_has_the_cross_entropy_only():
    class Older(Model):
        """A family of a package that was written before there was a choice."""

    Older.check_au_loss("entropy")
    with pytest.raises(UsageError, match="Older, cannot be trained with the AU loss") as caught:
        Older.check_au_loss("asymmetric")
    assert caught.value.hint == "choose from: entropy"


def test_a_protocol_of_classes_refuses_the_asymmetric_loss_before_anything_is_read(
    tmp_path, monkeypatch
):
    protocol = protocols.benchmark("synthetic")
    changes = ("training.au_loss=asymmetric",)
    assert make_plan(RunRequest("linear", changes=changes), protocol, tmp_path)

    class Exclusive(type(protocol.target)):
        form = "multiclass"

    classes = protocol.model_copy(update={"target": Exclusive(**protocol.target.model_dump())})
    with pytest.raises(UsageError, match="is about action units") as caught:
        make_plan(RunRequest("linear", changes=changes), classes, tmp_path)
    assert caught.value.where == "training.au_loss"
