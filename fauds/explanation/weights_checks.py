"""Checks weights files from untrusted sources before their models are built.

Weights files contain no pickle, and their headers cannot name code to run or files to open. The
remaining danger is a header that describes a huge model, which would exhaust memory. The described
model is therefore compared with the tensors in the file before memory is allocated for it.
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
"""The maximum size of a model's buffers (attention masks, window positions) in bytes."""

_LISTED = 3
_MAX_REASON_LENGTH = 300


def check_sizes(settings: RunSettings[Any], longest: Mapping[str, int]) -> None:
    """Check the sizes in a weights file's header that could make a model exhaust memory.

    These sizes do not depend on the tensors in the file, so `check_fit` cannot check them.

    Args:
        settings: the settings in the header.
        longest: the number of tokens of the longest "local" and "global" description.

    Raises:
        ValueError: a size is larger or smaller than in any real model.
    """
    for scope, words in longest.items():
        if not 1 <= words <= LONGEST_TEXT:
            raise ValueError(f"longest.{scope} must be from 1 to {LONGEST_TEXT:,}, not {words:,}")
    backbone = getattr(settings.model, "backbone", None)
    for number in _numbers(backbone.args if isinstance(backbone, BackboneSettings) else {}):
        if abs(number) > LARGEST_ARGUMENT:
            raise ValueError(
                f"settings.model.backbone.args has the number {number:,}, which is too large for a "
                "backbone"
            )


def _numbers(value: Any) -> Iterator[float]:
    """Yield all numbers that nested lists and dicts contain."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check that all weights of a model are finite.

    Args:
        tensors: the tensors of the weights file by name.
        path: the path of the file, for the error message.

    Raises:
        DataError: a tensor contains NaN or infinity.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise DataError(
                f"The weights cannot be used: {name} contains values that are not finite.",
                where=path,
                hint="train again with a lower training.learning_rate, or give other weights",
            )


def check_fit(build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check that the model described by a weights file's header has the tensors in the file.

    The names and shapes of the tensors are compared. For this the model is built on PyTorch's meta
    device, which allocates no memory for tensors.

    Args:
        build: a function that builds the model.
        tensors: the tensors in the file by name.
        path: the path of the file, for the error message.

    Raises:
        DataError: the header describes no valid model, a model with other tensors, or a model whose
            buffers are too large.
    """
    try:
        with torch.device("meta"), _parameter_limit(2 * len(tensors) + 100):
            model = build()
    except Exception as error:  # torch and timm may raise any error for an invalid header
        reason = error.what if isinstance(error, FaudsError) else f"{type(error).__name__}: {error}"
        raise _mismatch(shorten(reason, _MAX_REASON_LENGTH), path) from error
    in_file = {name: list(tensor.shape) for name, tensor in tensors.items()}
    in_model = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    differ = [
        key
        for key in sorted(in_file.keys() | in_model.keys())
        if in_file.get(key) != in_model.get(key)
    ]
    if differ:
        shown = [
            f"{key}: the file has {in_file.get(key, 'none')}, the model {in_model.get(key, 'none')}"
            for key in differ[:_LISTED]
        ]
        more = f"; and {len(differ) - _LISTED:,} more" if len(differ) > _LISTED else ""
        raise _mismatch("; ".join(shown) + more, path)
    if sum(buffer.nbytes for buffer in model.buffers()) > LARGEST_BUFFERS:
        raise _mismatch("the buffers of that model would need too much memory", path)


@contextmanager
def _parameter_limit(parameters: int) -> Iterator[None]:
    """Return a context manager that limits the number of parameters of a model built inside it.

    Raises:
        OverflowError: more than `parameters` parameter tensors are created.
    """
    remaining = parameters

    def count(*_: object) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            raise OverflowError("the model has many more parameters than the file has tensors")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _mismatch(why: str, path: Path) -> DataError:
    return DataError(
        f"The weights do not fit the model that the file's header describes: {why}.",
        where=path,
        hint="copy the file again, or train again",
    )
