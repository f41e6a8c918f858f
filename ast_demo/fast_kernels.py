"""Loops over numbers in bfloat16 for which PyTorch has no single operation, compiled by Numba when first called.

NumPy has no bfloat16: those arrays are `uint16` and hold the bits, the upper half of a float32's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numba import njit

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
# 2^x for x from -1/2 to 1/2 within 3e-6 of itself: the minimax polynomial, by Lawson's iteration on 4,000 points.
_C0, _C1, _C2, _C3, _C4 = (
    np.float32(one) for one in (0.99999928474, 0.69312179089, 0.24024744332, 0.05591785908, 0.00957010128)
)
# So many rows of one head before the next head's: few enough for the cache, in which their sums wait.
_ROWS_AT_A_TIME = 4


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
        scores: (batch, heads, rows, columns), bits; the columns from `n_tokens` on become 0.
        scaling: By which scores are multiplied first.
        head_sums: (batch, rows or fewer, n_tokens), the bits of float16: becomes the sum over the heads. Of size 0 where
            nobody wants it.
        start, stop: Which of the batch · rows rows to do: for several threads.
    """
    _, n_heads, n_rows, _ = scores.shape
    powers, sums = np.empty(n_tokens, np.float32), np.empty((_ROWS_AT_A_TIME, n_tokens), np.float32)
    factor = np.float32(scaling * _LOG2_E)
    for first in range(start, stop, _ROWS_AT_A_TIME):
        places = range(first, min(first + _ROWS_AT_A_TIME, stop))
        sums[:] = 0
        for head in range(n_heads):
            for place in places:
                row = scores[place // n_rows, head, place % n_rows]
                _exponentials(row, factor, _largest(row[:n_tokens]) * factor, powers)
                _scale(powers, np.float32(1) / _sum(powers), row, sums[place - first])
                row[n_tokens:] = 0
        if head_sums.size:
            for place in places:
                if place % n_rows < head_sums.shape[1]:
                    _store(sums[place - first], head_sums[place // n_rows, place % n_rows])


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
    power = np.float32((((_C4 * rest + _C3) * rest + _C2) * rest + _C1) * rest + _C0)
    exponent = np.int32(shifted.view(np.int32) << np.int32(23))
    return np.int32(power.view(np.int32) + exponent).view(np.float32)


@njit(inline="always")
def _in_order(bits: _Number) -> _Number:
    """Bits of a float32 as an integer of the same order, and back. Integers' maximum is made into one of vectors."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & _LARGEST_INTEGER))


@njit(nogil=True)
def _largest(row: np.ndarray) -> _Number:
    largest = np.int32(-_LARGEST_INTEGER)
    for j in range(row.size):
        largest = max(largest, _in_order(np.int32(np.int32(row[j]) << np.int32(16))))
    return np.int32(_in_order(largest)).view(np.float32)


@njit(nogil=True, fastmath=_FINITE)
def _exponentials(row: np.ndarray, factor: _Number, largest: _Number, powers: np.ndarray) -> None:
    for j in range(powers.size):
        powers[j] = _exp2(_read(row[j]) * factor - largest)


@njit(nogil=True, fastmath=_IN_ANY_ORDER)
def _sum(values: np.ndarray) -> _Number:
    total = np.float32(0)
    for j in range(values.size):
        total += values[j]
    return total


@njit(nogil=True, fastmath=_FINITE)
def _scale(powers: np.ndarray, factor: _Number, row: np.ndarray, sums: np.ndarray) -> None:
    for j in range(powers.size):
        weight = powers[j] * factor
        sums[j] += weight
        row[j] = _round(weight)


@njit(nogil=True, fastmath=_FINITE)
def _store(values: np.ndarray, row: np.ndarray) -> None:
    """Numbers from 0 to 65504 as float16: finer than bfloat16, which attention that is nearly uniform needs."""
    for j in range(values.size):
        value = values[j]
        normal = (np.float32(value).view(np.uint32) - _FEWER_EXPONENTS + np.uint32(0x1000)) >> np.uint32(13)
        # In so small a number float16 counts steps of 2^-24, which is what float32 counts from 1/2 to 1.
        small = np.float32(value + _HALF).view(np.uint32) - _HALF_BITS
        row[j] = np.uint16(small if value < _SMALLEST_NORMAL else normal)
