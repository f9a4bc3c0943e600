"""A Starlette application that shows consumers at work; `python -m example_project` serves it."""
