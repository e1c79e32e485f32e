"""The tab "Training health" inside TensorBoard, and what it shows without TensorBoard."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
