-- Changes the description of the jobs whose paths a file has (one a line), in turn. Argument: the file. Each thread has jobs of its
-- own, so that no two requests on their way change the same one.
local folder = debug.getinfo(1, "S").source:match("^@(.*/)")
dofile(folder .. "report.lua")

local THREADS, PADDING = 2, string.rep("x", 90)
local paths = {}
local number = 0

function init(args)
    local line = 0
    for path in io.lines(args[1]) do
        line = line + 1
        if line % THREADS == thread_number % THREADS then
            paths[#paths + 1] = path
        end
    end
end

function request()
    number = number + 1
    local body = string.format('{"description":"%s %08d"}', PADDING, number)
    return "PATCH " .. paths[number % #paths + 1] .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port ..
        "\r\nContent-Type: application/merge-patch+json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end
