"""What the log tells of what is dropped."""

import time

import pytest

from consumers.layers._full_mailboxes import WARNING_INTERVAL
from consumers.layers.redis.dropped import DroppedLog

from ...support.redis_layers import lines


def test_a_flood_is_one_line_an_interval(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped, started = DroppedLog(), time.monotonic()
    for number in range(5):
        assert dropped.note(f"number {number}") == 0
    monkeypatch.setattr(time, "monotonic", lambda: started + WARNING_INTERVAL + 1)
    dropped.note_not_copied(LookupError("a value"))
    assert lines(caplog) == [
        "Redis: 1 message(s) dropped since the last such warning, the latest: number 0",
        "Redis: 5 message(s) dropped since the last such warning, the latest: it cannot be copied for its receivers "
        "(LookupError: a value)",
    ]
