"""Which variables are watched: names, shapes, and their scale before the first update."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from tbwatch.format import counted

__all__ = ["Layout", "Setup", "WatchedActivation", "WatchedVariable"]

# The floor of the update ratio's denominator. A variable that starts at zero (a bias, a beta)
# has no scale of its own: without the larger floor its first updates would all read as 100 %.
FLOOR = 1e-12
ZERO_INIT_FLOOR = 1e-3

_VECTOR_ROLES = ("bias", "gamma", "beta")


@dataclasses.dataclass(frozen=True)
class WatchedVariable:
    """One trainable weight tensor.

    Attributes:
        name: Keras path without the model name, unique in its layout, e.g. `"conv1/kernel"`.
        shape: static shape.
        dtype: storage dtype, e.g. `"float32"`.
        initial_rms: root mean square before the first watched update, or None where unknown.
        connected: False when the training step hands the optimizer no gradient (None) for it.
        regularized: whether it has a regularizer, such as an L2 penalty.
        constant: whether all its elements were equal before the first watched update.

    Example:
        >>> kernel = WatchedVariable("conv1/kernel", (5, 5, 1, 32))
        >>> kernel.layer, kernel.role, kernel.size
        ('conv1', 'kernel', 800)
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    initial_rms: float | None = None
    connected: bool = True
    regularized: bool = False
    constant: bool = False

    @property
    def layer(self) -> str:
        """The name up to the last `/`: the layer that owns the variable."""
        return self.name.rpartition("/")[0] or self.name

    @property
    def role(self) -> str:
        """The name after the last `/`: `"kernel"`, `"bias"`, `"gamma"`, ..."""
        return self.name.rpartition("/")[2]

    @property
    def is_bias(self) -> bool:
        """Whether the name says that it is a bias (`bias`, `recurrent_bias`, `bias_1`)."""
        role = self.role.lower()
        return role == "bias" or role.endswith("_bias") or role.startswith("bias_")

    @property
    def is_offset_or_scale(self) -> bool:
        """Whether it is a vector that only shifts or scales what a kernel produces."""
        role = self.role.lower().rstrip("_0123456789")
        return self.is_bias or role in _VECTOR_ROLES

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def floor(self) -> float:
        """Least denominator of the update ratio, 1e-3 if it starts at zero, else 1e-12."""
        return ZERO_INIT_FLOOR if self.initial_rms == 0.0 else FLOOR

    @property
    def expected_rms(self) -> float | None:
        """Scale of a He-initialised kernel, sqrt(2 / fan_in); None for other variables.

        Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10. Only variables
        called `kernel` with two or more axes have a fan-in in that sense.
        """
        if len(self.shape) < 2 or not self.role.lower().rstrip("_0123456789").endswith("kernel"):
            return None
        fan_in = math.prod(self.shape[:-1])
        return math.sqrt(2.0 / fan_in) if fan_in else None


@dataclasses.dataclass(frozen=True)
class WatchedActivation:
    """What one layer hands on, once per call in a training step.

    Attributes:
        name: unique in its layout: `"conv1"` for the output of that layer, `"conv1_1"` for that of
            its second call, `"conv1/pre_activation"` for what its activation function receives.
        layer: path of the layer without the model name: the `layer` of its variables.
        function: name of the activation function that made it, e.g. `"relu"`; `"linear"` for none;
            `""` where that is not known or there can be none.
        units: size of the channel axis.
        is_output: whether it is an output of the model.
        before: whether it is a pre-activation.

    Example:
        >>> WatchedActivation("conv1", "conv1", function="relu", units=32).label
        'conv1/activation'
    """

    name: str
    layer: str
    function: str = ""
    units: int = 1
    is_output: bool = False
    before: bool = False

    @property
    def label(self) -> str:
        """Its name in alerts, `<name>/activation`; the bare name for a pre-activation."""
        return self.name if self.before else f"{self.name}/activation"


@dataclasses.dataclass(frozen=True)
class Setup:
    """How the model was compiled, as far as it matters to a diagnosis.

    Attributes:
        optimizer: class name of the innermost optimizer, e.g. `"Adam"`.
        epsilon: epsilon of an optimizer that rescales gradients; None for one that does not.
        loss: name of the loss if there is exactly one, e.g. `"categorical_crossentropy"`.
        chance_loss: loss of a classifier that knows nothing, ln C; None where unknown.
        optimizers: how many the model has; with more than one (a GAN), their losses may be
            opposed, and need not fall.
        clipnorm: as in Keras' optimizers; None for no clipping, as for the next two.
        clipvalue: as in Keras' optimizers.
        global_clipnorm: as in Keras' optimizers.

    Example:
        >>> Setup(optimizer="Adam", epsilon=1e-7).clipnorm is None
        True
    """

    optimizer: str = ""
    epsilon: float | None = None
    loss: str = ""
    chance_loss: float | None = None
    optimizers: int = 1
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Layout:
    """The watched variables in forward order: row v of every `[V]` array belongs to variable v.

    Attributes:
        variables: the watched variables.
        frozen: names of weights that the user froze with `trainable=False`; not watched.
        activations: the watched activations in the order in which the step computes them.
        setup: how the model was compiled.

    Example:
        >>> layout = Layout((WatchedVariable("a/kernel", (8, 4)), WatchedVariable("a/bias", (4,))))
        >>> layout.names, layout.is_main.tolist()
        (('a/kernel', 'a/bias'), [True, False])
    """

    variables: tuple[WatchedVariable, ...]
    frozen: tuple[str, ...] = ()
    activations: tuple[WatchedActivation, ...] = ()
    setup: Setup = Setup()

    def __repr__(self) -> str:
        of = counted(len(self.activations), "activation")
        return f"<Layout of {counted(len(self), 'variable')}, {of}>"

    def __len__(self) -> int:
        return len(self.variables)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Variable names in forward order."""
        return tuple(variable.name for variable in self.variables)

    def rank(self, name: str) -> float:
        """Place in forward order of a variable or an activation; what is neither comes last."""
        return self._ranks.get(name, float(len(self)))

    @cached_property
    def _ranks(self) -> dict[str, float]:
        ranks = {variable.name: float(row) for row, variable in enumerate(self.variables)}
        of_layer = {v.layer: row for row, v in enumerate(self.variables)}  # its last variable
        place = -1.0
        for number, activation in enumerate(self.activations):
            # An activation without variables comes behind the one before it.
            place = of_layer.get(activation.layer, place)
            fraction = (number + 1) / (len(self.activations) + 1)
            ranks[activation.label] = place + fraction
        return ranks

    @cached_property
    def sizes(self) -> np.ndarray:
        """Element counts, float64 `[V]`; at least 1 so that it can divide."""
        return np.array([max(v.size, 1) for v in self.variables], np.float64)

    @cached_property
    def initial_rms(self) -> np.ndarray:
        """Rms before the first update, float64 `[V]`, NaN where unknown."""
        values = [np.nan if v.initial_rms is None else v.initial_rms for v in self.variables]
        return np.array(values, np.float64)

    @cached_property
    def floors(self) -> np.ndarray:
        """Least denominators of the update ratio, float64 `[V]`."""
        return np.array([v.floor for v in self.variables], np.float64)

    @cached_property
    def is_main(self) -> np.ndarray:
        """Variables that carry their layer's function, bool `[V]`.

        Biases and the scale and shift of a normalisation follow their layer: before batch
        normalisation a bias has a gradient of rounding noise in a perfectly healthy net.
        """
        return np.array([not v.is_offset_or_scale for v in self.variables], bool)

    @cached_property
    def is_connected(self) -> np.ndarray:
        """Variables that the training step has a gradient for, bool `[V]`."""
        return np.array([v.connected for v in self.variables], bool)

    @cached_property
    def layer_numbers(self) -> np.ndarray:
        """Number of the layer of each variable, int `[V]`."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(v.layer, len(numbers)) for v in self.variables], int)

    @cached_property
    def weight_scales(self) -> np.ndarray:
        """Initial rms / rms of a He-initialised kernel, float64 `[V]`; NaN where undefined."""
        expected = [np.nan if v.expected_rms is None else v.expected_rms for v in self.variables]
        with np.errstate(over="ignore"):
            return self.initial_rms / np.array(expected, np.float64)


def unique_names(paths: Iterable[str]) -> list[str]:
    """Make names unique, in order, by appending `_1`, `_2`, ... to repeats.

    Example:
        >>> unique_names(["a/kernel", "a/bias", "a/kernel"])
        ['a/kernel', 'a/bias', 'a/kernel_1']
    """
    paths = list(paths)
    taken = set(paths)
    seen: set[str] = set()
    names = []
    for path in paths:
        name, count = path, 0
        while name in seen or (count and name in taken):
            count += 1
            name = f"{path}_{count}"
        seen.add(name)
        names.append(name)
    return names
