"""Small faulty trainings, and the pictures and numbers that they give to the documentation.

`python -m docs.pictures` trains them, checks that each gets its diagnosis, and writes
`docs/images/alerts/` and the section "In a real run" of each page in `docs/alerts/`.
"""
