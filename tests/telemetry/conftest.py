"""What the library measures."""

from collections.abc import Iterator

import pytest

from consumers import telemetry

from ..support.measured import Measured
from ..support.slow import anyio_backend as anyio_backend


@pytest.fixture
def measured() -> Iterator[Measured]:
    """Measure everything during the test."""
    measured = Measured()
    telemetry.instrument(measured.provider)
    try:
        yield measured
    finally:
        telemetry.uninstrument()
        measured.provider.shutdown()
