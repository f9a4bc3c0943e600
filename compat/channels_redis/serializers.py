"""Messages as bytes."""

from typing import Any

from consumers.layers import codec
from consumers.layers.codec import BaseMessageSerializer as BaseMessageSerializer
from consumers.layers.codec import JSONSerializer as JSONSerializer
from consumers.layers.codec import MsgPackSerializer as MsgPackSerializer
from consumers.layers.codec import SerializerDoesNotExist as SerializerDoesNotExist


class SerializersRegistry(codec.SerializersRegistry):
    """channels_redis' registry; see `consumers.layers.codec.SerializersRegistry`."""

    def register_serializer(self, format: str, serializer_class: Any) -> None:
        """Register a serializer's class.

        Raises:
            AssertionError: if it is no class with serialize() and deserialize().
        """
        try:
            super().register_serializer(format, serializer_class)
        except TypeError as error:
            raise AssertionError(*error.args) from None


registry = SerializersRegistry(codec.registry)
"""The layers' own: what is registered here is registered there."""
