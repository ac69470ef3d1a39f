# ctest: once timeout=600
"""Runs of nodes that die or fall silent: others take them over, and no run is under way twice."""
import os
import signal
import tempfile
import time
import unittest

from harness import TestCase, wait_for
from members import Cluster, Member, write

LEASE = "  lease_timeout: 5s"


def is_alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


class Pids:
    """A command that writes `<node> <attempt> <pid>` for each start, and then sleeps."""

    def __init__(self, case):
        folder = tempfile.TemporaryDirectory(prefix="chronos-test-")
        case.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "starts")
        self.command = f"echo $CHRONOS_NODE_ID $CHRONOS_ATTEMPT $$ >> {self.path}; exec sleep 100"

    def read(self):
        try:
            with open(self.path) as f:
                return [(node, int(attempt), int(pid)) for node, attempt, pid in map(str.split, f)]
        except FileNotFoundError:
            return []

    def wait(self, count):
        return wait_for(lambda: len(self.read()) >= count and self.read(), f"{count} starts")


class Leases(TestCase):
    def long_run(self, cluster, pids, on=None, **job):
        """A run that is under way on a follower (or on node `on`)."""
        job = write(cluster.leader(), name="long", schedule="@manually", command=pids.command, concurrency="allow", **job)
        for attempt in range(1, 10):
            execution = cluster.leader().trigger(job["id"])["id"]
            node, _, pid = pids.wait(attempt)[-1]
            node = next(n for n in cluster.nodes if n.name == node)
            if node is on or (on is None and node is not cluster.leader()):
                return job, execution, node, pid
        raise AssertionError("no run came to the node")

    def test_a_dead_nodes_run_goes_on_elsewhere(self):
        pids = Pids(self)
        with Cluster(extra=LEASE) as cluster:
            job, execution, node, pid = self.long_run(cluster, pids)
            started = len(pids.read())
            node.kill9()
            again, attempt, _ = pids.wait(started + 1)[-1]
            self.assertNotEqual(again, node.name)
            self.assertEqual(attempt, 2)
            self.assertFalse(is_alive(pid))
            def running():
                run = cluster.leader().execution(execution)
                return run["status"] == "running" and run
            run = wait_for(running, "the second attempt to be known")
            self.assertEqual(run["attempts"][0]["outcome"], "lost")
            self.assertEqual(run["attempts"][0]["node_id"], node.name)
            self.assertIn("the node was lost", run["attempts"][0]["error"])
            self.assertEqual(run["node_id"], again)
            node.start() # under a new session: nothing of the old one is started here
            cluster.settle()
            cluster.leader().post(f"/api/v1/jobs/{job['id']}/executions/{execution}/cancel")
            self.assertEqual(cluster.leader().ended(execution)["status"], "cancelled")
            self.assertEqual(len([s for s in pids.read() if s[1] > 1]), 1)

    def test_at_most_once_is_lost(self):
        pids = Pids(self)
        with Cluster(extra=LEASE) as cluster:
            _, execution, node, _ = self.long_run(cluster, pids, on_node_loss="fail")
            node.kill9()
            run = cluster.leader().ended(execution)
            self.assertEqual((run["status"], run["reason"]), ("lost", "node_loss"))

    def test_a_dead_node_gets_no_runs(self):
        with Cluster(extra=LEASE) as cluster:
            dead = cluster.followers()[0]
            job = write(cluster.leader(), name="quick", schedule="@manually", command="echo $CHRONOS_NODE_ID", concurrency="allow")
            dead.kill9()
            wait_for(lambda: any(p["state"] == "Unreachable" for p in cluster.leader().status()["peers"]), "the death to be noticed")
            runs = [cluster.leader().trigger(job["id"])["id"] for _ in range(30)]
            nodes = {cluster.leader().ended(r)["output"].strip() for r in runs}
            self.assertEqual(nodes, {n.name for n in cluster.running()})

    def test_a_node_that_nobody_answers_ends_its_runs(self):
        pids = Pids(self)
        with Cluster(extra=LEASE) as cluster:
            _, _, node, pid = self.long_run(cluster, pids)
            for other in cluster.nodes:
                if other is not node:
                    other.kill9()
            killed = time.monotonic()
            wait_for(lambda: not is_alive(pid), "the run to be ended")
            self.assertLess(time.monotonic() - killed, 5.5) # the lease; the others would give it away after a tenth more
            self.assertIn("no leader has answered for nearly a lease", node.log())

    def test_a_run_that_goes_on_without_a_lease(self):
        pids = Pids(self)
        with Cluster(extra=LEASE) as cluster:
            _, execution, node, pid = self.long_run(cluster, pids, on_lease_loss="continue")
            starts = len(pids.read())
            others = [other for other in cluster.nodes if other is not node]
            for other in others:
                other.kill9()
            wait_for(lambda: "no leader has answered for nearly a lease" in node.log(), "the lease to be over")
            for other in others:
                other.begin()
            cluster.settle()
            self.assertTrue(is_alive(pid))
            run = cluster.leader().execution(execution)
            self.assertEqual((run["status"], run["node_id"], len(run["attempts"])), ("running", node.name, 1))
            self.assertNotIn(node.name, [name for name, _, _ in pids.read()[starts:]])
            os.kill(pid, signal.SIGTERM) # its end is that of the run
            self.assertEqual(cluster.leader().ended(execution)["attempts"][0]["node_id"], node.name)

    def test_a_node_that_was_silent_begins_anew(self):
        pids = Pids(self)
        with Cluster(extra=LEASE) as cluster:
            _, execution, node, pid = self.long_run(cluster, pids)
            started = len(pids.read())
            os.kill(node.process.pid, signal.SIGSTOP)
            again, attempt, _ = pids.wait(started + 1)[-1] # what a frozen daemon has started goes on: docs/reliability.md
            self.assertNotEqual(again, node.name)
            os.kill(node.process.pid, signal.SIGCONT)
            wait_for(lambda: not is_alive(pid), "the older attempt to be ended")
            wait_for(lambda: "it begins anew" in node.log(), "a new session")
            job = write(cluster.leader(), name="quick", schedule="@manually", command="echo $CHRONOS_NODE_ID", concurrency="allow")
            def comes_to_it():
                run = cluster.leader().ended(cluster.leader().trigger(job["id"])["id"])
                return run["output"].strip() == node.name
            wait_for(comes_to_it, "runs to be given to it again")

    def test_a_node_that_left_is_forgotten(self):
        pids = Pids(self)
        with Cluster(extra=LEASE) as cluster:
            _, execution, gone, _ = self.long_run(cluster, pids)
            gone.kill9()
            left = cluster.leader()
            wait_for(lambda: left.delete(f"/api/v1/cluster/nodes/{gone.name}").status in (204, 404), "the removal") # it drains first
            wait_for(lambda: f"is forgotten node={gone.name}" in left.log(), "its row to go")
            self.assertEqual(left.execution(execution)["attempts"][0]["outcome"], "lost") # what it had was given away before

    def test_a_node_that_was_forgotten_comes_back(self):
        """Taken out, forgotten, and invited again while it runs on: it announces itself anew, for runs."""
        with Cluster(extra=LEASE) as cluster:
            gone = cluster.followers()[0]
            left = [n for n in cluster.nodes if n is not gone]
            wait_for(lambda: left[0].delete(f"/api/v1/cluster/nodes/{gone.name}").status == 204, "the removal") # or BUSY
            wait_for(lambda: any(f"is forgotten node={gone.name}" in n.log() for n in left), "its row to go")
            member = {"node_id": gone.name, "address": gone.raft}
            wait_for(lambda: left[0].post("/api/v1/cluster/join", member).status == 200, "the invitation")
            cluster.settle()
            job = write(left[0], name="quick", schedule="@manually", command="echo $CHRONOS_NODE_ID", concurrency="allow")

            def comes_to_it():
                run = left[0].ended(left[0].trigger(job["id"])["id"])
                return run["output"].strip() == gone.name
            wait_for(comes_to_it, "runs to be given to it")

    def test_a_node_that_is_alone_needs_nobody(self):
        pids = Pids(self)
        with Cluster(size=1, extra=LEASE) as cluster:
            _, execution, node, pid = self.long_run(cluster, pids, on=cluster.nodes[0])
            os.kill(node.process.pid, signal.SIGSTOP)
            time.sleep(7) # not a wait for something: longer than its lease
            os.kill(node.process.pid, signal.SIGCONT)
            quick = write(node, name="quick", schedule="@manually", command="true")
            self.assertEqual(node.ended(node.trigger(quick["id"])["id"])["status"], "success")
            self.assertTrue(is_alive(pid))
            self.assertEqual(len(node.execution(execution)["attempts"]), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
