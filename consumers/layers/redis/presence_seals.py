"""What Redis gets of keys and metas: sealed as messages are, so that with encryption no name is there to be read."""

import hmac
from collections.abc import Iterable, Sequence

from .._presence import Change, Kind
from ..codec import Codec

KINDS: dict[bytes, Kind] = {b"joins": "joins", b"leaves": "leaves", b"updates": "updates"}


class Seals:
    """Seals for one layer.

    Args:
        codec: seals values; without an expiry.
        encryption_keys: the layer's.
    """

    def __init__(self, codec: Codec, encryption_keys: Iterable[str | bytes]) -> None:
        self._codec = codec
        keys = [key.encode() if isinstance(key, str) else key for key in encryption_keys]
        self._secret = keys[0] if keys else b""

    def key(self, key: str) -> tuple[bytes, bytes]:
        """Return what tells a key from others, which with encryption nobody can read it from; and the key, sealed.

        Raises:
            TypeError, ValueError: as `Codec.encode()`.
        """
        data = key.encode()
        return hmac.digest(self._secret, data, "sha256")[:16] if self._secret else data, self._seal(key)

    def meta(self, meta: str) -> tuple[bytes, bytes]:
        """Return what tells a meta from others; and the meta, sealed.

        Raises:
            TypeError, ValueError: as `Codec.encode()`.
        """
        return hmac.digest(self._secret, meta.encode(), "sha256")[:8], self._seal(meta)

    def open(self, data: bytes) -> str:
        """Return the text that was sealed.

        Raises:
            ValueError: if nobody has sealed it who has this layer's keys.
        """
        text = self._codec.decode(data).get("")
        if not isinstance(text, str):
            raise ValueError("a key or a meta of presence that is no text")
        return text

    def changes_of(self, texts: Sequence[bytes]) -> list[Change]:
        """Return the changes that a script has published.

        Raises:
            ValueError: if they are none.
        """
        changes, at = [], 0
        while at < len(texts):
            kind, name, count = texts[at : at + 3]
            at += 3 + int(count)
            if kind not in KINDS or not count.isdigit() or at > len(texts):
                raise ValueError("a change of presence that is none")
            metas = tuple(map(self.open, texts[at - int(count) : at]))
            changes.append(Change(KINDS[kind], self.open(name), metas))
        return changes

    def _seal(self, text: str) -> bytes:
        return self._codec.encode({"": text})
