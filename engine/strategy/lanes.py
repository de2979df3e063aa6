"""Eight bars compared at once: the one vector instruction that swing detection rests on.

LLVM does not turn the comparison loop into vector code by itself, so it is spelled out here. It works on
every processor (LLVM splits the vector where the machine has narrower registers).
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 8


def _both_compare(order: str) -> Any:
    def typed(typingctx: Any, first: Any, second: Any, start: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
        def is_ticks(array: Any) -> bool:
            return isinstance(array, types.Array) and array.dtype == types.int32 and array.layout == "C"

        if not (is_ticks(first) and is_ticks(second)):
            return None

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            lanes = ir.VectorType(ir.IntType(32), LANES)

            def load(array_type: Any, value: Any) -> Any:
                data = context.make_array(array_type)(context, builder, value).data
                place = builder.bitcast(builder.gep(data, [args[2]]), lanes.as_pointer())
                return builder.load(place, align=4)

            def spread(value: Any) -> Any:
                narrow = builder.trunc(value, ir.IntType(32))
                one = builder.insert_element(
                    ir.Constant(lanes, ir.Undefined), narrow, ir.Constant(ir.IntType(32), 0)
                )
                return builder.shuffle_vector(
                    one, ir.Constant(lanes, ir.Undefined), ir.Constant(lanes, [0] * LANES)
                )

            beaten = builder.and_(
                builder.icmp_signed(order, load(signature.args[0], args[0]), spread(args[3])),
                builder.icmp_signed(order, load(signature.args[1], args[1]), spread(args[4])),
            )
            return builder.zext(builder.bitcast(beaten, ir.IntType(LANES)), ir.IntType(64))

        signature = types.int64(first, second, types.int64, types.int64, types.int64)
        return signature, build

    return typed


both_above = intrinsic(_both_compare(">"))
"""Bit k of the answer: first[start + k] > a and second[start + k] > b, for k in 0..7 (int32 arrays)."""

both_below = intrinsic(_both_compare("<"))
"""Bit k of the answer: first[start + k] < a and second[start + k] < b, for k in 0..7 (int32 arrays)."""
