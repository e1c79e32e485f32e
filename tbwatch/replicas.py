"""Several devices: which replica measures, which process writes, what cannot be watched."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf


def is_first() -> bool:
    """Whether the code that runs, or is being traced, is that of the first replica here.

    Replicas hold the same weights and get the same sum of gradients, so one of them measures.
    """
    context = tf.distribute.get_replica_context()
    if context is None:
        return True
    number = context._replica_id_in_sync_group
    if isinstance(number, tf.Tensor):
        number = tf.get_static_value(number)
    strategy = context.strategy
    if strategy.num_replicas_in_sync == 1 or number is None:
        return True
    return bool(number % len(strategy.extended.worker_devices) == 0)


def sum_over_replicas(value: tf.Tensor, strategy: tf.distribute.Strategy) -> tf.Tensor | None:
    """A scalar added up over all replicas, called by each of them; None where that is not safe.

    Between processes nothing is exchanged that the training does not exchange itself: a worker
    that watches alone would wait for ever. Nor when run eagerly, where TensorFlow takes the sums of
    two strategies in one process for each other.
    """
    if spans_processes(strategy) or tf.executing_eagerly():
        return None
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def spans_processes(strategy: tf.distribute.Strategy) -> bool:
    """Whether replicas live in several processes."""
    return bool(strategy.extended._in_multi_worker_mode())


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes; a process alone is."""
    resolver = strategy.cluster_resolver
    if resolver is None or not spans_processes(strategy):
        return True
    jobs = resolver.cluster_spec().as_dict()
    chief = "chief" if "chief" in jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (chief, 0)


def has_workers() -> bool:
    """Whether `TF_CONFIG` makes this process one of several workers."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", "{}"))["cluster"]
        return sum(len(cluster.get(job, ())) for job in ("chief", "worker")) > 1
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # none, or not ours to complain about


def refusal(strategy: Any) -> str | None:
    """Why training under this strategy cannot be watched, as the rest of a sentence; or None."""
    name = type(strategy).__name__
    if "ParameterServer" in name:
        return (
            f"{name} is not supported: its workers update the weights one by one, so there is no "
            "common step to watch"
        )
    if "TPU" in name or "CentralStorage" in name:
        return f"{name} is not supported; MirroredStrategy and MultiWorkerMirroredStrategy are"
    return None
