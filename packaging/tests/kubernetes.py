"""packaging/kubernetes, tried: three pods as the manifests describe them (pods.py), and what docs/kubernetes.md has people do with them.

    packaging/tests/kubernetes.py FOLDER     as root; FOLDER holds the unpacked packages chronos and chronosctl (usr/bin/chronos, ...)
"""
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from pods import Lab, Pod, instant, manifests, wait_for

FILES = Path(sys.argv.pop()).resolve() if len(sys.argv) > 1 else None
FOUNDED = "founded a cluster of one"
REFUSED = "is a member already, with another data directory"
WAITS = "to say whether there is a cluster"


class Kubernetes(unittest.TestCase):
    """One cluster; each part begins with what the one before has left."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(FILES)
        cls.addClassCleanup(cls.lab.close)
        cls.pods = cls.lab.pods

    def run(self, result=None):
        known = len(result.failures) + len(result.errors)
        began = time.monotonic()
        super().run(result)
        print(f"    {self.id().split('.')[-1]} {time.monotonic() - began:.1f} s", flush=True)
        if len(result.failures) + len(result.errors) > known:
            for pod in self.pods: # what went wrong, as they saw it
                print(f"--- {pod.name}: {pod.process.poll() if pod.process else 'deleted'}\n{pod.log()[-4000:]}", flush=True)

    def settled(self, pods=None):
        """All are ready, vote, and agree on a leader."""
        pods = pods or self.pods
        for pod in pods:
            pod.until_ready()

        def agree():
            states = [pod.status() for pod in pods]
            votes = all({p["id"] for p in s["peers"] if p["voter"]} >= {pod.name for pod in pods} for s in states)
            return votes and len({s["leader_id"] for s in states}) == 1 and next((p for p in pods if p.name == states[0]["leader_id"]), None)
        return wait_for(agree, "the pods to agree on a leader")

    def write(self, **job):
        """Through the service: to a pod that is ready, again while the answer is that nothing was done."""
        def try_once():
            ready = self.lab.ready()
            answer = ready[0].request("POST", "/api/v1/jobs", job) if ready else None
            return answer if answer and answer.status != 503 else None
        answer = wait_for(try_once, "the write to be taken")
        self.assertEqual(answer.status, 201, answer)
        return answer.json["id"]

    def executions(self, job):
        found, cursor = [], ""
        while True:
            answer = self.pods[0].request("GET", f"/api/v1/executions?job={job}&limit=100{cursor}")
            self.assertEqual(answer.status, 200, answer)
            found += answer.json["executions"]
            if not answer.json.get("next_cursor"):
                return found
            cursor = f"&cursor={answer.json['next_cursor']}"

    def jobs(self, pod):
        return {job["name"] for job in pod.request("GET", "/api/v1/jobs?limit=1000").json["jobs"]}

    def operator(self, pod, *command):
        """chronosctl in a pod."""
        return pod.exec("sh", "-c", 'CHRONOS_TOKEN=$(cat /etc/chronos/tokens/node.token) exec chronosctl "$@"', "sh", *command)

    # --- install ---

    def test_01_the_cluster_forms(self):
        # Parallel; pod 0 comes first here and has to wait.
        self.pods[0].start()
        wait_for(lambda: WAITS in self.pods[0].log(), "pod 0 to wait for the others")
        for pod in self.pods[1:]:
            pod.start()
        self.settled()
        self.assertEqual([pod.log().count(FOUNDED) for pod in self.pods], [1, 0, 0])
        for pod in self.pods:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                self.assertTrue(pod.probe(probe), (pod.name, probe))
            self.assertIn('"tls":true', pod.log())
            self.assertNotIn("insecure", pod.log())

    def test_02_the_container(self):
        pod = self.pods[1]
        self.assertEqual(pod.exec("cat", "/proc/1/comm").strip(), "tini")
        who = pod.exec("sh", "-c", "id -u; id -g; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; hostname").split()
        self.assertEqual(who, ["10001", "10001", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", pod.name])
        for path in ("/x", "/etc/chronos/x", "/etc/chronos/config/x", "/etc/chronos/tokens/x", "/etc/chronos/tls/x"):
            self.assertEqual(pod.exec("sh", "-c", f"touch {path} 2>/dev/null || echo refused").strip(), "refused", path)
        pod.exec("sh", "-c", "touch /tmp/x /var/lib/chronos/x && rm /tmp/x /var/lib/chronos/x")

    def test_03_a_job_runs(self):
        job = self.write(name="first", schedule="@manually", command="(sleep 0.1 &) >/dev/null 2>&1; echo $CHRONOS_NODE_ID")
        run = self.pods[2].request("POST", f"/api/v1/jobs/{job}/trigger").json["id"]
        ended = wait_for(lambda: (r := self.pods[0].request("GET", f"/api/v1/executions/{run}").json).get("status") == "success" and r, "the run")
        # What the job left behind has been waited for.
        ran = next(pod for pod in self.pods if pod.name == ended["node_id"])
        def states():
            return ran.exec("sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null | cut -d ' ' -f 2,3")
        wait_for(lambda: "sleep" not in states(), "the process to be gone")

    # --- updates, machines that are drained ---

    def test_04_rolling_restart(self):
        """kubectl rollout restart: from the last pod to the first, each as soon as the one before is ready; each has a new address."""
        job = self.write(name="each-second", schedule="* * * * * *", command="sleep 0.3; echo $CHRONOS_NODE_ID", concurrency="allow")
        began = time.time()
        handed = 0
        for pod in reversed(self.pods):
            address, led = pod.address, pod.status()["is_leader"]
            pod.pre_stop()
            self.assertFalse(pod.status()["is_leader"]) # before SIGTERM
            handed += led
            self.assertEqual(pod.terminate(), 0, pod.log()[-2000:])
            pod.start()
            self.assertNotEqual(pod.address, address)
            pod.until_ready()
        self.assertGreaterEqual(handed, 1)
        self.settled()
        ended = time.time()
        wait_for(lambda: time.time() > ended + 2 and not [e for e in self.executions(job) if e["status"] in ("pending", "running")], "the runs to end")
        runs = self.executions(job)
        slots = [int(instant(e["scheduled_time"])) for e in runs]
        wanted = set(range(int(began) + 2, int(ended)))
        print(f"    {len(wanted)} slots while the pods were replaced, {len({e['node_id'] for e in runs})} nodes ran them")
        self.assertEqual(wanted - set(slots), set(), "slots without a run")
        self.assertEqual(len(slots), len(set(slots)), "slots with two runs")
        self.assertEqual({e["status"] for e in runs}, {"success"})
        self.assertEqual([pod.log().count(FOUNDED) for pod in self.pods], [0, 0, 0])
        leader = self.settled()
        wait_for(lambda: all(p["reachable"] for p in leader.status()["peers"]), "all to be reached at their new addresses")
        self.pods[0].request("DELETE", f"/api/v1/jobs/{job}")

    # --- more pods, and fewer ---

    def test_05_scale(self):
        more = [Pod(self.lab, 3), Pod(self.lab, 4)]
        self.pods.extend(more)
        for pod in more:
            pod.start()
        self.settled()
        for pod in reversed(more):
            self.operator(self.pods[0], "cluster", "remove", pod.name)
            self.assertEqual(pod.delete(), 0)
            self.pods.remove(pod)
            wait_for(lambda p=pod: p.name not in {m["id"] for m in self.pods[0].status()["peers"]}, f"{pod.name} to have left")
        self.assertEqual(len(self.settled().status()["peers"]), 3)

    # --- volumes that are lost ---

    def lose_volume(self, pod):
        others = [p for p in self.pods if p is not pod]
        pod.kill9()
        pod.new_volume()
        pod.start()
        wait_for(lambda: REFUSED in pod.log(), f"{pod.name} not to be admitted")
        self.assertTrue(pod.probe("livenessProbe"))
        self.assertFalse(pod.probe("readinessProbe"))
        self.settled(others)
        self.write(name=f"without-{pod.name}", schedule="@manually", command="true")
        self.operator(others[0], "cluster", "remove", pod.name)
        self.settled()
        self.assertNotIn(FOUNDED, pod.log())
        wait_for(lambda: self.jobs(pod) == self.jobs(others[0]), "it to have the jobs")

    def test_06_a_volume_is_lost(self):
        self.lose_volume(self.pods[2])

    def test_07_the_volume_of_pod_0_is_lost(self):
        self.lose_volume(self.pods[0])

    def test_08_pod_0_is_alone_without_its_volume(self):
        """Even where it is no member any more, so that nobody would call it, and nobody can be asked: it waits."""
        zero, one, two = self.pods
        zero.kill9()
        zero.new_volume()
        self.operator(one, "cluster", "remove", zero.name)
        for pod in (one, two):
            pod.kill9()
        zero.start()
        wait_for(lambda: WAITS in zero.log(), "pod 0 to wait for the others")
        self.assertNotIn("chronos started", zero.log())
        one.start() # one of two members leads nobody, and says that there is a cluster all the same
        wait_for(lambda: "asking for admission" in zero.log(), "pod 0 to ask for admission")
        two.start()
        self.settled()
        self.assertNotIn(FOUNDED, zero.log())
        self.assertIn("first", self.jobs(zero))

    # --- all at once ---

    def test_09_all_down_and_up(self):
        for pod in self.pods:
            pod.kill9()
        for pod in self.pods:
            pod.start()
        self.settled()
        self.assertEqual([pod.log().count(FOUNDED) for pod in self.pods], [0, 0, 0])
        self.assertTrue(all("first" in self.jobs(pod) for pod in self.pods))

    # --- certificates, backup and restore ---

    def expiry(self, pod):
        text = pod.request("GET", "/metrics").body.decode()
        return float(re.search(r'^chronos_tls_certificate_expiry_time_seconds{what="node_links"} (\S+)$', text, re.M)[1])

    def test_10_a_new_certificate(self):
        before = [self.expiry(pod) for pod in self.pods]
        self.lab.make_certificate(3)
        for pod in self.pods:
            pod.exec("sh", "-c", "kill -HUP 1")
            wait_for(lambda p=pod: "certificate of the node links read again" in p.log() and "tokens read again" in p.log(), "SIGHUP to arrive")
        self.assertTrue(all(self.expiry(pod) > old + 80000 for pod, old in zip(self.pods, before)))
        self.settled()

    def test_11_restore(self):
        zero, one, two = self.pods
        with tempfile.TemporaryDirectory() as folder:
            backup = Path(folder) / "snapshot"
            subprocess.run([FILES / "usr/bin/chronosctl", "--server", f"{zero.address}:8080", "cluster", "snapshot", "-f", backup],
                           env={"CHRONOS_TOKEN": self.lab.token}, check=True, capture_output=True)
            self.write(name="after-the-backup", schedule="@manually", command="true")
            restore = zero.volume / "restore" # kubectl cp
            restore.write_bytes(backup.read_bytes())
            os.chown(restore, 10001, 10001)
        for pod in self.pods: # kubectl scale --replicas=0
            pod.delete()
        for count in (1, 2, 3): # --replicas=1, 2, 3
            self.pods[count - 1].start()
            self.settled(self.pods[:count])
        for pod in self.pods:
            self.assertIn("first", self.jobs(pod))
            self.assertNotIn("after-the-backup", self.jobs(pod))
        self.write(name="after-the-restore", schedule="@manually", command="true")
        zero.delete() # the file lies there still
        zero.start()
        self.settled()
        self.assertIn("after-the-restore", self.jobs(zero))

    # --- what the manifests promise each other ---

    def test_12_names_and_times(self):
        spec = self.lab.spec
        labels = self.lab.set["spec"]["template"]["metadata"]["labels"]
        nodes, api = manifests("services.yaml")
        self.assertEqual(nodes["metadata"]["name"], self.lab.domain)
        self.assertEqual((nodes["spec"]["clusterIP"], nodes["spec"]["publishNotReadyAddresses"]), ("None", True))
        [budget], [policy] = manifests("disruption.yaml"), manifests("network.yaml")
        for selector in (nodes["spec"]["selector"], api["spec"]["selector"], self.lab.set["spec"]["selector"]["matchLabels"],
                         budget["spec"]["selector"]["matchLabels"], policy["spec"]["podSelector"]["matchLabels"]):
            self.assertEqual(selector, labels)
        self.assertEqual(budget["spec"]["maxUnavailable"], 1)
        self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], 12 + 30 + 10)
        self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})


if __name__ == "__main__":
    if FILES is None or os.geteuid() != 0:
        sys.exit(__doc__)
    unittest.main(failfast=True)
