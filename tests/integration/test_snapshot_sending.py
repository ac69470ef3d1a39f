# ctest: once release timeout=600
"""Snapshots for nodes that are behind what is left of the log."""
import concurrent.futures
import os
import unittest

from harness import TestCase, wait_for
from members import QUIET, Cluster, Member, write
from test_snapshots import take

FILLER = "x" * 130000


def fill(node, megabytes):
    """So much log, by edits of a few jobs."""
    def edit(number):
        job = node.create(name=f"big-{number}", **QUIET)
        for i in range(megabytes * 1000000 // len(FILLER) // 8):
            answer = node.patch(f"/api/v1/jobs/{job['id']}", {"config": {"command": f": {i} {FILLER}"}})
            assert answer.status == 200, answer
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(edit, range(8)))


class Sending(TestCase):
    def check_equal(self, cluster):
        def states():
            return [n.status()["applied_index"] for n in cluster.nodes]
        wait_for(lambda: len(set(states())) == 1, "all nodes to stand at one index")
        jobs = [n.get("/api/v1/jobs?limit=1000").json["jobs"] for n in cluster.nodes]
        self.assertEqual(jobs[0], jobs[1])
        self.assertEqual(jobs[0], jobs[2])

    def test_a_node_behind_the_log(self):
        with Cluster() as cluster:
            behind = cluster.followers()[0]
            behind.kill9()
            fill(cluster.leader(), 320)
            for i in range(20):
                write(cluster.leader(), name=f"job-{i}", **QUIET)
            self.assertGreater(cluster.leader().status()["applied_index"], 2400)
            behind.start()
            wait_for(lambda: "has taken the place of this node's state and log" in behind.log(), "the snapshot to be installed")
            cluster.settle()
            self.check_equal(cluster)
            written = write(behind, name="after", schedule="@manually", command="sleep 1; echo $CHRONOS_NODE_ID", concurrency="allow")
            def runs_there():
                runs = [behind.trigger(written["id"])["id"] for _ in cluster.nodes]
                return behind.name in [behind.ended(r)["output"].strip() for r in runs]
            wait_for(runs_there, "a run on the node that was behind")
            data = os.path.dirname(os.path.dirname(take(behind)["file"]))
            wait_for(lambda: [d for d in os.listdir(data) if d.startswith("state-")] == ["state-2"], "the old state to be removed")
            behind.kill9() # the new pair is what it starts with
            behind.start()
            cluster.settle()
            self.check_equal(cluster)

    def test_a_node_that_is_too_old(self):
        """The feature level rises while it is down, and it comes back as an older version: it takes no snapshot that it cannot read."""
        cluster = Cluster()
        first, heard, behind = cluster.nodes
        for node in (heard, behind):
            node.environment["CHRONOS_TEST_FEATURE_LEVEL"] = "2"
        with cluster:
            behind.kill9()
            self.assertEqual(first.post("/api/v1/cluster/transfer-leadership", {"node_id": heard.name}).status, 200)
            self.assertEqual(first.stop(), 0)
            first.environment["CHRONOS_TEST_FEATURE_LEVEL"] = "2"
            first.start()
            if cluster.settle() is first: # who has not heard of the one that is down does not raise the level
                self.assertEqual(first.post("/api/v1/cluster/transfer-leadership", {"node_id": heard.name}).status, 200)
            wait_for(lambda: heard.status()["feature_level"] == 2, "the level to rise")
            fill(cluster.leader(), 320)
            del behind.environment["CHRONOS_TEST_FEATURE_LEVEL"]
            behind.spawn()
            self.assertNotEqual(behind.wait_exit(25), 0)
            self.assertIn("a snapshot that was received is of a newer version of Chronos", behind.log())
            self.assertIn("the cluster is at feature level 2, this version of Chronos", behind.log())
            self.assertIn("knows 1: install that of the other nodes", behind.log())
            behind.environment["CHRONOS_TEST_FEATURE_LEVEL"] = "2"
            behind.start()
            cluster.settle()
            self.check_equal(cluster)

    def test_a_new_node_behind_the_log(self):
        with Cluster(size=2) as cluster:
            fill(cluster.leader(), 320)
            cluster.nodes.append(Member(3, peers=cluster.nodes[:]))
            cluster.nodes[2].start()
            cluster.settle()
            self.assertIn("has taken the place of this node's state and log", cluster.nodes[2].log())
            self.check_equal(cluster)


if __name__ == "__main__":
    unittest.main(verbosity=2)
