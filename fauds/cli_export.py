"""The command ``fauds export``. Nothing heavy is imported until it runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fauds.cli_options import DATASET, WORKDIR

if TYPE_CHECKING:
    from fauds.explanation.weights import Weights
    from fauds.export import Exported


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
    from fauds.explanation.weights import open_weights
    from fauds.export import need_packages, write_onnx

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
    from fauds.training.loop import WEIGHTS

    if weights.name != WEIGHTS:
        return Path(f"{weights.stem}.{kind}")
    fold = weights.resolve().parent
    return Path(f"{fold.parent.name}-{fold.name}.{kind}")


def _say_exported(exported: "Exported", weights: "Weights") -> None:
    from fauds.export import INPUT, crop_in_words

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
