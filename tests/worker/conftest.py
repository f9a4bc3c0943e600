"""What the tests of workers look at."""

import anyio
import pytest

from ..support.workers import Log, gates


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def gate() -> anyio.Event:
    """An event that `{"type": "wait", "gate": "gate"}` waits for."""
    event = gates["gate"] = anyio.Event()
    return event
