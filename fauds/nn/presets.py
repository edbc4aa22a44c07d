"""Presets: the settings of a model family, read from YAML and changed by the user.

The settings of a run are the family's defaults, overridden by the preset's YAML, which is
overridden by the user's ``key=value`` changes.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fauds import resources
from fauds.errors import UsageError
from fauds.nn import MODELS
from fauds.nn.base import Attends, Describes
from fauds.nn.layers.backbone import normalisation_of
from fauds.registry import unknown_name_error
from fauds.settings import (
    DESCRIPTION_SETTINGS,
    BackboneSettings,
    RunSettings,
    read_yaml,
    validation_error,
)


def folder(model: str) -> Path:
    """Return the folder with the presets, weights and model card of a model family.

    Raises:
        UsageError: there is no such model; the error lists the known models.
    """
    return MODELS[model].folder or resources.root("models") / model


def names(model: str) -> list[str]:
    """Return the names of a model family's presets (files of settings), sorted.

    Raises:
        UsageError: there is no such model; the error lists the known models.
    """
    return sorted(path.stem for path in folder(model).glob("*.yaml"))


def preset_path(model: str, preset: str) -> Path:
    """Return the path of a preset, the YAML file with the settings of a model and its training.

    Raises:
        UsageError: there is no such model or preset; the error lists the known names.
    """
    known = names(model)
    if preset not in known:
        raise unknown_name_error(f"preset of {model}", preset, known)
    return folder(model) / f"{preset}.yaml"


def settings_type(model: str) -> type[RunSettings[Any]]:
    """Return the class that holds the settings of a run (model, training, inference).

    Args:
        model: the name of the model family, whose own settings are the ``model:`` section.

    Raises:
        UsageError: there is no such model; the error lists the known models.
    """
    # mypy cannot check this type: the family is known only at run time.
    return RunSettings[MODELS[model].Settings]  # type: ignore[misc, return-value]


def run_settings(model: str, preset: str, changes: tuple[str, ...] = ()) -> RunSettings[Any]:
    """Return the settings of a run: those of a preset, with the user's changes.

    A preset is a YAML file. With ``base: NAME`` it starts from the settings of another preset of
    the same family, and its own keys override them.

    A weights file of the backbone that a change names by a relative path is looked up in the
    current folder first, then in the folder of the preset.

    Images are normalised by the mean and standard deviation that timm has for the weights of the
    backbone, unless the preset or a change states ``model.mean`` or ``model.std``. Those of a
    preset belong to its own backbone: they do not count if a change names another one.

    Args:
        model: the name of the model family.
        preset: the name of the preset.
        changes: ``key=value`` strings with dotted keys, such as ``training.epochs=3``.

    Raises:
        UsageError: a change is malformed, names no setting, or is about descriptions although the
            model family writes none.
        DataError: the preset's file has a wrong or unknown key.
    """
    path = preset_path(model, preset)
    settings_class = settings_type(model)
    values = _read_with_base(path)
    try:
        settings = preset_settings = settings_class.model_validate(values)
        if changes:
            for change in changes:
                _apply_change(values, change)
            settings = settings_class.model_validate(values)
        if weights := _weights_here(settings, preset_settings):
            values["model"]["backbone"]["weights"] = weights
        values.get("model", {}).update(_normalisation(settings, preset_settings, changes))
        settings = settings_class.model_validate(values)
    except ValidationError as error:
        changed = bool(changes) and _is_valid(settings_class, _read_with_base(path))
        raise validation_error(
            settings_class, error, "--set" if changed else path, usage=changed
        ) from error
    _refuse_unused(model, changes)
    return settings


def _weights_here(settings: RunSettings[Any], preset: RunSettings[Any]) -> str | None:
    """Return the absolute path of a backbone's weights file that a user's change names.

    Args:
        settings: the settings with the user's changes.
        preset: the settings of the preset.

    Returns:
        None if the user names no file, or if the current folder has no such file.
    """
    backbone = getattr(settings.model, "backbone", None)
    if not isinstance(backbone, BackboneSettings) or backbone.weights is None:
        return None
    path = Path(backbone.weights).expanduser()
    changed = backbone.weights != preset.model.backbone.weights
    return str(path.resolve()) if changed and path.is_file() else None


def _normalisation(
    settings: RunSettings[Any], preset: RunSettings[Any], changes: tuple[str, ...]
) -> dict[str, Any]:
    """Return timm's mean and standard deviation for a backbone, as far as none are stated.

    Args:
        settings: the settings with the user's changes.
        preset: the settings of the preset.
        changes: the user's changes, ``key=value``.

    Returns:
        "mean" or "std" or both, as lists of three numbers; empty for a model without a timm
        backbone.

    Raises:
        UsageError: timm has no such network.
    """
    backbone = getattr(settings.model, "backbone", None)
    if not isinstance(backbone, BackboneSettings):
        return {}
    changed = {change.partition("=")[0].strip() for change in changes}
    if backbone.name == preset.model.backbone.name or "model" in changed:
        stated = settings.model.model_fields_set
    else:
        stated = {key.removeprefix("model.") for key in changed}
    mean_and_std = zip(("mean", "std"), normalisation_of(backbone.name), strict=True)
    return {key: list(value) for key, value in mean_and_std if key not in stated}


def _refuse_unused(model: str, changes: tuple[str, ...]) -> None:
    """Raise an error if the user changes a setting about descriptions that this model ignores.

    Args:
        model: the name of the model family.
        changes: the user's changes, ``key=value``.

    Raises:
        UsageError: the model writes no descriptions, so that a change would have no effect.
    """
    family = MODELS[model]
    if issubclass(family, Describes):
        return
    # This setting is also the number of frames with attention maps.
    unused = set(DESCRIPTION_SETTINGS) - ({"described"} if issubclass(family, Attends) else set())
    for change in changes:
        key = change.partition("=")[0].strip()
        if key in {f"inference.{name}" for name in unused}:
            raise UsageError(
                f"{key} has no effect: {model} writes no descriptions.",
                where="--set",
                hint=f"leave --set {key} out",
            )


def _is_valid(settings_class: type[RunSettings[Any]], values: dict[str, Any]) -> bool:
    try:
        settings_class.model_validate(values)
    except ValidationError:
        return False
    return True


def _read_with_base(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    base = values.pop("base", None)
    return values if base is None else _merge(_read_with_base(path.parent / f"{base}.yaml"), values)


def _merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _apply_change(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f"{change!r} is not key=value.",
            where="--set",
            hint="write, for example, --set training.epochs=3",
        )
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UsageError(
                f"{key!r} names no setting: {parent!r} is a single value, not a section.",
                where="--set",
                hint="write the full name of a setting, for example training.epochs",
            )
    try:
        values[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(
            f"{text!r} is not a valid YAML value.",
            where=f"--set {key}",
            hint="write lists and mappings as in YAML, for example [0.9, 0.999]",
        ) from error
