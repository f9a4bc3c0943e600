"""What Redis gets of keys and metas: sealed as messages are, so that with encryption no name is there to be read."""

import hmac
from collections.abc import Iterable, Sequence

from .._presence import Change, Kind
from ..codec import Codec
from .presence_lua import ID_SIZE

KINDS: dict[bytes, Kind] = {b"joins": "joins", b"leaves": "leaves", b"updates": "updates"}


class Seals:
    """Seals for one layer.

    Args:
        codec: seals texts, without an expiry; None: there is nothing to hide.
        encryption_keys: the layer's.
    """

    def __init__(self, codec: Codec | None, encryption_keys: Iterable[str | bytes]) -> None:
        self._codec = codec
        keys = [key.encode() if isinstance(key, str) else key for key in encryption_keys]
        self._secrets = keys

    def key(self, key: str) -> tuple[bytes, bytes, bytes]:
        """Return what tells a key from others, the same by the layer's other secrets, and the key, sealed.

        With encryption nobody can read the key from the first two. While secrets are changed, processes differ in which
        is their first.

        Raises:
            TypeError, ValueError: as `Codec.encode()`.
        """
        data = key.encode()
        first, *others = [hmac.digest(secret, data, "sha256")[:ID_SIZE] for secret in self._secrets] or [data]
        return first, b"".join(others), self._seal(key)

    def meta(self, meta: str) -> tuple[bytes, bytes]:
        """Return what tells a meta from others; and the meta, sealed.

        Raises:
            TypeError, ValueError: as `Codec.encode()`.
        """
        secret = self._secrets[0] if self._secrets else b""
        return hmac.digest(secret, meta.encode(), "sha256")[:8], self._seal(meta)

    def open(self, data: bytes) -> str:
        """Return the text that was sealed.

        Raises:
            ValueError: if nobody has sealed it who has this layer's keys.
        """
        if self._codec is None:
            return data.decode()
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
            metas = tuple(dict.fromkeys(map(self.open, texts[at - int(count) : at])))
            changes.append(Change(KINDS[kind], self.open(name), metas))
        return changes

    def _seal(self, text: str) -> bytes:
        return text.encode() if self._codec is None else self._codec.encode({"": text})
