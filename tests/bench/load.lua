-- Claims or heartbeats, each with the next key of a file: `wrk ... -- claim|heartbeat KEYS`.
local keys = {}
local index = 0
local method, path, body, kind

local function headers(key)
  local given = { ["X-API-Key"] = key, ["Accept"] = "application/json" }
  if body then given["Content-Type"] = "application/json" end
  return given
end

function init(args)
  kind = args[1]
  if kind == "claim" then
    method, path = "GET", "/tasks/pending?wait=0"
  else
    method, path = "POST", "/nodes/heartbeat"
    body = '{"status":"idle","running":[],"load":0.5,"disk_free":1073741824}'
  end
  for key in io.lines(args[2]) do
    keys[#keys + 1] = wrk.format(method, path, headers(key), body)
  end
end

function request()
  index = index % #keys + 1
  return keys[index]
end

function done(summary, latency, _)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"max":%f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, failed))
end
