# ctest: once timeout=600
"""Output of runs, asked of nodes that did not run them."""
import signal
import subprocess
import time
import unittest

from harness import BUILD, TestCase, wait_for
from members import Cluster, write

MIB = 1 << 20
NUMBERS = "".join(f"{i}\n" for i in range(1, 200001)).encode() # of `seq 1 200000`: more than one MiB, and no two pieces alike

KEPT = "output: {captured_bytes: 4MiB}"


def job(node, name, command, **more):
    return write(node, name=name, schedule="@manually", executor="shell", config={"command": command}, **more)["id"]


def output(node, run, **query):
    return node.get(f"/api/v1/executions/{run}/output?" + "&".join(f"{k}={v}" for k, v in query.items()))


class Output(TestCase):
    def run_once(self, cluster, name, command, **more):
        """Runs it, waits until every node knows that it has ended, and gives its id and the node that ran it."""
        identifier = job(cluster.nodes[0], name, command, **more)
        run = cluster.nodes[0].trigger(identifier)["id"]
        ended = cluster.nodes[0].ended(run)
        for node in cluster.nodes:
            self.assertEqual(node.get(f"/api/v1/executions/{run}?consistent=true").json["status"], ended["status"])
        return run, next(n for n in cluster.nodes if n.name == ended["node_id"])

    def is_whole(self, node, run, expected, **query):
        answer = output(node, run, limit=4 * MIB, **query)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["X-Chronos-Output-Total"], str(len(expected)))
        self.assertEqual(answer.headers["X-Chronos-Output-Complete"], "true")
        self.assertTrue(answer.body == expected, f"{node.name}: {len(answer.body)} of {len(expected)} bytes, or others")
        return answer

    def test_the_same_on_every_node(self):
        with Cluster(extra=KEPT) as cluster:
            run, _ = self.run_once(cluster, "numbers", "seq 1 200000")
            for node in cluster.nodes:
                answer = self.is_whole(node, run, NUMBERS)
                self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")
                self.assertEqual(output(node, run).body, NUMBERS[:MIB])
                for offset, limit in ((0, 1), (1, 256 * 1024), (5, 256 * 1024 + 1), (262144, 262144), (262143, 300000),
                                      (len(NUMBERS) - 7, 100), (len(NUMBERS), 100), (2 * MIB, 10)):
                    answer = output(node, run, offset=offset, limit=limit)
                    self.assertEqual(answer.status, 200, answer)
                    self.assertEqual(answer.body, NUMBERS[offset:offset + limit])
                    self.assertEqual(answer.headers["X-Chronos-Output-Total"], str(len(NUMBERS)))
            done = subprocess.run([BUILD / "bin" / "chronosctl", "--server",
                                   ",".join(f"127.0.0.1:{n.port}" for n in cluster.nodes), "execution", "output", run],
                                  capture_output=True, timeout=60)
            self.assertTrue(done.stdout == NUMBERS, (done.returncode, len(done.stdout), done.stderr))

    def test_bytes_that_are_no_text(self):
        with Cluster(extra=KEPT) as cluster:
            large, _ = self.run_once(cluster, "large", "seq 1 200000 | tr '0-9' '\\200-\\211'")
            small, _ = self.run_once(cluster, "small", r"printf '\377\000\001abc'")
            short, _ = self.run_once(cluster, "short", "echo short")
            silent, _ = self.run_once(cluster, "silent", "true")
            expected = NUMBERS.translate(bytes(b - 48 + 128 if 48 <= b < 58 else b for b in range(256)))
            for node in cluster.nodes:
                answer = self.is_whole(node, large, expected)
                self.assertEqual(answer.headers["Content-Type"], "application/octet-stream")
                self.is_whole(node, small, b"\xff\x00\x01abc")
                self.is_whole(node, short, b"short\n")
                self.is_whole(node, silent, b"")

    def test_while_it_runs(self):
        with Cluster(extra=KEPT) as cluster:
            go = cluster.nodes[0].work / "go"
            identifier = job(cluster.nodes[0], "slow", f"seq 1 200000; while [ ! -e {go} ]; do sleep 0.05; done; echo late")
            run = cluster.nodes[0].trigger(identifier)["id"]
            for node in cluster.nodes:
                wait_for(lambda: output(node, run, limit=4 * MIB).body == NUMBERS, "what was written so far")
                answer = output(node, run, offset=len(NUMBERS) - 7, limit=4 * MIB)
                self.assertEqual(answer.headers["X-Chronos-Output-Complete"], "false")
                self.assertEqual(answer.body, NUMBERS[-7:])
            go.touch()
            for node in cluster.nodes:
                self.assertEqual(node.ended(run)["status"], "success")
                self.is_whole(node, run, NUMBERS + b"late\n")

    def test_of_an_earlier_attempt(self):
        with Cluster(extra=KEPT) as cluster:
            run, _ = self.run_once(cluster, "twice", 'seq $CHRONOS_ATTEMPT 200000; [ "$CHRONOS_ATTEMPT" = 2 ]',
                                   retry_policy={"max_attempts": 2, "initial_interval": "100ms"})
            for node in cluster.nodes:
                self.is_whole(node, run, NUMBERS, attempt=1)
                self.is_whole(node, run, NUMBERS[2:], attempt=2)
                self.is_whole(node, run, NUMBERS[2:])

    def unavailable(self, node, run, ran, why):
        answer = output(node, run)
        self.problem(answer, 503, "OUTPUT_UNAVAILABLE", f'node \\"{ran.name}\\", which {why}')
        self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
        execution = node.execution(run) # of which the beginning and the end are here
        self.assertTrue(execution["output_truncated"])
        self.assertTrue(execution["output"].startswith("1\n2\n3\n"))
        self.assertTrue(execution["output"].endswith("199999\n200000\n"))

    def test_its_node_is_down(self):
        with Cluster(extra=KEPT) as cluster:
            run, ran = self.run_once(cluster, "numbers", "seq 1 200000")
            short, ran_short = self.run_once(cluster, "short", "echo short")
            ran.kill9()
            for node in cluster.running():
                wait_for(lambda: output(node, run).status == 503, "the node to notice")
                self.unavailable(node, run, ran, "cannot be reached from this one")
                if ran_short is ran:
                    self.is_whole(node, short, b"short\n") # the record has all of it
            ran.begin()
            cluster.settle()
            for node in cluster.nodes:
                wait_for(lambda: output(node, run).status == 200, "the links to be back")
                self.is_whole(node, run, NUMBERS)

    def test_its_node_is_silent(self):
        with Cluster(extra=KEPT) as cluster:
            run, ran = self.run_once(cluster, "numbers", "seq 1 200000")
            other = next(n for n in cluster.nodes if n is not ran)
            ran.process.send_signal(signal.SIGSTOP)
            try:
                began = time.monotonic()
                self.problem(output(other, run), 503, "OUTPUT_UNAVAILABLE", ran.name)
                self.assertLess(time.monotonic() - began, 20) # 5 s, on a machine that has other things to do
            finally:
                ran.process.send_signal(signal.SIGCONT)

    def test_its_node_is_no_member_any_more(self):
        with Cluster(extra=KEPT) as cluster:
            run, ran = self.run_once(cluster, "numbers", "seq 1 200000")
            other = next(n for n in cluster.nodes if n is not ran)
            wait_for(lambda: other.delete(f"/api/v1/cluster/nodes/{ran.name}").status in (204, 404), "the removal")
            wait_for(lambda: len(other.status()["peers"]) == 2, "the node to know")
            answer = output(other, run) # what is left of it
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.body.decode(), other.execution(run)["output"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
