"""The Redis layers from the start of an application to its end."""

from typing import Any

import pytest
from starlette.applications import Starlette

from consumers import channel_layers, lifespan

from ...support.redis_layers import LAYERS, Member, lines, until
from ...support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def configured(kind: str, server: RedisServer, no_layer: None) -> None:
    config = {"BACKEND": LAYERS[kind], "CONFIG": {"hosts": [server.url], "timeout": 0.5}}
    channel_layers.configure({"default": config, "other": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})


async def test_the_layers_are_connected_while_the_application_runs(server: RedisServer) -> None:
    app = Starlette(lifespan=lifespan)
    async with app.router.lifespan_context(app):
        assert server.connections()  # before anything has used them
    await until(lambda: not server.connections())


async def test_an_application_starts_without_redis_and_has_it_later(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    app, member = Starlette(lifespan=lifespan), Member()
    async with app.router.lifespan_context(app):
        layer: Any = channel_layers["default"]
        member.name = layer.attach(member.deliver)
        server.start()
        await until(lambda: layer._process.owners.ensure().receivers[0].connection.has_been_up)  # by itself
        await layer.group_add("room", member.name)
        await layer.group_send("room", {"type": "test"})
        assert await member.holds(2) == [
            {"type": "layer.gap", "group": None},
            {"type": "test"},
        ]  # what was before, it has missed
    no_connection, not_ready, connected = lines(caplog)
    assert "no connection, trying again and again" in no_connection
    assert "'default' is not ready" in not_ready and str(server.port) in not_ready
    assert "connected after" in connected
