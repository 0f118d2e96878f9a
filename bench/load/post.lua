-- wrk script: the same POST over and over, built once (no Lua runs per request). The body is the file $BODY.
-- Prints one line "JSON {...}": requests, bytes, errors by kind, latency percentiles in microseconds.

local request_bytes

function init(args)
  local file = assert(io.open(os.getenv("BODY"), "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer sk-placeholder"
  wrk.headers["User-Agent"] = "bench/1"
  wrk.headers["Accept"] = "application/json"
  request_bytes = wrk.format()
end

function request()
  return request_bytes
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'JSON {"requests":%d,"duration_us":%d,"bytes":%d,"err_connect":%d,"err_read":%d,"err_write":%d,' ..
    '"err_status":%d,"err_timeout":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d}\n',
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
