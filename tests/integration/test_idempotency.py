# ctest: once timeout=600
"""A POST with an Idempotency-Key takes effect once, whichever nodes are asked, and whatever becomes of the one that was asked first."""
import http.client
import http.server
import json
import os
import socket
import subprocess
import unittest

from ctl import CTL
from harness import LocalServer, Node, TestCase, wait_for
from members import QUIET, Cluster

KILLS = 4
JOB = {**QUIET, "concurrency": "allow"}


def keyed(key):
    return {"headers": {"Idempotency-Key": key}}


def repeat(nodes, path, body, key):
    """As a client does that wants an answer: at any of the nodes that run, until it is one."""
    def try_all():
        for node in nodes:
            answer = node.post(path, body, **keyed(key))
            if answer.status not in (503, 504):
                return answer
        return None
    return wait_for(try_all, "an answer")


class Swallower(LocalServer):
    """Stands before a node: passes requests on, and closes the connection in place of the answer that it got."""

    def __init__(self, node):
        self.statuses = statuses = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = node.request("POST", self.path, body, headers={k: v for k, v in self.headers.items() if k != "Host"})
                statuses.append(answer.status)
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            def do_GET(self):
                answer = node.get(self.path)
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        super().__init__(Handler)


def send_and_leave(node, path, body, key):
    """The request leaves, and nobody waits for its answer; the connection stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Idempotency-Key": key})
    return connection


class Idempotency(TestCase):
    def assert_once(self, node, job, runs):
        def read(): # a repeat needs no leader where the node knows the answer; this does
            answer = node.get("/api/v1/jobs?consistent=true")
            return answer.json["jobs"] if answer.status == 200 else None
        self.assertEqual([j["id"] for j in wait_for(read, "a consistent read")], [job])
        self.assertEqual(len(node.executions(job, consistent="true")), runs)

    def test_over_a_change_of_leader(self):
        with Cluster() as cluster:
            leader, (one, other) = cluster.leader(), cluster.followers()
            first = one.post("/api/v1/jobs", {"name": "job", **JOB}, **keyed("create"))
            self.assertEqual((first.status, first.headers["Idempotency-Replayed"]), (201, None))
            job = first.json["id"]
            run = one.post(f"/api/v1/jobs/{job}/trigger", None, **keyed("run"))
            self.assertEqual(run.status, 202)
            leader.kill9()
            again = repeat([other], "/api/v1/jobs", {"name": "job", **JOB}, "create")
            self.assertEqual((again.status, again.headers["Idempotency-Replayed"]), (201, "true"))
            self.assertEqual(again.json["id"], job)
            self.assertEqual(again.headers["Location"], first.headers["Location"])
            run_again = repeat([other], f"/api/v1/jobs/{job}/trigger", None, "run")
            self.assertEqual((run_again.status, run_again.headers["Idempotency-Replayed"]), (202, "true"))
            self.assertEqual(run_again.json["id"], run.json["id"])
            self.assertEqual(repeat([other], f"/api/v1/jobs/{job}/trigger", {"force": True}, "run").status, 422)
            self.assert_once(other, job, 1)

            # The dead one comes back, and was told; then all of them forget what is in their memory.
            leader.start()
            cluster.settle()
            for node in cluster.nodes:
                node.kill9()
            for node in cluster.nodes:
                node.begin()
            cluster.settle()
            for node in cluster.nodes:
                answer = repeat([node], f"/api/v1/jobs/{job}/trigger", None, "run")
                self.assertEqual((answer.status, answer.json["id"]), (202, run.json["id"]))
            self.assert_once(cluster.nodes[0], job, 1)

    def test_answers_that_are_lost_with_their_leader(self):
        with Cluster() as cluster:
            job = cluster.leader().create(name="job", **JOB)["id"]
            path, done = f"/api/v1/jobs/{job}/trigger", {}
            for number in range(KILLS):
                leader, keys = cluster.leader(), [f"{number}-{i}" for i in range(8)]
                asked = cluster.running()
                left = [send_and_leave(asked[i % 3], path, {}, key) for i, key in enumerate(keys)]
                leader.kill9()
                others = cluster.running()
                for key in keys:
                    answer = repeat(others, path, {}, key)
                    self.assertIn(answer.status, (202, 409), answer)
                    if answer.status == 409: # the first one is still under way there
                        answer = wait_for(lambda: (a := others[0].post(path, {}, **keyed(key))).status == 202 and a, "the first to end")
                    done[key] = answer.json["id"]
                for connection in left:
                    connection.close()
                leader.begin()
                cluster.settle()
            self.assertEqual(len(set(done.values())), KILLS * 8)
            runs = {e["id"] for e in cluster.leader().executions(job, consistent="true")}
            self.assertEqual(runs, set(done.values())) # no key without a run, no run without a key
            for key, execution in done.items():
                self.assertEqual(repeat(cluster.running(), path, {}, key).json["id"], execution)

    def test_chronosctl(self):
        with Node() as node, Swallower(node) as swallower:
            def ctl(*words, servers=f"{swallower.address},127.0.0.1:{node.port}"):
                environment = {"PATH": os.environ["PATH"], "CHRONOSCTL_SERVER": servers,
                               **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}
                done = subprocess.run([str(CTL), "-o", "name", *words], capture_output=True, env=environment, timeout=60)
                self.assertEqual(done.returncode, 0, done)
                return done.stdout.decode().strip()
            ctl("job", "create", "--name", "job", "--schedule", "@manually", "--concurrency", "allow", "--command", "sleep 100")
            self.assertEqual(swallower.statuses, [201])
            run = ctl("job", "trigger", "job")
            self.assertEqual(swallower.statuses, [201, 202])
            runs = node.executions("job")
            self.assertEqual([e["id"] for e in runs], [run])
            ctl("execution", "cancel", run)
            ctl("job", "disable", "job")
            self.assertEqual(swallower.statuses, [201, 202, 202, 200])
            self.assertEqual(node.get("/api/v1/jobs/job").json["version"], 2)
            self.assertEqual(node.metric("chronos_jobs"), 1)


if __name__ == "__main__":
    unittest.main()
