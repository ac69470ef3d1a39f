-- Creates exactly so many jobs. Arguments: the first part of the names, how many jobs each thread creates.
-- wrk cannot withhold a request: once all names are given out, it asks for /live until load.py ends it.
local folder = debug.getinfo(1, "S").source:match("^@(.*/)")
dofile(folder .. "report.lua")
dofile(folder .. "job.lua")

local before, after, tag, wanted, idle
local number = 0

function init(args)
    tag = args[1]
    wanted = tonumber(args[2])
    if thread_number == 1 then
        number = -1 -- wrk looks at the first request of its first thread and throws it away
    end
    local host = wrk.host .. ":" .. wrk.port
    before, after = job_request_parts(host, tag)
    idle = "GET /live HTTP/1.1\r\nHost: " .. host .. "\r\n\r\n"
end

function request()
    if number == wanted then
        return idle
    end
    number = number + 1
    return before .. job_name(tag, thread_number, number) .. after
end
