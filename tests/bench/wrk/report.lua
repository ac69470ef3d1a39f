-- What every script here ends with: one line of JSON for load.py. Answers of status 400 and above are in status_errors.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        'BENCH {"requests": %d, "microseconds": %d, "status_errors": %d, "connect_errors": %d, "read_errors": %d, ' ..
            '"write_errors": %d, "timeouts": %d, "p50_us": %d, "p99_us": %d, "max_us": %d}\n',
        summary.requests, summary.duration, errors.status, errors.connect, errors.read, errors.write, errors.timeout,
        latency:percentile(50), latency:percentile(99), latency.max))
end

-- Numbers the threads from 1, so that each can make names of its own.
local thread_count = 0
function setup(thread)
    thread_count = thread_count + 1
    thread:set("thread_number", thread_count)
end
