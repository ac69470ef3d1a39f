# ctest: once timeout=600
"""Jobs that say where they run: on nodes with certain tags, on the leader, or on no node that is there yet."""
import unittest

from harness import TestCase, instant, wait_for
from members import Cluster, Member, write

WHERE = {"schedule": "@manually", "command": "echo $CHRONOS_NODE_ID", "concurrency": "allow"}


class Placement(TestCase):
    def cluster(self, **texts):
        """Three nodes; those named (n1="disk=ssd") have tags."""
        cluster = Cluster(extra="  lease_timeout: 5s")
        for node in cluster.nodes:
            self.tag(node, texts.get(f"n{node.number}", ""))
        return cluster

    @staticmethod
    def tag(node, text):
        node.environment["CHRONOS_CLUSTER_TAGS"] = text

    def runs(self, node, job, count):
        """The nodes on which so many runs ended."""
        node.get("/api/v1/jobs?consistent=true") # it knows the job
        started = [node.trigger(job["id"])["id"] for _ in range(count)]
        ended = [node.ended(execution) for execution in started]
        for run in ended:
            self.assertEqual((run["status"], run["output"].strip()), ("success", run["node_id"]))
        return {run["node_id"] for run in ended}

    def nodes(self, node):
        return {n["id"]: n for n in node.get("/api/v1/cluster/nodes").json["nodes"]}

    def test_tags(self):
        with self.cluster(n1="zone=a", n2="disk=ssd,zone=a", n3="disk=ssd,zone=b") as cluster:
            for node in cluster.nodes:
                wait_for(lambda: all(n["version"] for n in self.nodes(node).values()), "the rows of all nodes")
                seen = self.nodes(node)
                self.assertEqual({name: n["tags"] for name, n in seen.items()},
                                 {"chronos-1": {"zone": "a"}, "chronos-2": {"disk": "ssd", "zone": "a"},
                                  "chronos-3": {"disk": "ssd", "zone": "b"}})
                for n in seen.values():
                    self.assertIn("shell", n["executors"])
                    self.assertTrue(n["reachable"])
                    self.assertGreater(n["capacity"], 0)
            ssd = write(cluster.nodes[0], name="ssd", placement={"tags": {"disk": "ssd"}}, **WHERE)
            both = write(cluster.nodes[1], name="both", placement={"tags": {"zone": "b", "disk": "ssd"}}, **WHERE)
            any_node = write(cluster.nodes[2], name="any", **WHERE)
            self.assertEqual(both["placement"], {"tags": {"disk": "ssd", "zone": "b"}})
            self.assertEqual(any_node["placement"], "any")
            for node in cluster.nodes: # whoever is asked
                self.assertLessEqual(self.runs(node, ssd, 10), {"chronos-2", "chronos-3"})
                self.assertEqual(self.runs(node, both, 3), {"chronos-3"})
            self.assertEqual(self.runs(cluster.nodes[0], any_node, 30), {"chronos-1", "chronos-2", "chronos-3"})

    def test_the_leader(self):
        with self.cluster() as cluster:
            job = write(cluster.leader(), name="here", placement="leader", **WHERE)
            self.assertEqual(self.runs(cluster.followers()[0], job, 5), {cluster.leader().name})
            other = cluster.followers()[0]
            self.assertEqual(other.post("/api/v1/cluster/transfer-leadership", {"node_id": other.name}).status, 200)
            cluster.settle()
            self.assertEqual(cluster.leader().name, other.name)
            self.assertEqual(self.runs(cluster.followers()[0], job, 5), {other.name})

    def waits(self, node, execution):
        run = node.execution(execution)
        return (run["status"], run["reason"]) == ("pending", "no_node")

    def test_no_node_until_one_joins(self):
        with self.cluster(n2="disk=ssd") as cluster:
            leader = cluster.leader()
            gpu = write(leader, name="gpu", placement={"tags": {"gpu": "yes"}}, **WHERE)
            scheduled = write(leader, name="scheduled", placement={"tags": {"gpu": "yes"}}, **{**WHERE, "schedule": "* * * * * *"},
                              max_concurrent=3)
            moved = write(leader, name="moved", placement={"tags": {"gpu": "maybe"}}, **WHERE)
            any_node = write(leader, name="any", **WHERE)
            waiting = [leader.trigger(gpu["id"])["id"] for _ in range(3)] + [leader.trigger(moved["id"])["id"]]
            for execution in waiting:
                self.assertTrue(self.waits(leader, execution))
            def slots():
                found = leader.get(f"/api/v1/jobs/{scheduled['id']}/executions?status=pending").json["executions"]
                return len(found) >= 3 and found
            for run in wait_for(slots, "slots to be decided"):
                self.assertEqual(run["reason"], "no_node")
            self.assertEqual(len(self.runs(leader, any_node, 12)), 3) # what has no node holds up nothing
            self.assertEqual(leader.patch(f"/api/v1/jobs/{moved['id']}", {"placement": {"tags": {"gpu": None, "disk": "ssd"}}}).status, 200)
            self.assertEqual(leader.ended(waiting[3])["node_id"], "chronos-2") # an edit moves what waits
            for execution in waiting[:3]:
                self.assertTrue(self.waits(leader, execution))

            fourth = Member(4, peers=cluster.nodes, extra="  lease_timeout: 5s")
            self.tag(fourth, "gpu=yes")
            cluster.nodes.append(fourth)
            fourth.start()
            for execution in waiting[:3]:
                self.assertEqual(leader.ended(execution)["node_id"], "chronos-4")
            self.assertEqual(self.runs(leader, gpu, 3), {"chronos-4"})

    def test_no_node_until_the_window_is_over(self):
        with self.cluster(n2="disk=ssd") as cluster:
            leader, other = cluster.leader(), cluster.followers()[0]
            wanted = {"placement": {"tags": {"gpu": "yes"}}, **WHERE}
            short, forever = write(leader, name="short", catchup_window="10s", **wanted), write(leader, name="forever", **wanted)
            before = other.metric('chronos_missed_runs_total{reason="catchup_window"}')
            started = leader.trigger(short["id"]), leader.trigger(forever["id"])
            self.assertTrue(self.waits(leader, started[0]["id"]))
            run = leader.ended(started[0]["id"], deadline_s=60)
            self.assertEqual((run["status"], run["reason"], run["attempts"]), ("skipped", "catchup_window", []))
            self.assertGreaterEqual(instant(run["completed_at"]) - instant(run["scheduled_time"]), 10)
            self.assertTrue(self.waits(leader, started[1]["id"]))
            wait_for(lambda: other.metric('chronos_missed_runs_total{reason="catchup_window"}') == before + 1, "it to be counted as missed")

    def test_tags_that_change_with_a_restart(self):
        with self.cluster(n2="disk=ssd") as cluster:
            cluster.settle()
            job = write(cluster.leader(), name="ssd", placement={"tags": {"disk": "ssd"}}, **WHERE)
            second, third = cluster.nodes[1], cluster.nodes[2]
            self.assertEqual(self.runs(cluster.leader(), job, 3), {second.name})
            for node, text in ((second, ""), (third, "disk=ssd")):
                node.stop()
                self.tag(node, text)
                node.start()
            cluster.settle()
            wait_for(lambda: not self.nodes(cluster.leader())[second.name]["tags"], "the tags to be gone")
            self.assertEqual(self.runs(cluster.leader(), job, 3), {third.name})


if __name__ == "__main__":
    unittest.main(verbosity=2)
