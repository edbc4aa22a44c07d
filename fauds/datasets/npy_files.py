"""Reading of small NumPy files of datasets; files that could run code are refused."""

from pathlib import Path

import numpy as np

from fauds.errors import DataError

_MAGIC = b"\x93NUMPY"


def read_npy(path: Path) -> np.ndarray:
    """Return the array in a NumPy file (.npy).

    Raises:
        DataError: the file cannot be read, is no NumPy file, or holds a pickle, which can run code
            when it is loaded and is therefore never loaded.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise DataError(
                    "This is not a NumPy file (.npy); if it is a pickle, it can run code when it "
                    "is loaded, and is not.",
                    where=path,
                    hint="copy the file again from the release",
                )
            file.seek(0)
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", where=path) from error
    except ValueError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        pickled = "allow_pickle" in reason
        raise DataError(
            "This NumPy file holds a pickle, which can run code when it is loaded; it is not."
            if pickled
            else f"The file is cut off or damaged: {reason}.",
            where=path,
            hint="save a number instead: numpy.save(path, 3)"
            if pickled
            else "copy the file again from the release",
        ) from error
    return array
