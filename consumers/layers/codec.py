"""A message's bytes on the wire: channels_redis 4.3's, in both directions.

    message → as_bytes() → encryption (Fernet), if there are keys → random prefix, if it has a length → Redis

The names of this module are those of `channels_redis.serializers`: a serializer written for it works here.
"""

import base64
import copy
import hashlib
import json
import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, cast

from ..exceptions import MessageTooLarge
from ..types import Message
from ._overrides import overrides

CHANNELS_KEY = "__asgi_channel__"
"""The key under which a message carries the names of the process-specific channels it is for."""

MAX_SIZE = 512 * 1024 * 1024
"""Bytes that Redis takes as one value (its `proto-max-bulk-len`)."""

MAX_DEPTH = 256
"""How deep dicts and lists may lie in each other, the message counted, for sender and receiver alike.

Each receiver gets a copy of its own, and Python's recursion limit ends copying at less than twice as many.
"""

NESTED = (dict, list, tuple)

TTL_LEEWAY = 10
"""Seconds beyond `expiry` that an encrypted message is accepted for."""


class SerializerDoesNotExist(KeyError):
    """No serializer is registered for this format."""


class Serializer(Protocol):
    """What a layer needs of a serializer."""

    def serialize(self, message: Message) -> bytes: ...
    def deserialize(self, message: bytes) -> Any: ...


class BaseMessageSerializer:
    """Turns messages into bytes and back; a subclass has `as_bytes()` and `from_bytes()`.

    Args:
        symmetric_encryption_keys: a list of strings or bytes; the first one encrypts, any of them decrypts.
        random_prefix_length: bytes put before each message to make it unique; none if it is not above 0.
        expiry: seconds after which an encrypted message is refused; None: never.

    Raises:
        TypeError: if the keys are one string and not a list of them.
        ImportError: if there are keys and `cryptography` is not installed.
    """

    def __init__(
        self,
        symmetric_encryption_keys: Iterable[str | bytes] | None = None,
        random_prefix_length: int = 0,
        expiry: float | None = None,
    ) -> None:
        self.random_prefix_length = random_prefix_length
        self.expiry = expiry
        self.crypter = self._make_crypter(symmetric_encryption_keys) if symmetric_encryption_keys else None

    def make_fernet(self, key: str | bytes) -> Any:
        """Return what encrypts and decrypts with one key."""
        raw = key.encode() if isinstance(key, str) else key
        return _cryptography().Fernet(base64.urlsafe_b64encode(hashlib.sha256(raw).digest()))

    def _make_crypter(self, keys: Iterable[str | bytes]) -> Any:
        if isinstance(keys, str | bytes):
            raise TypeError("symmetric_encryption_keys must be a list of keys, not one string")
        return _cryptography().MultiFernet([self.make_fernet(key) for key in keys])

    def as_bytes(self, message: Any) -> bytes:
        """Turn a message into bytes."""
        raise NotImplementedError("a serializer needs as_bytes(message)")

    def from_bytes(self, message: bytes) -> Any:
        """Turn bytes into a message."""
        raise NotImplementedError("a serializer needs from_bytes(message)")

    def serialize(self, message: Message) -> bytes:
        """Return a message's bytes on the wire."""
        return self.seal(self.as_bytes(message))

    def deserialize(self, message: bytes) -> Any:
        """Return the message that `serialize()` was given.

        Raises:
            Exception: if these bytes are none, are encrypted with another key, or are too old.
        """
        message = message[max(0, self.random_prefix_length) :]
        if self.crypter is not None:
            ttl = None if self.expiry is None else int(self.expiry + TTL_LEEWAY)
            message = self.crypter.decrypt(message, ttl)
        return self.from_bytes(message)

    def seal(self, data: bytes) -> bytes:
        """Encrypt a serialised message and put the random prefix before it."""
        if self.crypter is not None:
            data = self.crypter.encrypt(data)
        if self.random_prefix_length > 0:
            data = random.randbytes(self.random_prefix_length) + data
        return data


class JSONSerializer(BaseMessageSerializer):
    """Messages as JSON in UTF-8."""

    def as_bytes(self, message: Any) -> bytes:
        return json.dumps(message).encode()

    def from_bytes(self, message: bytes) -> Any:
        return json.loads(message)

    def extend(self, data: bytes, key: str, value: Any) -> bytes:
        """Add a pair at the end of a serialised dict, as if it had been in it."""
        pair = json.dumps({key: value}).encode()
        return pair if data == b"{}" else data[:-1] + b", " + pair[1:]


class MsgPackSerializer(BaseMessageSerializer):
    """Messages as MessagePack.

    Raises:
        ImportError: if `msgpack` is not installed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            import msgpack  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError(f"serializer_format 'msgpack' needs msgpack: {_ADVICE}") from error
        self._pack = cast(Callable[[Any], bytes], msgpack.packb)
        self._extension: type = msgpack.ExtType  # a tuple in Python alone
        self._unpack: Callable[..., Any] = msgpack.unpackb

    def as_bytes(self, message: Any) -> bytes:
        data = self._pack(message)
        _check_keys(message, self._extension)
        return data

    def from_bytes(self, message: bytes) -> Any:
        # channels_redis' own senders pack dicts with keys that are not strings, which its receivers refuse.
        return self._unpack(message, strict_map_key=False)

    def extend(self, data: bytes, key: str, value: Any) -> bytes:
        """Add a pair at the end of a serialised dict, as if it had been in it."""
        head, size = _map_header(data)
        return _pack_map_header(size + 1) + data[head:] + self._pack(key) + self._pack(value)


def _map_header(data: bytes) -> tuple[int, int]:
    """Return the length of a packed map's header, and how many pairs it announces (MessagePack's map family)."""
    first = data[0]
    if first >> 4 == 0x8:
        return 1, first & 0xF
    length = 3 if first == 0xDE else 5
    return length, int.from_bytes(data[1:length], "big")


def _pack_map_header(size: int) -> bytes:
    if size < 16:
        return bytes([0x80 | size])
    if size < 1 << 16:
        return b"\xde" + size.to_bytes(2, "big")
    return b"\xdf" + size.to_bytes(4, "big")


class SerializersRegistry:
    """The serializers that `serializer_format` may name.

    Args:
        same_as: another registry, to be one with it; None: an empty one.
    """

    def __init__(self, same_as: "SerializersRegistry | None" = None) -> None:
        self._classes: dict[str, Callable[..., Serializer]] = {} if same_as is None else same_as._classes

    def register_serializer(self, format: str, serializer_class: Any) -> None:
        """Register a serializer's class.

        Args:
            format: its name, for `serializer_format`.
            serializer_class: a `BaseMessageSerializer`, or any class with `serialize()` and `deserialize()` that takes
                the same arguments.

        Raises:
            TypeError: if it is something else.
        """
        if not (
            isinstance(serializer_class, type)
            and hasattr(serializer_class, "serialize")
            and hasattr(serializer_class, "deserialize")
        ):
            raise TypeError(f"A serializer is a class with serialize() and deserialize(), not {serializer_class!r}")
        self._classes[format] = serializer_class

    def get_serializer(self, format: str, *args: Any, **kwargs: Any) -> Serializer:
        """Make a serializer.

        Raises:
            SerializerDoesNotExist: if no such format is registered.
        """
        try:
            make = self._classes[format]
        except KeyError:
            known = ", ".join(sorted(self._classes))
            raise SerializerDoesNotExist(f"no serializer_format {format!r}; there are {known}") from None
        return make(*args, **kwargs)


registry = SerializersRegistry()
registry.register_serializer("json", JSONSerializer)
registry.register_serializer("msgpack", MsgPackSerializer)


class Codec:
    """Encodes and decodes for one layer, and says clearly what cannot be.

    Args:
        format: the name of a registered serializer.
        arguments: the serializer's.
    """

    def __init__(self, format: str, **arguments: Any) -> None:
        self.serializer = registry.get_serializer(format, **arguments)
        self._format = format
        self._arguments = arguments

    def lasting(self) -> "Codec":
        """Return a codec for what is kept: without an expiry, or random bytes."""
        return Codec(self._format, symmetric_encryption_keys=self._arguments.get("symmetric_encryption_keys"))

    def through(self, serializer: Serializer) -> "Codec":
        """Return a codec that has another do the serializer's work."""
        codec = copy.copy(self)
        codec.serializer = serializer
        return codec

    def encode(self, message: Message) -> bytes:
        """Return a message's bytes.

        Raises:
            TypeError: if there is a value in it that the format does not have, or a key that no receiver can decode.
            ValueError: if it is nested deeper than `MAX_DEPTH`.
            MessageTooLarge: if Redis cannot hold it.
        """
        return self._checked(self._attempt(self.serializer.serialize, message))

    def encode_for(self, message: Message) -> Callable[..., bytes]:
        """Serialise a message for several addresses.

        Returns:
            A function that takes what the message shall carry under `CHANNELS_KEY`, and a dict of what else it shall
            carry or None, and returns its bytes.

        Raises:
            TypeError, ValueError: as `encode()`.
        """
        serializer = self.serializer
        if isinstance(serializer, JSONSerializer | MsgPackSerializer) and not overrides(
            type(serializer), "as_bytes", "serialize"
        ):
            body = self._attempt(serializer.as_bytes, message)
            return partial(self._extended, serializer, body)
        return lambda channels, more=None: self.encode({**message, **(more or {}), CHANNELS_KEY: channels})

    def decode(self, data: bytes, any_kind: bool = False) -> Any:
        """Return the message that these bytes are.

        Args:
            data: the bytes.
            any_kind: take other values than dicts too.

        Raises:
            ValueError: if they are none; the message says why.
        """
        try:
            message = self.serializer.deserialize(data)
        except Exception as error:  # whatever a foreign sender's bytes make of a parser
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise ValueError(f"{len(data)} bytes that are no {self._format} message of ours ({what:.200})") from error
        if not (any_kind or isinstance(message, dict)):
            raise ValueError(f"a message that is no dict but {type(message).__name__}")
        _check_depth(message)
        return message

    def _extended(
        self, serializer: JSONSerializer | MsgPackSerializer, body: bytes, channels: Any, more: Message | None = None
    ) -> bytes:
        for key, value in (more or {}).items():
            body = serializer.extend(body, key, value)
        return self._checked(serializer.seal(serializer.extend(body, CHANNELS_KEY, channels)))

    def _attempt(self, serialize: Callable[[Message], bytes], message: Message) -> bytes:
        _check_depth(message)
        try:
            return serialize(message)
        except (TypeError, ValueError, OverflowError) as error:
            # Not the message itself: what is in it must not get into a log.
            kind = message.get("type") if isinstance(message, dict) else type(message).__name__
            has_bytes = isinstance(message, dict) and any(isinstance(value, bytes) for value in message.values())
            advice = '. There are bytes in it: use the serializer_format "msgpack"' if has_bytes else ""
            raise TypeError(
                f"The message cannot be sent as {self._format}: {error}; its type is {kind!r:.80}{advice}"
            ) from error

    def _checked(self, data: bytes) -> bytes:
        if len(data) > MAX_SIZE:
            raise MessageTooLarge(f"The message has {len(data)} bytes; Redis takes {MAX_SIZE}")
        return data


def _check_depth(message: Any) -> None:
    if not isinstance(message, NESTED):
        return
    way = [
        iter(message.values() if isinstance(message, dict) else message)
    ]  # to where the search is; by hand, as Python's own stack is what is short
    while way:
        for value in way[-1]:
            if isinstance(value, NESTED):
                if len(way) == MAX_DEPTH:
                    raise ValueError(f"The message is nested too deeply, or contains itself; the limit is {MAX_DEPTH}")
                way.append(iter(value.values() if isinstance(value, dict) else value))
                break
        else:
            way.pop()


def _check_keys(message: Any, hashable: type) -> None:
    """Raise TypeError for a key that would arrive as a list, which no dict takes: a tuple that is not `hashable`."""
    waiting: list[Any] = [message] if isinstance(message, NESTED) else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key in value:
                if isinstance(key, tuple) and not isinstance(key, hashable):
                    raise TypeError("a dict has a tuple as a key, which no receiver can decode")
            value = value.values()
        waiting += [item for item in value if isinstance(item, NESTED)]


_ADVICE = "pip install 'starlette-consumers[redis]'"


def _cryptography() -> Any:
    try:
        from cryptography import fernet
    except ImportError as error:
        raise ImportError(
            "symmetric_encryption_keys need cryptography: pip install 'starlette-consumers[cryptography]'"
        ) from error
    return fernet
