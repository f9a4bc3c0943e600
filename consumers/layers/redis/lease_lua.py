"""Leases of processes, in Redis, and what becomes of those whose lease has ended; see `presence_lua`."""

from .presence_lua import AT_ONCE, COMMON

# ARGV: the incarnation; milliseconds that its lease lasts from now; whether it is a new one; milliseconds by which keys
# in grace may leave early.
# The reply: whether it lives; incarnations whose leases have ended; milliseconds until the next lease ends, and until
# the next key leaves: 0 if that is due, -1 if there is none.
BEAT = (
    COMMON
    + f"""
local incarnation, lasts, is_new = ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local lives = is_new or is_alive(incarnation)
if lives then
    redis.call('ZADD', leases, now + lasts, incarnation)
end
redis.call('PEXPIRE', leases, kept)
redis.call('PEXPIRE', due, kept)
local left, over = {AT_ONCE}, now + tonumber(ARGV[6])
for _, group in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', over, 'LIMIT', 0, {AT_ONCE})) do
    local changes, leaving = {{}}, key(group, 'leaving')
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', leaving, '-inf', over, 'LIMIT', 0, left)) do
        leave(group, id, load(group, id), changes)
        left = left - 1
    end
    tell(group, '0', changes)
    left = left - 1
    local next = redis.call('ZRANGE', leaving, 0, 0, 'WITHSCORES')
    if next[1] then
        redis.call('ZADD', due, next[2], group)
    else
        redis.call('ZREM', due, group)
    end
    if left <= 0 then
        break
    end
end
local function until_first(set)
    local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
    return first[1] and math.max(0, tonumber(first[2]) - now) or -1
end
local expired = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 10)
return {{lives and 1 or 0, expired, until_first(leases), until_first(due)}}
"""
)

# ARGV: an incarnation. The reply: whether there is more of it to let go.
REAP = (
    COMMON
    + f"""
local incarnation, left = ARGV[3], {AT_ONCE}
local groups = base .. ':of:' .. incarnation
if is_alive(incarnation) then
    return 0
end
while left > 0 do
    local group = redis.call('SRANDMEMBER', groups)
    if not group then
        redis.call('ZREM', leases, incarnation)
        return 0
    end
    local changes = {{}}
    for _, channel in ipairs(redis.call('SPOP', key(group, 'of:' .. incarnation), left)) do
        local id = redis.call('HGET', key(group, 'channels'), channel)
        left = left - 1
        if id then
            untrack(group, channel, id, 0, changes)
        end
    end
    if redis.call('EXISTS', key(group, 'of:' .. incarnation)) == 0 then
        redis.call('SREM', groups, group)
    end
    tell(group, '0', changes)
    left = left - 1
end
return 1
"""
)

# ARGV: the incarnation; milliseconds after which its lease ends, if not before, when the others are told to look; and
# whether all ends at once if the lease of no other process goes on. The reply: whether one does. A lease that is to end
# has half a millisecond, by which it is told from others.
END = (
    COMMON
    + """
local incarnation, after, goes_on = ARGV[3], tonumber(ARGV[4]), 0
if redis.call('EXISTS', base .. ':of:' .. incarnation) == 0 then
    redis.call('ZREM', leases, incarnation)
elseif is_alive(incarnation) then
    local ends = math.min(now + after, math.floor(redis.call('ZSCORE', leases, incarnation)))
    redis.call('ZADD', leases, ends + 0.5, incarnation)
    publish({after})
end
local all, process = redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES'), string.match(incarnation, '^[^.]+')
for i = 1, #all, 2 do
    local until_ = tonumber(all[i + 1])
    if string.match(all[i], '^[^.]+') ~= process and until_ > now and until_ % 1 == 0 then
        goes_on = 1
    end
end
if ARGV[5] == '1' and goes_on == 0 then
    for i = 1, #all, 2 do
        redis.call('ZADD', leases, now - 1, all[i])
    end
end
return goes_on
"""
)

# ARGV: the asker's process, and the question. The reply: the other processes that live and hear it; twice, if one has
# two incarnations.
ASK = (
    COMMON
    + """
local asked = {}
for _, incarnation in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. now, '+inf')) do
    local process = string.match(incarnation, '^[^.]+')
    if process ~= ARGV[3] and redis.call('PUBLISH', base .. ':' .. process, ARGV[4]) > 0 then
        asked[#asked + 1] = process
    end
end
return asked
"""
)
