"""Converting NumPy arrays to Arrow columns and back."""

import numpy as np
import pyarrow as pa
import pytest

from fauds.tables.columns import categories, category, from_numpy, from_strings, to_numpy


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.int64(), pa.float32()])
@pytest.mark.parametrize("count", [0, 1, 8, 13])
def test_numbers_become_a_column_with_nulls(kind: pa.DataType, count: int) -> None:
    values, null = np.arange(count), np.arange(count) % 3 == 1
    column = from_numpy(values, kind, null)
    column.validate(full=True)
    assert column.equals(pa.array(values, kind, mask=null))
    assert from_numpy(values[::-1], kind).equals(pa.array(values[::-1].copy(), kind))


@pytest.mark.parametrize("values", [[], [""], ["a", "", "ä€", "a"]])
def test_strings_become_a_column(values: list[str]) -> None:
    column = from_strings(values)
    column.validate(full=True)
    assert column.equals(pa.array(values, pa.string()))


def test_a_category_with_a_negative_code_is_null() -> None:
    column = category(np.array([1, -1, 0], np.int32), ["a", "b"])
    column.validate(full=True)
    assert column.to_pylist() == ["b", None, "a"]


def test_texts_become_a_category_in_any_order_and_in_several_rows_each() -> None:
    texts = ["T10", None, "T2", "T10"]
    column = categories(texts)
    column.validate(full=True)
    assert column.to_pylist() == texts
    assert column.dictionary.to_pylist() == ["T10", "T2"]
    column = categories(texts, lengths=[2, 1, 0, 1], order=lambda text: int(text[1:]))
    column.validate(full=True)
    assert column.to_pylist() == ["T10", "T10", None, "T10"]
    assert column.dictionary.to_pylist() == ["T2", "T10"]
    assert categories([None, None]).to_pylist() == [None, None]


def test_a_column_in_chunks_becomes_one_array() -> None:
    whole = pa.array(range(10), pa.int32())
    chunks = pa.chunked_array([whole.slice(2, 3), whole.slice(9), whole.slice(0, 0)])
    assert to_numpy(chunks).tolist() == [2, 3, 4, 9]
    assert to_numpy(pa.chunked_array([], pa.int8())).dtype == np.int8
