"""Which Redis servers a layer uses, and connections to them."""

import binascii
import contextlib
from collections.abc import Iterable, Mapping, Sized
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.backoff
import redis.connection
import redis.retry
import redis.sentinel
from redis.exceptions import ConnectionError, ResponseError

CONNECT_TIMEOUT = 1.0
"""Seconds that one attempt to connect may take, unless a host has a `socket_connect_timeout` of its own.

Live consumers receive again within two seconds of Redis returning: an attempt must not outlast that.
"""

WHAT_ARE_YOU = ("HELLO",)
"""Tells the mode that a server runs in; no user lacks the right to ask."""

RING = 4096
"""Places on the ring of shards; channels_redis divides it evenly among the hosts, by the CRC-32 of a name."""

SCHEMES = ("redis://", "rediss://", "unix://")

# Retries and health checks are the layer's own affair: redis-py's would outlast its deadlines.
NOT_PASSED_ON = ("retry", "retry_on_timeout", "retry_on_error", "health_check_interval", "max_connections")


class IsCluster(ConnectionError):
    """The server is a node of a Redis Cluster, and the layer, or what was asked of it, works on none."""


def decode_hosts(hosts: object, works_on_cluster: bool = True) -> list["Host"]:
    """Read a layer's `hosts` argument; see `RedisChannelLayer`.

    Args:
        hosts: the argument.
        works_on_cluster: see `Host`.

    Raises:
        ValueError: if it is a string, not a list of them, or an entry has another form.
    """
    if isinstance(hosts, str | bytes | Mapping) or (hosts and not isinstance(hosts, Iterable)):
        raise ValueError(f"hosts must be a list of Redis hosts, even if there is only one, not {_kind(hosts)}")
    entries = list(hosts) if isinstance(hosts, Iterable) else []
    return [Host(_decode(entry), works_on_cluster) for entry in entries or ["redis://localhost:6379"]]


def _decode(entry: object) -> dict[str, Any]:
    match entry:
        case str():
            return {"address": entry}
        case (str(host), int(port)) | [str(host), int(port)]:
            return {"host": host, "port": port}
        case (str(host), str(port)) | [str(host), str(port)] if port.isdecimal():
            return {"host": host, "port": int(port)}
        case Mapping() if entry:
            return dict(entry)
    raise ValueError(
        "A Redis host is a URL, a (host, port) with a number as its port, or a dict of redis-py's arguments, "
        f"not {_kind(entry)}"
    )


def _kind(value: object) -> str:
    """Say what a value is, without what is in it: there may be a password."""
    return f"{type(value).__name__} of length {len(value)}" if isinstance(value, Sized) else repr(value)


def _check_url(url: object) -> None:
    if not isinstance(url, str):
        raise ValueError(f"The 'address' of a Redis host is a URL, not {_kind(url)}")
    if not url.startswith(SCHEMES):
        raise ValueError(
            f"A Redis URL's scheme is one of {', '.join(SCHEMES)}; "
            "without a URL a host is a pair in the list of hosts: [('localhost', 6379)]"
        )
    try:
        redis.connection.parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError(
            "A Redis URL cannot be read: has it a port that is no number, "
            "or a password with a '/', '?' or '#' that is not percent-encoded?"
        ) from None


def shard_of(name: str | bytes, shards: int) -> int:
    """Return the index of the shard that a name belongs to, as channels_redis reckons it."""
    key = name.encode() if isinstance(name, str) else name
    return int((binascii.crc32(key) & (RING - 1)) / (RING / float(shards)))


class Host:
    """One entry of `hosts`: a server, or the master that Sentinels know.

    Args:
        arguments: redis-py's, kept as they are; "address" for a URL, "master_name" and "sentinels" for Sentinel.
        works_on_cluster: whether it may be a node of a Redis Cluster; else connecting raises `IsCluster`.

    Raises:
        ValueError: if no connection can be made of them.
    """

    def __init__(self, arguments: dict[str, Any], works_on_cluster: bool = True) -> None:
        self.arguments = arguments
        self._works_on_cluster = works_on_cluster
        self._failures = 0  # to connect, in all
        if "address" in arguments:
            _check_url(arguments["address"])
        if "master_name" in arguments and not arguments.get("sentinels"):
            raise ValueError(f"The host with master_name {arguments['master_name']!r} has no 'sentinels'")
        if arguments.get("sentinels") and "master_name" not in arguments:
            raise ValueError("The host with 'sentinels' has no 'master_name'")
        self._check_arguments()

    def _check_arguments(self) -> None:
        """Have redis-py look at its arguments now: a layer that connects again and again would repeat its complaint."""
        try:
            self._pool(redis.asyncio, redis.asyncio.sentinel, _no_retry()).make_connection()
            float(self.connect_timeout)
        except Exception as error:
            raise ValueError(f"redis-py does not take the arguments of the host {self}: {error}") from None

    def __str__(self) -> str:
        """Where it is, without passwords, for the log."""
        arguments = self.arguments
        tls = " (TLS)" if arguments.get("ssl") else ""
        if "address" in arguments:
            url = urlsplit(arguments["address"])
            tls = " (TLS)" if url.scheme == "rediss" else tls
            return url.path if url.scheme == "unix" else f"{url.hostname or 'localhost'}:{url.port or 6379}{tls}"
        if "master_name" in arguments:
            return f"master {arguments['master_name']!r}"
        host, port = arguments.get("host", "localhost"), arguments.get("port", 6379)
        return str(arguments.get("path") or f"{host}:{port}{tls}")

    @property
    def connect_timeout(self) -> float:
        """Seconds that one attempt to connect may take."""
        given = self.arguments
        if "address" in given:
            given = given | redis.connection.parse_url(given["address"])  # type: ignore[no-untyped-call]
        return float(given.get("socket_connect_timeout") or CONNECT_TIMEOUT)

    async def connect(self) -> Any:
        """Return an open connection of redis-py's asyncio client.

        Raises:
            redis.exceptions.RedisError, OSError: if there is none to be had.
        """
        pool = self._pool(redis.asyncio, redis.asyncio.sentinel, _no_retry())
        try:
            connection = pool.make_connection()
            connection.socket_timeout = None  # deadlines are the layer's; an idle receiver has none
            connection.layer_pool = pool  # Sentinel's connections refer to it weakly
            try:
                await connection.connect()
                if not self._works_on_cluster:
                    await self._refuse_cluster(connection)
            except BaseException:
                self._failures += 1
                await connection.disconnect(nowait=True)
                raise
            return connection
        finally:
            for sentinel in _sentinels(pool):
                await sentinel.connection_pool.disconnect()

    def connect_blocking(self, timeout: float) -> Any:
        """Return an open connection of redis-py's blocking client, whose every step may take `timeout` seconds.

        Raises:
            redis.exceptions.RedisError, OSError: if there is none to be had.
        """
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        pool = self._pool(redis, redis.sentinel, retry)
        try:
            connection = pool.make_connection()
            connection.socket_timeout = timeout
            connection.socket_connect_timeout = min(self.connect_timeout, timeout)
            connection.layer_pool = pool
            try:
                connection.connect()
                if not self._works_on_cluster:
                    self._refuse_cluster_blocking(connection)
            except BaseException:
                self._failures += 1
                connection.disconnect()
                raise
            return connection
        finally:
            for sentinel in _sentinels(pool):
                sentinel.connection_pool.disconnect()

    async def _refuse_cluster(self, connection: Any) -> None:
        await connection.send_command(*WHAT_ARE_YOU, check_health=False)
        with contextlib.suppress(ResponseError):  # from a Redis before version 6
            _check_mode(await connection.read_response())

    def _refuse_cluster_blocking(self, connection: Any) -> None:
        connection.send_command(*WHAT_ARE_YOU, check_health=False)
        with contextlib.suppress(ResponseError):
            _check_mode(connection.read_response())

    def _pool(self, client: Any, sentinels: Any, retry: Any) -> Any:
        """Make a pool, of which only the connection's class and arguments are used."""
        given = dict(self.arguments)
        if "address" in given:
            given |= client.connection.parse_url(given.pop("address"))
        elif "connection_class" in given:  # the asyncio client's or the blocking one's, which have the same names
            given["connection_class"] = getattr(client.connection, given["connection_class"].__name__)
        for key in NOT_PASSED_ON:
            given.pop(key, None)
        # RESP2, in which messages and replies come in one stream; read_response() returns pushes of RESP3 elsewhere.
        own = {"socket_connect_timeout": CONNECT_TIMEOUT, "socket_keepalive": True, **given}
        own |= {"protocol": 2, "retry": retry, "decode_responses": False}
        if "path" in own:
            del own["socket_keepalive"]
            own.setdefault("connection_class", client.connection.UnixDomainSocketConnection)
        if "master_name" in own:
            master, addresses, settings = (
                own.pop(key, None) for key in ("master_name", "sentinels", "sentinel_kwargs")
            )
            # A silent Sentinel takes an attempt's time: the next attempt begins with the one after it.
            first = self._failures % len(addresses)
            addresses = [*addresses[first:], *addresses[:first]]
            timeouts = {"socket_timeout": CONNECT_TIMEOUT, "socket_connect_timeout": CONNECT_TIMEOUT, "retry": retry}
            manager = sentinels.Sentinel(addresses, sentinel_kwargs={**timeouts, **(settings or {})})
            return sentinels.SentinelConnectionPool(master, manager, **own)
        if own.pop("ssl", False):
            own.setdefault("connection_class", client.connection.SSLConnection)
        return client.ConnectionPool(**own)


def is_of_cluster(reply: Any) -> bool:
    """Whether a server that gives this reply to `WHAT_ARE_YOU` is a node of a Redis Cluster."""
    return isinstance(reply, list) and b"cluster" in reply  # the value of "mode"


def _check_mode(reply: Any) -> None:
    if is_of_cluster(reply):
        raise IsCluster(
            "it is a node of a Redis Cluster, which RedisChannelLayer and the option `history` do not support; "
            "use RedisPubSubChannelLayer without it, or a Redis server with cluster-enabled no"
        )


def _no_retry() -> Any:
    return redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)


def _sentinels(pool: Any) -> list[Any]:
    manager = getattr(pool, "sentinel_manager", None)
    return [] if manager is None else list(manager.sentinels)
