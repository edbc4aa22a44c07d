"""Finds, reads and hashes the files from which a language's descriptions are rendered."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from fauds import registry, resources
from fauds.errors import DataError, UsageError
from fauds.facs import AUS
from fauds.tables.store import fingerprint

FILES = ("language.yaml", "local.j2", "global.yaml", "global.j2")
"""The names of the files that a language needs, besides local/AU12.yaml etc. for every AU."""

_PATTERNS = ("*.yaml", "*.j2", "local/*")
_LARGEST = 2**20  # maximum size of a file in bytes; the largest shipped file has 40,000


@dataclass(frozen=True)
class TemplateFile:
    """A template file of a language: a YAML file with texts, or a .j2 file that joins them.

    Attributes:
        name: the file's path within the language's folder, such as local/AU12.yaml.
        path: the path of the file on disk.
        text: the content of the file.
    """

    name: str
    path: Path
    text: str

    def at(self, line: int | None) -> str:
        """Return the place of a line of the file, as text: path:line, or the path if line is None.

        Args:
            line: the number of the line, from 1.
        """
        return str(self.path) if line is None else f"{self.path}:{line}"


def local_name(au: str) -> str:
    """Return the name of the template file that describes an action unit: local/AU12.yaml."""
    return f"local/{au}.yaml"


def languages(templates: Path | None = None) -> list[str]:
    """Return the codes of all languages that have templates, such as "en", sorted.

    Args:
        templates: a folder of the user's own templates, whose languages are added to the shipped
            ones.
    """
    roots = [resources.root("templates"), *([] if templates is None else [templates])]
    return sorted({path.parent.name for root in roots for path in root.glob("*/*.yaml")})


def sources(language: str, templates: Path | None = None) -> dict[str, TemplateFile]:
    """Return the template files of a language, by their names, such as local/AU12.yaml.

    Args:
        language: the language's code, which is the name of its folder in templates/.
        templates: a folder laid out like templates/ whose files override the shipped ones of the
            same name; further .j2 files can be included by name.

    Raises:
        UsageError: the language or the folder does not exist.
        DataError: the folder has no file of this language; or a file is missing, is not UTF-8 text,
            or has a name that is not the name of a template file (the file would be ignored).
    """
    _check_language(language, templates)
    paths = _paths(resources.root("templates"), language)
    if templates is not None:
        own_paths = _paths(templates, language)
        if not own_paths:
            raise DataError(
                f"The templates folder has no file for the language {language!r}.",
                where=templates / language,
                hint=f"put one of {', '.join((*FILES, local_name('AU12')))} in it; the shipped "
                "files are used for the others",
            )
        paths |= own_paths
    for name in FILES:
        if name not in paths:
            folder = (templates or resources.root("templates")) / language
            raise DataError(
                f"The language {language!r} has no {name}.",
                where=folder / name,
                hint=f"add it: a language needs {', '.join(FILES)} and {local_name('AU12')} etc.",
            )
    return {name: TemplateFile(name, path, _read(path)) for name, path in sorted(paths.items())}


def template_hash(language: str = "en", templates: Path | None = None) -> str:
    """Return the SHA-256 of the names and contents of all template files of a language, as text.

    Arguments and errors are those of `sources`.
    """
    return hash_of(sources(language, templates))


def hash_of(files: dict[str, TemplateFile]) -> str:
    """Return the SHA-256 of the names and contents of some template files, as text."""
    return fingerprint([[name, files[name].text] for name in sorted(files)])


def _check_language(language: str, templates: Path | None) -> None:
    if templates is not None and not templates.is_dir():
        raise UsageError(
            "The templates folder does not exist.", where=templates, hint="check its path"
        )
    available = languages(templates)
    if language not in available:
        raise registry.unknown_name_error("language", language, available)


def _paths(root: Path, language: str) -> dict[str, Path]:
    folder = root / language
    paths = (path for pattern in _PATTERNS for path in folder.glob(pattern))
    paths_by_name = {path.relative_to(folder).as_posix(): path for path in paths}
    known = [*FILES, *map(local_name, AUS)]
    for name, path in paths_by_name.items():
        # Additional .j2 files are allowed: templates can include them.
        if name not in known and path.suffix != ".j2":
            near = difflib.get_close_matches(name, known, n=1)
            raise DataError(
                f"{name} is not the name of a template file.",
                where=path,
                hint=(f"did you mean {near[0]}? " if near else "")
                + f"choose from: {', '.join(FILES)}, {local_name('AU12')} etc.",
            )
    return paths_by_name


def _read(path: Path) -> str:
    try:
        # Reading a device or a pipe might never end.
        if not path.is_file() or path.stat().st_size > _LARGEST:
            raise DataError(
                f"{path.name} is not a file of at most {_LARGEST:,} bytes.",
                where=path,
                hint="replace it by a text file",
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path.name} cannot be read: {error}.", where=path, hint="save it as UTF-8 text"
        ) from error
