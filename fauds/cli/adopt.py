"""The command adopt: makes a dataset of a table of codes of the user's own."""

from pathlib import Path
from typing import Any

import click

from fauds.cli.describe import COLUMN_OPTION, SCALE, named_columns


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--name",
    required=True,
    help="Name of the dataset and its protocol: small letters, digits and hyphens.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the images of the frames.",
)
@click.option(
    "--pattern",
    help="How the path of an image in this folder is made, without its suffix, such as "
    "'{subject}/{clip}/{frame}'.  [default: the table's column of images, or the first usual "
    "pattern that fits]",
)
@COLUMN_OPTION
@SCALE
@click.option("--missing-code", type=int, help='Number that stands for "not coded", such as 9.')
@click.option(
    "--occurrence",
    metavar="RULE",
    help="When an AU counts as occurring: coded, or 'intensity >= 1' to 'intensity >= 5'.  "
    "[default: coded if the table says so, otherwise 'intensity >= 2']",
)
@click.option("--aus", metavar="AU,AU", help="Use only these AUs, such as 6,12.")
@click.option(
    "--folds", type=click.IntRange(2), help="Number of folds.  [default: 3, or one a subject]"
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random folds."
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Protocol file to write.  [default: NAME.yaml]",
)
def adopt(table: Path, columns: tuple[str, ...], aus: str | None, **options: Any) -> None:
    """Look at TABLE, show what it holds, and write a protocol that makes it a dataset.

    TABLE has a row for each frame of a person (or for each AU), with hand-coded AUs in columns or
    in FACS notation. Names of people and clips may be in any script. All commands then take
    --benchmark NAME.yaml.
    """
    from fauds.pipeline.adopting import AdoptRequest, adopt

    request = AdoptRequest(
        table=table,
        columns=named_columns(columns),
        aus=tuple(aus.split(",")) if aus else None,
        **options,
    )
    adoption = adopt(request)
    for line in adoption.lines:
        click.echo(line)
    click.echo(f"{adoption.path}: the protocol; look through it, and change what you like")
    steps = ["build-captions", *(["split"] if adoption.folds else [])]
    if adoption.images and adoption.folds:
        # The preset is small enough for a computer without a GPU.
        steps += ["prepare", "bench linear --preset tiny"]
    click.echo("next:")
    for step in steps:
        click.echo(f"  fauds {step} --benchmark {adoption.path}")
