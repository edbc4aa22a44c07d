"""Model families, such as VL-FAU: networks with a common interface, and their layers.

Begin with `base`, the interface; `linear` is the shortest family. `presets` reads the settings of
a family; `layers/` holds the layers that families share. `MODELS` maps the names of models to their
families. Another package adds a family through an entry point in the group ``fauds.models``. The
entry point's name is the name of the model; its value is ``module:class``, where the class is a
subclass of `fauds.nn.base.Model`.
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
        "au-cues": "fauds.nn.au_cues:AUCues",
    },
    group="fauds.models",
)
"""Maps the name of a model to its family, a subclass of `fauds.nn.base.Model`."""

__all__ = ["MODELS"]
