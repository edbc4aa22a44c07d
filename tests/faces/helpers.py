"""A small dataset for tests: its frames table, images and landmarks."""

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
    """Return the eye centres in a frame, [2, 2]; the head moves and turns a little."""
    turn = np.deg2rad(10 * np.sin(frame / 9))
    half = 18 * np.array([np.cos(turn), np.sin(turn)])
    middle = np.array([80 + 6 * np.sin(frame / 7), 50 + 4 * np.cos(frame / 5)])
    return np.stack([middle - half, middle + half])


def draw_image(frame: int) -> np.ndarray:
    """Return a grey image, RGB, with a red dot on the image-left eye and a green one on the other.

    The grey level encodes the frame number: 6 x (frame modulo 32) + 32.
    """
    image = np.full((HEIGHT, WIDTH, 3), 32 + 6 * (frame % 32), np.uint8)
    for (x, y), colour in zip(eyes_at(frame), (RED, GREEN), strict=True):
        across, down = np.meshgrid(np.arange(WIDTH) - x, np.arange(HEIGHT) - y)
        image[across**2 + down**2 < 16] = colour
    return image


def frame_of(image: np.ndarray) -> int:
    """Return the frame number, modulo 32, that the grey level of an image or crop encodes."""
    return round((float(np.median(image.mean(2))) - 32) / 6)


def landmarks(frame: int) -> np.ndarray:
    """Return 49 points, [49, 2], whose eye centres are exactly those of `eyes_at`."""
    left, right = eyes_at(frame)
    points = np.tile((left + right) / 2 + (0, 30), (49, 1))
    ring = 4 * np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3)], 1)
    points[19:25], points[25:31] = left + ring, right + ring
    points[31] += [-10, 10]
    points[37] += [10, 10]
    return points


def write_landmarks(path: Path, frames: Iterable[int]) -> LandmarkFiles:
    """Write landmarks in JAA-Net's format: a line per frame, pixels counted from 1."""
    known = list(frames)
    rows = [landmarks(frame).ravel() + 1 for frame in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(" ".join(f"{value:.4f}" for value in row) + "\n" for row in rows))
    return LandmarkFiles("jaa-text", 49, path, {frame: line for line, frame in enumerate(known)})


def write_video(path: Path, count: int) -> Path:
    """Write frames 1 to `count` as MJPG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fourcc = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, 25, (WIDTH, HEIGHT))
    for frame in range(1, count + 1):
        writer.write(np.ascontiguousarray(draw_image(frame)[..., ::-1]))
    writer.release()
    return path


def jpeg(frame: int) -> bytes:
    """Return the image of a frame as the content of a JPEG file."""
    return cv2.imencode(".jpg", draw_image(frame)[..., ::-1])[1].tobytes()


def write_zip(path: Path, frames: Iterable[int], name: str) -> Archive:
    """Write images as NAME/FRAME.jpg into a zip file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members = {frame: f"{name}/{frame:04}.jpg" for frame in frames}
    with zipfile.ZipFile(path, "w") as file:
        for frame, member in members.items():
            file.writestr(member, jpeg(frame))
    return Archive(path, members)


def write_images(root: Path, name: str, frames: Iterable[int]) -> list[str]:
    """Write images as NAME/FRAME.jpg and return their paths relative to the root."""
    (root / name).mkdir(parents=True, exist_ok=True)
    paths = [f"{name}/{frame}.jpg" for frame in frames]
    for frame, path in zip(frames, paths, strict=True):
        (root / path).write_bytes(jpeg(frame))
    return paths


@dataclass
class SmallDataset:
    """A dataset for tests: the frames, images and media files of its sequences."""

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
        """Add a sequence; sequences are added in the order of the frames table."""
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
        """Run `fauds.faces.prepare.prepare`, with fields of `CropRequest` as arguments."""
        crop_request = CropRequest(**{"alignment": "eyes-similarity", "version": 1, **request})
        footage = Footage(self.sources, ())
        frames = self.folder / "frames.parquet"
        if not frames.exists():
            self.write_frames()
        return prepare(self.folder, frames, footage, self.root, {}, crop_request, progress)

    def rows(self) -> list[Mapping[str, Any]]:
        """Return the rows of faces.parquet."""
        return store.read_table(self.folder / "faces.parquet").to_pylist()


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file in a folder, except locks, by its relative path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
