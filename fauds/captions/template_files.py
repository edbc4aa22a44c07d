"""Finds, reads and hashes the files from which a language's descriptions are rendered."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from fauds import registry, resources
from fauds.errors import DataError, UsageError
from fauds.facs import AUS
from fauds.tables.store import fingerprint

FILES = ("language.yaml", "local.j2", "global.yaml", "global.j2")
"""The names of the files that a language needs besides a file like local/AU12.yaml for each AU."""

ANNOTATION = "annotation.yaml"
"""The file with the words of events and summaries of clips, which a language may lack."""
COMPOSED = "composed.j2"
"""The name of the file that a language with a composed style has as well."""

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
        """Return a place in the file for an error message, as text: path:line.

        Args:
            line: the number of the line, from 1; if None, only the path is returned.
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
        templates: a folder laid out like templates/, whose files override the shipped files of the
            same name. It can hold more .j2 files, which templates include by name.

    Raises:
        UsageError: the language or the folder does not exist.
        DataError: the folder has no file of this language; or a file is missing, is not UTF-8 text,
            or does not have the name of a template file (such a file would be ignored).
    """
    _check_language(language, templates)
    paths = _paths(resources.root("templates"), language)
    if templates is not None:
        own_paths = _paths(templates, language)
        if not own_paths:
            raise DataError(
                f"The templates folder has no file for the language {language!r}.",
                where=templates / language,
                hint=f"put at least one of these files into this folder: {', '.join(FILES)}, "
                f"{local_name('AU12')} etc.; fauds uses its own files for the rest",
            )
        paths |= own_paths
    for name in FILES:
        if name not in paths:
            folder = (templates or resources.root("templates")) / language
            raise DataError(
                f"The language {language!r} has no {name}.",
                where=folder / name,
                hint=f"add this file: a language needs {', '.join(FILES)}, and a file like "
                f"{local_name('AU12')} for every action unit",
            )
    return {name: TemplateFile(name, path, _read(path)) for name, path in sorted(paths.items())}


def template_hash(language: str = "en", templates: Path | None = None) -> str:
    """Return the SHA-256 of the names and contents of all template files of a language, as text.

    Arguments and errors are those of `sources`.
    """
    return hash_of(sources(language, templates))


def hash_of(files: dict[str, TemplateFile]) -> str:
    """Return the SHA-256 of the names and contents of some template files, as text."""
    # Captions do not depend on the words of events.
    names = sorted(name for name in files if name != ANNOTATION)
    return fingerprint([[name, files[name].text] for name in names])


def _check_language(language: str, templates: Path | None) -> None:
    if templates is not None and not templates.is_dir():
        raise UsageError(
            "The templates folder does not exist.",
            where=templates,
            hint="check the path, or create the folder",
        )
    available = languages(templates)
    if language not in available:
        raise registry.unknown_name_error("language", language, available)


def _paths(root: Path, language: str) -> dict[str, Path]:
    folder = root / language
    paths = (path for pattern in _PATTERNS for path in folder.glob(pattern))
    paths_by_name = {path.relative_to(folder).as_posix(): path for path in paths}
    known = [*FILES, ANNOTATION, *map(local_name, AUS)]
    for name, path in paths_by_name.items():
        # Additional .j2 files are allowed: templates can include them.
        if name not in known and path.suffix != ".j2":
            near = difflib.get_close_matches(name, known, n=1)
            raise DataError(
                f"{name} is not the name of a template file.",
                where=path,
                hint=(f"did you mean {near[0]}? " if near else "")
                + f"rename it to one of {', '.join(FILES)}, {local_name('AU12')} etc.",
            )
    return paths_by_name


def _read(path: Path) -> str:
    try:
        # Reading a device or a pipe might never end.
        if not path.is_file() or path.stat().st_size > _LARGEST:
            raise DataError(
                f"{path.name} must be a regular file of at most {_LARGEST:,} bytes.",
                where=path,
                hint="replace it by a text file, or remove it",
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path.name} cannot be read: {error}.", where=path, hint="save it as UTF-8 text"
        ) from error
