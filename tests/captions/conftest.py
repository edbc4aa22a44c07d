"""Copies of the shipped templates that tests change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fauds import resources


@pytest.fixture
def own_templates(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies the English templates and replaces text in one file."""

    def change(name: str, old: str | None = None, new: str = "") -> Path:
        root = tmp_path / "templates"
        shutil.copytree(resources.root("templates") / "en", root / "en")
        path = root / "en" / name
        text = path.read_text(encoding="utf-8")
        if old is None:
            path.write_text(new, encoding="utf-8")
        else:
            assert old in text
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return root

    return change
