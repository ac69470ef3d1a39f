# ctest: once release timeout=900
"""Snapshots on their way, and somebody dies, stops, hands over, or has no room: all nodes come to one state, and every data directory is
sound afterwards.

One cluster serves all attacks. It was restored from a snapshot, so its log begins behind that: every node that joins is sent one, of
some 60 pieces."""
import base64
import concurrent.futures
import os
import random
import shutil
import subprocess
import tempfile
import unittest

from harness import Node, TestCase, wait_for
from members import QUIET, Cluster, Member, write
from test_disk_full import MAY_MOUNT

JOBS = 300
prepared = {}


def make_snapshot(path):
    """Of jobs that cannot be compressed."""
    chance = random.Random(1)
    with Node("executors:\n  shell: {}\n") as node:
        def create(i):
            noise = base64.b64encode(chance.randbytes(96000)).decode()
            node.create(name=f"job-{i}", schedule="@manually", executor="shell", config={"command": f": {noise}"})
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(create, range(JOBS)))
        answer = node.post("/api/v1/cluster/snapshot")
        assert answer.status == 201, answer
        shutil.copy(answer.json["file"], path)
        return answer.json["size_bytes"]


def setUpModule():
    folder = tempfile.TemporaryDirectory(prefix="chronos-test-")
    unittest.addModuleCleanup(folder.cleanup)
    file = os.path.join(folder.name, "snapshot")
    prepared["size"] = make_snapshot(file)
    cluster = Cluster()
    unittest.addModuleCleanup(cluster.__exit__)
    cluster.nodes[0].arguments = ["--restore-snapshot", file] # also when it starts again: then it changes nothing
    cluster.__enter__()
    prepared["cluster"] = cluster
    prepared["next"] = 4


class Joiner(Member):
    """A node that joins, and thus receives."""

    def __init__(self, number, peers):
        super().__init__(number, peers=peers)
        self.incoming = self.data_dir / "snapshots" / "incoming"

    def received(self):
        try:
            return self.incoming.stat().st_size
        except FileNotFoundError:
            return 0

    def has_installed(self):
        return "has taken the place of this node's state and log" in self.log()

    def reaches(self, moment):
        """Waits for the moment; one that was too short to be seen is over."""
        reached = {
            "begun": lambda: self.received() > 0,
            "half": lambda: self.received() >= prepared["size"] / 2,
            "loading": lambda: (self.data_dir / "state-2").exists(),
            "installed": lambda: False,
        }[moment]
        wait_for(lambda: reached() or self.has_installed(), f"{self.name} to come to: {moment}", 60)


class FaultCase(TestCase):
    def setUp(self):
        self.cluster = prepared["cluster"]
        self.base = self.cluster.nodes[:]
        self.addCleanup(self.dismiss)

    def joiner(self):
        node = Joiner(prepared["next"], self.base)
        prepared["next"] += 1
        self.cluster.nodes.append(node)
        return node

    def dismiss(self):
        """Those that joined go again, whatever has become of them; those that were there before run."""
        for node in self.base:
            if node.process.poll() is not None:
                node.start()
        for node in self.cluster.nodes[len(self.base):]:
            node.close()
            wait_for(lambda: self.cluster.leader().delete(f"/api/v1/cluster/nodes/{node.name}").status in (200, 202, 204, 404),
                     f"{node.name} to be removed", 60)
        self.cluster.nodes[:] = self.base
        self.cluster.settle()

    def sound(self, node):
        answer = subprocess.run([str(node.program), "store", "check", str(node.data_dir)], env=node.full_environment(),
                                cwd=node.work, capture_output=True, text=True, timeout=120)
        self.assertEqual((answer.returncode, answer.stderr), (0, ""), answer)

    def jobs(self, node):
        return sorted((j["id"], j["name"], j["version"]) for j in node.get("/api/v1/jobs?limit=1000&fields=id,name,version").json["jobs"])

    def one_state(self):
        """Everybody is a member, has everything, and takes writes; who joined is sound on disk."""
        for node in self.cluster.nodes[len(self.base):]: # the leader asks a node that went away again after longer and longer waits
            wait_for(lambda: node.status()["applied_index"] >= JOBS, f"{node.name} to have the state", 120)
        self.cluster.settle()
        name = f"after-{prepared['next']}"
        write(self.cluster.nodes[-1], name=name, **QUIET)
        wait_for(lambda: len({n.status()["applied_index"] for n in self.cluster.nodes}) == 1, "all nodes to stand at one index")
        expected = self.jobs(self.base[0])
        self.assertIn(name, [j[1] for j in expected])
        self.assertGreaterEqual(len(expected), JOBS + 1)
        for node in self.cluster.nodes[1:]:
            self.assertEqual(self.jobs(node), expected, node.name)
        for node in self.cluster.nodes[len(self.base):]:
            self.assertEqual(node.stop(), 0)
            self.sound(node)


class Receiver(FaultCase):
    def test_killed(self):
        for moment in ("begun", "half", "loading", "installed"):
            with self.subTest(moment=moment):
                node = self.joiner().begin()
                node.reaches(moment)
                node.kill9()
                self.sound(node)
                node.begin()
                self.one_state()
                self.dismiss()

    def test_killed_again_and_again(self):
        node = self.joiner()
        for _ in range(6):
            node.begin()
            node.reaches("loading")
            node.kill9()
        node.begin()
        self.one_state()

    def test_stopped(self):
        for moment in ("begun", "half", "loading", "installed"):
            with self.subTest(moment=moment):
                node = self.joiner().begin()
                node.reaches(moment)
                self.assertEqual(node.stop(), 0)
                self.sound(node)
                node.begin()
                self.one_state()
                self.dismiss()

    def test_two_at_once(self):
        first, second = self.joiner().begin(), self.joiner().begin()
        first.reaches("half")
        second.kill9()
        second.begin()
        self.one_state()


class Sender(FaultCase):
    def test_killed(self):
        node = self.joiner().begin()
        node.reaches("half")
        sender = self.cluster.leader()
        sender.kill9()
        wait_for(node.has_installed, "the next leader to send all of it", 60)
        sender.start()
        self.one_state()

    def test_stopped(self):
        node = self.joiner().begin()
        node.reaches("begun")
        sender = self.cluster.leader()
        self.assertEqual(sender.stop(), 0)
        wait_for(node.has_installed, "the next leader to send all of it", 60)
        sender.start()
        self.one_state()

    def test_hands_over(self):
        node = self.joiner().begin()
        for moment in ("begun", "half"):
            node.reaches(moment)
            self.cluster.leader().post("/api/v1/cluster/transfer-leadership") # one that fails is as good
        wait_for(node.has_installed, "all of it to arrive", 60)
        self.one_state()

    def test_takes_another_one_meanwhile(self):
        """The snapshot that is being sent stays what it was, also where nothing has changed since it was written."""
        def take():
            answer = self.cluster.leader().post("/api/v1/cluster/snapshot")
            self.assertEqual(answer.status, 201, answer)
        take()
        take()
        node = self.joiner().begin()
        node.reaches("begun")
        take()
        take()
        wait_for(node.has_installed, "all of it to arrive", 60)
        self.assertNotIn("cannot be stored", node.log())
        self.one_state()


class Taker(FaultCase):
    def temporary(self, node):
        return [n for n in os.listdir(node.data_dir / "snapshots") if n.endswith(".tmp")]

    def test_goes_down_meanwhile(self):
        node = self.joiner().begin()
        wait_for(node.has_installed, "it to be a copy", 60)
        self.cluster.settle()
        for down in (node.terminate, node.kill9):
            write(self.cluster.leader(), name=f"before-{down.__name__}-{node.number}", **QUIET)
            wait_for(lambda: len({n.status()["applied_index"] for n in self.cluster.nodes}) == 1, "one index")
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(node.post, "/api/v1/cluster/snapshot")
                wait_for(lambda: self.temporary(node) or asked.done(), "the file to be written")
                down()
                node.wait_exit(60)
                try:
                    self.assertIn(asked.result().status, (201, 503))
                except OSError:
                    pass # killed
            self.sound(node)
            node.start()
            self.assertEqual(self.temporary(node), [])
        self.one_state()


@unittest.skipUnless(MAY_MOUNT, "needs root and mount(2)")
class FullDisk(FaultCase):
    def small(self, size):
        node = self.joiner()
        node.environment["CHRONOS_STORAGE_MIN_FREE"] = "0"
        node.data_dir.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "chronos-test", str(node.data_dir)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(node.data_dir)], check=False)
        return node

    def fill(self, node, leave):
        path = node.data_dir / "ballast"
        disk = os.statvfs(node.data_dir)
        with open(path, "wb", buffering=0) as ballast:
            os.posix_fallocate(ballast.fileno(), 0, disk.f_bavail * disk.f_frsize - leave)
        return path

    def until_there_is_room(self, leave, what, stopped=False):
        node = self.small("400m")
        ballast = self.fill(node, leave)
        node.begin()
        wait_for(lambda: what in node.log(), what, 60)
        self.assertIsNone(node.process.poll())
        if stopped:
            self.assertEqual(node.stop(), 0)
            self.sound(node)
            ballast.unlink() # a start needs a little room
            node.begin()
        else:
            ballast.unlink()
        wait_for(node.has_installed, "all of it to arrive", 120)
        self.one_state()

    def test_while_it_arrives(self):
        self.until_there_is_room(prepared["size"] // 2, "a snapshot that is being received cannot be stored")

    def test_while_it_is_loaded(self):
        self.until_there_is_room(prepared["size"] * 3 // 2, "a snapshot that was received cannot be taken over")

    def test_stopped_while_it_is_full(self):
        self.until_there_is_room(prepared["size"] // 2, "a snapshot that is being received cannot be stored", stopped=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
