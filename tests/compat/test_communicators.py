"""What the communicators of `compat` do that cannot be compared with Channels' in one test."""

import pytest

from compat.channels.testing import HttpCommunicator
from consumers.types import Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve nothing."""


def test_a_body_that_is_no_bytes_is_an_assertion_error() -> None:
    with pytest.raises(AssertionError, match="must be bytes"):
        HttpCommunicator(application, "GET", "/", body="text")  # type: ignore[arg-type]
