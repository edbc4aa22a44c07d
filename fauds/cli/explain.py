"""The commands that use trained weights: explain, export."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fauds.cli.options import DATASET, WORKDIR, new_progress
from fauds.errors import DataError, UsageError

if TYPE_CHECKING:
    from fauds.explanation.media import ProcessShare
    from fauds.explanation.onnx_export import ExportedModel
    from fauds.explanation.run import Summary
    from fauds.explanation.weights import Weights


_SYNTHETIC = (
    "These weights were trained on synthetic faces only: their output for a photograph is "
    "meaningless. Train on a real dataset (fauds bench) and give the run with --weights."
)


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--weights",
    metavar="RUN|FILE",
    help="Trained weights: a run, RUN/fold2, or a weights file.  [default for synthetic faces: the "
    "weights that ship with fauds]",
)
@click.option(
    "--synthetic-weights",
    is_flag=True,
    help="Use the weights that ship with fauds for real faces too, although they have seen "
    "synthetic faces only: the output means nothing.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a file instead of printing: .parquet, .jsonl or .csv (OpenFace's columns); or, for "
    "a video, .srt or .vtt (subtitles), .eaf (ELAN) or .TextGrid (Praat).",
)
@click.option(
    "--annotate",
    type=click.Path(path_type=Path),
    help="Also write annotated images: an image or video file, or a folder for several inputs.",
)
@click.option(
    "--detector",
    metavar="D",
    help="Face detector: cascade, dlib, face-alignment, mediapipe:MODEL, csv:FILE, "
    "openface:FOLDER.  "
    "[default: if the weights need aligned faces, dlib where it is installed, otherwise cascade]",
)
@click.option(
    "--faces",
    type=click.Choice(["all", "largest"]),
    default="all",
    show_default=True,
    help="Which faces of an image or video frame to explain.",
)
@click.option(
    "--min-face",
    type=click.FloatRange(0),
    default=0,
    metavar="PIXELS",
    help="Leave out faces that are less wide or high.",
)
@click.option(
    "--detect-every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Search every N-th frame of a video for faces, and follow them in between, which is "
    "faster (dlib, cascade).",
)
@click.option(
    "--aligned", is_flag=True, help="Treat every image as a face crop that is already aligned."
)
@click.option(
    "--batch", type=click.IntRange(1), help="Number of faces per batch.  [default: as in the run]"
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Device to compute on.",
)
@click.option(
    "--beam",
    type=click.IntRange(1),
    help="Beam width of the text decoder.  [default: as in the run]",
)
@click.option(
    "--no-text",
    is_flag=True,
    help="Predict probabilities without descriptions, which is much faster.",
)
@click.option(
    "--language",
    default="en",
    show_default=True,
    help="Language of the description of a predicted expression. Action units are described in the "
    "language of the training run.",
)
@DATASET
@WORKDIR
def explain(
    inputs: tuple[Path, ...],
    weights: str | None,
    synthetic_weights: bool,
    out: Path | None,
    annotate: Path | None,
    detector: str | None,
    faces: Literal["all", "largest"],
    min_face: float,
    detect_every: int,
    aligned: bool,
    batch: int | None,
    device: str,
    beam: int | None,
    no_text: bool,
    language: str,
    dataset: str,
    workdir: Path,
) -> None:
    """Predict the active action units of the faces in INPUTS and describe them in words.

    Weights that were trained on classes, such as expressions, give the probability of every class.

    INPUTS are images, videos, or folders of images and videos. If torchrun starts several
    processes, the files are divided among them, and each process writes its own output file.
    """
    from fauds.explanation import media as sources
    from fauds.explanation.engine import Explainer
    from fauds.explanation.face_cropping import FaceChoice, check_file_names, cropper_for
    from fauds.explanation.run import run
    from fauds.explanation.weights import open_weights

    if annotate:
        # Fonts and FFmpeg take a moment to load.
        from fauds.explanation.annotate import AnnotatedMedia

    _check_apart(out, annotate)
    media = sources.find_media(inputs, _say)
    if weights is None and not synthetic_weights:
        _ask_for_weights(media)
    _check_videos(out, media)
    check_file_names(detector, media)
    share = sources.ProcessShare.of_environment()
    files = share.of_files(media)
    if not files:
        click.echo(f"Process {share.rank + 1} of {share.world} has no file to read.", err=True)
        return
    opened = open_weights(weights, workdir / dataset / "runs")
    choice = FaceChoice(faces, min_face, detect_every)
    cutter = cropper_for(opened, detector, aligned=aligned, choice=choice)
    explainer = Explainer(
        opened,
        device=device,
        batch_size=batch,
        beam_width=beam,
        describe=not no_text,
        language=language,
    )
    _show_notes(opened, aligned)
    if not no_text and opened.words and (reason := opened.why_free) is not None:
        click.echo(
            f"Descriptions are the model's own and may disagree with its predictions: {reason}.",
            err=True,
        )
    if cutter.detector is not None:
        click.echo(f"Faces are found by {cutter.detector}.", err=True)
    out = share.of_output(out) if out else None
    with ExitStack() as stack:
        sink = stack.enter_context(_sink(out, opened, not no_text, len(media) > 1))
        painters = (
            [stack.enter_context(AnnotatedMedia(annotate, inputs, opened.description))]
            if annotate
            else []
        )
        advance = _bar(stack, sources.count_frames(files)) if out else lambda images: None
        summary = run(sources.frames(files, _say), cutter, explainer, [sink], painters, advance)
    if not summary.explained:
        _report_nothing(summary, share)
        return
    _show_summary(summary, [path for path in (out, annotate) if path])


def _say(line: str) -> None:
    click.echo(line, err=True)


def _check_apart(out: Path | None, annotate: Path | None) -> None:
    if out and annotate and out.resolve() == annotate.resolve():
        raise UsageError(
            f"{out.name} cannot hold both the table (--out) and the annotated images (--annotate).",
            where=out,
            hint="give two different paths",
        )


def _ask_for_weights(media: Sequence[Path]) -> None:
    """Refuse to explain real faces by the weights that ship with fauds unless the user asks for it.

    Raises:
        UsageError: a file is not of a synthetic release.
    """
    from fauds.explanation.media import is_synthetic

    real = [path for path in media if not is_synthetic(path)]
    if real:
        raise UsageError(
            "The weights that ship with fauds have seen synthetic faces only: what they say of a "
            "photograph or of a camera's video means nothing.",
            where=real[0],
            hint="give weights that were trained on real faces: --weights RUN (fauds bench trains "
            "them); or add --synthetic-weights to see how the command works",
        )


def _check_videos(out: Path | None, media: Sequence[Path]) -> None:
    """Check that files of events are asked for videos only.

    Raises:
        UsageError: an input is an image.
    """
    from fauds.annotation.describing import CLIP_FORMATS
    from fauds.explanation.media import is_video

    if out is None or out.suffix.lower() not in CLIP_FORMATS:
        return
    image = next((path for path in media if not is_video(path)), None)
    if image is not None:
        raise UsageError(
            f"A {out.suffix} file holds the events of a video, but {image.name} is an image.",
            where=image,
            hint="give a .csv, .jsonl or .parquet file with --out",
        )


def _show_notes(weights: "Weights", aligned: bool) -> None:
    for note in weights.notes:
        click.echo(note, err=True)
    if weights.synthetic:
        click.echo(_SYNTHETIC, err=True)
    if weights.whole_images and not aligned:
        click.echo(
            "Every image is taken as one face, without detection: these weights were trained on "
            "whole images (frames of a dataset, or crops that another program made).",
            err=True,
        )


def _sink(out: Path | None, weights: "Weights", texts: bool, several: bool) -> Any:
    """Return a context manager that yields the output for explanations: a file or the terminal.

    Args:
        out: the file to write; None for the terminal.
        weights: the trained weights, which define the predicted AUs or classes.
        texts: whether descriptions are written too.
        several: whether there are several input files.
    """
    from fauds.cli.terminal import Printed
    from fauds.explanation.outputs import open_output

    if out is None:
        return nullcontext(Printed(click.echo))
    return open_output(
        out,
        weights.aus,
        weights.texts if texts else (),
        several=several,
        weights=weights.description,
    )


def _bar(stack: ExitStack, images: int) -> Callable[[int], None]:
    progress = stack.enter_context(new_progress())
    return stack.enter_context(progress.bar("explaining", images))


def _report_nothing(summary: "Summary", share: "ProcessShare") -> None:
    """Report as an error that no face was explained, and why images were skipped.

    Raises:
        DataError: always, except if torchrun started several processes: the error is then only
            printed.
    """
    if summary.unreadable == summary.images:
        hint = "copy these files again; for a broken video, see the messages of ffprobe"
    else:
        hint = (
            "check these images; try another detector (--detector), or use --aligned if the images "
            "are face crops"
        )
    error = DataError(
        f"Nothing was explained: {_counted(summary.images, 'image')} skipped.",
        where="; ".join(summary.skipped),
        hint=hint,
    )
    if share.world == 1:
        raise error
    # torchrun stops all processes when one fails, but the others may have faces.
    click.echo(f"Process {share.rank + 1} of {share.world}: {error}", err=True)


def _show_summary(summary: "Summary", written: list[Path]) -> None:
    """Print how many faces were written to which files, and which images were skipped.

    Args:
        summary: the counts of the run.
        written: the paths of the files written.
    """
    skipped = summary.images - summary.explained
    for path in written:
        faces = _counted(summary.faces, "face")
        click.echo(f"{path}: {faces} in {_counted(summary.explained, 'image')}")
    if summary.estimated:
        click.echo(
            f"{_counted(summary.estimated, 'face')} cropped by eyes that were estimated from the "
            "face's box: a detector that provides landmarks is more exact (--detector dlib).",
            err=True,
        )
    if skipped:
        click.echo(f"skipped: {_counted(skipped, 'image')}", err=True)
        for line in summary.skipped:
            click.echo(f"  {line}", err=True)
        if skipped > len(summary.skipped):
            click.echo(f"  and {skipped - len(summary.skipped):,} more", err=True)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@click.command()
@click.argument("run")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["onnx"]),
    default="onnx",
    show_default=True,
    help="Format of the file.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write.  [default: named after the run, in the current folder]",
)
@DATASET
@WORKDIR
def export(run: str, kind: str, out: Path | None, dataset: str, workdir: Path) -> None:
    """Export the trained model of RUN to a file for other programs.

    RUN is a run, RUN/fold2, or a weights file. The exported model takes aligned faces and returns
    the probability of every action unit or class. It generates no descriptions; for these, use
    fauds explain.
    """
    from fauds.explanation.onnx_export import check_packages, write_onnx
    from fauds.explanation.weights import open_weights

    check_packages()
    weights = open_weights(run, workdir / dataset / "runs")
    for note in weights.notes:
        click.echo(note, err=True)
    exported = write_onnx(weights, out or _named_after(weights.path, kind))
    if weights.synthetic:
        click.echo(
            "These weights were trained on synthetic faces only: their output for a photograph is "
            "meaningless.",
            err=True,
        )
    _say_exported(exported, weights)


def _named_after(weights: Path, kind: str) -> Path:
    """Return the default file name of an export: ``RUN-fold1.onnx`` for the weights of a run.

    For another weights file, it is the name of this file with the suffix of the format.

    Args:
        weights: the weights file.
        kind: the format, such as "onnx".
    """
    from fauds.tables.paths import WEIGHTS

    if weights.name != WEIGHTS:
        return Path(f"{weights.stem}.{kind}")
    fold = weights.resolve().parent
    return Path(f"{fold.parent.name}-{fold.name}.{kind}")


def _say_exported(exported: "ExportedModel", weights: "Weights") -> None:
    from fauds.explanation.onnx_export import INPUT, crop_description

    size, alignment = weights.settings.model.image_size, weights.alignment
    click.echo(f"{exported.path}: {exported.size / 1e6:.1f} MB")
    click.echo(f"{weights.target.plural}: {', '.join(weights.target.names)}")
    click.echo(
        f"largest difference from PyTorch on {exported.faces} faces: {exported.difference:.1e}"
    )
    aligned = f"aligned as {alignment['name']}, version {alignment['version']}"
    whole = "whole images" if weights.whole_images else aligned
    click.echo(f"faces: {whole}; {crop_description(size)}")
    click.echo("use:")
    click.echo("  import onnxruntime")
    click.echo(f"  session = onnxruntime.InferenceSession({str(exported.path)!r})")
    click.echo(
        f'  probabilities = session.run(None, {{"{INPUT}": faces}})[0]  '
        f"# faces: float32 [N, 3, {size}, {size}], RGB, 0 to 255"
    )
