"""Who is there: what one client has been told, put together as an application would do it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class People:
    """What one client knows of who is there.

    Attributes:
        version: which changes it has in it.
        metas: the metas of each key; None: the client has not been told yet.
    """

    version: int = 0
    metas: dict[str, list[Any]] | None = field(default=None)

    def all(self, version: int, metas: dict[str, list[Any]]) -> None:
        """Take the whole list."""
        self.version, self.metas = version, metas

    def change(self, version: int, changed: dict[str, list[Any]], left: list[str]) -> None:
        """Take a change, unless it is in the list already."""
        if self.metas is None or version <= self.version:
            return
        self.version = version
        self.metas.update(changed)
        for key in left:
            self.metas.pop(key, None)
