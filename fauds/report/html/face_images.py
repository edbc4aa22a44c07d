"""Images for a page: faces, and attention maps to lay over the faces."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from fauds.errors import DataError
from fauds.faces.frame_images import find_face_images
from fauds.protocols import user_files as protocol_files
from fauds.report.described_faces import DescribedFace
from fauds.report.html.runs import ReportedRun
from fauds.settings import read_yaml
from fauds.tables import store
from fauds.tables.paths import FRAMES, SETTINGS, dataset_folder

_SIDE = 176
_QUALITY = 82
_DARKEST = 200
_ROWS = ("upper", "", "lower")
_COLUMNS = ("left", "middle", "right")


def shown_images(
    run: ReportedRun, faces: Sequence[DescribedFace], with_faces: bool
) -> tuple[Mapping[int, Path], str]:
    """Return the paths of the face images that a page may show, or the reason why it shows none.

    Args:
        run: the run whose faces are shown.
        faces: the test faces that the run kept.
        with_faces: show faces of real people too.

    Returns:
        The path of each image by frame id, and the reason why images are left out ("" if they are
        shown).

    Raises:
        DataError: `with_faces` asks for real faces, but the tables of their dataset are missing.
    """
    if run.results.synthetic:
        kept = {face.frame_id: run.folder / face.image for face in faces if face.image}
        return {frame: path for frame, path in kept.items() if path.exists()}, ""
    if not with_faces:
        return {}, (
            f"The faces of {run.results.benchmark} are of real people and under a licence that "
            "forbids to pass them on: this page leaves them out. For your own eyes, "
            "fauds report --with-faces puts them in."
        )
    return _real_images(run, [face.frame_id for face in faces]), ""


def _real_images(run: ReportedRun, frame_ids: Sequence[int]) -> dict[int, Path]:
    tables = dataset_folder(run.folder)
    path = tables / FRAMES
    if not path.exists():
        raise DataError(
            "The faces cannot be shown: the table of their frames is missing.",
            where=path,
            hint="leave --with-faces out, or move the run back into its workdir",
        )
    frames = store.read_table(path)
    frames = frames.filter(pc.is_in(frames["frame_id"], pa.array(frame_ids, pa.int64())))
    folder = read_yaml(run.folder / SETTINGS).get("faces")
    face_images = find_face_images(
        tables,
        frames,
        store.read_meta(path),
        Path(folder) if folder else None,
        protocol_files.find(run.results.benchmark, tables.parent).alignment,
    )
    images = face_images.frames.select(["frame_id", "image"]).to_pylist()
    return {row["frame_id"]: face_images.root / row["image"] for row in images}


def face_uri(path: Path) -> str:
    """Return a face image as a data URI that holds a small JPEG.

    Raises:
        DataError: the file is no image.
    """
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except OSError as error:
        raise DataError(
            "The image of a face for the report cannot be read.",
            where=path,
            hint="restore this file, or leave out --with-faces if you used it",
        ) from error
    small.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return _uri("image/jpeg", buffer.getvalue())


def attention_uri(attention: np.ndarray) -> str:
    """Return an attention map as a data URI that holds a PNG to lay over the face.

    The PNG is transparent where attention is highest and dark where it is lowest.

    Args:
        attention: the attention map, float [rows, columns].
    """
    spread = np.ptp(attention)
    share = (attention - attention.min()) / spread if spread > 0 else np.ones_like(attention)
    alpha = np.rint(_DARKEST * (1 - share)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.stack([np.zeros_like(alpha), alpha], axis=-1), "LA").save(
        buffer, "PNG", optimize=True
    )
    return _uri("image/png", buffer.getvalue())


def attention_peak(attention: np.ndarray) -> str:
    """Return where an attention map [rows, columns] is highest, such as "upper left"."""
    place = np.unravel_index(int(attention.argmax()), attention.shape)
    row, column = (
        min(int(3 * (at + 0.5) / size), 2) for at, size in zip(place, attention.shape, strict=True)
    )
    return f"{_ROWS[row]} {_COLUMNS[column]}".strip()


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
