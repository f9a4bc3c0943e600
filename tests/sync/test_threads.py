"""The threads of sync consumers."""

import threading
from concurrent.futures import Future, wait

import pytest

from consumers._sync import DaemonThreads

PATIENCE = 5.0


def test_there_are_no_more_threads_than_are_needed_and_allowed() -> None:
    threads = DaemonThreads(2, "few")
    names = {threads.submit(lambda: threading.current_thread().name).result(PATIENCE) for _ in range(3)}
    assert names <= {"few_1", "few_2"}
    go = threading.Event()
    blocked = [threads.submit(go.wait, PATIENCE) for _ in range(5)]
    assert sum(thread.name.startswith("few_") for thread in threading.enumerate()) == 2
    go.set()
    assert wait(blocked, PATIENCE).not_done == set()


def test_an_exception_reaches_the_caller() -> None:
    future: Future[int] = DaemonThreads(1, "one").submit(int, "x")
    with pytest.raises(ValueError, match="invalid literal"):
        future.result(PATIENCE)


def test_what_is_cancelled_before_it_begins_is_not_run() -> None:
    threads = DaemonThreads(1, "one")
    go, ran = threading.Event(), threading.Event()
    first = threads.submit(go.wait, PATIENCE)
    second = threads.submit(ran.set)
    assert second.cancel()
    go.set()
    first.result(PATIENCE)
    threads.submit(int).result(PATIENCE)
    assert not ran.is_set()


def test_the_interpreter_does_not_wait_for_them() -> None:
    thread = DaemonThreads(1, "one").submit(threading.current_thread).result(PATIENCE)
    assert thread.daemon


def test_a_thread_that_cannot_start_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = DaemonThreads(1, "test")

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.submit(pytest.fail, "a refused call is not run later")
    assert threads.submit(lambda: "done").result(10) == "done"
