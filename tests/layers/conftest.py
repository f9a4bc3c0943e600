"""A Redis server for the tests of the layers on it."""

from collections.abc import Iterator

import pytest

from ..support.contract import MakeLayer
from ..support.kinds import Kind
from ..support.redis_server import RedisServer, running_redis

NARROW = (
    "user narrow on nopass resetchannels &[a-z]* ~* -@all +psubscribe +subscribe +unsubscribe +publish +ping "
    "+eval +info +time +@read +@write"
)
"""A user of Redis to whom it refuses the pattern of a process, which is none of the user's own."""


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for all tests that leave it as they found it."""
    with running_redis(NARROW) as server:
        yield server


@pytest.fixture
def make(kind: Kind, request: pytest.FixtureRequest) -> Iterator[MakeLayer]:
    """Make layers that the test closes."""
    if kind.needs_redis:
        server = request.getfixturevalue("redis_server")
        yield lambda **arguments: kind.make(hosts=[server.url], **arguments)
        with server.client() as client:
            client.flushall()
    else:
        yield kind.make
