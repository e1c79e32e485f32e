"""Hooks into Keras: the only file that knows how a training step reaches its optimizer.

The innermost optimizer's `apply` is replaced on the instance, for as long as somebody asks for it:
`fit_hook.py` while the training step is traced, `loops.py` for the length of a `with`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from tbwatch import optimizers, replicas
from tbwatch.activations import Activation
from tbwatch.flight_log import FlightLog
from tbwatch.groups import Gradient
from tbwatch.layout import Layout
from tbwatch.models import (
    PatternError,
    frozen_names,
    has_own_step,
    innermost,
    key_of,
    setup_of,
)
from tbwatch.replacing import Replaced
from tbwatch.sample import Request, Sample
from tbwatch.sampler import Sampler
from tbwatch.taps import Tap, Taps, is_reachable
from tbwatch.watched import Watched

logger = logging.getLogger("tbwatch")


class Capture:
    """Samples the updates of one optimizer while its hooks are in place.

    Args:
        model: the model whose variables are named and watched; built or not.
        optimizer: the optimizer that the training step calls.
        select: tells of the names of all trainable variables which ones are watched.
        select_activations: tells of all activations of a step which ones are watched.
        request: gives what a sample has to hold; asked once, before the first batch.
        on_layout: called with the layout, once, before the first update happens.
        on_failure: called with an exception of ours, which then does not reach the training.
        skips_first_trace: whether a first trace that makes variables may be left out, because
            whoever owns the traced function has it traced again (`needs_another_trace`).
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        select: Callable[[Sequence[str]], Sequence[bool]],
        select_activations: Callable[[Sequence[Tap]], Sequence[bool]],
        request: Callable[[], Request],
        on_layout: Callable[[Layout], None],
        on_failure: Callable[[Exception], None],
        skips_first_trace: bool,
    ) -> None:
        self.model = model
        self._skips_first_trace = skips_first_trace
        # Where another optimizer trains the rest of the model, only what this one gets is ours.
        self._takes_all = optimizer is getattr(model, "optimizer", None) and skips_first_trace
        self._select = select
        self._select_activations = select_activations
        self._ask_request = request
        self._request: Request | None = None
        self._taps = Taps(model, only_in_tape=not skips_first_trace)
        self._on_layout = on_layout
        self._on_failure = on_failure
        self._outer = optimizer
        self._optimizer = innermost(optimizer)
        self._strategy = model.distribute_strategy
        self._has_replicas = self._strategy.num_replicas_in_sync > 1
        self._sampler: Sampler | None = None
        self._watched: Watched  # as soon as there is a sampler
        self._activation_rows: dict[str, int] = {}
        self._loss: tf.Tensor | None = None
        self._units: list[int] = []
        self._planned: tuple[Sequence[int], Sequence[int]] = ((), ())
        self._reduction: Callable[..., None] | None = None
        self._inside = False
        self._failed = self._left_out = self._announced = self._chosen_in_trace = False
        self.applies = 0

    # --------------------------------------------------------------------------------- the hooks

    def prepare(self) -> None:
        """Make what can be made before the first step: one that makes variables is traced twice.

        Raises:
            PatternError: if a pattern matches no variable.
        """
        if self._request is None:
            self._request = self._ask_request()
        if self._sampler is None and self._takes_all and self.model.built:
            variables = self.model.trainable_variables
            if variables:
                self._guarded(lambda: self._choose(variables))

    @contextlib.contextmanager
    def instrumented(self) -> Iterator[None]:
        """As long as this is entered, updates pass through here, traced or run eagerly.

        Raises:
            PatternError: if a pattern matches no variable.
        """
        self._loss = None
        self.prepare()
        assert self._request is not None
        with contextlib.ExitStack() as stack:
            for replaced in (
                Replaced(self._outer, "scale_loss", partial(partial, self._scale_loss)),
                Replaced(self._optimizer, "apply", partial(partial, self._apply)),
            ):
                stack.enter_context(replaced)
            if self._has_replicas:
                reduce = partial(partial, self._reduce)
                stack.enter_context(Replaced(self._optimizer, "_all_reduce_sum_gradients", reduce))
            if self._request.activations and not self._failed:
                stack.enter_context(self._taps)
            yield

    @property
    def needs_another_trace(self) -> bool:
        """Whether the only trace so far was left out, because it made variables."""
        return self._left_out and not self._announced and not self._failed

    def warn_of_changed_flags(self) -> None:
        """Say so if the step that was traced before trains other variables than a new one will.

        Keras goes on with the old trace until `compile`. Watching needs a new one, which follows
        the flags: the one case in which watching changes what is trained.
        """
        if has_own_step(self.model):
            return  # which variables its optimizer trains is its own affair
        traced = {key_of(v) for v in self._optimizer._trainable_variables}
        now = {key_of(v): v for v in self.model.trainable_variables}
        if self._optimizer.built and traced != set(now):
            logger.warning(
                "tbwatch: `trainable` was changed without compile(), so Keras alone would go on "
                "training the %d variables it trained before; watched, the %d variables with "
                "trainable=True are trained. Call compile() after changing it.",
                len(traced),
                len(now),
            )

    # ----------------------------------------------------------------------------- the host side

    @property
    def batches_per_update(self) -> int:
        """Gradient accumulation steps; 1 without accumulation."""
        return optimizers.batches_per_update(self._optimizer)

    @property
    def updates_done(self) -> int:
        """Updates that the optimizer has made so far (a device read)."""
        return self.batches_done // self.batches_per_update

    @property
    def batches_done(self) -> int:
        """Calls of the optimizer that it counted so far (a device read)."""
        return int(self._optimizer._iterations.numpy())

    def overwrites_weights(self, step: int) -> bool:
        """Whether this update replaced the weights by their moving average."""
        return optimizers.overwrites_weights(self._optimizer, step)

    def plan(self, steps: Sequence[int], histogram_steps: Sequence[int]) -> None:
        """Sample these updates next, some of them with histograms."""
        self._planned = (steps, histogram_steps)
        if self._sampler is not None:
            self._sampler.plan(steps, histogram_steps)

    def collect(self) -> list[Sample]:
        """Samples that were taken since the last call, oldest first."""
        return [] if self._sampler is None else self._sampler.collect()

    def flight_log(self) -> FlightLog | None:
        """The last updates, each of them; None where none are kept."""
        return None if self._sampler is None else self._sampler.flight_log()

    # -------------------------------------------------------------------- inside the training step

    def _scale_loss(self, original: Callable[[tf.Tensor], tf.Tensor], loss: tf.Tensor) -> tf.Tensor:
        seen: tf.Tensor | None = loss
        if self._has_replicas:
            # Keras has divided each replica's by their number.
            seen = replicas.sum_over_replicas(loss, self._strategy)
        if replicas.is_first():
            self._loss = seen
        return original(loss)

    def _reduce(self, original: Callable[..., Any], grads_and_vars: Any) -> Any:
        """Keras adds the gradients of all replicas up."""
        reduced = list(original(grads_and_vars))
        if self._reduction is not None and replicas.is_first():
            measure, self._reduction = self._reduction, None
            self._guarded(lambda: measure(reduced))
        return reduced

    def _apply(
        self,
        original: Callable[..., None],
        grads: Sequence[Gradient],
        trainable_variables: Sequence[Any] | None = None,
    ) -> None:
        if not replicas.is_first():
            original(grads, trainable_variables)
            return
        finish = None
        gradients = list(grads)
        variables = None if trainable_variables is None else list(trainable_variables)
        outermost = not self._inside
        self._inside = True
        try:
            if outermost:
                finish = self._guarded(lambda: self._before(gradients, variables))
            original(gradients, variables)
            if finish is not None:
                self._guarded(finish)
        finally:
            self._inside = not outermost

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]  # TensorFlow is
    def _guarded(self, function: Callable[[], Any]) -> Any:
        """Run our part of the step; a failure of ours switches us off, not the training."""
        if self._failed:
            return None
        try:
            return function()
        except PatternError:
            raise
        except Exception as error:
            self._failed = True
            self._on_failure(error)
            return None

    def _before(
        self, gradients: Sequence[Gradient], variables: Sequence[Any] | None
    ) -> Callable[[], None] | None:
        self.applies += 1
        optimizer = self._optimizer
        if variables is None:
            variables = optimizer._trainable_variables
        if not variables:
            return None
        if self._sampler is None:
            self._choose(variables)
        makes_variables = self._makes_variables(variables)
        if makes_variables and self._skips_first_trace and not self._left_out:
            # What a first trace that makes variables samples never runs: TensorFlow traces again.
            # Leaving it out halves our share of the tracing.
            self._left_out = True
            self._taps.find_new_layers()
            return None
        taps = self._taps.take()
        if not self._announced:
            self._announce(variables, gradients, taps)
        assert self._sampler is not None
        activations: list[Activation | None] = [None] * len(self._activation_rows)
        for tap in taps:
            at = self._activation_rows.get(tap.activation.name)
            if at is not None and self._units[at] == tap.source.units:
                activations[at] = tap.source
        by_row: dict[int, int] = {}
        others: list[int] = []
        for position, variable in enumerate(variables):
            row = self._watched.rows.get(key_of(variable))
            if row is None:
                others.append(position)
            else:
                by_row[row] = position
        if self._has_replicas:
            return self._around_reduction(variables, activations)
        steps = self.batches_per_update
        calls = tf.convert_to_tensor(optimizer._iterations.value) + 1

        def handed(position: int | None) -> Gradient:
            if position is None or gradients[position] is None:
                return None
            return optimizers.handed(optimizer, gradients[position], variables[position])

        return self._sampler.around(
            step=calls if steps == 1 else calls // steps,
            may_update=True if steps == 1 else tf.equal(calls % steps, 0),
            gradients=lambda: [handed(by_row.get(row)) for row in range(len(self._watched.names))],
            others=lambda: [handed(position) for position in others],
            step_values=self._step_values,
            activations=activations,
            loss=self._known_loss(),
        )

    def _around_reduction(
        self, variables: Sequence[Any], activations: Sequence[Activation | None]
    ) -> Callable[[], None]:
        """With several replicas the gradient is known once Keras has added theirs up.

        It is unscaled and clipped by then: Keras clips that of each replica.
        """
        assert self._sampler is not None
        measure, finish = self._sampler.around_reduction(
            step=tf.convert_to_tensor(self._optimizer._iterations.value) + 1,
            step_values=self._step_values,
            activations=activations,
            loss=self._known_loss(),
        )

        def reduced(grads_and_vars: Sequence[tuple[Gradient, Any]]) -> None:
            by_key = {key_of(variable): gradient for gradient, variable in grads_and_vars}
            watched = [by_key.pop(key_of(variable), None) for variable in self._watched.variables]
            measure(watched, list(by_key.values()))

        self._reduction = reduced
        return finish

    def _makes_variables(self, variables: Sequence[Any]) -> bool:
        """Build the optimizer if need be; whether this trace makes variables."""
        optimizer = self._optimizer
        if self._has_replicas:
            return False  # Keras has built everything: no replica could do so alone
        count = len(optimizer.variables)
        optimizers.ensure_built(optimizer, variables)  # or there are no accumulators to be read
        if tf.executing_eagerly():
            return False
        metrics = getattr(self.model, "_compile_metrics", None)
        unbuilt_metrics = metrics is not None and not metrics.built
        return self._chosen_in_trace or len(optimizer.variables) > count or unbuilt_metrics

    def _known_loss(self) -> tf.Tensor | None:
        """The loss, if it is a scalar that can be used here."""
        loss = self._loss
        if loss is None or not is_reachable(loss) or loss.shape.rank != 0:
            return None
        return loss

    def _step_values(self) -> dict[str, tf.Tensor]:
        return optimizers.step_values(self._outer, self._optimizer, self._known_loss())

    def _choose(self, variables: Sequence[Any]) -> None:
        """Fix what is watched and make the device state, outside of any graph being traced."""
        mine = [*self.model.trainable_variables, *variables] if self._takes_all else variables
        watched = Watched(self.model, mine, self._select)
        self._chosen_in_trace = not tf.executing_eagerly()
        assert self._request is not None, "prepare() comes first"
        with tf.init_scope():
            self._sampler = Sampler(watched.names, watched.variables, self._request)
            self._sampler.plan(*self._planned)
        self._watched = watched

    def _announce(
        self, variables: Sequence[Any], gradients: Sequence[Gradient], taps: Sequence[Tap]
    ) -> None:
        """Tell of the layout, once it is known which variables get a gradient."""
        chosen = [
            tap.activation
            for tap, take in zip(taps, self._select_activations(taps), strict=True)
            if take
        ]
        self._units = [activation.units for activation in chosen]
        self._activation_rows = {activation.name: at for at, activation in enumerate(chosen)}
        output_units = [tap.activation.units for tap in taps if tap.activation.is_output]
        missing = {key_of(v) for v, g in zip(variables, gradients, strict=True) if g is None}
        given = {key_of(v) for v in [*self._optimizer._trainable_variables, *variables]}
        withheld = self._watched.names_besides(given)
        if withheld:
            logger.info(
                "tbwatch: the training step does not give these to model.optimizer, so their "
                "gradients are not known: %s",
                ", ".join(withheld),
            )
        with tf.init_scope():
            layout = Layout(
                self._watched.describe(missing),
                frozen=tuple(frozen_names(self.model)),
                activations=tuple(chosen),
                setup=setup_of(self.model, self._optimizer, output_units),
            )
            assert self._sampler is not None
            self._sampler.make_room(self._units)
            self._on_layout(layout)
        self._announced = True
