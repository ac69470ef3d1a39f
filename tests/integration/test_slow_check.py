"""An executor's own check of a job takes its time: nobody else waits for it, and nothing is lost by it."""
# ctest: once
import http.client
import json
import resource
import shutil
import socket
import threading
import time
import unittest

from harness import BUILD, Node, TestCase, wait_for

JOBS = "/api/v1/jobs"
CHECKS_MAX = 1024  # API_CHECKS_MAX


class Asked:
    """A request on a connection of its own, whose answer is fetched later."""

    def __init__(self, node, method, path, body=None, headers=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        self.connection.request(method, path, json.dumps(body) if body is not None else None,
                                {"Content-Type": "application/json", **(headers or {})})

    def has_answer(self):
        self.connection.sock.setblocking(False)
        try:
            return self.connection.sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return False
        finally:
            self.connection.sock.setblocking(True)
            self.connection.sock.settimeout(60)

    def answer(self):
        answer = self.connection.getresponse()
        answer.body = answer.read()
        answer.json = json.loads(answer.body) if answer.body else None
        self.connection.close()
        return answer


class SlowCheckTest(TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        place = self.node.work / "plugins"
        place.mkdir(mode=0o755)
        shutil.copy(BUILD / "tests" / "abi" / "plugins" / "executor_slow_check.so", place / "slow.so")
        (place / "slow.so").chmod(0o644)
        self.node.config = (f"plugins: {{load: [{{path: {place}/slow.so}}]}}\nexecutors: {{slow: {{}}}}\n"
                            "server: {http: {max_connections: 10000}}\n")
        self.node.start()
        self.gate = self.node.work / "gate"

    def job(self, name, **more):
        config = {"gate": str(self.gate), **more.pop("config", {})}
        return {"name": name, "schedule": "@manually", "executor": "slow", "config": config, **more}

    def make(self, name):
        """Without a gate: checked at once."""
        return self.node.create(name=name, schedule="@manually", executor="slow")

    def ask(self, *request, **more):
        return Asked(self.node, *request, **more)

    def others_are_served(self):
        self.assertEqual(self.node.get("/live").status, 200)
        self.assertEqual(self.node.get(JOBS).status, 200)
        self.node.create(name="other", schedule="@manually", command="true")
        self.assertEqual(self.node.delete(f"{JOBS}/other").status, 204)
        self.node.create(name="another", schedule="@manually", webhook="http://127.0.0.1:9/")
        self.assertEqual(self.node.delete(f"{JOBS}/another").status, 204)

    def test_others_are_served(self):
        self.assertNotIn("slow plugin call", self.node.log())
        made, refused = self.ask("POST", JOBS, self.job("a")), self.ask("POST", JOBS, self.job("b", config={"refuse": True}))
        dry = self.ask("POST", f"{JOBS}?dry_run=true", self.job("c"))
        begun = time.monotonic()
        while time.monotonic() - begun < 0.5:  # longer than a call may take without being logged
            self.others_are_served()
        self.assertFalse(made.has_answer() or refused.has_answer() or dry.has_answer())
        self.gate.touch()
        answer = made.answer()
        self.assertEqual((answer.status, answer.headers["Location"]), (201, f"{JOBS}/{answer.json['id']}"))
        self.assertEqual(self.node.get(f"{JOBS}/a").json["config"], {"gate": str(self.gate)})
        answer = refused.answer()
        self.assertEqual((answer.status, answer.json["code"]), (422, "INVALID"))
        self.assertEqual(answer.json["errors"], [{"field": "/config", "message": "refused after a long time"}])
        answer = dry.answer()
        self.assertEqual((answer.status, answer.json["name"]), (200, "c"))
        wait_for(lambda: 'slow plugin call executor=slow call=validate' in self.node.log(), "the slow call to be logged")
        for name in "bc":
            self.assertEqual(self.node.get(f"{JOBS}/{name}").status, 404)

    def test_edits(self):
        for name in ("put", "patch", "bad", "match", "dry"):
            self.make(name)
        gate = {"gate": str(self.gate)}
        put = self.ask("PUT", f"{JOBS}/put", self.job("put", description="new"), headers={"If-Match": '"1"'})
        patch = self.ask("PATCH", f"{JOBS}/patch", {"config": gate, "description": "new"})
        bad = self.ask("PATCH", f"{JOBS}/bad", {"config": {**gate, "refuse": True}})
        match = self.ask("PATCH", f"{JOBS}/match", {"config": gate}, headers={"If-Match": '"1"'})
        dry = self.ask("PATCH", f"{JOBS}/dry?dry_run=true", {"config": gate, "name": "patch"})
        # Changed by others while the check goes on: what stands then counts.
        for name in ("patch", "match"):
            self.assertEqual(self.node.post(f"{JOBS}/{name}/disable").status, 200)
        self.gate.touch()
        answer = put.answer()
        self.assertEqual((answer.status, answer.headers["ETag"], answer.json["description"]), (200, '"2"', "new"))
        answer = patch.answer()
        self.assertEqual((answer.status, answer.json["version"], answer.json["description"], answer.json["enabled"]),
                         (200, 3, "new", False))
        self.assertEqual(bad.answer().json["errors"], [{"field": "/config", "message": "refused after a long time"}])
        self.assertEqual(self.node.get(f"{JOBS}/bad").json["version"], 1)
        self.assertEqual((answer := match.answer()).json["code"], "VERSION_MISMATCH", answer.body)
        self.assertEqual(dry.answer().json["code"], "NAME_TAKEN")

    def test_another_job_of_the_same_name(self):
        """As old as the one that was looked at, and yet another: nothing of that one may get into it."""
        self.node.create(name="x", schedule="@manually", executor="slow", description="first")
        patch = self.ask("PATCH", f"{JOBS}/x", {"executor": "slow", "config": {"gate": str(self.gate), "command": None}})
        self.others_are_served()  # the patch, which was sent before, is at its check
        self.assertEqual(self.node.delete(f"{JOBS}/x").status, 204)
        second = self.node.create(name="x", schedule="@manually", command="true", description="second")
        self.assertFalse(patch.has_answer())
        self.gate.touch()
        answer = patch.answer()
        self.assertEqual((answer.status, answer.json["id"], answer.json["description"], answer.json["version"]),
                         (200, second["id"], "second", 2))

    def test_trigger(self):
        self.make("x")
        gate = {"gate": str(self.gate)}
        taken = self.ask("POST", f"{JOBS}/x/trigger", {"config": gate})
        refused = self.ask("POST", f"{JOBS}/x/trigger", {"config": {**gate, "refuse": True}})
        run = self.node.ended(self.node.trigger("x")["id"])  # without overrides there is nothing to check
        self.assertEqual(run["status"], "success")
        self.assertFalse(taken.has_answer() or refused.has_answer())
        self.gate.touch()
        answer = taken.answer()
        self.assertEqual(answer.status, 202)
        self.assertEqual(self.node.ended(answer.json["id"])["status"], "success")
        answer = refused.answer()
        self.assertEqual((answer.status, answer.json["errors"][0]["field"]), (422, "/config"))

    def test_a_client_that_left(self):
        """What was asked for is done, as it is behind a commit; the answer goes nowhere."""
        left = self.ask("POST", JOBS, self.job("left"))
        self.others_are_served()
        left.connection.close()
        self.others_are_served()
        self.gate.touch()
        wait_for(lambda: self.node.get(f"{JOBS}/left").status == 200, "the job")

    def test_one_connection_keeps_its_order(self):
        body = json.dumps(self.job("x")).encode()
        head = f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=60) as both:
            both.sendall(head.encode() + body + f"GET {JOBS}/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            self.others_are_served()
            self.gate.touch()
            received = b"".join(iter(lambda: both.recv(65536), b""))
        self.assertEqual([part[:3] for part in received.split(b"HTTP/1.1 ")[1:]], [b"201", b"200"])

    def test_too_many_wait(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        asked = [self.ask("POST", JOBS, self.job("first"))]
        self.others_are_served()  # the first is on its way, alone
        asked += [self.ask("POST", JOBS, self.job(f"j{i}")) for i in range(CHECKS_MAX)]
        self.others_are_served()
        self.assertFalse(any(one.has_answer() for one in asked))
        for method, path, body in (("POST", JOBS, self.job("late")), ("POST", f"{JOBS}?dry_run=true", self.job("late"))):
            answer = self.ask(method, path, body).answer()
            self.assertEqual((answer.status, answer.json["code"], answer.headers["Retry-After"]), (503, "OVERLOADED", "1"))
        self.others_are_served()
        self.gate.touch()
        self.assertEqual([one.answer().status for one in asked], [201] * (CHECKS_MAX + 1))
        self.assertEqual(self.node.post(JOBS, self.job("late")).status, 201)

    def test_stopping(self):
        """A check that goes on is waited for; nobody is told that it was done."""
        asked = self.ask("POST", JOBS, self.job("x"))
        waits = self.ask("POST", JOBS, self.job("y"))
        self.others_are_served()
        self.node.terminate()
        wait_for(lambda: "executors drained" in self.node.log(), "the runs to end")
        opened = threading.Timer(0.3, self.gate.touch)  # whenever it comes
        opened.start()
        self.assertEqual(self.node.wait_exit(60), 0)
        opened.join()
        for one in (asked, waits):
            try:
                self.assertNotEqual(one.answer().status, 201)
            except (http.client.HTTPException, OSError):
                pass  # closed without an answer
        self.node.start()
        self.assertEqual(self.node.get(JOBS).json["jobs"], [])


if __name__ == "__main__":
    unittest.main()
