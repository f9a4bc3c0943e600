"""The torture in short, and whether its judge sees what it is there to see."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ..support.slow import left_to_ci
from . import report
from .bugs import BUGS
from .judge import WRONG, judge
from .plan import Options, plan
from .run import torture
from .steps import Gap, Joined, Said, Step
from .truth import Truth, position_of, truth_of

SHORT = Options(seconds=10, clients=50 if os.environ.get("CI") else 25, rounds=1, step=4)


@pytest.mark.slow
def test_no_client_misses_anything_without_being_told_or_gets_it_twice(tmp_path: Path) -> None:
    outcome = asyncio.run(torture(SHORT, tmp_path, print))
    assert report.verdict(outcome) == [], "\n".join(report.lines(outcome))


@pytest.mark.slow
def test_no_client_of_the_package_s_own_misses_anything_or_gets_it_twice(tmp_path: Path) -> None:
    outcome = asyncio.run(torture(replace(SHORT, client="promised"), tmp_path, print))
    assert report.verdict(outcome) == [], "\n".join(report.lines(outcome))


@pytest.mark.parametrize("bug", left_to_ci(*(name for name in BUGS if name != "none")))
def test_a_bug_in_the_servers_is_found(bug: str, tmp_path: Path) -> None:
    outcome = asyncio.run(torture(replace(SHORT, bug=bug, step=1), tmp_path, print))
    total = report.total_of(outcome)
    assert outcome.problems or any(total.counts[what] for what in WRONG), "\n".join(report.lines(outcome))


def test_the_plan_is_the_same_for_the_same_seed() -> None:
    assert plan(SHORT) == plan(Options(seconds=10, clients=50, rounds=1, step=4)) != plan(Options(seed="2", rounds=1))


def at(offset: int, line: str = "a", epoch: str = "1") -> str:
    """Return a position; the lines are those of a Redis that went back."""
    return f"{epoch * 16}-{line * 15}{offset:x}.{offset}"


ME, OTHER = 1, 2
"""Connections."""


def said(offset: int, line: str = "a", connection: int = ME, excluded: int = 0) -> Said:
    return Said(connection, at(offset, line), (line, offset), excluded)


def joined(since: int | None, at_place: str, missed: int = 0, recovered: bool = True, connection: int = ME) -> Joined:
    return Joined(connection, None if since is None else at(since), at_place, recovered, missed)


NEW = joined(None, at(0))
ALL = [said(1), said(2), said(3)]
UNKEPT = Said(ME, None, ("u", 1), 0)

# The truth: 1 to 3 of line "a"; 2 and 3 of line "b", after Redis had gone back to 1; 2 of "a" excludes OTHER.
STORIES: dict[str, tuple[list[Step], str, str | None]] = {
    "all is well": ([NEW, *ALL], at(3), None),
    "the newest come first": ([joined(None, at(3), 2), *ALL[1:]], at(3), None),
    "the newest come first, but one": ([joined(None, at(3), 2), ALL[2]], at(3), "gaps not told"),
    "one is missing": ([NEW, ALL[0], ALL[2]], at(3), "gaps not told"),
    "the first is missing": ([NEW, *ALL[1:]], at(3), "gaps not told"),
    "the last is missing": ([NEW, *ALL[:2]], at(3), "gaps not told"),
    "one is missing, and told of": ([NEW, ALL[0], Gap(ME), ALL[2]], at(3), None),
    "a gap where nothing is missing": ([NEW, *ALL[:2], Gap(ME), ALL[2]], at(3), "needless"),
    "one comes twice": ([NEW, *ALL[:2], *ALL[1:]], at(3), "duplicates"),
    "one comes late": ([joined(None, at(1)), ALL[1], ALL[0], ALL[2]], at(3), "out of order"),
    "one that is not kept comes twice": ([NEW, UNKEPT, *ALL, UNKEPT], at(3), "duplicates"),
    "excluded": ([joined(None, at(0), connection=OTHER), *(said(n, connection=OTHER) for n in (1, 3))], at(3), None),
    "excluded, and got": ([NEW, ALL[0], said(2, excluded=ME), ALL[2]], at(3), "duplicates"),
    "recovered": ([NEW, ALL[0], joined(1, at(3), 2, connection=3), *ALL[1:]], at(3), None),
    "recovered, with a hole": ([NEW, ALL[0], joined(1, at(3), 2), ALL[2]], at(3), "gaps not told"),
    "recovered, miscounted": ([NEW, ALL[0], joined(1, at(3), 1), *ALL[1:]], at(3), "gaps not told"),
    "recovered, what was there before": ([NEW, *ALL[:2], joined(2, at(3), 1), *ALL[1:]], at(3), "duplicates"),
    "not recovered": ([NEW, ALL[0], joined(1, at(2), recovered=False), ALL[2]], at(3), None),
    "not recovered, though nothing is missing": ([NEW, *ALL, joined(3, at(3), recovered=False)], at(3), "needless"),
    "not recovered, and a hole": ([NEW, joined(0, at(1), recovered=False), ALL[2]], at(3), "gaps not told"),
    "Redis went back": ([NEW, *ALL[:2], Gap(ME), said(3, "b")], at(3, "b"), None),
    "Redis went back to just there": ([NEW, ALL[0], Gap(ME), said(2, "b"), said(3, "b")], at(3, "b"), None),
    "Redis went back, nobody told": ([NEW, *ALL[:2], said(3, "b")], at(3, "b"), "gaps not told"),
    "Redis went back to what it has": ([NEW, ALL[0], said(2, "b"), said(3, "b")], at(3, "b"), None),
}


def seen() -> Truth:
    truth = Truth()
    for number in (1, 2, 3):
        before = position_of(at(number - 1))
        truth.add(position_of(at(number)), ("a", number), OTHER if number == 2 else 0, before)
    truth.add(position_of(at(2, "b")), ("b", 2), before=position_of(at(1)))
    truth.add(position_of(at(3, "b")), ("b", 3), before=position_of(at(2, "b")))
    return truth


@pytest.mark.parametrize("story", STORIES)
def test_the_judge_tells_what_is_wrong(story: str) -> None:
    steps, newest, blamed = STORIES[story]
    account = judge(steps, seen(), "client", [position_of(newest)])
    assert {what for what in WRONG if account.counts[what]} == ({blamed} if blamed else set()), account


@pytest.mark.parametrize(
    ("confirmed", "steps"),
    [
        pytest.param([("c", 9, at(2))], [], id="two messages at one place"),
        pytest.param([], [NEW, Said(ME, at(2), ("c", 9), 0)], id="another message at a place"),
        pytest.param([("a", 1, at(4))], [NEW, *ALL, Said(ME, at(4), ("a", 1), 0)], id="one message twice"),
    ],
)
def test_the_truth_has_one_message_at_a_place_and_each_once(
    confirmed: list[tuple[str, int, str]], steps: list[Step]
) -> None:
    assert truth_of(seen(), [], [[NEW, *ALL]]).contradictions == []
    assert len(truth_of(seen(), confirmed, [steps]).contradictions) == 1


def test_a_message_may_be_sent_again_where_redis_has_forgotten_it() -> None:
    truth = seen()
    truth.add(position_of(at(4, "b")), ("a", 3), before=position_of(at(3, "b")))
    assert truth_of(truth, [], []).contradictions == []
