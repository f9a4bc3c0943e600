"""What drives the example's application as a client would."""

from typing import Any

from consumers.testing import HttpCommunicator, WebsocketCommunicator
from example_project.app import app


async def connect(path: str) -> WebsocketCommunicator:
    client = WebsocketCommunicator(app, path)
    assert (await client.connect())[0]
    return client


async def http(method: str, path: str, body: bytes = b"") -> dict[str, Any]:
    client = HttpCommunicator(app, method, path, body=body)
    response = await client.get_response()
    await client.wait()
    return response


async def refusal(client: WebsocketCommunicator, content: Any) -> str:
    """Send something that can't be done; return the answer."""
    await client.send_json_to(content)
    answer = await client.receive_json_from()
    if answer["type"] == "refusal":
        return str(answer["text"])
    assert answer["type"] == "error"
    return str(answer["errors"][0]["msg"] if answer["errors"] else answer["code"])
