"""The log and the clock of limits."""

import logging
from collections.abc import Iterator

import pytest

from consumers._connection import enforce

from ..support.limited import Lines
from ..support.slow import anyio_backend as anyio_backend


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> "Lines":
    caplog.set_level(logging.DEBUG, "consumers")
    return Lines(caplog)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Let the time of limits be what a test says."""
    now = [1_000_000.1]
    monkeypatch.setattr(enforce, "monotonic", lambda: now[0])
    return iter([now])
