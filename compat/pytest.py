"""The pytest plugin `pytest -p compat.pytest`: installs the import hook before anything imports Channels."""

import pytest

from . import install

try:
    install()
except RuntimeError as error:
    raise pytest.UsageError(str(error)) from error
