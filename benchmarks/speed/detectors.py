"""Measure how many faces the detectors find, how exactly, and how long an image takes.

    python benchmarks/speed/detectors.py

The images are 40 synthetic faces of 64 to 700 pixels with active AUs, scikit-image's photograph of
an astronaut, and photographs in scikit-image without a face. Errors are means over the faces, in
percent of the distance between the eyes. Times are CPU times of one thread, in milliseconds an
image.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np

SIZES = (64, 100, 128, 224, 256, 400, 512, 700)
FACELESS = ("brick", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "moon")
FACELESS += ("page", "retina", "rocket", "text")
PUPILS = np.array([[202.0, 100.5], [247.0, 102.6]])  # the astronaut's, measured in the image


def synthetic_faces() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the 40 faces, uint8 [size, size, 3] RGB, and their exact landmarks, [68, 2]."""
    from fauds.synthetic.face import FACE_AUS, draw_face, draw_identity, draw_views

    for seed in range(40):
        rng = np.random.default_rng([11, seed])
        levels = np.zeros(len(FACE_AUS))
        levels[rng.integers(0, len(FACE_AUS), 3)] = rng.integers(1, 6, 3)
        size = SIZES[seed % len(SIZES)]
        yield draw_face(draw_identity(rng), levels, draw_views(rng, 1)[0], size)


def photographs() -> Iterator[tuple[str, np.ndarray]]:
    """Yield the photographs without a face, uint8 [H, W, 3] RGB, with their names."""
    from skimage import data

    for name in FACELESS:
        image = getattr(data, name)()
        yield name, np.ascontiguousarray(np.dstack([image] * 3)[..., :3])


def main() -> None:
    """Measure the detectors and print a line for each of them."""
    from skimage.data import astronaut

    from fauds.faces.base import Face, Position
    from fauds.faces.detectors import open_detector

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detectors", nargs="*", default=["cascade", "dlib"])
    for name in parser.parse_args().detectors:
        detector, times = open_detector(name), []

        def find(image: np.ndarray, detector=detector, times=times) -> list[Face]:
            began = time.process_time()
            faces = detector.find(image, Position("image", 1))
            times.append(time.process_time() - began)
            return faces

        once, eye_errors, point_errors = 0, [], []
        for image, landmarks in synthetic_faces():
            eyes = np.array([landmarks[36:42].mean(0), landmarks[42:48].mean(0)])
            apart = np.linalg.norm(eyes[1] - eyes[0])
            faces = find(image)
            once += len(faces) == 1
            for face in faces[:1]:
                eye_errors.append(np.linalg.norm(face.eyes - eyes, axis=1).mean() / apart)
                if face.landmarks is not None:
                    errors = np.linalg.norm(face.landmarks - landmarks, axis=1)
                    point_errors.append(errors.mean() / apart)
        portrait = find(astronaut())
        apart = np.linalg.norm(PUPILS[1] - PUPILS[0])
        pupils = [np.linalg.norm(face.eyes - PUPILS, axis=1).mean() / apart for face in portrait]
        false = {title: len(faces) for title, image in photographs() if (faces := find(image))}
        points = "no landmarks"
        if point_errors:
            mean, largest = 100 * np.mean(point_errors), 100 * max(point_errors)
            points = f"landmarks off by {mean:.1f} % (largest {largest:.1f} %)"
        print(
            f"{detector.identity}: {once} of 40 synthetic faces found exactly once, eyes off by "
            f"{100 * np.mean(eye_errors):.1f} %, {points}; astronaut: {len(portrait)} face(s), "
            f"eyes off by {', '.join(f'{100 * off:.1f}' for off in pupils)} %; false faces in "
            f"{len(FACELESS)} photographs: {false or 0}; {1000 * np.mean(times):.0f} ms an image "
            f"({1000 * min(times):.0f} to {1000 * max(times):.0f})"
        )


if __name__ == "__main__":
    main()
