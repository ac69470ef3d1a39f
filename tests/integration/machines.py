"""Machines for what a user's page says literally: machine N is 10.0.0.N and has a root folder of its own, so that every node can have
its data in /var/lib/chronos, its backup in /backup and its certificates in /etc/chronos. The test itself is on a machine beside them.

The network is that of the fault tests; all else of the root folder is this machine's.
"""
import http.client
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import BUILD, DEADLINE_S, ROOT, Answer, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))
# pylint: disable=wrong-import-position
import network as net

SUBNET = "10.0.0"
# Mounts are seen only by what is started here: `ip netns exec` gives it a mount namespace.
ENTER = r"""
root=$1 build=$2
shift 2
for place in /*; do
    inside=$root$place
    case $place in /backup|/etc|/srv|/var) continue ;; esac
    if [ -L "$place" ]; then
        [ -L "$inside" ] || cp -P "$place" "$inside"
    elif [ -d "$place" ]; then
        mkdir -p "$inside"
        mount --rbind "$place" "$inside"
    fi
done
if [ ! -d "$root$build" ]; then
    mkdir -p "$root$build"
    mount --bind "$build" "$root$build"
fi
exec chroot "$root" sh -c 'cd /srv && exec "$@"' sh "$@"
"""
OF_ETC = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime", "alternatives")


class Machine:
    def __init__(self, network, number, environment):
        self.network, self.number, self.name = network, number, f"chronos-{number}"
        self.address = network.address(number)
        self.environment = environment
        self.root = network.folder / f"machine-{number}"
        self.data = self.path("/var/lib/chronos")
        self.log_path = self.root / "srv" / "log"
        self.process = None
        for folder in ("backup", "etc/chronos", "srv", "var/lib/chronos", "var/tmp"):
            (self.root / folder).mkdir(parents=True)
        self.data.chmod(0o700)
        for name in OF_ETC:
            if os.path.lexists(f"/etc/{name}"):
                subprocess.run(["cp", "-a", f"/etc/{name}", self.root / "etc"], check=True)
        (self.root / "srv" / "chronos").symlink_to(BUILD / "bin" / "chronos")
        (self.root / "srv" / "chronosctl").symlink_to(BUILD / "bin" / "chronosctl")
        network.add(number)

    def path(self, of_machine):
        """Where a file of the machine lies for the test."""
        return self.root / of_machine.lstrip("/")

    def inside(self, *command):
        return [*net.ALONG, "ip", "netns", "exec", self.network.of(self.number),
                "env", "-i", *(f"{k}={v}" for k, v in self.full_environment().items()),
                "sh", "-euc", ENTER, "enter", str(self.root), str(BUILD), *command]

    def full_environment(self):
        return {"PATH": "/srv:" + os.environ["PATH"], **self.environment,
                **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}

    # --- the node ---

    def start(self, command):
        """A command line of the page, in /srv; waits for nothing."""
        with open(self.log_path, "ab") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen(self.inside("sh", "-c", f"exec {command}"), stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def log(self):
        """What this start has logged so far."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_from)
            return log.read().decode(errors="replace")

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=60)
        assert code == 0, f"{self.name} was stopped and ended with {code}:\n{self.log()[-3000:]}"

    def wipe(self):
        for path in self.data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    # --- commands and requests ---

    def shell(self, command, check=True):
        """What a user types on this machine; the answer is what it prints."""
        return typed(self.inside("sh", "-c", command), command, check)

    def request(self, method, path, body=None, timeout=DEADLINE_S):
        """From the test's machine. Raises OSError as the network does."""
        connection = http.client.HTTPConnection(self.address, 8080, timeout=timeout)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def status(self):
        """None where it does not answer."""
        try:
            answer = self.get("/api/v1/cluster/status", timeout=2)
        except OSError:
            return None
        return answer.json if answer.status == 200 else None

    def is_ready(self):
        assert self.runs(), f"{self.name} ended with {self.process.poll()}:\n{self.log()[-3000:]}"
        try:
            return self.get("/ready", timeout=2).status == 200
        except OSError:
            return False

    def metric(self, name):
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return None


def typed(command, shown, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S * 2, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, f"{shown}: ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def shell(command, check=True):
    """What a user types on a machine beside the nodes."""
    return typed(["sh", "-c", command], command, check)


class Machines:
    """A few of them, and the test's process among them."""

    def __init__(self, size, environment=None):
        net.sweep()
        self.environment = environment or {}
        self.folder, self.lock = net.make_work_folder()
        self.network = net.Network(self.folder, SUBNET)
        self.all = []
        for _ in range(size):
            self.add()
        with open("/proc/self/ns/net") as self.home:
            self.home_fd = os.dup(self.home.fileno())
        net.enter(self.network.switch)

    def add(self):
        self.all.append(Machine(self.network, len(self.all) + 1, self.environment))
        return self.all[-1]

    def running(self):
        return [m for m in self.all if m.runs()]

    def settled(self, members=None):
        """All members vote, agree on a leader that is one of them, and stand at one index. The leader, once that is so."""
        names = {m.name for m in members or self.running()}

        def agree():
            states = [m.status() for m in self.running() if m.name in names]
            if not all(states) or len({s["leader_id"] for s in states}) != 1 or states[0]["leader_id"] not in names:
                return None
            if any({p["id"] for p in s["peers"]} < names or any(p["state"] == "Learner" for p in s["peers"]) for s in states):
                return None
            if len({s["applied_index"] for s in states}) != 1 or not all(m.is_ready() for m in self.running() if m.name in names):
                return None
            return next(m for m in self.all if m.name == states[0]["leader_id"])
        return wait_for(agree, f"{sorted(names)} to agree on a leader")

    def close(self):
        for machine in self.running():
            machine.kill9()
        net.libc.setns(self.home_fd, net.CLONE_NEWNET) # before the namespaces go
        os.close(self.home_fd)
        self.network.close()
        shutil.rmtree(self.folder)
        self.lock.close()


def shipped(number):
    """configs/cluster/chronos-N.yaml, which are the files of the page."""
    return (ROOT / "configs" / "cluster" / f"chronos-{number}.yaml").read_text()
