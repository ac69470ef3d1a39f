# ctest: once timeout=600
"""The minority's side of a partition: what it refuses, how soon and in which words, and how old it says that its answers are."""
import itertools
import signal
import time

import unittest

from harness import DEADLINE_S, TestCase, wait_for
from members import QUIET, Cluster, write

CONTACT, APPLIED = "X-Chronos-Leader-Contact-Ms", "X-Chronos-Applied-Index"


class Minority(TestCase):
    def setUp(self):
        self.names = (f"try-{i}" for i in itertools.count())
        self.refused = []

    def try_write(self, node):
        """One write, and its code; those that were refused must never turn up."""
        name = next(self.names)
        answer = node.post("/api/v1/jobs", {"name": name, **QUIET})
        code = answer.json["code"] if answer.status != 201 else None
        if answer.status == 503:
            self.assertIn(code, ("NO_LEADER", "NO_QUORUM"))
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            self.refused.append(name)
        else:
            self.assertIn((answer.status, code), ((504, "OUTCOME_UNKNOWN"), (201, None)))
        return code

    def only_reads(self, node):
        """It says NO_QUORUM soon, and goes on to say so, and to read."""
        began = time.monotonic()
        wait_for(lambda: self.try_write(node) == "NO_QUORUM", "the node to know that it has no quorum")
        self.assertLess(time.monotonic() - began, DEADLINE_S)
        for _ in range(3):
            self.assertEqual(self.try_write(node), "NO_QUORUM")
            problem = self.problem(node.get("/api/v1/jobs/kept?consistent=true"), 503, "NO_QUORUM")
            self.assertIn("only reads", problem["detail"])
        self.assertEqual(node.get("/api/v1/jobs/kept").status, 200)
        self.assertEqual(node.get("/live").status, 200)
        self.assertEqual(node.get("/ready").status, 503)

    def age(self, node):
        answer = node.get("/api/v1/jobs/kept")
        self.assertEqual(answer.status, 200)
        self.assertGreater(int(answer.headers[APPLIED]), 0)
        return int(answer.headers[CONTACT])

    def grows(self, node):
        first = self.age(node)
        wait_for(lambda: self.age(node) > first + 300, "the age to grow")

    def none_was_taken(self, node):
        write(node, name="again", **QUIET)
        for name in self.refused:
            self.assertEqual(node.get(f"/api/v1/jobs/{name}?consistent=true").status, 404)

    def test_the_leader_is_left_alone(self):
        with Cluster() as cluster:
            write(cluster.nodes[0], name="kept", **QUIET)
            leader, others = cluster.settle(), cluster.followers()
            self.assertEqual(leader.get("/api/v1/jobs").headers[CONTACT], "0")
            for node in others:
                node.kill9()
            self.only_reads(leader)
            wait_for(lambda: not leader.status()["is_leader"], "the leader to step down")
            self.grows(leader)
            others[0].begin()
            cluster.settle()
            self.none_was_taken(leader)

    def test_a_follower_is_left_alone(self):
        with Cluster() as cluster:
            write(cluster.nodes[0], name="kept", **QUIET)
            cluster.settle()
            alone = cluster.followers()[0]
            wait_for(lambda: alone.get("/api/v1/jobs/kept").status == 200, "the job to arrive")
            self.assertLess(self.age(alone), 10000)
            others = [n for n in cluster.nodes if n is not alone]
            for node in others:
                node.kill9()
            self.only_reads(alone)
            self.grows(alone)
            alone.stop()
            alone.begin() # it has heard of nobody since its start
            self.only_reads(alone)
            self.assertIsNone(alone.get("/api/v1/jobs/kept").headers[CONTACT])
            for node in others:
                node.begin()
            cluster.settle()
            self.none_was_taken(alone)
            self.assertLess(self.age(alone), 10000)

    def test_the_others_are_silent(self):
        """Links are up, and nobody answers: as on a network that swallows what is sent."""
        with Cluster() as cluster:
            write(cluster.nodes[0], name="kept", **QUIET)
            leader, others = cluster.settle(), cluster.followers()
            for node in others:
                node.process.send_signal(signal.SIGSTOP)
            try:
                self.only_reads(leader)
            finally:
                for node in others:
                    node.process.send_signal(signal.SIGCONT)
            cluster.settle()
            self.none_was_taken(leader)

    def test_an_election_is_no_partition(self):
        """The majority's side says NO_LEADER while it elects, and soon takes writes again."""
        with Cluster() as cluster:
            write(cluster.nodes[0], name="kept", **QUIET)
            dead, survivor = cluster.settle(), cluster.followers()[0]
            dead.kill9()
            codes = []
            wait_for(lambda: codes.append(self.try_write(survivor)) or codes[-1] is None, "the write to be taken")
            self.assertNotIn("NO_QUORUM", codes)
            self.none_was_taken(survivor)


if __name__ == "__main__":
    unittest.main(verbosity=2)
