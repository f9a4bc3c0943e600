"""docs/reference/protocol.md: its types, times and rules are those of the clients."""

import random
import re

from consumers.client import rules, runner
from consumers.typed.recovery import SUBPROTOCOL

from ..support.pages import ROOT

TEXT = (ROOT / "docs/reference/protocol.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_protocols_own_types_are_those() -> None:
    listed = TEXT.partition("the protocol's own: ")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == rules.PROTOCOLS_OWN
    shown = set(re.findall(r'"type": "(\w+)"', section("What the server sends") + section("What a client sends")))
    assert shown - {"say"} == rules.PROTOCOLS_OWN


def test_what_a_client_offers_is_in_the_table() -> None:
    offered = rules.subprotocols("a token")
    assert offered[0] == SUBPROTOCOL
    rows = re.findall(r"^\| `([\w.]+)", section("The handshake"), re.MULTILINE)
    assert [name.partition(".")[0] for name in rows[:3]] == [name.partition(".")[0] for name in offered]
    assert rows[:2] == offered[:2]


def test_the_times_between_two_attempts_are_those_of_the_table() -> None:
    class Longest(random.Random):
        def random(self) -> float:
            return 1.0

    waits = [rules.backoff(attempt, Longest()) for attempt in range(8)]
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert waits[-1] == 20
    assert rules.hinted("retry=5-20", Longest()) == 20
    assert runner.STABLE == 5
    for text in ("0.5 s", "up to 20 s", "`retry=5-20`", "five seconds"):
        assert text in section("A client's states")


def test_a_client_stops_where_the_tables_say_so() -> None:
    rows = re.findall(r"^\| (\d[^|]+) \|(?:[^|]*\|)? ([^|]+) \|$", section("After a close"), re.MULTILINE)
    assert len(rows) == 11
    for codes, does in rows:
        for code in map(int, re.findall(r"\d{3,4}", codes.replace("5xx", "500"))):
            if does.startswith("tries once again"):
                assert code in (rules.TOKEN_EXPIRED, *rules.UNAUTHENTICATED)
            else:
                assert rules.is_final(code) is does.startswith("stops"), code
