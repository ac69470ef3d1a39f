# ctest: once timeout=600
"""Several real daemons on loopback: they find each other, elect, replicate, run jobs, and survive each other's death."""
import json
import os
import shutil
import socket
import subprocess
import time
import unittest

from harness import BUILD, ROOT, TestCase, instant, wait_for
from members import QUIET, Cluster, Member, write


class Forming(TestCase):
    def test_as_on_the_page(self):
        with Cluster() as cluster:
            first = cluster.nodes[0]
            self.assertIn("became leader", first.log())
            for node in cluster.nodes:
                status = node.status()
                self.assertEqual(status["node_id"], node.name)
                self.assertEqual(status["is_leader"], node is first)
                self.assertEqual(status["leader_address"], first.raft)
                self.assertEqual({(p["id"], p["address"], p["state"]) for p in status["peers"]},
                                 {(n.name, n.raft, "Leader" if n is first else "Follower") for n in cluster.nodes})
                self.assertEqual([p["id"] for p in status["peers"]], sorted(p["id"] for p in status["peers"]))
                self.assertGreaterEqual(status["commit_index"], status["applied_index"])
                health = node.get("/health").json
                self.assertEqual(health["status"], "healthy")
                self.assertEqual(health["leader"], node is first)
                self.assertEqual(health.get("leader_address"), None if node is first else first.raft)

    def test_all_at_once_and_in_any_order(self):
        cluster = Cluster(size=5)
        try:
            for node in reversed(cluster.nodes):
                node.begin()
            cluster.settle()
        finally:
            cluster.__exit__()

    def test_a_node_with_the_name_of_a_member(self):
        with Cluster() as cluster:
            twin = Member(9, peers=cluster.nodes, name="chronos-3").begin()
            try:
                wait_for(lambda: "not admitted" in twin.log(), "the refusal")
                self.assertIn("a member already, with another data directory", twin.log())
                self.assertEqual(twin.status()["peers"], [])
                self.problem(twin.post("/api/v1/jobs", {"name": "a", **QUIET}), 503, "NO_LEADER")
            finally:
                twin.close()
            self.assertEqual(len(cluster.leader().status()["peers"]), 3)

    def test_nodes_of_two_clusters(self):
        with Cluster(size=1) as cluster, Member(2, bootstrap=True) as other:
            other.stop()
            other.config = other.config.replace("peers: []", f'peers: ["{cluster.nodes[0].raft}"]')
            other.start()
            self.assertEqual([p["id"] for p in other.status()["peers"]], ["chronos-2"]) # it has its own cluster, and stays
            self.assertEqual(len(cluster.nodes[0].status()["peers"]), 1)

    def test_a_second_cluster(self):
        """Node 1 has a new disk and starts a while before the others of its cluster: what it founds is not wanted."""
        with Cluster() as cluster:
            first = cluster.nodes[0]
            write(cluster.leader(), name="before", **QUIET)
            for node in cluster.nodes:
                node.stop()
            shutil.rmtree(first.data_dir)
            first.start()
            self.assertEqual(len(first.status()["peers"]), 1)
            host, port = first.raft.split(":")
            socket.create_connection((host, int(port))).close() # a port scanner, which hides nobody else
            wait_for(lambda: first.metric('chronos_node_links_refused_total{reason="handshake"}') == 1, "the scanner to be refused")
            for node in cluster.nodes[1:]:
                node.begin()
            for again in (False, True): # also at the next start
                if again:
                    first.spawn()
                self.assertEqual(first.wait_exit(), 79, first.log())
                self.assertIn("is a member of another one", first.log())
                self.assertIn("cluster remove", first.log())
                self.assertIn("kind=membership", first.log())
            cluster.settle()
            self.assertEqual(cluster.nodes[1].get("/api/v1/jobs/before").status, 200)
            wait_for(lambda: cluster.nodes[1].delete("/api/v1/cluster/nodes/chronos-1").status == 204, "the removal")
            shutil.rmtree(first.data_dir)
            fresh = Member(1, peers=cluster.nodes[1:], name=first.name).begin() # as the log says
            cluster.nodes[0] = fresh
            cluster.settle()
            first.close()

    def test_an_even_number_is_warned_of(self):
        with Cluster(size=2) as cluster:
            for node in cluster.nodes:
                self.assertEqual(node.status()["warnings"], []) # not while it grows
            for node in cluster.nodes:
                warning, = wait_for(lambda: node.status()["warnings"], "the warning", 60)
                self.assertIn("2 nodes vote", warning)
            shown = subprocess.run([BUILD / "bin" / "chronosctl", "--server", f"http://127.0.0.1:{cluster.nodes[0].port}", "cluster",
                                    "status"], capture_output=True, text=True, check=True).stdout
            self.assertRegex(shown, r"(?m)^Warning: +2 nodes vote")
            self.assertEqual(cluster.leader().log().count("an even number of nodes votes"), 1)

    def test_a_member_needs_its_address(self):
        with Cluster() as cluster:
            node = cluster.nodes[2]
            node.stop()
            node.config = "executors: {shell: {}}"
            node.spawn()
            self.assertNotEqual(node.wait_exit(), 0)
            self.assertIn("cluster.raft.address is missing", node.log())


class Writing(TestCase):
    def test_on_every_node(self):
        with Cluster() as cluster:
            for node in cluster.nodes:
                job = write(node, name=f"of-{node.name}", **QUIET)
                self.assertEqual(node.get(f"/api/v1/jobs/{job['id']}").status, 200) # whoever wrote sees it
                for other in cluster.nodes:
                    answer = other.get(f"/api/v1/jobs/{job['id']}?consistent=true")
                    self.assertEqual(answer.status, 200, answer)
                    self.assertEqual(answer.json["name"], f"of-{node.name}")
            self.problem(cluster.followers()[0].post("/api/v1/jobs", {"name": "of-chronos-1", **QUIET}), 409, "NAME_TAKEN")
            job = cluster.followers()[0].get("/api/v1/jobs/of-chronos-1").json
            self.assertEqual(cluster.followers()[1].patch(f"/api/v1/jobs/{job['id']}", {"description": "changed"}).status, 200)
            self.assertEqual(cluster.leader().get("/api/v1/jobs/of-chronos-1?consistent=true").json["description"], "changed")
            self.assertEqual(cluster.followers()[0].delete(f"/api/v1/jobs/{job['id']}").status, 204)
            self.assertEqual(cluster.leader().get("/api/v1/jobs/of-chronos-1?consistent=true").status, 404)

    def test_hundreds_on_a_follower(self):
        with Cluster() as cluster:
            node = cluster.followers()[0]
            for i in range(300):
                self.assertEqual(node.post("/api/v1/jobs", {"name": f"job-{i}", **QUIET}).status, 201)
            for other in cluster.nodes:
                page = other.get("/api/v1/jobs?limit=1000&consistent=true").json
                self.assertEqual(len(page["jobs"]), 300)


class Running(TestCase):
    def test_each_run_once_wherever_it_was_asked_for(self):
        with Cluster() as cluster:
            ran = cluster.nodes[0].work / "ran"
            job = write(cluster.nodes[1], name="mark", schedule="@manually", executor="shell", concurrency="allow",
                        config={"command": f'echo "$CHRONOS_EXECUTION_ID $CHRONOS_NODE_ID" >> {ran}; sleep 0.2'})
            runs = [cluster.nodes[i % 3].trigger(job["id"])["id"] for i in range(30)]
            for i, run in enumerate(runs):
                self.assertEqual(cluster.nodes[(i + 1) % 3].ended(run)["status"], "success")
            lines = ran.read_text().split("\n")[:-1]
            self.assertEqual(sorted(line.split()[0] for line in lines), sorted(runs))
            self.assertEqual({line.split()[1] for line in lines}, {n.name for n in cluster.nodes}) # the work is spread


class Failing(TestCase):
    def slots(self, node, job):
        return sorted(instant(run["scheduled_time"]) for run in node.executions(job))

    def test_the_leader_dies_again_and_again(self):
        with Cluster() as cluster:
            job = write(cluster.nodes[1], name="tick", schedule="@every 1s", executor="shell", concurrency="allow",
                        config={"command": "true"})["id"]
            for round_ in range(4):
                dead = cluster.settle()
                dead.kill9()
                cluster.leader()
                write(cluster.running()[round_ % 2], name=f"after-{round_}", **QUIET)
                dead.begin()
                leader = cluster.settle()
                wait_for(lambda: dead.status()["applied_index"] >= leader.status()["commit_index"] - 5, "the node to catch up")
            node = cluster.settle()
            self.assertEqual(len(node.get("/api/v1/jobs?limit=100&consistent=true").json["jobs"]), 5)
            wait_for(lambda: len(self.slots(node, job)) > 8, "a few more slots")
            slots = self.slots(node, job)
            self.assertEqual(slots, [slots[0] + i for i in range(len(slots))]) # not one missing, not one doubled
            runs = [run["id"] for run in node.executions(job) if instant(run["scheduled_time"]) < slots[-1]]
            for run in runs: # also those that were under way on a node that died
                self.assertEqual(node.ended(run)["status"], "success")

    def test_without_a_majority_it_only_reads(self):
        with Cluster() as cluster:
            write(cluster.nodes[0], name="kept", **QUIET)
            run = cluster.nodes[0].trigger("kept")["id"]
            leader = cluster.settle()
            dead = cluster.followers()
            for node in dead:
                node.kill9()
            wait_for(lambda: not leader.status()["is_leader"], "the leader to step down")
            self.problem(leader.post("/api/v1/jobs", {"name": "lost", **QUIET}), 503, "NO_QUORUM")
            for job, if_match in (("unknown", "*"), ("kept", '"9"')): # it cannot know: neither 404 nor 412
                self.problem(leader.patch(f"/api/v1/jobs/{job}", {"tags": {}}, headers={"If-Match": if_match}), 503, "NO_QUORUM")
            self.problem(leader.post(f"/api/v1/jobs/unknown/executions/{run}/cancel"), 503, "NO_QUORUM")
            self.assertEqual(leader.get("/api/v1/jobs/kept").status, 200)
            self.problem(leader.get("/api/v1/jobs/kept?consistent=true"), 503, "NO_QUORUM")
            self.assertEqual(leader.get("/ready").status, 503)
            self.assertEqual(leader.get("/live").status, 200)
            dead[0].begin()
            cluster.settle()
            write(dead[0], name="again", **QUIET)
            self.assertEqual(leader.get("/api/v1/jobs/lost?consistent=true").status, 404)

    def test_all_of_them_die(self):
        with Cluster() as cluster:
            for i in range(20):
                write(cluster.nodes[i % 3], name=f"job-{i}", **QUIET)
            for node in cluster.nodes:
                node.kill9()
            for node in cluster.nodes:
                node.begin()
            leader = cluster.settle()
            self.assertEqual(len(leader.get("/api/v1/jobs?limit=100&consistent=true").json["jobs"]), 20)

    def test_a_graceful_stop(self):
        with Cluster() as cluster:
            leader = cluster.settle()
            self.assertEqual(leader.stop(), 0)
            write(cluster.running()[0], name="on", **QUIET)
            leader.begin()
            cluster.settle()
            for node in cluster.nodes:
                self.assertEqual(node.stop(), 0)

    def test_a_node_far_behind(self):
        with Cluster() as cluster:
            behind = cluster.followers()[0]
            behind.kill9()
            node = cluster.followers()[0]
            blob = "x" * 60000
            for i in range(400): # 24 MB: more than what a leader keeps in memory
                write(node, name=f"job-{i}", **{**QUIET, "description": "", "config": {"command": f"true # {blob}"}})
            there = node.status()["commit_index"]
            time.sleep(1.2) # not a wait for something: what is older than a second is to be there
            behind.begin()
            wait_for(lambda: behind.get("/ready").status == 200, "the node to be ready")
            self.assertGreaterEqual(behind.status()["applied_index"], there)
            cluster.settle()
            early = behind.get("/api/v1/jobs/job-399?consistent=true") # 503 where it takes longer than anybody waits
            if early.status != 200:
                self.problem(early, 503, "NOT_READY", "could not catch up")
            wait_for(lambda: behind.get("/api/v1/jobs/job-399?consistent=true").status == 200, "the node to catch up")


class Changing(TestCase):
    STATUS = "/api/v1/cluster/status"
    TRANSFER = "/api/v1/cluster/transfer-leadership"

    def test_leadership_is_handed_over(self):
        with Cluster() as cluster:
            leader = cluster.settle()
            answer = leader.post(self.TRANSFER)
            self.assertEqual(answer.status, 200, answer)
            self.assertNotEqual(answer.json["leader_id"], leader.name)
            self.assertIn("handing over leadership", leader.log())
            follower = next(n for n in cluster.nodes if n.name not in (leader.name, cluster.settle().name))
            answer = follower.post(self.TRANSFER, {"node_id": leader.name}) # asked elsewhere, and for one by name
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(cluster.settle(), leader)
            self.problem(follower.post(self.TRANSFER, {"node_id": leader.name}), 409, "CONFLICT", "leads already")
            self.problem(follower.post(self.TRANSFER, {"node_id": "nobody"}), 404, "NOT_FOUND", "nobody")
            self.problem(follower.post(self.TRANSFER, {"node": "x"}), 422, "INVALID", field="/node")
            write(follower, name="on", **QUIET)

    def test_a_lone_node_has_nobody_to_hand_over_to(self):
        with Cluster(size=1) as cluster:
            self.problem(cluster.nodes[0].post(self.TRANSFER), 409, "CONFLICT", "no other node")
            self.problem(cluster.nodes[0].delete("/api/v1/cluster/nodes/chronos-1"), 409, "CONFLICT", "the last one that votes")

    def test_a_stop_hands_over(self):
        with Cluster() as cluster:
            leader = cluster.settle()
            before = leader.status()["term"]
            self.assertEqual(leader.stop(), 0)
            self.assertIn("handing over leadership", leader.log())
            self.assertEqual(cluster.settle().status()["term"], before + 1) # nobody had to wait and try

    def test_a_member_that_answers_says_itself_where_it_is(self):
        with Cluster() as cluster:
            for node in cluster.nodes:
                answer = cluster.nodes[0].post("/api/v1/cluster/join", {"node_id": node.name, "address": f"{node.host}:9"})
                self.problem(answer, 409, "CONFLICT", node.raft)
            self.assertEqual({p["address"] for p in cluster.nodes[0].status()["peers"]}, {n.raft for n in cluster.nodes})

    def test_a_node_that_asks_others_is_not_invited(self):
        """Its peers are mistyped: the invitation says that they are asked, and nothing is changed."""
        with Cluster(1) as cluster:
            new = Member(4)
            self.addCleanup(new.close)
            new.config = new.config.replace("peers: []", f'peers: ["{new.host}:1"]')
            new.begin()
            answer = cluster.nodes[0].post("/api/v1/cluster/join", {"node_id": "chronos-4", "address": new.raft})
            self.problem(answer, 409, "CONFLICT", "asks those in its own cluster.raft.peers")
            self.assertEqual(len(cluster.nodes[0].status()["peers"]), 1)

    def test_a_node_is_invited(self):
        with Cluster() as cluster:
            new = Member(4).begin()
            try:
                wait_for(lambda: "waiting to be invited" in new.log(), "the node to wait")
                answer = cluster.followers()[0].post("/api/v1/cluster/join", {"node_id": "chronos-4", "address": new.raft})
                self.assertEqual(answer.status, 200, answer)
                cluster.nodes.append(new)
                cluster.settle()
                write(new, name="by-the-new-one", **QUIET)
                again = cluster.nodes[0].post("/api/v1/cluster/join", {"node_id": "chronos-4", "address": new.raft})
                self.assertEqual(again.status, 200, again) # it is a member: nothing changes
                self.assertEqual(len(again.json["peers"]), 4)
            finally:
                new.close()

    def test_invitations_that_go_astray(self):
        join = "/api/v1/cluster/join"
        with Cluster(size=1) as cluster:
            node = cluster.nodes[0]
            self.problem(node.post(join, {"node_id": "chronos-9", "address": "127.0.0.9:9"}), 404, "NOT_FOUND", "is it running")
            self.assertEqual(len(node.status()["peers"]), 1)
            self.problem(node.post(join), 400, "MALFORMED")
            self.problem(node.post(join, []), 400, "MALFORMED")
            self.problem(node.post(join, {"node_id": "a"}), 422, "INVALID", field="/address")
            self.problem(node.post(join, {"address": "10.0.0.4:7000"}), 422, "INVALID", field="/node_id")
            self.problem(node.post(join, {"node_id": "a", "address": "10.0.0.4"}), 422, "INVALID", field="/address")
            self.problem(node.post(join, {"node_id": "a", "adress": "10.0.0.4:7000"}), 422, "INVALID", "did you mean", "/adress")
            self.problem(node.post(join, {"node_id": "a" * 64, "address": "10.0.0.4:7000"}), 422, "INVALID", field="/node_id")
            for name in ("x y", "../x", "-", "a/"):
                self.problem(node.post(join, {"node_id": name, "address": "10.0.0.4:7000"}), 422, "INVALID", "no name", field="/node_id")
            for address in ("0.0.0.0:7000", "[::]:7000"):
                self.problem(node.post(join, {"node_id": "a", "address": address}), 422, "INVALID", "name one of", field="/address")

    def test_a_node_is_removed_and_comes_back_empty(self):
        with Cluster() as cluster:
            gone = cluster.followers()[0]
            left = [n for n in cluster.nodes if n is not gone]
            self.problem(gone.delete("/api/v1/cluster/nodes/chronos-9"), 404, "NOT_FOUND", "chronos-9")
            self.problem(left[0].request("DELETE", f"/api/v1/cluster/nodes/{gone.name}", {"node_id": left[1].name}), 422, "INVALID",
                         field="/node_id")
            wait_for(lambda: gone.delete(f"/api/v1/cluster/nodes/{gone.name}").status == 204, "the removal") # asked of itself
            self.assertEqual(left[0].delete(f"/api/v1/cluster/nodes/{gone.name}").status, 404)
            wait_for(lambda: "was removed from the cluster" in gone.log(), "the node to learn that it is out")
            self.problem(gone.post("/api/v1/jobs", {"name": "a", **QUIET}), 503, "NO_LEADER")
            cluster.nodes = left
            cluster.settle()
            write(left[1], name="on", **QUIET)
            gone.stop()
            for node in left:
                node.kill9()
            gone.begin() # nobody is there to tell it
            wait_for(lambda: "was removed from the cluster" in gone.log(), "the node to remember that it is out")
            gone.stop()
            for node in left:
                node.begin()
            cluster.settle()
            fresh = Member(gone.number, peers=left, name=gone.name).begin()
            cluster.nodes.append(fresh)
            cluster.settle()
            self.assertEqual(fresh.get("/api/v1/jobs/on?consistent=true").status, 200)
            gone.close()

    def test_the_leader_is_removed(self):
        with Cluster() as cluster:
            leader = cluster.settle()
            wait_for(lambda: leader.delete(f"/api/v1/cluster/nodes/{leader.name}").status == 204, "the removal") # or BUSY
            wait_for(lambda: "was removed from the cluster" in leader.log(), "the node to know that it is out")
            cluster.nodes.remove(leader)
            try:
                cluster.settle()
                write(cluster.nodes[0], name="on", **QUIET)
                self.assertFalse(leader.status()["is_leader"])
            finally:
                leader.close()


class Locally(TestCase):
    """configs/cluster/: the files of the user's page."""

    def test_the_files_are_valid(self):
        for number in (1, 2, 3):
            path = ROOT / "configs" / "cluster" / f"chronos-{number}.yaml"
            done = subprocess.run([BUILD / "bin" / "chronos", "config", "validate", "-f", path], capture_output=True, text=True,
                                  timeout=60, env={"PATH": os.environ["PATH"]})
            self.assertEqual(done.returncode, 0, done)


class Commands(TestCase):
    def ctl(self, node, *arguments, code=0):
        done = subprocess.run([BUILD / "bin" / "chronosctl", "--server", f"127.0.0.1:{node.port}", *arguments],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done)
        return done.stdout if code == 0 else done.stderr

    def test_chronosctl(self):
        with Cluster() as cluster:
            leader, (one, two) = cluster.settle(), cluster.followers()
            lines = self.ctl(leader, "cluster", "status").splitlines()
            self.assertIn(f"Leader:    {leader.name}", lines)
            rows = [line.split() for line in lines[-3:]]
            self.assertEqual([row[0] for row in rows], [n.name for n in cluster.nodes])
            self.assertEqual({row[0] for row in rows if row[2] == "Leader"}, {leader.name})
            self.assertEqual({row[4] for row in rows}, {leader.get("/version").json["version"]}, rows)
            self.assertTrue(all(int(row[5]) > 0 for row in rows), rows)
            self.assertEqual(self.ctl(one, "cluster", "nodes", "-o", "name").split(), [n.name for n in cluster.nodes])
            self.assertEqual(self.ctl(one, "cluster", "transfer", two.name), f'node "{two.name}" leads\n')
            self.assertEqual(json.loads(self.ctl(one, "cluster", "status", "-o", "json"))["leader_id"], two.name)
            self.assertIn("nobody", self.ctl(one, "cluster", "remove", "nobody", code=5))
            self.assertEqual(self.ctl(one, "cluster", "join", two.name, two.raft), f'node "{two.name}" admitted; it votes already\n')
            self.assertIn("write host:port", self.ctl(one, "cluster", "join", "chronos-9", "10.0.0.1", code=1))
            self.assertEqual(self.ctl(one, "cluster", "remove", leader.name), f'node "{leader.name}" removed\n')
            leader.stop()
            cluster.nodes.remove(leader)
            fresh = Member(8).begin()
            cluster.nodes.append(fresh)
            self.assertIn("admitted", self.ctl(one, "cluster", "join", fresh.name, fresh.raft))
            cluster.settle()
            leader.close()


class Copied(TestCase):
    def test_two_processes_with_one_data_directory(self):
        """The leader says so and stops following the two to and fro: each move is an entry of the log."""
        with Cluster() as cluster:
            cluster.nodes[0].status()
            third = cluster.nodes[2]
            third.stop()
            copy = Member(3, peers=cluster.nodes[:2], name="chronos-3")
            self.addCleanup(copy.close)
            shutil.rmtree(copy.data_dir, ignore_errors=True)
            shutil.copytree(third.data_dir, copy.data_dir)
            third.begin()
            copy.begin()
            said = wait_for(lambda: [l for n in cluster.nodes[:2] for l in n.log().splitlines() if "two processes have its identity" in l],
                            "the leader to notice")
            self.assertEqual(len(said), 1)
            for port in (third.raft, copy.raft):
                self.assertIn(port, said[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
