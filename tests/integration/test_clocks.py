# ctest: once release timeout=300
"""A node whose wall clock is wrong: it does not decide, and what is written through it is dated by the leader's clock."""
import subprocess
import struct
import tempfile
import time
import unittest
from pathlib import Path

from harness import TestCase, instant, wait_for
from members import Cluster

HOUR_S = 3600
EACH_SECOND = {"schedule": "* * * * * *", "executor": "shell", "config": {"command": "true"}, "concurrency": "allow",
               "missed_run_policy": "execute_all"}


class Clocks(TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        shim = self.folder / "shim.so"
        source = Path(__file__).resolve().parent / "faults" / "shim.c"
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", shim, source], check=True)
        self.cluster = Cluster(3)
        for node in self.cluster.nodes:
            node.control = self.folder / node.name
            node.control.write_bytes(struct.pack("qq", 0, 0))
            node.environment = {**node.environment, "LD_PRELOAD": str(shim), "CHRONOS_TEST_SHIM": str(node.control)}
        self.cluster.__enter__()
        self.addCleanup(self.cluster.__exit__)

    @staticmethod
    def set_clock(node, ahead_s):
        with open(node.control, "r+b", buffering=0) as file: # it is mapped: it stays in place
            file.write(struct.pack("q", int(ahead_s * 1e9)))

    def slots(self, node, job):
        runs, path = [], f"/api/v1/jobs/{job}/executions?limit=1000&consistent=true"
        cursor = ""
        while cursor is not None:
            page = node.get(path + cursor).json
            runs += page["executions"]
            cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
        return sorted(round(instant(run["scheduled_time"])) for run in runs)

    def goes_on(self, job, began):
        """Every second from then on has its run, once, and none has come early; from here for three more seconds at least."""
        until = int(time.time()) + 3
        node = self.cluster.leader()
        wait_for(lambda: until in self.slots(node, job), "the job to run on")
        found = self.slots(node, job)
        now = time.time()
        self.assertEqual(len(found), len(set(found)), "a slot has two runs")
        self.assertLess(max(found), now + 1, "a slot has run early")
        self.assertEqual([s for s in range(int(began) + 1, until) if s not in found], [], "slots are missing")

    def leader_is_wrong(self, ahead_s):
        old = self.cluster.leader()
        job = old.create(name="each-second", **EACH_SECOND)
        began = time.time()
        wait_for(lambda: len(self.slots(old, job["id"])) >= 2, "the job to run")
        self.set_clock(old, ahead_s)
        self.cluster.nodes.remove(old)
        try:
            new = wait_for(lambda: next((n for n in self.cluster.nodes if n.status()["is_leader"]), None), "another leader")
        finally:
            self.cluster.nodes.append(old)
        self.assertIn("the clock of this node lies too far", old.log())
        self.goes_on(job["id"], began)
        wait_for(lambda: abs(float(new.metric(f'chronos_clock_ahead_seconds{{node="{old.name}"}}') or 0) - ahead_s) < 5,
                 "the new leader to know how far that clock is off", 20) # one that was set back: after eight beats
        made = new.create(name="after", schedule="@manually", executor="shell", config={"command": "true"})
        self.assertAlmostEqual(instant(made["created_at"]), time.time(), delta=10)
        self.set_clock(old, 0)
        wait_for(lambda: "agrees with this one's again" in new.log(), "the clock to be right again")

    def test_a_leader_that_is_ahead(self):
        self.leader_is_wrong(HOUR_S)

    def test_a_leader_that_is_behind(self):
        self.leader_is_wrong(-HOUR_S)

    def test_written_through_a_node_that_is_wrong(self):
        node, leader = self.cluster.followers()[0], self.cluster.leader()
        for ahead_s in (HOUR_S, -HOUR_S):
            self.set_clock(node, ahead_s)
            # The next answer of the leader tells it; so does this metric.
            wait_for(lambda: abs(float(node.metric(f'chronos_clock_ahead_seconds{{node="{leader.name}"}}')) + ahead_s) < 5,
                     "the node to know that its clock is wrong")
            began = time.time()
            job = node.create(name=f"by-{ahead_s}".replace("-", "m", 1), **EACH_SECOND)
            wait_for(lambda: len(self.slots(leader, job["id"])) >= 3, "the job to run", 15)
            self.assertGreater(min(self.slots(leader, job["id"])), began - 2)
            self.goes_on(job["id"], began)


if __name__ == "__main__":
    unittest.main()
