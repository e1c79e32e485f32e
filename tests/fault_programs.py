"""Trainings that something happens to, and what is then said and on the disk."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tbwatch.alerts import Finding
from tests.program import Program

# A fit that prints each update that is done, and takes a little time for each.
TRAINING = """
import os, sys, time
import keras, tbwatch
from tests.nets import convnet, fit
class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep({pause})
        print(batch + 1, flush=True)
{before}
fit(convnet(), *[tbwatch.Watch({log_dir!r}, update_freq=1)][:{watched}], Slow(), updates={updates})
{after}
"""


def start(log_dir, pause=0.02, updates=2000, before="", after="", watched=1):
    """A training process."""
    code = TRAINING.format(
        log_dir=str(log_dir),
        pause=pause,
        updates=updates,
        before=before,
        after=after,
        watched=watched,
    )
    return Program(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(process, update):
    """Wait for an update; returns its number."""
    done = 0
    for line in process.stdout:
        done = int(line)
        if done >= update:
            break
    return done


def by_tensorboard(log_dir, tag="training/loss"):
    """Steps of a curve as TensorBoard's own reader finds them."""
    accumulator = EventAccumulator(str(Path(log_dir) / "tbwatch"), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [point.step for point in accumulator.Scalars(tag)]


def sampled(run):
    """Steps of the samples: the record that ends a fit repeats the last one."""
    return [record.step for record in run.records if not record.is_last]


class At(keras.callbacks.Callback):
    """Does something after a batch."""

    def __init__(self, batch, action):
        super().__init__()
        self.batch, self.action = batch, action

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch and self.action is not None:
            self.action()
            self.action = None  # once, not in each epoch


def warned(caplog):
    """What was said of at least a warning's weight."""
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


class Sick:
    """A detector that finds something at given updates."""

    name = "sick"

    def __init__(self, *steps, diagnosis="sick"):
        self.steps, self.diagnosis = set(steps), diagnosis

    def reset(self):
        pass

    def update(self, record):
        if record.step not in self.steps or record.is_last:
            return []
        return [
            Finding(self.name, self.diagnosis, "critical", "loss", "It is ill.", 1.0, 0.0, "Rest.")
        ]
