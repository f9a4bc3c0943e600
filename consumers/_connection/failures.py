"""What an exception that left the application's code means."""

import traceback
from typing import Any, ClassVar, Protocol, TypeVar

import anyio
from starlette.websockets import WebSocketDisconnect

from .._aio import cancel
from ..exceptions import InvalidChannelLayerError, RequestAborted
from ..layers.registry import channel_layers

E = TypeVar("E", bound=Exception)

HOW_TO_END = "return to end a task, and close the connection to end all of them"

NOT_OURS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What goes through to the event loop and the interpreter."""

NO_OTHERS = frozenset(
    {
        *("group_add", "group_discard", "group_send", "close_group", "new_channel", "group_count", "group_channels"),
        *("presence_track", "presence_update", "presence_untrack", "presence_count"),
    }
)
"""Methods of a channel layer whose names say so by themselves."""

LAYER_METHODS = NO_OTHERS | {
    *("send", "receive", "flush", "close", "attach", "detach", "groups_of", "history", "position", "presence"),
}


class NotAnException(RuntimeError):
    """Stands for what the application raised that is no Exception. A server would take the bare one for its own."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"the application raised {type(error).__name__}, which is no Exception")


def as_failure(error: BaseException, server: cancel.Task | None) -> Exception:
    """Return what the application's code raised as the exception that it counts as.

    An Exception is itself. A cancellation that nobody asked for is a RuntimeError, since a task group would take it for
    its own and end without a word. What is no Exception, such as that of `pytest.fail()`, is a `NotAnException`.

    Args:
        error: what was raised.
        server: the connection's task, which is the server's; None on trio.

    Raises:
        BaseException: `error`, if it is a cancellation, or for the event loop or the interpreter to handle.
    """
    if isinstance(error, BaseExceptionGroup):
        return _as_failure_of_group(error)
    if isinstance(error, Exception):
        return error
    if isinstance(error, anyio.get_cancelled_exc_class()):
        if not cancel.is_stray(error, server):
            raise error
        failure = RuntimeError(f"{type(error).__name__} was raised although nothing had been cancelled: {HOW_TO_END}")
    elif isinstance(error, NOT_OURS):
        raise error
    else:
        failure = NotAnException(error)
    failure.__cause__ = error
    return failure


def _as_failure_of_group(group: BaseExceptionGroup[BaseException]) -> Exception:
    failure = without_cancellations(group)
    if isinstance(failure, Exception):
        return failure
    if failure.subgroup(NOT_OURS):
        raise group
    wrapped = NotAnException(failure)
    wrapped.__cause__ = failure
    return wrapped


def without_cancellations(
    exc: Exception | BaseExceptionGroup[BaseException],
) -> Exception | BaseExceptionGroup[BaseException]:
    """Return `exc` without the cancellations that trio keeps in the group of a cancelled task group.

    Raises:
        BaseException: `exc`, if nothing else is in it.
    """
    if isinstance(exc, Exception):
        return exc
    _, failure = exc.split(anyio.get_cancelled_exc_class())
    if failure is None:
        raise exc
    return failure


def only(exc: BaseException, *kinds: type[E]) -> E | None:
    """Return `exc` if it is of one of these kinds, or the first one if it is a group of nothing else; else None."""
    if isinstance(exc, BaseExceptionGroup) and exc.split(kinds)[1] is None:
        return only(exc.exceptions[0], *kinds)
    return exc if isinstance(exc, kinds) else None


def as_disconnect(exc: BaseException) -> Exception | None:
    """Return `exc` if it says that the client has gone, or the first one if it is a group of nothing else."""
    return only(exc, WebSocketDisconnect, RequestAborted)


class HasLayer(Protocol):
    """A consumer, which has no channel layer if that is None."""

    channel_layer_alias: ClassVar[str]
    channel_layer: Any


def without_layer(failure: Exception, consumer: HasLayer) -> Exception:
    """Return what to raise for "'NoneType' object has no attribute 'group_add'" in a consumer without a channel layer.

    Other failures are returned as they are. So are those of names that other objects have too, such as `send`, unless
    the function that failed speaks of `channel_layer`.
    """
    if consumer.channel_layer is not None or not isinstance(failure, AttributeError) or failure.obj is not None:
        return failure
    if failure.name not in LAYER_METHODS or not (failure.name in NO_OTHERS or _speaks_of_the_layer(failure)):
        return failure
    name = type(consumer).__name__
    explained = InvalidChannelLayerError(
        f"{name}.channel_layer is None, so it has no {failure.name}(): "
        f"{channel_layers.missing(consumer.channel_layer_alias)}"
    )
    explained.__suppress_context__ = True  # the same traceback would stand there twice
    return explained.with_traceback(failure.__traceback__)


def _speaks_of_the_layer(error: Exception) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return "channel_layer" in frame.f_code.co_names
