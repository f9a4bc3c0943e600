"""Mistakes are answered in the same way on every event loop."""

import pytest

from consumers import _misrouted as misrouted

from ..support.slow import anyio_backend as anyio_backend


@pytest.fixture(autouse=True)
def nothing_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test see what is otherwise logged once."""
    monkeypatch.setattr(misrouted, "_logged", set())
