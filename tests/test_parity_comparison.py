"""The comparison of transcripts that `make test-parity` rests on."""

import pytest

from .parity.channels_redis_suite import complaints
from .parity.transcripts import compare
from .parity.transcripts.compare import difference, problems
from .parity.transcripts.differences import WANTED, Wanted

ACCEPT = ["calls connect()", "sends accept", "returns"]
CLOSED = ["calls connect()", "sends accept", "sends close", "returns"]


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "WANTED", (Wanted("it closes", "a row", ("+ sends close",), ("Closes",)),))


def test_lines_of_one_side_are_marked_in_order() -> None:
    assert difference(ACCEPT, ACCEPT) == ()
    assert difference(ACCEPT, CLOSED) == ("+ sends close",)
    assert difference(["a", "b"], ["b", "a"]) == ("+ b", "- b")


@pytest.mark.usefixtures("wanted")
def test_a_difference_in_the_list_is_fine() -> None:
    assert problems({"Closes-async": ACCEPT, "Chat-sync": ACCEPT}, {"Closes-async": CLOSED, "Chat-sync": ACCEPT}) == []


@pytest.mark.usefixtures("wanted")
@pytest.mark.parametrize(
    ("channels", "compat", "problem"),
    [
        ({"Chat-sync": ACCEPT}, {"Chat-sync": CLOSED}, "Chat-sync: they differ"),
        ({"Closes-sync": ACCEPT}, {"Closes-sync": ACCEPT}, "Closes-sync: they do not differ as listed"),
        ({"Closes-sync": ACCEPT}, {"Closes-sync": CLOSED[:-1]}, "Closes-sync: they do not differ as listed"),
        ({"Chat-sync": ACCEPT}, {}, "Chat-sync: played by one of them only"),
        ({"Chat-sync": ACCEPT}, {"Chat-sync": ACCEPT}, "Closes: listed, but there is no such script"),
    ],
)
def test_anything_else_is_a_problem(channels: dict[str, list[str]], compat: dict[str, list[str]], problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(channels, compat))


def test_a_script_is_listed_once() -> None:
    scripts = [script for wanted in WANTED for script in wanted.scripts]
    assert sorted(scripts) == sorted(set(scripts))


LISTED = {"test_core.py::test_private": "it looks inside"}


@pytest.mark.parametrize(
    ("outcomes", "problem"),
    [
        ({}, "No test has run"),
        ({"test_core.py::test_sends": "failed"}, "test_core.py::test_sends: failed"),
        ({"test_core.py::test_sends": "skipped"}, "test_core.py::test_sends: skipped"),
        ({"test_core.py::test_private": "passed"}, "passed, but it is listed as an exception: take it off the list"),
        ({"test_core.py::test_private": "skipped"}, "test_core.py::test_private: skipped"),
        ({"test_core.py::test_private": "did not run"}, "test_core.py::test_private: did not run, but it is listed"),
    ],
)
def test_what_is_not_as_listed_in_another_librarys_tests_is_a_problem(outcomes: dict[str, str], problem: str) -> None:
    expected = {"test_core.py::test_private": "failed", "test_core.py::test_other": "passed"}
    found = {**expected, **outcomes} if outcomes else {}
    found = {test: outcome for test, outcome in found.items() if outcome != "did not run"}
    (wrong,) = complaints(found, LISTED)
    assert problem in wrong


def test_another_librarys_tests_that_are_as_listed_are_fine() -> None:
    outcomes = {
        "test_core.py::test_private": "failed",
        "test_core.py::test_late": "xfailed",
        "test_a.py::test": "passed",
    }
    assert complaints(outcomes, LISTED) == []
