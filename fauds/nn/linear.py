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
from fauds.settings import BackboneSettings, ModelSettings


class LinearSettings(ModelSettings):
    """The settings of the architecture.

    Attributes:
        backbone: the timm network and its weights.
        dropout: the probability of dropout on the pooled features.
    """

    backbone: BackboneSettings
    dropout: float = Field(0.0, ge=0, lt=1)


class Linear(Model):
    """A backbone with a linear layer over the target's names.

    Args:
        backbone: the network that returns features [B, d].
        spec: the task: two logits for each name if multilabel, one for each class if multiclass.
        dropout: the probability of dropout on the features.
    """

    Settings = LinearSettings
    terms = ("entropy",)

    def __init__(self, backbone: Pooled, spec: Spec, dropout: float = 0.0) -> None:
        super().__init__()
        self.multiclass = spec.form == "multiclass"
        self.pooled = backbone
        self.dropout = nn.Dropout(dropout)
        outputs = len(spec.names) * (1 if self.multiclass else AU_STATES)
        self.head = nn.Linear(backbone.channels, outputs)

    @classmethod
    def build(cls, settings: LinearSettings, spec: Spec) -> "Linear":
        """Return the network; see `Model.build`."""
        timm_model = settings.backbone
        pretrained = timm_model.pretrained and timm_model.weights is None
        pooled = Pooled(timm_model.name, timm_model.args, pretrained, spec.image_size)
        return cls(pooled, spec, settings.dropout)

    @property
    def backbone(self) -> nn.Module:
        """The timm network."""
        return self.pooled.body

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> None:
        """Load weights of the backbone, either of the whole network or of its `FourStages`."""
        self.pooled.load(tensors)

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits of images [B, 3, S, S]: multilabel [B, A, 2], multiclass [B, A]."""
        logits: Tensor = self.head(self.dropout(self.pooled(images)))
        return logits if self.multiclass else torch.unflatten(logits, -1, (-1, AU_STATES))

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of a batch; see `logits`."""
        return self.logits(batch.images)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of coded labels."""
        return {"entropy": class_counts(batch.labels)}

    def loss(self, output: Tensor, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Return the class-weighted cross-entropy, summed over coded labels."""
        return {"entropy": weighted_entropy(output, batch.labels, weights)}

    def scores(self, images: Tensor) -> Tensor:
        """Return the probability of each name being active, or of each class [B, A]."""
        probabilities = torch.softmax(self.logits(images).float(), dim=-1)
        return probabilities if self.multiclass else probabilities[..., 1]
