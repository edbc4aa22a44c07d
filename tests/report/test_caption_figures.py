"""Figures: all that is said is there, nothing overlaps or is cut off, letters have a font."""

import logging
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from fauds import fonts
from fauds.captions import Style
from fauds.captions.statistics import Statistics, caption_statistics
from fauds.captions.summaries import AuSheet, FrameSheet, au_sheet, find_frame
from fauds.errors import DataError
from fauds.facs import AUS
from fauds.report import caption_figures
from fauds.report import page_layout as pages
from fauds.report.caption_figures import draw_au, draw_frame, draw_statistics
from fauds.report.page_layout import Page
from tests.captions.built import write_built
from tests.captions.helpers import BP4D, make_frames

# matplotlib's word for a box in the place of a letter.
pytestmark = pytest.mark.filterwarnings("error:Glyph")


@pytest.fixture
def saved_figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    save = pages.save

    def keep(figure: Figure, path: Path) -> None:
        figures.append(figure)
        save(figure, path)

    for module in (pages, caption_figures):
        monkeypatch.setattr(module, "save", keep)
    return figures


@pytest.fixture
def chinese_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only font of the machine: a square for every Chinese letter and mark."""
    letters = [*range(0x3000, 0x3040), *range(0x4E00, 0xA000), *range(0xFF00, 0xFF61)]
    path = _font(tmp_path / "made.ttf", "Made Chinese", letters)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path)])
    return "Made Chinese"


def _font(path: Path, name: str, letters: list[int]) -> Path:
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder([".notdef", "square"])
    made.setupCharacterMap(dict.fromkeys(letters, "square"))
    made.setupGlyf(dict.fromkeys((".notdef", "square"), pen.glyph()))
    made.setupHorizontalMetrics(dict.fromkeys((".notdef", "square"), (1000, 100)))
    made.setupHorizontalHeader(ascent=900, descent=-200)
    made.setupNameTable({"familyName": name, "styleName": "Regular"})
    made.setupOS2(sTypoAscender=900, usWinAscent=900, usWinDescent=200)
    made.setupPost()
    made.save(path)
    return path


def boxes(figure: Figure) -> list[Bbox]:
    """Return where every text and image of a page is, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [text.get_window_extent(renderer) for text in figure.texts if text.get_text()]
    return [*texts, *(axes.get_window_extent(renderer) for axes in figure.axes)]


def check_layout(figure: Figure) -> None:
    """Nothing lies outside the page, and no two things on one another."""
    extents = boxes(figure)
    page = figure.bbox
    for box in extents:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
    for one, other in combinations(extents, 2):
        shared = Bbox.intersection(one, other)
        # Descenders may touch the next line's ascenders by a pixel.
        assert shared is None or shared.width < 1 or shared.height <= 1.5


def written(figure: Figure) -> str:
    return "".join("".join(text.get_text() for text in figure.texts).split())


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    "au", ["AU12", *(pytest.param(au, marks=pytest.mark.slow) for au in ("AU01", "AU26"))]
)
def test_an_action_unit_is_drawn_with_faces_from_rest_to_intensity_e(
    au: str, saved_figures: list[Figure], tmp_path: Path
) -> None:
    sheet = au_sheet(au)
    draw_au(sheet, tmp_path / "au.png")
    (figure,) = saved_figures
    assert cv2.imread(str(tmp_path / "au.png")).shape[1] == 1800
    check_layout(figure)
    images = [axes.images[0].get_array() for axes in figure.axes]
    assert len(images) == 6
    changes = [np.abs(each.astype(int) - images[0]).mean() for each in images]
    assert changes == sorted(changes) and changes[1] > 0
    for axes in figure.axes:
        assert len(axes.collections[0].get_offsets()) == len(sheet.facts["landmarks"])
    for state in ("inactive", *"ABCDE"):
        assert squeezed(sheet.texts[state][0]) in written(figure)
    assert sheet.facts["name"].replace(" ", "") in written(figure)


@pytest.mark.parametrize("au", ["AU13", "AU46"])
def test_an_action_unit_without_faces_is_drawn_as_one_face_at_rest(
    au: str, saved_figures: list[Figure], tmp_path: Path
) -> None:
    sheet = au_sheet(au)
    draw_au(sheet, tmp_path / "au.png")
    (figure,) = saved_figures
    check_layout(figure)
    (axes,) = figure.axes
    assert len(axes.collections[0].get_offsets()) == len(sheet.facts["landmarks"])
    assert f"Facesarenotdrawnwith{au}" in written(figure)
    for variants in sheet.texts.values():
        assert squeezed(variants[0]) in written(figure)


def test_chinese_is_drawn_in_a_font_that_has_it(
    chinese_font: str, saved_figures: list[Figure], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for au in ("AU12", "AU13"):
        sheet = au_sheet(au, "zh")
        draw_au(sheet, tmp_path / "au.png")
        check_layout(saved_figures[-1])
        for state in ("inactive", *"ABCDE"):
            assert squeezed(sheet.texts[state][0]) in written(saved_figures[-1])
    families = {tuple(text.get_fontfamily()) for text in saved_figures[0].texts}
    assert families == {("DejaVu Sans", chinese_font)}
    assert not caplog.records


def test_letters_without_a_font_are_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few = _font(tmp_path / "few.ttf", "Few", [ord("的")])
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    paths = [str(few), str(tmp_path / "broken.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: paths)
    with pytest.raises(DataError, match="No installed font") as error:
        draw_au(au_sheet("AU12", "zh"), tmp_path / "au.png")
    assert "fonts-noto-cjk" in error.value.hint
    assert not (tmp_path / "au.png").exists()
    assert fonts.families(["lip corner", "的"])[0] == fonts.DEFAULT_FONT


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> FrameSheet:
    folder = tmp_path_factory.mktemp("frame")
    built = write_built(folder, make_frames(BP4D, 9, intensities=True), BP4D, Style(degrees=True))
    return find_frame(built, "F002/T0/6")


@pytest.mark.parametrize(
    "size",
    [
        None,
        *(pytest.param(size, marks=pytest.mark.slow) for size in ((40, 40), (200, 100), (60, 300))),
    ],
)
def test_a_frame(
    frame: FrameSheet, size: tuple[int, int] | None, saved_figures: list[Figure], tmp_path: Path
) -> None:
    image = tmp_path / "folder of images" / f"{'long ' * 20}{'longer' * 20}.png"
    if size is not None:
        image.parent.mkdir()
        cv2.imwrite(str(image), np.full((*size, 3), 90, np.uint8))
    sheet = FrameSheet(**{**vars(frame), "image": image})
    draw_frame(sheet, tmp_path / "frame.png")
    (figure,) = saved_figures
    if size is None:
        # The grey box holds the words.
        assert "(nolongerexists)" in written(figure)
        assert len(figure.axes) == 1
    else:
        check_layout(figure)
        assert (figure.axes[0].images[0].get_array() == 90).all()
    texts = written(figure)
    assert squeezed(sheet.face) in texts
    places = [texts.index(squeezed(on.text)) for on in sheet.aus]
    active = [place for place, on in zip(places, sheet.aus, strict=True) if on.occurs]
    inactive = [place for place, on in zip(places, sheet.aus, strict=True) if not on.occurs]
    assert active and inactive and max(active) < min(inactive)


@pytest.mark.slow
def test_an_image_that_is_none_and_a_frame_without_a_global_text(
    frame: FrameSheet, saved_figures: list[Figure], tmp_path: Path
) -> None:
    (tmp_path / "1.png").write_bytes(b"not an image")
    for image in (None, tmp_path / "1.png"):
        draw_frame(FrameSheet(**{**vars(frame), "image": image, "face": None}), tmp_path / "f.png")
        assert "Noimage" in written(saved_figures[-1])
        assert "Noglobaldescription" in written(saved_figures[-1])


@pytest.mark.parametrize(
    "suffix",
    [".png", *(pytest.param(suffix, marks=pytest.mark.slow) for suffix in (".PDF", ".svg"))],
)
def test_the_suffix_decides_the_format(suffix: str, frame: FrameSheet, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"figure{suffix}"
    draw_frame(frame, path)
    begins = {".png": b"\x89PNG", ".PDF": b"%PDF", ".svg": b"<?xml"}
    assert path.read_bytes().startswith(begins[suffix])
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Statistics:
    folder = tmp_path_factory.mktemp("statistics")
    return caption_statistics(write_built(folder, make_frames(BP4D, 600, nulls=0.01), BP4D))


@pytest.mark.slow
def test_statistics(statistics: Statistics, saved_figures: list[Figure], tmp_path: Path) -> None:
    draw_statistics(statistics, tmp_path / "statistics.png")
    (figure,) = saved_figures
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    panels = [axes.get_tightbbox(renderer) for axes in figure.axes]
    assert len(panels) == 4
    everything = [*panels, figure.get_suptitle() and figure._suptitle.get_window_extent(renderer)]
    for one, other in combinations(everything, 2):
        assert not one.overlaps(other)
    for axes, panel in zip(figure.axes, panels, strict=True):
        assert axes.get_title(loc="left") and axes.get_xlabel() and axes.get_ylabel()
        assert panel.x0 >= 0 and panel.y0 >= 0
        assert panel.x1 <= figure.bbox.x1 and panel.y1 <= figure.bbox.y1
    balance, _, ranks, at_once = figure.axes
    shares = [100 * au.active / au.coded for au in statistics.aus]
    assert [bar.get_height() for bar in balance.patches] == pytest.approx(shares)
    assert [bar.get_height() for bar in at_once.patches] == list(statistics.at_once.values())
    counts = [count for count in statistics.local.word_counts.values() if count]
    assert list(ranks.lines[0].get_ydata()) == counts


def test_statistics_of_nothing(tmp_path: Path) -> None:
    built = write_built(tmp_path, make_frames(BP4D, 0), BP4D)
    draw_statistics(caption_statistics(built), tmp_path / "statistics.svg")
    assert (tmp_path / "statistics.svg").stat().st_size > 1000


def test_lines_are_wrapped_where_each_script_allows(chinese_font: str) -> None:
    page = Page(5, ["some English words"])
    text = "some English words, and a few (more) of them. " * 5
    lines = page.wrap(text, 2, 10)
    assert " ".join(lines).split() == text.split()
    assert len(lines) > 5
    chinese = "眉头向上抬起，额部正中的皮肤聚成短横纹。" * 8
    wide = Page(5, [chinese]).wrap(chinese, 1.0, 10)
    assert "".join(wide) == chinese and len(wide) > 20
    assert not {line[0] for line in wide} & {"，", "。"}
    assert "".join(page.wrap("/a/path_without_a_blank" * 9, 2, 10)) == "/a/path_without_a_blank" * 9


def test_every_action_unit_has_a_figure_or_a_text() -> None:
    assert {type(au_sheet(au)) for au in AUS} == {AuSheet}
