"""Who may open a WebSocket: the Origin header, compared with a list.

A browser lets any site open a WebSocket to any other and sends its cookies along; it tells by the Origin header
which site that was (RFC 6455, 10.2). Source of the list's form: Channels' documentation, "Security".
"""

import contextlib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any, ClassVar, NamedTuple, Self

from ._checks.applications import require_application
from ._connection import events
from .layers._overrides import refuse
from .types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("consumers.origin")

DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
PAGE_SCHEMES = ("http", "https")
"""Schemes whose hosts' names are those of the domain name system. Under others an app has a name of its choice."""

_SERIALIZED = re.compile(  # RFC 6454, 6.2; browsers send international names in their ASCII form
    r"([a-z][a-z0-9+.-]*)://([a-z0-9_][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII | re.IGNORECASE
)


class OriginValidator:
    """Lets only WebSockets of known origins through to an application; others are rejected (HTTP 403), and logged.

    Args:
        application: the ASGI application, such as a `URLRouter`.
        allowed_origins: what may be: "https://example.com" (with the scheme's port), "https://example.com:8443",
            "example.com" (http or https, any port), "example.com:8443" (http or https). A name that begins with a dot
            stands for the domain and all of its sub-domains: ".example.com", "https://.example.com". Other schemes
            are named: "chrome-extension://abcdef". "*" turns the check off.
        allow_missing: let clients without an Origin header through too: programs, but no browser, leave it out.

    Raises:
        TypeError: an argument is of the wrong kind, or a subclass overrides a method of Channels' that is not called.
        ValueError: an entry of the list could never match; says which.
    """

    instead: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("valid_origin", "validate_origin", "match_allowed_origin", "get_origin_port"),
        "override __call__(), or derive from compat.channels.security.websocket.OriginValidator",
    )
    """Methods of Channels' class that a subclass cannot override here, and what to do instead."""

    _takes_instances: ClassVar[bool] = False

    def __init__(self, application: ASGIApp, allowed_origins: Iterable[str], *, allow_missing: bool = False) -> None:
        refuse(type(self), self.instead)
        require_application(application, type(self).__name__, self._takes_instances)
        if isinstance(allowed_origins, str) or not isinstance(allowed_origins, Iterable):
            raise TypeError(f'the allowed origins must be a list, such as ["example.com"], not {allowed_origins!r}')
        self.application = application
        self.allowed_origins = list(allowed_origins)
        self.allow_missing = allow_missing
        self._allows_all = "*" in self.allowed_origins
        self._rules = [Rule.parse(entry) for entry in self.allowed_origins if entry != "*"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one connection, or reject it before the application hears of it; returns what the application does.

        Raises:
            ValueError: it is no WebSocket.
        """
        if scope["type"] != "websocket":
            raise ValueError(
                f"You cannot use OriginValidator on a non-WebSocket connection, here of type {scope['type']!r}: "
                'put it under "websocket" in a ProtocolTypeRouter, or around the endpoint of a WebSocketRoute'
            )
        objection = None if self._allows_all else self._objection(scope)
        if objection is None:
            application: Any = self.application
            return await application(scope, receive, send)
        logger.warning("rejected the websocket path %.200r: %s", scope.get("path"), objection)
        if (await receive())["type"] not in events.DISCONNECTS:
            with contextlib.suppress(OSError):  # the client has gone
                await send(events.close())
        return None

    def _objection(self, scope: Scope) -> str | None:
        """Return what is wrong with the connection's origin; None if it is allowed."""
        headers = origin_headers(scope)
        if not headers:
            return None if self.allow_missing else "it has no Origin header"
        if len(headers) > 1:
            return f"it has several Origin headers: {headers!r:.200}"
        origin = Origin.parse(headers[0])
        if origin is None:
            return f"its Origin {headers[0]!r:.200} is malformed"
        if any(rule.allows(origin) for rule in self._rules):
            return None
        return f"its Origin {headers[0]!r:.200} is not allowed"


def AllowedHostsOriginValidator(
    application: ASGIApp, allowed_hosts: Iterable[str], *, allow_missing: bool = False
) -> OriginValidator:
    """Let only WebSockets of the site's own hosts through, as `OriginValidator`, which see.

    Args:
        application: the ASGI application.
        allowed_hosts: the hosts' names, as in Django's setting `ALLOWED_HOSTS`: "example.com", ".example.com", "*".
        allow_missing: let clients without an Origin header through too.
    """
    return OriginValidator(application, allowed_hosts, allow_missing=allow_missing)


def origin_headers(scope: Scope) -> list[str]:
    """Return the values of a connection's Origin headers."""
    return [value.decode("latin-1") for name, value in scope.get("headers", ()) if name.lower() == b"origin"]


class Origin(NamedTuple):
    """Where a page comes from, in one spelling."""

    scheme: str
    host: str
    port: int | None  # None: the scheme has no default

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the parts of a serialized origin, in one spelling; None if it is malformed."""
        match = _SERIALIZED.fullmatch(text)
        if match is None:
            return None
        scheme, host = match[1].lower(), match[2].lower()
        port = int(match[3]) if match[3] else DEFAULT_PORTS.get(scheme)
        if port is not None and port > 65535:
            return None
        if host.startswith("["):
            try:
                host = f"[{IPv6Address(host[1:-1])}]"
            except ValueError:
                return None
        return cls(scheme, host, port)


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the list: `scheme` None stands for those of `PAGE_SCHEMES`, `port` None then for any."""

    scheme: str | None
    host: str
    port: int | None
    with_subdomains: bool

    @classmethod
    def parse(cls, entry: str) -> Self:
        """Read an entry of the list.

        Raises:
            TypeError: it is not a str.
            ValueError: it could never match.
        """
        if not isinstance(entry, str):
            raise TypeError(f"an allowed origin must be a str, not {entry!r}")
        scheme, _, rest = entry.removesuffix("/").rpartition("://")
        host = rest.removeprefix(".")
        origin = None if host == "null" else Origin.parse(f"{scheme or 'any'}://{_ascii(host, entry)}")
        if origin is None:
            raise ValueError(
                f'{entry!r} cannot be an allowed origin: write "https://example.com", "example.com", or ".example.com" '
                'for its sub-domains too; a port may follow. "*" allows all, also the Origin "null"'
            )
        return cls(origin.scheme if scheme else None, origin.host, origin.port, rest.startswith("."))

    def allows(self, origin: Origin) -> bool:
        """Tell whether the origin is one of those that this entry stands for."""
        if self.scheme is None:
            if origin.scheme not in PAGE_SCHEMES or self.port not in (None, origin.port):
                return False
        elif (self.scheme, self.port) != (origin.scheme, origin.port):
            return False
        return origin.host == self.host or (self.with_subdomains and origin.host.endswith(f".{self.host}"))


def _ascii(host: str, entry: str) -> str:
    """Return `host`, with or without a port, as an origin has it."""
    if host.count(":") > 1 and not host.startswith("["):
        return f"[{host}]"  # an IPv6 address as ALLOWED_HOSTS may have it
    if host.isascii():
        return host
    name, colon, port = host.partition(":")
    try:
        encoded = name.encode("idna").decode("ascii")
        # Python's codec is IDNA 2003, which makes "strasse" of "straße": browsers take that for another domain.
        if encoded.encode().decode("idna") == name.lower():
            return encoded + colon + port
    except UnicodeError:
        pass
    raise ValueError(f"{entry!r} has an international name: write its ASCII form, which begins with xn--")
