"""What the queue layer does inside Redis, where several commands are to be one round trip.

Queues and groups are sorted sets, as channels_redis has them: payloads by the time they were sent at, and channel
names by the time they joined at. No script shortens an expiry: a key may hold what another process put there.
"""

import math
from collections.abc import Sequence
from typing import Any

from .pipelined import Command

_EXTEND = """
local function extend(key, seconds)
    if redis.call('TTL', key) < tonumber(seconds) then
        redis.call('EXPIRE', key, seconds)
    end
end
"""

PUSH = (
    _EXTEND
    + """
local sent = tonumber(ARGV[1])
local overfull, most = {}, 0
for i, key in ipairs(KEYS) do
    local expired, capacity = sent - tonumber(ARGV[2]), tonumber(ARGV[2 * i + 2])
    local waiting = redis.call('ZCOUNT', key, '(' .. expired, '+inf') + 1
    if waiting <= capacity then
        if waiting > capacity / 2 then
            most = math.max(most, waiting)
        end
        redis.call('ZADD', key, ARGV[1], ARGV[2 * i + 1])
        extend(key, math.ceil(ARGV[2]))
    else
        table.insert(overfull, i - 1)
    end
    -- Last: out of memory, Redis refuses a ZADD only if it is the script's first write.
    redis.call('ZREMRANGEBYSCORE', key, '-inf', expired)
end
return {most, overfull}
"""
)

PUT_BACK = (
    _EXTEND
    + """
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
local sent = ARGV[1]
if first and tonumber(first) <= tonumber(sent) then
    sent = string.format('%.17g', tonumber(first) - 0.000001)
end
redis.call('ZADD', KEYS[1], sent, ARGV[2])
extend(KEYS[1], ARGV[3])
"""
)

MEMBERS = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""

JOIN = (
    _EXTEND
    + """
local missing = {}
for i, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[1])
    if redis.call('ZADD', key, ARGV[2], ARGV[i + 3]) == 1 then
        table.insert(missing, i - 1)
    end
    extend(key, ARGV[3])
end
return missing
"""
)


def _call(script: str, keys: Sequence[str | bytes], arguments: list[Any]) -> Command:
    # EVAL and not EVALSHA: a script so small costs nothing to send, and a restarted Redis knows none by its hash.
    return ("EVAL", script, len(keys), *keys, *arguments)


def push(messages: list[tuple[str, bytes, int]], sent: float, expiry: float) -> Command:
    """Put payloads into queues.

    The reply is how many messages wait in the longest of those over half their capacity, and a list of the indexes
    of those that were full and did not take theirs.

    Args:
        messages: key, payload and capacity of each.
        sent: the time now, in seconds since the epoch.
        expiry: seconds until they are dropped.
    """
    arguments = [value for _, payload, capacity in messages for value in (payload, capacity)]
    return _call(PUSH, [key for key, _, _ in messages], [repr(sent), expiry, *arguments])


def put_back(key: str, payload: bytes, sent: float, expiry: float) -> Command:
    """Put a payload into a queue before all others.

    Args:
        key: the queue's.
        payload: the payload.
        sent: when it was sent, in seconds since the epoch, or later: it counts as older than what waits there.
        expiry: seconds until it is dropped.
    """
    return _call(PUT_BACK, [key], [repr(sent), payload, math.ceil(expiry)])


def members(group_key: bytes, expired: float) -> Command:
    """Drop members that joined before the time `expired`; the reply are the others' names."""
    return _call(MEMBERS, [group_key], [expired])


def join(group_keys: Sequence[str | bytes], names: list[str], joined: float, expired: float, ttl: int) -> Command:
    """Make a member of each of these groups; the reply are the indexes of those that had not known it.

    Args:
        group_keys: the groups' keys.
        names: the member's name in each.
        joined: the time that counts as the beginning.
        expired: others that joined before this time are dropped.
        ttl: seconds that the keys have to live at least.
    """
    return _call(JOIN, group_keys, [expired, repr(joined), ttl, *names])
