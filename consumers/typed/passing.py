"""What the clients of typed consumers get of a model that was sent to a group, and no handler wants to see."""

from typing import Any

from .._aio.sharing import SharedMessage
from .._connection.positions import Place
from .._connection.shared import Encode, frame_of
from ..types import Message
from .recovery import frame_with_place


class Models:
    """A relay, see `_connection.shared`: all clients that know the group by one label get the same."""

    def fits(self, consumer: object) -> bool:
        """Tell whether the handler of a consumer does no more than this says."""
        return True

    def frame(self, shared: SharedMessage, consumer: Any, encode: Encode) -> bytes | None:
        """Return the frame of a model that the class has in `sends`; None for one that a handler wants to see."""
        message = shared.message
        tag, contract = message.get("tag"), consumer._contract
        if type(tag) is not str or tag in contract.event_tags or tag not in contract.sent_tags:
            return None
        place = consumer._place_after(message)

        def content(message: Message) -> str | None:
            return text_of(message.get("frame"), place)

        return frame_of(shared, (self, place), encode, content)


MODELS = Models()


def text_of(frame: object, place: Place | None) -> str | None:
    """Return what a client gets of the frame of a model; None for what is none."""
    if type(frame) is not bytes:
        return None
    return frame.decode() if place is None else frame_with_place(frame, place)
