"""Image networks of timm (backbones), which return four feature stages or pooled features.

The module also has the layers that combine the four stages into one feature map.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

import huggingface_hub
import timm
import torch
import torch.nn.functional as F
from timm.models import FeatureInfo, PretrainedCfg
from torch import Tensor, nn

from fauds.errors import DataError, UsageError
from fauds.nn.layers import backbone_weights
from fauds.nn.layers.pyramid import FeaturePyramid
from fauds.nn.loaded_tensors import LoadedTensors
from fauds.registry import unknown_name_error

STAGES = 4

POOLS = ("before", "after")
"""When the stages are pooled to the size of the last stage: before or after their convolution."""


class TimmBackbone(nn.Module):
    """A timm network, with or without feature maps, into which weights files can be loaded.

    Args:
        name: a timm model name, with or without the tag of its pretrained weights.
        args: further arguments of ``timm.create_model``, such as ``embed_dim`` and ``depths``
            of a small Swin, or ``drop_path_rate``.
        features: the arguments of ``timm.create_model`` that choose between feature maps and pooled
            features.
        pretrained: whether to load the pretrained weights that timm has for this name.
        image_size: the side of the square input in pixels; passed to backbones with a fixed input
            size.

    Attributes:
        body: the timm network.

    Raises:
        UsageError: timm has no such network, or cannot build it with these arguments.
        DataError: the pretrained weights are not available.
    """

    def __init__(
        self,
        name: str,
        args: dict[str, Any] | None,
        features: dict[str, Any],
        pretrained: bool,
        image_size: int,
    ) -> None:
        super().__init__()
        _refuse_reserved(args)
        self._name, self._args, self._image_size = name, dict(args or {}), image_size
        self.body = create(name, {**self._args, **features}, pretrained, image_size)

    def load(self, tensors: Mapping[str, Tensor]) -> LoadedTensors:
        """Load weights of the same network, which fauds, timm or the network's authors saved.

        See `fauds.nn.layers.backbone_weights.fit` for the names that are understood, and for which
        tensors may be left over or missing.

        Args:
            tensors: the tensors of the weights file by name.

        Returns:
            Which tensors were used, and which were not.

        Raises:
            RuntimeError: the weights belong to another network.
        """
        # Only names and shapes are needed, for which the meta device allocates no memory.
        with torch.device("meta"):
            args = {**self._args, "num_classes": 0}
            network = create(self._name, args, False, self._image_size)
        convert = backbone_weights.converter(self._name)
        fitted = backbone_weights.fit(tensors, self.body, network, convert)
        self.body.load_state_dict(fitted.tensors, strict=False)
        return fitted.names


class Stages(TimmBackbone):
    """A timm backbone that returns the feature maps of all its stages, each as [B, C, H, W].

    The stages are those that timm returns by default: for example, the stem and four stages of a
    ResNet, or the four stages of a Swin. A plain vision transformer has three maps of one size, of
    its last three blocks. See `FourStages` for the arguments.

    Attributes:
        body: the timm network.
        channels: the number of channels of each stage.

    Raises:
        UsageError: timm has no such backbone, or it has no feature maps.
        DataError: the pretrained weights are not available.
    """

    def __init__(
        self, name: str, args: dict[str, Any] | None, pretrained: bool, image_size: int
    ) -> None:
        super().__init__(name, args, {"features_only": True}, pretrained, image_size)
        # nn.Module's attributes have the type Tensor or Module.
        self.channels: list[int] = cast(FeatureInfo, self.body.feature_info).channels()
        self._channels_last = str(getattr(self.body, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of the stages, [B, C_s, H_s, W_s], in the order of the network.

        Args:
            images: [B, 3, H, W], normalised.
        """
        stages: list[Tensor] = self.body(images)
        if self._channels_last:
            return [stage.permute(0, 3, 1, 2) for stage in stages]
        return list(stages)


class FourStages(TimmBackbone):
    """A timm backbone that returns four feature stages, each as [B, C, H, W].

    They are the last four stages of the backbone. A plain vision transformer (such as those of
    DINOv2, MAE, EVA-02 and CLIP) has feature maps of one size only. A `FeaturePyramid`, whose
    weights are always trained from scratch, then makes the four stages from the last map. Its
    class token and other prefix tokens are not used.

    Args:
        name: a timm model name, with or without the tag of its pretrained weights.
        args: further arguments of ``timm.create_model``, such as ``embed_dim`` and ``depths``
            of a small Swin, or ``drop_path_rate``.
        pretrained: whether to load the pretrained weights that timm has for this name.
        image_size: the side of the square input in pixels; passed to backbones with a fixed input
            size.
        last_only: whether to return the last stage alone. A pyramid then has no parameters, which
            would not be trained.

    Attributes:
        body: the timm network.
        pyramid: the layers that make four stages from one map; None if the backbone has four.
        channels: the number of channels of each stage.

    Raises:
        UsageError: timm has no such backbone, or its features form neither four stages nor one map.
        DataError: the pretrained weights are not available.
    """

    def __init__(
        self,
        name: str,
        args: dict[str, Any] | None = None,
        pretrained: bool = False,
        image_size: int = 224,
        last_only: bool = False,
    ) -> None:
        features = {"features_only": True, "out_indices": tuple(range(-STAGES, 0))}
        super().__init__(name, args, features, pretrained, image_size)
        # nn.Module's attributes have the type Tensor or Module.
        info = cast(FeatureInfo, self.body.feature_info)
        reductions, channels = info.reduction(), info.channels()
        self._stages = 1 if last_only else STAGES
        self.pyramid: FeaturePyramid | None = None
        if len(reductions) == STAGES and len(set(reductions)) == 1:
            self.pyramid = FeaturePyramid(channels[-1], reductions[-1], self._stages)
        elif len(reductions) != STAGES or sorted(set(reductions)) != list(reductions):
            raise _not_four_stages(name, f"its features have the strides {reductions}")
        self.channels: list[int] = (
            channels[-self._stages :] if self.pyramid is None else self.pyramid.channels
        )
        self.channels_last = str(getattr(self.body, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of the stages, from the largest map to the smallest.

        Each map is [B, C_s, H_s, W_s], with its own number of channels and size.

        Args:
            images: [B, 3, H, W], normalised.
        """
        stages: list[Tensor] = self.body(images)
        if self.channels_last:
            stages = [stage.permute(0, 3, 1, 2) for stage in stages]
        if self.pyramid is not None:
            return cast(list[Tensor], self.pyramid(stages[-1]))
        return stages[-self._stages :]


def create(name: str, args: dict[str, Any], pretrained: bool, image_size: int) -> nn.Module:
    """Return a timm network.

    Args:
        name: a timm model name, with or without the tag of its pretrained weights.
        args: further arguments of ``timm.create_model``.
        pretrained: whether to load the pretrained weights that timm has for this name.
        image_size: the side of the square input in pixels; passed to networks with a fixed input
            size.

    Raises:
        UsageError: timm has no such network, or cannot build it with these arguments.
        DataError: the pretrained weights are not available.
    """
    if _pretrained_config(name).fixed_input_size:
        args = {"img_size": image_size, **args}
    if pretrained:
        _check_reachable(name, args)
    try:
        return timm.create_model(name, pretrained=pretrained, **args)
    except Exception as error:  # errors of timm, its hub and its networks share no base class
        if pretrained and _is_about_weights(error):
            raise _no_weights(name, str(error) or type(error).__name__) from error
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, TypeError):
            shown = {key: value for key, value in args.items() if key not in _FEATURES}
            raise UsageError(
                f"timm cannot build {name!r} with the arguments {shown}: {error}",
                where="model.backbone.args",
                hint="correct these arguments of timm.create_model, or leave them out",
            ) from error
        if "features_only" in args:
            raise _not_four_stages(name, reason) from error
        raise UsageError(
            f"timm cannot build {name!r} with the arguments {args}: {reason}",
            where="model.backbone.args",
            hint="correct these arguments of timm.create_model, or choose another backbone",
        ) from error


def normalisation_of(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation by which a timm network's images are normalised.

    They belong to the pretrained weights: for example, those of CLIP differ from those of ImageNet.

    Args:
        name: a timm model name; without the tag of its pretrained weights, timm's default for this
            name counts.

    Returns:
        The mean and the standard deviation of the channels R, G and B, for pixels scaled to 0 to 1.

    Raises:
        UsageError: timm has no such network, or no weights with this tag.
    """
    config = _pretrained_config(name)
    return tuple(config.mean), tuple(config.std)


def _pretrained_config(name: str) -> PretrainedCfg:
    """Return what timm knows about the pretrained weights of a network.

    Args:
        name: a timm model name, with or without the tag of its pretrained weights.

    Raises:
        UsageError: timm has no such network, or no weights with this tag.
    """
    if ":" in name:  # With "hf-hub:" or "local-dir:" timm would read settings from other sources.
        raise UsageError(
            f"{name!r} is not the name of a timm backbone: it contains a colon.",
            where="model.backbone.name",
            hint="choose from timm.list_models(); to use weights from another source, give their "
            "file in model.backbone.weights",
        )
    if not timm.is_model(name):
        raise UsageError(
            f"timm has no backbone called {name!r}.",
            where="model.backbone.name",
            hint="list the names with timm.list_models('swin*'); the part after the dot is the tag "
            "of the pretrained weights",
        )
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        architecture, _, tag = name.partition(".")
        raise UsageError(
            f"timm has no pretrained weights {tag!r} of {architecture!r}.",
            where="model.backbone.name",
            hint=f"list them with timm.list_pretrained('{architecture}*')",
        ) from error
    return config or PretrainedCfg()


_FEATURES = ("features_only", "out_indices")
"""Arguments of ``timm.create_model`` that `FourStages` sets itself."""


def _refuse_reserved(args: dict[str, Any] | None) -> None:
    reserved = sorted({*_FEATURES, "num_classes", "model_name", "pretrained"} & (args or {}).keys())
    if reserved:
        raise UsageError(
            f"backbone.args must not contain {', '.join(reserved)}: fauds sets this itself.",
            where="model.backbone.args",
            hint=f"leave {', '.join(reserved)} out of backbone.args",
        )


class Pooled(TimmBackbone):
    """A timm backbone with its own pooling, which returns one feature vector for each image.

    These are the features that timm's classifier would read. Any timm backbone can be used, plain
    vision transformers included. See `FourStages` for the arguments.

    Attributes:
        body: the timm network.
        channels: d, the number of features.

    Raises:
        UsageError: timm has no such network, or cannot build it with these arguments.
        DataError: the pretrained weights are not available.
    """

    def __init__(
        self, name: str, args: dict[str, Any] | None, pretrained: bool, image_size: int
    ) -> None:
        super().__init__(name, args, {"num_classes": 0}, pretrained, image_size)
        # nn.Module's attributes have the type Tensor or Module.
        features = cast(int, self.body.num_features)
        self.channels = int(getattr(self.body, "head_hidden_size", features))

    def forward(self, images: Tensor) -> Tensor:
        """Return one pooled feature vector for each image, [B, d].

        Args:
            images: [B, 3, H, W], normalised.
        """
        features: Tensor = self.body(images)
        return features


def _is_about_weights(error: Exception) -> bool:
    """Return whether timm failed at loading pretrained weights, rather than at building a network.

    Args:
        error: the error that timm raised.
    """
    from_hub = type(error).__module__.split(".")[0] in {"huggingface_hub", "httpx", "requests"}
    return from_hub or isinstance(error, OSError) or "pretrained" in str(error).lower()


_WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
"""The names under which timm looks for weights on the Hugging Face hub, in this order."""

_PATIENCE = 10
"""How many seconds the Hugging Face hub may take to answer."""


def _check_reachable(name: str, args: Mapping[str, Any]) -> None:
    """Check that the pretrained weights are in the cache, or that the Hugging Face hub answers.

    timm itself would retry for minutes before it reports that there is no network.

    Args:
        name: a timm model name.
        args: the arguments of ``timm.create_model``.

    Raises:
        DataError: the weights are not in the cache, and the hub cannot be reached.
    """
    config = timm.get_pretrained_cfg(name)
    own_source = {"pretrained_cfg", "pretrained_cfg_overlay"} & args.keys()
    if own_source or config is None or not config.hf_hub_id:
        return  # A file, or a source that only timm knows: loading the weights tells.
    if any(_is_cached(config.hf_hub_id, file) for file in _WEIGHTS_FILES):
        return
    hub, cache = huggingface_hub.constants.ENDPOINT, huggingface_hub.constants.HF_HUB_CACHE
    try:
        huggingface_hub.get_session().head(hub, timeout=_PATIENCE)
    except Exception as error:  # its errors share no base class with those of older releases
        reason = f"not in {cache}, and {hub} cannot be reached: {error}"
        raise _no_weights(name, reason) from error


def _is_cached(repository: str, file: str) -> bool:
    return isinstance(huggingface_hub.try_to_load_from_cache(repository, file), str)


def _no_weights(name: str, reason: str) -> DataError:
    return DataError(
        f"The pretrained weights of {name!r} are not available ({reason.splitlines()[0]}).",
        where=name,
        hint="connect to the internet once (timm keeps a copy); or give a weights file: --set "
        "model.backbone.weights=PATH; or train from scratch: --set model.backbone.pretrained=false",
    )


def _not_four_stages(name: str, reason: str) -> UsageError:
    return UsageError(
        f"{name!r} is not a backbone with four feature stages, nor with one feature map of four "
        f"blocks or more ({reason}).",
        where="model.backbone.name",
        hint="choose a backbone with a feature pyramid, for example Swin, ConvNeXt or ResNet; or a "
        "plain vision transformer, for example vit_base_patch14_dinov2",
    )


class MultiScale(nn.Module):
    """Combines the four stages of a backbone into one feature map of the face, V.

    This is MSC, eq. 1 of the VL-FAU paper (ACM Multimedia 2024). The paper says only that four
    3 x 3 convolutions "learn and reshape" the stages. Here, each stage is average-pooled to the
    size of the last stage, normalised over its channels, then convolved. (A convolution with
    stride 8 instead of the pooling would read only a seventh of stage 1.) With `pool` "after",
    each stage is normalised and convolved at its full size, then pooled. The four results are
    concatenated and mapped to `dim` channels.

    Args:
        channels: the number of channels of each stage.
        dim: d, the number of channels of V.
        width: the number of channels after each convolution (four times 256 are the paper's 1024).
        norm: whether to apply a LayerNorm over the channels of each stage. The features that timm
            returns for a Swin lack Swin's final norm, and their values grow from stage to stage.
        pool: whether to pool the stages "before" or "after" the convolutions.

    Raises:
        UsageError: `pool` is neither "before" nor "after".
    """

    def __init__(
        self,
        channels: list[int],
        dim: int,
        width: int = 256,
        norm: bool = True,
        pool: Literal["before", "after"] = "before",
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise unknown_name_error("msc_pool option", pool, list(POOLS))
        self.pool = pool
        self.norms = nn.ModuleList(nn.LayerNorm(c) if norm else nn.Identity() for c in channels)
        self.convs = nn.ModuleList(nn.Conv2d(c, width, 3, padding=1) for c in channels)
        self.combine = nn.Linear(width * len(channels), dim)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Return the feature map V, [B, h, w, d], where (h, w) is the size of the last stage.

        Args:
            stages: the four stages [B, C_s, H_s, W_s].
        """
        size = (stages[-1].shape[-2], stages[-1].shape[-1])
        if self.pool == "before":
            stages = [F.adaptive_avg_pool2d(stage, size) for stage in stages]
        maps = [
            conv(_channel_norm(norm, stage))
            for stage, norm, conv in zip(stages, self.norms, self.convs, strict=True)
        ]
        if self.pool == "after":
            maps = [F.adaptive_avg_pool2d(stage, size) for stage in maps]
        combined: Tensor = self.combine(torch.cat(maps, dim=1).permute(0, 2, 3, 1))
        return combined


class LastStage(nn.Module):
    """Maps the last stage of a backbone to `dim` channels with one linear layer.

    It replaces `MultiScale` in the baseline of the VL-FAU paper's Table 4.

    Args:
        channels: the number of channels of each of the four stages.
        dim: the number of channels of the result.
        norm: whether to apply a LayerNorm over the channels first.
    """

    def __init__(self, channels: list[int], dim: int, norm: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels[-1]) if norm else nn.Identity()
        self.combine = nn.Linear(channels[-1], dim)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Return the feature map V, [B, h, w, d], of the last stage.

        Args:
            stages: the four stages [B, C_s, H_s, W_s]; only the last one is used.
        """
        combined: Tensor = self.combine(self.norm(stages[-1].permute(0, 2, 3, 1)))
        return combined


def _channel_norm(norm: nn.Module, maps: Tensor) -> Tensor:
    """Return feature maps [B, C, h, w] normalised over their channels.

    Args:
        norm: a layer that normalises the last axis, such as nn.LayerNorm.
        maps: the feature maps.
    """
    normed: Tensor = norm(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return normed
