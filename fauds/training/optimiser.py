"""AdamW with its learning rate over time, and the moving average of the weights."""

import math

import torch
from torch import Tensor, nn

from fauds.nn.base import Model
from fauds.settings import TrainingSettings


def optimiser(model: Model, training: TrainingSettings) -> torch.optim.AdamW:
    """Return AdamW over the backbone and the rest; ``base`` is each group's full rate."""
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
    """Return the learning rate's factor: linear warm-up, then half a cosine down to 0, or 1."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class Average:
    """An exponential moving average of a model's weights.

    After n steps the decay is min(decay, (1 + n) / (10 + n)), so that the first weights, which are
    random, do not linger. Buffers and whole numbers are taken as they are.

    Args:
        decay: 0 to 1, for example 0.999.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._learnt = {name for name, _ in model.named_parameters()}
        self.steps = 0
        self.weights = {name: t.detach().clone() for name, t in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's weights after a step."""
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        now = self._model.state_dict()
        learnt = [name for name in self.weights if name in self._learnt]
        torch._foreach_lerp_(
            [self.weights[name] for name in learnt], [now[name] for name in learnt], 1 - decay
        )
        self.take_buffers()

    @torch.no_grad()
    def take_buffers(self) -> None:
        """Take what is not learnt as it is now."""
        now = self._model.state_dict()
        for name in self.weights.keys() - self._learnt:
            self.weights[name].copy_(now[name])

    def restore(self, weights: dict[str, Tensor], steps: int) -> None:
        """Go on with an average that was saved."""
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)
        self.steps = steps
