"""The bytes on the wire, and bytes that are none."""

import contextlib
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgpack import ExtType, Timestamp

from consumers import MessageTooLarge
from consumers.layers import codec
from consumers.layers._copy import choose_copier
from consumers.layers.codec import (
    CHANNELS_KEY,
    MAX_DEPTH,
    BaseMessageSerializer,
    Codec,
    SerializerDoesNotExist,
    registry,
)

KEYS = [["one"], ["new", "one"], [b"\0bytes"]]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
leaves = {
    "json": st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    "msgpack": st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | text
    | st.binary(max_size=40),
}
messages = {
    format: st.dictionaries(
        text,
        st.recursive(
            leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=8
        ),
        max_size=20,
    )
    for format, leaf in leaves.items()
}
examples = st.sampled_from(sorted(messages)).flatmap(
    lambda format: st.tuples(
        st.just(format),
        messages[format].map(lambda message: {key: message[key] for key in message if key != CHANNELS_KEY}),
    )
)
configurations = st.fixed_dictionaries(
    {},
    optional={
        "symmetric_encryption_keys": st.sampled_from(KEYS),
        "random_prefix_length": st.integers(0, 16),
        "expiry": st.just(60),
    },
)


@given(examples, configurations)
@settings(deadline=None)
def test_a_message_comes_back_as_it_was(example: tuple[str, dict[str, Any]], arguments: dict[str, Any]) -> None:
    format, message = example
    codec = Codec(format, **arguments)
    assert codec.decode(codec.encode(message)) == message


@given(examples, configurations, st.text(max_size=20) | st.lists(text, max_size=20))
@settings(deadline=None)
def test_an_address_is_added_as_if_it_had_been_in_the_message(
    example: tuple[str, dict[str, Any]], arguments: dict[str, Any], channels: Any
) -> None:
    format, message = example
    addressed = {**message, CHANNELS_KEY: channels}
    codec = Codec(format, **arguments)
    assert codec.decode(codec.encode_for(message)(channels)) == addressed
    plain = Codec(format)
    assert plain.encode_for(message)(channels) == plain.encode(addressed)
    more = {"more": [channels], "most": {}}
    assert plain.encode_for(message)(channels, more) == plain.encode({**message, **more, CHANNELS_KEY: channels})


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 17, 65534, 65535, 65536])
def test_an_address_is_added_to_a_packed_map_of_any_size(size: int) -> None:
    message = {str(number): number for number in range(size)}
    assert Codec("msgpack").encode_for(message)("x!y") == msgpack.packb({**message, CHANNELS_KEY: "x!y"})


def test_the_bytes_are_channels_redis() -> None:
    message = {"type": "test", "text": "é", "bytes": b"\0"}
    assert Codec("msgpack").encode(message) == msgpack.packb(message)
    assert Codec("json").encode({"type": "é", "n": 1}) == b'{"type": "\\u00e9", "n": 1}'
    encoded = Codec("msgpack", random_prefix_length=12).encode(message)
    assert encoded[12:] == msgpack.packb(message)
    assert encoded != Codec("msgpack", random_prefix_length=12).encode(message)


def test_a_message_is_serialised_once_for_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[Any] = []
    codec = Codec("msgpack")
    pack = codec.serializer.as_bytes  # type: ignore[attr-defined]

    def noted(message: Any) -> bytes:
        packed.append(message)
        return bytes(pack(message))

    monkeypatch.setattr(codec.serializer, "as_bytes", noted)
    encode = codec.encode_for({"type": "test"})
    assert [codec.decode(encode([name])) for name in ("a!", "b!")] == [
        {"type": "test", CHANNELS_KEY: [name]} for name in ("a!", "b!")
    ]
    assert packed == [{"type": "test"}]


# What is no message of ours


@given(examples, configurations, st.data())
@settings(deadline=None)
def test_damaged_bytes_raise_nothing_but_value_error(
    example: tuple[str, dict[str, Any]], arguments: dict[str, Any], data: st.DataObject
) -> None:
    format, message = example
    codec = Codec(format, **arguments)
    encoded = bytearray(codec.encode(message))
    if data.draw(st.booleans(), label="truncate"):
        del encoded[data.draw(st.integers(0, max(0, len(encoded) - 1))) :]
    elif encoded:
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        result = codec.decode(bytes(encoded))
    except ValueError:
        return
    assert isinstance(result, dict)  # the damage made another message, as it may where nothing is encrypted
    assert "symmetric_encryption_keys" not in arguments or result == message


@given(st.binary(max_size=200), st.sampled_from(sorted(messages)), configurations)
@settings(deadline=None)
def test_foreign_bytes_raise_nothing_but_value_error(foreign: bytes, format: str, arguments: dict[str, Any]) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(Codec(format, **arguments).decode(foreign), dict)


@pytest.mark.parametrize(
    ("format", "data"),
    [
        ("msgpack", msgpack.packb(["a", "list"])),
        ("json", b"5"),
        ("json", b"[" * 100_000),
        ("msgpack", b"\x91" * 100_000),
        ("msgpack", b"\x81\x90\x01"),  # a map with a list as its key
        ("json", b"\xff\xfe"),
    ],
)
def test_what_is_no_dict_is_refused(format: str, data: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        Codec(format).decode(data)


def test_another_key_does_not_decrypt_but_a_rotated_one_does() -> None:
    old, new = Codec("json", symmetric_encryption_keys=["old"]), Codec("json", symmetric_encryption_keys=["new", "old"])
    message = {"type": "test"}
    assert new.decode(old.encode(message)) == message
    with pytest.raises(ValueError, match="InvalidToken"):
        old.decode(new.encode(message))
    with pytest.raises(ValueError, match="InvalidToken"):
        old.decode(Codec("json").encode(message))


def test_an_encrypted_message_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec("json", symmetric_encryption_keys=["key"], expiry=60)
    data = codec.encode({"type": "test"})
    clock = time.time()
    monkeypatch.setattr("time.time", lambda: clock + 69)
    assert codec.decode(data) == {"type": "test"}
    monkeypatch.setattr("time.time", lambda: clock + 72)
    with pytest.raises(ValueError, match="InvalidToken"):
        codec.decode(data)


@pytest.mark.parametrize(
    ("format", "value"), [("json", b"bytes"), ("json", object()), ("msgpack", object()), ("msgpack", 2**64)]
)
def test_a_value_that_the_format_lacks_is_a_type_error(format: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"cannot be sent as {format}.*test"):
        Codec(format).encode({"type": "test", "value": value})


class Pair(NamedTuple):
    a: int
    b: int


KEYS_OF_NO_FORMAT = [(1, 2), (), Pair(1, 2), ((1,), "b")]


@pytest.mark.parametrize("format", sorted(leaves))
@pytest.mark.parametrize("key", KEYS_OF_NO_FORMAT, ids=repr)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [1, (value,)], lambda value: {"a": {"b": value}}])
def test_a_dict_that_no_receiver_could_decode_is_a_type_error(
    format: str, key: Any, wrap: Callable[[Any], Any]
) -> None:
    codec = Codec(format)
    message = {"type": "test", "value": wrap({"before": 1, key: "secret", "behind": 2})}
    for encode in (codec.encode, codec.encode_for):
        with pytest.raises(TypeError, match=f"cannot be sent as {format}: .*key.*; its type is 'test'") as caught:
            encode(message)
        assert "secret" not in str(caught.value)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(bytearray(b"a"))
of_msgpack = st.builds(ExtType, st.integers(0, 127), st.binary()) | st.builds(Timestamp, st.integers(0, 2**33))
keys = st.recursive(scalars.filter(lambda key: key != bytearray(b"a")) | of_msgpack, lambda key: st.tuples(key))
anything = st.recursive(
    scalars | of_msgpack | st.dates() | st.decimals() | st.uuids() | st.just(memoryview(b"a")),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(keys, inner) | st.frozensets(keys),
    max_leaves=6,
)


@given(st.sampled_from(sorted(leaves)), st.dictionaries(keys, anything, max_size=4))
def test_what_a_sender_may_send_every_receiver_can_decode_and_copy(format: str, message: dict[Any, Any]) -> None:
    codec = Codec(format)
    try:
        sent = codec.encode(message)
    except TypeError:
        return
    received = codec.decode(sent)
    copier, original = choose_copier(received)
    copier(original)


def test_a_serializer_of_ones_own_may_have_any_key() -> None:
    class Pickled(BaseMessageSerializer):
        def as_bytes(self, message: Any) -> bytes:
            return pickle.dumps(message)

        def from_bytes(self, message: bytes) -> Any:
            return pickle.loads(message)

    registry.register_serializer("pickled", Pickled)
    codec = Codec("pickled")
    message: dict[Any, Any] = {"type": "test", (1, 2): 3}
    assert codec.decode(codec.encode(message)) == message


def test_a_message_that_redis_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_SIZE", 100)
    with pytest.raises(MessageTooLarge, match="212 bytes"):
        Codec("json").encode({"type": "x" * 200})


def nested(depth: int) -> dict[str, Any]:
    """Return a message of lists and dicts in turns, so many levels in all."""
    value: Any = []
    for level in range(depth - 2):
        value = {"value": value} if level % 2 else [value, 1]
    return {"type": "test", "value": value}


@pytest.mark.parametrize("format", sorted(messages))
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 600, 100_000])
def test_a_message_that_is_nested_too_deeply_is_refused_by_sender_and_receiver(
    format: str, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = Codec(format)
    for encode in (codec.encode, codec.encode_for):
        with pytest.raises(ValueError, match=f"nested too deeply.* {MAX_DEPTH}$"):
            encode(nested(depth))
    if depth == MAX_DEPTH + 1:  # which the serializers can still do
        monkeypatch.setattr("consumers.layers.codec.MAX_DEPTH", depth)
        data = codec.encode(nested(depth))
        monkeypatch.undo()
        with pytest.raises(ValueError, match="nested too deeply"):
            codec.decode(data)


@pytest.mark.parametrize("format", sorted(messages))
def test_a_message_at_the_limit_of_nesting_passes(format: str) -> None:
    codec = Codec(format)
    assert codec.decode(codec.encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)


@pytest.mark.parametrize("format", sorted(messages))
def test_a_message_that_contains_itself_is_refused(format: str) -> None:
    endless: list[Any] = []
    endless += [endless, endless]
    with pytest.raises(ValueError, match="or contains itself"):
        Codec(format).encode({"type": "test", "value": endless})


# Serializers


def test_a_serializer_of_ones_own() -> None:
    class Reversed(BaseMessageSerializer):
        def as_bytes(self, message: Any) -> bytes:
            return json.dumps(message).encode()[::-1]

        def from_bytes(self, message: bytes) -> Any:
            return json.loads(message[::-1])

    registry.register_serializer("reversed", Reversed)
    codec = Codec("reversed", symmetric_encryption_keys=["key"])
    assert codec.decode(codec.encode({"type": "test"})) == {"type": "test"}
    assert codec.decode(codec.encode_for({"type": "test"})(["a!b"])) == {"type": "test", CHANNELS_KEY: ["a!b"]}
    assert codec.decode(codec.encode_for({"type": "test"})(["a!b"], {"more": 1}))["more"] == 1


def test_a_serializer_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="not 'json'"):
        registry.register_serializer("wrong", "json")
    with pytest.raises(SerializerDoesNotExist, match="no serializer_format 'yaml'; there are json, msgpack"):
        Codec("yaml")


def test_keys_must_be_a_list() -> None:
    with pytest.raises(TypeError, match="must be a list of keys"):
        Codec("json", symmetric_encryption_keys="key")


def without(package: str, code: str) -> str:
    """Run code in an interpreter that cannot import `package`; return the error's last line."""
    hide = f"import sys; sys.modules[{package!r}] = None; "
    done = subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True)
    return done.stderr.strip().rpartition("\n")[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "code", "extra"),
    [
        ("redis", "import consumers.layers; import consumers.layers.redis", "[redis]"),
        ("msgpack", "from consumers.layers.codec import Codec; Codec('json'); Codec('msgpack')", "[redis]"),
        (
            "cryptography.fernet",
            "from consumers.layers.codec import Codec; Codec('json'); Codec('json', symmetric_encryption_keys=['k'])",
            "[cryptography]",
        ),
    ],
)
def test_a_missing_package_is_an_error_that_names_the_extra(package: str, code: str, extra: str) -> None:
    error = without(package, code)
    assert error.startswith("ImportError")
    assert f"pip install 'starlette-consumers{extra}'" in error
