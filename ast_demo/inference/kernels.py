"""Attention, and the norms of bfloat16, in loops that Numba compiles when they are first called.

NumPy has no bfloat16: those arrays are `uint16` and hold the bits, the upper half of a float32's.

Where the processor has a matrix unit (see `amx`), `attend` does all of it, and scores never leave the cache of a core.
Elsewhere, and in single precision, PyTorch multiplies, and `attention_weights` or `attention_weights_float32` does what is
between its products.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numba import njit

from ast_demo.inference import amx

# A loop of additions is made into one of vectors only where their order may change, one with a maximum where no NaN is.
_IN_ANY_ORDER = True
_FINITE = {"contract", "nnan", "nsz"}

# What is read from an array, or made of it: a NumPy number, of 32 bits.
_Number: TypeAlias = Any

_LOG2_E = np.float32(1 / math.log(2))
_TO_INTEGER = np.float32(1.5 * 2**23)  # added and taken away again, it rounds to the nearest integer
_SMALLEST_EXPONENT = np.float32(-126)
_SMALLEST_NORMAL = np.float32(2.0**-14)  # of float16
_FEWER_EXPONENTS = np.uint32((127 - 15) << 23)
_HALF = np.float32(0.5)
_HALF_BITS = np.uint32(0x3F000000)
_LARGEST_INTEGER = np.int32(2**31 - 1)
# 2^x for x from -1/2 to 1/2, to the rounding of single precision: the minimax polynomial of relative error (2e-9), by
# Lawson's iteration on 4,000 points.
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(one)
    for one in (
        *(1.0000000006, 0.69314720574, 0.24022646891, 0.05550328777, 0.0096184889578),
        *(0.0013399931218, 0.00015345811825),
    )
)
# So many rows of one head before the next head's: few enough for the cache, in which their sums wait.
_ROWS_AT_A_TIME = 4

# Rows and columns of a product that is made at once, two tiles by two; and so many numbers of each one step multiplies.
BLOCK = 32
# With the matrix unit, scores and sums of so many blocks of rows are in work: few enough for the 2 MB of a core's cache, enough
# to read keys and values seldom.
_BLOCKS_AT_A_TIME = 3


def _kept(function: Callable[..., Any]) -> Any:
    """Compiled, and kept on the disk for the next start where there is a place for it."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the program's folder nor the user's can be written to
        return njit(nogil=True)(function)


@_kept
def attention_weights(
    scores: np.ndarray, scaling: float, n_tokens: int, head_sums: np.ndarray, start: int, stop: int
) -> None:
    """Make scores into weights, in place, and add them up over the heads before they are rounded.

    The numbers are as `softmax` gives them, within the rounding of bfloat16.

    Args:
        scores: (heads, rows, columns), bits; the columns from `n_tokens` on become 0.
        scaling: By which scores are multiplied first.
        head_sums: (rows or fewer, n_tokens), the bits of float16: becomes the sum over the heads. Of size 0 where nobody
            wants it.
        start, stop: Which rows to do: for several threads.
    """
    values, powers = np.empty(n_tokens, np.float32), np.empty(n_tokens, np.float32)
    sums = np.empty((_ROWS_AT_A_TIME, n_tokens), np.float32)
    factor = np.float32(scaling * _LOG2_E)
    for first in range(start, stop, _ROWS_AT_A_TIME):
        places = range(first, min(first + _ROWS_AT_A_TIME, stop))
        sums[:] = 0
        for head in range(len(scores)):
            for place in places:
                row = scores[head, place]
                _widen(row, values)
                _exponentials(values, factor, powers)
                _scale(powers, np.float32(1) / _sum(powers))
                _round_all(powers, row)
                row[n_tokens:] = 0
                if head_sums.size:
                    _add_up(powers, np.float32(1), sums[place - first])
        if head_sums.size:
            for place in range(first, min(places.stop, len(head_sums))):
                _store(sums[place - first], head_sums[place])


@_kept
def attention_weights_float32(scores: np.ndarray, head_sums: np.ndarray, is_added: bool, start: int, stop: int) -> None:
    """As `attention_weights`, in single precision, for `layers_float32`.

    Args:
        scores: (heads, rows, tokens) float32, scaled.
        head_sums: (rows, tokens) float32: becomes the sum of the heads' weights.
        is_added: To what it was; otherwise that is overwritten.
        start, stop: Which rows to do.
    """
    powers = np.empty(scores.shape[2], np.float32)
    for i in range(start, stop):
        if not is_added:
            head_sums[i] = 0
        for head in range(len(scores)):
            row = scores[head, i]
            _exponentials(row, _LOG2_E, powers)
            _divide(powers, _sum(powers), row, head_sums[i])


@_kept
def lay_out(projected: np.ndarray, keys: np.ndarray, values: np.ndarray, start: int, stop: int) -> None:
    """Put keys and values as `attend` reads them.

    Args:
        projected: (columns, 3 · heads · size), bits: queries, keys and values. Columns and size are multiples of `BLOCK`.
        keys, values: (heads, columns · size), bits, become: of each block of columns the tiles that columns of keys and 32
            numbers make, or 32 columns of values and 16 numbers.
        start, stop: Which of the columns / `BLOCK` blocks to do.
    """
    n_heads, width = len(keys), projected.shape[1] // 3
    size = width // n_heads
    pairs = projected.view(np.uint32)
    for first in range(start * BLOCK, stop * BLOCK, BLOCK):
        for head in range(n_heads):
            of_keys, of_values = keys[head].view(np.uint32), values[head].view(np.uint32)
            place = first * size // 2
            for number in range(0, size, 32):
                pair = (width + head * size + number) // 2
                for column in range(first, first + BLOCK, 16):
                    for i in range(16):
                        for j in range(16):
                            of_keys[place + i * 16 + j] = pairs[column + j, pair + i]
                    place += 256
            place = first * size // 2
            for number in range(2 * width + head * size, 2 * width + (head + 1) * size, 16):
                for i in range(first, first + BLOCK, 2):
                    upper, lower = projected[i][number:], projected[i + 1][number:]
                    for j in range(16):
                        of_values[place + j] = upper[j] | np.uint32(lower[j]) << np.uint32(16)
                    place += 16


@_kept
def attend(
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    scaling: float,
    attended: np.ndarray,
    n_tokens: int,
    head_sums: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Attention of all heads by the matrix unit; only where `devices.has_matrix_unit()`.

    Args:
        queries: (rows, 3 · heads · size), bits, where keys and values are not looked at. Rows are a multiple of `BLOCK`.
        keys, values: From `lay_out`.
        scaling: By which scores are multiplied.
        attended: (rows, heads · size): becomes the bits of it.
        n_tokens: The columns from there on get no attention.
        head_sums: As for `attention_weights`.
        start, stop: Which of the rows / `BLOCK` blocks of rows to do.
    """
    n_heads, width = len(keys), attended.shape[1]
    size = width // n_heads
    columns, n_steps = keys.shape[1] // size, size // BLOCK
    most = _BLOCKS_AT_A_TIME * BLOCK
    scores, sums, product = _empty(most, columns), _empty(most, columns), _empty(BLOCK, size)
    weights = scores.view(np.uint16)  # a row's take the place of its scores
    powers, factors = _empty(1, columns)[0][:n_tokens], np.empty(most, np.float32)
    query_bytes, score_bytes = 6 * width, 4 * columns
    factor = np.float32(scaling * _LOG2_E)
    amx.configure()
    for first in range(start * BLOCK, stop * BLOCK, most):
        n_rows = min(most, stop * BLOCK - first)
        sums[:] = 0
        for head in range(n_heads):
            query = queries[first, head * size :].ctypes.data
            for column in range(0, columns, BLOCK):
                for i in range(0, n_rows, BLOCK):
                    amx.clear()
                    for step in range(n_steps):
                        place = keys[head, column * size + step * BLOCK * BLOCK :].ctypes.data
                        amx.multiply(query + i * query_bytes + step * 2 * BLOCK, query_bytes, place)
                    amx.write(scores[i, column:].ctypes.data, score_bytes)
            for i in range(n_rows):
                _exponentials(scores[i], factor, powers)
                factors[i] = np.float32(1) / _sum(powers)
                if head_sums.size:
                    _add_up(powers, factors[i], sums[i])
                _round_all(powers, weights[i])
                weights[i][n_tokens:columns] = 0
            for i in range(0, n_rows, BLOCK):
                for step in range(n_steps):
                    amx.clear()
                    for column in range(0, columns, BLOCK):
                        place = values[head, column * size + step * BLOCK * BLOCK :].ctypes.data
                        amx.multiply(weights[i, column:].ctypes.data, score_bytes, place)
                    amx.write(product[0, step * BLOCK :].ctypes.data, 4 * size)
                for j in range(BLOCK):
                    _scale(product[j], factors[i + j])
                    _round_all(product[j], attended[first + i + j][head * size :])
        if head_sums.size:
            for i in range(min(n_rows, len(head_sums) - first)):
                _store(sums[i], head_sums[first + i])
    amx.release()


@_kept
def add_and_normalize(
    hidden: np.ndarray,
    output: np.ndarray,
    more: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    epsilon: float,
    normed: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Add the output of one part of a layer and normalize for the next.

    Args:
        hidden: (rows, size) float32: is added to.
        output, more: (rows, size), bits, of what is added; `more` may be of size 0.
        weight, bias, epsilon: As of PyTorch's `LayerNorm`; (size,) float32.
        normed: (rows, size), becomes the bits of the layer norm.
        start, stop: Which rows to do.
    """
    size = hidden.shape[1]
    for i in range(start, stop):
        row = hidden[i]
        _add_bits(output[i], row)
        if more.size:
            _add_bits(more[i], row)
        mean = _sum(row) / np.float32(size)
        variance = _sum_of_squares(row, mean) / np.float32(size)
        factor = np.float32(1 / math.sqrt(variance + epsilon))
        _normalize(row, mean, factor, weight, bias, normed[i])


@njit(nogil=True)
def _empty(rows: int, columns: int) -> np.ndarray:
    """Numbers in single precision that start where a line of the cache does: vectors and tiles of 64 bytes take one each."""
    memory = np.empty(rows * columns + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    return memory[start : start + rows * columns].reshape(rows, columns)


@njit(inline="always")
def _read(bits: _Number) -> _Number:
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@njit(inline="always")
def _round(value: _Number) -> _Number:
    return np.uint16(np.uint32(np.float32(value).view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16))


@njit(inline="always")
def _exp2(x: _Number) -> _Number:
    """2^x for x up to 0: 2 to the nearest integer, which is put where a float32 has its exponent, times a polynomial."""
    x = max(x, _SMALLEST_EXPONENT)
    shifted = np.float32(x + _TO_INTEGER)
    rest = x - (shifted - _TO_INTEGER)
    upper = ((_C6 * rest + _C5) * rest + _C4) * rest + _C3
    power = np.float32(((upper * rest + _C2) * rest + _C1) * rest + _C0)
    exponent = np.int32(shifted.view(np.int32) << np.int32(23))
    return np.int32(power.view(np.int32) + exponent).view(np.float32)


@njit(inline="always")
def _in_order(bits: _Number) -> _Number:
    """Bits of a float32 as an integer of the same order, and back. Integers' maximum is made into one of vectors."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & _LARGEST_INTEGER))


@njit(nogil=True, fastmath=_FINITE)
def _widen(row: np.ndarray, values: np.ndarray) -> None:
    amx.use_wide_vectors()
    for j in range(values.size):
        values[j] = _read(row[j])


@njit(nogil=True)
def _largest(bits: np.ndarray) -> _Number:
    amx.use_wide_vectors()
    largest = np.int32(-_LARGEST_INTEGER)
    for j in range(bits.size):
        largest = max(largest, _in_order(bits[j]))
    return np.int32(_in_order(largest)).view(np.float32)


@njit(nogil=True, fastmath=_FINITE)
def _exponentials(scores: np.ndarray, factor: _Number, powers: np.ndarray) -> None:
    """2 to the power of scores times a factor, less the largest."""
    amx.use_wide_vectors()
    largest = _largest(scores[: powers.size].view(np.int32)) * factor
    for j in range(powers.size):
        powers[j] = _exp2(scores[j] * factor - largest)


@njit(nogil=True, fastmath=_IN_ANY_ORDER)
def _sum(values: np.ndarray) -> _Number:
    amx.use_wide_vectors()
    total = np.float32(0)
    for j in range(values.size):
        total += values[j]
    return total


@njit(nogil=True, fastmath=_FINITE)
def _scale(values: np.ndarray, factor: _Number) -> None:
    amx.use_wide_vectors()
    for j in range(values.size):
        values[j] *= factor


@njit(nogil=True, fastmath=_FINITE)
def _divide(values: np.ndarray, divisor: _Number, quotients: np.ndarray, sums: np.ndarray) -> None:
    amx.use_wide_vectors()
    factor = np.float32(1) / divisor
    for j in range(values.size):
        quotient = values[j] * factor
        quotients[j] = quotient
        sums[j] += quotient


@njit(nogil=True, fastmath=_FINITE)
def _add_up(values: np.ndarray, factor: _Number, sums: np.ndarray) -> None:
    amx.use_wide_vectors()
    for j in range(values.size):
        sums[j] += values[j] * factor


@njit(nogil=True, fastmath=_FINITE)
def _round_all(values: np.ndarray, bits: np.ndarray) -> None:
    amx.use_wide_vectors()
    for j in range(values.size):
        bits[j] = _round(values[j])


@njit(nogil=True, fastmath=_FINITE)
def _add_bits(bits: np.ndarray, sums: np.ndarray) -> None:
    amx.use_wide_vectors()
    for j in range(sums.size):
        sums[j] += _read(bits[j])


@njit(nogil=True, fastmath=_IN_ANY_ORDER)
def _sum_of_squares(values: np.ndarray, mean: _Number) -> _Number:
    amx.use_wide_vectors()
    total = np.float32(0)
    for j in range(values.size):
        total += (values[j] - mean) * (values[j] - mean)
    return total


@njit(nogil=True, fastmath=_FINITE)
def _normalize(
    values: np.ndarray, mean: _Number, factor: _Number, weight: np.ndarray, bias: np.ndarray, bits: np.ndarray
) -> None:
    amx.use_wide_vectors()
    for j in range(values.size):
        bits[j] = _round((values[j] - mean) * factor * weight[j] + bias[j])


@njit(nogil=True, fastmath=_FINITE)
def _store(values: np.ndarray, row: np.ndarray) -> None:
    """Numbers from 0 to 65504 as float16: finer than bfloat16, which attention that is nearly uniform needs."""
    for j in range(row.size):
        value = values[j]
        normal = (np.float32(value).view(np.uint32) - _FEWER_EXPONENTS + np.uint32(0x1000)) >> np.uint32(13)
        # In so small a number float16 counts steps of 2^-24, which is what float32 counts from 1/2 to 1.
        small = np.float32(value + _HALF).view(np.uint32) - _HALF_BITS
        row[j] = np.uint16(small if value < _SMALLEST_NORMAL else normal)
