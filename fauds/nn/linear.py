"""Linear: a timm backbone with pooled features, and one linear layer.

This baseline needs only images and labels, no captions and no landmarks. It predicts action
units, each active or inactive, or classes that exclude each other.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from fauds.nn.base import Batch, Model, Spec
from fauds.nn.layers.backbone import Pooled
from fauds.nn.layers.heads import AU_STATES, class_counts, weighted_entropy
from fauds.nn.loaded_tensors import LoadedTensors
from fauds.settings import BackboneSettings, ModelSettings


class LinearSettings(ModelSettings):
    """The settings of the family "linear": a timm backbone and one linear layer.

    Attributes:
        backbone: the timm network and its weights.
        dropout: the probability of dropout on the pooled features.
    """

    backbone: BackboneSettings
    dropout: float = Field(0.0, ge=0, lt=1)


class Linear(Model):
    """A baseline: a timm backbone, and a linear layer that predicts action units or classes.

    Args:
        backbone: the network that returns pooled features [B, d].
        spec: the task. The linear layer has two outputs for each AU (inactive, active), or one for
            each class if classes exclude each other.
        dropout: the probability of dropout on the features.
    """

    Settings = LinearSettings
    terms = ("entropy",)
    au_losses = ("entropy", "asymmetric")

    def __init__(self, backbone: Pooled, spec: Spec, dropout: float = 0.0) -> None:
        super().__init__()
        self.multiclass = spec.form == "multiclass"
        self.pooled = backbone
        self.dropout = nn.Dropout(dropout)
        outputs = len(spec.names) * (1 if self.multiclass else AU_STATES)
        self.head = nn.Linear(backbone.channels, outputs)

    @classmethod
    def build(cls, settings: LinearSettings, spec: Spec) -> "Linear":
        """Return a new network for a task, with timm's pretrained weights if the settings say so.

        Args:
            settings: the timm network and the dropout.
            spec: the AUs or classes to predict, and the size of the images.
        """
        timm_model = settings.backbone
        pretrained = timm_model.pretrained and timm_model.weights is None
        pooled = Pooled(timm_model.name, timm_model.args, pretrained, spec.image_size)
        return cls(pooled, spec, settings.dropout)

    @property
    def backbone(self) -> nn.Module:
        """The timm network that computes image features."""
        return self.pooled.body

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> LoadedTensors:
        """Load weights into the timm network; see `Pooled.load`.

        Args:
            tensors: the tensors of a weights file that fauds, timm or the network's authors saved.
        """
        return self.pooled.load(tensors)

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits of images.

        Args:
            images: [B, 3, S, S], float and normalised.

        Returns:
            [B, A, 2], inactive and active, for A action units; or [B, A] for A classes that exclude
            each other.
        """
        logits: Tensor = self.head(self.dropout(self.pooled(images)))
        return logits if self.multiclass else torch.unflatten(logits, -1, (-1, AU_STATES))

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of AUs or classes for a batch; see `logits` for their shape."""
        return self.logits(batch.images)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of labels in the batch that are coded, under the name "entropy"."""
        return {"entropy": class_counts(batch.labels)}

    def loss(self, output: Tensor, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Return the class-weighted loss, summed over coded labels, under the name "entropy"."""
        return {"entropy": weighted_entropy(output, batch.labels, weights, self.au_loss)}

    def scores(self, images: Tensor) -> Tensor:
        """Return the probability that each AU is active, or that of each class: [B, A]."""
        probabilities = torch.softmax(self.logits(images).float(), dim=-1)
        return probabilities if self.multiclass else probabilities[..., 1]
