-- Prints what wrk measured as one line of JSON, microseconds for latencies.
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '{"requests":%d,"seconds":%.6f,"bad_status":%d,"socket_errors":%d,"p50_us":%.1f,"p99_us":%.1f}\n',
        summary.requests, summary.duration / 1e6, e.status,
        e.connect + e.read + e.write + e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
