-- One turn of one member: it declares what it holds, or goes on from what is known, and asks for changes.
-- The server runs it as one step, so nothing can come between looking and taking.
--
-- A member is a process, and has a row: a hash with its last turn, its uploads, and for each project uploads
-- and bytes. The row expires by the server's own clock unless turns keep it alive: that is the lease. There
-- are no sums to go wrong: they are added up over the rows when a limit asks for them.
--
-- KEYS: 1 names of members, 2 this member's row, 3 its list of uploads
-- ARGV: 1 prefix of rows, 2 name, 3 turn, 4 life in ms, 5-7 limits ('' none): uploads, uploads of a project,
--       bytes of a project, 8 the list ('' leaves it), 9 entries declared (-1: go on);
--       then by threes: project, uploads, bytes, the declared entries before the changes
-- Returns {0}: not known, nothing done; or {1, members, uploads, verdict of each change...}.

local FITS, TOTAL, UPLOADS, BYTES = 0, 1, 2, 3
local members, row, list = KEYS[1], KEYS[2], KEYS[3]
local prefix, name = ARGV[1], ARGV[2]
local turn, life = tonumber(ARGV[3]), tonumber(ARGV[4])
local most_uploads = tonumber(ARGV[5]) or math.huge
local most_of_project = tonumber(ARGV[6]) or math.huge
local most_bytes = tonumber(ARGV[7]) or math.huge
local declared = tonumber(ARGV[9])

local last = tonumber(redis.call('HGET', row, 'turn'))
if declared < 0 then
  -- A gap means that a turn was lost, or undone by a failover: what we would add to is not what it was.
  if last ~= turn - 1 then return {0} end
else
  if last and last >= turn then return {0} end
  redis.call('DEL', row)
end

-- What is declared, one entry a project, is written as it is: with a call for each it would hold others up.
local fields, uploads_declared = {'turn', turn}, 0
local function declare(field, text)
  fields[#fields + 1] = field
  fields[#fields + 1] = text
end
local first_change = 10 + 3 * math.max(0, declared)
for first = 10, first_change - 1, 3 do
  local project, uploads, bytes = ARGV[first], tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  if uploads > 0 then
    declare('u:' .. project, ARGV[first + 1])
    uploads_declared = uploads_declared + uploads
  end
  if bytes > 0 then declare('b:' .. project, ARGV[first + 2]) end
end
if uploads_declared > 0 then declare('uploads', string.format('%.0f', uploads_declared)) end
-- In parts, for the stack has an end.
for start = 1, #fields, 1000 do
  redis.call('HSET', row, unpack(fields, start, math.min(start + 999, #fields)))
end
redis.call('PEXPIRE', row, life)
redis.call('SADD', members, name)
-- Longer than any row: a name that is missing here would not be counted.
if redis.call('PTTL', members) < 2 * life then redis.call('PEXPIRE', members, 2 * life) end
if ARGV[8] ~= '' then redis.call('SET', list, ARGV[8], 'PX', life) end

local rows, sums = {}, {uploads = 0}
for _, other in ipairs(redis.call('SMEMBERS', members)) do
  local found = redis.call('HMGET', prefix .. other, 'turn', 'uploads')
  if found[1] then
    rows[#rows + 1] = prefix .. other
    sums.uploads = sums.uploads + (tonumber(found[2]) or 0)
  else
    redis.call('SREM', members, other)
  end
end

local function read(key, field) return tonumber(redis.call('HGET', key, field)) or 0 end

local function held(field)
  if not sums[field] then
    local sum = 0
    for _, key in ipairs(rows) do sum = sum + read(key, field) end
    sums[field] = sum
  end
  return sums[field]
end

-- Adds to our own row, which never sinks below nothing; returns what was added.
local function add(field, amount)
  local before = read(row, field)
  local after = math.max(0, before + amount)
  if after > 0 then
    redis.call('HSET', row, field, string.format('%.0f', after))
  else
    redis.call('HDEL', row, field)
  end
  if sums[field] then sums[field] = sums[field] + after - before end
  return after - before
end

local function judge(project, uploads, bytes)
  -- The share first: who is at fault for being refused should be told so.
  if uploads > 0 and most_of_project < math.huge and held('u:' .. project) + uploads > most_of_project then
    return UPLOADS
  end
  if bytes > 0 and most_bytes < math.huge and held('b:' .. project) + bytes > most_bytes then
    return BYTES
  end
  if uploads > 0 and sums.uploads + uploads > most_uploads then return TOTAL end
  return FITS
end

local verdicts = {}
for first = first_change, #ARGV, 3 do
  local project, uploads, bytes = ARGV[first], tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local verdict = judge(project, uploads, bytes)
  if verdict == FITS then
    if uploads ~= 0 then add('uploads', add('u:' .. project, uploads)) end
    if bytes ~= 0 then add('b:' .. project, bytes) end
  end
  verdicts[#verdicts + 1] = verdict
end

return {1, #rows, sums.uploads, unpack(verdicts)}
