"""Weights files of strangers: a header must not run away with the machine that reads it.

No pickle is read and nothing in a header names code or a file that is opened; what is left is
its size. A header is compared with the tensors beside it before memory is taken for its model.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from fauds.errors import DataError, FaudsError
from fauds.settings import BackboneSettings, RunSettings

LARGEST_ARGUMENT = 100_000
LONGEST_TEXT = 10_000
LARGEST_BUFFERS = 2**30
"""Bytes of what a model computes for itself and keeps: masks and positions of its windows."""

_NAMED = 3
_LONGEST = 300


def check_sizes(settings: RunSettings[Any], longest: Mapping[str, int]) -> None:
    """Refuse settings of a header that would take all memory, whatever the tensors are.

    Raises:
        ValueError: a size is none, or none that any model has.
    """
    for scope, words in longest.items():
        if not 1 <= words <= LONGEST_TEXT:
            raise ValueError(f"longest.{scope} is {words:,}, not 1 to {LONGEST_TEXT:,}")
    backbone = getattr(settings.model, "backbone", None)
    for number in _numbers(backbone.args if isinstance(backbone, BackboneSettings) else {}):
        if abs(number) > LARGEST_ARGUMENT:
            raise ValueError(
                f"settings.model.backbone.args has {number:,}, which no backbone takes"
            )


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that no number can come of.

    Raises:
        DataError: a tensor holds NaN or infinity.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise DataError(
                f"The weights cannot be used: {name} holds values that are not finite.",
                where=path,
                hint="train again with a lower training.learning_rate, or name other weights",
            )


def check_fit(build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Compare the model that a header describes with the tensors beside it, taking no memory.

    Args:
        build: makes the model.
        tensors: of the file.
        path: of the file, for the error.

    Raises:
        DataError: the header describes no model, or another one.
    """
    try:
        with torch.device("meta"), _at_most(2 * len(tensors) + 100):
            model = build()
    except Exception as error:  # anything in torch or timm may stumble over a foreign header
        why = error.what if isinstance(error, FaudsError) else f"{type(error).__name__}: {error}"
        raise _another(shorten(why, _LONGEST), path) from error
    have = {name: list(tensor.shape) for name, tensor in tensors.items()}
    want = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    differ = [key for key in sorted(have.keys() | want.keys()) if have.get(key) != want.get(key)]
    if differ:
        named = [
            f"{key}: the file has {have.get(key, 'none')}, the model {want.get(key, 'none')}"
            for key in differ[:_NAMED]
        ]
        more = f"; and {len(differ) - _NAMED:,} more" if len(differ) > _NAMED else ""
        raise _another("; ".join(named) + more, path)
    if sum(buffer.nbytes for buffer in model.buffers()) > LARGEST_BUFFERS:
        raise _another("it would need more memory than the weights do", path)


@contextmanager
def _at_most(parameters: int) -> Iterator[None]:
    """Stop a model from being built that has many more parameters than its file has tensors."""
    left = parameters

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OverflowError("it has many more parameters than the file has tensors")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _another(why: str, path: Path) -> DataError:
    return DataError(
        f"The weights are not those of the model that their header describes: {why}.",
        where=path,
        hint="copy the file again, or train again",
    )
