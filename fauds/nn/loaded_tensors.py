"""What was used of a file of weights, by the names of its tensors."""

from typing import NamedTuple


class LoadedTensors(NamedTuple):
    """The names of the tensors of a weights file that have filled a backbone, and of others.

    Attributes:
        used: the tensors of the file whose values are in the backbone now, by their names in the
            file.
        left_over: the other tensors of the file, such as those of a classifier or a decoder.
        missing: the tensors of the backbone that are not in the file, and that keep their initial
            values, by their names in the network.
    """

    used: tuple[str, ...]
    left_over: tuple[str, ...]
    missing: tuple[str, ...]
