"""The instructions of Intel's matrix unit (AMX), for loops that Numba compiles.

The unit multiplies *tiles*: registers of 16 rows of 64 bytes. One instruction adds to 16 × 16 single-precision numbers the
product of 16 × 32 and 32 × 16 numbers in bfloat16. Of the second factor, a tile's row holds 16 pairs of numbers that lie
one below the other in the matrix. (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, "Programming
with Intel AMX", and TDPBF16PS in volume 2.)

Here two tiles meet two: 0 to 3 hold a product of 32 × 32, 4 and 5 rows of the first factor, 6 and 7 columns of the second.
Addresses, and bytes from row to row, are integers. Numba compiles `kernels` anew when that file changes; who changes
this one changes that one, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_TILE_BYTES = 1024


def _emit(builder: ir.IRBuilder, name: str, *arguments: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(builder.module.declare_intrinsic(f"llvm.x86.{name}", fnty=kind), arguments)


def _tile(number: int) -> ir.Constant:
    return ir.Constant(ir.IntType(8), number)


def _bytes(number: int) -> ir.Constant:
    return ir.Constant(ir.IntType(64), number)


def _address(builder: ir.IRBuilder, start: Any, n_bytes: Any) -> Any:
    return builder.inttoptr(builder.add(start, n_bytes), ir.IntType(8).as_pointer())


def _instruction(describe: Callable[..., Any]) -> Callable[..., Any]:
    """`intrinsic`, of which a type checker would think that it is called with Numba's context."""
    return intrinsic(describe)


@_instruction
def use_wide_vectors(_: Any) -> Any:
    """Let the loops of this function have vectors of 512 bits, where LLVM would rather have 256: they take 4/5 of the time."""

    def code(context: Any, builder: ir.IRBuilder, *_: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # its own `add` knows few names
        return context.get_dummy_value()

    return types.void(), code


@_instruction
def configure(_: Any) -> Any:
    """Set all eight tiles up, as registers of 16 rows of 64 bytes."""

    def code(context: Any, builder: ir.IRBuilder, *_: Any) -> Any:
        palette, bytes_of_row, rows = [1], [64, 0] * 8, [16] * 8
        configuration = [*palette, *[0] * 15, *bytes_of_row, *[0] * 16, *rows, *[0] * 8]
        kind = ir.ArrayType(ir.IntType(8), 64)
        place = builder.alloca(kind)
        builder.store(ir.Constant(kind, configuration), place)
        _emit(builder, "ldtilecfg", builder.bitcast(place, ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(), code


@_instruction
def release(_: Any) -> Any:
    """Leave the tiles as they are when nobody uses them."""

    def code(context: Any, builder: ir.IRBuilder, *_: Any) -> Any:
        _emit(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), code


@_instruction
def clear(_: Any) -> Any:
    """Start a block of the product."""

    def code(context: Any, builder: ir.IRBuilder, *_: Any) -> Any:
        for number in range(4):
            _emit(builder, "tilezero", _tile(number))
        return context.get_dummy_value()

    return types.void(), code


@_instruction
def multiply(_: Any, left: Any, row_bytes: Any, right: Any) -> Any:
    """Add the product of 32 rows, 64 bytes of each, and two tiles that lie one behind the other."""

    def code(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        left, row_bytes, right = arguments
        lower = builder.mul(row_bytes, _bytes(16))
        _emit(builder, "tileloadd64", _tile(4), _address(builder, left, _bytes(0)), row_bytes)
        _emit(builder, "tileloadd64", _tile(6), _address(builder, right, _bytes(0)), _bytes(64))
        _emit(builder, "tileloadd64", _tile(5), _address(builder, left, lower), row_bytes)
        _emit(builder, "tileloadd64", _tile(7), _address(builder, right, _bytes(_TILE_BYTES)), _bytes(64))
        for number in range(4):
            _emit(builder, "tdpbf16ps", _tile(number), _tile(4 + number // 2), _tile(6 + number % 2))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), code


@_instruction
def write(_: Any, place: Any, row_bytes: Any) -> Any:
    """Write the block of the product to memory."""

    def code(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        place, row_bytes = arguments
        lower = builder.mul(row_bytes, _bytes(16))
        for number, n_bytes in enumerate((_bytes(0), _bytes(64), lower, builder.add(lower, _bytes(64)))):
            _emit(builder, "tilestored64", _tile(number), _address(builder, place, n_bytes), row_bytes)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code
