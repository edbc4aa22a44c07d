"""Linear: a timm backbone, its pooled features, and one linear layer.

The baseline that needs nothing but images and labels: no captions, no landmarks. It predicts
action units, each active or not, and classes that exclude each other.
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
    """The architecture. `dropout`: of the pooled features, probability."""

    backbone: BackboneSettings
    dropout: float = Field(0.0, ge=0, lt=1)


class Linear(Model):
    """A backbone with a linear layer over the target's names.

    Args:
        backbone: gives features [B, d].
        spec: what scores are given for. Multilabel: two logits a name; multiclass: one a class.
        dropout: of the features, probability.
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
        """Load the backbone's weights, of this network or of its four feature stages."""
        self.pooled.load(tensors)

    def logits(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] -> logits, multilabel [B, A, 2], multiclass [B, A]."""
        logits: Tensor = self.head(self.dropout(self.pooled(images)))
        return logits if self.multiclass else torch.unflatten(logits, -1, (-1, AU_STATES))

    def forward(self, batch: Batch) -> Tensor:
        """Return `logits`."""
        return self.logits(batch.images)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of coded labels."""
        return {"entropy": class_counts(batch.labels)}

    def loss(self, output: Tensor, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Return the class-weighted cross-entropy's sum over coded labels."""
        return {"entropy": weighted_entropy(output, batch.labels, weights)}

    def scores(self, images: Tensor) -> Tensor:
        """Return probabilities [B, A]: of being active, or of each class."""
        probabilities = torch.softmax(self.logits(images).float(), dim=-1)
        return probabilities if self.multiclass else probabilities[..., 1]
