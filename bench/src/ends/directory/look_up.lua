-- wrk: one peer after the other is looked up by its name. Argument: how many there are.
-- The requests are made before anything is measured.

local requests, turn = {}, 0
-- The points of `statistics::CURVE`.
local percents = { 0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100 }

function init(arguments)
  for index = 0, tonumber(arguments[1]) - 1 do
    requests[index + 1] = wrk.format("GET", string.format("/v1/peers/peer-%06d", index))
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, total)
  local curve = {}
  for _, percent in ipairs(percents) do
    curve[#curve + 1] = string.format("%.1f", percent == 0 and latency.min or latency:percentile(percent))
  end
  local errors = summary.errors
  io.write(string.format(
    'landline {"seconds":%.6f,"cpu_seconds":%.6f,"request_count":%d,"fault_count":%d,"curve":[%s]}\n',
    summary.duration / 1e6, os.clock(), summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, table.concat(curve, ",")))
end
