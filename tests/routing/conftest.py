"""An application behind a router."""

import pytest

from ..support.routers import Recorder
from ..support.slow import anyio_backend as anyio_backend


@pytest.fixture
def app() -> Recorder:
    return Recorder()
