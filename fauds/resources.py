"""Finding the data that fauds ships in the folders templates/, benchmarks/ and models/.

In an installed wheel the folders are inside the package. In a checkout or an editable install they
are beside the package, at the root of the repository.
"""

from pathlib import Path

from fauds.errors import DataError

_PACKAGE = Path(__file__).resolve().parent
FOLDERS = ("templates", "benchmarks", "models")


def root(folder: str) -> Path:
    """Return the path of one of the shipped folders.

    Args:
        folder: the name of the folder, "templates", "benchmarks" or "models".

    Raises:
        ValueError: the name is another one.
        DataError: the installation lacks the folder.
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
    """Return the path of a shipped file, for example ``path("benchmarks", "bp4d.yaml")``.

    Raises:
        DataError: the file does not exist.
    """
    result = root(folder).joinpath(*parts)
    if not result.exists():
        raise DataError(
            f"fauds has no file {'/'.join((folder, *parts))}.",
            where=result,
            hint=f"choose a file in {root(folder)}",
        )
    return result
