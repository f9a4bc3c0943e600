"""When a client is to come back: a hint in the reason of a close, or in a header of a refused handshake."""

import math
import random
import re

HINT = re.compile(r"\bretry=(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


def hint(retry: tuple[float, float]) -> str:
    """Return the reason of a close that says in how many seconds to come back, at least and at most."""
    return f"retry={retry[0]:.10g}-{retry[1]:.10g}"


def retry_after(reason: str) -> list[tuple[bytes, bytes]]:
    """Return the headers for a refused handshake: a time of its own for each, if the reason has a hint."""
    found = HINT.search(reason)
    if found is None:
        return []
    seconds = random.uniform(*map(float, found.groups()))
    return [(b"retry-after", b"%d" % math.ceil(seconds))]
