"""Measurements of tbwatch: not part of the package."""
