"""A real TensorBoard server, and runs for it that were not trained."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from tbwatch import summaries
from tbwatch.events import EventWriter
from tests.program import Program

# The fast data server has binaries for Linux and macOS on x86_64 only.
LOADERS = ["false", "true"] if os.uname().machine == "x86_64" else ["false"]


class Server:
    """TensorBoard on a free port of the loopback.

    Args:
        options: further arguments of its own.
        fresh: what a fresh interpreter runs it with; by default it is a `Program`.
    """

    def __init__(self, log_dir, load_fast, *options, fresh=()):
        run = fresh or ("-c", "from tensorboard.main import run_main; run_main()")
        command = [sys.executable, *run, "--logdir", str(log_dir), "--port", "0"]
        command += ["--host", "127.0.0.1", "--reload_interval", "1", *options]
        self.process = (subprocess.Popen if fresh else Program)(
            [*command, f"--load_fast={load_fast}"], stderr=subprocess.PIPE, text=True
        )
        told = []
        for line in self.process.stderr:
            told.append(line)
            found = re.search(r"http://[^/]+:(\d+)(/\S*)?", line)
            if found:
                self.url = f"http://127.0.0.1:{found[1]}{(found[2] or '').rstrip('/')}"
                return
        raise RuntimeError(f"TensorBoard did not start: {''.join(told)}")

    def get(self, path, **query):
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read()

    def json(self, path, **query):
        return json.loads(self.get(path, **query))

    def wait_for(self, ask, seconds=40):
        """Ask until the answer is true: the server reads in its own time."""
        end = time.monotonic() + seconds
        while True:
            answer = None
            with contextlib.suppress(urllib.error.HTTPError):  # a tag that is not known yet
                answer = ask()
            if answer or time.monotonic() > end:
                assert answer, f"not within {seconds} seconds"
                return answer
            time.sleep(0.3)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def write_run(log_dir, records, alerts=(), values=None, over=()):
    """Write records as a fit does, with all alerts beside the last one.

    Args:
        log_dir: directory of the run.
        records: of `tbwatch.testing.make_record`.
        alerts: a list of `Alert`.
        values: gives further summary values of a record.
        over: diagnoses that do not hold at the end although no alert says that they were cleared.
    """
    writer = EventWriter(str(log_dir))
    records = list(records)
    for at, record in enumerate(records):
        mine = [*summaries.packed_record(record), *(values(record) if values else ())]
        if alerts and at == len(records) - 1:
            ended = {alert.diagnosis for alert in alerts if alert.state == "cleared"} | set(over)
            held = [alert for alert in alerts if alert.diagnosis not in ended]
            mine += [summaries.packed_alerts(alerts), summaries.packed_holding(held)]
        writer.write(record.step, 1.7e9 + record.step, mine)
    writer.close()


def slow_training(log_dir, updates):
    """A process that trains a small net, watched, at most five updates a second."""
    code = f"""
import time
import keras, tbwatch
from tests.nets import convnet, fit
class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.2)
fit(convnet(), tbwatch.Watch({str(log_dir)!r}), Slow(), updates={updates})
"""
    return Program([sys.executable, "-c", code])
