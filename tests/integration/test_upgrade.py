# ctest: once release builds timeout=600
"""A cluster is upgraded node by node: the build of an earlier commit beside the new one, each leading the other, while jobs fire and
clients write.

The earlier build is made here, from the newest commit with the formats of this tree (upgrade_epoch.txt) that differs from it in what
is built; CHRONOS_TEST_UPGRADE_FROM names another one. A tree that is not a git clone, or a shallow one, cannot be tested and fails.
"""
import os
import subprocess
import tempfile
import threading
import unittest
from collections import Counter
from pathlib import Path

from harness import BUILD, ROOT, TestCase, instant, wait_for
from members import QUIET, Cluster, write

EPOCH = "tests/integration/upgrade_epoch.txt"
BUILT = ["core", "plugins", "sdk", "CMakeLists.txt"]
NEW = BUILD / "bin" / "chronos"
LOOK_BACK = 200 # commits
MEND = "run the test in a clone with its history: git fetch --unshallow"


def git(*arguments, code=(0,)):
    done = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode not in code:
        raise AssertionError(f"git {' '.join(arguments)}: {done.stderr.decode().strip()} ({MEND})")
    return done


def epoch_of(text):
    return text.split(maxsplit=1)[0]


def earlier_commit():
    """HEAD itself where no earlier commit has these formats: its build must work with itself, too."""
    if "CHRONOS_TEST_UPGRADE_FROM" in os.environ:
        return os.environ["CHRONOS_TEST_UPGRADE_FROM"]
    wanted = epoch_of((ROOT / EPOCH).read_text())
    first_parents = git("rev-list", "--first-parent", f"-n{LOOK_BACK}", "HEAD").stdout.decode().split()
    others = git("rev-list", f"-n{LOOK_BACK}", "HEAD").stdout.decode().split()
    for commit in first_parents + others:
        there = git("show", f"{commit}:{EPOCH}", code=(0, 128))
        if there.returncode != 0 or epoch_of(there.stdout.decode()) != wanted:
            continue
        if git("diff", "--quiet", commit, "--", *BUILT, code=(0, 1)).returncode == 1:
            return commit
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != b"false":
        raise AssertionError(f"the history is cut off before any commit with other sources: {MEND}")
    return first_parents[0]


def build(commit, folder):
    """The daemon of that commit, with what these tests need."""
    packed = Path(folder) / "sources.tar"
    git("archive", "-o", str(packed), commit)
    subprocess.run(["tar", "-x", "-f", str(packed), "-C", folder], check=True)
    made = Path(folder) / "build"
    steps = (["cmake", "-G", "Ninja", "-S", folder, "-B", str(made), "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O0",
              "-DCHRONOS_TESTS=OFF", "-DCHRONOS_PLUGINS=storage_lmdb;executor_shell;executor_http"],
             ["ninja", "-C", str(made), "-j2", "chronos", "storage_lmdb", "executor_shell", "executor_http"])
    for step in steps:
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise AssertionError(f"{commit} cannot be built:\n{done.stdout.decode()[-4000:]}")
    return made / "bin" / "chronos"


class Writer:
    """Creates one job after the other, on whichever node takes it. What is not known to be done is asked for again, by its name."""

    def __init__(self, cluster):
        self.cluster, self.names, self.error = cluster, [], None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.is_over.is_set():
                name = f"job-{len(self.names)}"
                wait_for(lambda: self.is_written(name), f"{name} to be written")
                self.names.append(name)
        except AssertionError as error:
            self.error = error

    def is_written(self, name):
        for node in self.cluster.running():
            try:
                answer = node.post("/api/v1/jobs", {"name": name, **QUIET})
            except OSError: # it was stopped
                continue
            if answer.status == 201 or (answer.status == 409 and answer.json["code"] == "NAME_TAKEN"):
                return True
            assert answer.status in (503, 504), answer
        return False

    def go_on(self):
        """Waits until more was written."""
        count = len(self.names)
        wait_for(lambda: len(self.names) > count + 5 or self.error, "more writes")
        if self.error:
            raise self.error

    def stop(self):
        self.is_over.set()
        self.thread.join()
        if self.error:
            raise self.error


class Upgrade(TestCase):
    def become(self, node, program):
        self.assertEqual(node.stop(), 0, node.log()[-2000:])
        node.program = program
        node.start()
        self.cluster.settle()

    def lead(self, node):
        if not node.status()["is_leader"]:
            answer = node.post("/api/v1/cluster/transfer-leadership", {"node_id": node.name})
            self.assertEqual(answer.status, 200, answer)
        self.assertIs(self.cluster.settle(), node)

    def slots(self):
        return sorted(instant(run["scheduled_time"]) for run in self.cluster.running()[0].executions(self.tick))

    def works(self, what):
        """Slots are decided, runs end, and each node writes what each other one then has."""
        before = len(self.slots())
        wait_for(lambda: len(self.slots()) >= before + 3, f"slots: {what}")
        self.writer.go_on()
        for node in self.cluster.running():
            job = write(node, name=f"{what}, on {node.name}".replace(" ", "-").replace(",", ""), **QUIET)
            run = node.trigger(job["id"])["id"]
            for other in self.cluster.running():
                self.assertEqual(other.get(f"/api/v1/jobs/{job['id']}?consistent=true").status, 200, what)
                self.assertEqual(other.ended(run)["status"], "success", what)

    def snapshot_is_read(self, writer, program):
        answer = writer.post("/api/v1/cluster/snapshot", timeout=60)
        self.assertIn(answer.status, (200, 201), answer)
        path = writer.data_dir / "snapshots" / answer.json["id"]
        checked = subprocess.run([program, "store", "check", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(checked.returncode, 0, checked.stdout.decode())

    def verdict(self, ran):
        """Nothing is lost, and nothing doubled."""
        self.assertEqual(self.cluster.nodes[0].post(f"/api/v1/jobs/{self.tick}/disable").status, 200)
        self.writer.stop()
        self.cluster.settle()
        slots = self.slots()
        self.assertEqual(slots, [slots[0] + i for i in range(len(slots))])
        runs = [run["id"] for run in self.cluster.nodes[0].executions(self.tick)]
        for node in self.cluster.nodes:
            for run in runs:
                self.assertEqual(node.ended(run)["status"], "success")
        self.assertEqual(Counter(ran.read_text().split()), Counter(runs))
        for node in self.cluster.nodes:
            for name in self.writer.names:
                self.assertEqual(node.get(f"/api/v1/jobs/{name}?consistent=true").status, 200, f"{name} on {node.name}")
        print(f"{len(runs)} slots and {len(self.writer.names)} writes, none lost or doubled", flush=True)

    def test_node_by_node(self):
        with tempfile.TemporaryDirectory(prefix="chronos-upgrade-") as folder:
            commit = earlier_commit()
            print(f"from {git('log', '-1', '--format=%h %s', commit).stdout.decode().strip()}", flush=True)
            old = build(commit, folder)
            try:
                self.upgrade(old)
            except AssertionError as error:
                raise AssertionError(f"{error}\nThat was {commit} beside this tree. Where a format has changed on purpose, which is "
                                     f"allowed before the first release alone, change the number in {EPOCH}.") from error

    def upgrade(self, old):
        self.cluster = Cluster()
        for node in self.cluster.nodes:
            node.program = old
        first, second, third = self.cluster.nodes
        with self.cluster:
            ran = first.work / "ran"
            self.tick = write(first, name="tick", schedule="@every 1s", executor="shell", concurrency="allow",
                              config={"command": f'echo "$CHRONOS_EXECUTION_ID" >> {ran}'})["id"]
            self.writer = Writer(self.cluster)
            try:
                self.works("all old")
                self.become(third, NEW)
                self.lead(second)
                self.works("the old one leads")
                self.lead(third)
                self.works("the new one leads")
                self.snapshot_is_read(third, old)
                self.snapshot_is_read(second, NEW)
                self.lead(first)
                self.become(first, NEW) # it hands over, to an old node or to the new one
                self.lead(second)
                self.works("an old one leads two new ones")
                self.become(second, NEW)
                self.works("all new")
                self.become(second, old) # no feature level has risen: there is a way back
                self.works("one is put back")
                self.become(second, NEW)
                self.works("all new again")
                self.verdict(ran)
            finally:
                self.writer.is_over.set()
                self.writer.thread.join()


if __name__ == "__main__":
    unittest.main()
