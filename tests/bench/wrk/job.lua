-- A job of exactly 300 bytes with a name of its own, as a whole HTTP request. Its schedule is due once a year.
local JOB_BYTES = 300
local NAME_FORMAT = "%s-%02d-%08d"

local function body(name, padding)
    return '{"name":"' .. name .. '","description":"' .. padding ..
        '","schedule":"15 4 2 1 *","timezone":"Europe/Berlin","enabled":true,"executor":"http",' ..
        '"config":{"url":"http://127.0.0.1:9/report","method":"POST"},"timeout":"5m","tags":{"team":"backend"}}'
end

-- The text before and after the name: only the name differs between two requests, and its length does not.
function job_request_parts(host, tag)
    local name = string.format(NAME_FORMAT, tag, 0, 0)
    local whole = body(name, string.rep("x", JOB_BYTES - #body(name, "")))
    local head = "POST /api/v1/jobs HTTP/1.1\r\nHost: " .. host ..
        "\r\nContent-Type: application/json\r\nContent-Length: " .. #whole .. "\r\n\r\n"
    local from, to = whole:find(name, 1, true)
    return head .. whole:sub(1, from - 1), whole:sub(to + 1)
end

function job_name(tag, thread, number)
    return string.format(NAME_FORMAT, tag, thread, number)
end
