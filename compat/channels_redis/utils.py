"""What channels_redis' layers make of their `hosts`."""

from collections.abc import Mapping
from typing import Any

import redis.asyncio
import redis.asyncio.sentinel as sentinel

from consumers.layers.redis import hosts as native


def decode_hosts(hosts: object) -> list[dict[str, Any]]:
    """Return the `hosts` of a layer as dicts of redis-py's arguments, each with "address" if it is a URL.

    Raises:
        ValueError: it is no list, or an entry has another form.
    """
    return [dict(host.arguments) for host in native.decode_hosts(hosts)]


def create_pool(host: Mapping[str, Any]) -> Any:
    """Make one of redis-py's asyncio connection pools for a host, as `decode_hosts()` returns it."""
    arguments = dict(host)
    if "address" in arguments:
        return redis.asyncio.ConnectionPool.from_url(arguments.pop("address"), **arguments)
    if "master_name" not in arguments:
        return redis.asyncio.ConnectionPool(**arguments)
    master, addresses = arguments.pop("master_name"), arguments.pop("sentinels")
    make: Any = sentinel.Sentinel  # redis-py has no types for it
    manager = make(addresses, sentinel_kwargs=arguments.pop("sentinel_kwargs", None))
    make = sentinel.SentinelConnectionPool
    return make(master, manager, **arguments)


def _consistent_hash(value: str | bytes, ring_size: int) -> int:
    """Return the index of the host that a name belongs to, of `ring_size` hosts."""
    return native.shard_of(value, ring_size)


async def _close_redis(connection: Any) -> None:
    """Close one of redis-py's asyncio clients, and its pool."""
    await connection.aclose(close_connection_pool=True)
