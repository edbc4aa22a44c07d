"""Exports a trained model as an ONNX file that computes action unit probabilities."""

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
from fauds.nn.base import Model, mean_with_mirrored
from fauds.settings import RunSettings
from fauds.synthetic.face import FACE_AUS, draw_face, draw_identity, draw_views
from fauds.tables import atomic as files
from fauds.training.batches import centre_crop, scale_shorter_side
from fauds.training.device import normalise
from fauds.version import VERSION

INPUT = "images"
OUTPUT = "probabilities"
TOLERANCE = 1e-4
"""The largest accepted difference between probabilities of the ONNX file and of PyTorch."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_BATCHES = (1, 2, 5)
_LARGEST = 2**31 - 1
"""The maximum size of an ONNX file (a protobuf message) in bytes."""


@dataclass(frozen=True)
class ExportedModel:
    """An exported ONNX file and the result of its check against PyTorch.

    Attributes:
        path: the path of the file.
        size: the size of the file in bytes.
        faces: the number of test images for which the file was compared with PyTorch.
        difference: the largest difference between the probabilities of the file and of PyTorch.
    """

    path: Path
    size: int
    faces: int
    difference: float


class Probabilities(nn.Module):
    """The part of a model that computes action unit probabilities, in evaluation mode.

    Args:
        model: the trained model, of any family.
        settings: the settings of the run, which define how pixels are normalised, and whether the
            probabilities are means over the image and the mirrored image.
    """

    def __init__(self, model: Model, settings: RunSettings[Any]) -> None:
        super().__init__()
        self.model = model
        self._settings = settings
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the probabilities of A action units for each image, [B, A], 0 to 1.

        Args:
            images: B images of the model's input size, [B, 3, S, S], RGB, 0 to 255.
        """
        normalised = normalise(images, self._settings.model)
        scores = self.model.scores(normalised)
        if self._settings.inference.flip:
            scores = mean_with_mirrored(self.model, normalised, scores)
        return scores


def check_packages() -> None:
    """Check that the packages for exporting are installed.

    Raises:
        UsageError: the packages of the extra `export` are not installed.
    """
    for name in _PACKAGES:
        try:
            import_module(name)
        except ImportError as error:
            raise UsageError(
                f"Exporting needs the package {name}, which is not installed.",
                hint="run: pip install 'fauds[export]'",
            ) from error


def write_onnx(weights: Weights, path: Path) -> ExportedModel:
    """Export a model as an ONNX file that computes action unit probabilities, and check the file.

    For the check, the file's probabilities for test images are compared with those of PyTorch. The
    input `images` of the file is float32 [batch, 3, S, S], RGB, 0 to 255; the file normalises the
    pixels itself. The output `probabilities` is float32 [batch, A], 0 to 1, in the order of the
    action units under `aus` in the file's metadata. The batch may have any size.

    Args:
        weights: the trained weights; see `fauds.explanation.weights.open_weights`.
        path: the ONNX file, which is only written if it is complete and passes the check.

    Raises:
        UsageError: the packages of the extra `export` are not installed, or `path` is the weights
            file.
        DataError: the model cannot be exported, the probabilities differ from PyTorch's, or the
            file cannot be written.
    """
    check_packages()
    if path.resolve() == weights.path.resolve():
        raise UsageError(
            "The exported file would replace the weights.",
            where=path,
            hint="give another file name with --out",
        )
    settings = weights.settings.model
    network = Probabilities(weights.model(describe=False), weights.settings)
    with _no_exporter_messages(), torch.inference_mode():
        faces = _test_images(settings.image_size)
        # Opened first, so that an unwritable path is reported before the slow conversion.
        with files.atomic(path) as temporary:
            message = _message(network, settings.image_size, weights)
            temporary.write_bytes(message)
            difference = _largest_difference(network, temporary, faces, path)
    return ExportedModel(path, len(message), sum(map(len, faces)), difference)


def _message(network: Probabilities, size: int, weights: Weights) -> bytes:
    """Return the content of the ONNX file, in bytes.

    Args:
        network: the part of the model that is exported.
        size: the side of the input images in pixels.
        weights: the trained weights, for the metadata and error messages.

    Raises:
        DataError: the model cannot be converted, or is too large for one ONNX file.
    """
    import onnx

    model = _converted(network, size, weights)
    _clean(model)
    onnx.helper.set_model_props(model, metadata(weights))
    if model.ByteSize() > _LARGEST:
        raise DataError(
            "The model is larger than 2 GB, which is too large for one ONNX file.",
            where=weights.path,
            hint="train a smaller model",
        )
    message: bytes = model.SerializeToString(deterministic=True)
    return message


def _converted(network: Probabilities, size: int, weights: Weights) -> Any:
    """Return the ONNX model that PyTorch's exporter makes, which accepts batches of any size.

    Raises:
        DataError: the exporter cannot convert the model.
    """
    example = torch.zeros(2, 3, size, size)
    batch = torch.export.Dim("batch", min=1)
    try:
        program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
        exported = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
        # With dynamo=True the result is never None.
        return cast("torch.onnx.ONNXProgram", exported).model_proto
    except Exception as error:  # the errors of the exporter have no common base class
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"This model cannot be exported to ONNX: {why}",
            where=weights.path,
            hint=f"its backbone is {_backbone(weights)}; train a model with another backbone",
        ) from error


def _backbone(weights: Weights) -> str:
    backbone = getattr(weights.settings.model, "backbone", None)
    return getattr(backbone, "name", "a custom one")


def _clean(model: Any) -> None:
    """Name the batch dimension of an ONNX model, and remove metadata with paths of this machine."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # Intermediate shapes have other names for the batch; programs infer them from the input.
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def metadata(weights: Weights) -> dict[str, str]:
    """Return the metadata of the ONNX file: what a program needs to know to use the model.

    Values that are not strings are encoded as JSON.
    """
    settings = weights.settings.model
    entries = {
        "aus": list(weights.aus),
        "threshold": weights.threshold,
        "image_size": settings.image_size,
        "colours": "RGB, 0 to 255",
        "normalisation": {"inside": True, "mean": settings.mean, "std": settings.std},
        "alignment": dict(weights.alignment),
        "crop": crop_description(settings.image_size),
        "trained_on": weights.trained_on,
        "synthetic": weights.synthetic,
        **weights.origin,
        "exported_by": f"fauds {VERSION}",
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in entries.items()
    }


def crop_description(size: int) -> str:
    """Return a phrase that describes how a face is scaled and cropped to the model's input size."""
    return (
        f"scale the face to {round(size * 8 / 7)} pixels on its shorter side, and cut out "
        f"the middle {size} x {size}"
    )


def _test_images(size: int) -> list[np.ndarray]:
    """Return batches of test images: synthetic faces and noise, float32 [b, 3, S, S], 0 to 255.

    `size` is the side S of the images in pixels.
    """
    rng = np.random.default_rng(0)
    identity, views = draw_identity(rng), draw_views(rng, sum(_BATCHES) - 2)
    levels = rng.uniform(0, 5, (len(views), len(FACE_AUS))).astype(np.float32)
    images = [draw_face(identity, *face, 192)[0] for face in zip(levels, views, strict=True)]
    pixels = [centre_crop(scale_shorter_side(image, size), size) for image in images]
    pixels += list(rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8))
    stacked = np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32)
    return np.split(stacked, np.cumsum(_BATCHES)[:-1])


def _largest_difference(
    network: Probabilities, written: Path, faces: list[np.ndarray], path: Path
) -> float:
    """Return the largest difference between the probabilities of an ONNX file and of PyTorch.

    Args:
        network: the model in PyTorch.
        written: the ONNX file, which still has a temporary name.
        faces: batches of test images.
        path: the final path of the file, for error messages.

    Raises:
        DataError: the difference is larger than `TOLERANCE`, or the file cannot be run.
    """
    try:
        actual = _run_file(written, faces)
    except Exception as error:  # the errors of onnx and onnxruntime have no common base class
        raise _rejected(path, f"it cannot be run: {str(error).splitlines()[0]}") from error
    expected = [network(torch.from_numpy(batch)).numpy() for batch in faces]
    difference = float(np.abs(np.concatenate(actual) - np.concatenate(expected)).max())
    # Written with "not", so that NaN is rejected too.
    if not difference <= TOLERANCE:
        raise _rejected(path, f"its probabilities differ from PyTorch's by up to {difference:.1e}")
    return difference


def _run_file(written: Path, faces: list[np.ndarray]) -> list[np.ndarray]:
    """Return the probabilities that the ONNX file computes, one array [b, A] for each batch."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(written, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(written, options, ["CPUExecutionProvider"])
    return [session.run([OUTPUT], {INPUT: batch})[0] for batch in faces]


def _rejected(path: Path, why: str) -> DataError:
    return DataError(
        f"The exported file was not kept: {why}.",
        where=path,
        hint="try another version of onnxruntime or PyTorch",
    )


@contextmanager
def _no_exporter_messages() -> Iterator[None]:
    """Return a context manager that suppresses messages of PyTorch's ONNX exporter."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
