"""docs/howto/chanx.md: what its chat does after the move.

What it was before is not run, as chanx is no requirement of the tests. It has to be Python, and of the same messages.
"""

import ast

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.testclient import WebSocketTestSession as Session

from ..support.examples import offered, run
from ..support.pages import blocks

PAGE = "docs/howto/chanx.md"
[BEFORE] = blocks(PAGE, "py")
[AFTER] = blocks(PAGE, "python")


def connect(client: TestClient, name: str) -> Session:
    return client.websocket_connect("/chat", subprotocols=offered(f"secret-of-{name}"))


def test_all_hear_what_one_says_and_what_the_house_announces(no_layer: None) -> None:
    with TestClient(run(AFTER.text)["app"]) as client, connect(client, "ann") as ann, connect(client, "bob") as bob:
        ann.send_json({"type": "say", "text": "hello"})
        assert ann.receive_json() == bob.receive_json() == {"type": "said", "user": "ann", "text": "hello"}
        assert client.post("/announcements?text=noon").status_code == 200
        assert bob.receive_json() == {"type": "said", "user": "the house", "text": "noon"}


def test_a_wrong_token_is_refused_before_the_accept(no_layer: None) -> None:
    with TestClient(run(AFTER.text)["app"]) as client:
        with pytest.raises(WebSocketDenialResponse) as refused, connect(client, "eve"):
            pass
        assert refused.value.status_code == 401


def test_the_class_is_documented_with_its_docstring(no_layer: None) -> None:
    with TestClient(run(AFTER.text)["app"]) as client:
        assert "A room for all." in client.get("/asyncapi/asyncapi.json").text


def test_before_and_after_have_the_same_messages() -> None:
    before, after = (
        {node.name for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.ClassDef)}
        for block in (BEFORE, AFTER)
    )
    assert {"Say", "Said", "Chat"} <= before & after
