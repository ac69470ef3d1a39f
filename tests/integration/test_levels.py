# ctest: once
"""The feature level of a cluster: it rises once all members know a newer one, and whoever does not know it is told to be upgraded.

No build has a second level yet: CHRONOS_TEST_FEATURE_LEVEL lets one claim it.
"""
import unittest

from harness import TestCase, wait_for
from members import QUIET, Cluster, Member, write


def claim(node, level):
    node.environment["CHRONOS_TEST_FEATURE_LEVEL"] = str(level)


def restart(node, level):
    assert node.stop() == 0
    claim(node, level)
    node.begin()


class Levels(TestCase):
    def at(self, nodes, level):
        wait_for(lambda: all(n.status()["feature_level"] == level for n in nodes), f"level {level} on {[n.name for n in nodes]}")

    def test_a_cluster_is_upgraded_node_by_node(self):
        with Cluster() as cluster:
            self.at(cluster.nodes, 1)
            for node in cluster.nodes[:2]:
                restart(node, 2)
                cluster.settle()
            leader = cluster.settle()
            write(cluster.nodes[0], name="meanwhile", **QUIET)
            wait_for(lambda: [p["feature_level"] for p in leader.status()["peers"]] == [2, 2, 1], "the leader to know who knows what")
            self.at(cluster.nodes, 1)
            self.assertNotIn("new feature level", "".join(n.log() for n in cluster.nodes))

            restart(cluster.nodes[2], 2)
            self.at(cluster.nodes, 2)
            self.assertEqual({p["version"] for p in leader.status()["peers"]}, {leader.get("/version").json["version"]})

            late = cluster.nodes[2] # back to the version from before
            self.assertEqual(late.stop(), 0)
            claim(late, 1)
            late.spawn()
            self.assertNotEqual(late.wait_exit(), 0)
            self.assertIn("the cluster is at feature level 2", late.log())
            self.assertIn("knows 1: install that of the other nodes", late.log())

            joining = Member(4, peers=cluster.nodes[:2])
            try:
                joining.begin() # without a claim: level 1
                wait_for(lambda: "not admitted" in joining.log(), "the refusal")
                self.assertIn('node \\"chronos-4\\" knows feature levels up to 1 and the cluster is at level 2', joining.log())
                self.assertEqual(len(cluster.leader().status()["peers"]), 3)
                self.assertEqual(joining.stop(), 0)
                claim(joining, 2)
                cluster.nodes.append(joining.begin())
                claim(late, 3)
                late.begin()
                cluster.settle()
                self.at(cluster.nodes, 2)
            finally:
                joining.close()

    def test_a_member_that_was_down_meanwhile(self):
        """It said level 2 before it went down: its old version stops at the entry that it does not know."""
        with Cluster() as cluster:
            for node in (cluster.nodes[1], cluster.nodes[2]):
                restart(node, 2)
                cluster.settle()
            late = cluster.nodes[2]
            self.assertEqual(late.stop(), 0)
            first, heard = cluster.nodes[:2]
            restart(first, 2)
            leader = cluster.settle()
            self.assertEqual([p["feature_level"] for p in first.status()["peers"]], [2, 2, None]) # so it would not raise it
            self.assertEqual([p["feature_level"] for p in heard.status()["peers"]], [2, 2, 2])
            if leader is first:
                self.assertEqual(first.post("/api/v1/cluster/transfer-leadership", {"node_id": heard.name}).status, 200)
            self.at([first, heard], 2)
            claim(late, 1)
            late.spawn()
            self.assertNotEqual(late.wait_exit(), 0)
            self.assertIn("the cluster is at feature level 2", late.log())


class Alone(TestCase):
    def test_a_lone_node_rises_at_once(self):
        with Cluster(size=1) as cluster:
            node = cluster.nodes[0]
            self.assertEqual(node.status()["feature_level"], 1)
            restart(node, 3)
            wait_for(lambda: node.status()["feature_level"] == 3, "level 3")


if __name__ == "__main__":
    unittest.main()
