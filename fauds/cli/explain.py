"""The command ``fauds explain``. Nothing heavy is imported until it runs."""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fauds.cli.options import DATASET, WORKDIR, new_progress
from fauds.errors import DataError, UsageError

if TYPE_CHECKING:
    from fauds.explanation.media import ProcessShare
    from fauds.explanation.onnx_export import Exported
    from fauds.explanation.run import Summary
    from fauds.explanation.weights import Weights


_DRAWN = (
    "These weights have only ever seen drawn faces: what they say of a photograph means nothing "
    "yet. Train on a real dataset (fauds bench) and name the run with --weights."
)


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--weights",
    metavar="RUN|FILE",
    help="A run, RUN/fold2, or a weights file.  [default: the weights that come with fauds]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a .parquet, .jsonl or .csv (OpenFace's columns) file instead of printing.",
)
@click.option(
    "--annotate",
    type=click.Path(path_type=Path),
    help="Draw on the pictures: an image or video file, or a folder for several inputs.",
)
@click.option(
    "--detector",
    metavar="D",
    help="Finds the faces: cascade, mediapipe:MODEL, csv:FILE, openface:FOLDER.  "
    "[default: cascade, where the weights need one]",
)
@click.option("--aligned", is_flag=True, help="The pictures are face crops already.")
@click.option("--batch", type=click.IntRange(1), help="Faces a pass.  [default: the run's]")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option("--beam", type=click.IntRange(1), help="Beam width.  [default: the run's]")
@click.option("--no-text", is_flag=True, help="Probabilities alone: far quicker.")
@DATASET
@WORKDIR
def explain(
    inputs: tuple[Path, ...],
    weights: str | None,
    out: Path | None,
    annotate: Path | None,
    detector: str | None,
    aligned: bool,
    batch: int | None,
    device: str,
    beam: int | None,
    no_text: bool,
    dataset: str,
    workdir: Path,
) -> None:
    """Say which action units are active in the faces of INPUTS, and why, in words.

    INPUTS are images, videos, or folders of them. Under torchrun the files are shared among its
    processes, and each writes a file of its own.
    """
    from fauds.explanation import media as sources
    from fauds.explanation.annotate import AnnotatedMedia
    from fauds.explanation.cutting import check_names, cutter_for
    from fauds.explanation.engine import Explainer
    from fauds.explanation.run import run
    from fauds.explanation.weights import open_weights

    _check_apart(out, annotate)
    found = sources.find(inputs)
    check_names(detector, found)
    share = sources.ProcessShare.of_environment()
    files = share.of_files(found)
    if not files:
        click.echo(f"Process {share.rank + 1} of {share.world} has no file to read.", err=True)
        return
    opened = open_weights(weights, workdir / dataset / "runs")
    cutter = cutter_for(opened, detector, aligned=aligned)
    explainer = Explainer(
        opened, device=device, batch_size=batch, beam_width=beam, describe=not no_text
    )
    _tell(opened, aligned)
    out = share.of_output(out) if out else None
    with ExitStack() as stack:
        sink = stack.enter_context(_sink(out, opened, not no_text, len(found) > 1))
        painters = [stack.enter_context(AnnotatedMedia(annotate, inputs))] if annotate else []
        advance = _bar(stack, sources.pictures(files)) if out else lambda pictures: None
        summary = run(sources.frames(files), cutter, explainer, [sink], painters, advance)
    if not summary.explained:
        _nothing(summary, share)
        return
    _conclude(summary, [path for path in (out, annotate) if path])


def _check_apart(out: Path | None, annotate: Path | None) -> None:
    if out and annotate and out.resolve() == annotate.resolve():
        raise UsageError(
            f"{out.name} cannot hold both the table (--out) and the drawings (--annotate).",
            where=out,
            hint="name two files, or a file and a folder",
        )


def _tell(weights: "Weights", aligned: bool) -> None:
    for note in weights.notes:
        click.echo(note, err=True)
    if weights.synthetic:
        click.echo(_DRAWN, err=True)
    if weights.whole_pictures and not aligned:
        click.echo(
            "Every picture is taken for one face, as it is: so were those that these weights were "
            "trained on (a dataset's frames, or crops made elsewhere).",
            err=True,
        )


def _sink(out: Path | None, weights: "Weights", texts: bool, several: bool) -> Any:
    """Return a context that gives what takes the explanations."""
    from fauds.cli.terminal import Printed
    from fauds.explanation.outputs import open_output

    if out is None:
        return nullcontext(Printed(click.echo))
    return open_output(out, weights.aus, texts, several=several)


def _bar(stack: ExitStack, pictures: int) -> Callable[[int], None]:
    progress = stack.enter_context(new_progress())
    return stack.enter_context(progress.bar("explaining", pictures))


def _nothing(summary: "Summary", share: "ProcessShare") -> None:
    """Say that nothing was explained.

    Raises:
        DataError: in any case, where this process is the only one.
    """
    if summary.unreadable == summary.pictures:
        hint = "copy these files again; ffprobe says more of what is wrong with a video"
    else:
        hint = (
            "look at these pictures; another detector may find what this one does not "
            "(--detector), and crops need none (--aligned)"
        )
    error = DataError(
        f"Nothing was explained: {_counted(summary.pictures, 'picture')} skipped.",
        where="; ".join(summary.skipped),
        hint=hint,
    )
    if share.world == 1:
        raise error
    # torchrun stops all processes when one of them fails; the others have faces, maybe.
    click.echo(f"Process {share.rank + 1} of {share.world}: {error}", err=True)


def _conclude(summary: "Summary", written: list[Path]) -> None:
    """Say what was written and what was skipped."""
    skipped = summary.pictures - summary.explained
    for path in written:
        faces = _counted(summary.faces, "face")
        click.echo(f"{path}: {faces} in {_counted(summary.explained, 'picture')}")
    if summary.estimated:
        click.echo(
            f"{_counted(summary.estimated, 'face')} cropped by eyes that were estimated from the "
            "face's box: a detector of landmarks is more exact (--detector).",
            err=True,
        )
    if skipped:
        click.echo(f"skipped: {_counted(skipped, 'picture')}", err=True)
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
    help="Of the file.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write.  [default: here, named after the run]",
)
@DATASET
@WORKDIR
def export(run: str, kind: str, out: Path | None, dataset: str, workdir: Path) -> None:
    """Write the trained model of RUN for other programs.

    RUN is a run, RUN/fold2, or a weights file. The file takes aligned faces and gives the
    probability of every action unit; its descriptions in words stay with fauds explain.
    """
    from fauds.explanation.onnx_export import need_packages, write_onnx
    from fauds.explanation.weights import open_weights

    need_packages()
    weights = open_weights(run, workdir / dataset / "runs")
    for note in weights.notes:
        click.echo(note, err=True)
    exported = write_onnx(weights, out or _named_after(weights.path, kind))
    if weights.synthetic:
        click.echo(
            "These weights have only ever seen drawn faces: what the file says of a photograph "
            "means nothing yet.",
            err=True,
        )
    _say_exported(exported, weights)


def _named_after(weights: Path, kind: str) -> Path:
    """Return ``RUN-fold1.onnx`` of a run's weights, and the file's own name of others."""
    from fauds.tables.paths import WEIGHTS

    if weights.name != WEIGHTS:
        return Path(f"{weights.stem}.{kind}")
    fold = weights.resolve().parent
    return Path(f"{fold.parent.name}-{fold.name}.{kind}")


def _say_exported(exported: "Exported", weights: "Weights") -> None:
    from fauds.explanation.onnx_export import INPUT, crop_in_words

    size, alignment = weights.settings.model.image_size, weights.alignment
    click.echo(f"{exported.path}: {exported.size / 1e6:.1f} MB")
    click.echo(f"action units: {', '.join(weights.aus)}")
    click.echo(
        f"largest difference from PyTorch on {exported.faces} faces: {exported.difference:.1e}"
    )
    aligned = f"aligned as {alignment['name']}, version {alignment['version']}"
    whole = "whole pictures" if weights.whole_pictures else aligned
    click.echo(f"faces: {whole}; {crop_in_words(size)}")
    click.echo("use:")
    click.echo("  import onnxruntime")
    click.echo(f"  session = onnxruntime.InferenceSession({str(exported.path)!r})")
    click.echo(
        f'  probabilities = session.run(None, {{"{INPUT}": faces}})[0]  '
        f"# faces: float32 [N, 3, {size}, {size}], RGB, 0 to 255"
    )
