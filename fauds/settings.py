"""The typed settings that all runs have, and reading YAML files.

The settings of a model family are defined in the module of its network. Presets are read by
`fauds.nn.presets`.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fauds.errors import DataError, UsageError


class Settings(BaseModel):
    """The base class of all settings, which are immutable and reject unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneSettings(Settings):
    """The settings of the backbone, a timm model.

    Attributes:
        name: the name of the timm model.
        args: further arguments of ``timm.create_model``; those that would make timm load a file
            are not allowed.
        pretrained: whether to start from timm's pretrained weights, which are downloaded if they
            are not in its cache.
        weights: a safetensors file to start from, by an absolute path or a path relative to the
            preset; None for no file.
    """

    name: str
    args: dict[str, Any] = {}
    pretrained: bool = False
    weights: str | None = None

    @field_validator("args")
    @classmethod
    def _reject_files(cls, args: dict[str, Any]) -> dict[str, Any]:
        # The header of a weights file holds settings too, and must not make timm open other files.
        for name in sorted(args.keys() & {"checkpoint_path", "cache_dir"}):
            raise ValueError(
                f"{name} is not allowed here; name the weights file in backbone.weights"
            )
        return args


Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class ModelSettings(Settings):
    """The settings that all model families have; each family adds its own in a subclass.

    Attributes:
        image_size: the side length of the square input image in pixels.
        mean: the mean of the pixels, RGB, 0 to 1; by default that of ImageNet.
        std: the standard deviation of the pixels, RGB, 0 to 1; by default that of ImageNet.
    """

    image_size: int = Field(224, ge=1, le=4096)
    mean: tuple[Share, Share, Share] = (0.485, 0.456, 0.406)
    std: tuple[Spread, Spread, Spread] = (0.229, 0.224, 0.225)

    def untrained(self) -> Self:
        """Return the settings without initial weights, for a model whose weights are all loaded."""
        backbone = getattr(self, "backbone", None)
        if not isinstance(backbone, BackboneSettings):
            return self
        empty = backbone.model_copy(update={"pretrained": False, "weights": None})
        return self.model_copy(update={"backbone": empty})


class TrainingSettings(Settings):
    """The settings of training.

    The paper does not state the learning rates, the schedule, the clipping and the size of the
    cutout; their defaults are those of fauds.

    Attributes:
        epochs: the number of epochs.
        batch_size: the number of faces per step, over all processes.
        learning_rate: the learning rate after the warm-up.
        backbone_rate: a factor of the learning rate for the backbone.
        weight_decay: the weight decay of AdamW.
        betas: the betas of AdamW.
        warmup: the share of all steps in which the learning rate rises, 0 to 1.
        schedule: the schedule of the learning rate after the warm-up.
        accumulate: the number of micro-batches that each process divides its part of a batch
            into, to save memory; the step stays the same.
        ema: the decay of the moving average of the model's weights, which is then tested and
            saved; None for the weights themselves.
        gradient_clip: the largest norm of the gradient; None for no clipping.
        class_weights: the scaling of the class weights: "sum1" as in equation 9 of the paper, or
            "mean1" as is usual in the field.
        flip: whether to flip images horizontally at random.
        cutout: the side length of the erased square, as a share of that of the image, 0 to 1.
        cutout_chance: the share of images with an erased square, 0 to 1.
        seed: the seed of all random choices.
        workers: the number of processes that load images; None chooses it by the machine.
        device: "auto" for a GPU if there is one, or "cpu".
        precision: "auto" for bfloat16 on GPUs that support it and float32 elsewhere, "no" for
            float32, or "bf16" or "fp16".
        compile: whether to compile the backbone with torch.compile.
        validation_subjects: the number of subjects of the training part that select an epoch
            instead of being trained on.
        watch_test: whether to evaluate on the test part after each epoch and report the best
            epoch, as is common in publications.

    The headline figures are those of the last epoch. Figures of epochs selected by
    `validation_subjects` or `watch_test` are reported under their own names.
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
    """The settings of prediction on the test part, none of which the paper states.

    Attributes:
        batch_size: the number of faces per batch.
        beam_width: the number of hypotheses of beam search.
        length_penalty: the power of the number of words by which the log-probability of a
            hypothesis is divided, 0 to 1.
        max_words: the largest number of words in a description; None for that of the longest
            description in the captions.
        described: the largest number of frames per fold that get descriptions.
    """

    batch_size: int = Field(64, ge=1)
    beam_width: int = Field(3, ge=1, le=1000)
    length_penalty: float = Field(1.0, ge=0, le=1)
    max_words: int | None = Field(None, ge=1, le=10_000)
    described: int = Field(60, ge=0)


DESCRIPTION_SETTINGS = ("beam_width", "length_penalty", "max_words", "described")
"""The inference settings that matter only for models that write descriptions."""

M = TypeVar("M", bound=ModelSettings)


class RunSettings(Settings, Generic[M]):
    """All settings of a run.

    Attributes:
        description: the description of the preset, in words.
        model: the settings of the model, in the type of its family.
        training: the settings of training.
        inference: the settings of prediction.
    """

    description: str = ""
    model: M
    training: TrainingSettings = TrainingSettings()
    inference: InferenceSettings = InferenceSettings()

    def __reduce__(self) -> tuple[Any, ...]:
        # pydantic creates the type for a model family at run time, so that pickle cannot find it.
        return _restored, (type(self.model), self.model_dump())


def _restored(kind: type[ModelSettings], values: dict[str, Any]) -> RunSettings[Any]:
    return RunSettings[kind].model_validate(values)  # type: ignore[valid-type]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Raises:
        DataError: the file cannot be read, is not valid YAML, or contains something else. The
            message names the file and, for invalid YAML, the line.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"The file cannot be read: {error.strerror}.",
            where=path,
            hint="check that it exists and that you have permission to read it (ls -l)",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            "The file is not UTF-8 text.", where=path, hint="save it as UTF-8"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise DataError(
            f"The file is not valid YAML: {getattr(error, 'problem', error)}.",
            where=f"{path}{line}",
            hint="check the indentation and the brackets near this line",
        ) from error
    if not isinstance(value, dict):
        raise DataError(
            "The file must contain a mapping of keys to values.",
            where=path,
            hint="write lines such as name: value",
        )
    return value


def validation_error(
    model: type[Settings], error: ValidationError, source: object, usage: bool
) -> UsageError | DataError:
    """Return the error to raise if pydantic rejects values.

    Args:
        model: the type that the values were read into.
        error: the error of pydantic, of which the first problem is reported.
        source: the file or option that the values come from.
        usage: whether to return a UsageError instead of a DataError.

    Returns:
        An error that names the key, and suggests a similar one for an unknown key.
    """
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    what = f"{key}: {message}" if key else message
    hint = None
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        what = f"There is no setting {key!r}."
        hint = (f"did you mean {near[0]!r}? " if near else "") + f"choose from: {', '.join(known)}"
    return (UsageError if usage else DataError)(what, where=source, hint=hint)


def _known_keys(model: Any, location: tuple[int | str, ...]) -> list[str]:
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation
        candidates = getattr(annotation, "__args__", (annotation,))
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings with dotted keys, such as ``training.seed``, without descriptions.

    Args:
        settings: the settings as nested mappings.
        prefix: the text before each key.
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    flat.pop("description", None)
    return flat
