"""What the tests of compat share."""

import functools
import sys
from importlib.metadata import distributions
from types import SimpleNamespace

import pytest

from compat.port import installed


@functools.cache
def read(path: tuple[str, ...]) -> list[SimpleNamespace]:
    """Read what is installed on this path."""
    return [
        SimpleNamespace(metadata={"Name": one.metadata["Name"]}, requires=one.requires, version=one.version)
        for one in distributions(path=list(path))
    ]


@pytest.fixture(autouse=True)
def what_is_installed_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `port` read it once for all tests: a hundred runs of the command would read a hundred packages each."""
    monkeypatch.setattr(installed, "distributions", lambda: read(tuple(sys.path)))
