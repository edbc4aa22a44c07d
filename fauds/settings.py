"""Model presets as typed settings, read from YAML with unknown keys forbidden.

Order of a run's settings: the defaults below, then the preset's YAML, then ``--set key=value``.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fauds import resources
from fauds.errors import DataError, UsageError
from fauds.registry import unknown


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneSettings(Settings):
    """The stem: any timm model with four feature levels.

    `weights` names a safetensors file, beside the preset or by absolute path; `pretrained` asks
    timm for its own (from its cache, or downloaded). `args` are further arguments of
    ``timm.create_model``, but none that would have timm load a file of its own accord.
    """

    name: str
    args: dict[str, Any] = {}
    pretrained: bool = False
    weights: str | None = None

    @field_validator("args")
    @classmethod
    def _names_no_file(cls, args: dict[str, Any]) -> dict[str, Any]:
        # A weights file's header holds settings too: it must not make timm open another file.
        for name in sorted(args.keys() & {"checkpoint_path", "cache_dir"}):
            raise ValueError(f"{name} is not allowed here; weights are named in backbone.weights")
        return args


Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class ModelSettings(Settings):
    """The architecture of VL-FAU; the paper's values are the defaults where it states them.

    `spatial_sigmoid`: eq. 3 writes none, CBAM, from which it comes, has one; ours is on.
    `msc_width`: channels of each stage's 3 x 3 convolution in eq. 1 (4 x 256 = 1024).
    `msc_pool`: whether stages are pooled to the last one's size before that convolution or after
    it. `reduction`: of the channel attention's MLP in eq. 2. `stage_norm`: normalise each stage's
    features before eq. 1, since the stages' scales differ. `feed_words`: the previous word's
    embedding enters the gates; eq. 5 as written has none, eq. 10 and 11 need it. `begin`: h0 and
    c0 are linear in the mean feature, or zero. `dropout`: before the decoders' readout;
    `head_dropout`: before the AU heads. `mean` and `std`: of the pixels, ImageNet's.
    """

    backbone: BackboneSettings
    image_size: int = Field(224, ge=1, le=4096)
    dim: int = Field(512, ge=1)
    hidden: int | None = Field(None, ge=1)
    embed_dim: int | None = Field(None, ge=1)
    attention_dim: int | None = Field(None, ge=1)
    msc_width: int = Field(256, ge=1)
    msc_pool: Literal["before", "after"] = "before"
    reduction: int = Field(16, ge=1)
    multi_level: bool = True
    local_language: bool = True
    global_language: bool = True
    spatial_sigmoid: bool = True
    stage_norm: bool = True
    feed_words: bool = True
    begin: Literal["mean", "zeros"] = "mean"
    dropout: float = Field(0.3, ge=0, lt=1)
    head_dropout: float = Field(0.0, ge=0, lt=1)
    mean: tuple[Share, Share, Share] = (0.485, 0.456, 0.406)
    std: tuple[Spread, Spread, Spread] = (0.229, 0.224, 0.225)


class TrainingSettings(Settings):
    """The recipe. Learning rates, schedule, clipping and cutout size are not in the paper: ours.

    `class_weights`: eq. 9 as written sums to 1; scaled to mean 1 is the field's practice.
    `backbone_rate` multiplies the learning rate for the stem. `cutout`: side of the square as a
    share of the image's, and `cutout_chance` the share of images that get one. `warmup`: share
    of all steps. `schedule`: what follows it. `batch_size`: faces a step, of all processes
    together. `accumulate`: passes that each process takes for its part of a batch, where that does
    not fit into memory; the step stays the same. `ema`: decay of the moving average of the
    weights, which is then what is tested and kept; null for the weights themselves.
    `gradient_clip`: largest norm, null for none. `precision`: auto is bfloat16 on a GPU that has
    it, and float32 elsewhere. `compile`: the backbone, by torch.compile. `validation_subjects`: so
    many of a training part's subjects are not trained on, but choose an epoch; `watch_test`: the
    test part chooses one too, as published practice often has it. Both stand beside the headline,
    which is the last epoch's, under their own names.
    """

    epochs: int = Field(15, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    backbone_rate: float = Field(1.0, ge=0)
    weight_decay: float = Field(5e-4, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    warmup: float = Field(0.05, ge=0, lt=1)
    schedule: Literal["cosine", "constant"] = "cosine"
    accumulate: int = Field(1, ge=1)
    ema: float | None = Field(None, gt=0, lt=1)
    gradient_clip: float | None = Field(1.0, gt=0)
    class_weights: Literal["mean1", "sum1"] = "mean1"
    flip: bool = True
    cutout: float = Field(0.25, ge=0, lt=1)
    cutout_chance: float = Field(0.5, ge=0, le=1)
    seed: int = Field(0, ge=0, lt=2**31)
    workers: int | None = Field(None, ge=0)
    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    compile: bool = False
    validation_subjects: int = Field(0, ge=0)
    watch_test: bool = False


class InferenceSettings(Settings):
    """Prediction on the test part; `described` caps how many frames a fold get descriptions.

    None of these is in the paper. `length_penalty`: a hypothesis scores its summed log-probability
    over its words to this power. `max_words`: where a description is cut; null for the length of
    the longest description there is.
    """

    batch_size: int = Field(64, ge=1)
    beam_width: int = Field(3, ge=1, le=1000)
    length_penalty: float = Field(1.0, ge=0, le=1)
    max_words: int | None = Field(None, ge=1, le=10_000)
    described: int = Field(60, ge=0)


class RunSettings(Settings):
    """Everything a run of the bench needs to know of the model, its training and inference."""

    description: str = ""
    model: ModelSettings
    training: TrainingSettings = TrainingSettings()
    inference: InferenceSettings = InferenceSettings()

    @model_validator(mode="after")
    def _languages_need_branches(self) -> "RunSettings":
        if self.model.local_language and not self.model.multi_level:
            raise ValueError("local_language needs multi_level: it reads the AU branches")
        return self


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file that holds a mapping; anything else is a DataError with file and line."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", where=path) from error
    except UnicodeDecodeError as error:
        raise DataError("The file is not text in UTF-8.", where=path) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise DataError(
            f"Not valid YAML: {getattr(error, 'problem', error)}.", where=f"{path}{line}"
        ) from error
    if not isinstance(value, dict):
        raise DataError("The file must hold a mapping of keys to values.", where=path)
    return value


def complaint(
    model: type[Settings], error: ValidationError, source: object, usage: bool
) -> UsageError | DataError:
    """Return what is wrong with the settings of a model: the key, and what was nearly meant."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    what = f"{key}: {said}" if key else said
    hint = None
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        what = f"There is no setting {key!r}."
        hint = (f"did you mean {near[0]!r}? " if near else "") + f"known: {', '.join(known)}"
    return (UsageError if usage else DataError)(what, where=source, hint=hint)


def _known_keys(model: Any, location: tuple[int | str, ...]) -> list[str]:
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation
        candidates = getattr(annotation, "__args__", (annotation,))
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)


def preset_path(model: str, preset: str) -> Path:
    """Return the YAML of a model's preset.

    Raises:
        UsageError: no such model or preset; what there is is listed.
    """
    models = resources.root("models")
    known = sorted(path.name for path in models.iterdir() if any(path.glob("*.yaml")))
    if model not in known:
        raise unknown("model", model, known)
    presets = sorted(path.stem for path in (models / model).glob("*.yaml"))
    if preset not in presets:
        raise unknown(f"preset of {model}", preset, presets)
    return models / model / f"{preset}.yaml"


def run_settings(model: str, preset: str, changes: tuple[str, ...] = ()) -> RunSettings:
    """Read a preset and apply ``key=value`` changes, keys dotted: ``training.epochs=3``.

    A preset may name another in ``base:``; its keys then lie over that one's.

    Raises:
        UsageError: a change is malformed or names no setting.
        DataError: the preset's file has a wrong or unknown key.
    """
    path = preset_path(model, preset)
    values = _with_base(path)
    try:
        settings = RunSettings.model_validate(values)
        if changes:
            for change in changes:
                _apply(values, change)
            settings = RunSettings.model_validate(values)
    except ValidationError as error:
        changed = bool(changes) and _valid(_with_base(path))
        raise complaint(RunSettings, error, "--set" if changed else path, usage=changed) from error
    return settings


def _valid(values: dict[str, Any]) -> bool:
    try:
        RunSettings.model_validate(values)
    except ValidationError:
        return False
    return True


def _with_base(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    base = values.pop("base", None)
    return values if base is None else _merge(_with_base(path.parent / f"{base}.yaml"), values)


def _merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _apply(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f"{change!r} is not key=value.", where="--set", hint="write training.epochs=3"
        )
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UsageError(f"{key!r} names no setting.", where="--set")
    try:
        values[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{text!r} is not a value.", where=f"--set {key}") from error
