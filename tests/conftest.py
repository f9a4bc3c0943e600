"""What every test shares."""

import gc
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from consumers import InMemoryChannelLayer, channel_layers, limits

from .support.slow import left_to_ci

collect_ignore = ["parity"]  # `make test-parity` runs these, in environments of their own

# A sixth of the examples while one works, and all of them where changes are checked. `--hypothesis-profile` chooses.
settings.register_profile("short", max_examples=16, deadline=None, suppress_health_check=[HealthCheck.too_slow])
if not os.environ.get("CI"):
    settings.load_profile("short")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Let three processes share two processors: half of the time the tests wait, for servers, clients and Redis."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None  # and pytest-xdist takes that number
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, 3 * processors // 2)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run every asynchronous test on both event loops."""
    return str(request.param)


@pytest.fixture(params=["websockets-sansio", *left_to_ci("consumers.server")])
def ws(request: pytest.FixtureRequest) -> Any:
    """Return uvicorn's own way to speak WebSocket, and ours, which shares frames and joins writes."""
    if request.param == "websockets-sansio":
        return request.param
    from consumers.server import WebSocketProtocol

    return WebSocketProtocol


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> InMemoryChannelLayer:
    """Give the test a channel layer of its own as the default one."""
    layer = InMemoryChannelLayer()
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    return layer


@pytest.fixture(autouse=True)
def same_layers_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the next test the layers that this one found, whatever this one configures."""
    monkeypatch.setattr(channel_layers, "_configs", channel_layers._configs)
    monkeypatch.setattr(channel_layers, "backends", dict(channel_layers.backends))


class UncheckedLayer(InMemoryChannelLayer):
    """Brings what another process may have sent, with a layer that checks no message."""

    def require_valid_message(self, message: object) -> None: ...


@pytest.fixture
def unchecked_layer(monkeypatch: pytest.MonkeyPatch) -> InMemoryChannelLayer:
    """Give the test an `UncheckedLayer` of its own as the default one."""
    layer = UncheckedLayer()
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    return layer


@pytest.fixture
def no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure no channel layer at all."""
    monkeypatch.setattr(channel_layers, "_configs", {})
    monkeypatch.setattr(channel_layers, "backends", {})


@pytest.fixture
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back afterwards what `limits.configure()` sets."""
    for name in (*limits.COUNTS, *limits.NUMBERS):
        monkeypatch.setattr(limits.Limits, name, None)


def pytest_collection_finish() -> None:
    """Spare every later collection of garbage what is there now and stays: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()


def _forbid_skipping(report: Any) -> Any:
    """Count a skipped test as failed while CI is set: a machine that checks changes has all that tests need."""
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipped, which is a failure while CI is set: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = _forbid_skipping((yield))
    if report.passed and hasattr(item.config, "workerinput"):
        report.keywords = {}  # nobody asks for them, and each of twenty thousand reports goes to another process
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    return _forbid_skipping((yield))
