"""A made-up dataset's frames table, pictures and landmarks, small and written by hand."""

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from fauds.datasets.media_files import Archive, Footage, LandmarkFiles, SequenceId, Source
from fauds.faces.plan import CropRequest
from fauds.faces.prepare import Prepared, prepare
from fauds.tables import schemas, store

WIDTH, HEIGHT = 160, 120
RED, GREEN = (255, 0, 0), (0, 255, 0)


def eyes_at(frame: int) -> np.ndarray:
    """Where the eyes of a frame are, [2, 2]: the head moves and nods a little."""
    turn = np.deg2rad(10 * np.sin(frame / 9))
    way = 18 * np.array([np.cos(turn), np.sin(turn)])
    middle = np.array([80 + 6 * np.sin(frame / 7), 50 + 4 * np.cos(frame / 5)])
    return np.stack([middle - way, middle + way])


def picture(frame: int) -> np.ndarray:
    """A grey picture, RGB, with a red dot on the image-left eye and a green one on the other.

    The grey level tells the frame: 6 x (frame modulo 32) + 32.
    """
    image = np.full((HEIGHT, WIDTH, 3), 32 + 6 * (frame % 32), np.uint8)
    for (x, y), colour in zip(eyes_at(frame), (RED, GREEN), strict=True):
        across, down = np.meshgrid(np.arange(WIDTH) - x, np.arange(HEIGHT) - y)
        image[across**2 + down**2 < 16] = colour
    return image


def frame_of(image: np.ndarray) -> int:
    """Tell the frame, modulo 32, from the grey level of a picture or crop."""
    return round((float(np.median(image.mean(2))) - 32) / 6)


def landmarks(frame: int) -> np.ndarray:
    """49 points whose eye centres are exactly the eyes, [49, 2]."""
    left, right = eyes_at(frame)
    points = np.tile((left + right) / 2 + (0, 30), (49, 1))
    ring = 4 * np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3)], 1)
    points[19:25], points[25:31] = left + ring, right + ring
    points[31] += [-10, 10]
    points[37] += [10, 10]
    return points


def write_landmarks(path: Path, frames: Iterable[int]) -> LandmarkFiles:
    """Write landmarks in JAA-Net's form: a line a frame, pixels counted from 1."""
    there = list(frames)
    rows = [landmarks(frame).ravel() + 1 for frame in there]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(" ".join(f"{value:.4f}" for value in row) + "\n" for row in rows))
    return LandmarkFiles("jaa-text", 49, path, {frame: line for line, frame in enumerate(there)})


def write_video(path: Path, count: int) -> Path:
    """Write frames 1 to `count` as MJPG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fourcc = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, 25, (WIDTH, HEIGHT))
    for frame in range(1, count + 1):
        writer.write(np.ascontiguousarray(picture(frame)[..., ::-1]))
    writer.release()
    return path


def jpeg(frame: int) -> bytes:
    """A frame's picture as a JPEG file."""
    return cv2.imencode(".jpg", picture(frame)[..., ::-1])[1].tobytes()


def write_zip(path: Path, frames: Iterable[int], name: str) -> Archive:
    """Write pictures as NAME/FRAME.jpg into a zip file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members = {frame: f"{name}/{frame:04}.jpg" for frame in frames}
    with zipfile.ZipFile(path, "w") as file:
        for frame, member in members.items():
            file.writestr(member, jpeg(frame))
    return Archive(path, members)


def write_images(root: Path, name: str, frames: Iterable[int]) -> list[str]:
    """Write pictures as NAME/FRAME.jpg; returns the paths relative to the root."""
    (root / name).mkdir(parents=True, exist_ok=True)
    paths = [f"{name}/{frame}.jpg" for frame in frames]
    for frame, path in zip(frames, paths, strict=True):
        (root / path).write_bytes(jpeg(frame))
    return paths


@dataclass
class MadeUp:
    """Sequences of a dataset: their frames, images and other sources."""

    folder: Path
    root: Path
    frames: dict[SequenceId, list[int]] = field(default_factory=dict)
    images: dict[SequenceId, list[str | None]] = field(default_factory=dict)
    sources: dict[SequenceId, Source] = field(default_factory=dict)

    def add(
        self,
        sequence: SequenceId,
        frames: Iterable[int],
        *,
        images: list[Any] | None = None,
        archive: Archive | None = None,
        video: Path | None = None,
        landmarks: LandmarkFiles | None = None,
        digest: str = "0",
    ) -> None:
        """Add a sequence, in the order of the table."""
        self.frames[sequence] = list(frames)
        self.images[sequence] = images or [None] * len(self.frames[sequence])
        self.sources[sequence] = Source(archive, video, landmarks, digest)

    def write_frames(self) -> Path:
        """Write frames.parquet."""
        rows = [
            {
                "subject": subject,
                "task": task,
                "frame": frame,
                "sex": "F",
                "image": image,
                "AU01": 1,
            }
            for (subject, task), frames in self.frames.items()
            for frame, image in zip(frames, self.images[subject, task], strict=True)
        ]
        rows = [row | {"frame_id": number, "sex": "F"} for number, row in enumerate(rows)]
        table = pa.Table.from_pylist(rows, schemas.frames_schema(["AU01"]))
        meta = {"dataset": "bp4d", "synthetic": True, "inputs": "abc", "settings": {"root": "x"}}
        store.write_table(self.folder / "frames.parquet", table, meta)
        return self.folder / "frames.parquet"

    def prepare(self, progress: Any = None, **request: Any) -> Prepared:
        """Run the step; fields of `CropRequest` may be given."""
        asked = CropRequest(**{"alignment": "eyes-similarity", "version": 1, **request})
        footage = Footage(self.sources, ())
        frames = self.folder / "frames.parquet"
        if not frames.exists():
            self.write_frames()
        return prepare(self.folder, frames, footage, self.root, {}, asked, progress)

    def rows(self) -> list[Mapping[str, Any]]:
        """Read faces.parquet."""
        return store.read_table(self.folder / "faces.parquet").to_pylist()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, but for locks, by its relative path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
