# ctest: once timeout=600
"""Jobs that run on every node: a run each, none of which is in the way of another, and none of which leaves its node."""
import collections
import subprocess
import unittest

from ctl import CTL, RUN_FAILED
from harness import TestCase, wait_for
from members import Cluster, write

COMMAND = "echo $CHRONOS_NODE_ID $CHRONOS_IDEMPOTENCY_KEY"
THREE = ["chronos-1", "chronos-2", "chronos-3"]


class PlacementAll(TestCase):
    def cluster(self, **tags):
        cluster = Cluster(extra="  lease_timeout: 5s")
        for node in cluster.nodes:
            node.environment["CHRONOS_CLUSTER_TAGS"] = tags.get(f"n{node.number}", "")
        return cluster

    def all_have(self, cluster):
        """Every node knows what each can run, so each may be asked."""
        for node in cluster.running():
            wait_for(lambda: all(n["executors"] for n in node.get("/api/v1/cluster/nodes").json["nodes"]), "the rows of all nodes")

    def runs(self, node, triggered):
        return {run["node_id"]: run for run in (node.execution(one) for one in triggered["executions"])}

    def test_a_run_of_each_slot_on_each_node(self):
        with self.cluster() as cluster:
            self.all_have(cluster)
            leader = cluster.leader()
            job = write(cluster.followers()[0], name="everywhere", schedule="* * * * * *", command=COMMAND, placement="all",
                        concurrency="allow")
            self.assertEqual(job["placement"], "all")
            def slots():
                found = collections.defaultdict(list)
                for run in leader.executions(job["id"], limit=200):
                    found[run["scheduled_time"]].append(run)
                ended = {slot: runs for slot, runs in found.items() if all(r["completed_at"] for r in runs) and len(runs) >= 3}
                return len(ended) >= 5 and ended
            for slot, runs in wait_for(slots, "five slots on three nodes").items():
                self.assertEqual(sorted(run["node_id"] for run in runs), THREE)
                for run in runs:
                    self.assertEqual((run["status"], run["output"].strip()),
                                     ("success", f"{run['node_id']} {job['id']}:{slot}:{run['node_id']}"))

    def test_a_trigger_with_tags(self):
        with self.cluster(n1="disk=ssd", n3="disk=ssd") as cluster:
            self.all_have(cluster)
            job = write(cluster.leader(), name="ssd", schedule="@manually", command=COMMAND, placement={"all": True, "tags": {"disk": "ssd"}})
            for node in cluster.nodes: # whoever is asked
                wait_for(lambda: node.get(f"/api/v1/jobs/{job['id']}").status == 200, "the job to be known")
                wait_for(lambda: not any(not r["completed_at"] for r in cluster.leader().executions(job["id"])), "earlier runs to end")
                triggered = node.trigger(job["id"])
                self.assertEqual(triggered["id"], triggered["executions"][0])
                ended = [node.ended(one) for one in triggered["executions"]]
                self.assertEqual(sorted(run["node_id"] for run in ended), ["chronos-1", "chronos-3"])
                for run in ended:
                    self.assertEqual((run["status"], run["output"].strip()), ("success", f"{run['node_id']} {run['id']}"))
            for words, code in (("--wait",), 0), (("--wait", "--config", '{"command": "test $CHRONOS_NODE_ID = chronos-1"}'), RUN_FAILED):
                done = subprocess.run([CTL, "--server", f"127.0.0.1:{cluster.leader().port}", "job", "trigger", "ssd", *words],
                                      capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, code, done) # one that fails is enough
                for node in ("chronos-1", "chronos-3"):
                    for what in ("triggered: ", "ended: "):
                        self.assertIn(f" of job \"ssd\" on {node} {what}", done.stdout)
            gpu = write(cluster.leader(), name="gpu", schedule="@manually", command=COMMAND, placement={"all": True, "tags": {"gpu": "1"}})
            triggered = cluster.leader().trigger(gpu["id"])
            self.assertEqual((triggered["status"], triggered["reason"], triggered["node_id"]), ("pending", "no_node", None))
            self.assertEqual(triggered["executions"], [triggered["id"]])

    def test_a_node_is_lost(self):
        with self.cluster() as cluster:
            self.all_have(cluster)
            leader, lost = cluster.leader(), cluster.followers()[0]
            others = sorted(name for name in THREE if name != lost.name)
            job = write(leader, name="long", schedule="@manually", command="sleep 300", placement="all", on_node_loss="retry")
            triggered = leader.trigger(job["id"])
            wait_for(lambda: all(r["status"] == "running" for r in self.runs(leader, triggered).values()), "a run on each node")
            self.assertEqual(sorted(self.runs(leader, triggered)), THREE)
            again = leader.trigger(job["id"])
            self.assertEqual([leader.execution(one)["reason"] for one in again["executions"]], ["overlap"] * 3)
            lost.kill9()
            gone = leader.ended(self.runs(leader, triggered)[lost.name]["id"], deadline_s=60)
            self.assertEqual((gone["status"], gone["reason"], gone["node_id"]), ("lost", "node_loss", lost.name))
            self.assertEqual(len(gone["attempts"]), 1)
            now = self.runs(leader, triggered)
            self.assertEqual(sorted(name for name, run in now.items() if run["status"] == "running"), others) # nothing wandered
            self.assertTrue(all(len(run["attempts"]) == 1 for run in now.values()))
            self.assertEqual(sorted(self.runs(leader, leader.trigger(job["id"], force=True))), others)
            lost.start()
            cluster.settle()
            def back():
                triggered = leader.trigger(job["id"], force=True)
                return len(triggered["executions"]) == 3 and triggered
            there = self.runs(leader, wait_for(back, "the node to have its part again"))
            self.assertEqual(sorted(there), THREE)
            wait_for(lambda: leader.execution(there[lost.name]["id"])["status"] == "running", "its run")

    def test_a_node_that_restarts_within_its_lease(self):
        with Cluster(extra="  lease_timeout: 30s") as cluster:
            self.all_have(cluster)
            leader, restarted = cluster.leader(), cluster.followers()[0]
            job = write(leader, name="long", schedule="@manually", command="sleep 300", placement="all")
            triggered = leader.trigger(job["id"])
            wait_for(lambda: all(r["status"] == "running" for r in self.runs(leader, triggered).values()), "a run on each node")
            mine = self.runs(leader, triggered)[restarted.name]["id"]
            restarted.kill9()
            restarted.start()
            def anew():
                run = leader.execution(mine)
                return run["status"] == "running" and len(run["attempts"]) == 2 and run
            run = wait_for(anew, "its run to begin anew")
            self.assertEqual([a["node_id"] for a in run["attempts"]], [restarted.name] * 2)
            self.assertEqual(run["attempts"][0]["error"], "the node restarted")


if __name__ == "__main__":
    unittest.main(verbosity=2)
