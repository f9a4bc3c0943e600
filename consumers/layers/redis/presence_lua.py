"""Who is in a group, in Redis, and what is done to it there, each in one step.

    <prefix>__presence__:leases             sorted set   incarnations of processes, by when their leases end
    <prefix>__presence__:due                sorted set   groups, by when their next key leaves
    <prefix>__presence__:of:<incarnation>   set          the groups in which it tracks channels
    <prefix>__presence__{<group>}:keys      hash         by a key's id: what members were told, its name, its channels
    <prefix>__presence__{<group>}:channels  hash         the id of each channel's key
    <prefix>__presence__{<group>}:leaving   sorted set   ids of keys in grace, by when they leave
    <prefix>__presence__{<group>}:version   string
    <prefix>__presence__{<group>}:of:<…>    set          the channels of an incarnation
    <prefix>__presence__:answers:<…>        list         what processes answer to one question of `ASK`
    <prefix>__presence__                    channel      tells every process what has changed
    <prefix>__presence__:<process>          channel      asks one process

It is what `PresenceTable` is in memory. All times are Redis' own, in milliseconds: the clocks of processes may differ.

An incarnation is one life of a process as far as the others are concerned. When its lease has ended, they take it for
dead and let its channels go; a process that was not dead begins another one. An expired incarnation never revives.

What Redis stores of keys and metas is sealed by the processes. It compares ids and digests.
"""

from .._presence import MAX_CHANNELS

AT_ONCE = 100
"""Channels or keys that one script goes through, so that it never keeps Redis from others for long."""

ID_SIZE = 16
"""Bytes of a key's id where keys are encrypted."""

KEPT = 24 * 3600
"""Seconds after which Redis forgets what no process has touched: all of them have gone."""

# Common to all. ARGV[1]: the base of all names; ARGV[2]: milliseconds of grace.
COMMON = (
    f"local kept = {1000 * KEPT}"
    + """
local base, grace = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)
local leases, due = base .. ':leases', base .. ':due'

local function key(group, what)
    return base .. '{' .. group .. '}:' .. what
end

-- What is stored of a key: the digests that members were told (false: they do not know it), its name, its channels.
-- Of each of these: its name, its incarnation, its meta's digest, its meta. Nothing, if somebody else has written it.
local function unpacked(packed)
    local is_ours, entry = pcall(cmsgpack.unpack, packed)
    return is_ours and type(entry) == 'table' and type(entry[3]) == 'table' and entry
end

-- Keys that this script has changed, by group; each is packed once, by `settle()`, and told of once.
local touched = {}

local function load(group, id)
    local entry = touched[group] and touched[group][id]
    if entry then
        return entry
    end
    local packed = redis.call('HGET', key(group, 'keys'), id)
    return packed and unpacked(packed)
end

local function store(group, id, entry)
    touched[group] = touched[group] or {}
    touched[group][id] = entry
end

local function write(group, id, entry)
    redis.call('HSET', key(group, 'keys'), id, cmsgpack.pack(entry))
end

-- The metas of a key, each once, oldest first: their digests, and themselves.
local function shown(entry)
    local seen, digests, values = {}, '', {}
    for _, channel in ipairs(entry[3]) do
        if not seen[channel[3]] then
            seen[channel[3]] = true
            digests = digests .. channel[3]
            values[#values + 1] = channel[4]
        end
    end
    return digests, values
end

-- Note that members are to be told what a key with channels is now, unless they know.
local function change(entry, changes)
    local digests, values = shown(entry)
    if entry[1] ~= digests then
        changes[#changes + 1] = {entry[1] and 'updates' or 'joins', entry[2], values}
        entry[1] = digests
    end
end

local function forget_channel(group, channel, incarnation)
    redis.call('HDEL', key(group, 'channels'), channel)
    local of = key(group, 'of:' .. incarnation)
    redis.call('SREM', of, channel)
    if redis.call('EXISTS', of) == 0 then
        redis.call('SREM', base .. ':of:' .. incarnation, group)
    end
end

local function settle(group, changes)
    for id, entry in pairs(touched[group] or {}) do
        if #entry[3] > 0 then
            change(entry, changes)
        end
        write(group, id, entry)
    end
    touched[group] = nil
end

local function leave(group, id, entry, changes)
    store(group, id, nil)
    redis.call('HDEL', key(group, 'keys'), id)
    redis.call('ZREM', key(group, 'leaving'), id)
    if entry then
        changes[#changes + 1] = {'leaves', entry[2], {}}
    end
end

-- Take a channel from its key, which leaves after a time.
local function untrack(group, channel, id, after, changes)
    local entry = load(group, id)
    if not entry then
        redis.call('HDEL', key(group, 'channels'), channel)
        return
    end
    for i, known in ipairs(entry[3]) do
        if known[1] == channel then
            table.remove(entry[3], i)
            forget_channel(group, channel, known[2])
            break
        end
    end
    store(group, id, entry)
    if #entry[3] > 0 then
        return
    elseif after > 0 then
        redis.call('ZADD', key(group, 'leaving'), now + after, id)
        redis.call('ZADD', due, 'LT', now + after, group)
    else
        leave(group, id, entry, changes)
    end
end

-- Tell every process; `texts_of()` reads it.
local function publish(texts)
    for i, text in ipairs(texts) do
        texts[i] = #tostring(text) .. ':' .. text
    end
    redis.call('PUBLISH', base, table.concat(texts))
end

-- A group's version; nothing, if it has none, or somebody else has written it.
local function stored_version(group)
    local version = tonumber(redis.call('GET', key(group, 'version')) or '')
    if version and version > 0 and version < 9007199254740992 then
        return string.format('%.0f', version)
    end
end

-- Tell every process of changes; return the group's version. `known` is one that it has had before, perhaps.
local function tell(group, known, changes)
    settle(group, changes)
    local previous = stored_version(group) or '0'
    if #changes == 0 then
        return previous
    end
    local version = string.format('%.0f', math.max(tonumber(previous) + 1, micros, tonumber(known) + 1))
    local count = redis.call('HLEN', key(group, 'keys'))
    if count > 0 then
        redis.call('SET', key(group, 'version'), version)
    else
        redis.call('DEL', key(group, 'version'))
    end
    local texts = {group, version, previous, count}
    for _, each in ipairs(changes) do
        texts[#texts + 1], texts[#texts + 2], texts[#texts + 3] = each[1], each[2], #each[3]
        for _, value in ipairs(each[3]) do
            texts[#texts + 1] = value
        end
    end
    publish(texts)
    return version
end

-- Keep what a group has from expiring.
local function touch(group)
    for _, what in ipairs({'keys', 'channels', 'leaving', 'version'}) do
        redis.call('PEXPIRE', key(group, what), kept)
    end
end

local function touch_incarnation(group, incarnation)
    redis.call('PEXPIRE', key(group, 'of:' .. incarnation), kept)
    redis.call('PEXPIRE', base .. ':of:' .. incarnation, kept)
end

local function is_alive(incarnation)
    local until_ = redis.call('ZSCORE', leases, incarnation)
    return until_ and tonumber(until_) > now
end
"""
)

# ARGV[3]: the incarnation; then for each channel its group, a version, itself, its key's id, other ids of the key, its
# name, its meta's digest and the meta. The reply has for each the version, or nil if the key has too many channels; it
# is empty without a lease.
TRACK = (
    COMMON
    + f"""
local incarnation, replies, changes, versions = ARGV[3], {{}}, {{}}, {{}}
if not is_alive(incarnation) then
    return replies
end
for i = 4, #ARGV, 8 do
    local group, known, channel, id, others, name, digest, meta = unpack(ARGV, i, i + 7)
    for at = 1, #others, {ID_SIZE} do
        local other = string.sub(others, at, at + {ID_SIZE - 1})
        if redis.call('HGET', key(group, 'keys'), other) then
            id = other
        end
    end
    changes[group] = changes[group] or {{}}
    versions[group] = known
    local entry = load(group, id) or {{false, name, {{}}}}
    local place = #entry[3] + 1
    for j, other in ipairs(entry[3]) do
        if other[1] == channel then
            place = j
        end
    end
    if place > {MAX_CHANNELS} then
        replies[#replies + 1] = false
    else
        local was = redis.call('HGET', key(group, 'channels'), channel)
        if was and was ~= id then
            untrack(group, channel, was, grace, changes[group])
        elseif was and entry[3][place] and entry[3][place][2] ~= incarnation then
            forget_channel(group, channel, entry[3][place][2])
        end
        entry[3][place] = {{channel, incarnation, digest, meta}}
        store(group, id, entry)
        redis.call('HSET', key(group, 'channels'), channel, id)
        redis.call('SADD', key(group, 'of:' .. incarnation), channel)
        redis.call('SADD', base .. ':of:' .. incarnation, group)
        redis.call('ZREM', key(group, 'leaving'), id)
        replies[#replies + 1] = group
    end
end
for group, known in pairs(versions) do
    versions[group] = tell(group, known, changes[group])
    touch(group)
    touch_incarnation(group, incarnation)
end
for i, group in ipairs(replies) do
    replies[i] = group and versions[group]
end
return replies
"""
)

# ARGV from the third: for each channel its group, a version, and itself.
UNTRACK = (
    COMMON
    + """
local changes, versions = {}, {}
for i = 3, #ARGV, 3 do
    local group, known, channel = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    changes[group] = changes[group] or {}
    versions[group] = known
    local id = redis.call('HGET', key(group, 'channels'), channel)
    if id then
        untrack(group, channel, id, grace, changes[group])
    end
end
for group, known in pairs(versions) do
    tell(group, known, changes[group])
    touch(group)
end
redis.call('PEXPIRE', due, kept)
"""
)

# ARGV: the incarnation; then groups in which it tracks channels.
TOUCH = (
    COMMON
    + """
for i = 4, #ARGV do
    touch(ARGV[i])
    touch_incarnation(ARGV[i], ARGV[3])
end
"""
)

# ARGV: the group, a cursor, how many keys, and a version that the group has had, or 0. Redis may have lost that with
# its data while its clock is behind: then it is kept until the clock has come so far, at least. The reply: the version,
# how many keys there are, the next cursor, for each key its name and metas, and whether there are leases or graces that
# have ended. A key in grace is shown without any meta: should it come back, that is to be told.
READ = (
    COMMON
    + """
local group, cursor, count = ARGV[3], ARGV[4], tonumber(ARGV[5])
local version = stored_version(group) or string.format('%.0f', micros - 1)
local size, found, next = redis.call('HLEN', key(group, 'keys')), {}, '0'
local known = tonumber(ARGV[6])
if known > tonumber(version) then
    version = string.format('%.0f', known)
    local lasts = math.max(size > 0 and kept or 1000, math.ceil((known - micros) / 1000))
    redis.call('SET', key(group, 'version'), version, 'PX', lasts)
end
if count > 0 then
    local page = redis.call('HSCAN', key(group, 'keys'), cursor, 'COUNT', count)
    next = page[1]
    for i = 1, #page[2], 2 do
        local entry = unpacked(page[2][i + 1])
        if entry then
            local _, values = shown(entry)
            if #values == 0 and entry[1] ~= '' then
                entry[1] = ''
                write(group, page[2][i], entry)
            end
            found[#found + 1] = {entry[2], values}
        end
    end
end
local ended = redis.call('ZCOUNT', leases, '-inf', now) + redis.call('ZCOUNT', due, '-inf', now)
return {version, size, next, found, ended}
"""
)
