"""Hostile input: damaged event files, and arguments that nobody meant."""
