"""The comparison of transcripts that `make test-parity` rests on."""

import pytest

from parity.transcripts import compare
from parity.transcripts.compare import difference, problems
from parity.transcripts.differences import WANTED, Wanted

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
