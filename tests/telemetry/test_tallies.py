"""The numbers that connections add to."""

import threading

from consumers.telemetry.tallies import Tallies, Tally

SCOPE = {"type": "websocket"}


def test_no_two_threads_add_to_one_number() -> None:
    tallies = Tallies()
    found: list[Tally] = []
    both = threading.Barrier(2)

    def live() -> None:
        tally = tallies.tally_for(Tallies, SCOPE)
        found.extend([tally, tallies.tally_for(Tallies, SCOPE)])
        tallies.opened(tally)
        both.wait(10)  # a thread's identity may be another one's after it has ended

    threads = [threading.Thread(target=live) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 2
    [(count, attributes)] = tallies.readers()["consumers.connection.active"]()
    assert count == 2 and set(attributes.values()) == {"Tallies", "websocket"}


def test_a_protocol_that_is_none_of_ours_is_not_told_apart() -> None:
    tallies = Tallies()
    for number in range(100):
        tallies.opened(tallies.tally_for(Tallies, {"type": f"made up {number}"}))
    [(count, attributes)] = tallies.readers()["consumers.connection.opened"]()
    assert count == 100 and "_OTHER" in attributes.values()
