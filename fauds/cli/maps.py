"""The command maps, which draws AU maps over a face."""

from pathlib import Path

import click

from fauds.cli.options import check_figure
from fauds.errors import FaudsError, UsageError
from fauds.facs import WITHOUT_AUS, au_name, expression_aus


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="IMAGE|AU|EXPRESSION...")
@click.option(
    "--detector",
    metavar="D",
    help="Detector of the landmarks of IMAGE: dlib, mediapipe:MODEL, openface:FOLDER, or csv:FILE "
    "with landmarks.  [default: dlib where it is installed]",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The figure to write: a .png, .pdf or .svg file.  [default: named after the arguments, "
    "in the current folder]",
)
def maps(what: tuple[str, ...], detector: str | None, out: Path | None) -> None:
    """Draw maps of where action units are visible over a face.

    AU is an action unit, such as AU12. EXPRESSION is one of the codebook (happiness, surprise,
    fear, anger, disgust, sadness), which gives its action units: their maps are drawn together
    and one by one. They are drawn over a synthetic face, or over the largest face of IMAGE. IMAGE
    alone is drawn with every expression.
    """
    from fauds.report.au_map_figures import draw_maps

    check_figure(out)
    names, image = _sorted(what)
    if detector is not None and image is None:
        raise UsageError(
            "A detector can only be used with an image.", hint="name an image, or no detector"
        )
    face = None
    if image is not None:
        from fauds.faces.aligned_face import largest_face
        from fauds.faces.detectors import default_detector, open_detector

        face = largest_face(image, open_detector(detector or default_detector()))
    out = out or Path(f"{'-'.join([*([image.stem] if image else []), *names])}-maps.png")
    draw_maps(names, face, out)
    click.echo(out)


def _sorted(words: tuple[str, ...]) -> tuple[list[str], Path | None]:
    """Return the AUs and expressions that the user named, and the image, if any.

    Raises:
        UsageError: a word is none of these, or several images are named.
    """
    names: list[str] = []
    images: list[Path] = []
    for word in words:
        if word.lower() in WITHOUT_AUS:
            raise UsageError(
                f"There is no map of {word.lower()}: the codebook has no action units for it.",
                hint=f"choose from: {', '.join(expression_aus())}",
            )
        if word.lower() in expression_aus():
            names.append(word.lower())
        elif (au := _au(word)) is not None:
            names.append(au)
        elif Path(word).is_file():
            images.append(Path(word))
        else:
            raise UsageError(
                f"{word!r} is neither an image file nor an action unit nor an expression.",
                hint=f"expressions are: {', '.join(expression_aus())}; action units such as AU12",
            )
    if len(images) > 1:
        raise UsageError(
            f"There are {len(images)} images, and a figure shows one.",
            where=images[1],
            hint="draw one image at a time",
        )
    return list(dict.fromkeys(names)), images[0] if images else None


def _au(word: str) -> str | None:
    try:
        return au_name(word)
    except FaudsError:
        return None
