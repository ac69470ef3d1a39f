# ctest: timeout=900
"""Snapshots: written on demand and by themselves, sent to a node that is behind the log, restored."""
import concurrent.futures
import os
import unittest

from harness import TestCase, wait_for
from members import QUIET, Cluster, Member, write

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


def take(node):
    answer = node.post("/api/v1/cluster/snapshot")
    assert answer.status == 201, answer
    return answer.json


class Taking(TestCase):
    def test_on_demand(self):
        with Cluster(size=1) as cluster:
            node = cluster.nodes[0]
            for i in range(20):
                write(node, name=f"job-{i}", **QUIET)
            made = take(node)
            self.assertEqual(made["id"], f"snapshot-{made['index']}")
            self.assertEqual(os.stat(made["file"]).st_size, made["size_bytes"])
            self.assertEqual(os.stat(made["file"]).st_mode & 0o777, 0o600)
            self.assertEqual(node.get("/api/v1/cluster/snapshot").json["snapshots"], [made])
            self.assertEqual(take(node)["index"], made["index"]) # nothing has changed
            self.problem(node.post("/api/v1/cluster/snapshot", {"a": 1}), 400, "MALFORMED")

    def test_the_newest_stay(self):
        with Cluster(size=1) as cluster:
            node = cluster.nodes[0]
            made = []
            for i in range(5):
                write(node, name=f"job-{i}", **QUIET)
                made.append(take(node))
            listed = node.get("/api/v1/cluster/snapshot").json["snapshots"]
            self.assertEqual(listed, made[:1:-1])
            folder = os.path.dirname(made[0]["file"])
            wait_for(lambda: sorted(os.listdir(folder)) == sorted(m["id"] for m in listed), "the older ones to be removed")
            node.stop()
            for junk in ("incoming", "snapshot-7.0123456789abcdef.tmp"): # what a crash leaves
                open(os.path.join(folder, junk), "w").close()
            node.start()
            self.assertEqual(node.get("/api/v1/cluster/snapshot").json["snapshots"], listed)
            self.assertEqual(sorted(os.listdir(folder)), sorted(m["id"] for m in listed))

    def test_by_itself(self):
        with Cluster(size=1) as cluster:
            node = cluster.nodes[0]
            node.stop()
            node.environment["CHRONOS_CLUSTER_RAFT_SNAPSHOT_THRESHOLD"] = "1000"
            node.start()
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda i: node.create(name=f"job-{i}", **QUIET), range(1000)))
            wait_for(lambda: node.get("/api/v1/cluster/snapshot").json["snapshots"], "a snapshot")

    def test_while_writes_go_on(self):
        with Cluster() as cluster:
            node = cluster.followers()[0]
            for i in range(300):
                write(cluster.leader(), name=f"job-{i}", **QUIET)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                writes = [pool.submit(write, cluster.leader(), name=f"more-{i}", **QUIET) for i in range(300)]
                taken = [take(node)["index"] for _ in range(5)]
                for w in writes:
                    w.result()
            self.assertEqual(taken, sorted(taken))


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
