"""Loads the scripts of benchmarks/, which are not part of the package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def script(name: str) -> ModuleType:
    """Return a script as a module, such as that of ``studies/coverage.py``."""
    path = Path(__file__).parents[2] / "benchmarks" / name
    spec = importlib.util.spec_from_file_location(f"benchmarks_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module in sys.modules.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
