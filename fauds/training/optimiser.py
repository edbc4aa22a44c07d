"""The optimiser, its learning rate schedule, and a moving average of the weights."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fauds.errors import UsageError
from fauds.nn.base import Model
from fauds.nn.layers.depths import layer_numbers
from fauds.settings import TrainingSettings


def make_optimiser(model: Model, training: TrainingSettings) -> torch.optim.Optimizer:
    """Return the optimiser, with one learning rate for the backbone and one for the other parts.

    With ``training.layer_decay``, each layer of the backbone has a rate of its own.

    Each parameter group has a key ``base``, its highest learning rate, which the trainer multiplies
    by the factor of `rate_at` at every step.

    Raises:
        UsageError: ``training.layer_decay`` is set, but the layers of the backbone are not known.
    """
    rates = {"backbone": training.learning_rate * training.backbone_rate}
    groups: list[dict[str, Any]] = []
    for name, parameters in model.param_groups().items():
        rate = rates.get(name, training.learning_rate)
        parts = [(1.0, parameters)]
        if name == "backbone" and training.layer_decay < 1:
            parts = _by_layer(model.backbone, parameters, training.layer_decay)
        groups += [{"params": part, "base": rate * factor} for factor, part in parts if part]
    if training.optimiser == "sgd":
        return torch.optim.SGD(
            groups,
            lr=training.learning_rate,
            momentum=training.momentum,
            nesterov=training.momentum > 0,
            weight_decay=training.weight_decay,
            foreach=True,
        )
    return torch.optim.AdamW(
        groups,
        lr=training.learning_rate,
        betas=training.betas,
        weight_decay=training.weight_decay,
        fused=True,
    )


def _by_layer(
    backbone: nn.Module | None, parameters: Sequence[nn.Parameter], decay: float
) -> list[tuple[float, list[nn.Parameter]]]:
    """Return the parameters of the backbone by layer, each with the factor of its learning rate.

    The factor of the last layer is `decay`, and that of every layer before it `decay` times that of
    the layer after it, as in BEiT and in the public code of MAE.

    Args:
        backbone: the backbone; None if the model has none.
        parameters: the trainable parameters of the group "backbone"; those that do not belong to a
            layer of the backbone have the factor 1.
        decay: the factor from a layer to the layer before it, 0 to 1.

    Raises:
        UsageError: the model has no backbone, or its layers are not known.
    """
    if backbone is None:
        raise UsageError(
            "The model has no backbone whose layers could have different learning rates.",
            where="training.layer_decay",
            hint="set training.layer_decay=1",
        )
    numbers = layer_numbers(backbone)
    layer_of = {id(parameter): numbers[name] for name, parameter in backbone.named_parameters()}
    above = max(numbers.values(), default=-1) + 1
    groups: dict[int, list[nn.Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(layer_of.get(id(parameter), above), []).append(parameter)
    return [(decay ** (above - layer), group) for layer, group in sorted(groups.items())]


def rate_at(step: int, steps: int, warmup: float, schedule: str = "cosine") -> float:
    """Return the factor, 0 to 1, by which the learning rate is multiplied at a step.

    The factor rises linearly to 1, then falls to 0 along half a cosine or stays at 1.

    Args:
        step: the number of the step, from 0.
        steps: the number of all steps.
        warmup: the share of all steps in which the factor rises, 0 to 1.
        schedule: "cosine" or "constant", for the steps after the warm-up.
    """
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class WeightAverage:
    """An exponential moving average of a model's weights.

    The decay, the share of the old average that an update keeps, is min(decay, (1 + n) / (10 + n))
    after n updates, so that the average quickly forgets the random initial weights. Buffers, such
    as the statistics of batch norm, are copied, not averaged.

    Args:
        model: the model that is trained.
        decay: the largest decay, 0 to 1, for example 0.999.

    Attributes:
        steps: the number of updates.
        weights: the averaged state dict.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._parameters = {name for name, _ in model.named_parameters()}
        self.steps = 0
        self.weights = {name: t.detach().clone() for name, t in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the model's present weights; call it after every step."""
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        current = self._model.state_dict()
        parameters = [name for name in self.weights if name in self._parameters]
        torch._foreach_lerp_(
            [self.weights[name] for name in parameters],
            [current[name] for name in parameters],
            1 - decay,
        )
        self.take_buffers()

    @torch.no_grad()
    def take_buffers(self) -> None:
        """Copy the model's buffers, such as batch norm statistics, which are not averaged."""
        current = self._model.state_dict()
        for name in self.weights.keys() - self._parameters:
            self.weights[name].copy_(current[name])

    def restore(self, weights: dict[str, Tensor], steps: int) -> None:
        """Replace the average by a saved one, for a resumed training.

        Args:
            weights: the averaged state dict that was saved.
            steps: the number of updates that the saved average had.
        """
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)
        self.steps = steps
