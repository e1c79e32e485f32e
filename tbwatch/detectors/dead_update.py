"""Variables that do not move, or move by something else than the loss, and why."""

from __future__ import annotations

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors import _rules
from tbwatch.detectors._advice import ADVICE
from tbwatch.layout import Layout
from tbwatch.record import Record

# In the order of diagnosis: the first one that applies is the cause.
DIAGNOSES = (
    "not_connected",
    "decay_only",
    "zero_gradient",
    "regularisation_only",
    "lost_update",
    "dead_update",
    "weights_too_large",
    "update_too_small",
)
_EXACT = ("not_connected", "decay_only", "zero_gradient")
# What is right when there is nothing left to learn.
_QUIET = ("zero_gradient", "lost_update", "dead_update", "update_too_small")
_NONE = -1

# Below this share of its weights per update a layer learns slowly but well (SGD with a rate of
# 1e-4 gives 2e-5, Adam with 1e-5 gives 5e-5): only far below it is "too small" a finding.
SLOW_UPDATE_RATIO = 1e-6
# Weights this many times larger than He's, whose update is below the usual 1e-3 of them.
LARGE_WEIGHT_SCALE = 10.0
ALSO_LARGE_WEIGHT_SCALE = 2.0
USUAL_UPDATE_RATIO = 1e-3
# A gradient can be zero on a few small batches in a healthy net: zero must last.
LEAST_ZERO_UPDATES = 10
LEAST_ZERO_SAMPLES = 10
# If every gradient is zero although the loss has fallen, the batches may just be solved.
LEAST_SOLVED_UPDATES = 100


class DeadUpdate:
    """Fires when a variable no longer moves, or moves without a signal from the loss.

    The measure is the update ratio, rms(dW) / rms(W); see the documentation for the order of
    diagnosis. What is no fault stays silent: a learning rate that is zero, still rising or below
    1 % of its peak, an update that overwrote the weights by their average, a bias whose layer
    trains, a loss that has nothing left to give.

    Args:
        threshold: update ratio below which a variable does not move. 1e-7 is where float32 ends:
            its spacing is 1.2e-7 relative, so smaller changes are mostly rounded away.
        patience: consecutive records before the alert is raised, and clean ones before it is
            cleared. 3 outlasts a single odd batch.
        warmup: updates from the first record on before anything is raised. 20 lets moment
            estimates and first steep gradients settle.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> detector = DeadUpdate(threshold=1e-8, patience=5)
        >>> detector.update(record)  # doctest: +SKIP
        []
    """

    name = "dead_update"

    def __init__(self, threshold: float = 1e-7, patience: int = 3, warmup: int = 20) -> None:
        is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
        if not is_number or not 0 < threshold < 1:
            raise ValueError(f"threshold must be a number between 0 and 1; got {threshold!r}.")
        if not isinstance(patience, int) or isinstance(patience, bool) or patience < 1:
            raise ValueError(f"patience must be an int of at least 1; got {patience!r}.")
        if not isinstance(warmup, int) or isinstance(warmup, bool) or warmup < 0:
            raise ValueError(f"warmup must be an int of at least 0; got {warmup!r}.")
        self.threshold = threshold
        self.patience = patience
        self.warmup = warmup
        self.reset()

    def __repr__(self) -> str:
        return (
            f"DeadUpdate(threshold={self.threshold}, patience={self.patience}, "
            f"warmup={self.warmup})"
        )

    def reset(self) -> None:
        """Forget everything seen."""
        self._names: tuple[str, ...] | None = None
        self._first_step = self._last_step = 0
        self._rate = _rules.LearningRateWatch()
        self._loss = _rules.LossWatch()

    def update(self, record: Record) -> list[Finding]:
        """Judge the next record; returns the findings that hold now."""
        self._loss.update(record)
        if not record.quantities or not len(record.layout):
            return self._findings(record)
        if record.layout.names != self._names:
            self._start(record)
        rate_allows = self._rate.update(record.learning_rate)
        moved = record.quantity("update_norm") > 0
        self._last_moved[moved] = record.step
        if record.judged and record.learning_rate != 0:
            self._count(self._diagnose(record, rate_allows), record)
        self._last_step = record.step
        return self._findings(record)

    def _start(self, record: Record) -> None:
        count = len(record.layout)
        self._names = record.layout.names
        self._first_step = self._last_step = record.step
        self._candidate = np.full(count, _NONE)  # diagnosis of the latest record
        self._since = np.zeros(count, int)  # update at which it began
        self._hits = np.zeros(count, int)  # consecutive records with it
        self._moving = np.zeros(count, bool)  # whether the variable moved meanwhile
        self._clean = np.zeros(count, int)  # consecutive records without any
        self._held = np.full(count, _NONE)  # diagnosis that was raised
        self._last_moved = np.zeros(count, int)

    def _diagnose(self, record: Record, rate_allows: bool) -> np.ndarray:
        """Index into `DIAGNOSES` of each variable at this record, `[V]`; -1 for none."""
        layout = record.layout
        ratio = record.quantity("update_ratio")
        window = record.quantity("window_change")
        # One quiet update is no standstill if the variable moved since the sample before.
        per_update = window / max(record.step - self._last_step, 1)
        scale = _rules.weight_scale(layout)
        too_large = scale > LARGE_WEIGHT_SCALE
        if too_large.any():  # one initializer for the whole net: small fan-ins show it less
            too_large = scale > ALSO_LARGE_WEIGHT_SCALE
        below = {
            limit: (ratio < limit) & ~(per_update >= 10 * limit) & rate_allows
            for limit in (self.threshold, SLOW_UPDATE_RATIO, USUAL_UPDATE_RATIO)
        }
        tests = {
            "not_connected": ~np.array([v.connected for v in layout.variables], bool),
            "decay_only": _rules.only_decay_moves(record),
            "zero_gradient": _rules.has_no_gradient(record),
            "regularisation_only": _rules.only_regularisation_pulls(record),
            "lost_update": _rules.loses_updates(record) & rate_allows,
            "dead_update": below[self.threshold],
            "weights_too_large": too_large & below[USUAL_UPDATE_RATIO],
            "update_too_small": below[SLOW_UPDATE_RATIO] & (not self._loss.improves),
        }
        found = np.full(len(layout), _NONE)
        for index in reversed(range(len(DIAGNOSES))):
            found[tests[DIAGNOSES[index]]] = index
        return self._without_followers(found, layout)

    def _without_followers(self, found: np.ndarray, layout: Layout) -> np.ndarray:
        """Judge biases, scales and shifts by exact tests only, and only if their layer is sick."""
        main, layer = _rules.is_main(layout), _rules.layers(layout)
        exact = np.isin(found, [DIAGNOSES.index(name) for name in _EXACT])
        kept = np.where(main | exact, found, _NONE)
        for row in np.flatnonzero((kept != _NONE) & ~main):
            carriers = main & (layer == layer[row])
            connected = found[row] != DIAGNOSES.index("not_connected")
            if connected and (found[carriers] == _NONE).any():
                kept[row] = _NONE
        quiet = np.isin(kept, [DIAGNOSES.index(name) for name in _QUIET])
        if self._loss.has_converged and quiet[main].all():
            kept[quiet] = _NONE
        return kept

    def _count(self, found: np.ndarray, record: Record) -> None:
        """Advance the counters and decide what is held."""
        same = (found == self._candidate) & (found != _NONE)
        begins = (found != _NONE) & ~same
        window_moved = record.quantity("window_change") > 0
        self._hits = np.where(same, self._hits + 1, np.where(begins, 1, 0))
        self._since[begins] = record.step
        self._moving = np.where(same, self._moving | window_moved, False)
        self._candidate = found
        self._clean = np.where(found == _NONE, self._clean + 1, 0)
        self._held[self._clean >= self.patience] = _NONE
        if record.step - self._first_step >= self.warmup:
            ready = self._is_ready(found, record)
            self._held[ready] = found[ready]
        immediate = found == DIAGNOSES.index("not_connected")
        self._held[immediate] = found[immediate]

    def _is_ready(self, found: np.ndarray, record: Record) -> np.ndarray:
        lasted = record.step - self._since
        ready = (found != _NONE) & (self._hits >= self.patience)
        zero = found == DIAGNOSES.index("zero_gradient")
        # Between sparse samples a zero gradient proves little, unless nothing moved in between.
        unmoved = ~self._moving & (lasted >= LEAST_ZERO_UPDATES)
        ready &= ~zero | unmoved | (self._hits >= max(self.patience, LEAST_ZERO_SAMPLES))
        connected = np.array([v.connected for v in record.layout.variables], bool)
        if self._loss.improves and _rules.has_no_gradient(record)[connected].all():
            ready &= ~zero | (lasted >= LEAST_SOLVED_UPDATES)
        return ready

    def _findings(self, record: Record) -> list[Finding]:
        if self._names is None or record.layout.names != self._names:
            return []
        return [self._finding(record, int(row)) for row in np.flatnonzero(self._held != _NONE)]

    def _finding(self, record: Record, row: int) -> Finding:
        diagnosis = DIAGNOSES[self._held[row]]
        advice = ADVICE[diagnosis]
        variable = record.layout.variables[row]
        numbers = {name: float(values[row]) for name, values in record.quantities.items()}
        size = float(record.layout.sizes[row])
        evidence: dict[str, float | str] = {
            "update_ratio": numbers.get("update_ratio", np.nan),
            "window_change": numbers.get("window_change", np.nan),
            "weight_rms": numbers.get("weight_norm", np.nan) / size**0.5,
            "gradient_rms": numbers.get("gradient_norm", np.nan) / size**0.5,
            "gradient_zero_fraction": numbers.get("gradient_zero_fraction", np.nan),
            "update_zero_fraction": numbers.get("update_zero_fraction", np.nan),
            "decay_cosine": numbers.get("decay_cosine", np.nan),
            "gradient_weight_cosine": numbers.get("gradient_weight_cosine", np.nan),
            "weight_scale": float(_rules.weight_scale(record.layout)[row]),
            "learning_rate": record.learning_rate,
            "last_moved_at": float(self._last_moved[row]),
            "dtype": variable.dtype,
        }
        threshold = self.threshold if advice.threshold is None else advice.threshold
        if diagnosis == "weights_too_large" and float(evidence["weight_scale"]) <= threshold:
            threshold = ALSO_LARGE_WEIGHT_SCALE
        return Finding(
            rule=self.name,
            diagnosis=diagnosis,
            severity=advice.severity,
            variable=variable.name,
            message=advice.message.format(threshold=threshold, patience=self.patience, **evidence),
            value=float(evidence[advice.value]),
            threshold=threshold,
            remedy=advice.remedy.format(layer=variable.layer),
            evidence=evidence,
            samples=max(int(self._hits[row]), 1),
            since=int(self._since[row]),
        )
