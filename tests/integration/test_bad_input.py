"""Whatever is sent: a clear answer, and no harm. Every test ends with the node answering as before."""
# ctest: timeout=240
import base64
import json
import random
import socket
import threading
import time
import unittest

from harness import Node, TestCase, wait_for

JOBS = "/api/v1/jobs"
KEEP_BYTES = 1 << 20
# Short deadlines, so that the drip tests are.
CONFIG = """
server: {http: {read_timeout: 1s, idle_timeout: 20s, max_body_bytes: 64KiB}}
"""


class BadInputCase(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(CONFIG)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()
        cls.node.create(name="witness", schedule="@manually", command="echo unharmed")
        cls.before = cls.node.get(f"{JOBS}/witness").body

    def tearDown(self):
        """Unharmed: alive, the one job as it was, no other, and it runs."""
        self.assertIsNone(self.node.process.poll(), self.node.log()[-2000:])
        jobs = self.node.get(JOBS).json["jobs"]
        self.assertEqual([j["name"] for j in jobs], ["witness"])
        self.assertEqual(
            self.node.post(JOBS + "?dry_run=true", {"name": "x", "schedule": "@manually", "command": "true"}).status, 200)

    def connect(self, timeout=20):
        connection = socket.create_connection(("127.0.0.1", self.node.port), timeout=timeout)
        self.addCleanup(connection.close)
        return connection

    def read_all(self, connection):
        """All that comes until the other side closes."""
        data = b""
        try:
            while (piece := connection.recv(65536)) and len(data) < KEEP_BYTES:
                data += piece
        except ConnectionResetError:
            pass
        return data

    def raw(self, request):
        """Every answer to these bytes, until the server closes (the client half-closes first)."""
        connection = self.connect()
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # it has answered and closed already
        return self.read_all(connection)

    def statuses(self, data):
        """Of the answers in `data`, walking by their lengths."""
        found = []
        while data:
            head, _, rest = data.partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            status = int(lines[0].split()[1])
            headers = {k.lower(): v for k, v in (line.split(b": ", 1) for line in lines[1:])}
            size = int(headers.get(b"content-length", 0))
            found.append((status, headers, rest[:size]))
            data = rest[size:]
        return found

    def refused(self, request, status, code=None, closes=True):
        """Exactly one answer, of this status, a problem document; then the connection ends."""
        answers = self.statuses(self.raw(request))
        self.assertEqual([a[0] for a in answers], [status], answers)
        _, headers, body = answers[0]
        self.assertEqual(headers[b"content-type"], b"application/problem+json")
        document = json.loads(body)
        self.assertEqual(document["status"], status)
        self.assertTrue(document["detail"])
        if code:
            self.assertEqual(document["code"], code)
        if closes:
            self.assertEqual(headers[b"connection"].lower(), b"close")
        return document


class HttpTableTest(BadInputCase):
    """What HTTP/1.1 forbids, and what is allowed but odd, over a raw socket."""

    HOST = b"Host: localhost\r\n"
    JOB = b'{"name":"smuggled","schedule":"@manually","command":"true"}'

    def test_request_line(self):
        for line in (b"GET /health", b"GET /health HTTP", b"GET  /health HTTP/1.1", b"GET /health  HTTP/1.1",
                     b" GET /health HTTP/1.1", b"GET /health HTTP/1.1 ", b"GET\t/health HTTP/1.1", b"GET /hea lth HTTP/1.1",
                     b"GET health HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET /%zz HTTP/1.1",
                     b"GET /%00 HTTP/1.1", b"GET /api/v1/jobs/a%2Fb HTTP/1.1", b"GET /../etc/passwd HTTP/1.1",
                     b"GET /%2e%2e/x HTTP/1.1", b"GET * HTTP/1.1", b"GET ftp://x/ HTTP/1.1",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"G\x00T / HTTP/1.1"):
            with self.subTest(line=line):
                self.refused(line + b"\r\n" + self.HOST + b"\r\n", 400, "MALFORMED")
        self.refused(b"GET /health HTTP/2.0\r\n" + self.HOST + b"\r\n", 505)
        self.refused(b"BREW /health HTTP/1.1\r\n" + self.HOST + b"\r\n", 501)
        self.refused(b"CONNECT localhost:80 HTTP/1.1\r\n" + self.HOST + b"\r\n", 501)
        self.refused(b"TRACE / HTTP/1.1\r\n" + self.HOST + b"\r\n", 501)
        self.refused(b"get /health HTTP/1.1\r\n" + self.HOST + b"\r\n", 501)

    def test_host(self):
        for headers in (b"", b"Host: a\r\nHost: b\r\n", b"Host: localhost\r\nHost: localhost\r\n", b"Host: a b\r\n",
                        b"Host: a/b\r\n", b"Host: localhost:99999\r\n", b"Host: [::1\r\n", b"Host: a@b\r\n"):
            with self.subTest(headers=headers):
                self.refused(b"GET /health HTTP/1.1\r\n" + headers + b"\r\n", 400, "MALFORMED")
        answers = self.statuses(self.raw(b"GET /live HTTP/1.0\r\n\r\n"))
        self.assertEqual([a[0] for a in answers], [200], "HTTP/1.0 needs no Host")

    def test_lines(self):
        for request in (b"GET /health HTTP/1.1\nHost: localhost\n\n", b"GET /health HTTP/1.1\r\nHost: localhost\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
                        b"GET /health HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX\t: y\r\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x01b\r\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost: localhost\r\n: b\r\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost: localhost\r\nnothing\r\n\r\n",
                        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX(: b\r\n\r\n",
                        b"GET /health HTTP/1.1\rHost: localhost\r\r\n\r\n",
                        b"\n\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with self.subTest(request=request):
                self.refused(request, 400, "MALFORMED")

    def post(self, headers, body=b""):
        return b"POST " + JOBS.encode(
        ) + b"?dry_run=true HTTP/1.1\r\n" + self.HOST + b"Content-Type: application/json\r\n" + headers + b"\r\n" + body

    def test_lengths(self):
        smuggled = b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for headers in (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: 5, 6\r\n",
                        b"Content-Length: 5, 5\r\n", b"Content-Length: 5\r\nContent-Length: 5\r\n", b"Content-Length: -1\r\n",
                        b"Content-Length: +5\r\n", b"Content-Length: 0x5\r\n", b"Content-Length: 5 5\r\n",
                        b"Content-Length:\r\n", b"Content-Length: " + b"9" * 19 + b"\r\n",
                        b"Content-Length: 44\r\nTransfer-Encoding: chunked\r\n",
                        b"Transfer-Encoding: chunked\r\nContent-Length: 44\r\n"):
            with self.subTest(headers=headers):
                self.refused(self.post(headers, smuggled), 400, "MALFORMED")

    def test_transfer_encodings(self):
        for value in (b"xchunked", b"chunked, gzip", b"gzip", b"gzip, chunked", b"identity"):
            with self.subTest(value=value):
                self.refused(self.post(b"Transfer-Encoding: " + value + b"\r\n", b"0\r\n\r\n"), 501)
        for headers in (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                        b"Transfer-Encoding: chunked, chunked\r\n", b"Transfer-Encoding:\r\n"):
            with self.subTest(headers=headers):
                answers = self.statuses(self.raw(self.post(headers, b"0\r\n\r\n")))
                self.assertEqual(len(answers), 1)
                self.assertIn(answers[0][0], (400, 501))
        old = self.post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")
        self.refused(old, 400, "MALFORMED")

    def chunked(self, body):
        return self.post(b"Transfer-Encoding: chunked\r\n", body)

    def test_good_chunks(self):
        half = len(self.JOB) // 2
        pieces = (self.JOB[:half], self.JOB[half:])
        plain = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
        extended = b"".join(b"%X;name=value;q=\"a b\"\r\n%s\r\n" % (len(p), p) for p in pieces)
        for body in (plain + b"0\r\n\r\n", extended + b"0\r\nTrailer: x\r\n\r\n", b"0000" + plain + b"000\r\n\r\n"):
            with self.subTest(body=body):
                answers = self.statuses(self.raw(self.chunked(body)))
                self.assertEqual([a[0] for a in answers], [200], answers)
                self.assertEqual(json.loads(answers[0][2])["name"], "smuggled")

    def test_bad_chunks(self):
        for body in (b"5\r\n{\"a\":1}\r\n0\r\n\r\n", b"2\r\n{}0\r\n\r\n", b"2\r\n{}\n0\r\n\r\n", b"2\n{}\r\n0\r\n\r\n",
                     b"x\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b" 2\r\n{}\r\n0\r\n\r\n", b"\r\n",
                     b"2;a\nb\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"):
            with self.subTest(body=body):
                answers = self.statuses(self.raw(self.chunked(body)))
                self.assertEqual(len(answers), 1, answers)
                self.assertIn(answers[0][0], (400, 413), answers)
                self.assertEqual(answers[0][1][b"connection"].lower(), b"close")
        self.refused(self.chunked(b"2;" + b"x" * 300 + b"\r\n{}\r\n0\r\n\r\n"), 400)
        answers = self.statuses(self.raw(self.chunked(b"2\r\n{}\r\n0\r\n" + b"X: " + b"y" * 5000 + b"\r\n\r\n")))
        self.assertIn(answers[0][0], (400, 431))

    def test_too_much_of_headers(self):
        self.refused(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 65536 + b"\r\n\r\n", 431)
        self.refused(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 2000 + b"\r\n", 431)
        self.refused(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431)
        self.refused(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414)
        self.refused(b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414)
        ok = self.statuses(self.raw(b"GET /live HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 99 + b"\r\n"))
        self.assertEqual([a[0] for a in ok], [200])

    def drip(self, first, drop):
        """Sends `first`, then a byte now and then, until the answer comes; returns it and how long that took."""
        connection = self.connect()
        begun = time.monotonic()
        connection.sendall(first)
        connection.settimeout(0.1)
        data = b""
        while time.monotonic() - begun < 15:
            try:
                piece = connection.recv(65536)
                if not piece:
                    break
                data += piece
            except TimeoutError:
                pass
            except ConnectionResetError:
                break
            try:
                connection.send(drop)
            except OSError:
                pass
        return self.statuses(data), time.monotonic() - begun

    def test_drips_do_not_hold_a_connection(self):
        """The read timeout here is 1 s; the answer comes within a second of it, and then the connection is closed."""
        for first, drop in ((b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", b"a"), (b"G", b"E"),
                            (self.post(b"Content-Length: 60000\r\n",
                                       b"{"), b" "), (self.chunked(b"1\r\n{\r\n"), b"1\r\n \r\n")):
            with self.subTest(first=first):
                answers, took = self.drip(first, drop)
                self.assertEqual([a[0] for a in answers], [408], answers)
                self.assertGreater(took, 0.9)
                self.assertLess(took, 4)  # the deadline, the second of its tick, the second that input is thrown away for

    def test_a_silent_connection_is_left_alone_until_idle(self):
        connection = self.connect()
        connection.settimeout(2.5)
        with self.assertRaises(TimeoutError):
            connection.recv(1)
        connection.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertEqual([a[0] for a in self.statuses(self.read_all(connection))], [200])

    def test_byte_by_byte(self):
        request = self.post(b"Content-Length: %d\r\nConnection: close\r\n" % len(self.JOB), self.JOB)
        connection = self.connect()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(request)):
            connection.send(request[i:i + 1])
        self.assertEqual([a[0] for a in self.statuses(self.read_all(connection))], [200])

    def test_expect(self):
        connection = self.connect()
        connection.sendall(self.post(b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n" % len(self.JOB)))
        self.assertEqual(connection.recv(65536), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(self.JOB)
        self.assertEqual([a[0] for a in self.statuses(self.read_all(connection))], [200])
        self.refused(self.post(b"Expect: 200-ok\r\nContent-Length: 2\r\n", b"{}"), 417)

    def test_a_refusal_comes_before_a_body_that_is_too_large(self):
        connection = self.connect()
        connection.sendall(self.post(b"Content-Length: 99999999\r\nExpect: 100-continue\r\n"))
        answers = self.statuses(self.read_all(connection))
        self.assertEqual([a[0] for a in answers], [413])

    def test_what_follows_a_refusal_is_not_read(self):
        good = b"POST " + JOBS.encode(
        ) + b" HTTP/1.1\r\n" + self.HOST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
            self.JOB) + self.JOB
        self.refused(b"GET /health HTTP/1.1\r\n\r\n" + good, 400)


class BodyTest(BadInputCase):
    OK = {"name": "x", "schedule": "@manually", "command": "true"}

    def send(self, body, headers=None):
        return self.node.post(JOBS, body, headers=headers)

    def test_json_with_position(self):
        for body, where in ((b'{"name": }', "line 1"), (b'{\n  "name": "x",\n  "a": tru\n}',
                                                        "line 3"), (b'{"a": 1,}', "line 1"), (b"{'a': 1}", "line 1"),
                            (b'{"a": 01}', "line 1"), (b'{"a": +1}', "line 1"), (b'{"a": .5}', "line 1"),
                            (b'{"a": NaN}', "line 1"), (b'{"a": 1e999}', "line 1"), (b'{"a": "x\ny"}', "line 1"),
                            (b'{"a": "\\q"}', "line 1"), (b'{"a": "\\ud800"}', "line 1"), (b'{"a": "\\u0000"}', "line 1"),
                            (b'{"a" 1}', "line 1"), (b'{"a": 1} x', "line 1"), (b'{"a": 1}{"b": 2}', "line 1"),
                            (b'{"a": [1, 2}', "line 1"), (b'\n\n\n{"a"', "line 4"), (b'{"a": /* c */ 1}', "line 1"),
                            (b'{"a": ' + b"9" * 100 + b"}", "line 1"), (b'{"a": 1, "a": 2}',
                                                                        "line 1"), (b'{"b": {"a": 1, "a": 2}}', "line 1"),
                            (b'{"name": "\xff"}', "line 1"), (b'{"name": "\xc0\xaf"}',
                                                              "line 1"), (b'{"name": "\xed\xa0\x80"}',
                                                                          "line 1"), (b"[" * 40 + b"]" * 40, "line 1"),
                            (b"[" * 30000, "line 1"), (b'{"a":' * 5000, "line 1"), (b"\x00", "line 1"), (b"nul", "line 1")):
            with self.subTest(body=body[:60]):
                document = self.problem(self.send(body), 400, "MALFORMED")
                self.assertIn(where, document["detail"])
        for body in (b"", b"[]", b'"x"', b"1", b"null", b"true"):
            with self.subTest(body=body):
                self.problem(self.send(body), 400, "MALFORMED")

    def test_duplicate_keys_are_named(self):
        self.assertIn('"name"', self.problem(self.send(b'{"name": "a", "name": "b"}'), 400, "MALFORMED")["detail"])

    def test_wrong_types(self):
        wrong = {
            "name": [1, None, {}, [], True, ""],
            "description": [1, {}, []],
            "schedule": [1, {}, [], True, [1], [["@hourly"]], ["@hourly"] * 17],
            "timezone": [1, {}, ""],
            "enabled": ["true", 1, {}],
            "timeout": [5, "5", "-1s", "0", "1x", "999999999999d", {}],
            "concurrency": ["queue", "FORBID", 1],
            "max_concurrent": [0, 1001, 1.5, "5", -1, 1e300],
            "catchup_window": ["1s", 5, "never"],
            "catchup_limit": [0, 10001, 2.5],
            "missed_run_policy": ["all", 1],
            "on_node_loss": ["x", 1],
            "on_lease_loss": ["x", True],
            "dst_gap": ["x"],
            "dst_overlap": [1],
            "day_match": ["x"],
            "tags": [[], "x", {"a b": "c"}, {"a": 1}, {"": "x"}, {"k" * 64: "v"}, {"k": "v" * 256}, {"k": "a\u0001"},
                     {f"k{i}": "v" for i in range(65)}],
            "retry_policy": [[], "x", 5],
            "config": [[], "x"],
            "placement": ["x", {"all": "x"}, 1, [], {"tags": []}, {"tags": {"a": 1}}, {"tags": {"a b": "c"}}, {"tags": {"k": "v" * 64}},
                          {"tags": {f"k{i}": "v" for i in range(17)}}, {"nodes": 1}],
        }
        for field, values in wrong.items():
            for value in values:
                with self.subTest(field=field, value=value):
                    body = {**self.OK, field: value}
                    if field == "config":
                        body = {"name": "x", "schedule": "@manually", "executor": "shell", "config": value}
                    document = self.problem(self.send(body), 422, "INVALID")
                    self.assertTrue(any(e["field"].startswith("/" + field) for e in document["errors"]), document)
        for field, values in {
                "max_attempts": [0, 101, 1.5, "3"], "initial_interval": ["1ms", 5, "2d"], "max_interval": ["8d", 1],
                "multiplier": [0.5, 101, "2"], "jitter": [-0.1, 1.1, "x"]
        }.items():
            for value in values:
                with self.subTest(field=field, value=value):
                    self.problem(self.send({**self.OK, "retry_policy": {field: value}}), 422, "INVALID",
                                 field=f"/retry_policy/{field}")
        self.problem(self.send({**self.OK, "retry_policy": {"initial_interval": "10s", "max_interval": "1s"}}), 422, "INVALID",
                     field="/retry_policy/max_interval")

    def test_names(self):
        for name in ("", " ", "a b", "a/b", "a\nb", "a\x7fb", "a\tb", "é", "日本", "💣", "a\u202eb", "..", ".a", "-a", "a?b",
                     "a#b", "a%b", "a\\b", "a:b", "a;b", "a'b", "a\"b", "<b>", "x" * 129, "job_x", "exec_x",
                     "job_00000000000000000000000000", "é" * 64):
            with self.subTest(name=name):
                document = self.problem(self.send({**self.OK, "name": name}), 422, "INVALID", field="/name")
                json.dumps(document)
        self.problem(self.send(b'{"name": "a\\u0000b", "schedule": "@manually", "command": "true"}'), 400, "MALFORMED")

    def test_schedules(self):
        for schedule in ("", " ", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *",
                         "* * * 13 *", "* * * * 8", "a * * * *", "*/0 * * * *", "*/61 * * * *", "5-1-2 * * * *",
                         "1,,2 * * * *", ", * * * *", "1- * * * *", "- * * * *", "*/ * * * *", "* * * JANUARY *", "@reboot",
                         "@hourl", "@", "@every", "@every x", "@every 0s", "@every 999ms", "@every -5s", "@every 99999d",
                         "@at", "@at yesterday", "@at 2020-01-01T00:00:00Z", "@at 2027-13-01T00:00:00Z",
                         "@at 2027-02-30T00:00:00Z", "TZ=UTC 0 9 * * *", "CRON_TZ=UTC 0 9 * * *", "0 0 30 2 *",
                         "0 0 31 4,6,9,11 *", "0 0 0 31 2 *", "* * * * *\n* * * * *", "é * * * *", "0 0 1 1 * 2027",
                         "99999999999999999999 * * * *", "*" * 2000, "1," * 600 + "1 * * * *", "R5/x/PT1H", "0 0 W * *",
                         "0 0 * * MONDAY"):
            with self.subTest(schedule=schedule[:60]):
                self.problem(self.send({**self.OK, "schedule": schedule}), 422, "INVALID", field="/schedule")
        self.problem(self.send({**self.OK, "schedule": ["@hourly", "0 0 30 2 *", "x"]}), 422, "INVALID", field="/schedule/1")

    def test_zones(self):
        for zone, near in (("Europe/Berln", "Europe/Berlin"), ("america/new_york", "America/New_York"),
                           ("Mars/Olympus", None), ("/etc/passwd", None), ("../../etc/passwd", None), ("Europe", None),
                           ("posixrules/../UTC", None), ("zone.tab", None), ("EST5EDT4,M1", None), ("UTC ", None),
                           (":UTC", None), ("x" * 300, None), ("Europe/Berlin\n", None), ("é", None)):
            with self.subTest(zone=zone):
                document = self.problem(self.send({**self.OK, "timezone": zone}), 422, "INVALID", field="/timezone")
                if near:
                    self.assertIn(near, document["detail"])

    def test_configs(self):
        def shell(config):
            return self.send({"name": "x", "schedule": "@manually", "executor": "shell", "config": config})

        def web(config):
            return self.send({"name": "x", "schedule": "@manually", "executor": "http", "config": config})

        for config in ({}, {"command": "a", "argv": ["b"]}, {"argv": []}, {"argv": [1]}, {"command": ""}, {"command": 1},
                       {"command": "x", "env": {"A=B": "c"}}, {"command": "x", "env": {"CHRONOS_JOB_ID": "c"}},
                       {"command": "x",
                        "env": {"": "c"}}, {"command": "x",
                                            "cwd": "relative"}, {"command": "x",
                                                                 "umask": "999"}, {"command": "x", "kill_signal": "KILL"},
                       {"command": "x",
                        "success_exit_codes": [256]}, {"command": "x",
                                                       "success_exit_codes": ["0"]}, {"command": "x", "user": "root"}):
            with self.subTest(config=config):
                self.problem(shell(config), 422, "INVALID")
        for config in ({}, {"url": ""}, {"url": "ftp://x/"}, {"url": "http://"}, {"url": "http://user:pw@x/"}, {"url": "x"},
                       {"url": "file:///etc/passwd"}, {"url": "http://x/\r\nX: y"}, {"url": "http://x/", "method": "BREW"},
                       {"url": "http://x/", "headers": {"A\r\nB": "c"}}, {"url": "http://x/", "headers": {"A": "b\r\nC: d"}},
                       {"url": "http://x/", "headers": {"Content-Length": "5"}}, {"url": "http://x/", "body": "{{.Nothing}}"},
                       {"url": "http://x/", "method": "GET",
                        "body": "x"}, {"url": "http://x/",
                                       "success_codes": ["9xx"]}, {"url": "http://x/", "auth": {"type": "magic"}},
                       {"url": "http://x/", "timeout": "soon"}, {"url": "http://x/", "headers": {"X-Chronos-Attempt": "9"}}):
            with self.subTest(config=config):
                self.problem(web(config), 422, "INVALID")

    def test_too_large(self):
        big = json.dumps({**self.OK, "description": "x" * 70000})
        self.problem(self.send(big), 413, "TOO_LARGE")
        pieces = [big[i:i + 1000].encode() for i in range(0, len(big), 1000)]
        connection = socket.create_connection(("127.0.0.1", self.node.port), timeout=10)
        self.addCleanup(connection.close)
        connection.sendall(
            b"POST " + JOBS.encode() +
            b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for piece in pieces:
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        except OSError:
            pass  # it has answered already
        self.assertTrue(self.read_all(connection).startswith(b"HTTP/1.1 413 "))
        self.problem(self.send({**self.OK, "description": "x" * 4097}), 422, "INVALID", field="/description")

    def test_types_of_body(self):
        body = json.dumps(self.OK)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
                     "application/jsonx", "", "x", "application/problem+json"):
            with self.subTest(kind=kind):
                self.problem(self.send(body, {"Content-Type": kind}), 415, "UNSUPPORTED_MEDIA")
                self.problem(self.node.post(f"{JOBS}/witness/trigger", "{}", headers={"Content-Type": kind}), 415,
                             "UNSUPPORTED_MEDIA")
        answers = self.statuses(
            self.raw(b"POST " + JOBS.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) +
                     body.encode()))
        self.assertEqual([a[0] for a in answers], [415])

    def test_other_sites(self):
        """A web page that somebody has open must not reach a node on the same machine."""
        port = self.node.port
        for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{port}"}, {"Host": "localhost.evil.example"},
                        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"http://localhost:{port + 1}"},
                        {"Origin": f"https://127.0.0.1.evil.example:{port}"
                         }, {"Origin": ""}, {"Host": "evil.example", "Origin": "http://evil.example"}):
            for verb, path, body in (("POST", JOBS, self.OK), ("DELETE", f"{JOBS}/witness", None),
                                     ("POST", f"{JOBS}/witness/trigger", None), ("POST", f"{JOBS}/witness/disable", None),
                                     ("PATCH", f"{JOBS}/witness", {}), ("PUT", f"{JOBS}/witness", self.OK)):
                with self.subTest(headers=headers, verb=verb, path=path):
                    self.problem(self.node.request(verb, path, body, headers=headers), 403, "FORBIDDEN")
        for headers in ({"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}, {"Host": "127.0.0.1"},
                        {"Host": "[::1]:80"}, {"Host": "node-1"}):
            with self.subTest(headers=headers):
                self.assertEqual(self.node.post(f"{JOBS}?dry_run=true", self.OK, headers=headers).status, 200)
        self.assertEqual(self.node.executions("witness"), [])


class ExtremeTest(BadInputCase):
    """Values at their limits: what is accepted must also be applied, run and read back, and survive a restart."""

    def tearDown(self):
        for job in self.node.get(JOBS + "?limit=1000").json["jobs"]:
            if job["name"] != "witness":
                self.assertEqual(self.node.delete(f"{JOBS}/{job['name']}").status, 204)
        super().tearDown()

    def test_largest_values(self):
        job = self.node.create(
            name="n" * 128, description="é" * 2048, schedule=["@every 3653d"] + [f"{i} 0 1 1 *" for i in range(15)],
            command="true", timeout="365d", concurrency="allow", max_concurrent=1000, catchup_window="3650d",
            catchup_limit=10000, timezone="America/Argentina/ComodRivadavia", retry_policy={
                "max_attempts": 100, "initial_interval": "1d", "max_interval": "7d", "multiplier": 100, "jitter": 1
            }, tags={f"{i:02}/" + "k" * 60: "v" * 255 for i in range(64)})
        run = self.node.ended(self.node.trigger(job["id"])["id"])
        self.assertEqual(run["status"], "success")
        self.node.create(
            name="smallest", schedule="@every 1s", enabled=False, command="true", timeout="100ms", max_concurrent=1,
            catchup_window="10s", catchup_limit=1, retry_policy={
                "max_attempts": 1, "initial_interval": "100ms", "max_interval": "100ms", "multiplier": 1, "jitter": 0
            })
        before = self.node.get(JOBS).json
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        self.assertEqual(self.node.get(JOBS).json, before)

    def test_far_instants(self):
        for at in ("2026-11-23T00:00:00Z", "9999-12-31T23:59:59.999Z", "2262-04-12T00:00:00Z", "2099-06-30T23:59:60Z",
                   "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "99999-01-01T00:00:00Z",
                   "2099-01-01T00:00:00.0000000000001Z"):
            with self.subTest(at=at):
                answer = self.node.post(JOBS, {"name": "far", "schedule": f"@at {at}", "command": "true"})
                if answer.status == 201:
                    self.assertEqual(self.node.get(f"{JOBS}/far/upcoming").status, 200)
                    self.assertEqual(self.node.delete(f"{JOBS}/far").status, 204)
                else:
                    self.problem(answer, 422, "INVALID", field="/schedule")
        self.node.create(name="century", schedule="0 0 29 2 *", command="true")
        for start in ("2096-03-01T00:00:00Z", "9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "1900-01-01T00:00:00Z",
                      "0001-01-01T00:00:00Z"):
            with self.subTest(start=start):
                answer = self.node.get(f"{JOBS}/century/upcoming?count=3&from={start}")
                self.assertIn(answer.status, (200, 400), answer)

    def test_ids_that_nobody_gave(self):
        """All-zero and all-one ids, as paths and as cursors: entries made of these once ended the node."""
        for digits in ("0" * 26, "7" + "z" * 25, "0" * 25 + "1"):
            for verb, path in (("POST", f"/api/v1/executions/exec_{digits}/cancel"), ("GET",
                                                                                      f"/api/v1/executions/exec_{digits}"),
                               ("GET", f"/api/v1/executions/exec_{digits}/output"), ("DELETE", f"{JOBS}/job_{digits}"),
                               ("POST", f"{JOBS}/job_{digits}/trigger"), ("POST",
                                                                          f"{JOBS}/witness/executions/exec_{digits}/cancel")):
                with self.subTest(verb=verb, path=path):
                    self.problem(self.node.request(verb, path), 404, "NOT_FOUND")
        for kind in ("e", "j", "n", "a", "m"):
            for key in (b"\0", b"\0" * 16, b"\xff" * 16, b"\xff" * 200):
                cursor = base64.urlsafe_b64encode(kind.encode() + key).decode().rstrip("=")
                for path in (JOBS, f"{JOBS}?sort=created_at", "/api/v1/executions", f"{JOBS}/witness/executions",
                             f"{JOBS}/witness/missed"):
                    with self.subTest(kind=kind, key=key, path=path):
                        answer = self.node.get(path + ("&" if "?" in path else "?") + "cursor=" + cursor)
                        self.assertIn(answer.status, (200, 400), answer)

    def test_overrides_at_the_limit(self):
        self.node.create(name="bulky", schedule="@manually", command="true", concurrency="allow")
        run = self.node.trigger("bulky", config={"env": {f"K{i}": "v" * 50 for i in range(600)}})
        self.assertEqual(self.node.ended(run["id"])["status"], "success")
        self.problem(self.node.post(f"{JOBS}/bulky/trigger", {"config": {"env": {f"K{i}": "v" for i in range(2000)}}}), 422,
                     "INVALID")


class GarbageTest(BadInputCase):
    def test_thousands_of_garbage_connections(self):
        rng = random.Random(20261123)
        good = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        errors = []

        def throw(seed):
            mine = random.Random(seed)
            for _ in range(500):
                kind = mine.randrange(5)
                data = (mine.randbytes(mine.randrange(1, 400))
                        if kind == 0 else good[:mine.randrange(len(good))] if kind == 1 else bytes(
                            b if mine.random() > 0.05 else mine.randrange(256)
                            for b in good) if kind == 2 else b"" if kind == 3 else good * 20)
                try:
                    connection = socket.create_connection(("127.0.0.1", self.node.port), timeout=10)
                    connection.sendall(data)
                    if mine.random() < 0.5:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                              b"\1\0\0\0\0\0\0\0")  # an RST instead of a FIN
                    connection.close()
                except ConnectionResetError:
                    pass
                except OSError as error:
                    errors.append(error)
        threads = [threading.Thread(target=throw, args=(rng.random(),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        slowest = 0
        while any(t.is_alive() for t in threads):
            begun = time.monotonic()
            self.assertEqual(self.node.get("/health").status, 200)
            slowest = max(slowest, time.monotonic() - begun)
        self.assertEqual(errors, [])
        self.assertLess(slowest, 5)
        wait_for(lambda: self.node.metric("chronos_http_connections") <= 2, "every connection to be closed")

    def test_idle_connections_cost_little(self):
        before = self.node.metric("process_resident_memory_bytes")
        held = [self.connect() for _ in range(800)]
        wait_for(lambda: self.node.metric("chronos_http_connections") >= 800, "the connections")
        self.assertEqual(self.node.get("/health").status, 200)
        self.assertLess(self.node.metric("process_resident_memory_bytes") - before, 800 * 8192 + (4 << 20))
        for connection in held:
            connection.close()
        wait_for(lambda: self.node.metric("chronos_http_connections") <= 2, "every connection to be closed")


if __name__ == "__main__":
    unittest.main()
