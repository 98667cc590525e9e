-- Sends the bodies of a file, one a line, in their order; each thread begins elsewhere. Prints one line of JSON,
-- microseconds for latencies. ARGS: the file, the number of threads, and the milliseconds that a client waits between an
-- answer and its next request.
local threads = {}

function setup(thread)
    table.insert(threads, thread)
    thread:set("number", #threads)
end

function init(args)
    bodies = {}
    for line in io.lines(args[1]) do bodies[#bodies + 1] = line end
    at = math.floor(#bodies * (number - 1) / tonumber(args[2]))
    pause = tonumber(args[3] or 0)
    head = { ["content-type"] = "application/json" }
end

function request()
    at = at % #bodies + 1
    return wrk.format("POST", nil, head, bodies[at])
end

function delay()
    -- Not all at once.
    return pause == 0 and 0 or math.random(pause, 2 * pause)
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '{"requests":%d,"seconds":%.6f,"bad_status":%d,"socket_errors":%d,"p50_ms":%.2f,"p95_ms":%.2f,"p99_ms":%.2f}\n',
        summary.requests, summary.duration / 1e6, e.status, e.connect + e.read + e.write + e.timeout,
        latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
