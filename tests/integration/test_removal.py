# ctest: once timeout=600
"""A node that is taken out drains first: no new runs, and time for those that it has."""
import os
import subprocess
import tempfile
import time
import unittest

from harness import BUILD, TestCase, wait_for
from members import Cluster, write

LONG = "  lease_timeout: 120s" # longer than any test here
SHORT = "  lease_timeout: 5s"


class Gate:
    """Runs that end when the gate is opened."""

    def __init__(self, case):
        folder = tempfile.TemporaryDirectory(prefix="chronos-test-")
        case.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "open")
        self.command = f"while [ ! -e {self.path} ]; do sleep 0.05; done; echo $CHRONOS_NODE_ID"

    def open(self):
        with open(self.path, "w"):
            pass


class Removal(TestCase):
    def run_on(self, cluster, command, wanted):
        """A run under way on a node for which `wanted` holds; others of the same job run elsewhere."""
        leader = cluster.leader()
        job = write(leader, name="long", schedule="@manually", command=command, concurrency="allow")
        for _ in range(10):
            execution = leader.trigger(job["id"])["id"]
            run = wait_for(lambda: (r := leader.execution(execution))["status"] == "running" and r, "the run to start")
            node = next(n for n in cluster.nodes if n.name == run["node_id"])
            if wanted(node):
                return execution, node
        raise AssertionError("no run came to the node")

    def run_on_follower(self, cluster, command):
        leader = cluster.leader()
        return self.run_on(cluster, command, lambda node: node is not leader)

    def remove(self, asked, node):
        """Of a node that has runs."""
        answer = asked.delete(f"/api/v1/cluster/nodes/{node.name}")
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual((answer.json["id"], answer.json["draining"]), (node.name, True))
        return answer.json

    def is_draining(self, asked, node):
        peer = next((p for p in asked.status()["peers"] if p["id"] == node.name), None)
        return peer is not None and peer["draining"]

    def is_member(self, asked, node):
        return any(p["id"] == node.name for p in asked.status()["peers"])

    def wait_until_out(self, cluster, node, deadline_s=None):
        others = [n for n in cluster.running() if n is not node]
        wait_for(lambda: not any(self.is_member(n, node) for n in others), f"{node.name} to be out", deadline_s)

    def release(self, cluster, node):
        """It belongs to the cluster no more; the rest works."""
        cluster.nodes.remove(node)
        try:
            cluster.settle()
            job = write(cluster.nodes[0], name="on", schedule="@manually", command="true")
            self.assertEqual(cluster.nodes[0].ended(cluster.nodes[0].trigger(job["id"])["id"])["status"], "success")
        finally:
            node.close()

    def test_it_leaves_when_its_runs_have_ended(self):
        gate = Gate(self)
        with Cluster(extra=LONG) as cluster:
            leader = cluster.settle()
            execution, gone = self.run_on_follower(cluster, gate.command)
            asked = next(n for n in cluster.nodes if n is not leader and n is not gone)
            self.assertEqual(self.remove(asked, gone)["state"], "Draining")
            self.assertTrue(self.is_draining(asked, gone)) # whoever asked sees it
            for node in cluster.nodes:
                wait_for(lambda: self.is_draining(node, gone), "every node to show it")
            listed = {n["id"]: n["draining"] for n in leader.get("/api/v1/cluster/nodes").json["nodes"]}
            self.assertEqual(listed, {n.name: n is gone for n in cluster.nodes})
            quick = write(leader, name="quick", schedule="@manually", command="true", concurrency="allow")
            runs = [leader.trigger(quick["id"])["id"] for _ in range(20)]
            self.assertNotIn(gone.name, {leader.ended(r)["node_id"] for r in runs})
            self.remove(leader, gone) # again: nothing new
            self.assertEqual(leader.execution(execution)["status"], "running")
            gate.open()
            run = leader.ended(execution)
            self.assertEqual((run["status"], len(run["attempts"]), run["node_id"]), ("success", 1, gone.name))
            self.wait_until_out(cluster, gone)
            self.assertIn(f"a node is removed node={gone.name} had_runs=false", leader.log())
            self.problem(leader.delete(f"/api/v1/cluster/nodes/{gone.name}"), 404, "NOT_FOUND")
            self.release(cluster, gone)

    def test_it_leaves_after_a_lease_at_the_latest(self):
        with Cluster(extra=SHORT) as cluster:
            leader = cluster.settle()
            execution, gone = self.run_on_follower(cluster, "[ $CHRONOS_ATTEMPT = 2 ] || exec sleep 300")
            began = time.monotonic()
            self.remove(gone, gone)
            self.wait_until_out(cluster, gone)
            self.assertGreater(time.monotonic() - began, 4.5)
            self.assertIn(f"a node is removed node={gone.name} had_runs=true", leader.log())
            run = leader.ended(execution) # what was left is node loss
            self.assertEqual((run["status"], len(run["attempts"])), ("success", 2))
            self.assertEqual((run["attempts"][0]["node_id"], run["attempts"][0]["outcome"]), (gone.name, "lost"))
            self.assertNotEqual(run["node_id"], gone.name)
            self.release(cluster, gone)

    def test_a_dead_node_leaves_within_a_lease(self):
        with Cluster(extra=SHORT) as cluster:
            leader = cluster.settle()
            execution, gone = self.run_on_follower(cluster, "[ $CHRONOS_ATTEMPT = 2 ] || exec sleep 300")
            gone.kill9()
            self.remove(leader, gone)
            self.wait_until_out(cluster, gone, 15)
            self.assertEqual(leader.ended(execution)["status"], "success")
            self.release(cluster, gone)

    def test_a_dead_node_without_runs_leaves_at_once(self):
        with Cluster(extra=LONG) as cluster:
            gone = cluster.followers()[0]
            gone.kill9()
            self.assertEqual(cluster.leader().delete(f"/api/v1/cluster/nodes/{gone.name}").status, 204)
            self.release(cluster, gone)

    def test_another_leader_goes_on_with_it(self):
        gate = Gate(self)
        with Cluster(extra=LONG) as cluster:
            leader = cluster.settle()
            execution, gone = self.run_on_follower(cluster, gate.command)
            self.remove(leader, gone)
            leader.kill9()
            leader.begin()
            cluster.settle() # whoever it is: also the one that drains hands over
            wait_for(lambda: not gone.status()["is_leader"] and gone.status()["leader_id"], "another one to lead")
            self.assertTrue(all(self.is_draining(n, gone) for n in cluster.nodes))
            gate.open()
            self.assertEqual(cluster.leader().ended(execution)["status"], "success")
            self.wait_until_out(cluster, gone)
            self.release(cluster, gone)

    def test_the_leader_drains_once_another_leads(self):
        gate = Gate(self)
        with Cluster(extra=LONG) as cluster:
            gone = cluster.settle()
            execution, _ = self.run_on(cluster, gate.command, lambda node: node is gone)
            asked = cluster.followers()[0]
            self.remove(asked, gone)
            self.assertFalse(gone.status()["is_leader"])
            gate.open()
            self.assertEqual(asked.ended(execution)["node_id"], gone.name)
            self.wait_until_out(cluster, gone)
            self.release(cluster, gone)

    def test_an_idle_leader_leaves_at_once(self):
        with Cluster(extra=LONG) as cluster:
            gone = cluster.settle()
            other = cluster.followers()[0]
            self.assertEqual(other.delete(f"/api/v1/cluster/nodes/{gone.name}").status, 204)
            self.assertIn("handing over leadership", gone.log())
            self.release(cluster, gone)

    def test_a_join_takes_it_back(self):
        gate = Gate(self)
        with Cluster(extra=LONG) as cluster:
            leader = cluster.settle()
            execution, node = self.run_on_follower(cluster, gate.command)
            self.remove(leader, node)
            answer = leader.post("/api/v1/cluster/join", {"node_id": node.name, "address": node.raft})
            self.assertEqual(answer.status, 200, answer)
            self.assertFalse(self.is_draining(leader, node))
            gate.open()
            self.assertEqual(leader.ended(execution)["status"], "success")
            quick = write(leader, name="quick", schedule="@manually", command="true", concurrency="allow")
            wait_for(lambda: leader.ended(leader.trigger(quick["id"])["id"])["node_id"] == node.name, "runs to go there again")
            self.assertTrue(self.is_member(leader, node))

    def ctl(self, node, *arguments):
        return subprocess.Popen([BUILD / "bin" / "chronosctl", "--server", f"127.0.0.1:{node.port}", "cluster", "remove", *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_chronosctl_waits_for_it(self):
        gate = Gate(self)
        with Cluster(extra=LONG) as cluster:
            leader = cluster.settle()
            _, gone = self.run_on_follower(cluster, gate.command)
            out, told = self.ctl(leader, "--no-wait", gone.name).communicate(timeout=60)
            self.assertEqual((out, told), (f'node "{gone.name}" gets no new runs and leaves\n', ""))
            waits = self.ctl(gone, gone.name) # of itself
            self.assertIn(f'node "{gone.name}" has runs under way', waits.stderr.readline())
            self.assertIsNone(waits.poll())
            gate.open()
            out, told = waits.communicate(timeout=60)
            self.assertEqual((waits.returncode, out, told), (0, f'node "{gone.name}" removed\n', ""))
            self.release(cluster, gone)


if __name__ == "__main__":
    unittest.main(verbosity=2)
