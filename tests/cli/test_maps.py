"""``fauds maps`` as a user runs it."""

import cv2
import numpy as np
import pytest

from fauds.faces import detectors
from fauds.synthetic.face import FACE_AUS, View, draw_face, draw_identity


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """Write photo.jpg, a synthetic face, and its landmarks; the current folder is theirs."""
    monkeypatch.chdir(tmp_path)
    identity = draw_identity(np.random.default_rng(1))
    pixels, points = draw_face(identity, np.zeros(len(FACE_AUS)), View(), 200)
    (tmp_path / "photo.jpg").write_bytes(cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes())
    header = ",".join(f"{axis}{point}" for point in range(68) for axis in "xy")
    values = ",".join(f"{value:.2f}" for value in points.ravel())
    table = tmp_path / "points.csv"
    table.write_text(f"source,frame,{header}\nphoto.jpg,1,{values}\n")
    return tmp_path / "photo.jpg"


def test_action_units_and_expressions_are_drawn_over_a_synthetic_face(cli, photo):
    assert cli.ok("maps", 12) == "AU12-maps.png\n"
    height, width = cv2.imread("AU12-maps.png").shape[:2]
    assert width > height > 300
    assert cli.ok("maps", "Happiness", "au1", "happiness") == "happiness-AU01-maps.png\n"
    assert cv2.imread("happiness-AU01-maps.png").shape[0] > height
    assert cli.ok("maps", "AU12", "-o", "new/a.png") == "new/a.png\n"
    assert cv2.imread("new/a.png").shape[:2] == (height, width)


@pytest.mark.slow
def test_an_image_is_drawn_with_the_landmarks_of_a_detector(cli, photo):
    out = cli.ok("maps", photo, "--detector", "csv:points.csv")
    assert out == "photo-maps.png\n"
    out = cli.ok("maps", "AU06", photo, "--detector", "csv:points.csv")
    assert out == "photo-AU06-maps.png\n"
    whole, one = (cv2.imread(name) for name in ("photo-maps.png", "photo-AU06-maps.png"))
    assert whole.shape[0] > one.shape[0]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["neutral"], "no action units for it"),
        (["contempt"], "no action units for it"),
        (["smile"], "neither an image file nor an action unit nor an expression"),
        (["photo.jpg", "--detector", "cascade"], "The landmarks of the face are needed"),
        (["photo.jpg", "--detector", "csv"], "needs the path of a CSV file"),
        (["photo.jpg", "photo.jpg", "--detector", "csv:points.csv"], "2 images"),
        (["AU12", "--detector", "csv:points.csv"], "only be used with an image"),
        (["AU12", "-o", "maps.jpg"], "cannot be written as a .jpg"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_to_do(cli, photo, words, problem):
    outcome = cli("maps", *words)
    assert outcome.code == 2
    assert problem in outcome.err
    assert "to do:" in outcome.err
    assert not list(photo.parent.glob("*maps*"))


@pytest.mark.slow
def test_an_image_is_drawn_without_naming_a_detector(cli, photo):
    assert cli.ok("maps", photo) == "photo-maps.png\n"
    assert cv2.imread("photo-maps.png").shape[0] > 300


def test_without_dlib_the_error_names_the_detectors_of_landmarks(cli, photo, monkeypatch):
    monkeypatch.setattr(detectors, "find_spec", lambda package: None)
    outcome = cli("maps", photo)
    assert outcome.code == 2
    assert "and the detector cascade" in outcome.err and "gives none" in outcome.err
    for name in (
        "--detector dlib",
        "mediapipe:MODEL",
        "openface:FOLDER",
        "csv:FILE with landmarks",
    ):
        assert name in " ".join(outcome.err.split())


def test_a_face_that_the_detector_does_not_have_is_an_error(cli, photo):
    photo.rename("other.jpg")
    outcome = cli("maps", "other.jpg", "--detector", "csv:points.csv")
    assert outcome.code == 1
    assert "No face was found" in outcome.err
