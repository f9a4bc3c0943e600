"""Layers on real Redis servers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from consumers.layers.redis.layer import RedisLayer

from ...support.redis_layers import LAYERS, Make, until
from ...support.redis_server import RedisServer, running_redis


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=LAYERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server for one test, which may do to it what it likes."""
    with running_redis() as server:
        yield server


@pytest.fixture
async def make(redis_server: RedisServer, anyio_backend: str) -> AsyncIterator[Make]:
    """Make layers of a kind that are closed after the test; then nothing of them is left in Redis."""
    made: list[Any] = []

    def make(kind: str, **arguments: Any) -> Any:
        made.append(LAYERS[kind](**{"hosts": [redis_server.url], **arguments}))
        return made[-1]

    yield make
    for layer in made:
        await layer.close()
    with redis_server.client() as client:
        client.flushall()
    await until(lambda: redis_server.connections() == [])


@pytest.fixture
def layer(make: Make, kind: str) -> RedisLayer:
    layer = make(kind)
    assert isinstance(layer, RedisLayer)
    return layer
