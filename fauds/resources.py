"""Finding the data that fauds ships: templates/, benchmarks/ and models/.

In a wheel the three folders lie inside the package; in a checkout or an editable install they
lie beside it, at the repository root.
"""

from pathlib import Path

from fauds.errors import DataError

_PACKAGE = Path(__file__).resolve().parent
FOLDERS = ("templates", "benchmarks", "models")


def root(folder: str) -> Path:
    """Return where one of the shipped folders is.

    Args:
        folder: "templates", "benchmarks" or "models".

    Raises:
        DataError: the installation does not hold the folder.
    """
    if folder not in FOLDERS:
        raise ValueError(f"{folder!r} is not one of {FOLDERS}")
    for parent in (_PACKAGE, _PACKAGE.parent):
        candidate = parent / folder
        if candidate.is_dir():
            return candidate
    raise DataError(
        f"The installed fauds has no {folder}/ folder.",
        where=_PACKAGE,
        hint="install it again: pip install --force-reinstall fauds",
    )


def path(folder: str, *parts: str) -> Path:
    """Return the path of one shipped file, for example ``path("benchmarks", "bp4d.yaml")``.

    Raises:
        DataError: there is no such file.
    """
    found = root(folder).joinpath(*parts)
    if not found.exists():
        raise DataError(
            f"fauds ships no {'/'.join((folder, *parts))}.",
            where=found,
            hint=f"look into {root(folder)} for what there is",
        )
    return found
