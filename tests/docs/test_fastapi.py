"""docs/howto/fastapi.md: its examples run, and its tables are right."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from consumers import InMemoryChannelLayer, channel_layers
from consumers.fastapi import IN_PLACE_OF

from ..support.examples import offered
from ..support.pages import ROOT, blocks

PAGE = "docs/howto/fastapi.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


def client_of(name: str) -> TestClient:
    """Return a client of the application in the example that defines this class."""
    [block] = [block for block in blocks(PAGE, "python") if f"class {name}(" in block.text]
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(block.source, PAGE, "exec"), namespace)
    channel_layers.set("default", InMemoryChannelLayer())
    return TestClient(namespace["app"])


def refused(client: TestClient, address: str) -> tuple[int, Any]:
    with pytest.raises(WebSocketDenialResponse) as caught, client.websocket_connect(address):
        pass
    return caught.value.status_code, caught.value.json()["detail"]


def test_the_chat_is_for_members_who_have_logged_in(no_layer: None) -> None:
    client = client_of("Chat")
    assert refused(client, "/chat/cats?token=x") == (401, "Log in first")
    assert refused(client, "/chat/dogs?token=secret-of-ann") == (403, "dogs is for members")
    with client.websocket_connect("/chat/cats?token=secret-of-ann") as websocket:
        assert websocket.receive_json() == {"user": "ann", "text": "is here"}
        websocket.send_json("hi")
        assert websocket.receive_json() == {"user": "ann", "text": "hi"}
    with client.websocket_connect("/chat/cats?token=secret-of-ann&quiet=yes") as websocket:
        websocket.send_json("hi")
        assert websocket.receive_json() == {"user": "ann", "text": "hi"}


def test_the_typed_chat_takes_a_token_and_misses_nothing(no_layer: None) -> None:
    client = client_of("TypedChat")
    history = {"chat.*": {"size": 10, "ttl": 60}}
    channel_layers.set("default", InMemoryChannelLayer(history=history))
    assert refused(client, "/chat/cats") == (401, "Log in first")
    with client.websocket_connect("/chat/cats", subprotocols=offered("secret-of-ann")) as websocket:
        position = websocket.receive_json()["position"]
        websocket.send_json({"type": "say", "text": "hi", "id": 1})
        assert {websocket.receive_json()["type"] for _ in range(2)} == {"said", "ack"}
    with client.websocket_connect(
        f"/chat/cats?since=room:{position}", subprotocols=offered("secret-of-ann")
    ) as websocket:
        assert websocket.receive_json()["missed"] == 1
        said = websocket.receive_json()
        assert (said["user"], said["text"], said["at"][0]) == ("ann", "hi", "room")


def test_a_browser_is_told_by_a_close_code_why_it_is_refused(no_layer: None) -> None:
    client = client_of("Ticket")
    with client.websocket_connect("/tickets/1", subprotocols=offered("secret-of-ann")) as websocket:
        assert websocket.receive_json() == {"ticket": 1}
    for subprotocols, told in (([], (4401, "Sign in first")), (offered("secret-of-ann"), (4403, "Not your ticket"))):
        with client.websocket_connect("/tickets/2", subprotocols=subprotocols) as websocket:
            with pytest.raises(WebSocketDisconnect) as caught:
                websocket.receive_json()
        assert (caught.value.code, caught.value.reason) == told


def test_the_handler_logs_the_parameter_that_the_path_lacks(no_layer: None, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(WebSocketDisconnect) as caught, client_of("Misnamed").websocket_connect("/misnamed/cats"):
        pass
    assert caught.value.code == 1008
    assert f"It says `{caplog.messages[-1]}`." in TEXT


def test_the_greeter_takes_its_supers_parameters(no_layer: None) -> None:
    with client_of("Greeter").websocket_connect("/greet?name=ann&greeting=hi") as websocket:
        assert websocket.receive_json() == "hi, ann"


def test_the_subclass_of_a_scheme_works(no_layer: None) -> None:
    client = client_of("Private")
    assert refused(client, "/private")[1] == "Not authenticated"
    with client.websocket_connect("/private", headers={"authorization": "Bearer secret"}) as websocket:
        assert websocket.receive_text() == "secret"


def test_the_room_gets_what_the_path_has(no_layer: None) -> None:
    with client_of("Room").websocket_connect("/rooms/7") as websocket:
        assert websocket.receive_text() == "room 7, ground floor"


def test_every_example_is_tried_and_every_refused_type_named() -> None:
    names = [re.findall(r"^class (\w+)\(.*Consumer", block.text, re.M) for block in blocks(PAGE, "python")]
    assert names == [["Chat"], ["TypedChat"], ["ForUsers"], ["Ticket"], ["Misnamed"], ["Private"], ["Room"]]
    for kind in IN_PLACE_OF:
        assert f"`{kind.__name__}" in TEXT
