"""The typed settings that all training runs have, and the reading of YAML files.

The settings that only one kind of model has are defined in the module of its network. Presets
(files with the settings of a run) are read by `fauds.nn.presets`.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fauds.errors import DataError, UsageError


class Settings(BaseModel):
    """The base class of all classes of settings, which are immutable and reject unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneSettings(Settings):
    """The settings of a model's backbone: the network, from timm, that computes image features.

    Attributes:
        name: the name of the timm model.
        args: further arguments for ``timm.create_model``; arguments that would make timm load a
            file are not allowed.
        pretrained: whether training starts from timm's pretrained weights, which are downloaded
            if timm's cache does not have them.
        weights: the path of a file whose weights training starts from: safetensors, or a file of
            torch.save, written by fauds, by timm or by the network's authors. It is absolute or
            relative to the preset (the file with these settings); None for no file.
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
AULoss = Literal["entropy", "asymmetric"]


class ModelSettings(Settings):
    """The settings that all kinds of models have; each kind adds its own in a subclass.

    Attributes:
        image_size: the side length of the square input image in pixels.
        mean: the mean of the pixel values, 0 to 1, in each of the channels R, G and B, which is
            subtracted from images.
        std: the standard deviation of the pixel values, 0 to 1, in each of the channels R, G and
            B, by which images are divided.

    `fauds.nn.presets.run_settings` replaces the defaults of `mean` and `std`, which are those of
    ImageNet, by timm's values for the backbone. All settings are saved with a run, so that these
    defaults count only for files in which they are missing.
    """

    image_size: int = Field(224, ge=1, le=4096)
    mean: tuple[Share, Share, Share] = (0.485, 0.456, 0.406)
    std: tuple[Spread, Spread, Spread] = (0.229, 0.224, 0.225)

    def untrained(self) -> Self:
        """Return a copy of these settings that names no weights for the backbone to start from.

        The copy is for building a model that then loads all of its weights from a file.
        """
        backbone = getattr(self, "backbone", None)
        if not isinstance(backbone, BackboneSettings):
            return self
        empty = backbone.model_copy(update={"pretrained": False, "weights": None})
        return self.model_copy(update={"backbone": empty})


class TrainingSettings(Settings):
    """The settings of training.

    The paper of the model VL-FAU ("Towards End-to-End Explainable Facial Action Unit Recognition
    via Vision-Language Joint Learning", ACM Multimedia 2024) does not state the learning rates, the
    schedule, the clipping and the size of the cutout; their defaults were chosen for fauds.

    Attributes:
        epochs: the number of times that training goes through all training frames, or through
            those of an epoch if `frame_step` is not 1.
        frame_step: n, to train on every n-th training frame in each epoch; successive epochs begin
            at successive frames, so that n epochs go through all of them. 1 for every frame.
        batch_size: the total number of faces per step in all processes.
        learning_rate: the learning rate after the warm-up.
        backbone_rate: the learning rate of the backbone, as a multiple of `learning_rate`.
        layer_decay: the learning rate of each layer of the backbone, as a multiple of that of the
            layer after it; the last layer's is this multiple of `backbone_rate`. 1 for the same
            rate in all layers.
        optimiser: "adamw", or "sgd": stochastic gradient descent with Nesterov's momentum.
        weight_decay: the weight decay of the optimiser.
        betas: the betas of AdamW.
        momentum: the momentum of SGD.
        warmup: the share of all steps, 0 to 1, at the start of training in which the learning
            rate rises from 0.
        schedule: how the learning rate changes after the warm-up: it falls along a "cosine" or
            stays "constant".
        accumulate: the number of micro-batches into which each process divides its share of a
            batch to save memory; the weights change once per batch all the same.
        ema: the decay of an exponential moving average of the model's weights. The average is
            tested and saved in place of the weights; None for no average.
        gradient_clip: the norm to which gradients with a larger norm are scaled; None for no
            clipping.
        class_weights: how the class weights in the loss, which are higher for rarer action units
            (AUs) or classes, are scaled: to the sum 1 ("sum1"), as in equation 9 of the VL-FAU
            paper, or to the mean 1 ("mean1"), as is usual in the field; "none" for equal weights of
            1.
        au_loss: the loss of AUs: "entropy", the class-weighted cross-entropy, or "asymmetric", the
            weighted asymmetric loss of ME-GraphAU (IJCAI 2022), in which an inactive AU counts
            by its predicted probability of being active. See `fauds.nn.layers.heads.focus`.
        loss_weights: the weight of each of the model's losses in their sum, by name; 1 for those
            that are not named, as in equation 12 of the VL-FAU paper. Logs show losses without it.
        flip: whether to flip images horizontally at random.
        cutout: the side length of the square that cutout erases from a training image, as a share
            of the side length of the image, 0 to 1.
        cutout_chance: the share of training images from which a square is erased, 0 to 1.
        colour_jitter: the largest relative change of the brightness, contrast and saturation of a
            training image, 0 to 1; 0 for no change. See `fauds.training.colour_jitter`.
        seed: the seed of all random choices.
        workers: the number of processes that load images; None for a number that suits the
            machine.
        device: "auto" for a GPU if there is one, or "cpu".
        precision: "no" for float32, "bf16" or "fp16" for mixed precision with bfloat16 or float16,
            or "auto" for "bf16" on GPUs that compute in bfloat16 without emulation and "no" on
            other devices.
        compile: whether to compile the backbone with torch.compile.
        validation_subjects: how many of each fold's training subjects are left out of training
            and used to select the best epoch.
        watch_test: whether to evaluate on the test subjects after each epoch, and report the
            results of the epoch that is best on the test subjects, as is common in publications.

    The main results of a run are those of the model after the last epoch. If `validation_subjects`
    or `watch_test` selects an epoch, the results of this epoch are reported in addition, under
    other names.
    """

    epochs: int = Field(15, ge=1)
    frame_step: int = Field(1, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    backbone_rate: float = Field(1.0, ge=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    optimiser: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(5e-4, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    momentum: Decay = 0.9
    warmup: float = Field(0.05, ge=0, lt=1)
    schedule: Literal["cosine", "constant"] = "cosine"
    accumulate: int = Field(1, ge=1)
    ema: float | None = Field(None, gt=0, lt=1)
    gradient_clip: float | None = Field(1.0, gt=0)
    class_weights: Literal["mean1", "sum1", "none"] = "mean1"
    au_loss: AULoss = "entropy"
    loss_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    flip: bool = True
    cutout: float = Field(0.25, ge=0, lt=1)
    cutout_chance: float = Field(0.5, ge=0, le=1)
    colour_jitter: float = Field(0.0, ge=0, le=1)
    seed: int = Field(0, ge=0, lt=2**31)
    workers: int | None = Field(None, ge=0)
    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    compile: bool = False
    validation_subjects: int = Field(0, ge=0)
    watch_test: bool = False


class InferenceSettings(Settings):
    """The settings of predicting the test frames of a fold, and of describing faces in words.

    The paper of the model VL-FAU ("Towards End-to-End Explainable Facial Action Unit Recognition
    via Vision-Language Joint Learning", ACM Multimedia 2024) states none of these settings.

    Attributes:
        batch_size: the number of faces per batch.
        flip: whether the probabilities of a face are the mean of those of its image and of the
            mirrored image, which takes twice the time. Descriptions and attention maps are those
            of the image alone.
        beam_width: the number of partial texts that beam search keeps at each word.
        length_penalty: an exponent p from 0 to 1. Beam search compares texts by their
            log-probability divided by the p-th power of their number of words.
        words: "consistent" for descriptions of the templates that assert exactly the predicted
            states of the AUs, of which the model chooses the most probable; "free" for those that
            the model writes word by word. It is about ``fauds explain``: a run's predictions and
            results always have the free descriptions, the model's own.
        max_words: the largest number of words in a generated description; None for the number in
            the longest description that the model is trained on.
        described: the largest number of test frames per fold for which descriptions are generated.
    """

    batch_size: int = Field(64, ge=1)
    flip: bool = False
    beam_width: int = Field(3, ge=1, le=1000)
    length_penalty: float = Field(1.0, ge=0, le=1)
    words: Literal["consistent", "free"] = "consistent"
    max_words: int | None = Field(None, ge=1, le=10_000)
    described: int = Field(60, ge=0)


DESCRIPTION_SETTINGS = ("beam_width", "length_penalty", "words", "max_words", "described")
"""The names of the inference settings that only models that describe faces in words use."""

M = TypeVar("M", bound=ModelSettings)


class RunSettings(Settings, Generic[M]):
    """All settings of a run; a preset is a YAML file with these keys.

    Attributes:
        description: what the preset is for, in words.
        model: the settings of the model, in the subclass of `ModelSettings` for its kind.
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
    """Return the content of a YAML file, which must be a mapping of keys to values.

    Raises:
        DataError: the file cannot be read, is not valid YAML, or contains no mapping. The message
            names the file and, for invalid YAML, the line.
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
    """Return the error to raise if pydantic rejects values in a file or an option of the user.

    Args:
        model: the class of settings that the values were validated against.
        error: the error that pydantic raised; only the first problem in it is reported.
        source: the file or option that the values come from.
        usage: whether to return a UsageError instead of a DataError.

    Returns:
        An error that names the key of the invalid value. For an unknown key, it lists the known
        keys and suggests a similar one.
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


ADDED_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "training": {
        "frame_step": 1,
        "layer_decay": 1.0,
        "au_loss": "entropy",
        "loss_weights": {},
        "colour_jitter": 0.0,
        "optimiser": "adamw",
        "momentum": 0.9,
    },
    "inference": {"flip": False, "words": "free"},
}
"""Settings that runs of older versions did not save, by section, with the value that stands for
what these versions did."""


def with_added_settings(saved: Any) -> Any:
    """Return saved settings, completed by those that fauds did not have yet when they were saved.

    Settings that all versions have are not filled in, so that incomplete settings stay incomplete.

    Args:
        saved: the settings of a run as nested mappings: by section ("model", "training",
            "inference"), then by name. What is no mapping is returned as it is.
    """
    if not isinstance(saved, Mapping):
        return saved
    return {
        section: {**ADDED_SETTINGS.get(section, {}), **values}
        if isinstance(values, Mapping)
        else values
        for section, values in saved.items()
    }


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one flat dictionary with dotted keys, such as ``training.seed``.

    The key ``description``, which holds a text and no setting, is left out.

    Args:
        settings: the settings as nested mappings.
        prefix: the text to put before each key, such as ``training.``.
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    flat.pop("description", None)
    return flat
