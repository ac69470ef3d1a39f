"""The servers that are measured: started on loopback ports of their own, ended by pid, data below one temporary folder."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CHRONOS_BUILD", ROOT / "build")).resolve()
PROGRAM = BUILD / "bin" / "chronos"
CHRONOS_PORT, ETCD_PORT, ETCD_PEER_PORT, NGINX_PORT, CHRONOS_PEER_PORT = 18400, 18410, 18411, 18420, 18430
START_DEADLINE_S = 60


class BenchError(Exception):
    """The suite cannot measure this; the sentence says why."""


def require_free_port(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BenchError(f"port {port} is needed and is in use: {error}") from error


def folder_bytes(folder):
    """Blocks that the files take on disk; a file that vanishes meanwhile counts nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


class Server:
    """One process (and its children) of `command`, ready when `ready()` says so."""

    name = "?"
    ports = ()

    def __init__(self, work):
        self.folder = work / self.name
        self.process = None
        self.started = self.ready_after_s = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {"PATH": os.environ["PATH"], "LC_ALL": "C"}

    def ready(self):
        raise NotImplementedError

    def prepare(self):
        """Called before each start."""

    def start(self, poll_s=0.01):
        for port in self.ports:
            require_free_port(port)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        self.log_path = self.folder / "server.log"
        with open(self.log_path, "ab") as log:
            command, environment = self.command(), self.environment()
            self.started = time.monotonic()
            self.process = subprocess.Popen(command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        self.wait_ready(poll_s)
        return self

    def wait_ready(self, poll_s):
        while not self.ready():
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() - self.started > START_DEADLINE_S:
                raise BenchError(f"{self.name} is not ready after {START_DEADLINE_S} s:\n{self.log_tail()}")
            time.sleep(poll_s)
        self.ready_after_s = time.monotonic() - self.started

    def log_tail(self):
        return self.log_path.read_text(errors="replace")[-2000:]

    def stop(self, with_signal=signal.SIGTERM):
        """Ends the process; False if it had ended before by itself."""
        if self.process is None:
            return True
        was_running = self.process.poll() is None
        if was_running:
            self.process.send_signal(with_signal)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        return was_running

    def discard(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            self.discard()
            raise

    def __exit__(self, kind, *ignored):
        ended_by_us, tail = self.stop(), self.log_tail()
        self.discard()
        if not ended_by_us and kind is None:
            raise BenchError(f"{self.name} ended while it was measured:\n{tail}")

    # --- requests ---

    def request(self, method, path, body=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=timeout)
        try:
            data = json.dumps(body) if body is not None else None
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answers(self, path):
        """The status, or None while nobody listens."""
        try:
            return self.request("GET", path, timeout=5)[0]
        except OSError:
            return None


class Chronos(Server):
    """One node with the defaults a user gets, but for what `settings` (lines of YAML by section) says."""

    name = "chronos"
    ports = (CHRONOS_PORT,)

    def __init__(self, work, backend, settings=None):
        super().__init__(work)
        self.backend = backend
        self.settings = settings or {}

    @property
    def data_dir(self):
        return self.folder / "data"

    def cluster_settings(self):
        return ["node_id: bench"]

    def prepare(self):
        sections = {"cluster": [f"data_dir: {self.data_dir}", *self.cluster_settings()],
                    "server": [f"http: {{address: 127.0.0.1:{self.ports[0]}}}"],
                    "storage": [f"backend: {self.backend}"]}
        for section, lines in self.settings.items():
            sections.setdefault(section, []).extend(lines)
        text = "".join(f"{section}:\n" + "".join(f"  {line}\n" for line in lines) for section, lines in sections.items())
        (self.folder / "chronos.yaml").write_text(text)

    def command(self):
        return [str(PROGRAM), "--config", str(self.folder / "chronos.yaml")]

    def ready(self):
        return self.answers("/ready") == 200

    def get_json(self, path, timeout=60):
        status, body = self.request("GET", path, timeout=timeout)
        if status != 200:
            raise BenchError(f"GET {path}: {status} {body[:300]!r}")
        return json.loads(body)

    def metrics(self):
        """Every sample of the metrics page by its full name."""
        samples = {}
        for line in self.request("GET", "/metrics")[1].decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def memory(self):
        """Bytes of the daemon by /proc/<pid>/status, and the private anonymous memory of its children."""
        own = self._status(self.process.pid)
        children = 0
        for child in self._children():
            rollup = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
            children += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss_Anon:")) * 1024
        return {"anonymous": own["RssAnon"] + own["RssShmem"], "resident": own["VmRSS"], "children": children}

    def _children(self):
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue  # it has ended meanwhile
            if parent == self.process.pid:
                yield stat.parent.name

    def cpu_seconds(self):
        """User and system time of the daemon since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def _status(pid):
        fields = {}
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("RssAnon", "RssShmem", "VmRSS"):
                fields[name] = int(value.split()[0]) * 1024
        return fields


class Etcd(Server):
    """One node of etcd with its defaults: every put is on disk before it is answered."""

    name = "etcd"
    ports = (ETCD_PORT, ETCD_PEER_PORT)

    def command(self):
        client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PEER_PORT}"
        return ["etcd", "--name", "bench", "--data-dir", str(self.folder / "data"), "--listen-client-urls", client,
                "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"bench={peer}", "--logger", "zap", "--log-level", "warn"]

    def ready(self):
        return self.answers("/health") == 200

    def key_count(self):
        # A range from the zero byte to the zero byte is every key.
        status, body = self.request("POST", "/v3/kv/range", {"key": "AA==", "range_end": "AA==", "count_only": True})
        if status != 200:
            raise BenchError(f"etcd range: {status} {body[:300]!r}")
        return int(json.loads(body).get("count", 0))


class ChronosMember(Chronos):
    """Node `number` (1 to 3) of a cluster on loopback, with the timeouts of the user's page; the first one founds it."""

    def __init__(self, work, backend, number, settings=None):
        super().__init__(work, backend, settings)
        self.number, self.name = number, f"chronos-{number}"
        self.folder = work / self.name
        self.ports = (CHRONOS_PORT + number, CHRONOS_PEER_PORT + number)

    def cluster_settings(self):
        peers = ", ".join(f'"127.0.0.1:{CHRONOS_PEER_PORT + n}"' for n in range(1, self.number))
        return [f"node_id: {self.name}", f'raft: {{address: "127.0.0.1:{self.ports[1]}", peers: [{peers}], '
                                         f'bootstrap: {"true" if self.number == 1 else "false"}}}']


class EtcdMember(Etcd):
    """Node `number` (1 to 3) of a cluster of etcd with its defaults."""

    def __init__(self, work, number):
        super().__init__(work)
        self.number, self.name = number, f"etcd-{number}"
        self.folder = work / self.name
        self.ports = (ETCD_PORT + 2 * number, ETCD_PORT + 2 * number + 1)

    def command(self):
        client, peer = (f"http://127.0.0.1:{port}" for port in self.ports)
        members = ",".join(f"etcd-{n}=http://127.0.0.1:{ETCD_PORT + 2 * n + 1}" for n in (1, 2, 3))
        return ["etcd", "--name", self.name, "--data-dir", str(self.folder / "data"), "--listen-client-urls", client,
                "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", members, "--initial-cluster-state", "new", "--logger", "zap", "--log-level", "error"]

    def start(self, poll_s=0.01):
        """Ready only with the others: see Trio."""
        self.waits = False
        return super().start(poll_s)

    def wait_ready(self, poll_s):
        if self.waits:
            super().wait_ready(poll_s)


class Trio:
    """Three members, started one after the other and ended together; a context."""

    def __init__(self, *members):
        self.members = members

    def __enter__(self):
        try:
            for member in self.members:
                member.start()
            for member in self.members:
                member.waits = True
                member.wait_ready(0.01)
            return self
        except BaseException:
            self.end()
            raise

    def end(self):
        tails = [m.log_tail() for m in self.members if m.process is not None and m.process.poll() is not None]
        for member in self.members:
            member.stop()
            member.discard()
        return tails

    def __exit__(self, kind, *ignored):
        tails = self.end()
        if tails and kind is None:
            raise BenchError(f"a member ended while it was measured:\n{tails[0]}")

    def leader(self):
        for member in self.members:
            if member.get_json("/api/v1/cluster/status")["is_leader"]:
                return member
        raise BenchError("no member leads")

    def settle(self):
        """All members vote: only then a write needs two disks."""
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            peers = self.members[0].get_json("/api/v1/cluster/status")["peers"]
            if len(peers) == len(self.members) and all(p["state"] in ("Leader", "Follower") for p in peers):
                return
            time.sleep(0.05)
        raise BenchError("the members do not vote")


class Nginx(Server):
    """One worker that answers everything with the same 400 bytes of JSON out of its configuration."""

    name = "nginx"
    ports = (NGINX_PORT,)
    DOCUMENT = '{"id":"job_0","description":"' + "x" * 369 + '"}'
    CONFIG = """worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        default_type application/json;
        location / {{ return 200 '{document}'; }}
        location = /ready {{ return 200 'ready'; }}
    }}
}}
"""

    def prepare(self):
        assert len(self.DOCUMENT) == 400
        (self.folder / "nginx.conf").write_text(
            self.CONFIG.format(folder=self.folder, port=NGINX_PORT, document=self.DOCUMENT))

    def command(self):
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]

    def ready(self):
        return self.answers("/ready") == 200
