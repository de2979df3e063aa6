"""Eight bars compared at once: the one vector instruction that swing detection rests on.

LLVM does not turn the comparison loop into vector code by itself, so it is spelled out here. It works on
every processor (LLVM splits the vector where the machine has narrower registers).
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 8


@intrinsic
def both_above(typingctx: Any, first: Any, second: Any, start: Any, a: Any, b: Any, flip: Any) -> Any:
    """
    Bit k of the answer: first[start + k] > a and second[start + k] > b, for k in 0..7.

    Parameters
    ----------
    first, second : int32 arrays, C-contiguous, at least start + 8 long
    start, a, b : int64
    flip : int64
        0, or -1 to turn both comparisons round: `^ -1` reverses the order of integers.
    """
    del typingctx, start, a, b, flip

    def is_ticks(array: Any) -> bool:
        return isinstance(array, types.Array) and array.dtype == types.int32 and array.layout == "C"

    if not (is_ticks(first) and is_ticks(second)):
        return None

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = ir.VectorType(ir.IntType(32), LANES)
        undefined = ir.Constant(lanes, ir.Undefined)

        def spread(value: Any) -> Any:
            narrow = builder.trunc(value, ir.IntType(32))
            one = builder.insert_element(undefined, narrow, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(one, undefined, ir.Constant(lanes, [0] * LANES))

        turn = spread(args[5])

        def above(array_type: Any, array: Any, edge: Any) -> Any:
            data = context.make_array(array_type)(context, builder, array).data
            place = builder.bitcast(builder.gep(data, [args[2]]), lanes.as_pointer())
            values = builder.xor(builder.load(place, align=4), turn)
            return builder.icmp_signed(">", values, builder.xor(spread(edge), turn))

        both = builder.and_(
            above(signature.args[0], args[0], args[3]), above(signature.args[1], args[1], args[4])
        )
        return builder.zext(builder.bitcast(both, ir.IntType(LANES)), ir.IntType(64))

    wide = types.int64
    return wide(first, second, wide, wide, wide, wide), build
