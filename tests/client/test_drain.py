"""Python's client returns while its server still drains: it is refused, told when to come back, and loses nothing."""

from collections.abc import Iterator

import anyio
import pytest

from consumers.client import Client, Detail, State

from ..support.chat_server import ChatServer
from ..support.redis_server import running_redis

pytestmark = pytest.mark.anyio

PATIENCE = 20


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running_redis() as redis:
        server = ChatServer(redis.url)
        yield server
        server.kill()


async def test_a_client_that_returns_while_its_server_drains_comes_back_to_the_next_one(server: ChatServer) -> None:
    states: list[tuple[State, Detail]] = []
    gaps: list[str] = []
    is_refused = anyio.Event()

    def tell(state: State, detail: Detail) -> None:
        states.append((state, detail))
        if detail.code == 503:
            is_refused.set()

    url = f"ws://127.0.0.1:{server.port}/chat/{server.room}"
    async with Client(url, on_state=tell, on_gap=gaps.append) as client:
        with anyio.fail_after(PATIENCE):
            await client.request({"type": "say", "text": "hello"})
            server.publish(0, 2)
            assert [(await anext(client))["text"] for _ in range(3)] == ["hello", "0", "1"]
            server.drain()
            await is_refused.wait()
            server.publish(2, 2)
            server.kill()
            server.start()
            assert [(await anext(client))["text"] for _ in range(2)] == ["2", "3"]
    told, refused, *_ = [detail for state, detail in states if state == "offline"]
    assert told.code == 1012 and told.retry_in is not None and told.retry_in <= 0.2
    assert refused.code == 503 and refused.retry_in is not None and 1 <= refused.retry_in <= 1.25  # the header's
    assert gaps == []
