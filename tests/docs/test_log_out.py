"""docs/howto/log-out.md: its example, as its clients see it, and what it says of codes."""

from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from consumers import InMemoryChannelLayer, channel_layers, close_group

from ..support.examples import connect, run
from ..support.pages import blocks

[EXAMPLE] = (block.text for block in blocks("docs/howto/log-out.md", "python"))
CLOSED = {"type": "websocket.close", "code": 4001, "reason": "you were logged out"}


def refused(client: TestClient, token: str) -> int:
    with pytest.raises(WebSocketDenialResponse) as caught, client.websocket_connect(f"/news?token={token}"):
        pass
    return caught.value.status_code


def test_a_log_out_closes_all_sockets_of_its_user_and_no_other(no_layer: None) -> None:
    ann, bob = (f"/news?token=secret-of-{name}" for name in ("ann", "bob"))
    with TestClient(run(EXAMPLE)["app"]) as client, client.websocket_connect(bob) as other:
        with client.websocket_connect(ann) as one, client.websocket_connect(ann) as two:
            assert client.post("/log-out?token=secret-of-ann").status_code == 200
            assert one.receive() == two.receive() == CLOSED
        assert refused(client, "secret-of-ann") == 401
        assert client.post("/log-out?token=secret-of-ann").status_code == 401
        client.post("/log-out?token=secret-of-bob")
        assert other.receive() == CLOSED


def test_a_log_out_before_the_connection_joins_is_seen(no_layer: None) -> None:
    namespace = run(EXAMPLE)

    class Late(InMemoryChannelLayer):
        async def group_add(self, *arguments: Any, **options: Any) -> Any:
            namespace["users"].clear()
            return await super().group_add(*arguments, **options)

    channel_layers.set("default", Late())
    with TestClient(namespace["app"]) as client:
        assert refused(client, "secret-of-ann") == 401


@pytest.mark.anyio
async def test_a_code_that_cannot_be_sent_closes_nobody(no_layer: None) -> None:
    app = run(EXAMPLE)["app"]
    client = await connect(app, "/news?token=secret-of-ann")
    for code in (999, 1005, 2000, 5000):
        with pytest.raises(ValueError, match="cannot be sent"):
            await close_group("user.ann", code)
    assert await client.receive_nothing()
    await close_group("user.ann", reason="é" * 100)
    assert await client.receive_output() == {"type": "websocket.close", "code": 1008, "reason": "é" * 61}
    await client.wait()
