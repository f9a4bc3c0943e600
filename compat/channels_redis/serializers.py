"""Messages as bytes."""

from consumers.layers.codec import BaseMessageSerializer as BaseMessageSerializer
from consumers.layers.codec import JSONSerializer as JSONSerializer
from consumers.layers.codec import MsgPackSerializer as MsgPackSerializer
from consumers.layers.codec import SerializerDoesNotExist as SerializerDoesNotExist
from consumers.layers.codec import SerializersRegistry as SerializersRegistry
from consumers.layers.codec import registry as registry
