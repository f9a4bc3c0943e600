"""The numbers that connections add to."""

import threading

from consumers.telemetry.counters import Counters, Counts

SCOPE = {"type": "websocket"}


class Connection:
    def __init__(self, waiting: int = 0) -> None:
        self.waiting = lambda: waiting


def test_no_two_threads_add_to_one_number() -> None:
    counters = Counters()
    found: list[Counts] = []
    both = threading.Barrier(2)

    def live() -> None:
        counts = counters.counts_for(Counters, SCOPE)
        found.extend([counts, counters.counts_for(Counters, SCOPE)])
        counters.opened(counts, Connection())
        both.wait(10)  # a thread's identity may be another one's after it has ended

    threads = [threading.Thread(target=live) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 2
    [(count, attributes)] = counters.readers()["consumers.connection.active"]()
    assert count == 2 and set(attributes.values()) == {"Counters", "websocket"}


def test_a_protocol_that_is_none_of_ours_is_not_told_apart() -> None:
    counters = Counters()
    for number in range(100):
        counters.opened(counters.counts_for(Counters, {"type": f"made up {number}"}), Connection())
    [(count, attributes)] = counters.readers()["consumers.connection.opened"]()
    assert count == 100 and "_OTHER" in attributes.values()
