-- Decides all buckets of one request and charges all of them or none.
-- KEYS[i] is bucket i; ARGV holds, for each: seconds per token, burst, cost.
-- Answers four integers for each: fits (0 or 1), whole tokens left,
-- microseconds until the cost fits (0 if it does), microseconds until full.
local time = redis.call("TIME")
local now = (time[1] - 1483228800) + time[2] / 1000000
local stored = redis.call("MGET", unpack(KEYS))

-- The clock has microseconds and the stored seconds a grain of 60 ns: without
-- slack a bucket of ten would sometimes hold nine.
local slack = 0.000001

local function micros(seconds)
  return math.max(math.ceil(seconds * 1000000 - 0.5), 0)
end

local reply, before, after, pulled, fits = {}, {}, {}, {}, true
for i = 1, #KEYS do
  local interval = tonumber(ARGV[3 * i - 2])
  local horizon = interval * tonumber(ARGV[3 * i - 1])
  local tat = stored[i] and tonumber(stored[i]) or now
  if tat > now + horizon + slack then
    pulled[i] = true -- a lowered limit or a clock set back
    tat = now + horizon
  end
  if tat < now then
    tat = now
  end
  local charged = tat + interval * tonumber(ARGV[3 * i])
  local room = now + horizon - charged
  local at = 4 * i - 3
  if room >= -slack then
    reply[at], reply[at + 2] = 1, 0
    reply[at + 1] = math.floor((room + slack) / interval)
    reply[at + 3] = micros(charged - now)
  else
    fits = false
    reply[at], reply[at + 2] = 0, micros(-room)
    reply[at + 1] = math.floor((now + horizon - tat + slack) / interval)
    reply[at + 3] = micros(tat - now)
  end
  before[i], after[i] = tat, charged
end

for i = 1, #KEYS do
  local tat = fits and after[i] or before[i]
  if (fits or pulled[i]) and tat > now then
    redis.call("SET", KEYS[i], string.format("%.17g", tat), "EX", math.ceil(tat - now))
  end
end
return reply
