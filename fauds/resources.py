"""Finding the data that fauds ships in the folders templates/, benchmarks/ and models/.

In an installed wheel the folders are inside the package. In a checkout or an editable install they
are beside the package, at the root of the repository.
"""

from pathlib import Path

from fauds.errors import DataError

_PACKAGE = Path(__file__).resolve().parent
FOLDERS = ("templates", "benchmarks", "models")


def root(folder: str) -> Path:
    """Return the path of one of the folders of data that fauds ships.

    Args:
        folder: the name of the folder, "templates", "benchmarks" or "models".

    Raises:
        ValueError: the name is none of these three.
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
    """Return the path of a file that fauds ships, such as ``path("benchmarks", "bp4d.yaml")``.

    Args:
        folder: the name of the folder, "templates", "benchmarks" or "models".
        parts: the names of the folders in it that lead to the file, and of the file.

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
