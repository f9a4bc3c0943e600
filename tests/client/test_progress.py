"""How far a client has come: what each message of the protocol changes."""

from typing import Any

from consumers.client.progress import Progress


def joined(position: str | None, recovered: bool = True, missed: int = 0, label: str = "room") -> dict[str, Any]:
    return {"type": "joined", "label": label, "position": position, "recovered": recovered, "missed": missed}


def connected(**since: str) -> Progress:
    progress = Progress(since)
    progress.connect()
    return progress


def test_a_client_that_joins_is_where_the_group_is() -> None:
    progress = connected()
    assert progress.is_recovered
    assert not progress.joined(joined("5"))
    assert progress.positions == {"room": "5"}


def test_a_client_that_has_missed_messages_is_where_it_was_until_they_come() -> None:
    progress = connected(room="3")
    assert not progress.is_recovered
    assert not progress.joined(joined("5", missed=2))
    assert progress.positions == {"room": "3"}
    progress.arrived("room", "4")
    assert not progress.is_recovered
    progress.connect()  # a cut in the middle
    assert progress.positions == {"room": "4"}
    assert not progress.joined(joined("6", missed=2))
    for position in ("5", "6"):
        progress.arrived("room", position)
    assert progress.is_recovered
    assert progress.positions == {"room": "6"}


def test_a_position_that_is_too_old_is_forgotten() -> None:
    progress = connected(room="3")
    assert progress.joined(joined("9", recovered=False, missed=2))
    assert progress.positions == {}
    progress.connect()  # before one of the two has come: what comes next follows nothing that the client has
    assert progress.joined(joined("20", missed=2))


def test_all_labels_have_to_be_joined_again() -> None:
    progress = connected(room="3", hall="4")
    progress.joined(joined("3"))
    assert not progress.is_recovered
    progress.joined(joined("9", recovered=False, label="hall"))
    assert progress.is_recovered


def test_a_group_without_history_is_missed_in_each_connection_but_the_first() -> None:
    progress = connected()
    assert not progress.joined(joined(None))
    progress.connect()
    assert progress.joined(joined(None))
    assert progress.is_recovered


def test_a_label_that_another_group_has_now_is_no_gap() -> None:
    progress = connected()
    assert not progress.joined(joined("5"))
    assert not progress.joined(joined("1"))
    assert progress.positions == {"room": "1"}
    assert not progress.joined(joined(None))
    assert progress.positions == {}
