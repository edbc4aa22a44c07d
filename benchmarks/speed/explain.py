"""Measure memory and time per frame of fauds explain for a short and a long video.

    python benchmarks/speed/explain.py --long 20000

Two videos of synthetic faces, of 500 and of many frames, are explained with the weights that ship
with fauds and landmarks from a CSV file, each in a process of its own. Descriptions are included
unless --no-text is set. The time is measured from the first batch to the last.
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


def _measure(video: Path, table: Path, text: bool) -> None:
    from fauds.explanation import media as sources
    from fauds.explanation.engine import Explainer
    from fauds.explanation.face_cropping import cropper_for
    from fauds.explanation.outputs import open_output
    from fauds.explanation.run import run
    from fauds.explanation.weights import open_weights

    weights = open_weights(None)
    explainer = Explainer(weights, device="cpu", describe=text)
    cutter = cropper_for(weights, f"csv:{table}", aligned=False)
    moments: list[tuple[float, int]] = []
    done = 0

    def advance(images: int) -> None:
        nonlocal done
        done += images
        moments.append((time.perf_counter(), done))

    files = sources.find_media([video])
    with open_output(table.with_suffix(".parquet"), weights.aus, text) as sink:
        run(sources.frames(files), cutter, explainer, [sink], [], advance)
    seconds, frames = moments[-1][0] - moments[0][0], moments[-1][1] - moments[0][1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"per_frame": seconds / frames, "peak": peak}))


def main() -> None:
    """Measure both videos and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", type=int, default=5000, help="number of frames of the long video")
    parser.add_argument("--no-text", action="store_true", help="leave the descriptions out")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(*map(Path, arguments.measure), not arguments.no_text)
        return
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in (_SHORT, arguments.long):
            places = make(Path(folder), frames)
            command = [sys.executable, __file__, "--measure", *map(str, places)]
            command += ["--no-text"] if arguments.no_text else []
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"video of {frames:>7,} frames: {1000 * runs[-1]['per_frame']:.1f} ms a frame, "
                  f"peak {runs[-1]['peak']:.0f} MB", flush=True)  # fmt: skip
    short, long = runs
    print(f"long / short: time a frame {long['per_frame'] / short['per_frame']:.2f}, "
          f"memory {long['peak'] / short['peak']:.2f} (aim: both at most 1.10)")  # fmt: skip


if __name__ == "__main__":
    main()
