"""A trained model for other programs: the probabilities of its action units as an ONNX file."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from fauds.errors import DataError, UsageError
from fauds.explanation.weights import Weights
from fauds.nn.base import Model
from fauds.settings import ModelSettings
from fauds.synthetic.face import DRAWN_AUS, draw_face, draw_identity, draw_views
from fauds.tables import atomic as files
from fauds.training.batches import centre_crop, scaled
from fauds.training.device import normalise
from fauds.version import VERSION

INPUT = "images"
OUTPUT = "probabilities"
TOLERANCE = 1e-4
"""How far a probability may be from PyTorch's."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_BATCHES = (1, 2, 5)
_LARGEST = 2**31 - 1
"""Bytes of one protobuf message, and an ONNX file is one."""


@dataclass(frozen=True)
class Exported:
    """An ONNX file and how it was checked.

    Attributes:
        path: of the file.
        size: in bytes.
        faces: how many faces were shown to it and to PyTorch.
        difference: the largest between their probabilities.
    """

    path: Path
    size: int
    faces: int
    difference: float


class Probabilities(nn.Module):
    """The path of the action units, from pixels to probabilities, in evaluation mode.

    Args:
        model: of any family.
        settings: of the model, whose normalisation becomes a part of it.
    """

    def __init__(self, model: Model, settings: ModelSettings) -> None:
        super().__init__()
        self.model = model
        self._settings = settings
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] RGB, 0 to 255 -> probabilities [B, A], 0 to 1."""
        return self.model.scores(normalise(images, self._settings))


def need_packages() -> None:
    """Raise the error of missing packages before any work is done.

    Raises:
        UsageError: the packages of the extra `export` are not installed.
    """
    for name in _PACKAGES:
        try:
            import_module(name)
        except ImportError as error:
            raise UsageError(
                f"Exporting needs the package {name}, which is not installed.",
                hint="pip install 'fauds[export]'",
            ) from error


def write_onnx(weights: Weights, path: Path) -> Exported:
    """Write the path of the action units as one ONNX file, and hold it against PyTorch.

    Input `images`: float32 [batch, 3, S, S], RGB, 0 to 255; the normalisation is inside. Output
    `probabilities`: float32 [batch, A], 0 to 1, in the order of the metadata's `aus`. The batch
    may be of any size.

    Args:
        weights: see `fauds.explanation.weights.open_weights`.
        path: takes the file, whole or not at all.

    Raises:
        UsageError: the packages of the extra `export` are not installed, or `path` is that of
            the weights.
        DataError: the model cannot be exported, the file says something else than PyTorch, or
            the file system refuses.
    """
    need_packages()
    if path.resolve() == weights.path.resolve():
        raise UsageError(
            "The file cannot take the place of the weights.",
            where=path,
            hint="give it another name with --out",
        )
    settings = weights.settings.model
    network = Probabilities(weights.model(describe=False), settings)
    with _quiet(), torch.inference_mode():
        faces = _faces(settings.image_size)
        # A place that cannot be written is found before the translation, which takes its time.
        with files.atomic(path) as temporary:
            message = _message(network, settings.image_size, weights)
            temporary.write_bytes(message)
            difference = _largest_difference(network, temporary, faces, path)
    return Exported(path, len(message), sum(map(len, faces)), difference)


def _message(network: Probabilities, size: int, weights: Weights) -> bytes:
    """Return the ONNX file's content."""
    import onnx

    model = _translated(network, size, weights)
    _tidy(model)
    onnx.helper.set_model_props(model, metadata(weights))
    if model.ByteSize() > _LARGEST:
        raise DataError("The model is too large for one ONNX file: 2 GB.", where=weights.path)
    message: bytes = model.SerializeToString(deterministic=True)
    return message


def _translated(network: Probabilities, size: int, weights: Weights) -> Any:
    """Return the ONNX model as PyTorch writes it, its batch of any size."""
    example = torch.zeros(2, 3, size, size)
    batch = torch.export.Dim("batch", min=1)
    try:
        program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
        exported = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
        # With dynamo there is always one.
        return cast("torch.onnx.ONNXProgram", exported).model_proto
    except Exception as error:  # what stumbles over a backbone has no base class in common
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"This model cannot be exported to ONNX: {why}",
            where=weights.path,
            hint=f"its backbone is {_backbone(weights)}; train with another",
        ) from error


def _backbone(weights: Weights) -> str:
    backbone = getattr(weights.settings.model, "backbone", None)
    return getattr(backbone, "name", "its own")


def _tidy(model: Any) -> None:
    """Name the batch, and leave out what speaks of this machine's source files."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # Shapes in between are computed from the input's, and name the batch otherwise.
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def metadata(weights: Weights) -> dict[str, str]:
    """Return what the ONNX file says of itself; `aus`, `threshold` and the like are JSON."""
    settings = weights.settings.model
    facts = {
        "aus": list(weights.aus),
        "threshold": weights.threshold,
        "image_size": settings.image_size,
        "colours": "RGB, 0 to 255",
        "normalisation": {"inside": True, "mean": settings.mean, "std": settings.std},
        "alignment": dict(weights.alignment),
        "crop": crop_in_words(settings.image_size),
        "trained_on": weights.trained_on,
        "synthetic": weights.synthetic,
        **weights.origin,
        "exported_by": f"fauds {VERSION}",
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()
    }


def crop_in_words(size: int) -> str:
    """Return how a face, cut out or whole, becomes the model's input."""
    return (
        f"scale the face to {round(size * 8 / 7)} pixels on its shorter side, and cut out "
        f"the middle {size} x {size}"
    )


def _faces(size: int) -> list[np.ndarray]:
    """Return batches of drawn faces and of noise, float32 [b, 3, S, S], 0 to 255."""
    rng = np.random.default_rng(0)
    who, views = draw_identity(rng), draw_views(rng, sum(_BATCHES) - 2)
    levels = rng.uniform(0, 5, (len(views), len(DRAWN_AUS))).astype(np.float32)
    drawn = [draw_face(who, *face, 192)[0] for face in zip(levels, views, strict=True)]
    pixels = [centre_crop(scaled(image, size), size) for image in drawn]
    pixels += list(rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8))
    stacked = np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32)
    return np.split(stacked, np.cumsum(_BATCHES)[:-1])


def _largest_difference(
    network: Probabilities, written: Path, faces: list[np.ndarray], path: Path
) -> float:
    """Return the largest difference between a file's probabilities and PyTorch's.

    Raises:
        DataError: it is above `TOLERANCE`, or the file does not run.
    """
    try:
        said = _say_difference(written, faces)
    except Exception as error:  # of onnx and onnxruntime, which share no base class
        raise _unlike(path, f"it cannot be run: {str(error).splitlines()[0]}") from error
    meant = [network(torch.from_numpy(batch)).numpy() for batch in faces]
    difference = float(np.abs(np.concatenate(said) - np.concatenate(meant)).max())
    # What is not a number is within no tolerance.
    if not difference <= TOLERANCE:
        raise _unlike(path, f"its probabilities differ from PyTorch's by up to {difference:.1e}")
    return difference


def _say_difference(written: Path, faces: list[np.ndarray]) -> list[np.ndarray]:
    import onnx
    import onnxruntime

    onnx.checker.check_model(written, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(written, options, ["CPUExecutionProvider"])
    return [session.run([OUTPUT], {INPUT: batch})[0] for batch in faces]


def _unlike(path: Path, why: str) -> DataError:
    return DataError(
        f"The exported file was not kept: {why}.",
        where=path,
        hint="another release of onnxruntime or PyTorch may do better",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks, which are about its own working, from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
