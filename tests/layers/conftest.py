"""A Redis server for the tests of the layers on it."""

from collections.abc import Iterator

import pytest

from ..redis_server import RedisServer, running_redis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for all tests that leave it as they found it."""
    with running_redis() as server:
        yield server
