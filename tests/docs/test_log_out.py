"""The example of docs/howto/log-out.md, as its clients see it."""

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from ..support.examples import run
from ..support.pages import blocks

[EXAMPLE] = (block.text for block in blocks("docs/howto/log-out.md", "python"))


def test_a_log_out_closes_the_users_sockets(no_layer: None) -> None:
    with TestClient(run(EXAMPLE)["app"]) as client, client.websocket_connect("/news/bob") as bob:
        with client.websocket_connect("/news/ann") as ann:
            assert client.post("/log-out/ann").text == "bye"
            closed = {"type": "websocket.close", "code": 4001, "reason": "you were logged out"}
            assert ann.receive() == closed
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/news/ann"):
            pass
        client.post("/log-out/bob")
        assert bob.receive() == closed
