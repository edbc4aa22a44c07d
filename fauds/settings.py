"""Typed settings that every run has, and reading YAML into typed models.

An unknown key is an error. What a model family has of its own stands beside its network; presets
are read in `fauds.nn.presets`.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fauds.errors import DataError, UsageError


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneSettings(Settings):
    """The backbone: a timm model.

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
    """What the settings of every model family have; each adds its own.

    `image_size`: side of the square input in pixels. `mean` and `std`: of the pixels, RGB, 0 to 1;
    ImageNet's unless set.
    """

    image_size: int = Field(224, ge=1, le=4096)
    mean: tuple[Share, Share, Share] = (0.485, 0.456, 0.406)
    std: tuple[Spread, Spread, Spread] = (0.229, 0.224, 0.225)

    def untrained(self) -> Self:
        """Return the same settings without weights to begin from: all come from one file."""
        backbone = getattr(self, "backbone", None)
        if not isinstance(backbone, BackboneSettings):
            return self
        empty = backbone.model_copy(update={"pretrained": False, "weights": None})
        return self.model_copy(update={"backbone": empty})


class TrainingSettings(Settings):
    """The recipe. Learning rates, schedule, clipping and cutout size are not in the paper: ours.

    `class_weights`: eq. 9 as written sums to 1; scaled to mean 1 is the field's practice.
    `backbone_rate` multiplies the learning rate for the backbone. `cutout`: side of the square as a
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


DESCRIBING = ("beam_width", "length_penalty", "max_words", "described")
"""The inference settings that only models use that write descriptions."""

M = TypeVar("M", bound=ModelSettings)


class RunSettings(Settings, Generic[M]):
    """All settings of a run: of the model, in its family's own type, of training and inference."""

    description: str = ""
    model: M
    training: TrainingSettings = TrainingSettings()
    inference: InferenceSettings = InferenceSettings()

    def __reduce__(self) -> tuple[Any, ...]:
        # A generic model's types are made where they are asked for: pickle does not find them.
        return _restored, (type(self.model), self.model_dump())


def _restored(kind: type[ModelSettings], values: dict[str, Any]) -> RunSettings[Any]:
    return RunSettings[kind].model_validate(values)  # type: ignore[valid-type]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file that holds a mapping; anything else is a DataError with file and line."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", where=path) from error
    except UnicodeDecodeError as error:
        raise DataError(
            "The file is not UTF-8 text.", where=path, hint="save it as UTF-8"
        ) from error
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


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings with dotted keys (``training.seed``), without the preset's description."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    flat.pop("description", None)
    return flat
