"""What several threads do at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def in_two_threads(function: Callable[[], object]) -> None:
    """Call a function in two threads; raise what it raises in one of them."""
    with ThreadPoolExecutor(2) as threads:
        for call in [threads.submit(function) for _ in range(2)]:
            call.result()
