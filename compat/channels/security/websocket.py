"""Origin checks, with the methods that Channels lets a project override."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import ParseResult, urlparse

from consumers import origin
from consumers.layers._overrides import overrides
from consumers.origin import DEFAULT_PORTS
from consumers.types import ASGIApp, Receive, Scope, Send

from ...conf import misconfigured, setting
from ..generic.websocket import AsyncWebsocketConsumer

logger = logging.getLogger("consumers.origin")

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Django's own hosts for development: DEBUG is set and ALLOWED_HOSTS is empty."""


class OriginValidator(origin.OriginValidator):
    """Lets only WebSockets of known origins through; see `consumers.OriginValidator`.

    Its methods may be overridden. An allowed origin that can never match is logged instead of refused, since Channels
    takes it.
    """

    instead: ClassVar[Mapping[str, str]] = {}
    _takes_instances: ClassVar[bool] = True

    def __init__(self, application: ASGIApp, allowed_origins: Iterable[str]) -> None:
        patterns = list(allowed_origins)
        super().__init__(application, [pattern for pattern in patterns if pattern != "*" and _rule(pattern)])
        self.allowed_origins = patterns
        if overrides(type(self), "valid_origin", "validate_origin"):
            self._allows_all = False  # who overrides them decides about all

    def valid_origin(self, parsed_origin: ParseResult | None) -> bool:
        """Override to decide otherwise whether a connection is let through.

        Args:
            parsed_origin: the Origin header; None if there is none, or if it is no URL.
        """
        if parsed_origin is None and "*" not in self.allowed_origins:
            return False
        return self.validate_origin(parsed_origin)

    def validate_origin(self, parsed_origin: ParseResult | None) -> bool:
        """Tell whether one of the allowed origins matches."""
        return any(entry == "*" or self.match_allowed_origin(parsed_origin, entry) for entry in self.allowed_origins)

    def match_allowed_origin(self, parsed_origin: ParseResult | None, pattern: str) -> bool:
        """Tell whether this allowed origin matches."""
        if parsed_origin is None:
            return False
        rule, parsed = _rule(pattern), origin.Origin.parse(parsed_origin.geturl())
        if rule is None or parsed is None:
            return False
        if rule.scheme is not None and overrides(type(self), "get_origin_port"):
            rule = replace(rule, port=self.get_origin_port(urlparse(pattern)))
            parsed = parsed._replace(port=self.get_origin_port(parsed_origin))
        return rule.allows(parsed)

    def get_origin_port(self, origin: ParseResult) -> int | None:
        """Return an origin's port: its own, or its scheme's."""
        return DEFAULT_PORTS.get(origin.scheme) if origin.port is None else origin.port

    def _objection(self, scope: Scope) -> str | None:
        headers = origin.origin_headers(scope)
        if len(headers) > 1:
            return super()._objection(scope)
        if self.valid_origin(_parse(headers[0]) if headers else None):
            return None
        return super()._objection(scope) or f"its Origin {headers[:1]!r} is not allowed by {type(self).__name__}"


def AllowedHostsOriginValidator(application: ASGIApp) -> OriginValidator:
    """Let only WebSockets of the hosts in the setting ALLOWED_HOSTS through.

    Raises:
        ImproperlyConfigured: there is no such setting. Without Django: ValueError.
    """
    return _AllowedHostsValidator(application, _allowed_hosts())


class _AllowedHostsValidator(OriginValidator):
    """Also lets the hosts through that are in the setting by now: Django's live servers add theirs late."""

    def __init__(self, application: ASGIApp, allowed_origins: list[str]) -> None:
        super().__init__(application, allowed_origins)
        self._first = allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        hosts = list(dict.fromkeys([*self._first, *_allowed_hosts()]))
        if hosts != self.allowed_origins:
            OriginValidator.__init__(self, self.application, hosts)
        return await super().__call__(scope, receive, send)


def _allowed_hosts() -> list[str]:
    hosts = setting("ALLOWED_HOSTS")
    if not hosts and setting("DEBUG", False):
        hosts = LOCAL_HOSTS
    if hosts is None:
        raise misconfigured(
            "AllowedHostsOriginValidator finds no setting ALLOWED_HOSTS: "
            'call compat.configure(ALLOWED_HOSTS=["example.com"]) before the application is made'
        )
    return list(hosts)


class WebsocketDenier(AsyncWebsocketConsumer):
    """Rejects every connection."""

    async def connect(self) -> None:
        await self.close()


def _parse(header: str) -> ParseResult | None:
    if not header.isprintable() or header != header.strip():  # urlparse() would drop some of it
        return None
    try:
        return urlparse(header)
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _rule(pattern: str) -> origin.Rule | None:
    try:
        return origin.Rule.parse(pattern)
    except ValueError as error:
        logger.warning("an allowed origin matches nothing: %s", error)
        return None
