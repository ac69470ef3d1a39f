"""Real daemons in the namespaces of network.py, with real configuration files, and everything that can happen to them."""
import http.client
import json
import os
import shutil
import signal
import struct
import subprocess
from pathlib import Path

from harness import BUILD, Answer, wait_for
from network import ALONG, address, run

HERE = Path(__file__).resolve().parent
# As on the user's page, with a lease that is short enough for a test; snapshots are written every few seconds.
ELECTION_S, LEASE_S = 1.0, 6.0
DISK = "192m"
PATIENCE_S = 60


def build_shim(folder):
    library = folder / "shim.so"
    run("gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, HERE / "shim.c")
    return library


def request(number, method, path, body=None, headers=None, timeout=10.0):
    """Raises ConnectionRefusedError or OSError as the network does; the calling process is in the switch's namespace."""
    connection = http.client.HTTPConnection(address(number), 8080, timeout=timeout)
    try:
        data = None if body is None else json.dumps(body)
        headers = {**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})}
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


class Node:
    def __init__(self, cluster, number, peers, bootstrap):
        self.cluster, self.number, self.name = cluster, number, f"chronos-{number}"
        self.folder = cluster.folder / self.name
        self.data = self.folder / "data"
        self.control = self.folder / "control"
        self.log_path = self.folder / "log"
        self.process = None
        self.frozen = False
        self.data.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "chronos-faults", self.data)
        self.set_control()
        self.configure(peers, bootstrap)

    def configure(self, peers, bootstrap=False):
        listed = ", ".join(f'"{address(p)}:7000"' for p in peers)
        (self.folder / "chronos.yaml").write_text(f"""
cluster:
  node_id: {self.name}
  data_dir: {self.data}
  raft:
    address: {address(self.number)}:7000
    peers: [{listed}]
    bootstrap: {"true" if bootstrap else "false"}
    heartbeat_timeout: {int(ELECTION_S * 500)}ms
    election_timeout: {int(ELECTION_S * 1000)}ms
    snapshot_threshold: 1000
server:
  http:
    address: {address(self.number)}:8080
storage:
  backend: {self.cluster.backend}
  min_free: 16MiB
  executions_per_job: 1000000
executors:
  lease_timeout: {int(LEASE_S * 1000)}ms
  shell: {{}}
scheduler:
  grace: 1s
  missed_run_policy: execute_all
  catchup_limit: 10000
""")

    # --- life ---

    def start(self):
        environment = {"PATH": os.environ["PATH"], "LD_PRELOAD": str(self.cluster.shim), "CHRONOS_TEST_SHIM": str(self.control)}
        command = [*ALONG, "ip", "netns", "exec", self.cluster.network.of(self.number),
                   "env", "-i", *(f"{k}={v}" for k, v in environment.items()),
                   str(BUILD / "bin" / "chronos"), "--config", str(self.folder / "chronos.yaml")]
        with open(self.log_path, "ab") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        return self

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        """What this start has logged so far."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_from)
            return log.read().decode(errors="replace")

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=PATIENCE_S)
        assert code == 0, f"{self.name} was stopped and ended with {code}:\n{self.log()[-3000:]}"

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self):
        self.frozen = False
        self.process.send_signal(signal.SIGCONT)

    def wipe(self):
        for path in self.data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    # --- faults of its machine ---

    def set_control(self, clock_offset_s=0.0, sync_delay_s=0.0):
        """What shim.c reads; the file stays in place, since it is mapped."""
        self.control.touch()
        with open(self.control, "r+b", buffering=0) as file:
            file.write(struct.pack("qq", int(clock_offset_s * 1e9), int(sync_delay_s * 1e6)))

    def fill_disk(self, leave_bytes):
        with open(self.data / "ballast", "ab", buffering=0) as ballast:
            while True:
                disk = os.statvfs(self.data)
                missing = disk.f_bavail * disk.f_frsize - leave_bytes
                if missing <= 0:
                    return
                try:
                    ballast.write(b"\0" * min(missing, 1 << 20))
                except OSError:
                    return # full to the last byte

    def empty_disk(self):
        (self.data / "ballast").unlink(missing_ok=True)

    # --- requests ---

    def request(self, *arguments, **more):
        return request(self.number, *arguments, **more)

    def status(self):
        """None where it does not answer."""
        try:
            answer = self.request("GET", "/api/v1/cluster/status", timeout=2)
        except OSError:
            return None
        return answer.json if answer.status == 200 else None

    def is_ready(self):
        assert self.runs(), f"{self.name} ended with {self.process.poll()}:\n{self.log()[-3000:]}"
        try:
            return self.request("GET", "/ready", timeout=2).status == 200
        except OSError:
            return False


class Cluster:
    def __init__(self, folder, network, size, backend="lmdb"):
        self.folder, self.network, self.backend = folder, network, backend
        self.shim = build_shim(folder)
        self.nodes = []
        for number in range(1, size + 1):
            self.add(bootstrap=number == 1)

    def add(self, bootstrap=False):
        number = len(self.nodes) + 1
        self.network.add(number)
        self.nodes.append(Node(self, number, [n.number for n in self.nodes], bootstrap))
        return self.nodes[-1]

    def form(self):
        """As the user's page says: the first one leads before the others come."""
        for node in self.nodes:
            node.start()
            wait_for(node.is_ready, f"{node.name} to be ready", PATIENCE_S)
        self.settle()

    def members(self):
        return [n for n in self.nodes if n.runs()]

    def settle(self, deadline_s=PATIENCE_S):
        """Every member runs, votes, agrees on one leader, and has what the others have."""
        def agreed():
            states = [n.status() for n in self.nodes]
            if not all(states):
                return None
            leaders = {s["leader_id"] for s in states}
            voters = all(len(s["peers"]) == len(self.nodes) and all(p["state"] != "Learner" for p in s["peers"]) for s in states)
            return voters and len(leaders) == 1 and None not in leaders and all(n.is_ready() for n in self.nodes)
        wait_for(agreed, "all nodes to agree on a leader", deadline_s)

    def leader(self):
        """The node that leads by its own word with the highest term, None if none does."""
        states = [(s["term"], n) for n in self.members() if not n.frozen and (s := n.status()) and s["is_leader"]]
        return max(states, key=lambda pair: pair[0])[1] if states else None

    def await_leader(self):
        return wait_for(self.leader, "a leader", PATIENCE_S)

    def dead(self):
        """Nodes that ended although nobody ended them: to be asked only while all should run."""
        return [n for n in self.nodes if not n.runs()]

    def close(self):
        for node in self.nodes:
            if node.runs():
                node.kill9()
