"""Installed packages that require Channels: after the port, what they import of it is there under the hook only."""

import re
from collections.abc import Iterator
from importlib.metadata import distributions

from .plan import Kind
from .report import Result

CHANNELS = ("channels", "channels-redis")
OWN = (*CHANNELS, "daphne", "starlette-consumers")

REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)""")

KEEP = (
    "what it imports of Channels is there under the import hook only: keep `compat run` and `compat exec`, or install()"
)


def look() -> Iterator[Result]:
    """Yield what to tell about each installed distribution that requires Channels, by name."""
    found: dict[str, Result] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"] or ""
        for requirement in distribution.requires or ():
            match = REQUIREMENT.match(requirement)
            if _normalized(name) in OWN or match is None or _normalized(match[1]) not in CHANNELS:
                continue
            extra = EXTRA.search(requirement)
            result = found.setdefault(_normalized(name), Result(f"{name} {distribution.version}", is_file=False))
            if not result.findings:
                why = (
                    f"requires {match[1]} for its extra {extra[1]}; if you use that, "
                    if extra
                    else f"requires {match[1]}; "
                )
                result.add(f"an installed package that {why}{KEEP}", Kind.TODO)
    yield from (found[name] for name in sorted(found))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
