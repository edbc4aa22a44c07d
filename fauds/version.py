"""The version of fauds, which is defined only here, and those of what its results depend on."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

VERSION = "0.1.0"

_PACKAGES = ("torch", "timm", "numpy", "pyarrow", "spacy")


def versions() -> dict[str, str]:
    """Return the versions of fauds, of Python and of the packages that can change the results.

    Returns:
        A dict from names, such as "torch", to versions; packages that are not installed are
        missing.
    """
    packages = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    return {"fauds": VERSION, "python": platform.python_version(), **packages}
