"""The demo, and tabs of a real browser."""

import shutil
import signal
from collections.abc import Callable, Iterator

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, BrowserType, Page, sync_playwright

from ..support.processes import wait_for, workers_of
from ..support.proxy import proxying
from ..support.redis_server import RedisServer, running_redis
from .driving import Demo, Wire

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
EXPECTED = ("net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET", "400 (Bad Request)")


@pytest.fixture
def demo() -> Iterator[Demo]:
    demo = Demo()
    demo.start()
    yield demo
    if demo.process.returncode is None:
        demo.stop(signal.SIGKILL)


@pytest.fixture(scope="module", params=[pytest.param("chromium", marks=pytest.mark.slow)])
def chromium() -> Iterator[BrowserType]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium, chromium-browser or google-chrome on the PATH")
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="module")
def browser(chromium: BrowserType) -> Iterator[Browser]:
    browser = chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def open_tab(browser: Browser, demo: Demo) -> Iterator[Callable[..., Page]]:
    """A function that opens the page in a new tab; at the end no tab may have had an error of its own.

    It takes another port, of a proxy say, and another tab, whose storage the new one shares: both are one person.
    """
    contexts = []
    errors: list[str] = []

    def watch(kind: str, text: str) -> None:
        # The browser itself reports every attempt to reach a server that is down or being killed, and what one refuses.
        if kind == "error" and not any(expected in text for expected in EXPECTED):
            errors.append(text)

    def open_tab(port: int | None = None, beside: Page | None = None) -> Page:
        context = beside.context if beside else browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: watch(message.type, message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{port or demo.port}")
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def wire(demo: Demo) -> Iterator[Wire]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(proxying(demo.port)) as proxy:
        yield Wire(proxy, portal)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def two_processes(demo: Demo, redis_server: RedisServer) -> Iterator[list[int]]:
    """Have the demo served by two processes."""
    demo.stop(signal.SIGKILL)
    demo.start(REDIS_URL=redis_server.url, WORKERS="2")
    wait_for(demo.port)
    yield workers_of(demo.process.pid)
    status, output, errors = demo.stop(signal.SIGINT)
    assert (status, output.strip(), "Traceback" in errors) == (0, "Bye.", False)
