# ctest: once release timeout=900
"""The user's page about clusters, from its first sentence to its last, on machines that have the addresses and folders of the page.

Every step names the sentence that it proves. Commands are typed as they stand there. What the page asks of people (where to place
nodes, how much memory to give them) is not here; failover times are measured elsewhere.
"""
import concurrent.futures
import contextlib
import json
import re
import signal
import socket
import subprocess
import time
import unittest

from harness import BACKEND, BUILD, ENDED, ROOT, TestCase, wait_for
from machines import Machines, shell, shipped

ENVIRONMENT = {"CHRONOS_STORAGE_BACKEND": BACKEND, "CHRONOS_STORAGE_MIN_FREE": "16MiB",
               "CHRONOS_CLUSTER_RAFT_SNAPSHOT_THRESHOLD": "1000"} # the least there is: a test cannot write a hundred thousand jobs
ELECTION_S, FAILOVER_S = 1.0, 5.0
STATUS_KEYS = ["node_id", "is_leader", "leader_address", "peers", "commit_index", "applied_index"]
QUIET = {"schedule": "@manually", "executor": "shell", "config": {"command": "echo $CHRONOS_NODE_ID"}}
CURL_STATUS = "curl http://10.0.0.1:8080/api/v1/cluster/status"
CURL_SNAPSHOT = "curl -X POST http://localhost:8080/api/v1/cluster/snapshot"
CURL_JOIN = """curl -X POST http://10.0.0.1:8080/api/v1/cluster/join \\
  -H "Content-Type: application/json" \\
  -d '{
    "node_id": "chronos-4",
    "address": "10.0.0.4:7000"
  }'"""
TLS = """    tls:
      cert_file: /etc/chronos/server.crt
      key_file: /etc/chronos/server.key
      ca_file: /etc/chronos/ca.crt
"""


@contextlib.contextmanager
def sentence(text):
    """What the page says, and the proof of it."""
    try:
        yield
    except Exception as e:
        raise AssertionError(f'the page says "{text}", but: {e}') from e
    print(f"    {text}", flush=True)


def configure(machine, text):
    machine.path(f"/srv/{machine.name}.yaml").write_text(text)


def write(machine, method="POST", path="", **job):
    """As a client does who repeats what was certainly not done."""
    def try_once():
        answer = machine.request(method, "/api/v1/jobs" + path, job or None)
        if answer.status == 503:
            return None
        assert answer.status in (200, 201, 204), answer
        return answer
    return wait_for(try_once, "the write to be taken")


def jobs(machine, query=""):
    answer = machine.get(f"/api/v1/jobs?limit=1000{query}")
    assert answer.status == 200, answer
    return {job["name"] for job in answer.json["jobs"]}


def tell(machines):
    """What went wrong, as the nodes saw it."""
    for machine in machines.all:
        if machine.process:
            print(f"--- {machine.name}: {machine.process.poll()}\n{machine.log()[-4000:]}", flush=True)


class Page(TestCase):
    """One cluster; the parts of the page in their order, each beginning with what the one before has left."""

    @classmethod
    def setUpClass(cls):
        cls.machines = Machines(3, ENVIRONMENT)
        cls.addClassCleanup(cls.machines.close)

    def setUp(self):
        self.one, self.two, self.three, *_ = self.machines.all

    def run(self, result=None):
        known = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > known:
            tell(self.machines)

    def start(self, machine, arguments=""):
        machine.start(f"./chronos --config {machine.name}.yaml{arguments}")

    def same_jobs(self, expected):
        for machine in self.machines.running():
            wait_for(lambda m=machine: jobs(m) == expected, f"the jobs on {machine.name}")

    def lead(self, machine):
        if self.machines.settled() is not machine:
            answer = machine.request("POST", "/api/v1/cluster/transfer-leadership", {"node_id": machine.name})
            self.assertEqual(answer.status, 200, answer)
        self.assertIs(self.machines.settled(), machine)

    # --- Configuration, Starting the Cluster ---

    def test_01_starting(self):
        with sentence("chronos-1.yaml, chronos-2.yaml, chronos-3.yaml"):
            for machine in self.machines.all:
                configure(machine, shipped(machine.number))
                valid = machine.shell(f"./chronos config validate -f {machine.name}.yaml")
                self.assertIn("valid", valid)
        with sentence("Start Node 1 first (bootstrap node)"):
            self.start(self.one)
        with sentence('Wait for "became leader" in logs'):
            wait_for(lambda: "became leader" in self.one.log(), "the sentence in the log")
        with sentence("Start Nodes 2 and 3"):
            self.start(self.two)
            self.start(self.three)
            self.assertIs(self.machines.settled(self.machines.all), self.one)
        with sentence("curl http://10.0.0.1:8080/api/v1/cluster/status"):
            status = json.loads(shell(CURL_STATUS))
            self.assertEqual([k for k in status if k in STATUS_KEYS], STATUS_KEYS)
            self.assertEqual((status["node_id"], status["is_leader"], status["leader_address"]), ("chronos-1", True, "10.0.0.1:7000"))
            self.assertEqual([list(p)[:3] for p in status["peers"]], [["id", "address", "state"]] * 3)
            self.assertEqual([(p["id"], p["address"], p["state"]) for p in status["peers"]],
                             [("chronos-1", "10.0.0.1:7000", "Leader"), ("chronos-2", "10.0.0.2:7000", "Follower"),
                              ("chronos-3", "10.0.0.3:7000", "Follower")])
            self.assertGreater(status["commit_index"], 0)
            self.assertEqual(status["applied_index"], status["commit_index"])

    # --- Overview ---

    def test_02_overview(self):
        with sentence("Share job definitions and execution state"):
            job = write(self.two, name="kept", **QUIET).json["id"]
            run = self.three.request("POST", f"/api/v1/jobs/{job}/trigger").json["id"]
            for machine in self.machines.all:
                ended = wait_for(lambda m=machine: (r := m.get(f"/api/v1/executions/{run}").json).get("status") in ENDED and r, "the run")
                self.assertEqual(ended["status"], "success", ended)
        with sentence("Automatically elect a leader; tolerate node failures without data loss"):
            self.one.kill9()
            self.assertIn(self.machines.settled([self.two, self.three]), (self.two, self.three))
            self.assertEqual(self.two.get(f"/api/v1/executions/{run}?consistent=true").json["status"], "success")
            write(self.two, name="while-one-is-down", **QUIET)
            self.start(self.one)
            self.machines.settled()
            self.same_jobs({"kept", "while-one-is-down"})

    # --- Leader Election ---

    def test_03_election(self):
        with sentence("heartbeat_timeout: 500ms   # Leader heartbeat interval; election_timeout: 1000ms   # Time before starting election"):
            for machine in self.machines.all:
                configure(machine, shipped(machine.number).replace("\n\nserver:", """
    heartbeat_timeout: 500ms   # Leader heartbeat interval
    election_timeout: 1000ms   # Time before starting election

server:"""))
                self.assertIn("election_timeout", machine.path(f"/srv/{machine.name}.yaml").read_text())
                machine.stop()
            for machine in self.machines.all:
                self.start(machine)
        with sentence("Nodes start as followers. First to get majority becomes leader"):
            leader = self.machines.settled()
            self.assertEqual(sum("became leader" in m.log() for m in self.machines.all), 1)
            self.assertIn("became leader", leader.log())
        with sentence("Leader sends periodic heartbeats"):
            term, follower = leader.status()["term"], next(m for m in self.machines.all if m is not leader)
            seen, end = [], time.monotonic() + 4 * ELECTION_S
            while time.monotonic() < end:
                seen.append(follower.metric("chronos_raft_last_contact"))
            self.assertEqual(follower.status()["term"], term)
            self.assertTrue(any(b < a for a, b in zip(seen, seen[1:])), seen[:20]) # it was heard of in between
        with sentence("If no heartbeat from leader, follower starts election. Typical failover time: ~2-5 seconds"):
            leader.process.send_signal(signal.SIGSTOP) # its links stay open: only time tells
            began = time.monotonic()
            wait_for(lambda: any((s := m.status()) and s["is_leader"] for m in self.machines.all if m is not leader), "another leader")
            took = time.monotonic() - began
            leader.process.send_signal(signal.SIGCONT)
            self.assertGreater(took, ELECTION_S / 2)
            self.assertLess(took, FAILOVER_S)
            self.machines.settled()
        with sentence("curl -X POST http://10.0.0.1:8080/api/v1/cluster/transfer-leadership"):
            self.lead(self.one)
            answer = json.loads(shell("curl -X POST http://10.0.0.1:8080/api/v1/cluster/transfer-leadership"))
            self.assertEqual(self.machines.settled().name, answer["leader_id"])
            self.assertNotEqual(answer["leader_id"], "chronos-1")

    # --- Read vs Write Operations ---

    def test_04_reads_and_writes(self):
        self.lead(self.one)
        with sentence("All writes go through the leader: Create/Update/Delete jobs; Record executions; Update schedules"):
            for machine in self.machines.all:
                name = f"by-{machine.name}"
                job = write(machine, name=name, **QUIET).json["id"]
                write(machine, "PATCH", f"/{job}", schedule="0 4 * * *", enabled=False)
                self.assertEqual(machine.get(f"/api/v1/jobs/{name}").json["schedule"], "0 4 * * *")
                run = machine.request("POST", f"/api/v1/jobs/{job}/trigger").json["id"]
                wait_for(lambda m=machine, r=run: m.get(f"/api/v1/executions/{r}").json.get("status") == "success", "the run")
                write(machine, "DELETE", f"/{job}")
        with sentence("Client -> Any Node -> Forward to Leader -> Raft Consensus -> Apply"):
            before = self.one.status()["commit_index"]
            write(self.three, name="forwarded", **QUIET)
            self.assertEqual(self.three.status()["leader_id"], "chronos-1")
            self.assertGreater(self.one.status()["commit_index"], before)
            self.same_jobs({"kept", "while-one-is-down", "forwarded"})
        with sentence("Reads can be served by any node: List jobs; Get job details; View executions"):
            for machine in self.machines.all:
                self.assertEqual(jobs(machine), {"kept", "while-one-is-down", "forwarded"})
                self.assertEqual(machine.get("/api/v1/jobs/kept").json["name"], "kept")
                self.assertEqual(len(machine.get("/api/v1/jobs/kept/executions").json["executions"]), 1)
        with sentence('curl "http://localhost:8080/api/v1/jobs?consistent=true"'):
            for i in range(5): # what was written on one is seen at once on another, without waiting
                write(self.two, name=f"seen-{i}", **QUIET)
                answer = json.loads(self.three.shell('curl "http://localhost:8080/api/v1/jobs?consistent=true"'))
                self.assertIn(f"seen-{i}", {job["name"] for job in answer["jobs"]})
                write(self.two, "DELETE", f"/seen-{i}")

    # --- Adding Nodes ---

    def test_05_nodes_come_and_go(self):
        four = self.machines.add()
        for peers, how in (("[10.0.0.1:7000]", "by itself"), ("[]", "when it is invited")):
            configure(four, shipped(3).replace("chronos-3", "chronos-4").replace("10.0.0.3", "10.0.0.4").replace(
                "peers:\n      - 10.0.0.1:7000\n      - 10.0.0.2:7000", f"peers: {peers}"))
            with sentence("./chronos --config chronos-4.yaml (it joins " + how + ")"):
                self.start(four)
                if peers == "[]":
                    wait_for(lambda: "waiting to be invited" in four.log(), "the node to wait")
                else:
                    self.machines.settled(self.machines.all)
            with sentence("curl -X POST http://10.0.0.1:8080/api/v1/cluster/join -d chronos-4"):
                answer = json.loads(shell(CURL_JOIN))
                self.assertIn(("chronos-4", "10.0.0.4:7000"), [(p["id"], p["address"]) for p in answer["peers"]])
                self.machines.settled(self.machines.all)
                write(four, name="by-four", **QUIET)
                write(four, "DELETE", "/by-four")
            with sentence("curl -X DELETE http://10.0.0.1:8080/api/v1/cluster/nodes/chronos-4"):
                shown = shell("curl -X DELETE http://10.0.0.1:8080/api/v1/cluster/nodes/chronos-4")
                self.assertEqual(shown, "")
                wait_for(lambda: all(len(m.status()["peers"]) == 3 for m in self.machines.all[:3]), "three nodes to be left")
                wait_for(lambda: "was removed from the cluster" in four.log(), "the node to learn that it is out")
                four.stop()
                four.wipe()
        self.machines.all.remove(four)

    # --- Network Partitions ---

    def refused(self, machine, name):
        answer = machine.request("POST", "/api/v1/jobs", {"name": name, **QUIET})
        self.problem(answer, 503, "NO_QUORUM")
        self.assertGreater(int(answer.headers["Retry-After"]), 0)

    def cut_off(self, alone):
        for machine in self.machines.all:
            if machine is not alone:
                self.machines.network.cut(alone.number, machine.number)

    def partition(self, alone, others):
        before = jobs(alone)
        self.cut_off(alone)
        with sentence("Side with majority continues operating"):
            self.assertIn(self.machines.settled(others), others)
            write(others[0], name=f"without-{alone.name}", **QUIET)
        with sentence("Minority side becomes read-only"):
            wait_for(lambda: alone.request("POST", "/api/v1/jobs", {"name": "never", **QUIET}).json.get("code") == "NO_QUORUM",
                     "the minority to refuse")
            self.refused(alone, "never")
            self.assertEqual(jobs(alone), before)
            self.problem(alone.get("/api/v1/jobs?consistent=true"), 503, "NO_QUORUM")
        with sentence("Raft's quorum requirement prevents split-brain: need 2 to write (one side can't get quorum)"):
            self.assertEqual(sum(m.metric("chronos_raft_is_leader") for m in self.machines.all), 1)
        self.machines.network.heal()
        with sentence("When healed, minority rejoins and syncs"):
            self.machines.settled()
            self.same_jobs(before | {f"without-{alone.name}"})

    def test_06_partitions(self):
        leader = self.machines.settled()
        followers = [m for m in self.machines.all if m is not leader]
        self.partition(followers[0], [leader, followers[1]]) # [L] [F] | [F]
        leader = self.machines.settled()
        self.partition(leader, [m for m in self.machines.all if m is not leader])

    # --- Monitoring Cluster Health ---

    def test_07_monitoring(self):
        self.lead(self.one)
        metrics = {m.name: shell(f"curl http://{m.address}:8080/metrics") for m in self.machines.all}

        def value(machine, name):
            return float(re.search(rf"^{name} (\S+)$", metrics[machine.name], re.M)[1])
        with sentence("chronos_raft_is_leader: 1 if this node is leader"):
            self.assertEqual([value(m, "chronos_raft_is_leader") for m in self.machines.all], [1, 0, 0])
        with sentence("chronos_raft_peers: Number of cluster peers"):
            self.assertEqual([value(m, "chronos_raft_peers") for m in self.machines.all], [3, 3, 3])
        with sentence("chronos_raft_commit_index: Raft commit index; chronos_raft_applied_index: Applied index"):
            for machine in self.machines.all:
                self.assertGreater(value(machine, "chronos_raft_commit_index"), 1)
                self.assertEqual(value(machine, "chronos_raft_applied_index"), value(machine, "chronos_raft_commit_index"))
        with sentence("chronos_raft_last_contact: Time since last leader contact"):
            self.assertEqual(value(self.one, "chronos_raft_last_contact"), 0)
            self.assertLess(value(self.two, "chronos_raft_last_contact"), ELECTION_S)
        with sentence('curl http://localhost:8080/health: Leader: {"status": "healthy", "leader": true}'):
            health = json.loads(self.one.shell("curl http://localhost:8080/health"))
            self.assertEqual(list(health.items())[:2], [("status", "healthy"), ("leader", True)])
        with sentence('Follower: {"status": "healthy", "leader": false, "leader_address": "10.0.0.1:7000"}'):
            for machine in (self.two, self.three):
                health = json.loads(machine.shell("curl http://localhost:8080/health"))
                self.assertEqual(list(health.items())[:3],
                                 [("status", "healthy"), ("leader", False), ("leader_address", "10.0.0.1:7000")])
        with sentence("Prometheus alerting rules"): # what they do is seen in a real Prometheus: test_prometheus.py
            rules = (ROOT / "configs" / "prometheus" / "chronos.rules.yml").read_text()
            for name, expression, how_long, severity, summary in (
                    ("ChronosNoLeader", "sum(chronos_raft_is_leader) == 0", "30s", "critical", "No Chronos leader elected"),
                    ("ChronosClusterDegraded", "chronos_raft_peers < 3", "5m", "warning", "Chronos cluster has fewer than 3 nodes")):
                self.assertIn(f"""
      - alert: {name}
        expr: {expression}
        for: {how_long}
        labels:
          severity: {severity}
        annotations:
          summary: "{summary}"
""", rules)

    # --- Disaster Recovery ---

    def test_08_restore(self):
        with sentence("Snapshots are created automatically"):
            def edit(number):
                write(self.one, name=f"edited-{number}", **QUIET)
                for i in range(150):
                    write(self.one, "PATCH", f"/edited-{number}", description=f"edit {i}")
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(edit, range(8)))
            for machine in self.machines.all:
                wait_for(lambda m=machine: m.get("/api/v1/cluster/snapshot").json["snapshots"], "a snapshot")
        with sentence(CURL_SNAPSHOT):
            made = json.loads(self.two.shell(CURL_SNAPSHOT))
            self.assertEqual((made["node_id"], made["id"]), ("chronos-2", f"snapshot-{made['index']}"))
            self.assertTrue(made["file"].startswith("/var/lib/chronos/"), made)
            self.two.shell(f"cp {made['file']} /backup/snapshot-123")
        wanted = jobs(self.two)
        write(self.one, name="behind-the-snapshot", **QUIET)
        with sentence("Stop all nodes"):
            for machine in self.machines.all:
                machine.stop()
        with sentence("Copy snapshot to data directory"):
            backup = self.two.path("/backup/snapshot-123").read_bytes()
            self.one.path("/backup/snapshot-123").write_bytes(backup)
            self.one.shell("cp /backup/snapshot-123 /var/lib/chronos/")
        with sentence("./chronos --config chronos-1.yaml --restore-snapshot /backup/snapshot-123"):
            self.start(self.one, " --restore-snapshot /backup/snapshot-123")
            self.assertIs(self.machines.settled([self.one]), self.one)
            self.assertEqual(jobs(self.one), wanted)
            self.assertEqual(len(self.one.get("/api/v1/jobs/kept/executions").json["executions"]), 1)
            write(self.one, name="behind-the-restore", **QUIET)
            self.one.stop()
            self.start(self.one, " --restore-snapshot /var/lib/chronos/snapshot-123") # as a service manager does, with the copy
            self.assertIs(self.machines.settled([self.one]), self.one)
            self.assertEqual(jobs(self.one), wanted | {"behind-the-restore"})
            write(self.one, "DELETE", "/behind-the-restore")
        with sentence("Start bootstrap node: the others follow, as they are"):
            self.start(self.two)
            self.start(self.three)
            self.machines.settled(self.machines.all)
            self.same_jobs(wanted)

    def test_09_all_nodes_lost(self):
        exported = jobs(self.one)
        self.one.shell("chronosctl job export -f jobs-backup.yaml")
        for machine in self.machines.all:
            machine.kill9()
            machine.wipe()
        with sentence("./chronos --config chronos-1.yaml --bootstrap"):
            self.start(self.one, " --bootstrap")
            self.assertIs(self.machines.settled([self.one]), self.one)
            self.assertEqual(jobs(self.one), set())
        with sentence("chronosctl job import -f jobs-backup.yaml"):
            self.one.shell("chronosctl job import -f jobs-backup.yaml")
            self.assertEqual(jobs(self.one), exported)
        self.start(self.two)
        self.start(self.three)
        self.machines.settled(self.machines.all)
        self.same_jobs(exported)

    # --- Security ---

    def certify(self):
        """An authority, and a certificate for each node under its name."""
        authority = self.one.path("/backup")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        ca = ["-CA", authority / "ca.crt", "-CAkey", authority / "ca.key", "-CAcreateserial"]

        def openssl(*words):
            subprocess.run(["openssl", *words], check=True, capture_output=True)
        openssl("req", "-x509", *curve, "-subj", "/CN=chronos", "-keyout", ca[3], "-out", ca[1])
        for machine in self.machines.all:
            etc, request = machine.path("/etc/chronos"), authority / "request"
            openssl("req", *curve[:-2], "-subj", "/CN=node", "-addext", f"subjectAltName=DNS:{machine.name}",
                    "-keyout", etc / "server.key", "-out", request)
            openssl("x509", "-req", "-in", request, *ca, "-days", "2", "-copy_extensions", "copy", "-out", etc / "server.crt")
            (etc / "ca.crt").write_bytes(ca[1].read_bytes())

    def test_10_security(self):
        wanted = jobs(self.one)
        self.certify()
        for machine in self.machines.all:
            machine.stop()
            configure(machine, shipped(machine.number).replace("\n\nserver:", f"\n{TLS}\nserver:"))
        with sentence("Use TLS between nodes: cert_file, key_file, ca_file"):
            for machine in self.machines.all:
                self.start(machine)
            self.machines.settled()
            self.same_jobs(wanted)
            for machine in self.machines.all:
                self.assertEqual(machine.metric('chronos_insecure{what="node_links"}'), 0)
            with socket.create_connection((self.one.address, 7000)) as stranger: # who speaks no TLS is not spoken to
                stranger.sendall(b"CHRN")
                wait_for(lambda: "one node speaks TLS and the other does not" in self.one.log(), "the stranger to be refused")
        with sentence("Firewall Raft port (7000) to cluster only"):
            for machine in self.machines.all:
                self.machines.network.nft(machine.number, "add rule inet faults in tcp dport 7000 ip saddr != "
                                          "{ 10.0.0.1, 10.0.0.2, 10.0.0.3 } drop")
            write(self.two, name="behind-a-wall", **QUIET)
            self.machines.settled()
        with sentence("Use authentication for HTTP API"):
            line, token = self.token()
            for machine in self.machines.all:
                machine.path("/etc/chronos/tokens").write_text(line)
                machine.path("/etc/chronos/tokens").chmod(0o600)
                machine.stop()
                machine.environment = {**machine.environment, "CHRONOS_AUTH_TOKENS_FILE": "/etc/chronos/tokens"}
                self.start(machine)
            url = "http://10.0.0.2:8080/api/v1/jobs"
            shown = "curl -s -o /dev/null -w '%{http_code}' "
            wait_for(lambda: all(m.is_ready() for m in self.machines.all), "the nodes to be ready")
            self.assertEqual(shell(f"{shown} {url}"), "401")
            self.assertEqual(shell(f"{shown} -H 'Authorization: Bearer {token}' {url}"), "200")

    @staticmethod
    def token():
        """A line of the file of tokens, and the token."""
        done = subprocess.run([BUILD / "bin" / "chronosctl", "token", "generate", "ops", "-o", "json"], capture_output=True, text=True,
                              check=True)
        answer = json.loads(done.stdout)
        return answer["line"] + "\n", answer["token"]


class Sizes(TestCase):
    """Cluster Sizing, and Split-Brain Prevention."""

    def check(self, size, failures):
        machines = Machines(size, ENVIRONMENT)
        try:
            self.walk(machines, size, failures)
        except Exception:
            tell(machines)
            raise
        finally:
            machines.close()

    def walk(self, machines, size, failures):
        for machine in machines.all:
            peers = ", ".join(f"{m.address}:7000" for m in machines.all[:machine.number - 1])
            configure(machine, re.sub(r"peers: \[\].*", f"peers: [{peers}]", shipped(1)).replace("chronos-1", machine.name).replace(
                "10.0.0.1:7000\n    peers", f"{machine.address}:7000\n    peers").replace(
                    "bootstrap: true", f"bootstrap: {'true' if machine.number == 1 else 'false'}"))
            machine.start(f"./chronos --config {machine.name}.yaml")
            wait_for(machine.is_ready, f"{machine.name} to be ready")
        machines.settled(machines.all)
        with sentence(f"{size} nodes: quorum = {size - failures}, tolerates {failures} failure{'s' if failures > 1 else ''}"):
            for machine in machines.all[:failures]: # the leader first
                machine.kill9()
            left = machines.all[failures:]
            wait_for(lambda: any((s := m.status()) and s["is_leader"] for m in left), "a leader")
            write(left[0], name="still", **QUIET)
        with sentence(f"{size} nodes: need {size - failures} to write"):
            left[-1].kill9()
            wait_for(lambda: left[0].request("POST", "/api/v1/jobs", {"name": "never", **QUIET}).json.get("code") == "NO_QUORUM",
                     "one node less than needed to refuse")
            self.assertEqual(jobs(left[0]), {"still"})

    def test_3_nodes(self):
        self.check(3, 1)

    def test_5_nodes(self):
        self.check(5, 2)

    def test_7_nodes(self):
        self.check(7, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2, failfast=True)
