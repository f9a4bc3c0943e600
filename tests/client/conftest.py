"""What the tests of Python's client share."""

from collections.abc import Iterator

import pytest

from ..support.clock import ManualClock
from ..support.slow import anyio_backend as anyio_backend
from .stage import Stage, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as stage:
        yield stage


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
