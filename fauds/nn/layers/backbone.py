"""timm backbones: four feature stages and their combination, or pooled features."""

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

import timm
import torch
import torch.nn.functional as F
from timm.models import FeatureInfo
from torch import Tensor, nn

from fauds.errors import DataError, UsageError
from fauds.registry import unknown

STAGES = 4

POOLS = ("before", "after")
"""When a stage can be pooled to the size of the last one: before its convolution or after it."""


class FourStages(nn.Module):
    """The last four feature stages of a timm backbone, all as [B, C, H, W].

    Args:
        name: a timm model name, with or without a weight tag.
        args: further arguments of ``timm.create_model``, such as ``embed_dim`` and ``depths``
            of a small Swin, or ``drop_path_rate``.
        pretrained: load the weights that timm's tag names.
        image_size: side of the square input in pixels; given to backbones that fix it.

    Attributes:
        body: the timm network.
        channels: channels of the four stages.

    Raises:
        UsageError: no such backbone, or one whose features do not form four stages.
        DataError: the pretrained weights cannot be had.
    """

    def __init__(
        self,
        name: str,
        args: dict[str, Any] | None = None,
        pretrained: bool = False,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        _refuse_reserved(args)
        features = {"features_only": True, "out_indices": tuple(range(-STAGES, 0))}
        self.body = create(name, {**(args or {}), **features}, pretrained, image_size)
        # nn.Module's attributes have the type Tensor or Module.
        info = cast(FeatureInfo, self.body.feature_info)
        reductions = info.reduction()
        if len(reductions) != STAGES or sorted(set(reductions)) != list(reductions):
            raise _not_four_stages(name, f"its features are at 1/{reductions} of the input")
        self.channels: list[int] = info.channels()
        self.channels_last = str(getattr(self.body, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W], normalised -> four maps [B, C_s, H_s, W_s], large to small."""
        stages: list[Tensor] = self.body(images)
        if self.channels_last:
            stages = [stage.permute(0, 3, 1, 2) for stage in stages]
        return stages


def create(name: str, args: dict[str, Any], pretrained: bool, image_size: int) -> nn.Module:
    """Return a timm network.

    Args:
        name: a timm model name, with or without a weight tag.
        args: further arguments of ``timm.create_model``.
        pretrained: load the weights that timm's tag names.
        image_size: side of the square input in pixels; given to networks that fix it.

    Raises:
        UsageError: timm has no such network, or not with these arguments.
        DataError: the pretrained weights are missing.
    """
    if ":" in name:  # "hf-hub:" and "local-dir:" would have timm read settings from elsewhere
        raise UsageError(
            f"{name!r} is not the name of a timm backbone: it has a colon",
            where="backbone",
            hint="take one of timm.list_models(); weights from elsewhere are a file, named in "
            "model.backbone.weights",
        )
    if not timm.is_model(name):
        raise UsageError(
            f"timm has no backbone called {name!r}",
            hint="timm.list_models('swin*') lists names; the part after the dot is a weight tag",
        )
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        args.setdefault("img_size", image_size)
    try:
        return timm.create_model(name, pretrained=pretrained, **args)
    except Exception as error:  # timm, its hub and the networks behind it share no base class
        if pretrained and _is_about_weights(error):
            raise _no_weights(name, error) from error
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, TypeError):
            shown = {key: value for key, value in args.items() if key not in _FEATURES}
            raise UsageError(f"timm cannot build {name!r} with {shown}: {error}") from error
        if "features_only" in args:
            raise _not_four_stages(name, why) from error
        raise UsageError(f"timm cannot build {name!r} with {args}: {why}") from error


_FEATURES = ("features_only", "out_indices")
"""Arguments that `FourStages` gives."""


def _refuse_reserved(args: dict[str, Any] | None) -> None:
    reserved = sorted({*_FEATURES, "num_classes", "model_name", "pretrained"} & (args or {}).keys())
    if reserved:
        raise UsageError(
            f"backbone.args cannot set {', '.join(reserved)}: the model decides it",
            where="backbone",
            hint=f"leave {', '.join(reserved)} out",
        )


class Pooled(nn.Module):
    """A whole timm backbone, its features pooled as the backbone's own classifier has them.

    Arguments as of `FourStages`; plain vision transformers are among the backbones.

    Attributes:
        body: the timm network.
        channels: d.

    Raises:
        UsageError, DataError: see `create`.
    """

    def __init__(
        self, name: str, args: dict[str, Any] | None, pretrained: bool, image_size: int
    ) -> None:
        super().__init__()
        _refuse_reserved(args)
        self.body = create(name, {**(args or {}), "num_classes": 0}, pretrained, image_size)
        # nn.Module's attributes have the type Tensor or Module.
        features = cast(int, self.body.num_features)
        self.channels = int(getattr(self.body, "head_hidden_size", features))

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], normalised -> features [B, d]."""
        features: Tensor = self.body(images)
        return features

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load weights of this network, or those that `FourStages` has of it.

        timm names stages otherwise where it gives their features (layers_0 for layers.0), and
        leaves out what follows the last one: those parameters then stay as they begin.

        Raises:
            RuntimeError: they are another network's.
        """
        own = self.body.state_dict().keys()
        renamed = {_STAGE.sub(r"\1.\2.", name): tensor for name, tensor in tensors.items()}
        chosen = renamed if renamed.keys() <= own else dict(tensors)
        missing, unknown_names = self.body.load_state_dict(chosen, strict=False)
        foreign = [*unknown_names, *(name for name in missing if not name.startswith(_AFTER))]
        if foreign:
            raise RuntimeError(f"not in both: {', '.join(foreign[:3])}")


_STAGE = re.compile(r"^(layers|stages|blocks)_(\d+)\.")
_AFTER = ("norm.", "head.", "fc_norm.")
"""What follows the last stage in timm's networks."""


def _is_about_weights(error: Exception) -> bool:
    """Whether the weights, and not the architecture, failed: a network, hub or file error."""
    hub = type(error).__module__.split(".")[0] in {"huggingface_hub", "httpx", "requests"}
    return hub or isinstance(error, OSError) or "pretrained" in str(error).lower()


def _no_weights(name: str, error: Exception) -> DataError:
    why = (str(error) or type(error).__name__).splitlines()[0]
    return DataError(
        f"The pretrained weights of {name!r} cannot be had ({why}).",
        where=name,
        hint="connect to the internet once (timm keeps a copy); or name timm's weight file: "
        "--set 'model.backbone.args={pretrained_cfg_overlay: {file: PATH}}'; or train from "
        "scratch: --set model.backbone.pretrained=false",
    )


def _not_four_stages(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name!r} is not a backbone with four feature stages ({why})",
        where="backbone",
        hint="take one with a feature pyramid: Swin, ConvNeXt or ResNet, for example",
    )


class MultiScale(nn.Module):
    """MSC: the four stages combined into the global facial representation V (paper, eq. 1).

    The paper says only that four 3 x 3 convolutions "learn and reshape" the stages. Ours: each
    stage is average-pooled to the size of the last one (a stride-8 kernel would read a seventh of
    stage 1), normalised over its channels, then convolved; or normalised and convolved as large
    as it is, then pooled (`pool`). The four are concatenated and mapped to `dim`.

    Args:
        channels: channels of the stages.
        dim: d, channels of V.
        width: channels after each convolution (256: four of them make the paper's 1024).
        norm: a LayerNorm over the channels of each stage. Swin's own last norm is not among
            timm's features, and its raw residual stream grows with depth.
        pool: "before" the convolutions, or "after" them.

    Raises:
        UsageError: no such `pool`.
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
            raise unknown("choice of msc_pool", pool, list(POOLS))
        self.pool = pool
        self.norms = nn.ModuleList(nn.LayerNorm(c) if norm else nn.Identity() for c in channels)
        self.convs = nn.ModuleList(nn.Conv2d(c, width, 3, padding=1) for c in channels)
        self.combine = nn.Linear(width * len(channels), dim)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Maps [B, C_s, H_s, W_s] -> V [B, h, w, d], (h, w) the last stage's size."""
        size = (stages[-1].shape[-2], stages[-1].shape[-1])
        if self.pool == "before":
            stages = [F.adaptive_avg_pool2d(stage, size) for stage in stages]
        maps = [
            conv(_channel_norm(norm, stage))
            for stage, norm, conv in zip(stages, self.norms, self.convs, strict=True)
        ]
        if self.pool == "after":
            maps = [F.adaptive_avg_pool2d(one, size) for one in maps]
        combined: Tensor = self.combine(torch.cat(maps, dim=1).permute(0, 2, 3, 1))
        return combined


class LastStage(nn.Module):
    """The baseline of the paper's Table 4: the last stage alone, one Linear to d."""

    def __init__(self, channels: list[int], dim: int, norm: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels[-1]) if norm else nn.Identity()
        self.combine = nn.Linear(channels[-1], dim)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Maps [B, C_s, H_s, W_s] -> V [B, h, w, d]."""
        combined: Tensor = self.combine(self.norm(stages[-1].permute(0, 2, 3, 1)))
        return combined


def _channel_norm(norm: nn.Module, maps: Tensor) -> Tensor:
    """Apply a last-dimension norm to [B, C, h, w]."""
    normed: Tensor = norm(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return normed
