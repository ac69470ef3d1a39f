# ctest: once timeout=300
"""Snapshots are downloaded: whole, by a slow client too, and while newer ones take their place."""
import base64
import hashlib
import os
import socket
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from harness import BUILD, Node, TestCase, wait_for
from members import QUIET

PATH = "/api/v1/cluster/snapshot"
KEEP_ONE = "cluster: {raft: {retain_snapshots: 1}}"


def take(node, **more):
    answer = node.post(PATH, **more)
    assert answer.status == 201, answer
    return answer.json


def fill(node, count=100):
    """More than the kernel buffers on both ends of a connection, and nothing that compresses well."""
    for i in range(count):
        text = base64.b64encode(os.urandom(90_000)).decode()
        node.create(name=f"large-{i}", schedule="@manually", command=f"true {text}")


class SlowClient:
    """Takes nothing before it is told to."""

    def __init__(self, node, identifier):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", node.port))
        self.socket.sendall(f"GET {PATH}/{identifier} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        self.read = b""
        while b"\r\n\r\n" not in self.read:
            self.read += self.socket.recv(512)

    def rest(self):
        with self.socket:
            parts = [self.read]
            while part := self.socket.recv(1 << 20):
                parts.append(part)
        return b"".join(parts).split(b"\r\n\r\n", 1)[1]


def open_files(node):
    """Its snapshots that it has open, removed or not."""
    found = []
    for fd in os.listdir(f"/proc/{node.process.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{node.process.pid}/fd/{fd}")
        except OSError:
            continue
        if "/snapshots/snapshot-" in target:
            found.append(target)
    return found


class Download(TestCase):
    def test_the_bytes_of_the_file(self):
        with Node() as node:
            for i in range(20):
                node.create(name=f"job-{i}", **QUIET)
            made = take(node)
            answer = node.get(f"{PATH}/{made['id']}")
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.body, Path(made["file"]).read_bytes())
            self.assertEqual(answer.headers["Content-Type"], "application/octet-stream")
            self.assertEqual(answer.headers["Content-Disposition"], f'attachment; filename="{made["id"]}"')
            head = node.request("HEAD", f"{PATH}/{made['id']}")
            self.assertEqual((head.status, head.body, int(head.headers["Content-Length"])), (200, b"", made["size_bytes"]))
            self.assertEqual(open_files(node), [])

    def test_what_is_not_there(self):
        with Node() as node:
            made = take(node)
            index = made["index"]
            for name in (f"snapshot-{index + 1}", f"snapshot-0{index}", f"{index}", "snapshot-", "snapshot-x", f"snapshot-{index}.tmp",
                         f"snapshot-{index}%00", "incoming", "..%2f..%2fchronos.yaml", "snapshot-" + "9" * 300):
                answer = node.get(f"{PATH}/{name}")
                if answer.status != 400: # it is no path at all
                    self.problem(answer, 404, "NOT_FOUND")
            self.problem(node.get(f"{PATH}/snapshot-9"), 404, "NOT_FOUND", "this node keeps no such snapshot")
            self.problem(node.get(f"{PATH}/{made['id']}?x=1"), 400, "MALFORMED")
            self.assertEqual(node.delete(f"{PATH}/{made['id']}").status, 405)
            os.truncate(made["file"], made["size_bytes"] - 1)
            self.problem(node.get(f"{PATH}/{made['id']}"), 500, "INTERNAL", "store check")
            os.remove(made["file"])
            self.problem(node.get(f"{PATH}/{made['id']}"), 404, "NOT_FOUND")

    def test_a_token_is_needed(self):
        with tempfile.TemporaryDirectory(prefix="chronos-test-") as folder:
            tokens = Path(folder) / "tokens"
            secret = "0123456789abcdef0123456789abcdef"
            tokens.write_text(f"ci:{hashlib.sha256(secret.encode()).hexdigest()}\n")
            tokens.chmod(0o600)
            with Node(config=f"auth: {{tokens_file: {tokens}}}") as node:
                bearer = {"Authorization": f"Bearer {secret}"}
                made = take(node, headers=bearer)
                self.problem(node.get(f"{PATH}/{made['id']}"), 401, "UNAUTHENTICATED")
                self.assertEqual(len(node.get(f"{PATH}/{made['id']}", headers=bearer).body), made["size_bytes"])

    def test_it_is_removed_meanwhile(self):
        with Node(config=KEEP_ONE) as node:
            fill(node)
            made = take(node)
            wanted = Path(made["file"]).read_bytes()
            self.assertGreater(len(wanted), 8 << 20)
            slow = SlowClient(node, made["id"])
            node.create(name="newer", **QUIET)
            newer = take(node)
            wait_for(lambda: not os.path.exists(made["file"]), "the older one to be removed")
            self.problem(node.get(f"{PATH}/{made['id']}"), 404, "NOT_FOUND")
            self.assertEqual(len(open_files(node)), 1)
            self.assertEqual(node.get(f"{PATH}/{newer['id']}").body, Path(newer["file"]).read_bytes()) # nobody waits for the slow one
            self.assertEqual(hashlib.sha256(slow.rest()).digest(), hashlib.sha256(wanted).digest())
            wait_for(lambda: not open_files(node), "the file to be closed")

    def test_clients_that_go_away(self):
        with Node() as node:
            fill(node)
            made = take(node)
            for _ in range(5):
                SlowClient(node, made["id"]).socket.close()
            slow = [SlowClient(node, made["id"]) for _ in range(16)]
            answer = node.get(f"{PATH}/{made['id']}")
            self.problem(answer, 503, "OVERLOADED")
            bodies = []
            threads = [threading.Thread(target=lambda s=s: bodies.append(hashlib.sha256(s.rest()).digest())) for s in slow]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(set(bodies), {hashlib.sha256(Path(made["file"]).read_bytes()).digest()})
            self.assertEqual(len(bodies), 16)
            wait_for(lambda: not open_files(node), "the files to be closed")
            last = SlowClient(node, made["id"])
            self.assertEqual(node.stop(), 0) # it waits for nobody for ever
            last.socket.close()


class Commands(TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="chronos-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def ctl(self, node, *arguments, code=0):
        done = subprocess.run([BUILD / "bin" / "chronosctl", "--server", f"127.0.0.1:{node.port}", "cluster", "snapshot", *arguments],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done)
        return done.stdout if code == 0 else done.stderr

    def test_into_a_file(self):
        with Node() as node:
            fill(node, 20)
            target = self.folder / "backup"
            shown = self.ctl(node, "-f", str(target))
            self.assertEqual(shown, f"{target} fetched from node {node.get('/api/v1/cluster/status').json['node_id']}\n")
            made = node.get(PATH).json["snapshots"][0]
            self.assertEqual(target.read_bytes(), Path(made["file"]).read_bytes())
            self.assertEqual(target.stat().st_mode & 0o777, 0o600)
            node.create(name="one-more", **QUIET)
            self.assertEqual(self.ctl(node, "--file", str(target), "-o", "name"), f"{node.get(PATH).json['snapshots'][0]['id']}\n") # replaced
            self.assertEqual(target.read_bytes(), Path(node.get(PATH).json["snapshots"][0]["file"]).read_bytes())
            self.assertEqual(os.listdir(self.folder), ["backup"])
            check = subprocess.run([BUILD / "bin" / "chronos", "store", "check", target], capture_output=True, text=True, timeout=60)
            self.assertEqual(check.returncode, 0, check)

    def test_where_it_cannot_be_kept(self):
        with Node() as node:
            self.assertIn("No such file", self.ctl(node, "-f", str(self.folder / "none" / "backup"), code=1))
            self.assertIn("not a regular file", self.ctl(node, "-f", str(self.folder), code=1))
            self.assertEqual(os.listdir(self.folder), [])


class Broken(TestCase):
    """A server that does not keep what it promises."""

    def fetch(self, body, size, length):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve():
            made = b'{"id": "snapshot-1", "node_id": "a", "size_bytes": %d, "file": "/x"}' % size
            for _ in range(2):
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    request = peer.recv(65536)
                    if request.startswith(b"POST"):
                        peer.sendall(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Type: application/json\r\n"
                                     b"Content-Length: %d\r\n\r\n" % len(made) + made)
                    else:
                        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % length + body)
        threading.Thread(target=serve, daemon=True).start()
        with tempfile.TemporaryDirectory(prefix="chronos-test-") as folder:
            done = subprocess.run([BUILD / "bin" / "chronosctl", "--server", f"127.0.0.1:{listener.getsockname()[1]}", "cluster",
                                   "snapshot", "-f", f"{folder}/backup"], capture_output=True, text=True, timeout=60)
            return done, os.listdir(folder)

    def test_the_right_size(self):
        done, left = self.fetch(b"12345", 5, 5)
        self.assertEqual((done.returncode, left), (0, ["backup"]), done)

    def test_cut_off(self):
        done, left = self.fetch(b"123", 5, 5)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(left, [], done)

    def test_another_size(self):
        done, left = self.fetch(b"1234", 5, 4)
        self.assertEqual((done.returncode, left), (1, []), done)
        self.assertIn("4 bytes came of 5", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
