"""The parts of `python -m benchmarks`: one file for each suite, and what they share."""
