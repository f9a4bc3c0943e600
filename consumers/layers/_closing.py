"""Closing every member of a group.

An application may pass on to a group what its clients send, so no message can close anybody, whatever is in it. A
layer has another way to its receivers for that: the `close` that they are attached with. Between processes it is told
apart by where it is sent to, not by what it says.
"""

from .base import DEFAULT_CODE
from .registry import DEFAULT_ALIAS, layer_with


async def close_group(group: str, code: int = DEFAULT_CODE, reason: str = "", alias: str = DEFAULT_ALIAS) -> None:
    """Close the connection of every member of a group, in all processes: after a logout or a ban, say.

    It ends at once, however busy its handlers are and however many messages wait: they are cancelled and dropped, the
    client gets the close frame, or HTTP 403 where it was not accepted yet, and `disconnect(code)` runs. This includes
    the caller's own connection, if that is a member. Who joins later is not affected: so have `connect()` join the
    user's group first, and then check whether the user may be there.

    Args:
        group: the group.
        code: the close code (1008): 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455, 7.4).
        reason: a text for the clients, cut to 123 bytes of UTF-8.
        alias: the layer's ("default").

    Raises:
        InvalidChannelLayerError: if there is no such layer, or it cannot close groups.
        TypeError: if the group's name is invalid or the reason is not a str.
        ValueError: if the code is none that may be sent.
        Exception: as the layer's `group_send()`.
    """
    await layer_with("close_group", alias).close_group(group, code, reason)
