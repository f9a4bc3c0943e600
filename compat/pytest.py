"""The pytest plugin `pytest -p compat.pytest`: installs the import hook before anything imports Channels."""

from . import install

install()
