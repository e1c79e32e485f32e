"""Statistics as functions of their own in the graph: traced once, for tensors of any size."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import tensorflow as tf

_TRACED: dict[Hashable, Callable[..., tf.Tensor]] = {}


def traced_once(
    key: Hashable, function: Callable[..., tf.Tensor], signature: Sequence[tf.TensorSpec]
) -> Callable[..., tf.Tensor]:
    """A function as a `tf.function`; the same one for the same key.

    It is not inlined, and its tensors have no static shapes: TensorFlow would optimize a copy for
    each variable or activation, and with a hundred of them the first step takes half as long again.

    Args:
        key: stands for the function, the signature included.
        function: of as many tensors as the signature has.
        signature: their dtypes, and axes of any size.
    """
    if key not in _TRACED:
        _TRACED[key] = tf.function(
            function,
            input_signature=signature,
            autograph=False,
            experimental_attributes={"_noinline": True},
        )
    return _TRACED[key]
