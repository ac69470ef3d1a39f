"""A small network of namespaces: a switch, where the clients are too, and one namespace for each node.

    switch   10.77.0.254 on the bridge br0; its ports p1, p2, ... lead to the nodes
    node N   10.77.0.N on its eth0

Nothing of it is reachable from outside. Packets are lost to nft in the namespace that would receive them, and slow behind a
wire (wire.py) between a port and the bridge, so the kernel needs neither netem nor tbf. Namespaces carry the name of the work
folder; sweep() takes down what a test left behind that was killed.
"""
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PREFIX = "chronos-faults-"
SUBNET = "10.77.0"
CLIENTS = 254
CLONE_NEWNET = 0x40000000
HERE = Path(__file__).resolve().parent
libc = ctypes.CDLL(None, use_errno=True)


# What it starts is killed with it, even where it cannot do so itself any more.
ALONG = ("setpriv", "--pdeathsig", "SIGKILL")


def run(*command, check=True):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def address(number, subnet=SUBNET):
    return f"{subnet}.{number}"


def enter(namespace):
    """The calling thread, and the sockets and processes that it makes from now on, are in that namespace."""
    with open(f"/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"enter the network namespace {namespace}")


def make_work_folder():
    """A folder for one run, locked for as long as this process lives: that is how sweep() knows whose it is."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o755)
    lock = open(folder / "lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock.fileno(), False)
    return folder, lock


def namespaces(prefix):
    return [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.startswith(prefix)]


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def take_down(folder):
    """Everything that the run with this work folder made, by name: processes, namespaces, mounts."""
    for name in namespaces(folder.name + "-"):
        for pid in map(int, run("ip", "netns", "pids", name, check=False).split()):
            if pid != os.getpid(): # this process is where its clients are
                kill(pid)
        run("ip", "netns", "delete", name, check=False)
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            if line.split()[1].startswith(f"{folder}/"):
                run("umount", "-l", line.split()[1], check=False)


def sweep():
    """Takes down what runs left that are no more."""
    folders = {Path(tempfile.gettempdir()) / name.rsplit("-", 1)[0] for name in namespaces(PREFIX)}
    folders |= set(Path(tempfile.gettempdir()).glob(PREFIX + "*"))
    for folder in folders:
        try:
            with open(folder / "lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass
        except BlockingIOError:
            continue # it is alive
        take_down(folder)
        if not (folder / "kept").exists():
            shutil.rmtree(folder, ignore_errors=True)


class Network:
    def __init__(self, folder, subnet=SUBNET):
        self.folder, self.subnet = folder, subnet
        self.numbers = []
        self.wires = {}
        self.switch = self.namespace("s")
        try:
            run("ip", "netns", "add", self.switch)
            run("ip", "netns", "exec", self.switch, "nft", "add", "table", "inet", "faults")
        except (RuntimeError, FileNotFoundError) as reason:
            raise SystemExit(f"the fault tests need network namespaces and nft, and this machine has them not: {reason}") from None
        ip = ("ip", "-n", self.switch)
        run(*ip, "link", "set", "lo", "up")
        run(*ip, "link", "add", "br0", "type", "bridge")
        run(*ip, "addr", "add", f"{self.address(CLIENTS)}/24", "dev", "br0")
        run(*ip, "link", "set", "br0", "up")
        # A port that hangs on a wire has no address, and must not answer for the bridge's.
        run("ip", "netns", "exec", self.switch, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore")

    def address(self, number):
        return address(number, self.subnet)

    def namespace(self, what):
        return f"{self.folder.name}-{what}"

    def of(self, number):
        return self.namespace(f"n{number}")

    def add(self, number):
        name, port = self.of(number), f"p{number}"
        run("ip", "netns", "add", name)
        run("ip", "-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "-n", self.switch, "link", "set", port, "master", "br0", "up")
        run("ip", "-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            run("ip", "-n", name, "link", "set", link, "up")
        self.nft(number, "add table inet faults; add chain inet faults in { type filter hook input priority 0; }")
        self.numbers.append(number)

    def nft(self, number, rules):
        run("ip", "netns", "exec", self.of(number), "nft", rules)

    # --- faults ---

    def drop(self, source, target):
        """Nothing that `source` sends reaches `target`; the other way stays open."""
        self.nft(target, f"add rule inet faults in ip saddr {self.address(source)} drop")

    def lose(self, source, target, percent):
        self.nft(target, f"add rule inet faults in ip saddr {self.address(source)} numgen random mod 100 < {percent} drop")

    def cut(self, one, other):
        self.drop(one, other)
        self.drop(other, one)

    def heal(self):
        for number in self.numbers:
            self.nft(number, "flush chain inet faults in")
        for number in list(self.wires):
            self.unplug(number)

    def plug(self, number, delay_ms, jitter_ms, duplicate, seed):
        """A slow wire between the node and the switch, in both directions; jitter reorders."""
        ip = ("ip", "-n", self.switch)
        port, near, far = f"p{number}", f"w{number}", f"q{number}"
        run(*ip, "link", "add", near, "type", "veth", "peer", "name", far)
        run(*ip, "link", "set", near, "up")
        run(*ip, "link", "set", far, "master", "br0", "up")
        run(*ip, "link", "set", port, "nomaster")
        self.wires[number] = subprocess.Popen(
            [*ALONG, "ip", "netns", "exec", self.switch, sys.executable, "-B", str(HERE / "wire.py"), port, near, str(delay_ms),
             str(jitter_ms), str(duplicate), str(seed)], stdin=subprocess.DEVNULL)

    def unplug(self, number):
        wire = self.wires.pop(number)
        died = wire.poll()
        wire.kill()
        wire.wait()
        run("ip", "-n", self.switch, "link", "delete", f"w{number}", check=False)
        run("ip", "-n", self.switch, "link", "set", f"p{number}", "master", "br0")
        if died is not None:
            raise RuntimeError(f"the wire of node {number} ended with {died}")

    def close(self):
        for wire in self.wires.values():
            wire.kill()
            wire.wait()
        take_down(self.folder)
