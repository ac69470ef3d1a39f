"""Going down and coming back: crashes, orderly ends, time that passed meanwhile, and directories that are not ours."""
# ctest: timeout=300
import os
import signal
import socket
import subprocess
import time
import unittest
from pathlib import Path

from harness import BACKEND, ENDED, Node, TestCase, instant, rfc3339, wait_for

JOBS = "/api/v1/jobs"
RUNS = "/api/v1/executions"
NOBODY = 65534


def node_of(test, config="", **more):
    node = Node(config, **more)
    test.addCleanup(node.close)
    return node.start()


def running(node, run):
    return wait_for(lambda: (r := node.execution(run["id"]))["status"] == "running" and r, f"{run['id']} to run")


class TakeoverTest(TestCase):
    def tree(self, node, name, then, **job):
        """Three processes; each attempt first says which processes of earlier ones are still there. The first attempts
        hang, the others do `then`."""
        pids, left, script = (node.work / f"{name}.{kind}" for kind in ("pids", "left", "sh"))
        script.write_text(f"""
for pid in $(cat {pids} 2>/dev/null); do
    case $(sed 's/.*) //' /proc/$pid/stat 2>/dev/null) in ""|Z*|X*) ;; *) echo $pid >> {left};; esac
done
if [ $CHRONOS_ATTEMPT -gt {then} ]; then echo attempt $CHRONOS_ATTEMPT; exit 0; fi
trap '' TERM HUP
(echo $(exec sh -c 'echo $PPID') >> {pids}; (echo $(exec sh -c 'echo $PPID') >> {pids}; sleep 300) & sleep 300) &
echo $$ >> {pids}
sleep 300
""")
        node.create(name=name, schedule="@manually", executor="shell", config={"argv": ["sh", str(script)]}, **job)
        return pids, left

    def crash_in_run(self, node, name, pids, run, count=3):
        wait_for(lambda: pids.exists() and len(pids.read_text().split()) >= count, "the processes to be there")
        running(node, run)
        node.kill9()
        node.start()

    def test_a_run_is_taken_over(self):
        node = node_of(self, "scheduler: {grace: 1s}\n")
        pids, left = self.tree(node, "taken", 1)
        run = node.trigger("taken")
        self.crash_in_run(node, "taken", pids, run)
        done = node.ended(run["id"])
        self.assertEqual((done["status"], done["output"], len(done["attempts"])), ("success", "attempt 2\n", 2), done)
        first, second = done["attempts"]
        self.assertEqual((first["outcome"], second["outcome"], first["exit_code"]), ("lost", "success", None))
        self.assertGreaterEqual(instant(second["started_at"]), instant(first["started_at"]))
        self.assertEqual(instant(done["started_at"]), instant(first["started_at"]))
        self.assertFalse(left.exists(), "processes of the first attempt were there when the second began")
        self.assertEqual(node.metric('chronos_runs_total{status="lost"}'), 0)

    def test_on_node_loss_fail(self):
        node = node_of(self)
        pids, _ = self.tree(node, "at-most-once", 0, on_node_loss="fail", retry_policy={"max_attempts": 5})
        script = node.work / "at-most-once.sh"
        script.write_text(f"echo $$ >> {pids}; sleep 300\n")
        run = node.trigger("at-most-once")
        self.crash_in_run(node, "at-most-once", pids, run, 1)
        done = node.ended(run["id"])
        self.assertEqual((done["status"], len(done["attempts"]), done["attempts"][0]["outcome"]), ("lost", 1, "lost"), done)
        self.assertIn(done["reason"], ("node_loss", "node_restart"))
        self.assertEqual(len(pids.read_text().split()), 1, "it ran again")
        self.assertEqual(node.get(f"{JOBS}/at-most-once").json["last_status"], "lost")

    def test_takeovers_end(self):
        """A run that takes its node down with it must not do so for ever: three takeovers, then it is lost."""
        node = node_of(self)
        pids, left = self.tree(node, "poison", 99)
        run = node.trigger("poison")
        for crash in range(1, 5):
            self.crash_in_run(node, "poison", pids, run, 3 * crash)
        done = node.ended(run["id"])
        self.assertEqual((done["status"], [a["outcome"] for a in done["attempts"]]), ("lost", ["lost"] * 4), done)
        self.assertFalse(left.exists(), "two attempts overlapped")

    def test_takeovers_do_not_use_up_attempts(self):
        node = node_of(self)
        pids, _ = self.tree(node, "patient", 1, retry_policy={"max_attempts": 2, "initial_interval": "100ms", "jitter": 0})
        script = node.work / "patient.sh"
        script.write_text(f"echo $$ >> {pids}; [ $CHRONOS_ATTEMPT -gt 1 ] || sleep 300; [ $CHRONOS_ATTEMPT -gt 2 ]\n")
        run = node.trigger("patient")
        self.crash_in_run(node, "patient", pids, run, 1)
        done = node.ended(run["id"])
        self.assertEqual((done["status"], [a["outcome"] for a in done["attempts"]]), ("success", ["lost", "failed", "success"]))

    def test_what_waited_goes_on(self):
        """Runs that wait for a place, for a retry, or behind a catch-up are rows, not memory."""
        node = node_of(self, "executors: {max_concurrent: 1}\n")
        gate = node.work / "gate"
        node.create(name="queue", schedule="@manually", command=f"while [ ! -e {gate} ]; do sleep 0.05; done",
                    concurrency="allow")
        runs = [node.trigger("queue") for _ in range(5)]
        running(node, runs[0])
        node.kill9()
        node.start()
        gate.touch()
        for i, run in enumerate(runs):
            done = node.ended(run["id"])
            self.assertEqual((done["status"], len(done["attempts"])), ("success", 2 if i == 0 else 1))

    def test_reports_that_the_crash_cut_off(self):
        """A run that ended a moment before the crash is not run again if its end was said, and never ends twice."""
        node = node_of(self)
        log = node.work / "ran"
        node.create(name="short", schedule="@manually", command=f"echo $CHRONOS_EXECUTION_ID >> {log}", concurrency="allow")
        said = {}
        for _ in range(5):
            runs = [node.trigger("short")["id"] for _ in range(20)]
            ended = node.executions("short", status="success")
            times = log.read_text().split() if log.exists() else []
            said.update({r["id"]: (r, times.count(r["id"])) for r in ended})
            node.kill9()
            node.start()
            for run in runs:
                self.assertEqual(node.ended(run)["status"], "success")
        times = log.read_text().split()
        self.assertGreater(len(said), 20)
        for identifier, (run, ran) in said.items():
            self.assertEqual(node.execution(identifier), run, "a terminal run changed")
            self.assertEqual(times.count(identifier), ran, "a run that had ended ran again")
            self.assertIn(ran, range(1, len(run["attempts"]) + 1))


class DowntimeTest(TestCase):
    """Time in which the node was down: what is due then is run, or kept as a range, under the policy of each job."""

    DOWN_S = 13

    def check(self, node, name, created):
        """Each second from creation to disable is a run or in a range, once; returns runs by trigger, and the ranges."""
        answer = node.post(f"{JOBS}/{name}/disable")
        self.assertEqual(answer.status, 200, answer)
        wait_for(lambda: all(r["status"] in ENDED for r in node.executions(name)), f"the runs of {name}")
        runs = node.executions(name)[::-1]
        ranges = node.get(f"{JOBS}/{name}/missed").json["missed"]
        slots = [instant(r["scheduled_time"]) for r in runs]
        for r in ranges:
            first, last = instant(r["first"]), instant(r["last"])
            self.assertEqual(last - first + 1, r["count"], "a range of seconds without a hole")
            self.assertFalse(r["at_least"])
            slots += [first + i for i in range(r["count"])]
        slots.sort()
        self.assertEqual(slots, [slots[0] + i for i in range(len(slots))], f"{name}: a slot is missing or doubled")
        self.assertLessEqual(slots[0] - created, 1)
        return [r for r in runs if r["trigger"] == "schedule"], [r for r in runs if r["trigger"] == "catchup"], ranges

    def test_policies(self):
        node = node_of(self, "scheduler: {misfire_threshold: 1s}\n")
        every_second = {"schedule": "* * * * * *", "command": "true", "concurrency": "allow"}
        jobs = {"one": {"missed_run_policy": "execute_one"}, "all": {"missed_run_policy": "execute_all"},
                "limited": {"missed_run_policy": "execute_all", "catchup_limit": 3}, "ignore": {"missed_run_policy": "ignore"},
                "window": {"missed_run_policy": "execute_all", "catchup_window": "10s"}, "default": {},
                "one-at-a-time": {"missed_run_policy": "execute_all", "concurrency": "forbid", "command": "true"}}
        created = {
            name: instant(node.create(name=name, **{**every_second, **more})["created_at"]) for name, more in jobs.items()
        }
        node.create(name="off", **every_second, enabled=False)
        node.create(name="yearly", schedule="0 0 1 1 *", command="true")
        wait_for(lambda: all(len(node.executions(name)) >= 2 for name in jobs), "two runs of each")
        node.kill9()
        down_from = time.time()
        time.sleep(self.DOWN_S)  # the time that the node is down is what is tested
        node.start()
        up_at = time.time()
        wait_for(
            lambda: all(
                any(instant(r["scheduled_time"]) > up_at for r in node.executions(n)) for n in jobs if n != "one-at-a-time"),
            "runs after the downtime")

        for name in ("one", "default"):
            with self.subTest(name=name):
                _, caught, ranges = self.check(node, name, created[name])
                self.assertEqual([r["status"] for r in caught], ["success"])
                gap, = ranges
                self.assertEqual((gap["reason"], instant(gap["last"])), ("missed", instant(caught[0]["scheduled_time"]) - 1))
                self.assertIn(gap["count"], range(self.DOWN_S - 4, self.DOWN_S + 2))
                self.assertAlmostEqual(instant(gap["first"]), down_from, delta=1.5)
        with self.subTest(name="all"):
            _, caught, ranges = self.check(node, "all", created["all"])
            self.assertEqual(ranges, [])
            self.assertIn(len(caught), range(self.DOWN_S - 3, self.DOWN_S + 3))
            self.assertEqual({r["status"] for r in caught}, {"success"})
        with self.subTest(name="limited"):
            _, caught, ranges = self.check(node, "limited", created["limited"])
            gap, = ranges
            self.assertEqual((len(caught), gap["reason"]), (3, "catchup_limit"))
            self.assertEqual([instant(r["scheduled_time"]) - instant(gap["last"]) for r in caught], [1, 2, 3])
        with self.subTest(name="ignore"):
            _, caught, ranges = self.check(node, "ignore", created["ignore"])
            gap, = ranges
            self.assertEqual((caught, gap["reason"]), ([], "ignore_missed"))
        with self.subTest(name="window"):
            _, caught, ranges = self.check(node, "window", created["window"])
            gap, = ranges
            self.assertEqual(gap["reason"], "catchup_window")
            self.assertIn(gap["count"], range(1, 6))
            decided = instant(gap["decided_at"])
            self.assertGreater(decided - instant(gap["last"]), 10 - 0.1)
            self.assertLess(decided - instant(gap["last"]), 12)
        with self.subTest(name="one-at-a-time"):
            _, caught, _ = self.check(node, "one-at-a-time", created["one-at-a-time"])
            ran = [r for r in caught if r["status"] == "success"]
            self.assertIn(len(ran), range(self.DOWN_S - 3, self.DOWN_S + 3))
            ran.sort(key=lambda r: instant(r["scheduled_time"]))
            ends = [instant(r["completed_at"]) for r in ran]
            starts = [instant(r["started_at"]) for r in ran]
            self.assertTrue(all(end <= start for end, start in zip(ends, starts[1:])), "catch-up runs overlapped")
        self.assertEqual(node.executions("off") + node.executions("yearly"), [])
        self.assertEqual(node.get(f"{JOBS}/off/missed").json["missed"], [])
        self.check_pages(node, "limited")
        total = sum(r["count"] for n in jobs for r in node.get(f"{JOBS}/{n}/missed").json["missed"])
        counted = sum(node.metric(f'chronos_missed_runs_total{{reason="{r}"}}') or 0
                      for r in ("missed", "catchup_limit", "ignore_missed", "catchup_window"))
        self.assertEqual(counted, total)

    def check_pages(self, node, name):
        whole = node.get(f"{JOBS}/{name}/missed").json["missed"]
        page = node.get(f"{JOBS}/{name}/missed?limit=1").json
        self.assertEqual((page["missed"], page["next_cursor"]), (whole[:1], None))
        self.problem(node.get(f"{JOBS}/{name}/missed?cursor=bQAA"), 400, "MALFORMED")

    def test_a_failover_alone_makes_no_slot_missed(self):
        """Down for less than misfire_threshold (10 s): every slot is run as if nothing had been, whatever the policy."""
        node = node_of(self)
        job = node.create(name="steady", schedule="* * * * * *", command="true", concurrency="allow",
                          missed_run_policy="ignore")
        for _ in range(3):
            count = len(node.executions("steady"))
            wait_for(lambda: len(node.executions("steady")) > count + 1, "a slot")
            node.kill9()
            time.sleep(1.2)
            node.start()
        on_time, caught, ranges = self.check(node, "steady", instant(job["created_at"]))
        self.assertEqual((caught, ranges), ([], []))
        self.assertGreater(len(on_time), 6)

    def test_every_keeps_its_anchor(self):
        node = node_of(self)
        created = instant(node.create(name="anchored", schedule="@every 2s", command="true")["created_at"])
        wait_for(lambda: node.executions("anchored"), "the first slot")
        node.kill9()
        node.start()
        count = len(node.executions("anchored"))
        runs = wait_for(lambda: len(r := node.executions("anchored")[::-1]) > count + 1 and r, "two more")
        self.assertEqual([round(instant(r["scheduled_time"]) - created, 3) for r in runs],
                         [2.0 * (i + 1) for i in range(len(runs))])

    def test_at_that_passed_while_down(self):
        node = node_of(self, "scheduler: {misfire_threshold: 500ms}\n")
        at = rfc3339(int(time.time()) + 2)
        for policy in ("execute_one", "ignore"):
            node.create(name=policy, schedule=f"@at {at}", command="true", missed_run_policy=policy)
        node.kill9()
        time.sleep(max(0, instant(at) + 1 - time.time()))
        node.start()
        wait_for(lambda: not any(node.get(f"{JOBS}/{p}").json["enabled"] for p in ("execute_one", "ignore")),
                 "both to be disabled")
        run, = node.executions("execute_one")
        self.assertEqual((run["trigger"], run["scheduled_time"], node.ended(run["id"])["status"]), ("catchup", at, "success"))
        self.assertEqual(node.executions("ignore"), [])
        gap, = node.get(f"{JOBS}/ignore/missed").json["missed"]
        self.assertEqual((gap["first"], gap["last"], gap["count"], gap["reason"]), (at, at, 1, "ignore_missed"))


class NeverRetroactiveTest(TestCase):
    def test_disabled_time_is_not_missed(self):
        node = node_of(self, "scheduler: {misfire_threshold: 100ms}\n")
        node.create(name="paused", schedule="* * * * * *", command="true", missed_run_policy="execute_all", concurrency="allow")
        wait_for(lambda: node.executions("paused"), "a run")
        off = instant(node.post(f"{JOBS}/paused/disable").json["updated_at"])
        node.kill9()
        time.sleep(2.5)
        node.start()
        on = instant(node.post(f"{JOBS}/paused/enable").json["updated_at"])
        self.assertGreater(on - off, 2)
        wait_for(lambda: instant(node.executions("paused")[0]["scheduled_time"]) > on, "a run after it is enabled")
        slots = [instant(r["scheduled_time"]) for r in node.executions("paused")]
        self.assertEqual([s for s in slots if off < s <= on], [])
        self.assertEqual(min(s for s in slots if s > on), int(on) + 1, "the first slot after enabling")
        self.assertEqual(node.get(f"{JOBS}/paused/missed").json["missed"], [])

    def test_an_edit_loses_no_slot_and_invents_none(self):
        node = node_of(self)
        node.create(name="edited", schedule="* * * * * *", command="true", concurrency="allow")
        wait_for(lambda: len(node.executions("edited")) >= 2, "two runs")
        edit = instant(node.patch(f"{JOBS}/edited", {"schedule": "*/2 * * * * *"}).json["updated_at"])
        wait_for(lambda: instant(node.executions("edited")[0]["scheduled_time"]) > edit + 3, "runs of the new schedule")
        slots = sorted(instant(r["scheduled_time"]) for r in node.executions("edited"))
        before, after = [s for s in slots if s <= edit], [s for s in slots if s > edit]
        self.assertEqual(before, [before[0] + i for i in range(int(edit - before[0]) + 1)])
        self.assertEqual({s % 2 for s in after}, {0})
        self.assertEqual(after, [after[0] + 2 * i for i in range(len(after))])
        self.assertLessEqual(after[0] - edit, 2)

    def test_an_edit_after_downtime_still_owes_what_was_due(self):
        """The slots of the old schedule up to the edit are decided under the old one's policy."""
        node = node_of(self, "scheduler: {misfire_threshold: 500ms}\n")
        node.create(name="owing", schedule="* * * * * *", command="true", concurrency="allow", missed_run_policy="execute_all")
        wait_for(lambda: node.executions("owing"), "a run")
        node.kill9()
        time.sleep(2)
        node.start()
        edit = instant(node.patch(f"{JOBS}/owing", {"schedule": "@manually"}).json["updated_at"])
        slots = sorted(instant(r["scheduled_time"]) for r in node.executions("owing"))
        self.assertEqual(slots, [slots[0] + i for i in range(int(edit - slots[0]) + 1)])

    def test_other_edits_leave_the_mark_alone(self):
        node = node_of(self)
        node.create(name="described", schedule="* * * * * *", command="true", concurrency="allow")
        end = time.monotonic() + 3
        edits = 0
        while time.monotonic() < end:
            edits += 1
            self.assertEqual(node.patch(f"{JOBS}/described", {"description": str(edits)}).status, 200)
        count = len(node.executions("described"))
        runs = wait_for(lambda: len(r := node.executions("described")) > count and r, "another")
        slots = sorted(instant(r["scheduled_time"]) for r in runs)
        self.assertEqual(slots, [slots[0] + i for i in range(len(slots))])
        self.assertGreater(edits, 10)


class StopTest(TestCase):
    def test_waits_for_runs_and_exits_0(self):
        node = node_of(self)
        gate = node.work / "gate"
        node.create(name="last", schedule="@manually", command=f"while [ ! -e {gate} ]; do sleep 0.05; done; echo finished")
        node.create(name="tick", schedule="* * * * * *", command="true")
        run = running(node, node.trigger("last"))
        idle, busy = (socket.create_connection(("127.0.0.1", node.port), timeout=10) for _ in range(2))
        self.addCleanup(idle.close)
        self.addCleanup(busy.close)
        idle.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertTrue(idle.recv(65536).startswith(b"HTTP/1.1 200 "))
        accepted = node.metric("chronos_http_connections")  # the node has taken both before it is told to stop
        self.assertGreaterEqual(accepted, 3)
        busy.sendall(f"POST {JOBS}/tick/trigger HTTP/1.1\r\n".encode())
        idle.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertTrue(idle.recv(65536).startswith(b"HTTP/1.1 200 "))  # so has it what came on `busy` before this
        node.terminate()
        wait_for(lambda: "stopping" in node.log(), "the signal to be taken")
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", node.port), 5)
        self.assertEqual(idle.recv(65536), b"", "a connection without a request is closed")
        busy.sendall(b"Host: localhost\r\n\r\n")
        answer = b""
        while piece := busy.recv(65536):
            answer += piece
        self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer)
        for part in (b"SHUTTING_DOWN", b"\r\nRetry-After: ", b"\r\nConnection: close\r\n"):
            self.assertIn(part, answer)
        self.assertIsNone(node.process.poll())
        gate.touch()
        self.assertEqual(node.wait_exit(), 0, node.log())
        self.assertNotIn("ERROR", node.log())
        node.start()
        done = node.execution(run["id"])
        self.assertEqual((done["status"], done["output"], len(done["attempts"])), ("success", "finished\n", 1), done)
        lost = [r for r in node.executions() if r["status"] not in ("success", "pending", "running")]
        self.assertEqual(lost, [])

    def test_an_idle_node_stops_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            node = node_of(self)
            held = socket.create_connection(("127.0.0.1", node.port))
            self.addCleanup(held.close)
            begun = time.monotonic()
            node.process.send_signal(number)
            self.assertEqual(node.wait_exit(), 0)
            self.assertLess(time.monotonic() - begun, 3)

    def test_a_second_signal_leaves_at_once(self):
        node = node_of(self)
        path = node.work / "pids"
        node.create(name="endless", schedule="@manually", command=f"echo $$ >> {path}; [ $CHRONOS_ATTEMPT -gt 1 ] || sleep 300")
        run = running(node, node.trigger("endless"))
        node.terminate()
        wait_for(lambda: "stopping" in node.log(), "the first signal to be taken")
        begun = time.monotonic()
        node.terminate()
        self.assertEqual(node.wait_exit(), 1)
        self.assertLess(time.monotonic() - begun, 3)
        node.start()
        done = node.ended(run["id"])
        self.assertEqual((done["status"], len(done["attempts"])), ("success", 2))

    def test_runs_that_do_not_end_in_time_are_taken_over_at_the_next_start(self):
        node = node_of(self, "server: {shutdown_timeout: 1s}\nscheduler: {grace: 500ms}\n")
        path = node.work / "pids"
        node.create(name="long", schedule="@manually",
                    command=f"trap '' TERM; echo $$ >> {path}; [ $CHRONOS_ATTEMPT -gt 1 ] || sleep 300")
        run = running(node, node.trigger("long"))
        pid = int(wait_for(lambda: path.exists() and path.read_text(), "its process"))
        begun = time.monotonic()
        self.assertEqual(node.stop(), 0, node.log())
        took = time.monotonic() - begun
        self.assertGreaterEqual(took, 1)
        self.assertLess(took, 6)
        self.assertFalse(Path(f"/proc/{pid}").exists(), "a process was left behind")
        node.start()
        done = node.ended(run["id"])
        self.assertEqual((done["status"], len(done["attempts"])), ("success", 2), done)
        self.assertNotEqual(done["attempts"][0]["outcome"], "success")

    def test_a_restart_keeps_everything(self):
        node = node_of(self)
        for i in range(20):
            node.create(name=f"job-{i}", schedule="@hourly", command="true", enabled=i % 2 == 0, tags={"i": str(i)})
        for i in range(10):
            node.patch(f"{JOBS}/job-{i}", {"description": "edited"})
        runs = [node.ended(node.trigger(f"job-{i}")["id"]) for i in range(5)]
        jobs = node.get(JOBS).json
        for down in (node.stop, node.kill9, node.stop):
            down()
            node.start()
            self.assertEqual(node.get(JOBS).json, jobs)
            self.assertEqual([node.execution(r["id"]) for r in runs], runs)


class DirectoryTest(TestCase):
    def refused(self, node, *words, code=1, preexec=None):
        """A start of this node ends with one clear sentence that has these words in it."""
        done = subprocess.run(node.command(), env=node.full_environment(), cwd=node.work, capture_output=True, text=True,
                              preexec_fn=preexec, timeout=60)
        self.assertEqual(done.returncode, code, done)
        sentence = done.stderr.strip().splitlines()[-1]
        self.assertTrue(sentence.startswith("chronos: "), done.stderr)
        for word in words:
            self.assertIn(word, sentence)
        return sentence

    def other(self, node, **environment):
        other = Node(environment=environment, data_dir=node.data_dir)
        self.addCleanup(other.close)
        return other

    def test_a_second_start_is_refused(self):
        node = node_of(self)
        node.create(name="first", schedule="* * * * * *", command="true", concurrency="allow")
        for _ in range(3):
            self.refused(self.other(node), str(node.data_dir), f"in use by process {node.process.pid}")
        self.assertIsNone(node.process.poll())
        self.assertEqual(node.get("/ready").status, 200)
        node.create(name="second", schedule="@manually", command="true")
        self.assertEqual(node.ended(node.trigger("second")["id"])["status"], "success")
        node.kill9()
        node.start()  # the lock went with the process
        self.assertEqual([j["name"] for j in node.get(JOBS).json["jobs"]], ["first", "second"])

    def test_a_second_node_may_live_beside(self):
        first, second = node_of(self), node_of(self)
        first.create(name="a", schedule="@manually", command="true")
        self.assertEqual(second.get(JOBS).json["jobs"], [])

    def test_another_backend(self):
        node = node_of(self)
        node.create(name="kept", schedule="@manually", command="true")
        self.assertEqual(node.stop(), 0)
        other = "sqlite" if BACKEND == "lmdb" else "lmdb"
        self.refused(self.other(node, CHRONOS_STORAGE_BACKEND=other), f"storage.backend: {BACKEND}", other, code=78)
        node.start()
        self.assertEqual(node.get(f"{JOBS}/kept").status, 200)

    def test_another_name(self):
        node = node_of(self, environment={"CHRONOS_CLUSTER_NODE_ID": "alpha"})
        node.create(name="kept", schedule="@manually", command="true")
        self.assertEqual(node.stop(), 0)
        alone = self.refused(self.other(node, CHRONOS_CLUSTER_NODE_ID="beta"), 'cluster.node_id is "beta"', str(node.data_dir),
                             'set cluster.node_id to "alpha"', code=78)
        self.assertNotIn("empty", alone) # there is nobody to get the jobs from
        self.refused(self.other(node, CHRONOS_CLUSTER_NODE_ID="beta", CHRONOS_CLUSTER_RAFT_ADDRESS="127.0.0.1:7000",
                                CHRONOS_CLUSTER_RAFT_PEERS="127.0.0.2:7000"),
                     'set cluster.node_id to "alpha"; a node that was just installed, and is to join others',
                     "empty the directory instead", code=78)
        node.start()
        self.assertEqual(node.get(f"{JOBS}/kept").status, 200)

    @unittest.skipUnless(BACKEND == "lmdb", "the file format of LMDB")
    def test_a_header_of_which_half_could_not_be_written(self):
        """LMDB puts back two fields alone of a meta page whose write failed. It goes by the other page, and so do we."""
        trees, last_page, page_size = slice(40, 136), slice(136, 144), 4096
        node = node_of(self)
        node.create(name="kept", schedule="@manually", command="true")
        self.assertEqual(node.stop(), 0)
        file = node.data_dir / "log" / "data.mdb"
        content = bytearray(file.read_bytes())
        metas = [content[page * page_size:page * page_size + 152] for page in (0, 1)]
        newer = max((0, 1), key=lambda page: int.from_bytes(metas[page][144:152], "little"))
        stale = metas[1 - newer]
        stale[trees] = metas[newer][trees]
        stale[last_page] = (2).to_bytes(8, "little")
        start = (1 - newer) * page_size
        content[start:start + 152] = stale
        file.write_bytes(content)
        node.start()
        self.assertEqual(node.get(f"{JOBS}/kept").status, 200)
        self.assertEqual(node.stop(), 0)
        content[newer * page_size + 136:newer * page_size + 144] = (2).to_bytes(8, "little")
        file.write_bytes(content)
        self.refused(self.other(node), "trees that cannot exist", code=65)

    def test_a_newer_format(self):
        node = node_of(self)
        node.create(name="kept", schedule="@manually", command="true")
        self.assertEqual(node.stop(), 0)
        marker = node.data_dir / "chronos-data"
        good = marker.read_text()
        self.assertEqual(good, f"chronos-data 1\nbackend {BACKEND}\n")
        marker.write_text(good.replace("data 1", "data 2"))
        self.refused(self.other(node), "written by a newer version of Chronos (format 2, this one knows 1): install that version again",
                     code=65)
        for text in ("", "something else\n", "chronos-data x\n", "\0" * 100, "chronos-data 1\n", "chronos-data 1\nbackend \n"):
            with self.subTest(text=text):
                marker.write_text(text)
                self.refused(self.other(node), "chronos-data", code=65)
        self.assertEqual(marker.read_text(), "chronos-data 1\nbackend \n", "a refused directory is left as it is")
        marker.write_text(good)
        node.start()
        self.assertEqual(node.get(f"{JOBS}/kept").status, 200)

    def test_a_directory_that_belongs_to_something_else(self):
        node = Node()
        self.addCleanup(node.close)
        node.data_dir.write_text("a file")
        self.refused(node, str(node.data_dir))
        self.assertEqual(node.data_dir.read_text(), "a file")

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else")
    def test_not_writable(self):
        node = Node()
        self.addCleanup(node.close)
        node.work.chmod(0o755)

        def become_nobody():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        self.refused(node, str(node.data_dir), "ermission denied", preexec=become_nobody)
        self.assertFalse(node.data_dir.exists())
        node.data_dir.mkdir(mode=0o755)
        self.refused(node, str(node.data_dir), "ermission denied", "writable", preexec=become_nobody)
        self.assertEqual(list(node.data_dir.iterdir()), [])
        node.start()
        node.create(name="kept", schedule="@manually", command="true")
        self.assertEqual(node.stop(), 0)
        before = sorted(p.name for p in node.data_dir.rglob("*"))
        self.refused(node, str(node.data_dir), "ermission denied", preexec=become_nobody)
        self.assertEqual(sorted(p.name for p in node.data_dir.rglob("*")), before)
        self.assertEqual({p.stat().st_mode & 0o077 for p in node.data_dir.rglob("*")}, {0}, "the data is this user's alone")


if __name__ == "__main__":
    unittest.main()
