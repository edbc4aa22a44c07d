"""Measure how fast synthetic faces are drawn, in processor time of one core.

    python benchmarks/speed/faces.py [SIZE]

It prints the faces per second of known identities, the cost of a new identity, and the ratio to
encoding the same faces as JPEG, which every dataset on disk needs.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np

from fauds.synthetic.face import FACE_AUS, draw_face, draw_identity, draw_views

IDENTITIES, FRAMES = 8, 60


def main() -> None:
    """Draw and encode faces and print the times."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    first, rest, jpeg = [], [], []
    for _ in range(IDENTITIES):
        identity = draw_identity(rng)
        for number, view in enumerate(draw_views(rng, FRAMES)):
            active = rng.random(len(FACE_AUS)) < 0.3
            intensities = np.where(active, rng.uniform(1, 5, len(FACE_AUS)), 0)
            start = time.process_time()
            image, _ = draw_face(identity, intensities, view, size)
            finished = time.process_time()
            cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 95))
            jpeg.append(time.process_time() - finished)
            (rest if number else first).append(finished - start)
    face, person, encode = np.mean(rest), np.mean(first) - np.mean(rest), np.mean(jpeg)
    whole = face + person / FRAMES
    print(f"size {size} px, one core, {IDENTITIES} people x {FRAMES} faces")
    print(f"faces of known people  {1 / face:8.0f} /s   ({1e3 * face:.2f} ms a face)")
    print(f"with new people        {1 / whole:8.0f} /s   ({1e3 * person:.1f} ms a person)")
    print(f"JPEG encoding          {1 / encode:8.0f} /s   ratio {whole / encode:.1f}")


if __name__ == "__main__":
    main()
