"""One matrix out of a small MATLAB file of version 5.

The format is public (MATLAB's "MAT-File Format"). SciPy reads all of it, but a damaged byte in a
file can end its process; here, whatever the bytes are, the worst is an error.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

_HEADER = 128
_COMPRESSED, _MATRIX, _INT32, _UINT32 = 15, 14, 5, 6
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_NUMBERS |= {12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)
_LARGEST = 2**20


def read_matrix(data: bytes, name: str) -> np.ndarray | None:
    """Return a matrix of numbers by name, or None where there is no such name.

    Args:
        data: the whole file; what a compressed variable holds may have a MiB.
        name: of the variable.

    Raises:
        ValueError: the file is cut off, damaged, no MATLAB file of version 5, or the variable
            holds no numbers.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    if order is None:
        raise ValueError("it is no MATLAB file of version 5")
    for kind, body in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            ((kind, body),) = _elements(_inflated(body), order)
        if kind == _MATRIX:
            flags, dimensions, label, *parts = _elements(body, order)
            if label[1] == name.encode():
                return _matrix(flags, dimensions, parts, order)
    return None


def _matrix(
    flags: tuple[int, bytes],
    dimensions: tuple[int, bytes],
    parts: list[tuple[int, bytes]],
    order: str,
) -> np.ndarray:
    # The class is the lowest byte of the first of two words.
    if flags[0] != _UINT32 or _words(flags[1], order)[0] & 0xFF not in _NUMERIC_CLASSES:
        raise ValueError("the variable holds no numbers")
    if dimensions[0] != _INT32 or not parts or parts[0][0] not in _NUMBERS:
        raise ValueError("the variable is damaged")
    kind, values = parts[0]
    shape = _words(dimensions[1], order)
    return np.frombuffer(values, order + _NUMBERS[kind]).reshape(shape.tolist(), order="F")


def _words(data: bytes, order: str) -> np.ndarray:
    return np.frombuffer(data, order + "u4")


def _inflated(data: bytes) -> bytes:
    try:
        stream = zlib.decompressobj()
        found = stream.decompress(data, _LARGEST)
    except zlib.error as error:
        raise ValueError("what is compressed in it is damaged") from error
    if not stream.eof:
        raise ValueError("what is compressed in it is cut off")
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield the types and contents of the elements that lie one after the other in data."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it is cut off")
        kind, size = struct.unpack_from(order + "II", data, at)
        begin = at + 8
        if kind >> 16:
            # Up to 4 bytes lie in the tag itself, whose first word then has type and size.
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
            at += 8
        else:
            # Compressed elements alone are not filled up to whole 8 bytes.
            at = begin + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(data) or begin + size > at:
            raise ValueError("it is cut off")
        yield kind, data[begin : begin + size]
