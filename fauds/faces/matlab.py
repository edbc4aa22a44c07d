"""A reader for one matrix in a small MATLAB file of version 5.

SciPy's reader supports the whole format (documented in MATLAB's "MAT-File Format"), but a damaged
file can crash it, and the Python process with it. This reader raises ValueError for every damaged
file.
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
    """Return the matrix in a variable of a MATLAB file, or None if there is no such variable.

    Args:
        data: the content of the file; a compressed variable may hold at most 1 MiB.
        name: the name of the variable.

    Raises:
        ValueError: the file is cut off, damaged, or not a MATLAB file of version 5, or the
            variable does not hold numbers.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    if order is None:
        raise ValueError("it is not a MATLAB file of version 5")
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
    # The lowest byte of the first word is the class of the array.
    if flags[0] != _UINT32 or _words(flags[1], order)[0] & 0xFF not in _NUMERIC_CLASSES:
        raise ValueError("the variable does not hold numbers")
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
        content = stream.decompress(data, _LARGEST)
    except zlib.error as error:
        raise ValueError("its compressed data are damaged") from error
    if not stream.eof:
        raise ValueError("its compressed data are cut off")
    return content


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield the type number and the content of each data element in a part of a MATLAB file.

    Args:
        data: the bytes of consecutive data elements.
        order: the byte order, "<" or ">".
    """
    offset = 0
    while offset < len(data):
        if offset + 8 > len(data):
            raise ValueError("it is cut off")
        kind, size = struct.unpack_from(order + "II", data, offset)
        begin = offset + 8
        if kind >> 16:
            # The tag itself holds up to 4 bytes; its first word then holds both type and size.
            kind, size, begin = kind & 0xFFFF, kind >> 16, offset + 4
            offset += 8
        else:
            # All elements but compressed ones are padded to a multiple of 8 bytes.
            offset = begin + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(data) or begin + size > offset:
            raise ValueError("it is cut off")
        yield kind, data[begin : begin + size]
