"""What all tests share."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported

# Where it is set, what the command line prints is wrapped, also into a pipe.
os.environ.pop("COLUMNS", None)
