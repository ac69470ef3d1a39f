-- GETs the paths of a file (one a line) in turn. Argument: the file.
local folder = debug.getinfo(1, "S").source:match("^@(.*/)")
dofile(folder .. "report.lua")

local requests = {}
local number = 0

function init(args)
    for path in io.lines(args[1]) do
        requests[#requests + 1] = "GET " .. path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\n\r\n"
    end
end

function request()
    number = number % #requests + 1
    return requests[number]
end
