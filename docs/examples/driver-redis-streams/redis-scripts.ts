/** How long a message has been idle that nobody holds. Who takes one says how much of that is over already. */
export const FREE_MS = 86_400_000;

/** The server's clock, in ms: due times are by it. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/** The keys of the lane that ARGV[1] names. */
const LANE = `
local stream, delayed = 'waybill:queue:' .. ARGV[1], 'waybill:delayed:' .. ARGV[1]`;

/** Takes kind, name, type, delay, meta and body of each message. Returns index and reason of those that are not stored. */
export const SEND = `${NOW}
local failed = {}
for i = 1, #ARGV, 6 do
  local kind, name, about, delay, meta, body = unpack(ARGV, i, i + 5)
  local places, stored = { name }, false
  if kind == 'topic' then
    places = redis.call('SMEMBERS', 'waybill:bound:' .. name .. ':' .. about)
    stored = redis.call('SISMEMBER', 'waybill:topics', name) == 1
  end
  for _, place in ipairs(places) do
    if delay == '' then
      stored = redis.pcall('XADD', 'waybill:queue:' .. place, 'NOMKSTREAM', '*', 'meta', meta, 'body', body)
    elseif redis.call('EXISTS', 'waybill:queue:' .. place) == 1 then
      stored = redis.call('ZADD', 'waybill:delayed:' .. place, now + 1 + delay, cmsgpack.pack({ meta, body }))
    end
  end
  local reason = not stored and 'NOGROUP there is none' or type(stored) == 'table' and stored.err
  if reason then failed[#failed + 1] = { (i - 1) / 6, reason } end
end
return failed`;

/**
 * Hands out up to ARGV[2] entries that have been idle for ARGV[3] then: those that are free again, then new ones, which
 * those are too whose delay is over. Where there is no queue it fails with NOGROUP before it moves anything.
 */
export const TAKE = `${NOW}${LANE}
local max, idle, found = tonumber(ARGV[2]), ARGV[3], {}
for _, held in ipairs(redis.call('XPENDING', stream, 'waybill', 'IDLE', ${FREE_MS}, '-', '+', max)) do
  local entry = redis.call('XCLAIM', stream, 'waybill', 'waybill', 0, held[1], 'IDLE', idle)[1]
  if entry then found[#found + 1] = { held[1], held[4] + 1, entry[2] } end
end
for _, member in ipairs(redis.call('ZRANGE', delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, max)) do
  local message = cmsgpack.unpack(member)
  redis.call('XADD', stream, '*', 'meta', message[1], 'body', message[2])
  redis.call('ZREM', delayed, member)
end
if #found == max then return found end
local new = redis.call('XREADGROUP', 'GROUP', 'waybill', 'waybill', 'COUNT', max - #found, 'STREAMS', stream, '>')
for _, entry in ipairs(new and new[1][2] or {}) do
  redis.call('XCLAIM', stream, 'waybill', 'waybill', 0, entry[1], 'IDLE', idle, 'JUSTID')
  found[#found + 1] = { entry[1], 1, entry[2] }
end
return found`;

/** Takes id, deliveries and new idle time of each; without one it is removed. Returns 1 for those not handed out since. */
export const HOLD = `${LANE}
local ours = {}
for i = 2, #ARGV, 3 do
  local id, deliveries, idle = unpack(ARGV, i, i + 2)
  local held = redis.call('XPENDING', stream, 'waybill', id, id, 1)[1]
  local mine = held and held[4] == tonumber(deliveries)
  if mine and idle ~= '' then redis.call('XCLAIM', stream, 'waybill', 'waybill', 0, id, 'IDLE', idle, 'JUSTID') end
  if mine and idle == '' then redis.call('XACK', stream, 'waybill', id) redis.call('XDEL', stream, id) end
  ours[#ours + 1] = mine and 1 or 0
end
return ours`;

/** Takes key and member of each part; no member: a stream. Returns the indexes of those that are missing, or were. */
export const TOPOLOGY = `
local missing = {}
for i = 2, #ARGV, 2 do
  local key, member = ARGV[i], ARGV[i + 1]
  local exists = member == '' and redis.call('EXISTS', key) or member ~= '' and redis.call('SISMEMBER', key, member)
  if exists == 0 then missing[#missing + 1] = i / 2 - 1 end
  if exists == 0 and ARGV[1] == 'create' and member ~= '' then redis.call('SADD', key, member) end
  if exists == 0 and ARGV[1] == 'create' and member == '' then redis.call('XGROUP', 'CREATE', key, 'waybill', 0, 'MKSTREAM') end
end
return missing`;

/** Handed out, free again, stored, delayed, due. */
export const COUNT = `${NOW}${LANE}
local free = #redis.call('XPENDING', stream, 'waybill', 'IDLE', ${FREE_MS}, '-', '+', 1000000)
return { redis.call('XPENDING', stream, 'waybill')[1], free, redis.call('XLEN', stream),
  redis.call('ZCARD', delayed), redis.call('ZCOUNT', delayed, '-inf', now) }`;

export const PURGE = `${LANE}
redis.call('DEL', stream, delayed)
return redis.call('XGROUP', 'CREATE', stream, 'waybill', 0, 'MKSTREAM')`;

export const BROWSE = `${LANE}
return redis.call('XRANGE', stream, ARGV[2], '+', 'COUNT', ARGV[3])`;
