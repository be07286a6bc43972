import { LONGEST_LEASE_MS } from './redis-options.ts';

/** Redis has its own clock; due times and leases are by it. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/**
 * Stores messages: kind, name, type, delay, meta, body of each. Returns index and reason of those that are not stored.
 * The same delayed message stored twice is one: a sorted set has each member once.
 */
export const SEND = `${NOW}
local failed = {}
local function store(stream, meta, body)
  local answer = redis.pcall('XADD', stream, 'NOMKSTREAM', '*', 'meta', meta, 'body', body)
  return answer and (answer.err or 'stored') or 'missing'
end
for i = 1, #ARGV, 6 do
  local kind, name, about, delay, meta, body = unpack(ARGV, i, i + 5)
  local result = 'missing'
  if kind == 'topic' then
    if redis.call('HEXISTS', 'waybill:topics', name) == 1 then result = 'stored' end
    for _, queue in ipairs(redis.call('SMEMBERS', 'waybill:bound:' .. name .. ':' .. about)) do
      result = store('waybill:queue:' .. queue, meta, body)
    end
  elseif delay == '' then
    result = store('waybill:queue:' .. name, meta, body)
  elseif redis.call('EXISTS', 'waybill:queue:' .. name) == 1 then
    redis.call('ZADD', 'waybill:delayed:' .. name, now + 1 + delay, cmsgpack.pack({ meta, body }))
    result = 'stored'
  end
  if result ~= 'stored' then
    failed[#failed + 1] = (i - 1) / 6
    failed[#failed + 1] = result
  end
end
return failed`;

/**
 * Hands out up to ARGV[1] messages, kept from others by the idle time ARGV[2]: first those whose lease is over, then new
 * ones, behind which go the delayed ones that are due. Fails with NOGROUP, and moves nothing, where there is no queue.
 */
export const TAKE = `${NOW}
local stream, delayed = KEYS[1], KEYS[2]
local found = {}
for _, held in ipairs(redis.call('XPENDING', stream, 'waybill', 'IDLE', ${LONGEST_LEASE_MS}, '-', '+', ARGV[1])) do
  local entry = redis.call('XCLAIM', stream, 'waybill', 'waybill', 0, held[1], 'IDLE', ARGV[2])[1]
  if entry then found[#found + 1] = { held[1], held[4] + 1, entry[2] } end
end
for _, member in ipairs(redis.call('ZRANGE', delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local message = cmsgpack.unpack(member)
  redis.call('XADD', stream, '*', 'meta', message[1], 'body', message[2])
  redis.call('ZREM', delayed, member)
end
local room = ARGV[1] - #found
if room == 0 then return found end
local new = redis.call('XREADGROUP', 'GROUP', 'waybill', 'waybill', 'COUNT', room, 'STREAMS', stream, '>')
if not new then return found end
for _, entry in ipairs(new[1][2]) do
  redis.call('XCLAIM', stream, 'waybill', 'waybill', 0, entry[1], 'IDLE', ARGV[2], 'JUSTID')
  found[#found + 1] = { entry[1], 1, entry[2] }
end
return found`;

/**
 * Settles or extends: id, deliveries and new idle time of each, or no idle time to remove it. Whose it is says the number
 * of times it was handed out. Returns 1 for those that were still ours.
 */
export const HOLD = `
local ours = {}
for i = 1, #ARGV, 3 do
  local id, deliveries, idle = unpack(ARGV, i, i + 2)
  local held = redis.call('XPENDING', KEYS[1], 'waybill', id, id, 1)[1]
  local mine = held and held[4] == tonumber(deliveries)
  if mine and idle == '' then
    redis.call('XACK', KEYS[1], 'waybill', id)
    redis.call('XDEL', KEYS[1], id)
  elseif mine then
    redis.call('XCLAIM', KEYS[1], 'waybill', 'waybill', 0, id, 'IDLE', idle, 'JUSTID')
  end
  ours[#ours + 1] = mine and 1 or 0
end
return ours`;

/** ready, in flight, delayed, dead. */
export const DEPTH = `${NOW}
local held = redis.call('XPENDING', KEYS[1], 'waybill')[1]
local over = #redis.call('XPENDING', KEYS[1], 'waybill', 'IDLE', ${LONGEST_LEASE_MS}, '-', '+', 1000000)
local due = redis.call('ZCOUNT', KEYS[2], '-inf', now)
local ready = redis.call('XLEN', KEYS[1]) - held + over + due
return { ready, held - over, redis.call('ZCARD', KEYS[2]) - due, redis.call('XLEN', KEYS[3]) }`;
