"""A channel layer for a worker in a process of its own, which nothing else could reach."""

import os

from channels.layers import InMemoryChannelLayer


class OneMark(InMemoryChannelLayer):
    """Holds one message for whoever asks first."""

    _given = False

    async def receive(self, channel):
        if self._given:
            return await super().receive(channel)
        self._given = True
        return {"type": "mark", "path": os.environ["PARITY_MARK"]}
