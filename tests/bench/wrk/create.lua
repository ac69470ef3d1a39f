-- Creates jobs of 300 bytes with unique names until the time is over. Argument: the first part of the names.
local folder = debug.getinfo(1, "S").source:match("^@(.*/)")
dofile(folder .. "report.lua")
dofile(folder .. "job.lua")

local before, after, tag
local number = 0

function init(args)
    tag = args[1]
    before, after = job_request_parts(wrk.host .. ":" .. wrk.port, tag)
end

function request()
    number = number + 1
    return before .. job_name(tag, thread_number, number) .. after
end
