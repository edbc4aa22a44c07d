"""Measure the speed of fauds prepare against a bare loop over the same files.

    python benchmarks/speed/prepare.py                   640 x 480 images and videos
    python benchmarks/speed/prepare.py --long 20000      also memory and time for long videos

Every measurement runs in a process of its own and includes the start of its workers. The bare loop
decodes, warps, encodes and writes the same frames in the same size with OpenCV, in as many
processes. The images are a moving gradient with noise, with synthetic landmarks.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_WIDTH, _HEIGHT = 640, 480
_EYES = np.array([[270.0, 200.0], [370.0, 205.0]])
_MATRIX = np.array([[0.8, 0.04, -136.0], [-0.04, 0.8, -53.0]])


def _image(frame: int) -> np.ndarray:
    noise = np.random.default_rng(frame % 7).normal(0, 6, (_HEIGHT, _WIDTH, 3))
    ramp = np.linspace(40, 200, _WIDTH)[None, :, None] + 20 * np.sin(frame / 9)
    return np.clip(ramp + noise, 0, 255).astype(np.uint8)


def make(root: Path, frames: int, images: int, videos: int) -> None:
    """Write sequences of images and of videos, landmarks, and frames.parquet."""
    import cv2
    import pyarrow as pa

    from fauds.tables import schemas, store

    images_by_number = [_image(frame) for frame in range(63)]
    rows = []
    for number in range(images + videos):
        subject, paths = f"F{number + 1:03}", [None] * frames
        if number < images:
            paths = [f"{subject}/T1/{frame}.jpg" for frame in range(1, frames + 1)]
            (root / subject / "T1").mkdir(parents=True)
            for frame, path in enumerate(paths):
                cv2.imwrite(str(root / path), images_by_number[frame % 63])
        else:
            root.mkdir(parents=True, exist_ok=True)
            fourcc = cv2.VideoWriter_fourcc(*"MJPG")
            video = cv2.VideoWriter(str(root / f"{subject}.avi"), fourcc, 25, (_WIDTH, _HEIGHT))
            for frame in range(frames):
                video.write(images_by_number[frame % 63])
            video.release()
        rows += [
            {"subject": subject, "task": "T1", "frame": frame, "sex": "F", "image": path}
            for frame, path in enumerate(paths, 1)
        ]
    rows = [row | {"frame_id": number} for number, row in enumerate(rows)]
    table = pa.Table.from_pylist(rows, schemas.frames_schema([]))
    meta = {"dataset": "bp4d", "synthetic": True, "inputs": "", "settings": {}}
    store.write_table(root / "work" / "frames.parquet", table, meta)
    (root / "landmarks.txt").write_text(_landmarks() * frames)


def _landmarks() -> str:
    points = np.tile(np.add(_EYES.mean(0), (0, 90)), (49, 1))
    points[19:25], points[25:31] = _EYES
    points[[31, 37]] += [[-40, 20], [40, 20]]
    return " ".join(f"{value:.2f}" for value in points.ravel() + 1) + "\n"


def _sequences(root: Path) -> dict[str, list[str | None]]:
    from fauds.tables import store

    table = store.read_table(root / "work" / "frames.parquet", ["subject", "task", "image"])
    return {name: table["image"][rows].to_pylist() for (name, _), rows in store.sequences(table)}


def ours(root: Path, workers: int) -> tuple[int, float]:
    """Run the step; return the number of crops, and the seconds between the first and the last."""
    from fauds.datasets.media_files import Footage, LandmarkFiles, Source
    from fauds.faces.prepare import CropRequest, prepare

    sources = {}
    for subject, images in _sequences(root).items():
        places = {frame + 1: frame for frame in range(len(images))}
        points = LandmarkFiles("jaa-text", 49, root / "landmarks.txt", places)
        video = root / f"{subject}.avi"
        sources[subject, "T1"] = Source(None, video if video.exists() else None, points, "")
    work = root / "work"
    request = CropRequest("eyes-similarity", 1, workers=workers)
    moments: list[float] = []
    done = prepare(
        work,
        work / "frames.parquet",
        Footage(sources, ()),
        root,
        {},
        request,
        lambda done, total: moments.append(time.perf_counter()),
    )
    return done.meta["frames"]["aligned"], moments[-1] - moments[0]


def bare(root: Path, workers: int) -> tuple[int, float]:
    """Run the bare loop; return the number of crops and the seconds."""
    start = time.perf_counter()
    jobs = [(root, subject, images) for subject, images in _sequences(root).items()]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return sum(pool.imap_unordered(_bare_sequence, jobs)), time.perf_counter() - start


def _bare_sequence(job: tuple[Path, str, list[str | None]]) -> int:
    import cv2

    cv2.setNumThreads(1)
    root, subject, images = job
    out = root / "bare" / subject
    out.mkdir(parents=True)
    video = None
    if images[0] is None:
        options = [cv2.CAP_PROP_N_THREADS, 1]
        video = cv2.VideoCapture(str(root / f"{subject}.avi"), cv2.CAP_FFMPEG, options)
    for frame, path in enumerate(images, 1):
        if video is None:
            data = np.frombuffer((root / str(path)).read_bytes(), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        else:
            _, image = video.read()
        crop = cv2.warpAffine(image, _MATRIX, (256, 256))
        encoded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        (out / f"{frame}.jpg").write_bytes(encoded)
    return len(images)


def _measure(part: str, root: Path, workers: int, times: int) -> dict[str, float]:
    """Return the fastest of several runs, each in a process of its own."""
    runs = []
    for _ in range(times):
        for left in (root / "bare", root / "work" / "faces"):
            shutil.rmtree(left, ignore_errors=True)
        (root / "work" / "faces.parquet").unlink(missing_ok=True)
        command = [sys.executable, __file__, "--measure", part, str(root), str(workers)]
        # fauds prepare sets this too.
        environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return min(runs, key=lambda run: run["seconds"])


def _run(part: str, root: Path, workers: int) -> None:
    start = time.perf_counter()
    frames, cropping = {"ours": ours, "bare": bare}[part](root, workers)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "frames": frames, "cropping": cropping, "peak_mb": peak}))


def _compare(folder: Path, frames: int, workers: int) -> None:
    for form, images, videos in (("images", workers, 0), ("videos", 0, workers)):
        root = folder / form
        make(root, frames, images, videos)
        rates = {}
        for part in ("bare", "ours"):
            run = _measure(part, root, workers, times=3)
            rates[part] = run["frames"] / run["seconds"]
            print(f"{form}  {part}  {run['frames']:>7,} frames {run['seconds']:7.2f} s "
                  f"{rates[part]:7.0f} frames/s")  # fmt: skip
        print(f"{form}  ours / bare: {rates['ours'] / rates['bare']:.2f} (aim: at least 0.8)")
        shutil.rmtree(root)


def _long(folder: Path, frames: int) -> None:
    measured = []
    for count in (500, frames):
        root = folder / f"video-{count}"
        # In a process of its own: a child process inherits the peak memory of its parent.
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(root, count, 0, 1))
        maker.start()
        maker.join()
        run = _measure("ours", root, 1, times=1)
        measured.append((run["cropping"] / count, run["peak_mb"]))
        print(f"video of {count:>7,} frames: {1000 * measured[-1][0]:.2f} ms a frame without the "
              f"start, peak {measured[-1][1]:.0f} MB")  # fmt: skip
        shutil.rmtree(root)
    (short_time, short_peak), (long_time, long_peak) = measured
    print(f"long / short: time a frame {long_time / short_time:.2f}, memory "
          f"{long_peak / short_peak:.2f} (aim: both at most 1.10)")  # fmt: skip


def main() -> None:
    """Measure what the options ask for and print the ratios beside their aims."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--frames", type=int, default=3000, help="frames per sequence; 0 leaves the comparison out"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="number of processes")
    parser.add_argument(
        "--long", type=int, default=0, help="frames of a long video; 0 leaves it out"
    )
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        part, root, workers = arguments.measure
        _run(part, Path(root), int(workers))
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.frames:
            _compare(Path(folder), arguments.frames, arguments.workers)
        if arguments.long:
            _long(Path(folder), arguments.long)


if __name__ == "__main__":
    main()
