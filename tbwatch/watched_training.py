"""The training of one model by one optimizer, as it is watched: what of it, and its samples."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tbwatch import optimizers
from tbwatch.flight_log import FlightLog
from tbwatch.groups import Gradient
from tbwatch.layout import Layout
from tbwatch.models import frozen_names, innermost, key_of, setup_of
from tbwatch.sample import Request, Sample
from tbwatch.sampler import Sampler
from tbwatch.taps import Tap
from tbwatch.telling import tell
from tbwatch.watched import Watched, WatchedActivations


class WatchedTraining:
    """What is watched of a model that an optimizer trains, and what was sampled of it.

    Args:
        model: the model whose variables are named and watched; built or not.
        optimizer: the optimizer that the training step calls.
        takes_all: whether variables that this optimizer does not get are watched too.
        select: tells of the names of all trainable variables which ones are watched.
        select_activations: tells of all activations of a step which ones are watched.
        request: gives what a sample has to hold; asked once, before the first batch.
        on_layout: called with the layout, once, before the first update happens.

    Attributes:
        model: the model.
        outer: the optimizer that the training step calls.
        optimizer: the innermost one, which makes the update.
        sampler: what takes the samples; None as long as it is not chosen what is watched.
        variables: the variables that are watched, as soon as there is a sampler.
        activations: the activations that are watched, as soon as the layout is told.
        is_announced: whether the layout has been told.
        chosen_in_trace: whether the sampler was made while a training step was traced.
    """

    variables: Watched
    activations: WatchedActivations

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        takes_all: bool,
        select: Callable[[Sequence[str]], Sequence[bool]],
        select_activations: Callable[[Sequence[Tap]], Sequence[bool]],
        request: Callable[[], Request],
        on_layout: Callable[[Layout], None],
    ) -> None:
        self.model = model
        self.outer = optimizer
        self.optimizer = innermost(optimizer)
        self.takes_all = takes_all
        self._select = select
        self._select_activations = select_activations
        self._ask_request = request
        self._request: Request | None = None
        self._on_layout = on_layout
        self.sampler: Sampler | None = None
        self._planned: tuple[Sequence[int], Sequence[int]] = ((), ())
        self.is_announced = self.chosen_in_trace = False

    @property
    def request(self) -> Request:
        """What a sample has to hold."""
        if self._request is None:
            self._request = self._ask_request()
        return self._request

    def choose(self, variables: Sequence[Any]) -> None:
        """Fix what is watched and make the device state, outside of any graph being traced."""
        mine = [*self.model.trainable_variables, *variables] if self.takes_all else variables
        watched = Watched(self.model, mine, self._select)
        self.chosen_in_trace = not tf.executing_eagerly()
        with tf.init_scope():
            self.sampler = Sampler(
                watched.names, watched.variables, self.request, bool(self.model.jit_compile)
            )
            self.sampler.plan(*self._planned)
        self.variables = watched

    def announce(
        self, variables: Sequence[Any], gradients: Sequence[Gradient], taps: Sequence[Tap]
    ) -> None:
        """Tell of the layout, once it is known which variables get a gradient."""
        self.activations = WatchedActivations(taps, self._select_activations)
        output_units = [tap.activation.units for tap in taps if tap.activation.is_output]
        missing = {key_of(v) for v, g in zip(variables, gradients, strict=True) if g is None}
        given = {key_of(v) for v in [*optimizers.variables_of(self.optimizer), *variables]}
        withheld = self.variables.names_besides(given)
        if withheld:
            tell(
                logging.INFO,
                "tbwatch: the training step does not give these to model.optimizer, so their "
                "gradients are not known: %s",
                ", ".join(withheld),
            )
        with tf.init_scope():
            layout = Layout(
                self.variables.describe(missing),
                frozen=tuple(frozen_names(self.model)),
                activations=self.activations.described,
                setup=setup_of(self.model, self.optimizer, output_units),
            )
            assert self.sampler is not None
            self.sampler.make_room(self.activations.units)
            self._on_layout(layout)
        self.is_announced = True

    # ----------------------------------------------------------------------------- the host side

    @property
    def batches_per_update(self) -> int:
        """Gradient accumulation steps; 1 without accumulation."""
        return optimizers.batches_per_update(self.optimizer)

    @property
    def updates_done(self) -> int:
        """Updates that the optimizer has made so far (a device read)."""
        return self.batches_done // self.batches_per_update

    @property
    def batches_done(self) -> int:
        """Calls of the optimizer that it counted so far (a device read)."""
        return optimizers.batches_done(self.optimizer)

    def overwrites_weights(self, step: int) -> bool:
        """Whether this update replaced the weights by their moving average."""
        return optimizers.overwrites_weights(self.optimizer, step)

    def plan(self, steps: Sequence[int], histogram_steps: Sequence[int]) -> None:
        """Sample these updates next, some of them with histograms."""
        self._planned = (steps, histogram_steps)
        if self.sampler is not None:
            self.sampler.plan(steps, histogram_steps)

    def rest(self) -> None:
        """Nothing more is looked at, in a step that goes on without its watch."""
        if self.sampler is not None:
            self.sampler.rest()

    def collect(self) -> list[Sample]:
        """Samples that were taken since the last call, oldest first."""
        return [] if self.sampler is None else self.sampler.collect()

    def flight_log(self) -> FlightLog | None:
        """The last updates, each of them; None where none are kept."""
        return None if self.sampler is None else self.sampler.flight_log()
