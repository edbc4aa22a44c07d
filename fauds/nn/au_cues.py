"""AU cues: a classifier whose spatial attention learns to lie where a class's action units are.

Source: Belharbi et al., "Guided interpretable facial expression recognition via spatial action
unit cues" (FG 2024, arXiv:2402.00281). The action units (AUs) of each class are those of the
codebook in templates/facs.yaml. Only the class of an image and its landmarks are needed in
training, and neither to predict.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from fauds.errors import UsageError
from fauds.facs import AUS
from fauds.nn.base import Attends, Batch, Guided, Model, Need, Spec, TestOutputs
from fauds.nn.layers.au_map import au_map, codebook_table
from fauds.nn.layers.backbone import Stages
from fauds.nn.layers.class_maps import MapMethod, class_maps
from fauds.nn.layers.heads import class_counts, weighted_entropy
from fauds.nn.layers.map_agreement import agreement, au_regions, cosine
from fauds.nn.loaded_tensors import LoadedTensors
from fauds.settings import BackboneSettings, ModelSettings


class AUCuesSettings(ModelSettings):
    """The settings of the family "au-cues": a timm backbone, a linear layer, and the AU term.

    Attributes:
        backbone: the timm network and its weights.
        layer: l, the number of the layer, from 1, whose attention is aligned with AU maps; null for
            the last. A ResNet-50 has five: the stem and four stages.
        cue_weight: lambda, the weight of the AU term; 0 for training without it.
        explanation: how the maps of classes are made: "cam", "gradcam", "gradcam++" or "layercam";
            see `fauds.nn.layers.class_maps`. It does not change training.
        norm: whether the features of the last layer pass a LayerNorm over channels before they are
            averaged. timm returns those of Swin without Swin's final norm.
        dropout: the probability of dropout on the averaged features.
    """

    backbone: BackboneSettings
    layer: int | None = Field(None, ge=1)
    cue_weight: float = Field(9.0, ge=0)
    explanation: MapMethod = "cam"
    norm: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)


class AUCuesOutput(NamedTuple):
    """The outputs of the network for B images.

    Attributes:
        logits: the logits of C classes, [B, C].
        attention: the aligned layer's features, averaged over channels, T_l in the paper, [B, h,
            w].
        features: the features that the classes are predicted from, [B, K, h', w'].
    """

    logits: Tensor
    attention: Tensor
    features: Tensor


class AUCues(Model, Attends, Guided):
    """A classifier with an AU term: a timm backbone, averaged features and one linear layer.

    The AU term is lambda * (1 - cos(T_l, A)): T_l is the mean over channels of the features of
    layer l, and A the map of the AUs that the codebook gives the class of the image, at the
    resolution of T_l. Images whose class has no AUs (neutral, contempt), and images without
    landmarks, have no AU term.

    Args:
        stages: the backbone.
        spec: the task: C classes that exclude each other, with names that the codebook knows.
        settings: the other settings.

    Raises:
        UsageError: the backbone has no layer of this number, or a class is unknown to the codebook.
    """

    Settings = AUCuesSettings
    needs: frozenset[Need] = frozenset({"landmarks"})
    terms = ("entropy", "cue")
    benchmark = "synthetic-rafdb"
    control: ClassVar[tuple[str, ...]] = ("model.cue_weight=0",)

    def __init__(self, stages: Stages, spec: Spec, settings: AUCuesSettings) -> None:
        super().__init__()
        self.feature_layers = stages
        self.image_size = spec.image_size
        self.cue_weight, self.explanation = settings.cue_weight, settings.explanation
        self.layer = self._layer_index(stages, settings.layer)
        channels = stages.channels[-1]
        self.norm = nn.LayerNorm(channels) if settings.norm else nn.Identity()
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(channels, len(spec.names))
        self.codebook: Tensor
        self.register_buffer("codebook", codebook_table(spec.names))
        self.names = spec.names

    @staticmethod
    def _layer_index(stages: Stages, layer: int | None) -> int:
        count = len(stages.channels)
        if layer is not None and layer > count:
            raise UsageError(
                f"The backbone has {count} layers, but layer {layer} should be aligned.",
                where="model.layer",
                hint=f"set model.layer to a number from 1 to {count}, or to null for the last",
            )
        return count - 1 if layer is None else layer - 1

    @classmethod
    def build(cls, settings: AUCuesSettings, spec: Spec) -> "AUCues":
        """Return a new network for a task, with timm's pretrained weights if the settings say so.

        Args:
            settings: the architecture.
            spec: the classes to predict, and the size of the images.

        Raises:
            UsageError: the task is to predict action units, not classes that exclude each other; or
                the codebook does not know a class.
        """
        if spec.form != "multiclass":
            raise UsageError(
                "The family au-cues predicts classes of which each image has one, such as "
                "expressions, but this protocol is about action units.",
                where="model",
                hint="choose another model, for example vlfau or linear; or another --dataset, for "
                f"example {cls.benchmark}",
            )
        timm_model = settings.backbone
        pretrained = timm_model.pretrained and timm_model.weights is None
        stages = Stages(timm_model.name, timm_model.args, pretrained, spec.image_size)
        return cls(stages, spec, settings)

    @property
    def backbone(self) -> nn.Module:
        """The timm network that computes image features."""
        return self.feature_layers.body

    def load_backbone(self, tensors: Mapping[str, Tensor]) -> LoadedTensors:
        """Load weights into the timm network; see `fauds.nn.layers.backbone.TimmBackbone.load`.

        Args:
            tensors: the tensors of a weights file that fauds, timm or the network's authors saved.
        """
        return self.feature_layers.load(tensors)

    def forward(self, batch: Batch) -> AUCuesOutput:
        """Return the logits of classes, the attention of the aligned layer, and the features."""
        return self._encode(batch.images)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return the number of labelled images, and of those that have an AU term."""
        return {"entropy": class_counts(batch.labels), "cue": self._guided(batch).sum().float()}

    def loss(self, output: AUCuesOutput, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        """Return the class-weighted cross-entropy and the AU term, each summed over images.

        Args:
            output: the output of `forward`.
            batch: the batch that `output` belongs to.
            weights: the class weights [C].
        """
        entropy = weighted_entropy(output.logits, batch.labels, weights)
        if self.cue_weight == 0 or batch.landmarks is None:
            return {"entropy": entropy, "cue": torch.zeros_like(entropy)}
        attention = output.attention.float()
        cues = self._cues(batch, attention.shape[-1])
        distance = torch.where(self._guided(batch), 1 - cosine(attention, cues), 0)
        return {"entropy": entropy, "cue": self.cue_weight * distance.sum()}

    def scores(self, images: Tensor) -> Tensor:
        """Return the probability of each class, [B, C]."""
        return self._encode(images).logits.float().softmax(-1)

    def test_step(self, batch: Batch) -> TestOutputs:
        """Return the probabilities of classes, and how well maps agree with AU maps.

        The measures of each image are in the column of its class: "att_cos", "att_inside" and
        "att_pointing" of the attention of the aligned layer, and "cam_cos", "cam_inside" and
        "cam_pointing" of the map of its class; see `fauds.nn.layers.map_agreement.agreement`.
        """
        with torch.inference_mode():
            output = self._encode(batch.images)
            scores = output.logits.float().softmax(-1)
            if batch.landmarks is None:
                return TestOutputs(scores, {})
            classes = batch.labels.clamp(min=0)
            maps = self._class_maps(output.features)
            own = maps.gather(1, classes[:, None, None, None].expand(-1, 1, *maps.shape[2:]))
            active = self.codebook[classes][:, None]
            landmarks = batch.landmarks.float()
            regions = au_regions(landmarks, active, self.image_size, AUS)
            measures = {}
            for name, seen in (("att", output.attention.float()[:, None]), ("cam", own)):
                cues = self._cues(batch, seen.shape[-1])[:, None]
                for measure, values in agreement(seen, cues, regions).items():
                    values = torch.where(self._guided(batch), values[:, 0], torch.nan)
                    column = torch.full_like(scores, torch.nan)
                    measures[f"{name}_{measure}"] = column.scatter(
                        1, classes[:, None], values[:, None].to(column)
                    )
            return TestOutputs(scores, {}, measures)

    @torch.inference_mode()
    def attend(self, images: Tensor) -> Tensor:
        """Return the map of each class, [B, C, h, w], 0 or more; the scale has no meaning."""
        return self._class_maps(self._encode(images).features)

    @torch.inference_mode()
    def shared_attention(self, images: Tensor) -> Tensor:
        """Return the attention of the aligned layer, T_l in the paper, [B, h, w]."""
        return self._encode(images).attention

    def guides(self, landmarks: Tensor, size: int) -> Tensor:
        """Return the AU map of each class for each face, [B, C, size, size], 0 to 1."""
        faces, classes = len(landmarks), len(self.codebook)
        points = landmarks.repeat_interleave(classes, 0)
        maps = au_map(points, self.codebook.repeat(faces, 1), size, self.image_size)
        return torch.unflatten(maps, 0, (faces, classes))

    def _encode(self, images: Tensor) -> AUCuesOutput:
        layers = self.feature_layers(images)
        # A norm over channels, the last axis.
        last = self.norm(layers[-1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        logits = self.head(self.dropout(last.mean((2, 3))))
        return AUCuesOutput(logits, layers[self.layer].mean(1), last)

    def _class_maps(self, features: Tensor) -> Tensor:
        return class_maps(features.float(), self.head.weight.float(), self.explanation)

    def _guided(self, batch: Batch) -> Tensor:
        """Return whether each image has an AU term, bool [B].

        It needs a label, AUs of its class, and landmarks.
        """
        if batch.landmarks is None:
            return torch.zeros_like(batch.labels, dtype=torch.bool)
        return (batch.labels >= 0) & (self._cues(batch, 1)[:, 0, 0] > 0)

    def _cues(self, batch: Batch, size: int) -> Tensor:
        """Return the AU map of the class of each image, [B, size, size]."""
        landmarks = cast(Tensor, batch.landmarks).float()
        codebook = self.codebook
        if codebook.device != landmarks.device:
            # Counts are computed before the batch is moved, and must not wait for the model's GPU.
            codebook = codebook_table(self.names).to(landmarks.device)
        return au_map(landmarks, codebook[batch.labels.clamp(min=0)], size, self.image_size)
