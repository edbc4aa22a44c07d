"""Model families: networks behind one contract, and the layers that they are built of.

Begin with `base`, the contract; `linear` is the shortest family. `presets` reads their settings;
`layers/` holds what families share. `MODELS` knows families by name. Another package adds its own
through the entry-point group ``fauds.models``: name = "module:class", a `fauds.nn.base.Model`.
"""

from typing import TYPE_CHECKING

from fauds.registry import Registry

if TYPE_CHECKING:
    from fauds.nn.base import Model

MODELS: "Registry[type[Model]]" = Registry(
    "model",
    {
        "vlfau": "fauds.nn.vlfau:VLFAU",
        "linear": "fauds.nn.linear:Linear",
    },
    group="fauds.models",
)
"""Model name to its family."""

__all__ = ["MODELS"]
