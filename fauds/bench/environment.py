"""What a result was computed with."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from fauds import __version__

_PACKAGES = ("torch", "timm", "numpy", "pyarrow", "spacy")


def versions() -> dict[str, str]:
    """Return the versions of fauds, Python and the packages that decide figures."""
    packages = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    return {"fauds": __version__, "python": platform.python_version(), **packages}
