"""The browser's client, in Chromium, through a proxy that misbehaves, against a real server and Redis."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, BrowserContext, BrowserType, Page

from ..support.chat_server import ChatServer
from ..support.proxy import proxying
from ..support.redis_server import running_redis
from .conftest import CHROMIUM, FLAGS
from .driving import Wire

ENOUGH = 15  # seconds until a test gives up


@pytest.fixture(scope="module")
def started() -> Iterator[ChatServer]:
    with running_redis() as redis:
        server = ChatServer(redis.url)
        yield server
        server.kill()


@pytest.fixture(scope="module")
def secure(started: ChatServer) -> Iterator[ChatServer]:
    """The same behind TLS, with a certificate that no browser knows."""
    with running_redis() as redis:
        server = ChatServer(redis.url, is_secure=True)
        yield server
        server.kill()


@pytest.fixture
def server(started: ChatServer) -> ChatServer:
    started.new_room()
    return started


@pytest.fixture
def wire(server: ChatServer) -> Iterator[Wire]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(proxying(server.port)) as proxy:
        yield Wire(proxy, portal)


class Tab:
    """A tab with a client, whose page keeps what it hears."""

    def __init__(self, page: Page, url: str, options: dict[str, Any]) -> None:
        self.page = page
        self.speaks_protocol = "address" not in options
        page.goto(f"{url}/?options={quote(json.dumps(options))}")

    def until(self, condition: str) -> None:
        """Ask again and again: Playwright's own way to wait needs `eval()`, which the page's policy forbids."""
        deadline = time.monotonic() + ENOUGH
        while not self.read(f"Promise.resolve(({condition})).then(Boolean)"):
            assert time.monotonic() < deadline, (condition, self.read("[window.states, window.got, window.heard]"))
            self.page.wait_for_timeout(10)

    def until_state(self, state: str) -> None:
        self.until(f"client?.state === '{state}'")
        if state == "open" and self.speaks_protocol:
            self.until("client.positions.room")  # what comes before that was never missed

    def until_got(self, *numbers: int) -> None:
        """Wait for the last of some numbers; they must have come once each, in order."""
        self.until(f"got.at(-1) === '{numbers[-1]}'")
        assert self.read("got") == [str(number) for number in numbers]

    def read(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    @property
    def states(self) -> list[str]:
        return [state for state, _ in self.read("states")]


OpenTab = Callable[..., Tab]


@pytest.fixture
def open_tab(browser: Browser, server: ChatServer, wire: Wire) -> Iterator[OpenTab]:
    """A function that opens a page with a client, in a new context or in that of another tab."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_tab(beside: Tab | None = None, clock: bool = False, **options: Any) -> Tab:
        context = beside.page.context if beside else browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        if clock:
            page.clock.install()
        tab = Tab(page, f"http://127.0.0.1:{wire.port}", {"room": server.room, **options})
        tab.until("window.client")
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert errors == []


def test_a_client_connects_and_its_requests_are_answered(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    assert tab.read("ask('hello')") == "ack"
    tab.until("got.length === 1")
    assert tab.read("ask('x', {timeout: 5000})") == "ack"
    assert tab.read("client.request({type: 'say'}).catch((error) => [error.code, error.errors[0].loc])") == [
        "invalid",
        ["text"],
    ]
    assert tab.read("client.request({type: 'nothing'}).catch((error) => error.code)") == "unknown_type"
    assert tab.states == ["connecting", "open"]


def test_a_cut_loses_and_doubles_nothing(server: ChatServer, wire: Wire, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    server.publish(0, 3)
    tab.until_got(*range(3))
    wire.cut()
    tab.until_state("offline")
    server.publish(3, 5)
    wire.mend()
    tab.until_got(*range(8))
    tab.until_state("open")
    assert tab.states[-1] == "open"
    assert "recovering" in tab.states
    assert tab.read("gaps") == []


def test_a_server_that_is_killed_and_restarted_loses_nothing(server: ChatServer, wire: Wire, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    server.publish(0, 3)
    tab.until_got(*range(3))
    server.kill()
    tab.until_state("offline")
    server.start()
    server.publish(3, 3)
    tab.until_got(*range(6))
    assert tab.read("gaps") == []


def test_a_request_without_an_answer_is_sent_again_and_handled_once(
    server: ChatServer, wire: Wire, open_tab: OpenTab
) -> None:
    tab = open_tab()
    tab.until_state("open")
    other = open_tab()
    other.until_state("open")
    wire.cut_after(10)  # in the answer
    tab.page.evaluate("window.answer = ask('once', {timeout: 60000}); null")
    assert tab.read("answer") == "ack"
    assert ["offline", 1006] in tab.read("states")
    server.publish(0, 1)
    for each in (tab, other):
        each.until("got.at(-1) === '0'")
        assert each.read("got") == ["once", "0"]


def test_a_frame_that_breaks_off_is_told_again(server: ChatServer, wire: Wire, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    wire.cut_after(60)
    server.publish(0, 20)
    tab.until_got(*range(20))
    assert tab.read("gaps") == []


def test_a_client_that_returns_while_its_server_drains_comes_back_to_the_next_one(
    server: ChatServer, open_tab: OpenTab
) -> None:
    tab = open_tab()
    tab.until_state("open")
    server.publish(0, 2)
    tab.until_got(0, 1)
    server.drain()
    tab.until("states.some(([state, code]) => state === 'offline' && code === 1012)")
    tab.until("states.some(([state, code]) => state === 'offline' && code === 1006)")  # it has returned, too early
    server.publish(2, 2)
    server.kill()
    server.start()
    tab.until_got(*range(4))
    tab.until_state("open")
    assert tab.read("gaps") == []


def test_behind_tls_a_cut_loses_and_doubles_nothing(secure: ChatServer, browser: Browser) -> None:
    context = browser.new_context(ignore_https_errors=True)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(proxying(secure.port)) as proxy:
        wire = Wire(proxy, portal)
        tab = Tab(context.new_page(), f"https://localhost:{wire.port}", {"room": secure.room})
        tab.until("window.client")
        tab.until_state("open")
        assert tab.read("ask('hello')") == "ack"
        wire.cut()
        tab.until_state("offline")
        secure.publish(0, 3)
        wire.mend()
        tab.until("got.at(-1) === '2'")
        assert tab.read("got") == ["hello", "0", "1", "2"]
        assert tab.read("gaps") == []
        context.close()


def test_what_the_log_keeps_no_longer_is_a_gap(server: ChatServer, wire: Wire, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    server.publish(0, 1)
    tab.until_got(0)
    wire.cut()
    tab.until_state("offline")
    server.publish(1, 300)
    wire.mend()
    tab.until("gaps.length === 1")
    assert tab.read("gaps") == ["room"]
    server.publish(301, 1)
    tab.until_got(0, 301)


def test_a_connection_that_is_dead_without_a_sign_is_noticed(server: ChatServer, wire: Wire, open_tab: OpenTab) -> None:
    tab = open_tab(clock=True)
    tab.until_state("open")
    wire.hold()
    server.publish(0, 2)
    tab.page.clock.fast_forward(26_000)  # the heartbeat
    tab.page.clock.fast_forward(11_000)  # has no answer
    assert tab.read("client.state") == "offline"
    wire.cut()
    wire.mend()
    tab.page.clock.fast_forward(1_000)
    tab.until_got(0, 1)


LATE = "Math.random = () => 100; null"
"""Has the next attempt wait for longer than a test does."""


@pytest.mark.parametrize("event", ["visibilitychange", "resume"])  # a tab is shown; a page that was frozen goes on
def test_who_comes_back_to_a_tab_does_not_wait_for_a_timer(event: str, wire: Wire, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    tab.page.evaluate(LATE)
    wire.cut()
    tab.until_state("offline")
    wire.mend()
    tab.page.evaluate(f"document.dispatchEvent(new Event('{event}'))")
    tab.until_state("open")


def test_nobody_waits_for_a_timer_when_the_network_is_back(wire: Wire, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    tab.page.evaluate(LATE)
    wire.cut()
    tab.until_state("offline")
    wire.mend()
    tab.page.context.set_offline(True)
    tab.page.context.set_offline(False)
    tab.until_state("open")


def test_an_expired_token_is_replaced_once(open_tab: OpenTab) -> None:
    tab = open_tab(tokens=["old", "new"])
    tab.until("asked === 2 && client.state === 'open'")
    assert ["offline", 4401] in tab.read("states")


def test_a_token_that_is_refused_twice_ends_it(open_tab: OpenTab) -> None:
    tab = open_tab(tokens=["old"])
    tab.until_state("closed")
    assert tab.read("asked") == 2
    assert tab.read("states").pop() == ["closed", 4401]


def test_a_refused_handshake_is_tried_again(open_tab: OpenTab) -> None:
    tab = open_tab(tokens=["refused", "refused", "good"])
    tab.until_state("open")
    assert tab.read("states.filter(([state]) => state === 'offline').length") == 2


@pytest.mark.parametrize("code", [1000, 1008, 4000, 4008])
def test_some_closes_are_final(code: int, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    tab.page.evaluate("window.late = ask('x', {timeout: 60000}); null")
    tab.page.evaluate(f"client.send({{type: 'break', code: {code}}})")
    tab.until_state("closed")
    assert tab.read("states").pop() == ["closed", code]
    assert tab.read("ask('more')") == "closed"


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
def test_after_others_the_client_comes_back(code: int, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    tab.page.evaluate(f"client.send({{type: 'break', code: {code}}})")
    tab.until(f"states.some(([state, code]) => state === 'offline' && code === {code})")
    tab.until_state("open")


def test_a_hint_says_when_to_come_back(open_tab: OpenTab) -> None:
    tab = open_tab(clock=True)
    tab.until_state("open")
    tab.page.evaluate("client.onState((state, detail) => window.retryIn = detail.retryIn ?? window.retryIn); null")
    tab.page.evaluate("client.send({type: 'break', code: 1012, reason: 'retry=30-40'})")
    tab.until_state("offline")
    assert 30_000 <= tab.read("retryIn") <= 40_000
    tab.page.clock.fast_forward(29_000)
    assert tab.read("client.state") == "offline"
    tab.page.clock.fast_forward(11_001)
    tab.until_state("open")


def test_who_does_not_want_to_wait_wakes_the_client(server: ChatServer, open_tab: OpenTab) -> None:
    tab = open_tab(clock=True)  # on which no delay passes
    tab.until_state("open")
    assert tab.read("(client.wake(), client.state)") == "open"
    tab.page.evaluate("client.send({type: 'break', code: 1012, reason: 'retry=10-11'})")
    tab.until_state("offline")
    server.publish(0, 3)
    tab.page.evaluate("client.wake()")
    tab.until_state("open")
    tab.until_got(0, 1, 2)
    assert tab.read("(client.close(), client.wake(), client.state)") == "closed"


def test_a_message_for_which_there_is_no_room_is_refused_at_once(wire: Wire, open_tab: OpenTab) -> None:
    tab = open_tab(queueLimit=2)
    tab.until_state("open")
    wire.cut()
    tab.until_state("offline")
    tab.page.evaluate("window.answers = ['1', '2'].map((text) => ask(text, {timeout: 60000})); null")
    assert tab.read("ask('3')") == "queue_full"
    wire.mend()
    assert tab.read("Promise.all(answers)") == ["ack", "ack"]
    tab.until("got.length === 2")
    assert tab.read("got") == ["1", "2"]


def test_a_consumer_that_does_not_speak_the_protocol_can_be_talked_to(open_tab: OpenTab) -> None:
    tab = open_tab(clock=True, address="/plain")
    tab.until_state("open")
    tab.page.evaluate("client.on('*', (message) => got.push(message)); null")
    tab.page.evaluate("client.send({text: 'hello'})")
    tab.until("got.length === 1")
    assert tab.read("got") == [{"text": "hello"}]
    tab.page.clock.fast_forward(120_000)
    tab.page.evaluate("client.send({text: 'again'})")
    tab.until("got.length === 2")
    assert tab.states == ["connecting", "open"]


def test_two_tabs_are_two_clients(server: ChatServer, open_tab: OpenTab) -> None:
    first = open_tab()
    second = open_tab(beside=first)
    for tab in (first, second):
        tab.until_state("open")
        assert tab.read("ask('same')") == "ack"
    for tab in (first, second):
        tab.until("got.at(-1) === 'same'")
    first.until("got.length === 2")
    server.publish(0, 1)
    for tab in (first, second):
        tab.until("got.at(-1) === '0'")


def test_a_reload_in_mid_stream_goes_on_where_the_page_was(server: ChatServer, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    server.publish(0, 5)
    tab.until_got(*range(5))
    positions = tab.read("client.positions")
    server.publish(5, 5)
    again = open_tab(since=positions)
    again.until_got(*range(5, 10))


def test_a_request_that_has_no_answer_in_time_is_not_sent_again(
    server: ChatServer, wire: Wire, open_tab: OpenTab
) -> None:
    tab = open_tab()
    tab.until_state("open")
    wire.cut()
    tab.until_state("offline")
    assert tab.read("ask('never', {timeout: 10})") == "timeout"
    aborted = (
        "(() => { const c = new AbortController(); const a = ask('never', {signal: c.signal}); c.abort(); return a })()"
    )
    assert tab.read(aborted) == "aborted"
    wire.mend()
    tab.until_state("open")
    server.publish(0, 1)
    tab.until_got(0)


def test_a_closed_client_leaves_nothing_behind(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    tab.page.evaluate(
        """
        client.close()
        window.left = 0
        const [add, remove] = [EventTarget.prototype.addEventListener, EventTarget.prototype.removeEventListener]
        EventTarget.prototype.addEventListener = function (...words) { left++; return add.apply(this, words) }
        EventTarget.prototype.removeEventListener = function (...words) { left--; return remove.apply(this, words) }
        const [set, clear] = [window.setTimeout, window.clearTimeout]
        window.timers = new Set()
        window.setTimeout = (f, ms) => {
          const id = set(() => { timers.delete(id); f() }, ms)
          timers.add(id)
          return id
        }
        window.clearTimeout = (id) => { timers.delete(id); clear(id) }
        """
    )
    closed = """
        (async () => {
          const { Client } = await import("/consumers/consumers.js")
          const other = new Client("/chat/1", { token: () => "good" })
          await new Promise((done) => other.onState((state) => state === "open" && done()))
          const answer = other.request({ type: "say", text: "x" })
          await answer
          const late = other.request({ type: "say", text: "y" }).catch((error) => error.code)
          other.close()
          return [other.state, await late, left, timers.size]
        })()
    """
    assert tab.read(closed) == ["closed", "closed", 0, 0]


def test_an_error_of_the_pages_own_keeps_no_message_from_coming(
    server: ChatServer, browser: Browser, wire: Wire
) -> None:
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    tab = Tab(page, f"http://127.0.0.1:{wire.port}", {"room": server.room})
    tab.until("window.client")
    tab.until_state("open")
    page.evaluate("client.on('said', () => { throw new Error('mine') }); null")
    server.publish(0, 2)
    tab.until_got(0, 1)
    context.close()
    assert len(errors) == 2
    assert all("mine" in error for error in errors)


def test_it_works_in_a_shared_worker(server: ChatServer, open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until_state("open")
    tab.page.evaluate(f"""
        window.heard = null
        window.worker = new SharedWorker("/worker.js?room={server.room}", {{ type: "module" }})
        worker.port.onmessage = ({{ data }}) => (window.heard = data)
        null
    """)
    tab.until("worker.port.postMessage(0), heard?.states.at(-1)[0] === 'open'")
    server.publish(0, 1)
    tab.until("worker.port.postMessage(0), heard.got[0] === '0'")


def test_a_page_that_comes_out_of_the_back_forward_cache_goes_on(server: ChatServer, chromium: BrowserType) -> None:
    browser = chromium.launch(
        executable_path=CHROMIUM, args=FLAGS, ignore_default_args=["--disable-back-forward-cache"]
    )
    page = browser.new_page()
    tab = Tab(page, f"http://127.0.0.1:{server.port}", {"room": server.room})
    tab.until("window.client")
    tab.until_state("open")
    page.evaluate("addEventListener('pageshow', ({ persisted }) => (window.wasKept = persisted)); null")
    server.publish(0, 2)
    tab.until_got(0, 1)
    page.goto(f"http://127.0.0.1:{server.port}/worker.js")
    server.publish(2, 2)
    page.go_back(wait_until="commit")  # such a page is not loaded
    tab.until("window.wasKept")
    tab.until_got(*range(4))
    tab.until_state("open")
    assert tab.states == ["connecting", "open", "offline", "connecting", "recovering", "open"]
    assert tab.read("gaps") == []
    browser.close()
