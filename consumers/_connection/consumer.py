"""What a connection needs of its consumer, and of what may end it in time."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol

from ..layers.base import Layer
from ..types import Message, Scope


class Consumer(Protocol):
    """A consumer with `scope` and `channel_layer` set; the options are those of `consumers.AsyncConsumer`."""

    scope: Scope
    channel_layer_alias: ClassVar[str]
    channel_layer: Layer | Any
    channel_name: str
    max_groups: int | None
    max_tasks: int
    inbox_limit: int
    inbox_bytes: int
    disconnect_timeout: float
    cleanup_timeout: float
    stall_timeout: float
    overflow: Literal["drop", "close"]
    strict_types: bool
    raw_frames: bool
    shared_frames: bool
    base_send: Callable[[Message], Any]
    show_content: bool
    _codes_as_reported: bool
    _has_labels: bool
    _takes_early: Callable[[Message], bool] | None
    _yields_between: ClassVar[int]

    def dispatch(self, message: Message) -> Awaitable[None]: ...
    def _place_after(self, event: Mapping[str, Any]) -> tuple[str, str] | None: ...
    async def _on_error(self, exc: Exception, message: Message | None) -> None: ...


class Expires(Protocol):
    """What ends a connection at a certain time."""

    def opened(self) -> None:
        """Note that `connect()` has returned."""

    def stop(self) -> None:
        """Note that the connection ends."""
