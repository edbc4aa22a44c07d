"""The packages of fauds, found rather than listed; everything else is declared in setup.cfg."""

from setuptools import find_packages, setup

# The data folders lie at the repository root and are mapped into the package for the wheel.
DATA = {f"fauds.{folder}": folder for folder in ("templates", "benchmarks", "models")}

setup(
    packages=[*find_packages(include=["fauds", "fauds.*"]), *DATA],
    package_dir={"fauds": "fauds", **DATA},
)
