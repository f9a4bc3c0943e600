"""The log of a group in Redis, and what is done to it there, each in one step.

    <prefix>__history__{<group>}:place    hash     epoch, offset and tag of the newest message
    <prefix>__history__{<group>}:log      stream   messages by their offsets, each with its tag; one more than are kept
    <prefix>__history__{<group>}:id:<…>   string   the place of a message that had an id
    <prefix>__history__<group>            channel  tells where the next payload on the group's own channel belongs

The braces make all keys of a group one slot's. A payload is what it is without history, byte for byte: only Redis knows
the offset, and it cannot write into what is encrypted. A log's first entry only proves a position: its message is not
handed out. In a new log it stands for offset 0, after an expiry for the newest message that has expired.
"""

import hmac
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from .._history import Position, Retention, new_tag
from .pipelined import Command

MARK = "__history__"
"""What stands between the prefix and the name of a group in the names that its history has in Redis."""

_BEGIN = """
local function place(key, log, epoch, tag, lasts)
    local known = redis.call('HMGET', key, 'epoch', 'offset', 'tag')
    if known[1] then
        return known[1], known[2], known[3]
    end
    redis.call('DEL', log)
    redis.call('HSET', key, 'epoch', epoch, 'offset', '0', 'tag', tag)
    redis.call('PEXPIRE', key, lasts)
    return epoch, '0', tag
end

local function extend(key, lasts)
    if redis.call('PTTL', key) < tonumber(lasts) then
        redis.call('PEXPIRE', key, lasts)
    end
end
"""

# KEYS: place, log, and those of the message's id, if it has one. An id of an earlier log does not count.
# ARGV: size; milliseconds for the log, the place and the id; epoch and tag if the log is new; this message's tag and
# payload; the control channel and the group's.
PUBLISH = (
    _BEGIN
    + """
local size, lasts, stays, known_for = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local tag, payload, control, channel = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local epoch, offset, newest = place(KEYS[1], KEYS[2], ARGV[5], ARGV[6], stays)
for i = 3, #KEYS do
    local known = redis.call('GET', KEYS[i])
    if known and string.sub(known, 1, #epoch) == epoch then
        return {known, -1, ''}
    end
end
if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('XADD', KEYS[2], offset .. '-1', 't', newest)
end
local following = string.format('%.0f', tonumber(offset) + 1)
redis.call('XADD', KEYS[2], 'MAXLEN', size + 1, following .. '-1', 't', tag, 'm', payload)
redis.call('PEXPIRE', KEYS[2], lasts)
redis.call('HSET', KEYS[1], 'offset', following, 'tag', tag)
extend(KEYS[1], stays)
local position = epoch .. '-' .. tag .. '.' .. following
if KEYS[3] then
    redis.call('SET', KEYS[3], position, 'PX', known_for)
end
redis.call('PUBLISH', control, position .. ' ' .. newest .. ' ' .. #payload)
return {position, redis.call('PUBLISH', channel, payload), newest}
"""
)

# KEYS: place, log.
# ARGV: epoch and tag if the log is new; milliseconds for the place; epoch, tag and offset of what is to be proven; the
# first offset, or nothing for the newest; how many entries.
READ = (
    _BEGIN
    + """
local epoch, offset, newest = place(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
extend(KEYS[1], ARGV[3])
local proof, start, count = {ARGV[4], ARGV[5], ARGV[6]}, ARGV[7], tonumber(ARGV[8])
local proven = 0
if proof[1] == epoch then
    if proof[3] == offset then
        proven = proof[2] == newest and 1 or 0
    else
        local seen = redis.call('XRANGE', KEYS[2], proof[3] .. '-1', proof[3] .. '-1')[1]
        proven = seen and seen[2][2] == proof[2] and 1 or 0
    end
end
local newest_place = epoch .. '-' .. newest .. '.' .. offset
local before_first, oldest = newest_place, redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if oldest then
    before_first = epoch .. '-' .. oldest[2][2] .. '.' .. string.sub(oldest[1], 1, -3)
end
local entries = {}
if count > 0 and start == '' then
    entries = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', count)
elseif count > 0 then
    entries = redis.call('XRANGE', KEYS[2], start .. '-1', '+', 'COUNT', count)
end
local bytes = 0
for i, entry in ipairs(entries) do
    bytes = bytes + #entry[2][#entry[2]]
    if bytes > 1048576 and i > 1 then
        for j = #entries, i, -1 do
            entries[j] = nil
        end
        break
    end
end
local left = redis.call('PTTL', KEYS[2])
return {newest_place, proven, before_first, left, entries}
"""
)

FOREIGN = "A group's history in Redis was written by something else"

NO_PROOF = Position("", "", 0)


class LogReply(NamedTuple):
    """What a log says.

    Attributes:
        place: the newest place.
        proven: whether what was to be proven is a place in it.
        before_first: the place before the oldest message that is kept.
        seconds: for how long the messages will be kept.
        entries: places and payloads of some; those without a payload only have their place.
    """

    place: Position
    proven: bool
    before_first: Position
    seconds: float
    entries: list[tuple[Position, bytes | None]]

    @property
    def first(self) -> int:
        """The offset of the oldest message that is kept, or of the next one."""
        return self.before_first.offset + 1


class GroupKeys(NamedTuple):
    """The names that the history of one group has in Redis.

    Attributes:
        place, log: the keys.
        control: the channel.
    """

    place: str
    log: str
    control: str

    def of_id(self, digest: str) -> str:
        """Return the key of a message's id."""
        return f"{self.log.removesuffix('log')}id:{digest}"


class Digests:
    """Turns a message's id into what its keys in Redis are named by.

    Args:
        encryption_keys: the layer's. An id that was noted with an older key counts.
    """

    def __init__(self, encryption_keys: Iterable[str | bytes]) -> None:
        self._keys = [key.encode() if isinstance(key, str) else key for key in encryption_keys] or [b""]

    def __call__(self, id: str) -> list[str]:
        """Return the digests of an id, that of the first key first."""
        data = id.encode("utf-8", "surrogatepass")
        return [hmac.new(key, data, "sha256").hexdigest() for key in self._keys]


def keys_of(prefix: str, group: str) -> GroupKeys:
    """Return the names of a group."""
    base = f"{prefix}{MARK}{{{group}}}"
    return GroupKeys(f"{base}:place", f"{base}:log", f"{prefix}{MARK}{group}")


def publish(keys: GroupKeys, channel: str, payload: bytes, retention: Retention, digests: Sequence[str]) -> Command:
    """Add a payload to a log, and publish where it belongs, and itself.

    The reply is its position, how many have heard it, and the tag of the message before.

    Args:
        keys: the group's.
        channel: the group's channel.
        payload: the payload.
        retention: how much is kept.
        digests: those of the message's id, the first of which is noted. If one is noted already, nothing is done: the
            reply is the position of the message that had it, and -1.
    """
    names = [keys.place, keys.log, *map(keys.of_id, digests)]
    times = [_milliseconds(seconds) for seconds in (retention.ttl, retention.epoch_seconds, retention.id_seconds)]
    arguments = [retention.size, *times, new_tag(), new_tag(), new_tag(), payload, keys.control, channel]
    return ("EVAL", PUBLISH, len(names), *names, *arguments)


def read(keys: GroupKeys, retention: Retention, proof: Position | None, start: int | None, count: int) -> Command:
    """Read a log, which is made if there is none; `reply_of()` makes something of the reply.

    Args:
        keys: the group's.
        retention: how much is kept.
        proof: what is to be proven, or None.
        start: the offset of the first entry; None: the newest ones, newest first.
        count: how many entries at most; fewer, but one at least, if they are more than 1 MiB.
    """
    epoch, tag, offset = proof or NO_PROOF
    first = "" if start is None else str(start)
    arguments = [new_tag(), new_tag(), _milliseconds(retention.epoch_seconds), epoch, tag, str(offset), first, count]
    return ("EVAL", READ, 2, keys.place, keys.log, *arguments)


def reply_of(reply: list[Any]) -> LogReply:
    """Return what the reply to `read()` says.

    Raises:
        redis.exceptions.ResponseError: if somebody else has written to the log.
    """
    place, proven, before_first, milliseconds, entries = reply
    newest = place_of(place)
    found = [_entry_of(newest, *entry) for entry in entries]
    return LogReply(newest, bool(proven), place_of(before_first), max(0, milliseconds) / 1000, found)


def place_of(text: bytes) -> Position:
    """Return the place that Redis names.

    Raises:
        redis.exceptions.ResponseError: if that is none.
    """
    place = Position.parse(text.decode(errors="replace"))
    if place is None:
        raise ResponseError(f"{FOREIGN}: {text!r:.80} is no position")
    return place


def _entry_of(newest: Position, name: bytes, values: list[bytes]) -> tuple[Position, bytes | None]:
    fields = dict(zip(values[::2], values[1::2], strict=True))
    offset, _, part = name.partition(b"-")
    place = place_of(b"%b-%b.%b" % (newest.epoch.encode(), fields.get(b"t", b""), offset))
    if part != b"1" or place.offset > newest.offset:
        raise ResponseError(f"{FOREIGN}: {name!r:.80} is no message's name")
    return place, fields.get(b"m")


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)
