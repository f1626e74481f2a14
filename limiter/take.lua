-- Decides all buckets of one request.
-- KEYS[i] is bucket i; ARGV holds, for each: seconds per token, seconds an empty
-- bucket takes to fill, tokens needed, tokens wanted, tokens owed, kind.
-- Owed tokens are charged first, whatever follows, but never beyond empty; less
-- than none are put back. Of the wanted tokens at least the needed are granted
-- or none; where none are needed nothing is taken.
-- Kinds: 0, all of these are charged or none of them, and none where a bucket
-- drawn from ahead has nothing to give; 1, drawn from ahead, which is never
-- conditional on another bucket; 2, a shadow, which stops nothing and is charged
-- when the request passes.
-- Answers four integers for each: tokens granted, whole tokens left,
-- microseconds until the need fits (0 if it does), microseconds until full.
local time = redis.call("TIME")
local now = (time[1] - 1483228800) + time[2] / 1000000
local stored = redis.call("MGET", unpack(KEYS))

-- The clock has microseconds and the stored seconds a grain of 60 ns: without
-- slack a bucket of ten would sometimes hold nine.
local slack = 0.000001

local function micros(seconds)
  return math.max(math.ceil(seconds * 1000000 - 0.5), 0)
end

local interval, horizon, need, grant, kind = {}, {}, {}, {}, {}
local tat, moved, fits = {}, {}, true
for i = 1, #KEYS do
  local at = 6 * i - 5
  interval[i], horizon[i], need[i] = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local want, owed = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  kind[i] = ARGV[at + 5]
  local empty = now + horizon[i]
  local t = stored[i] and tonumber(stored[i]) or now
  if t > empty + slack then
    t, moved[i] = empty, true -- a lowered limit or a clock set back
  end
  t = math.max(t, now)
  if owed ~= 0 then
    t, moved[i] = math.max(math.min(t + owed * interval[i], math.max(t, empty)), now), true
  end
  tat[i], grant[i] = t, 0
  if need[i] > 0 and t + need[i] * interval[i] <= empty + slack then
    grant[i] = math.max(math.min(want, math.floor((empty - t + slack) / interval[i])), need[i])
  end
  if need[i] > 0 and grant[i] == 0 and kind[i] ~= "2" then
    fits = false
  end
end

local reply = {}
for i = 1, #KEYS do
  local at, empty, after = 4 * i - 3, now + horizon[i], tat[i] + grant[i] * interval[i]
  reply[at] = grant[i]
  reply[at + 1] = math.floor((empty - after + slack) / interval[i])
  reply[at + 2] = 0
  reply[at + 3] = micros(after - now)
  if need[i] > 0 and grant[i] == 0 then
    reply[at + 2] = micros(tat[i] + need[i] * interval[i] - empty)
  end
  if grant[i] > 0 and (fits or kind[i] == "1") then
    tat[i], moved[i] = after, true
  end
  if moved[i] then
    if tat[i] > now then
      redis.call("SET", KEYS[i], string.format("%.17g", tat[i]), "EX", math.ceil(tat[i] - now))
    else
      redis.call("DEL", KEYS[i])
    end
  end
end
return reply
