"""Tokens guard the HTTP API: who is let in, who is not and what he is told, how the file is changed while nodes run."""
# ctest: once
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import unittest

from harness import BUILD, DEADLINE_S, Node, Receiver, TestCase, wait_for
from test_cluster import Member

CTL = BUILD / "bin" / "chronosctl"
CHRONOS = BUILD / "bin" / "chronos"
SANITIZERS = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
DONE, REFUSED, USAGE, UNREACHABLE = range(4)
JOB = {"name": "nightly", "schedule": "@manually", "command": "true"}


def token(n):
    return f"chr_{n:064x}"


def line(name, n):
    return f"{name}:{hashlib.sha256(token(n).encode()).hexdigest()}\n"


def bearer(n):
    return {"Authorization": f"Bearer {token(n)}"}


def ctl(node, *words, code=DONE, stdin="", environment=None):
    full = {"PATH": os.environ["PATH"], "CHRONOSCTL_SERVER": f"127.0.0.1:{node.port}" if node else "127.0.0.1:1", **SANITIZERS,
            **(environment or {})}
    done = subprocess.run([str(CTL), *map(str, words)], input=stdin.encode(), capture_output=True, env=full, timeout=DEADLINE_S)
    assert done.returncode == code, (words, done)
    return done.stdout.decode(), done.stderr.decode()


class Guarded(Node):
    """A node with two tokens: ci (1) and alice (2)."""

    def __init__(self, auth="", **more):
        super().__init__("", **more)
        self.tokens = self.work / "tokens"
        self.write(line("ci", 1) + line("alice", 2))
        self.config = f"auth: {{tokens_file: {self.tokens}{auth}}}\n"

    def write(self, text):
        self.tokens.write_text(text)
        self.tokens.chmod(0o600)

    def hangup(self, expected):
        """Sends SIGHUP and waits until the log says `expected` once more than before."""
        count = self.log().count(expected)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log().count(expected) > count, f"\"{expected}\" in the log")


class AuthCase(TestCase):
    def node(self, *arguments, **more):
        node = Guarded(*arguments, **more)
        self.addCleanup(node.close)
        return node.start()

    def refused(self, answer, contains):
        self.problem(answer, 401, "UNAUTHENTICATED", contains)
        self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="chronos"')
        self.assertNotIn("chr_", answer.body.decode())


class Requests(AuthCase):
    def test_who_is_let_in(self):
        node = self.node()
        for n in (1, 2):
            self.assertEqual(node.get("/api/v1/jobs", headers=bearer(n)).status, 200)
        self.assertEqual(node.get("/api/v1/jobs", headers={"authorization": f"bearer  {token(1)}"}).status, 200)
        self.assertEqual(node.post("/api/v1/jobs", JOB, headers=bearer(1)).status, 201)
        self.assertEqual(node.get("/api/v1/jobs/nightly?consistent=true", headers=bearer(2)).status, 200)
        self.assertEqual(node.delete("/api/v1/jobs/nightly", headers=bearer(2)).status, 204)

        self.refused(node.get("/api/v1/jobs"), "a token is needed")
        for header, says in ((token(3), "no other scheme"), (f"Bearer {token(3)}", "does not know the token"),
                             (f"Bearer {token(1)}0", "does not know the token"), (f"Basic {token(1)}", "no other scheme"),
                             ("Bearer", "no other scheme"), (f"Bearer {token(1)[:20]}", "is not a token"),
                             (f"Bearer {token(1)} {token(1)}", "is not a token")):
            with self.subTest(header=header):
                self.refused(node.get("/api/v1/jobs", headers={"Authorization": header}), says)
        for method, path in (("GET", "/metrics"), ("GET", "/api/v1/nothing"), ("GET", "/"), ("POST", "/api/v1/jobs"), ("GET", "/health/"),
                             ("DELETE", "/api/v1/cluster/nodes/node-1"), ("OPTIONS", "/api/v1/jobs"), ("GET", "/%6detrics"),
                             ("POST", "/api/v1/cluster/join"), ("GET", "/api/v1/jobs?consistent=true")):
            with self.subTest(method=method, path=path):
                self.refused(node.request(method, path, {} if method == "POST" else None), "a token is needed")
        for path in ("/health", "/live", "/ready", "/version"):
            self.assertEqual(node.get(path).status, 200)
            self.assertEqual(node.get(path, headers={"Authorization": "nonsense"}).status, 200)
        metrics = node.get("/metrics", headers=bearer(1)).body.decode()
        self.assertIn("chronos_http_unauthenticated_total 18\n", metrics)
        self.assertEqual(node.stop(), 0)
        for n in (1, 2, 3):
            self.assertNotIn(token(n)[:30], node.log())

    def test_two_headers(self):
        """One of them could be read by a proxy, the other by the node."""
        node = self.node()
        for first, second in ((1, 1), (1, 3), (3, 1)):
            connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=DEADLINE_S)
            connection.putrequest("GET", "/api/v1/jobs")
            connection.putheader("Authorization", f"Bearer {token(first)}")
            connection.putheader("authorization", f"Bearer {token(second)}")
            connection.endheaders()
            answer = connection.getresponse()
            self.assertEqual((answer.status, json.loads(answer.read())["code"]), (401, "UNAUTHENTICATED"))
            connection.close()

    def test_nobody_waits_for_the_body_of_a_stranger(self):
        node = self.node()
        for framing in ("Content-Length: 1000000", "Transfer-Encoding: chunked"):
            with self.subTest(framing=framing), socket.create_connection(("127.0.0.1", node.port), DEADLINE_S) as s:
                s.sendall(f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          f"Expect: 100-continue\r\n{framing}\r\n\r\n".encode())
                answer = b""
                while piece := s.recv(65536):  # until the node closes: it got no byte of the body
                    answer += piece
                self.assertTrue(answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n"), answer)
                self.assertIn(b"\r\nConnection: close\r\n", answer)
        with socket.create_connection(("127.0.0.1", node.port), DEADLINE_S) as s:
            s.sendall(f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      f"Authorization: Bearer {token(1)}\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n".encode())
            self.assertTrue(s.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n\r\n"))

    def test_the_connection_goes_on(self):
        node = self.node()
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=DEADLINE_S)
        for headers, status in (({}, 401), (bearer(1), 200), ({}, 401), (bearer(2), 200)):
            connection.request("GET", "/api/v1/jobs", headers=headers)
            answer = connection.getresponse()
            answer.read()
            self.assertEqual(answer.status, status)
        self.assertIsNotNone(connection.sock)
        connection.close()

    def test_anonymous_read(self):
        node = self.node(", anonymous: read")
        self.assertEqual(node.get("/api/v1/jobs").status, 200)
        self.assertEqual(node.request("HEAD", "/api/v1/jobs").status, 200)
        self.assertEqual(node.metric('chronos_insecure{what="http"}'), 0)
        self.refused(node.post("/api/v1/jobs", JOB), "a token is needed")
        self.refused(node.get("/api/v1/jobs", headers=bearer(3)), "does not know the token")
        self.assertEqual(node.post("/api/v1/jobs", JOB, headers=bearer(1)).status, 201)
        self.refused(node.delete("/api/v1/jobs/nightly"), "a token is needed")

    def test_beyond_loopback(self):
        """With tokens an open address is no insecure one."""
        node = self.node(environment={"CHRONOS_SERVER_HTTP_ADDRESS": "0.0.0.0:0", "CHRONOS_SECURITY_STRICT": "true"})
        self.assertEqual(node.get("/api/v1/jobs", headers=bearer(1)).status, 200)
        node.headers = bearer(1)
        self.assertEqual(node.metric('chronos_insecure{what="http"}'), 0)
        self.assertNotIn("insecure", node.log())
        off = Guarded(", enabled: false", environment={"CHRONOS_SERVER_HTTP_ADDRESS": "0.0.0.0:0", "CHRONOS_SECURITY_STRICT": "true"})
        self.addCleanup(off.close)
        off.spawn()
        self.assertEqual(off.wait_exit(), 78)
        self.assertRegex(off.log(), "without authentication; set auth.tokens_file")

    def test_switched_off(self):
        node = self.node(", enabled: false")
        self.assertEqual(node.post("/api/v1/jobs", JOB).status, 201)
        self.assertEqual(node.get("/api/v1/jobs", headers={"Authorization": "Basic x"}).status, 200)

    def test_the_socket_asks_too(self):
        node = Guarded()
        self.addCleanup(node.close)
        path = node.work / "s"
        node.config += f"server: {{http: {{unix_socket: {path}}}}}\n"
        node.start()
        out, err = ctl(node, "--server", f"unix://{path}", "job", "list", code=REFUSED)
        self.assertIn("a token is needed", err)
        ctl(node, "--server", f"unix://{path}", "job", "list", environment={"CHRONOS_TOKEN": token(1)})


class File(AuthCase):
    def test_read_again(self):
        node = self.node()
        node.write("# alice left\n" + line("ci", 3))
        self.assertEqual(node.get("/api/v1/jobs", headers=bearer(2)).status, 200)
        node.hangup("tokens read again count=1")
        self.refused(node.get("/api/v1/jobs", headers=bearer(1)), "does not know")
        self.refused(node.get("/api/v1/jobs", headers=bearer(2)), "does not know")
        self.assertEqual(node.get("/api/v1/jobs", headers=bearer(3)).status, 200)

        kept = "the old ones stay good"
        for text, mode, says in (("", 0o600, "no token stands in it"), ("ci:x\n", 0o600, "tokens:1: what stands behind the colon"),
                                 (line("a", 4) + token(5) + "\n", 0o600, "tokens:2: not"),
                                 (line("a", 4) + line("a", 5), 0o600, "tokens:2: the name of line 1"),
                                 (line("a", 4) + "\0" * 100, 0o600, "tokens:2: a NUL byte"),
                                 (line("a", 4), 0o620, "chmod go-w")):
            with self.subTest(says=says):
                node.write(text)
                node.tokens.chmod(mode)
                node.hangup(kept)
                self.assertIn(says, node.log().splitlines()[-2] + node.log().splitlines()[-1])
                self.assertEqual(node.get("/api/v1/jobs", headers=bearer(3)).status, 200)
                self.refused(node.get("/api/v1/jobs", headers=bearer(4)), "does not know")
        node.tokens.unlink()
        node.hangup(kept)
        self.assertEqual(node.get("/api/v1/jobs", headers=bearer(3)).status, 200)
        node.write(line("ci", 4))
        node.hangup("tokens read again count=1")
        self.assertEqual(node.get("/api/v1/jobs", headers=bearer(4)).status, 200)
        self.assertEqual(node.stop(), 0)
        self.assertNotRegex(node.log(), "chr_[0-9a-f]")

    def test_a_broken_file_at_start(self):
        for text, mode, says in ((None, 0, "No such file"), ("ci\n", 0o600, "tokens:1: not \"name:digest\""),
                                 (line("ci", 1), 0o666, "others than its owner can write it (mode 0666)")):
            with self.subTest(says=says):
                node = Guarded()
                self.addCleanup(node.close)
                if text is None:
                    node.tokens.unlink()
                else:
                    node.write(text)
                    node.tokens.chmod(mode)
                node.spawn()
                self.assertEqual(node.wait_exit(), 78)
                self.assertIn(f"chronos: auth.tokens_file: {node.tokens}", node.log())
                self.assertIn(says, node.log())
                self.assertFalse(node.data_dir.exists(), "refused before anything was touched")
                done = subprocess.run([str(CHRONOS), "config", "validate", "-f", "chronos.yaml"], cwd=node.work, capture_output=True,
                                      text=True, timeout=DEADLINE_S, env={"PATH": os.environ["PATH"], **SANITIZERS})
                self.assertEqual(done.returncode, 78)
                self.assertIn(says, done.stderr)


class Ctl(AuthCase):
    def test_a_token_from_nothing_to_use(self):
        """As the documentation shows it."""
        node = self.node()
        saved = node.work / "carol.token"
        out, err = ctl(None, "token", "generate", "carol", "--save", saved)
        self.assertRegex(out, r"\Acarol:[0-9a-f]{64}\n\Z")
        self.assertEqual((err, saved.stat().st_mode & 0o777), ("", 0o600))
        secret = saved.read_text().strip()
        self.assertRegex(secret, r"\Achr_[0-9a-f]{64}\Z")
        self.assertEqual(ctl(None, "token", "hash", "carol", stdin=saved.read_text()), (out, ""))
        self.assertEqual(ctl(None, "token", "generate", "x", "--save", saved, code=REFUSED)[0], "")
        self.assertEqual(saved.read_text().strip(), secret)
        node.write(node.tokens.read_text() + out)
        node.hangup("tokens read again count=3")
        out, err = ctl(node, "--token-file", saved, "job", "create", "--name", "nightly", "--schedule", "@manually", "--command", "true")
        self.assertEqual(err, "")
        self.assertEqual(ctl(node, "job", "list", "-o", "name", environment={"CHRONOS_TOKEN": secret}), ("nightly\n", ""))
        out, err = ctl(node, "job", "trigger", "nightly", "--wait", "--token-file", saved)
        self.assertEqual(err, "")

    def test_formats(self):
        out, err = ctl(None, "token", "generate", "dave")
        shown = re.search(r"chr_[0-9a-f]{64}", err)[0]
        self.assertEqual(out, f"dave:{hashlib.sha256(shown.encode()).hexdigest()}\n", "what >>tokens takes")
        made = json.loads(ctl(None, "token", "generate", "dave", "-o", "json")[0])
        self.assertEqual(made["line"], f"dave:{hashlib.sha256(made['token'].encode()).hexdigest()}")
        secret, added = ctl(None, "token", "generate", "dave", "-o", "name")[0].splitlines()
        self.assertEqual(added, f"dave:{hashlib.sha256(secret.encode()).hexdigest()}")
        self.assertNotIn("token", json.loads(ctl(None, "token", "hash", "dave", "-o", "json", stdin=secret + "\n")[0]))
        for words, stdin in ((("generate", "a b"), ""), (("generate", "-x"), ""), (("hash", "a:b"), secret), (("hash", "a"), "short\n"),
                             (("hash", "a"), ""), (("hash", "a"), secret + "\n" + secret), (("hash", "a"), "\0" * 40)):
            out, err = ctl(None, "token", *words, code=USAGE, stdin=stdin)
            self.assertEqual(out, "")
            self.assertNotIn(secret, err)

    def test_which_token(self):
        node = self.node()
        good, bad, broken = node.work / "good", node.work / "bad", node.work / "broken"
        for path, text in ((good, token(1) + "\r\n"), (bad, token(3)), (broken, "two words, perhaps " + token(1))):
            path.write_text(text)
            path.chmod(0o600)
        listing = ("job", "list")
        # The flag goes before the variable, whichever of the two is good.
        ctl(node, *listing, "--token-file", good, environment={"CHRONOS_TOKEN": token(3)})
        ctl(node, *listing, environment={"CHRONOS_TOKEN": token(2)})
        ctl(node, *listing, "--token-file", "/dev/stdin", stdin=token(1))
        for words, environment, code, says in (
                ((), {}, REFUSED, "a token is needed: name a file that holds it with --token-file, or put it into the variable "
                                  "CHRONOS_TOKEN"),
                ((), {"CHRONOS_TOKEN": ""}, REFUSED, "a token is needed"),
                (("--token-file", bad), {"CHRONOS_TOKEN": token(1)}, REFUSED, "does not know the token"),
                (("--token-file", broken), {}, USAGE, "broken holds no token"),
                (("--token-file", node.work / "none"), {}, USAGE, "No such file"),
                ((), {"CHRONOS_TOKEN": "x\r\nX-Other: y"}, USAGE, "the variable CHRONOS_TOKEN holds no token")):
            with self.subTest(says=says):
                out, err = ctl(node, *listing, *words, code=code, environment=environment)
                self.assertEqual(out, "")
                self.assertIn(says, err)
                self.assertNotIn("chr_", err)
        good.chmod(0o440)  # as a secret of Kubernetes, or for a group of its own
        self.assertEqual(ctl(node, *listing, "--token-file", good)[1], "")
        for mode in (0o644, 0o620):
            good.chmod(mode)
            out, err = ctl(node, *listing, "--token-file", good)
            self.assertRegex(err, r"\Achronosctl: warning: others can read or change the token in .*; chmod 600 it\n\Z")

    def test_no_token_follows_a_redirect(self):
        with Receiver() as elsewhere:
            with Receiver(lambda path, nth: (302, {"Location": elsewhere.url + path}, b"")) as first:
                out, err = ctl(None, "--server", first.url, "job", "list", code=REFUSED, environment={"CHRONOS_TOKEN": token(1)})
                self.assertEqual([r[2].get("Authorization") for r in first.received], [f"Bearer {token(1)}"])
                self.assertEqual(elsewhere.received, [])
                self.assertNotIn("chr_", err)


class Cluster(AuthCase):
    def test_three_nodes(self):
        """Each asks for itself; between each other they need none."""
        nodes = []
        for number in (1, 2, 3):
            node = Member(number, peers=nodes[:], bootstrap=number == 1)
            self.addCleanup(node.close)
            path = node.work / "tokens"
            path.write_text(line("ci", 1))
            path.chmod(0o600)
            node.config += f"auth: {{tokens_file: {path}}}\n"
            node.headers = bearer(1)
            nodes.append(node.start())
        wait_for(lambda: all(len(n.status()["peers"]) == 3 for n in nodes), "three members")
        follower = next(n for n in nodes if not n.status()["is_leader"])
        out, err = ctl(follower, "job", "create", "--name", "nightly", "--schedule", "@manually", "--command", "true",
                       environment={"CHRONOS_TOKEN": token(1)})
        self.assertEqual(err, "")
        for node in nodes:
            self.assertEqual(node.get("/api/v1/jobs/nightly?consistent=true").status, 200)
            self.assertEqual(node.get("/api/v1/jobs", headers={"Authorization": ""}).status, 401)
        out, err = ctl(follower, "cluster", "nodes", "-o", "name", environment={"CHRONOS_TOKEN": token(1)})
        self.assertEqual(sorted(out.split()), ["chronos-1", "chronos-2", "chronos-3"])


if __name__ == "__main__":
    unittest.main()
