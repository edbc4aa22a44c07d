"""The template files of a language: where they are, their text, their hash."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from fauds import registry, resources
from fauds.errors import DataError, UsageError
from fauds.facs import AUS
from fauds.tables.store import fingerprint

FILES = ("language.yaml", "local.j2", "global.yaml", "global.j2")
"""What a language needs besides a file local/AU12.yaml for every action unit."""

_PATTERNS = ("*.yaml", "*.j2", "local/*")
_LARGEST = 2**20  # bytes of a file; the largest that fauds ships has 40,000


@dataclass(frozen=True)
class TemplateFile:
    """One file: its name within the language (local/AU12.yaml), where it lies, what it says."""

    name: str
    path: Path
    text: str

    def at(self, line: int | None) -> str:
        """Return where a line (from 1) of the file is, as path:line."""
        return str(self.path) if line is None else f"{self.path}:{line}"


def local_name(au: str) -> str:
    """Return the name of the file that describes one action unit."""
    return f"local/{au}.yaml"


def languages(templates: Path | None = None) -> list[str]:
    """Return the languages there are, shipped or in a templates folder of the user's."""
    roots = [resources.root("templates"), *([] if templates is None else [templates])]
    return sorted({path.parent.name for root in roots for path in root.glob("*/*.yaml")})


def sources(language: str, templates: Path | None = None) -> dict[str, TemplateFile]:
    """Return the files of a language by name.

    Args:
        language: a folder of templates/, named by its language code.
        templates: a folder laid out like templates/, whose files take the place of the
            shipped ones of the same name; further .j2 files can be included by name.

    Raises:
        UsageError: there is no such language or folder.
        DataError: the folder overrides nothing, or a file is missing, not UTF-8 text, or not one
            that a language has (its words would silently have no effect).
    """
    _check(language, templates)
    paths = _paths(resources.root("templates"), language)
    if templates is not None:
        own = _paths(templates, language)
        if not own:
            raise DataError(
                f"The templates folder has no file for the language {language!r}.",
                where=templates / language,
                hint=f"put any of {', '.join((*FILES, local_name('AU12')))} there; the shipped "
                "ones stand in for the rest",
            )
        paths |= own
    for name in FILES:
        if name not in paths:
            folder = (templates or resources.root("templates")) / language
            raise DataError(
                f"The language {language!r} has no {name}.",
                where=folder / name,
                hint=f"a language needs {', '.join(FILES)} and {local_name('AU12')} ...",
            )
    return {name: TemplateFile(name, path, _read(path)) for name, path in sorted(paths.items())}


def template_hash(language: str = "en", templates: Path | None = None) -> str:
    """Return the SHA-256 of all files of a language, names and bytes."""
    return hash_of(sources(language, templates))


def hash_of(files: dict[str, TemplateFile]) -> str:
    """Return the SHA-256 of files already read."""
    return fingerprint([[name, files[name].text] for name in sorted(files)])


def _check(language: str, templates: Path | None) -> None:
    if templates is not None and not templates.is_dir():
        raise UsageError("The templates folder is not there.", where=templates)
    known = languages(templates)
    if language not in known:
        raise registry.unknown("language", language, known)


def _paths(root: Path, language: str) -> dict[str, Path]:
    folder = root / language
    paths = (path for pattern in _PATTERNS for path in folder.glob(pattern))
    found = {path.relative_to(folder).as_posix(): path for path in paths}
    known = [*FILES, *map(local_name, AUS)]
    for name, path in found.items():
        # Further .j2 files can be included.
        if name not in known and path.suffix != ".j2":
            near = difflib.get_close_matches(name, known, n=1)
            raise DataError(
                f"{name} is not a file that a language has.",
                where=path,
                hint=(f"did you mean {near[0]}? " if near else "")
                + f"there are {', '.join(FILES)} and {local_name('AU12')} ...",
            )
    return found


def _read(path: Path) -> str:
    try:
        # A device or a pipe has no end.
        if not path.is_file() or path.stat().st_size > _LARGEST:
            raise DataError(
                f"{path.name} is not a file of at most {_LARGEST:,} bytes.",
                where=path,
                hint="a language's files are short texts",
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path.name} cannot be read: {error}.", where=path, hint="save it as UTF-8 text"
        ) from error
