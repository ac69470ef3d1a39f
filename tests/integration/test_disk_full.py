"""A disk that is full: what is refused, what goes on, and that all is well when space returns.

The data directory lies on a tmpfs of its own, so ENOSPC is the kernel's. It is mounted in a mount namespace of this test."""
# ctest: timeout=300
import ctypes
import os
import subprocess
import threading
import time
import unittest

from harness import ENDED, Node, TestCase, instant, wait_for
from members import QUIET, Cluster, write

JOBS = "/api/v1/jobs"
RUNS = "/api/v1/executions"
CLONE_NEWNS = 0x20000


def private_mounts():
    """Mounts of this process are seen by it and its children alone, and end with them. False: not allowed here."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True).returncode == 0


MAY_MOUNT = os.geteuid() == 0 and private_mounts()


@unittest.skipUnless(MAY_MOUNT, "needs root and mount(2)")
class DiskCase(TestCase):
    def small_disk(self, size, environment=None, config="", **more):
        node = Node(config, environment={"CHRONOS_STORAGE_MIN_FREE": "8MiB", **(environment or {})}, **more)
        self.addCleanup(node.close)
        self.mount(node, size)
        return node

    def mount(self, node, size):
        node.data_dir.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "chronos-test", str(node.data_dir)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(node.data_dir)], check=True)

    def free(self, node):
        return os.statvfs(node.data_dir).f_bavail * os.statvfs(node.data_dir).f_frsize

    def fill(self, node, leave):
        """A file that leaves so many bytes free."""
        path = node.data_dir / "ballast"
        with open(path, "ab", buffering=0) as ballast:
            try:
                while (missing := self.free(node) - leave) > 0:
                    ballast.write(b"\0" * min(missing, 1 << 20))
            except OSError:
                pass  # full to the last byte: as was asked for
        return path

    def disk_state(self, node, state):
        wait_for(lambda: node.metric("chronos_disk_state") == state, f"disk state {state}")

    def unharmed(self, node):
        """A new start on the same data, and everything as it was."""
        before = node.get(f"{JOBS}?limit=1000").json["jobs"]
        for down in (node.stop, node.kill9):
            down()
            node.start()
            after = node.get(f"{JOBS}?limit=1000").json["jobs"]
            self.assertEqual([(j["id"], j["version"]) for j in after], [(j["id"], j["version"]) for j in before])


class LowDiskTest(DiskCase):
    """Below storage.min_free: refused before anything is at stake."""

    def test_low_and_back(self):
        node = self.small_disk("64m").start()
        gate = node.work / "gate"
        node.create(name="before", schedule="@manually", command="echo fine")
        node.create(name="tick", schedule="* * * * * *", command="true", concurrency="allow")
        node.create(name="long", schedule="@manually",
                    command=f"echo begun; while [ ! -e {gate} ]; do sleep 0.05; done; echo ended")
        long_run = node.trigger("long")
        wait_for(lambda: node.execution(long_run["id"])["status"] == "running", "the long run")
        ballast = self.fill(node, 5 << 20)
        self.disk_state(node, 1)

        for verb, path, body in (("POST", JOBS, {"name": "x", "schedule": "@manually",
                                                 "command": "true"}), ("PATCH", f"{JOBS}/before", {"description": "x"}),
                                 ("PUT", f"{JOBS}/before", {"name": "before", "schedule": "@manually",
                                                            "command": "true"}), ("DELETE", f"{JOBS}/before", None),
                                 ("POST", f"{JOBS}/before/trigger", None), ("POST", f"{JOBS}/before/disable", None)):
            with self.subTest(verb=verb, path=path):
                answer = node.request(verb, path, body)
                document = self.problem(answer, 503, "DISK_FULL", contains="free")
                self.assertGreater(int(answer.headers["Retry-After"]), 0)
                self.assertIn(str(node.data_dir), document["detail"])
        self.assertEqual(
            node.post(f"{JOBS}?dry_run=true", {"name": "x", "schedule": "@manually", "command": "true"}).status, 200)

        self.assertEqual(node.get("/health").json["disk"], "low")
        self.assertEqual(node.get("/health").json["status"], "healthy")
        self.assertEqual(node.get("/ready").status, 200)
        for path in (JOBS, f"{JOBS}/before", RUNS, f"{JOBS}/before/executions", f"{JOBS}/before?consistent=true",
                     f"{RUNS}/{long_run['id']}/output"):
            self.assertEqual(node.get(path).status, 200, path)
        self.assertLess(node.metric("chronos_disk_free_bytes"), 8 << 20)

        # Slots are still decided and run, and what runs ends and is recorded.
        count = len(node.executions("tick", status="success"))
        wait_for(lambda: len(node.executions("tick", status="success")) > count + 1, "slots while the disk is low")
        gate.touch()
        done = node.ended(long_run["id"])
        self.assertEqual((done["status"], done["output"]), ("success", "begun\nended\n"))
        # A run can be cancelled, whatever the disk.
        ballast.unlink()
        self.disk_state(node, 0)
        self.assertEqual(node.patch(f"{JOBS}/before", {"description": "x"}).status, 200)
        self.assertEqual(node.ended(node.trigger("before")["id"])["output"], "fine\n")
        self.assertIn("disk low", node.log())
        self.assertIn("returned", node.log())
        self.check_slots(node)
        self.unharmed(node)

    def check_slots(self, node):
        """No second of `tick` is missing: a run or a recorded range."""
        node.post(f"{JOBS}/tick/disable")
        slots = [instant(r["scheduled_time"]) for r in node.executions("tick")]
        for r in node.get(f"{JOBS}/tick/missed").json["missed"]:
            slots += [instant(r["first"]) + i for i in range(r["count"])]
        slots.sort()
        self.assertEqual(slots, [slots[0] + i for i in range(len(slots))])

    def test_cancel_while_low(self):
        node = self.small_disk("64m").start()
        node.create(name="hang", schedule="@manually", command="sleep 300")
        run = node.trigger("hang")
        wait_for(lambda: node.execution(run["id"])["status"] == "running", "the run")
        self.fill(node, 5 << 20)
        self.disk_state(node, 1)
        self.assertEqual(node.post(f"{RUNS}/{run['id']}/cancel").status, 202)
        self.assertEqual(node.ended(run["id"])["status"], "cancelled")

    def test_critical_decides_no_slots_and_makes_up_for_them(self):
        node = self.small_disk("64m", config="scheduler: {misfire_threshold: 1s}\n").start()
        for name, policy in (("tick", "execute_all"), ("one", "execute_one"), ("ignored", "ignore")):
            node.create(name=name, schedule="* * * * * *", command="true", concurrency="allow", missed_run_policy=policy)
        wait_for(lambda: node.executions("tick"), "a run")
        ballast = self.fill(node, 1 << 20)
        self.disk_state(node, 2)
        self.assertEqual(node.get("/health").json["disk"], "critical")
        wait_for(lambda: all(r["status"] in ENDED for r in node.executions()), "what runs to end")
        count = len(node.executions("tick"))
        time.sleep(4)  # the time without decisions is what is tested
        self.assertEqual(len(node.executions("tick")), count)
        self.assertIsNone(node.process.poll())
        self.problem(node.post(JOBS, {"name": "x", "schedule": "@manually", "command": "true"}), 503, "DISK_FULL")
        ballast.unlink()
        self.disk_state(node, 0)
        wait_for(lambda: any(r["trigger"] == "catchup" for r in node.executions("tick")), "the slots to be made up for")
        after = time.time()
        wait_for(lambda: any(instant(r["scheduled_time"]) > after for r in node.executions("tick")), "a slot on time")
        self.check_slots(node)
        self.assertEqual(node.get(f"{JOBS}/tick/missed").json["missed"], [])
        self.assertEqual(len([r for r in node.executions("one") if r["trigger"] == "catchup"]), 1)
        self.assertEqual([r["reason"] for r in node.get(f"{JOBS}/one/missed").json["missed"]], ["missed"])
        self.assertEqual([r["reason"] for r in node.get(f"{JOBS}/ignored/missed").json["missed"]], ["ignore_missed"])

    def test_a_start_on_a_full_disk(self):
        node = self.small_disk("64m").start()
        node.create(name="kept", schedule="@manually", command="true")
        ballast = self.fill(node, 3 << 20)
        self.disk_state(node, 1)
        for down in (node.stop, node.kill9):
            down()
            node.start()
            self.assertEqual(node.get(f"{JOBS}/kept").status, 200)
            self.problem(node.patch(f"{JOBS}/kept", {"description": "x"}), 503, "DISK_FULL")
        ballast.unlink()
        self.disk_state(node, 0)
        self.assertEqual(node.patch(f"{JOBS}/kept", {"description": "x"}).status, 200)


class NoSpaceTest(DiskCase):
    """The limit switched off: writes really meet ENOSPC, in whatever transaction it comes."""

    NO_LIMIT = {"CHRONOS_STORAGE_MIN_FREE": "0"}

    class Load(threading.Thread):
        """Creates and edits jobs until it is stopped, and remembers what was acknowledged."""

        def __init__(self, node, name):
            super().__init__(daemon=True)
            self.node, self.name_, self.acknowledged, self.doubtful, self.answers = node, name, {}, set(), {}
            self.stopping = threading.Event()
            self.failure = None

        def run(self):
            try:
                i = 0
                while not self.stopping.is_set():
                    i += 1
                    self.step(f"{self.name_}-{i}")
            except Exception as failure:  # pylint: disable=broad-except
                self.failure = failure

        def step(self, name):
            self.doubtful.add(name)
            try:
                answer = self.node.post(JOBS,
                                        {"name": name, "schedule": "@manually", "command": "true", "description": "d" * 4000},
                                        timeout=30)
            except OSError:
                return  # killed in between
            self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
            if answer.status == 201:
                self.acknowledged[name] = answer.json["version"]
                self.doubtful.discard(name)
            elif answer.status == 503:
                assert answer.json["code"] in ("DISK_FULL", "NO_SPACE", "OVERLOADED"), answer
                self.doubtful.discard(name)
                self.stopping.wait(0.05)  # as Retry-After asks, at the pace of a test
            else:
                assert answer.status == 504 and answer.json["code"] == "OUTCOME_UNKNOWN", answer

    def load(self, node, count=3):
        loads = [self.Load(node, f"load{i}") for i in range(count)]
        for load in loads:
            load.start()
        return loads

    def finish(self, loads):
        for load in loads:
            load.stopping.set()
        for load in loads:
            load.join(60)
            self.assertIsNone(load.failure, load.failure)

    def check(self, node, loads):
        names = set()
        cursor = ""
        while cursor is not None:
            page = node.get(f"{JOBS}?limit=1000&fields=name{'&cursor=' + cursor if cursor else ''}").json
            names |= {j["name"] for j in page["jobs"]}
            cursor = page["next_cursor"]
        for load in loads:
            missing = [n for n in load.acknowledged if n not in names]
            self.assertEqual(missing, [], "acknowledged, and gone")
            self.assertEqual([
                n for n in names if n.startswith(load.name_ + "-") and n not in load.acknowledged and n not in load.doubtful
            ], [], "refused, and there")

    def full(self, node):
        wait_for(lambda: node.metric("chronos_disk_state") == 2, "the disk to be full", 60)

    def test_enospc_under_load(self):
        node = self.small_disk("48m", self.NO_LIMIT).start()
        gate = node.work / "gate"
        node.create(name="tick", schedule="* * * * * *", command="true", concurrency="allow", missed_run_policy="execute_all")
        node.create(name="long", schedule="@manually", command=f"while [ ! -e {gate} ]; do sleep 0.05; done; echo ended")
        run = node.trigger("long")
        wait_for(lambda: node.execution(run["id"])["status"] == "running", "the run")
        ballast = self.fill(node, 6 << 20)
        loads = self.load(node)
        self.full(node)
        gate.touch()
        wait_for(lambda: sum(load.answers.get(503, 0) + load.answers.get(504, 0) for load in loads) > 10, "refusals")
        self.assertIsNone(node.process.poll(), node.log()[-3000:])
        self.assertEqual(node.get("/live").status, 200)
        self.assertEqual(node.get(f"{JOBS}/tick").status, 200)
        self.assertEqual(node.get(RUNS).status, 200)
        self.finish(loads)
        ballast.unlink()
        self.disk_state(node, 0)
        node.create(name="after", schedule="@manually", command="echo after")
        self.assertEqual(node.ended(node.trigger("after")["id"])["status"], "success")
        self.assertEqual((node.ended(run["id"])["status"], len(node.execution(run["id"])["attempts"])), ("success", 1))
        self.check(node, loads)
        node.post(f"{JOBS}/tick/disable")
        wait_for(lambda: all(r["status"] in ENDED for r in node.executions()), "every run to end", 60)
        slots = [instant(r["scheduled_time"]) for r in node.executions("tick")]
        for r in node.get(f"{JOBS}/tick/missed").json["missed"]:
            slots += [instant(r["first"]) + i for i in range(r["count"])]
        slots.sort()
        self.assertEqual(slots, [slots[0] + i for i in range(len(slots))])
        self.assertNotIn("fatal", node.log())
        self.unharmed(node)
        self.check(node, loads)

    def test_kill_9_while_full(self):
        node = self.small_disk("48m", self.NO_LIMIT).start()
        node.create(name="first", schedule="@manually", command="true")
        ballast = self.fill(node, 6 << 20)
        loads = self.load(node)
        self.full(node)
        node.kill9()
        self.finish(loads)
        ballast.unlink()
        node.start()
        self.check(node, loads)
        node.create(name="after", schedule="@manually", command="true")
        self.assertEqual(node.ended(node.trigger("after")["id"])["status"], "success")
        self.unharmed(node)
        self.check(node, loads)

    def test_sigterm_while_full(self):
        """What the log holds is not waited for: it goes down in time, and nothing that ran is forgotten."""
        node = self.small_disk("48m", {**self.NO_LIMIT, "CHRONOS_SERVER_SHUTDOWN_TIMEOUT": "2s"}).start()
        gates = {name: node.work / f"gate-{name}" for name in ("ends", "hangs")}
        runs = {}
        for name, gate in gates.items():
            node.create(name=name, schedule="@manually", command=f"while [ ! -e {gate} ]; do sleep 0.05; done; echo ended")
            runs[name] = node.trigger(name)
            wait_for(lambda run=runs[name]: node.execution(run["id"])["status"] == "running", f"{name} to run")
        ballast = self.fill(node, 6 << 20)
        loads = self.load(node)
        self.full(node)
        wait_for(lambda: sum(load.answers.get(503, 0) + load.answers.get(504, 0) for load in loads) > 10, "refusals")
        self.finish(loads)
        self.fill(node, 0)
        gates["ends"].touch()  # its report meets the full disk
        self.assertEqual(node.metric("chronos_disk_state"), 2)
        began = time.monotonic()
        node.terminate()
        self.assertEqual(node.wait_exit(2 + 15), 0, node.log()[-3000:])
        self.assertLess(time.monotonic() - began, 2 + 10)

        ballast.unlink()
        gates["hangs"].touch()
        node.start()
        for name, run in runs.items():
            done = node.ended(run["id"])
            self.assertEqual((done["status"], done["output"]), ("success", "ended\n"), (name, done))
        self.assertEqual(len(node.execution(runs["hangs"]["id"])["attempts"]), 2)
        self.check(node, loads)
        self.unharmed(node)
        self.check(node, loads)

    def test_start_while_full_to_the_last_byte(self):
        """It may refuse to start, with a clear sentence; it must not harm the data."""
        node = self.small_disk("48m", self.NO_LIMIT).start()
        for i in range(50):
            node.create(name=f"job-{i}", schedule="@manually", command="true")
        node.kill9()
        ballast = self.fill(node, 0)
        node.spawn()
        wait_for(lambda: node.process.poll() is not None or "listening" in node.log(), "a start or a refusal")
        if node.process.poll() is None:
            wait_for(lambda: node.process.poll() is not None or "full" in node.log() or "became leader" in node.log(),
                     "it to notice")
            node.kill9()
        else:
            self.assertRegex(node.log(), r"chronos: .*(No space|disk|full)")
        ballast.unlink()
        node.start()
        self.assertEqual(len(node.get(f"{JOBS}?limit=100").json["jobs"]), 50)
        self.unharmed(node)

    def test_output_does_not_fill_the_rest(self):
        """Jobs that print much, on a disk that is nearly full: the output is dropped before anything else is."""
        node = self.small_disk("64m").start()
        node.create(name="loud", schedule="@manually", command="head -c 900000 /dev/urandom | base64 -w0; echo; echo the end",
                    concurrency="allow")
        ballast = self.fill(node, 12 << 20)
        statuses = []
        for _ in range(25):
            answer = node.post(f"{JOBS}/loud/trigger")
            statuses.append(answer.status)
            if answer.status == 202:
                run = node.ended(answer.json["id"])
                self.assertEqual((run["status"], run["output"][-8:]), ("success", "the end\n"))
            else:
                self.problem(answer, 503, "DISK_FULL")
        self.assertIn(202, statuses)
        self.assertIn(503, statuses, "it never came near the limit: the test is too small")
        self.assertIsNone(node.process.poll())
        ballast.unlink()
        self.disk_state(node, 0)
        self.assertEqual(node.ended(node.trigger("loud")["id"])["status"], "success")
        self.unharmed(node)

    class Least(threading.Thread):
        """The least that was free on the disk of that node."""

        def __init__(self, case, node):
            super().__init__(daemon=True)
            self.case, self.node, self.bytes = case, node, case.free(node)
            self.stopping = threading.Event()

        def run(self):
            while not self.stopping.wait(0.005):
                self.bytes = min(self.bytes, self.case.free(self.node))

        def stop(self):
            self.stopping.set()
            self.join(10)
            return self.bytes

    def test_large_output_leaves_what_is_to_be_left(self):
        """Outputs as large as storage.min_free: they stop being kept long before they reach it; runs go on."""
        node = self.small_disk("64m", config="output: {captured_bytes: 16MiB}\n").start()
        size = 8000000
        loud = {"command": f"head -c {size} /dev/zero | tr '\\0' x", "concurrency": "allow"}
        node.create(name="loud", schedule="@manually", **loud)
        node.create(name="small", schedule="@manually", command="head -c 500000 /dev/zero | tr '\\0' y")
        least = self.Least(self, node)
        self.addCleanup(least.stop)
        least.start()
        kept = []
        for _ in range(15):
            run = node.ended(node.trigger("loud")["id"])
            self.assertEqual((run["status"], run["output_bytes"], run["output_truncated"]), ("success", size, True))
            answer = node.get(f"{RUNS}/{run['id']}/output?limit=1")
            kept.append(int(answer.headers.get("X-Chronos-Output-Total", 0)))
        self.assertEqual(kept[0], size, "an empty disk has room for it")
        self.assertNotEqual(kept[-1], size, "it never came near the limit: the test is too small")
        self.assertIn("is not kept", node.log())
        # While the disk is low, nothing that runs leaves its output there.
        node.create(name="often", schedule="* * * * * *", **{**loud, "command": loud["command"].replace(str(size), "900000")})
        wait_for(lambda: node.executions("often", status="success"), "a first one")
        ballast = self.fill(node, 6 << 20)
        self.disk_state(node, 1)
        count = len(node.executions("often", status="success"))
        wait_for(lambda: len(node.executions("often", status="success")) >= count + 5, "runs while the disk is low")
        self.assertIsNone(node.process.poll())
        self.assertGreater(least.stop(), 4 << 20)
        ballast.unlink()
        self.disk_state(node, 0)
        node.post(f"{JOBS}/often/disable")
        run = node.ended(node.trigger("small")["id"])
        self.assertEqual(node.get(f"{RUNS}/{run['id']}/output").body, b"y" * 500000)
        self.unharmed(node)


class LeaderDiskTest(DiskCase):
    """The disk of one node of three is full: while others have room, the cluster goes on."""

    def small_cluster(self):
        cluster = Cluster(3)
        for node in cluster.nodes:
            node.environment["CHRONOS_STORAGE_MIN_FREE"] = "8MiB"
            self.mount(node, "64m")
            self.addCleanup(node.close)
        for node in cluster.nodes:
            node.start()
        return cluster

    def check_goes_on(self, leave, state):
        cluster = self.small_cluster()
        full = cluster.settle()
        write(full, name="tick", schedule="* * * * * *", command="true", concurrency="allow", missed_run_policy="execute_all")
        wait_for(lambda: full.executions("tick", status="success"), "a run")
        ballast = self.fill(full, leave)
        self.disk_state(full, state)
        others = [n for n in cluster.nodes if n is not full]
        leader = wait_for(lambda: next((n for n in others if n.status()["is_leader"]), None), "a leader that has room")
        self.assertIn("leadership is handed over to a node that has room", full.log())
        after = time.time()
        for node in others:
            write(node, name=f"on-{node.name}", **QUIET)
        wait_for(lambda: any(instant(r["scheduled_time"]) > after for r in leader.executions("tick", status="success")),
                 "slots to be decided")
        term = leader.status()["term"]
        if state == 1: # it takes what others decide
            write(full, name="on-the-full-one", **QUIET)
        ballast.unlink()
        self.disk_state(full, 0)
        write(full, name="space-is-back", **QUIET)
        self.assertEqual(leader.status()["term"], term, "leadership went on")

    def test_low(self):
        self.check_goes_on(5 << 20, 1)

    def test_critical(self):
        self.check_goes_on(1 << 20, 2)

    def test_all_are_low(self):
        """Nobody has more room: the leader leads on, and says why writes are refused."""
        cluster = self.small_cluster()
        cluster.settle()
        ballast = [self.fill(node, 5 << 20) for node in cluster.nodes]
        for node in cluster.nodes:
            self.disk_state(node, 1)
        for node in cluster.nodes:
            wait_for(lambda: node.post(JOBS, {"name": "x", **QUIET}).json.get("code") == "DISK_FULL", "the refusal") # not NO_LEADER
        for path in ballast:
            path.unlink()
        for node in cluster.nodes:
            self.disk_state(node, 0)
        write(cluster.leader(), name="y", **QUIET)


if __name__ == "__main__":
    unittest.main()
