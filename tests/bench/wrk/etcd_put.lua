-- Puts values of 300 bytes under unique keys through etcd's JSON gateway. Argument: four characters that keys begin with.
-- The gateway wants base64. Keys are 16 characters of the base64 alphabet as they are (12 bytes decoded); the value is the
-- base64 form of 300 bytes, 400 characters.
local folder = debug.getinfo(1, "S").source:match("^@(.*/)")
dofile(folder .. "report.lua")

local before, after
local number = 0

function init(args)
    local value = string.rep("eHh4", 100)
    local start, rest = '{"key":"' .. args[1], '","value":"' .. value .. '"}'
    before = "POST /v3/kv/put HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port ..
        "\r\nContent-Type: application/json\r\nContent-Length: " .. #start + 12 + #rest .. "\r\n\r\n" .. start
    after = rest
end

function request()
    number = number + 1
    return before .. string.format("%02d%010d", thread_number, number) .. after
end
