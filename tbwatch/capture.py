"""Hooks into Keras: the only file that knows how a training step reaches its optimizer.

The innermost optimizer's `apply` is replaced on the instance, for as long as somebody asks for it:
`fit_hook.py` while the training step is traced, `loops.py` for the length of a `with`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from tbwatch import optimizers, replicas
from tbwatch.activations import Activation
from tbwatch.groups import Gradient
from tbwatch.models import PatternError, key_of
from tbwatch.replacing import Replaced
from tbwatch.taps import Taps, is_reachable
from tbwatch.watched_training import WatchedTraining


class Capture:
    """Samples the updates of one optimizer while its hooks are in place.

    Args:
        training: what is watched, and what takes the samples.
        on_failure: called with an exception of ours, which then does not reach the training.
        skips_first_trace: whether a first trace that makes variables may be left out, because
            whoever owns the traced function has it traced again (`needs_another_trace`).

    Attributes:
        training: what is watched, and what takes the samples.
        optimizer: the innermost optimizer, which makes the update.
        applies: calls of the optimizer that passed through here while they were traced, or run.
        applies_run: those of them that were run eagerly.
    """

    def __init__(
        self,
        training: WatchedTraining,
        on_failure: Callable[[Exception], None],
        skips_first_trace: bool,
    ) -> None:
        self.training = training
        self._model = training.model
        self._outer = training.outer
        self.optimizer = training.optimizer
        self._skips_first_trace = skips_first_trace
        self._taps = Taps(self._model, only_in_tape=not skips_first_trace)
        self._on_failure = on_failure
        self._strategy = self._model.distribute_strategy
        self._has_replicas = self._strategy.num_replicas_in_sync > 1
        self._loss: tf.Tensor | None = None
        self._reduction: Callable[..., None] | None = None
        self._inside = self._failed = self._left_out = False
        self.applies = self.applies_run = 0

    # --------------------------------------------------------------------------------- the hooks

    def prepare(self) -> None:
        """Make what can be made before the first step: one that makes variables is traced twice.

        Raises:
            PatternError: if a pattern matches no variable.
        """
        training = self.training
        if training.sampler is None and training.takes_all and self._model.built:
            variables = self._model.trainable_variables
            if variables:
                self._guarded(lambda: training.choose(variables))

    @contextlib.contextmanager
    def instrumented(self) -> Iterator[None]:
        """As long as this is entered, updates pass through here, traced or run eagerly.

        Raises:
            PatternError: if a pattern matches no variable.
        """
        self._loss = None
        self.prepare()
        with contextlib.ExitStack() as stack:
            for replaced in (
                Replaced(self._outer, "scale_loss", partial(partial, self._scale_loss)),
                Replaced(self.optimizer, "apply", partial(partial, self._apply)),
            ):
                stack.enter_context(replaced)
            if self._has_replicas:
                reduce = partial(partial, self._reduce)
                stack.enter_context(Replaced(self.optimizer, "_all_reduce_sum_gradients", reduce))
            if self.training.request.activations and not self._failed:
                stack.enter_context(self._taps)
            yield

    def forget_calls(self) -> None:
        """A step of a loop has ended: what layers handed on in it is no part of the next one."""
        self._taps.forget()

    @property
    def needs_another_trace(self) -> bool:
        """Whether the only trace so far was left out, because it made variables."""
        return self._left_out and not self.training.is_announced and not self._failed

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
        self.applies_run += tf.executing_eagerly()
        training, optimizer = self.training, self.optimizer
        if variables is None:
            variables = optimizers.variables_of(optimizer)
        if not variables:
            return None
        if training.sampler is None:
            training.choose(variables)
        makes_variables = self._makes_variables(variables)
        if makes_variables and self._skips_first_trace and not self._left_out:
            # What a first trace that makes variables samples never runs: TensorFlow traces again.
            # Leaving it out halves our share of the tracing.
            self._left_out = True
            self._taps.find_new_layers()
            return None
        taps = self._taps.take()
        if not training.is_announced:
            training.announce(variables, gradients, taps)
        assert training.sampler is not None
        activations = training.activations.among(taps)
        if self._has_replicas:
            return self._around_reduction(variables, activations)
        places, others = training.variables.positions(variables)
        rows = range(len(training.variables.names))
        steps = training.batches_per_update
        calls = tf.convert_to_tensor(optimizer._iterations.value) + 1

        def handed(place: int | None) -> Gradient:
            if place is None or gradients[place] is None:
                return None
            return optimizers.handed(optimizer, gradients[place], variables[place])

        return training.sampler.around(
            step=calls if steps == 1 else calls // steps,
            may_update=True if steps == 1 else tf.equal(calls % steps, 0),
            gradients=lambda: [handed(places.get(row)) for row in rows],
            others=lambda: [handed(place) for place in others],
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
        training = self.training
        assert training.sampler is not None
        measure, finish = training.sampler.around_reduction(
            step=tf.convert_to_tensor(self.optimizer._iterations.value) + 1,
            step_values=self._step_values,
            activations=activations,
            loss=self._known_loss(),
        )

        def reduced(grads_and_vars: Sequence[tuple[Gradient, Any]]) -> None:
            by_key = {key_of(variable): gradient for gradient, variable in grads_and_vars}
            watched = [
                by_key.pop(key_of(variable), None) for variable in training.variables.variables
            ]
            measure(watched, list(by_key.values()))

        self._reduction = reduced
        return finish

    def _makes_variables(self, variables: Sequence[Any]) -> bool:
        """Build the optimizer if need be; whether this trace makes variables."""
        optimizer = self.optimizer
        if self._has_replicas:
            return False  # Keras has built everything: no replica could do so alone
        count = len(optimizer.variables)
        optimizers.ensure_built(optimizer, variables)  # or there are no accumulators to be read
        if tf.executing_eagerly():
            return False
        metrics = getattr(self._model, "_compile_metrics", None)
        unbuilt_metrics = metrics is not None and not metrics.built
        return self.training.chosen_in_trace or len(optimizer.variables) > count or unbuilt_metrics

    def _known_loss(self) -> tf.Tensor | None:
        """The loss, if it is a scalar that can be used here."""
        loss = self._loss
        if loss is None or not is_reachable(loss) or loss.shape.rank != 0:
            return None
        return loss

    def _step_values(self) -> dict[str, tf.Tensor]:
        return optimizers.step_values(self._outer, self.optimizer, self._known_loss())
