"""Measure frames per second, and memory for short and long videos, of fauds explain.

    python benchmarks/speed/explain.py --no-text --long 20000
    python benchmarks/speed/explain.py --clip talk.mp4 --no-text

First, a clip of 472 frames of 640 x 360 pixels, in which a synthetic face moves, or the clip of
--clip, is explained with faces found by dlib in every sixth frame and followed in between, by dlib
in every frame, and by the cascade in every frame. Then two videos of synthetic faces, of 500 and of
many frames, are explained with landmarks from a CSV file. Each run is a process of its own, with
the weights that ship with fauds. Descriptions are included unless --no-text is set. The time is
measured from the first batch to the last.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

_SHORT, _SIZE, _FACES = 500, 192, 100
_CLIP_FRAMES, _CLIP_SIZE, _CLIP_FACE = 472, (640, 360), 260
_DETECTORS = (("dlib", 6), ("dlib", 1), ("cascade", 1))


def make_clip(folder: Path) -> Path:
    """Write a video in which a synthetic face moves, and return its path."""
    import av
    import cv2

    from fauds.synthetic.face import FACE_AUS, View, draw_face, draw_identity

    rng = np.random.default_rng(0)
    face = draw_face(draw_identity(rng), np.zeros(len(FACE_AUS)), View(), _CLIP_FACE)[0]
    background = cv2.resize(rng.integers(60, 190, (9, 16, 3), np.uint8), _CLIP_SIZE)
    path = folder / "clip.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height = _CLIP_SIZE
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for number in range(_CLIP_FRAMES):
            x = 190 + int(120 * np.sin(number / 60))
            y = 50 + int(30 * np.cos(number / 35))
            image = background.copy()
            image[y : y + _CLIP_FACE, x : x + _CLIP_FACE] = face
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())
    return path


def make(folder: Path, frames: int) -> tuple[Path, Path]:
    """Write a video of synthetic faces and the CSV file with its landmarks; return both paths."""
    import cv2

    from fauds.synthetic.face import FACE_AUS, draw_face, draw_identity, draw_views

    rng = np.random.default_rng(0)
    identity = draw_identity(rng)
    faces = []
    for view in draw_views(rng, _FACES):
        levels = np.where(rng.random(len(FACE_AUS)) < 0.3, 3, 0).astype(np.float32)
        faces.append(draw_face(identity, levels, view, _SIZE))
    video, table = folder / f"faces-{frames}.avi", folder / f"faces-{frames}.csv"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 25, (_SIZE, _SIZE))
    lines = ["source,frame," + ",".join(f"x{n},y{n}" for n in range(68))]
    for number, (image, points) in enumerate(islice(cycle(faces), frames), 1):
        writer.write(image[:, :, ::-1])
        lines.append(f"{video.name},{number}," + ",".join(f"{v:.2f}" for v in points.ravel()))
    writer.release()
    table.write_text("\n".join(lines) + "\n")
    return video, table


def _measure(video: Path, detector: str, every: int, text: bool) -> None:
    from fauds.explanation import media as sources
    from fauds.explanation.engine import Explainer
    from fauds.explanation.face_cropping import FaceChoice, cropper_for
    from fauds.explanation.outputs import open_output
    from fauds.explanation.run import run
    from fauds.explanation.weights import open_weights

    weights = open_weights(None)
    explainer = Explainer(weights, device="cpu", describe=text)
    cutter = cropper_for(weights, detector, choice=FaceChoice(detect_every=every))
    moments: list[tuple[float, int]] = []
    done = 0

    def advance(images: int) -> None:
        nonlocal done
        done += images
        moments.append((time.perf_counter(), done))

    files = sources.find_media([video])
    with (
        tempfile.TemporaryDirectory() as folder,
        open_output(
            Path(folder) / "faces.parquet", weights.aus, weights.texts if text else ()
        ) as sink,
    ):
        summary = run(sources.frames(files), cutter, explainer, [sink], [], advance)
    seconds, frames = moments[-1][0] - moments[0][0], moments[-1][1] - moments[0][1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    values = {"per_frame": seconds / frames, "peak": peak, "faces": summary.faces}
    print(json.dumps(values | {"frames": summary.images}))


def main() -> None:
    """Measure the clip and both videos, and print figures and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", type=int, default=5000, help="number of frames of the long video")
    parser.add_argument("--no-text", action="store_true", help="leave the descriptions out")
    parser.add_argument("--clip", type=Path, help="a video to measure instead of a synthetic one")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    text = not arguments.no_text
    if arguments.measure:
        video, detector, every = arguments.measure
        _measure(Path(video), detector, int(every), text)
        return

    def measured(video: Path, detector: str, every: int) -> dict[str, float]:
        command = [sys.executable, __file__, "--measure", str(video), detector, str(every)]
        command += [] if text else ["--no-text"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return values

    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip or make_clip(Path(folder))
        for detector, every in _DETECTORS:
            one = measured(clip, detector, every)
            print(f"{clip.name}, {detector} in every {every}. frame: {1 / one['per_frame']:.1f} "
                  f"frames a second, {one['faces']} faces in {one['frames']} frames",
                  flush=True)  # fmt: skip
        runs = []
        for frames in (_SHORT, arguments.long):
            video, table = make(Path(folder), frames)
            runs.append(measured(video, f"csv:{table}", 1))
            print(f"video of {frames:>7,} frames: {1000 * runs[-1]['per_frame']:.1f} ms a frame, "
                  f"peak {runs[-1]['peak']:.0f} MB", flush=True)  # fmt: skip
    short, long = runs
    print(f"long / short: time a frame {long['per_frame'] / short['per_frame']:.2f}, "
          f"memory {long['peak'] / short['peak']:.2f} (aim: both at most 1.10)")  # fmt: skip


if __name__ == "__main__":
    main()
