"""An application behind a router."""

import pytest

from ..support.routers import Recorder


@pytest.fixture
def app() -> Recorder:
    return Recorder()
