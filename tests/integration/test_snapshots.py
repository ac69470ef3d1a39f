# ctest: once timeout=600
"""Snapshots: written on demand and by themselves, and what a new cluster begins with."""
import concurrent.futures
import os
import re
import shutil
import tempfile
import time
import unittest

from harness import Node, TestCase, instant, wait_for
from members import QUIET, Cluster, Member, write

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

    def test_as_many_as_can_be_kept(self):
        limit = 100 # SNAPSHOTS_KEPT_MAX
        with Node(config=f"cluster: {{raft: {{retain_snapshots: {limit}}}}}") as node:
            job = node.create(name="edited", **QUIET)["id"]
            made = []
            for i in range(limit + 1):
                self.assertEqual(node.patch(f"/api/v1/jobs/{job}", {"description": f"edit {i}"}).status, 200)
                made.append(take(node))
                if i == limit - 1:
                    self.assertEqual(node.get("/api/v1/cluster/snapshot").json["snapshots"], made[::-1])
            self.assertEqual(node.get("/api/v1/cluster/snapshot").json["snapshots"], made[:0:-1])
            self.assertEqual(node.stop(), 0)
            node.start()
            self.assertEqual(node.get("/api/v1/cluster/snapshot").json["snapshots"], made[:0:-1])

    def test_a_copy_under_another_name_is_none_of_its_own(self):
        with Cluster(size=1) as cluster:
            node = cluster.nodes[0]
            made = take(node)
            copy = os.path.join(os.path.dirname(made["file"]), "snapshot-123456789")
            shutil.copy(made["file"], copy)
            node.stop()
            node.start()
            self.assertEqual(node.get("/api/v1/cluster/snapshot").json["snapshots"], [made])
            self.assertTrue(os.path.exists(copy))

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


class Restoring(TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="chronos-test-")
        self.addCleanup(self.folder.cleanup)
        self.copy = os.path.join(self.folder.name, "snapshot-123")

    def snapshot(self, node):
        shutil.copy(take(node)["file"], self.copy)

    def empty_node(self):
        node = Node()
        self.addCleanup(node.close)
        return node

    def restored(self, node, *arguments):
        node.arguments = ["--restore-snapshot", self.copy, *arguments]
        node.start()
        return node

    def test_on_an_empty_directory(self):
        with Cluster(size=1) as cluster:
            other = self.empty_node()
            node = cluster.nodes[0]
            job = write(node, name="done", schedule="@manually", command="echo done")
            done = node.ended(node.trigger(job["id"])["id"])
            long = write(node, name="long", schedule="@manually", command="sleep 100")
            lost = node.trigger(long["id"])["id"]
            wait_for(lambda: node.execution(lost)["status"] == "running", "the run to start")
            self.snapshot(node)
            write(node, name="later", **QUIET)
            self.restored(other)
            self.assertIn("founded a new cluster out of a snapshot", other.log())
            self.assertEqual([j["name"] for j in other.get("/api/v1/jobs").json["jobs"]], ["done", "long"])
            self.assertEqual(other.execution(done["id"])["output"], done["output"])
            run = other.execution(lost)
            self.assertEqual((run["status"], run["reason"]), ("lost", "restored"))
            self.assertEqual(other.ended(other.trigger(job["id"])["id"])["status"], "success")
            write(other, name="new", **QUIET)
            self.assertEqual(other.stop(), 0)
            self.restored(other) # as a service does that always starts with the same command line
            self.assertIn("nothing is done", other.log())
            self.assertEqual([j["name"] for j in other.get("/api/v1/jobs").json["jobs"]], ["done", "long", "new"])

    def test_what_was_there_is_moved_aside(self):
        with Cluster(size=1) as cluster:
            other = self.empty_node()
            write(cluster.nodes[0], name="restored", **QUIET)
            self.snapshot(cluster.nodes[0])
            other.start()
            write(other, name="old", **QUIET)
            other.kill9()
            self.restored(other)
            self.assertEqual([j["name"] for j in other.get("/api/v1/jobs").json["jobs"]], ["restored"])
            (aside,) = other.data_dir.glob("before-restore-*")
            self.assertEqual({p.name for p in aside.iterdir()}, {"log", "local", "state-1"})

    def test_what_cannot_be_opened_is_not_replaced(self):
        """The flag stands in a service file, and one day the node cannot open what it has."""
        with Cluster(size=1) as cluster:
            other = self.empty_node()
            write(cluster.nodes[0], name="restored", **QUIET)
            self.snapshot(cluster.nodes[0])
            self.restored(other)
            write(other, name="later", **QUIET)
            other.stop()
            state = other.data_dir / "state-1" / "data.mdb"
            whole = state.read_bytes()
            state.write_bytes(bytes(8192) + whole[8192:])
            other.spawn()
            self.assertNotEqual(other.wait_exit(), 0)
            self.assertIn("what is there is not replaced", other.log())
            state.write_bytes(whole)
            (other.data_dir / "log").rename(other.data_dir / "of-a-disk-that-is-not-mounted")
            other.spawn()
            self.assertNotEqual(other.wait_exit(), 0)
            self.assertIn("is the disk of storage.log_dir mounted?", other.log())
            (other.data_dir / "log" / "data.mdb").unlink(missing_ok=True)
            shutil.rmtree(other.data_dir / "log")
            (other.data_dir / "of-a-disk-that-is-not-mounted").rename(other.data_dir / "log")
            other.start()
            self.assertEqual(other.get("/api/v1/jobs/later").status, 200)
            self.assertEqual(list(other.data_dir.glob("before-restore-*")), [])

    def test_snapshots_of_before_are_not_of_the_new_cluster(self):
        """One that was taken earlier is restored, from where it lies: the later ones are in nobody's way, and stay there."""
        with Cluster(size=1) as cluster:
            node = cluster.nodes[0]
            made = []
            for i in range(30): # more entries than come later, so that the numbers of the old ones are ahead
                write(node, name=f"job-{i}", **QUIET)
                if i % 10 == 9:
                    made.append(take(node))
            self.assertEqual(node.stop(), 0)
            node.arguments = ["--restore-snapshot", made[0]["file"]]
            for _ in range(2): # the second time it does nothing
                node.start()
                self.assertEqual(node.get("/api/v1/cluster/snapshot").json["snapshots"], [])
                self.assertEqual(len(node.get("/api/v1/jobs").json["jobs"]), 10)
                self.assertEqual(node.stop(), 0)
            node.start()
            new = take(node)
            self.assertLess(new["index"], made[2]["index"])
            self.assertEqual(node.get("/api/v1/cluster/snapshot").json["snapshots"], [new])
            self.assertEqual({p.name for p in (node.data_dir / "snapshots").iterdir()}, {m["id"] for m in made} | {new["id"]})

    def test_a_damaged_file(self):
        with Cluster(size=1) as cluster:
            other = self.empty_node()
            write(cluster.nodes[0], name="restored", **QUIET)
            self.snapshot(cluster.nodes[0])
            other.start()
            write(other, name="old", **QUIET)
            self.assertEqual(other.stop(), 0)
            with open(self.copy, "r+b") as f:
                f.seek(-100, os.SEEK_END)
                f.write(b"!")
            other.arguments = ["--restore-snapshot", self.copy]
            other.spawn()
            self.assertEqual(other.wait_exit(), 65)
            self.assertIn("cannot start: restore", other.log())
            other.arguments = []
            other.start()
            self.assertEqual([j["name"] for j in other.get("/api/v1/jobs").json["jobs"]], ["old"])

    def runs_after(self, *arguments):
        """Of a job that was due each second while nothing ran, counted shortly after the restore."""
        with Cluster(size=1) as cluster:
            other = self.empty_node()
            write(cluster.nodes[0], name="often", schedule="* * * * * *", command="true", missed_run_policy="execute_all",
                  concurrency="allow")
            self.snapshot(cluster.nodes[0])
            cluster.nodes[0].kill9()
            time.sleep(15) # time in which slots are missed
            self.restored(other, *arguments)
            began = time.time()
            wait_for(lambda: len(other.executions()) >= 5, "runs")
            return [r for r in other.executions() if instant(r["scheduled_time"]) < began - 5]

    def test_no_slot_of_before_is_owed(self):
        self.assertEqual(self.runs_after(), [])

    def test_slots_of_before_are_caught_up(self):
        self.assertGreater(len(self.runs_after("--restore-catch-up")), 3)

    def test_all_nodes_of_the_page(self):
        """Stop all nodes, restore the first, start the others as they are: they move their data aside and join anew."""
        with Cluster() as cluster:
            for i in range(10):
                write(cluster.leader(), name=f"job-{i}", **QUIET)
            self.snapshot(cluster.leader())
            write(cluster.leader(), name="later", **QUIET)
            cluster.settle()
            for node in cluster.nodes:
                node.stop()
            first, *others = cluster.nodes
            self.restored(first)
            for node in others:
                node.begin()
            for node in others: # it begins anew in the same process
                ports = wait_for(lambda: (lambda found: len(found) == 2 and found)(
                    re.findall(r"listening address=.*port=(\d+)", node.log())), f"{node.name} to begin anew")
                node.port = int(ports[1])
            cluster.settle()
            for node in cluster.nodes:
                self.assertEqual(len(node.get("/api/v1/jobs").json["jobs"]), 10)
            for node in others:
                self.assertIn("restored from a snapshot elsewhere", node.log())
                self.assertEqual(len(list(node.data_dir.glob("before-restore-*"))), 1)

    def test_a_cluster_that_lives_goes_on(self):
        with Cluster() as cluster:
            write(cluster.leader(), name="kept", **QUIET)
            self.snapshot(cluster.leader())
            first, *others = cluster.nodes
            first.kill9()
            others[0].get("/api/v1/cluster/status")
            wait_for(lambda: any(n.status()["is_leader"] for n in others), "the others to elect")
            self.restored(first)
            write(others[0], name="later", **QUIET)
            follower = next(n for n in others if not n.status()["is_leader"])
            follower.kill9()
            rest = next(n for n in others if n is not follower)
            wait_for(lambda: not rest.status()["is_leader"], "the rest to know that it has no majority")
            wait_for(lambda: rest.get("/api/v1/jobs?consistent=true").json.get("code") == "NO_QUORUM", "the rest to say so")
            follower.start() # it meets the restored node before anybody leads it
            wait_for(lambda: any(n.status()["is_leader"] for n in others), "the two to elect")
            self.assertIn("belong to different clusters", follower.log())
            for node in others:
                self.assertEqual(node.status()["leader_id"] in {n.name for n in others}, True)
                self.assertEqual(node.process.poll(), None)
                self.assertEqual(list(node.data_dir.glob("before-restore-*")), [])


class Founding(TestCase):
    def test_bootstrap_on_the_command_line(self):
        with Cluster(size=1) as cluster:
            lone = Member(2, peers=cluster.nodes) # as chronos-2.yaml of the page, which would ask the others
            self.addCleanup(lone.close)
            cluster.nodes[0].stop()
            lone.arguments = ["--bootstrap"]
            lone.start()
            self.assertIn("founded a cluster of one", lone.log())
            lone.stop()
            lone.start()
            self.assertNotIn("founded", lone.log())

    def test_on_the_empty_disk_of_a_member(self):
        """The machine of the first node is set up anew, with the same file: that must not be a second cluster."""
        with Cluster() as cluster:
            first, *others = cluster.nodes
            write(first, name="kept", **QUIET)
            first.kill9()
            shutil.rmtree(first.data_dir)
            first.begin()
            wait_for(lambda: "no cluster is founded" in first.log(), "the others to call it")
            self.problem(first.post("/api/v1/jobs", {"name": "a", **QUIET}), 503, "NO_LEADER")
            self.assertEqual(first.get("/health").json["leader"], False)
            wait_for(lambda: any(n.status()["is_leader"] for n in others), "the others to elect")
            wait_for(lambda: others[0].delete(f"/api/v1/cluster/nodes/{first.name}").status == 204, "the old member to be removed")
            first.stop()
            again = Member(1, peers=others, name=first.name)
            self.addCleanup(again.close)
            cluster.nodes[0] = again
            again.start()
            cluster.settle()
            self.assertEqual(again.get("/api/v1/jobs/kept").status, 200)
            first.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
