"""docs/howto/socketio.md: what its room does after the move.

What it was before is not run, as python-socketio is no requirement of the tests. It has to be Python, and to name the
same events.
"""

import ast

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.testclient import WebSocketTestSession as Session

from ..support.examples import offered, run
from ..support.pages import ROOT, blocks

PAGE = "docs/howto/socketio.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
[BEFORE] = blocks(PAGE, "py")
[AFTER] = blocks(PAGE, "python")


def connect(client: TestClient, name: str) -> Session:
    return client.websocket_connect("/chat", subprotocols=offered(f"secret-of-{name}"))


def test_who_entered_hears_what_is_said_and_the_speaker_gets_an_answer(no_layer: None) -> None:
    with TestClient(run(AFTER.text)["app"]) as client, connect(client, "ann") as ann, connect(client, "bob") as bob:
        for number, session in enumerate((ann, bob)):
            session.send_json({"type": "enter", "room": "cats", "id": number})
            assert session.receive_json() == {"type": "ack", "to": number}
        ann.send_json({"type": "say", "room": "cats", "text": "hello", "id": 7})
        assert bob.receive_json() == {"type": "said", "user": "ann", "room": "cats", "text": "hello"}
        assert ann.receive_json() == {"type": "length", "length": 5, "to": 7}
        bob.send_json({"type": "dance", "id": 8})
        assert bob.receive_json()["code"] == "unknown_type"


def test_a_wrong_token_is_refused_and_the_client_is_served(no_layer: None) -> None:
    with TestClient(run(AFTER.text)["app"]) as client:
        with pytest.raises(WebSocketDenialResponse) as refused, connect(client, "eve"):
            pass
        assert refused.value.status_code == 401
        assert client.get("/consumers/consumers.js").status_code == 200


def test_before_and_after_name_the_same_events() -> None:
    functions = {node.name for node in ast.walk(ast.parse(BEFORE.text)) if isinstance(node, ast.AsyncFunctionDef)}
    assert functions == {"connect", "enter", "say"}
    assert functions <= {
        node.name for node in ast.walk(ast.parse(AFTER.text)) if isinstance(node, ast.AsyncFunctionDef)
    }
    for script in blocks(PAGE, "js"):
        assert all(name in script.text for name in ('"said"', '"enter"', '"say"'))
