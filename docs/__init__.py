"""The documentation, and the tool that takes its pictures: `python -m docs.pictures`."""
