"""Presets: a model family's settings, read from YAML, with changes of the user's on top.

Order of a run's settings: the family's defaults, then the preset's YAML, then ``key=value``.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fauds import resources
from fauds.errors import UsageError
from fauds.nn import MODELS
from fauds.nn.base import Attends, Describes
from fauds.registry import unknown
from fauds.settings import DESCRIBING, RunSettings, complaint, read_yaml


def folder(model: str) -> Path:
    """Return the folder of a model family's presets, weights and card.

    Raises:
        UsageError: there is no such model; the names of those there are are listed.
    """
    return MODELS[model].folder or resources.root("models") / model


def names(model: str) -> list[str]:
    """Return the names of a model family's presets; errors as in `folder`."""
    return sorted(path.stem for path in folder(model).glob("*.yaml"))


def preset_path(model: str, preset: str) -> Path:
    """Return the YAML of a model's preset.

    Raises:
        UsageError: there is no such model or preset; the names of those there are are listed.
    """
    known = names(model)
    if preset not in known:
        raise unknown(f"preset of {model}", preset, known)
    return folder(model) / f"{preset}.yaml"


def settings_type(model: str) -> type[RunSettings[Any]]:
    """Return the type of a run's settings with a model family's own part; errors as in `folder`."""
    # The family is known at run time only.
    return RunSettings[MODELS[model].Settings]  # type: ignore[misc, return-value]


def run_settings(model: str, preset: str, changes: tuple[str, ...] = ()) -> RunSettings[Any]:
    """Read a preset and apply ``key=value`` changes, keys dotted: ``training.epochs=3``.

    A preset may name another in ``base:``; its keys then lie over that one's.

    Raises:
        UsageError: a change is malformed, names no setting, or is about descriptions although the
            model family writes none.
        DataError: the preset's file has a wrong or unknown key.
    """
    path = preset_path(model, preset)
    kind = settings_type(model)
    values = _with_base(path)
    try:
        settings = kind.model_validate(values)
        if changes:
            for change in changes:
                _apply(values, change)
            settings = kind.model_validate(values)
    except ValidationError as error:
        changed = bool(changes) and _valid(kind, _with_base(path))
        raise complaint(kind, error, "--set" if changed else path, usage=changed) from error
    _refuse_unused(model, changes)
    return settings


def _refuse_unused(model: str, changes: tuple[str, ...]) -> None:
    """Raise where a change would be ignored in silence."""
    family = MODELS[model]
    if issubclass(family, Describes):
        return
    # So many frames get attention maps too.
    unused = set(DESCRIBING) - ({"described"} if issubclass(family, Attends) else set())
    for change in changes:
        key = change.partition("=")[0].strip()
        if key in {f"inference.{name}" for name in unused}:
            raise UsageError(
                f"{key} has no effect: {model} writes no descriptions.",
                where="--set",
                hint=f"leave --set {key} out",
            )


def _valid(kind: type[RunSettings[Any]], values: dict[str, Any]) -> bool:
    try:
        kind.model_validate(values)
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
