"""AdamW, its learning rate schedule, and a moving average of the weights."""

import math

import torch
from torch import Tensor, nn

from fauds.nn.base import Model
from fauds.settings import TrainingSettings


def make_optimiser(model: Model, training: TrainingSettings) -> torch.optim.AdamW:
    """Return AdamW with one learning rate for the backbone and one for the rest of the model.

    Each parameter group has a key ``base``, its highest learning rate, which the trainer multiplies
    by the factor of `rate_at` at every step.
    """
    rates = {"backbone": training.learning_rate * training.backbone_rate}
    groups = [
        {"params": parameters, "base": rates.get(name, training.learning_rate)}
        for name, parameters in model.param_groups().items()
        if parameters
    ]
    return torch.optim.AdamW(
        groups,
        lr=training.learning_rate,
        betas=training.betas,
        weight_decay=training.weight_decay,
        fused=True,
    )


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
