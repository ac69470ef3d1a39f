"""Runs, from the second that they are due to what is kept of them."""
# ctest: timeout=300
import json
import os
import re
import signal
import time
import unittest
from email.utils import formatdate

from harness import Node, Receiver, TestCase, instant, rfc3339, wait_for

JOBS = "/api/v1/jobs"
RUNS = "/api/v1/executions"


def alive(pid):
    """A process that is more than a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


class RunCase(TestCase):
    config = "scheduler: {grace: 1s}\n"

    @classmethod
    def setUpClass(cls):
        cls.node = Node(cls.config)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def job(self, name, **more):
        job = {"name": name, "schedule": "@manually", **more}
        if not {"command", "webhook", "config"} & set(job):
            job["command"] = "true"
        return self.node.create(**job)

    def shell(self, name, command, job=None, **config):
        return self.job(name, executor="shell", config={"command": command, **config}, **(job or {}))

    def run_job(self, name, deadline_s=None, **body):
        return self.node.ended(self.node.trigger(name, **body)["id"], deadline_s)

    def running(self, run):
        return wait_for(lambda: (r := self.node.execution(run["id"]))["status"] == "running" and r, f"{run['id']} to run")

    def pids(self, path, count):
        """Process ids that a job has written, one a line."""
        def written():
            lines = path.read_text().split() if path.exists() else []
            return lines if len(lines) >= count else None
        return [int(pid) for pid in wait_for(written, f"{count} process ids in {path.name}")]


class ScheduleTest(RunCase):
    def slots(self, name, count):
        return wait_for(lambda: (r := self.node.executions(name)[::-1]) and len(r) >= count and r, f"{count} runs of {name}")

    def test_cron_fires_at_its_second(self):
        job = self.job("tick", schedule="* * * * * *")
        runs = self.slots("tick", 4)
        slots = [instant(r["scheduled_time"]) for r in runs]
        self.assertEqual(slots, [slots[0] + i for i in range(len(slots))])
        self.assertTrue(all(s == int(s) for s in slots))
        self.assertLessEqual(slots[0] - instant(job["created_at"]), 1)
        self.assertGreater(slots[0], instant(job["created_at"]))
        for run in runs[:3]:
            run = self.node.ended(run["id"])
            self.assertEqual((run["trigger"], run["status"]), ("schedule", "success"))
            self.assertGreaterEqual(instant(run["started_at"]), instant(run["scheduled_time"]))
            self.assertLess(instant(run["started_at"]) - instant(run["scheduled_time"]), 0.5)
        self.node.delete(f"{JOBS}/tick")

    def test_every_is_anchored_at_the_creation(self):
        job = self.job("every", schedule="@every 1s")
        runs = self.slots("every", 3)
        anchor = instant(job["created_at"])
        for i, run in enumerate(runs):
            self.assertAlmostEqual(instant(run["scheduled_time"]), anchor + i + 1, places=3)
        # An edit of something else does not move the anchor, nor does a new start of the node.
        self.node.patch(f"{JOBS}/every", {"description": "edited"})
        self.node.stop()
        self.node.start()
        count = len(self.node.executions("every"))
        for run in self.slots("every", count + 2):
            offset = instant(run["scheduled_time"]) - anchor
            self.assertAlmostEqual(offset, round(offset), places=3)
        self.node.delete(f"{JOBS}/every")

    def test_at_fires_once_and_disables_the_job(self):
        at = rfc3339(int(time.time()) + 2)
        self.job("once", schedule=f"@at {at}")
        self.assertEqual(self.node.get(f"{JOBS}/once").json["next_run"], at)
        run = self.node.ended(self.slots("once", 1)[0]["id"])
        self.assertEqual((run["status"], run["scheduled_time"]), ("success", at))
        job = wait_for(lambda: (j := self.node.get(f"{JOBS}/once").json)["enabled"] is False and j, "the job to be disabled")
        self.assertIsNone(job["next_run"])
        # What has passed can still be edited otherwise.
        self.assertEqual(self.node.patch(f"{JOBS}/once", {"description": "x"}).status, 200)
        self.assertEqual(len(self.node.executions("once")), 1)

    def test_a_union_fires_once_for_equal_instants(self):
        at = rfc3339(int(time.time()) + 2)
        self.job("union", schedule=[f"@at {at}", f"@at {at}", "0 0 1 1 *"])
        self.node.ended(self.slots("union", 1)[0]["id"])
        marker = self.run_job("union")["id"]
        self.assertEqual([r["trigger"] for r in self.node.executions("union")], ["manual", "schedule"])
        self.assertEqual(self.node.executions("union")[0]["id"], marker)
        self.assertTrue(self.node.get(f"{JOBS}/union").json["enabled"])

    def test_many_jobs_of_one_second(self):
        for i in range(200):
            job = self.job(f"crowd-{i}", schedule="*/15 * * * * *", command="true")
            self.addCleanup(self.node.delete, f"{JOBS}/{job['id']}")
        at = rfc3339((int(time.time()) // 15 + 1) * 15)  # the next slot of all of them, however long their creation took

        def runs():
            found = [r for r in self.node.executions(since=at, status="success") if r["job_name"].startswith("crowd-")]
            return [r for r in found if r["scheduled_time"] == at]
        wait_for(lambda: len(runs()) >= 200, "200 runs", 60)
        self.assertEqual(len({r["job_name"] for r in runs()}), 200)
        self.assertEqual(len(runs()), 200)


class ShellTest(RunCase):
    def test_exit_codes(self):
        for code, status in ((0, "success"), (1, "failed"), (255, "failed")):
            with self.subTest(code=code):
                self.shell(f"exit-{code}", f"exit {code}")
                run = self.run_job(f"exit-{code}")
                self.assertEqual((run["status"], run["exit_code"]), (status, code))
                self.assertEqual(run["error"], None if code == 0 else f"the process exited with code {code}")
        self.shell("lenient", "exit 3", success_exit_codes=[0, 3])
        self.assertEqual(self.run_job("lenient")["status"], "success")
        self.shell("killed", "kill -SEGV $$")
        run = self.run_job("killed")
        self.assertEqual((run["status"], run["exit_code"]), ("failed", 128 + signal.SIGSEGV))
        self.assertIn("SEGV", run["error"])

    def test_what_cannot_be_started(self):
        self.job("no-program", executor="shell", config={"argv": ["/no/such/program"]})
        run = self.run_job("no-program")
        self.assertEqual((run["status"], run["exit_code"]), ("failed", None))
        self.assertIn("/no/such/program", run["error"])
        self.shell("no-directory", "true", cwd="/no/such/directory",
                   job={"retry_policy": {"max_attempts": 5, "initial_interval": "100ms"}})
        run = self.run_job("no-directory")
        self.assertIn("/no/such/directory", run["error"])
        self.assertEqual(len(run["attempts"]), 1, "this cannot get better by itself")

    def test_environment(self):
        job = self.shell("environment", "env; echo; pwd; umask", env={"MINE": "a b\"c", "PATH": "/usr/bin:/bin"}, cwd="/usr",
                         umask="027")
        run = self.run_job("environment")
        variables, _, rest = run["output"].partition("\n\n")
        env = dict(line.split("=", 1) for line in variables.splitlines())
        self.assertEqual({k: v for k, v in env.items() if k.startswith("CHRONOS_")}, {
            "CHRONOS_JOB_ID": job["id"], "CHRONOS_JOB_NAME": "environment", "CHRONOS_EXECUTION_ID": run["id"],
            "CHRONOS_ATTEMPT": "1", "CHRONOS_SCHEDULED_TIME": run["scheduled_time"], "CHRONOS_IDEMPOTENCY_KEY": run["id"],
            "CHRONOS_NODE_ID": "node-1"
        }, "nothing of the daemon's own environment")
        self.assertEqual((env["MINE"], env["PATH"], env["SHELL"]), ("a b\"c", "/usr/bin:/bin", "/bin/sh"))
        self.assertNotIn("PYTHONPATH", env)
        self.assertEqual(rest.split(), ["/usr", "0027"])

    def test_idempotency_key_of_a_slot(self):
        job = self.shell("keyed", "echo $CHRONOS_IDEMPOTENCY_KEY", job={"schedule": f"@at {rfc3339(int(time.time()) + 2)}"})
        run = wait_for(lambda: self.node.executions("keyed"), "the run")[0]
        run = self.node.ended(run["id"])
        key, slot = run["output"].strip().split(":", 1)
        self.assertEqual(key, job["id"])
        self.assertIn(slot, (run["scheduled_time"], str(round(instant(run["scheduled_time"]) * 1000))))

    def test_argv_and_stdin(self):
        self.job("argv", executor="shell", config={"argv": ["printf", "%s|", "a b", "$HOME", ""]})
        self.assertEqual(self.run_job("argv")["output"], "a b|$HOME||")
        self.shell("stdin", "cat; echo end", stdin="line 1\nline 2\n")
        self.assertEqual(self.run_job("stdin")["output"], "line 1\nline 2\nend\n")
        self.shell("no-stdin", "cat; echo end")
        self.assertEqual(self.run_job("no-stdin")["output"], "end\n")
        big = "0123456789abcde\n" * 8000
        self.shell("big-stdin", "wc -c", stdin=big)
        self.assertEqual(self.run_job("big-stdin")["output"].strip(), str(len(big)))

    def test_a_clean_process(self):
        self.shell("clean",
                   "ls /proc/self/fd | wc -l; ps -o pid=,pgid= -p $$; cat /proc/self/status | grep -E 'SigBlk|SigIgn'; tty")
        lines = self.run_job("clean")["output"].splitlines()
        self.assertEqual(int(lines[0]), 4, "0, 1, 2 and the one that ls reads")
        pid, group = lines[1].split()
        self.assertEqual(pid, group, "a process group of its own")
        self.assertEqual([int(line.split()[1], 16) for line in lines[2:4]], [0, 0])
        self.assertEqual(lines[4], "not a tty")

    def test_output_of_both_streams(self):
        self.shell("streams", "echo out; echo err >&2")
        self.assertEqual(sorted(self.run_job("streams")["output"].split()), ["err", "out"])

    def test_big_output(self):
        """Head and tail in the record, all of it on the node that ran it."""
        self.shell("big", "i=0; while [ $i -lt 20000 ]; do echo \"line $i\"; i=$((i+1)); done")
        whole = "".join(f"line {i}\n" for i in range(20000)).encode()
        run = self.run_job("big")
        self.assertEqual((run["output_truncated"], run["output_bytes"]), (True, len(whole)))
        head, left_out, tail = re.fullmatch(r"(.*)\n\.\.\. (\d+) bytes left out \.\.\.\n(.*)", run["output"], re.S).groups()
        self.assertTrue(whole.startswith(head.encode()) and whole.endswith(tail.encode()))
        self.assertEqual(len(head) + len(tail) + int(left_out), len(whole))
        self.assertLessEqual(len(head) + len(tail), 1024)
        self.assertGreater(len(head) + len(tail), 1000)
        answer = self.node.get(f"{RUNS}/{run['id']}/output")
        self.assertEqual(answer.body, whole)
        self.assertEqual(answer.headers["X-Chronos-Output-Total"], str(len(whole)))
        self.assertEqual(self.node.get(f"{RUNS}/{run['id']}/output?offset=100000&limit=50").body, whole[100000:100050])
        self.node.stop()
        self.node.start()
        self.assertEqual(self.node.get(f"{RUNS}/{run['id']}/output").body, whole, "also after a new start")

    def test_output_beyond_the_capture(self):
        self.shell("flood", "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end")
        run = self.run_job("flood")
        self.assertEqual((run["status"], run["output_bytes"], run["output_truncated"]), ("success", 5000009, True))
        self.assertTrue(run["output"].endswith("the end\n"))
        answer = self.node.get(f"{RUNS}/{run['id']}/output?limit=4194304")
        self.assertEqual(answer.body[:1 << 20], b"x" * (1 << 20))
        self.assertLess(len(answer.body), 1_100_000)

    def test_background_children_do_not_hold_the_run(self):
        path = self.node.work / "background"
        self.shell("background", f"sleep 60 & echo $! > {path}; echo done")
        begun = time.monotonic()
        run = self.run_job("background")
        self.assertEqual((run["status"], run["output"]), ("success", "done\n"))
        self.assertLess(time.monotonic() - begun, 10)
        pid = self.pids(path, 1)[0]
        self.assertTrue(alive(pid), "what a job left in the background is left alone")
        os.kill(pid, signal.SIGKILL)

    def test_a_guardian_that_is_killed(self):
        """The runs under it are lost to it, their processes end, and the core runs them again."""
        path = self.node.work / "guarded"
        self.shell("guarded", f"echo $PPID >> {path}; [ $CHRONOS_ATTEMPT -gt 1 ] || sleep 60")
        run = self.node.trigger("guarded")
        guardian = self.pids(path, 1)[0]
        os.kill(guardian, signal.SIGKILL)
        done = self.node.ended(run["id"])
        self.assertEqual(done["status"], "success", done)
        self.assertEqual([a["outcome"] for a in done["attempts"]], ["lost", "success"])
        self.assertNotEqual(self.pids(path, 2)[1], guardian)


class EndTest(RunCase):
    """Timeouts and cancellation: the whole process group, and in the end by force."""

    def tree(self, name, trap, **job):
        """A job whose shell, child and grandchild write their ids; `trap` is set in all of them."""
        path = self.node.work / f"{name}.pids"
        script = self.node.work / f"{name}.sh"
        script.write_text(
            f"{trap}\necho $$ >> {path}\n[ $1 -eq 0 ] || sh {script} $(($1 - 1)) &\nwhile :; do sleep 0.1; done\n")
        self.job(name, executor="shell", config={"argv": ["sh", str(script), "2"]}, **job)
        return path

    def gone(self, pids):
        wait_for(lambda: not any(alive(p) for p in pids), "the whole process tree to end")

    def test_timeout_ends_the_tree(self):
        path = self.tree("slow", "", timeout="1s")
        run = self.run_job("slow")
        self.assertEqual(run["status"], "timeout")
        self.assertGreaterEqual(run["duration_ms"], 1000)
        self.assertLess(run["duration_ms"], 1900)
        self.assertEqual([a["outcome"] for a in run["attempts"]], ["timeout"])
        self.gone(self.pids(path, 3))

    def test_timeout_with_term_ignored_kills_after_the_grace(self):
        path = self.tree("stubborn", "trap '' TERM", timeout="1s")
        run = self.run_job("stubborn")
        self.assertEqual((run["status"], run["exit_code"]), ("timeout", 128 + signal.SIGKILL))
        self.assertGreaterEqual(run["duration_ms"], 2000)
        self.assertLess(run["duration_ms"], 4000)
        self.gone(self.pids(path, 3))

    def test_timeouts_are_retried(self):
        path = self.tree("slow-retried", "", timeout="500ms",
                         retry_policy={"max_attempts": 2, "initial_interval": "100ms", "jitter": 0})
        run = self.run_job("slow-retried")
        self.assertEqual([a["outcome"] for a in run["attempts"]], ["timeout", "timeout"])
        self.assertEqual(run["status"], "timeout")
        self.gone(self.pids(path, 1)) # as many as got that far in half a second; test_timeout_ends_the_tree waits for all

    def test_cancel_ends_the_tree(self):
        path = self.tree("cancelled", "")
        run = self.node.trigger("cancelled")
        pids = self.pids(path, 3)
        answer = self.node.post(f"{RUNS}/{run['id']}/cancel")
        self.assertEqual(answer.status, 202, answer)
        done = self.node.ended(run["id"])
        self.assertEqual((done["status"], done["reason"]), ("cancelled", "user"))
        self.gone(pids)
        self.problem(self.node.post(f"{RUNS}/{run['id']}/cancel"), 409, "CONFLICT")

    def test_cancel_twice_is_one_cancel(self):
        path = self.tree("cancelled-twice", "trap '' TERM")
        run = self.node.trigger("cancelled-twice")
        pids = self.pids(path, 3)
        self.assertEqual(self.node.post(f"{RUNS}/{run['id']}/cancel").status, 202)
        self.assertEqual(self.node.post(f"{RUNS}/{run['id']}/cancel").status, 202)
        done = self.node.ended(run["id"])
        self.assertEqual((done["status"], len(done["attempts"])), ("cancelled", 1))
        self.gone(pids)

    def test_kill_signal(self):
        self.shell("polite", "trap 'echo got INT; exit 0' INT; echo ready; while :; do sleep 0.05; done", kill_signal="INT")
        run = self.node.trigger("polite")
        wait_for(lambda: b"ready" in self.node.get(f"{RUNS}/{run['id']}/output").body, "the job to be ready")
        self.node.post(f"{RUNS}/{run['id']}/cancel")
        done = self.node.ended(run["id"])
        self.assertEqual((done["status"], done["output"]), ("cancelled", "ready\ngot INT\n"))

    def test_cancel_of_a_run_that_waits_for_its_retry(self):
        self.shell("backing-off", "exit 1",
                   job={"retry_policy": {"max_attempts": 2, "initial_interval": "1h", "max_interval": "1h"}})
        run = self.node.trigger("backing-off")
        waiting = wait_for(lambda: (r := self.node.execution(run["id"]))["reason"] == "retry" and r, "the run to wait")
        self.assertEqual(waiting["status"], "pending")
        self.assertGreater(instant(waiting["next_attempt_at"]), time.time() + 3000)
        self.assertEqual(self.node.post(f"{RUNS}/{run['id']}/cancel").status, 202)
        done = self.node.ended(run["id"])
        self.assertEqual((done["status"], done["reason"], len(done["attempts"])), ("cancelled", "user", 1))


class RetryTest(RunCase):
    def failing(self, name, times, **policy):
        """Fails `times` times, then succeeds."""
        self.shell(name, f"echo attempt $CHRONOS_ATTEMPT; [ $CHRONOS_ATTEMPT -gt {times} ]", job={"retry_policy": policy})

    def test_back_off(self):
        self.failing("backoff", 3, max_attempts=5, initial_interval="200ms", multiplier=2, max_interval="500ms", jitter=0)
        run = self.run_job("backoff")
        self.assertEqual((run["status"], run["output"]), ("success", "attempt 4\n"))
        attempts = run["attempts"]
        self.assertEqual([(a["attempt"], a["outcome"], a["exit_code"]) for a in attempts],
                         [(1, "failed", 1), (2, "failed", 1), (3, "failed", 1), (4, "success", 0)])
        waits = [instant(b["started_at"]) - instant(a["completed_at"]) for a, b in zip(attempts, attempts[1:])]
        for wait, least in zip(waits, (0.2, 0.4, 0.5)):
            self.assertGreaterEqual(wait, least - 0.002)
            self.assertLess(wait, least + 0.4)
        self.assertEqual(instant(run["started_at"]), instant(attempts[0]["started_at"]))

    def test_output_of_each_attempt(self):
        """Why the first one failed is what one asks for: while the run waits, when it is over, and after a restart."""
        self.failing("talkative", 2, max_attempts=3, initial_interval="500ms", multiplier=1, jitter=0)
        run = self.node.trigger("talkative")["id"]
        wait_for(lambda: self.node.execution(run)["reason"] == "retry", "the run to wait")
        self.assertEqual(self.node.get(f"{RUNS}/{run}/output?attempt=1").body, b"attempt 1\n")
        self.assertEqual(self.node.ended(run)["output"], "attempt 3\n")
        for restart in (False, True):
            if restart:
                self.assertEqual(self.node.stop(), 0)
                self.node.start()
            self.assertEqual(self.node.get(f"{RUNS}/{run}/output").body, b"attempt 3\n")
            for attempt in (1, 2, 3):
                answer = self.node.get(f"{RUNS}/{run}/output?attempt={attempt}")
                self.assertEqual((answer.status, answer.body), (200, b"attempt %d\n" % attempt))

    def test_attempts_run_out(self):
        self.failing("hopeless", 9, max_attempts=3, initial_interval="100ms", jitter=0)
        run = self.run_job("hopeless")
        self.assertEqual((run["status"], len(run["attempts"]), run["exit_code"]), ("failed", 3, 1))
        self.assertEqual(self.node.get(f"{JOBS}/hopeless").json["last_status"], "failed")

    def test_exit_codes_that_are_retried(self):
        self.shell("choosy", "exit 5", retry_exit_codes=[4],
                   job={"retry_policy": {"max_attempts": 3, "initial_interval": "100ms"}})
        self.assertEqual(len(self.run_job("choosy")["attempts"]), 1)

    def survives(self, name, go_down):
        self.failing(name, 1, max_attempts=2, initial_interval="3s", jitter=0)
        run = self.node.trigger(name)
        waiting = wait_for(lambda: (r := self.node.execution(run["id"]))["reason"] == "retry" and r, "the run to wait")
        go_down()
        self.node.start()
        self.assertEqual(self.node.execution(run["id"])["next_attempt_at"], waiting["next_attempt_at"])
        done = self.node.ended(run["id"])
        self.assertEqual((done["status"], [a["outcome"] for a in done["attempts"]]), ("success", ["failed", "success"]))
        self.assertGreaterEqual(instant(done["attempts"][1]["started_at"]), instant(waiting["next_attempt_at"]) - 0.002)

    def test_a_wait_survives_a_restart(self):
        self.survives("survivor-term", self.node.stop)

    def test_a_wait_survives_kill_9(self):
        self.survives("survivor-kill", self.node.kill9)

    def test_a_run_of_an_old_version_keeps_its_config(self):
        self.shell("versions", "echo old $CHRONOS_ATTEMPT; [ $CHRONOS_ATTEMPT -gt 1 ]",
                   job={"retry_policy": {"max_attempts": 2, "initial_interval": "1s", "jitter": 0}})
        run = self.node.trigger("versions")
        wait_for(lambda: self.node.execution(run["id"])["reason"] == "retry", "the run to wait")
        self.assertEqual(self.node.patch(f"{JOBS}/versions", {"config": {"command": "echo new"}}).json["version"], 2)
        self.node.kill9()
        self.node.start()
        done = self.node.ended(run["id"])
        self.assertEqual((done["output"], done["job_version"], done["status"]), ("old 2\n", 1, "success"))
        new = self.run_job("versions")
        self.assertEqual((new["output"], new["job_version"]), ("new\n", 2))


class WebhookTest(RunCase):
    def hook(self, name, receiver, job=None, **config):
        config = {"url": receiver.url + f"/{name}?q=1", **config}
        return self.job(name, webhook=config,
                        **{"retry_policy": {"max_attempts": 3, "initial_interval": "100ms", "jitter": 0}, **(job or {})})

    def test_request(self):
        with Receiver() as receiver:
            job = self.hook(
                "request", receiver, headers={"X-Mine": "yes"}, body=
                '{"run": "{{.ExecutionID}}", "job": "{{ .JobName }}", "n": {{.Attempt}}, "id": "{{.JobID}}", "t": "{{.ScheduledTime}}"}'
            )
            run = self.run_job("request")
            self.assertEqual((run["status"], run["status_code"], run["output"], run["error"]), ("success", 200, "ok", None))
            self.assertNotIn("exit_code", run)
            self.assertEqual(run["attempts"][0]["status_code"], 200)
            (method, path, headers, body), = receiver.received
            self.assertEqual((method, path), ("POST", "/request?q=1"))
            self.assertEqual(json.loads(body),
                             {"run": run["id"], "job": "request", "n": 1, "id": job["id"], "t": run["scheduled_time"]})
            for name, value in {
                    "X-Mine": "yes", "X-Chronos-Job-ID": job["id"], "X-Chronos-Execution-ID": run["id"],
                    "X-Chronos-Attempt": "1", "X-Chronos-Scheduled-Time": run["scheduled_time"], "Idempotency-Key": run["id"],
                    "Content-Type": "application/json"
            }.items():
                self.assertEqual(headers[name], value, name)
            self.assertTrue(headers["User-Agent"].startswith("Chronos/"))

    def test_methods(self):
        with Receiver() as receiver:
            for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD"):
                self.hook(f"method-{method}", receiver, method=method)
                self.assertEqual(self.run_job(f"method-{method}")["status"], "success")
                self.assertEqual(receiver.received[-1][0], method)

    def test_4xx_is_final(self):
        with Receiver(lambda path, nth: (404, {}, b"nothing here")) as receiver:
            self.hook("final", receiver)
            run = self.run_job("final")
            self.assertEqual((run["status"], run["status_code"], run["output"], len(run["attempts"])),
                             ("failed", 404, "nothing here", 1))
            self.assertIn("404", run["error"])
            self.assertNotIn("q=1", run["error"])

    def test_5xx_is_retried(self):
        with Receiver(lambda path, nth: (503 if nth < 3 else 200, {}, b"")) as receiver:
            self.hook("retried", receiver)
            run = self.run_job("retried")
            self.assertEqual((run["status"], [a["status_code"] for a in run["attempts"]]), ("success", [503, 503, 200]))
            self.assertEqual([r[2]["X-Chronos-Attempt"] for r in receiver.received], ["1", "2", "3"])
            self.assertEqual(len({r[2]["Idempotency-Key"] for r in receiver.received}), 1)

    def test_retry_after(self):
        for i, (status, after) in enumerate(((429, "2"), (503, None))):
            date = formatdate(time.time() + 3, usegmt=True)
            with Receiver(lambda path, nth: (status, {"Retry-After": after or date}, b"")
                          if nth == 1 else (200, {}, b"")) as receiver:
                self.hook(f"after-{i}", receiver)
                run = self.run_job(f"after-{i}")
                first, second = run["attempts"]
                self.assertEqual(run["status"], "success")
                wait = instant(second["started_at"]) - instant(first["completed_at"])
                self.assertGreaterEqual(wait, 1.9)
                self.assertLess(wait, 4)

    def test_no_connection_is_retried(self):
        with Receiver() as receiver:
            url = receiver.url
        self.job("refused", webhook={"url": url}, retry_policy={"max_attempts": 2, "initial_interval": "100ms"})
        run = self.run_job("refused")
        self.assertEqual((run["status"], len(run["attempts"]), run.get("status_code"), run["exit_code"]),
                         ("failed", 2, None, None))
        self.assertIn("127.0.0.1", run["error"])

    def test_redirects(self):
        def answer(path, nth):
            return (302, {"Location": "/target"}, b"") if path.startswith("/re") else (200, {}, b"arrived")
        with Receiver(answer) as receiver:
            self.hook("re-off", receiver)
            run = self.run_job("re-off")
            self.assertEqual((run["status"], run["status_code"], len(run["attempts"])), ("failed", 302, 1))
            self.hook("re-on", receiver, follow_redirects=True)
            run = self.run_job("re-on")
            self.assertEqual((run["status"], run["output"], receiver.received[-1][:2]),
                             ("success", "arrived", ("GET", "/target")))

    def test_success_codes_and_auth(self):
        with Receiver(lambda path, nth: (418, {}, b"")) as receiver:
            self.hook("teapot", receiver, success_codes=["200-204", "418"],
                      auth={"type": "basic", "username": "u", "password": "p"})
            self.assertEqual(self.run_job("teapot")["status"], "success")
            self.assertEqual(receiver.received[0][2]["Authorization"], "Basic dTpw")

    def test_a_receiver_that_does_not_answer(self):
        import socket
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.job("silent", webhook={"url": f"http://127.0.0.1:{silent.getsockname()[1]}/", "timeout": "1s"})
            run = self.run_job("silent")
            self.assertEqual(run["status"], "timeout")
            self.job("silent-job", webhook={"url": f"http://127.0.0.1:{silent.getsockname()[1]}/"}, timeout="500ms")
            run = self.run_job("silent-job")
            self.assertEqual(run["status"], "timeout")
            self.assertLess(run["duration_ms"], 1500)
            self.job("silent-cancel", webhook={"url": f"http://127.0.0.1:{silent.getsockname()[1]}/"})
            run = self.node.trigger("silent-cancel")
            self.running(run)
            self.node.post(f"{RUNS}/{run['id']}/cancel")
            self.assertEqual(self.node.ended(run["id"])["status"], "cancelled")


class OverlapTest(RunCase):
    def gate(self, name):
        """A file: jobs wait until it is there."""
        path = self.node.work / f"{name}.gate"
        return path, f"while [ ! -e {path} ]; do sleep 0.05; done"

    def seen(self, name, condition, what):
        return wait_for(lambda: (r := self.node.executions(name)[::-1]) and condition(r) and r, what)

    def test_forbid(self):
        path, command = self.gate("forbid")
        self.shell("forbid", command, job={"schedule": "* * * * * *"})
        runs = self.seen("forbid", lambda r: len(r) >= 3, "three slots")
        path.touch()
        self.assertEqual([r["status"] for r in runs[1:3]], ["skipped", "skipped"])
        self.assertEqual({r["reason"] for r in runs[1:3]}, {"overlap"})
        self.assertEqual([a for r in runs[1:3] for a in r["attempts"]], [])
        self.assertEqual(self.node.ended(runs[0]["id"])["status"], "success")
        self.seen("forbid", lambda r: any(x["status"] == "success" for x in r[3:]), "a run after the long one")
        self.node.delete(f"{JOBS}/forbid")

    def test_allow_and_max_concurrent(self):
        path, command = self.gate("allow")
        self.shell("allow", command, job={"concurrency": "allow", "max_concurrent": 3})
        runs = [self.node.trigger("allow") for _ in range(5)]
        for run in runs[:3]:
            self.running(run)
        self.assertEqual([(r["status"], r["reason"]) for r in runs[3:]], [("skipped", "max_concurrent")] * 2)
        self.assertEqual(self.node.get(f"{JOBS}/allow").json["running"], 3)
        path.touch()
        self.assertEqual({self.node.ended(r["id"])["status"] for r in runs[:3]}, {"success"})

    def test_replace(self):
        path, command = self.gate("replace")
        pids = self.node.work / "replace.pids"
        self.shell("replace", f"echo $$ >> {pids}; {command}", job={"concurrency": "replace"})
        first = self.node.trigger("replace")
        first_pid, = self.pids(pids, 1)
        second = self.node.trigger("replace")
        done = self.node.ended(first["id"])
        self.assertEqual((done["status"], done["reason"], len(done["attempts"])), ("cancelled", "replaced", 1))
        second_pid = self.pids(pids, 2)[1]
        self.assertFalse(alive(first_pid), "the old one has ended before the new one starts")
        path.touch()
        second = self.node.ended(second["id"])
        self.assertEqual(second["status"], "success")
        self.assertGreaterEqual(instant(second["started_at"]), instant(done["completed_at"]))
        self.assertFalse(alive(second_pid))

    def test_replace_keeps_only_the_newest_that_waits(self):
        self.shell("replace-many", "trap '' TERM; echo up; while :; do sleep 0.05; done", job={"concurrency": "replace"})
        first = self.node.trigger("replace-many")
        wait_for(lambda: self.node.get(f"{RUNS}/{first['id']}/output").body == b"up\n", "the first run")
        second, third = self.node.trigger("replace-many"), self.node.trigger("replace-many")
        done = self.node.ended(second["id"])
        self.assertEqual((done["status"], done["reason"]), ("skipped", "superseded"))
        self.assertEqual(self.node.ended(first["id"])["reason"], "replaced")
        self.running(third)
        self.node.post(f"{RUNS}/{third['id']}/cancel")
        self.assertEqual(self.node.ended(third["id"])["status"], "cancelled")

    def test_disable_lets_a_run_go_on(self):
        path, command = self.gate("disable")
        self.shell("disabled-midway", command)
        run = self.running(self.node.trigger("disabled-midway"))
        self.assertEqual(self.node.post(f"{JOBS}/disabled-midway/disable").status, 200)
        path.touch()
        self.assertEqual(self.node.ended(run["id"])["status"], "success")

    def test_delete_lets_a_run_go_on_and_cancels_what_waits(self):
        path, command = self.gate("delete")
        self.shell("deleted-midway", f"trap '' TERM; {command}; echo finished", job={"concurrency": "replace"})
        job = self.node.get(f"{JOBS}/deleted-midway").json
        run = self.running(self.node.trigger("deleted-midway", force=True))
        other = self.shell("deleted-waiting", "exit 1",
                           job={"retry_policy": {"max_attempts": 2, "initial_interval": "1h", "max_interval": "1h"}})
        waiting = self.node.trigger("deleted-waiting")
        wait_for(lambda: self.node.execution(waiting["id"])["reason"] == "retry", "the retry to wait")
        for name in ("deleted-midway", "deleted-waiting"):
            self.assertEqual(self.node.delete(f"{JOBS}/{name}").status, 204)
        done = self.node.ended(waiting["id"])
        self.assertEqual((done["status"], done["reason"]), ("cancelled", "job_deleted"))
        self.assertEqual(self.node.execution(run["id"])["status"], "running")
        again = self.shell("deleted-midway", "echo another")
        self.assertNotEqual(again["id"], job["id"])
        path.touch()
        done = self.node.ended(run["id"])
        self.assertEqual((done["status"], done["output"], done["job_id"]), ("success", "finished\n", job["id"]))
        self.assertEqual(self.node.executions("deleted-midway"), [], "the new job of the name has a history of its own")
        self.assertNotEqual(other["id"], again["id"])

    def test_delete_with_cancel(self):
        self.shell("deleted-hard", "sleep 60")
        run = self.running(self.node.trigger("deleted-hard"))
        self.assertEqual(self.node.delete(f"{JOBS}/deleted-hard?cancel=true").status, 204)
        done = self.node.ended(run["id"])
        self.assertEqual((done["status"], done["reason"]), ("cancelled", "job_deleted"))


class CapacityTest(RunCase):
    config = "executors: {max_concurrent: 2}\nscheduler: {grace: 1s}\n"

    def test_the_excess_waits_in_order(self):
        order, gate = self.node.work / "order", self.node.work / "gate"
        self.shell("crowded", f"echo $CHRONOS_EXECUTION_ID >> {order}; while [ ! -e {gate} ]; do sleep 0.02; done",
                   job={"concurrency": "allow"})
        runs = [self.node.trigger("crowded") for _ in range(6)]
        for run in runs[:2]:
            self.running(run)
        waiting = [self.node.execution(r["id"]) for r in runs[2:]]
        self.assertEqual({(r["status"], r["reason"]) for r in waiting}, {("pending", "capacity")})
        self.assertEqual(self.node.metric("chronos_attempts_active"), 2)
        cancelled = runs.pop(4)
        self.assertEqual(self.node.post(f"{RUNS}/{cancelled['id']}/cancel").status, 202)
        done = self.node.ended(cancelled["id"])
        self.assertEqual((done["status"], done["attempts"]), ("cancelled", []))
        gate.touch()
        ended = [self.node.ended(r["id"]) for r in runs]
        self.assertEqual({r["status"] for r in ended}, {"success"})
        starts = [instant(r["started_at"]) for r in ended]
        self.assertEqual(starts, sorted(starts))
        self.assertEqual(sorted(order.read_text().split()), sorted(r["id"] for r in runs))
        events = sorted([(instant(r["started_at"]), 1) for r in ended] + [(instant(r["completed_at"]), -1) for r in ended])
        active = most = 0
        for _, step in events:
            active += step
            most = max(most, active)
        self.assertLessEqual(most, 2)

    def test_one_slow_job_does_not_hold_another(self):
        self.shell("hog", "sleep 60")
        hog = self.running(self.node.trigger("hog"))
        self.shell("quick", "echo quick")
        self.assertEqual(self.run_job("quick")["status"], "success")
        self.node.post(f"{RUNS}/{hog['id']}/cancel")
        self.node.ended(hog["id"])


if __name__ == "__main__":
    unittest.main()
