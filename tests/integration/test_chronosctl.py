"""chronosctl against a real node: what it prints, what it changes, and how it exits."""
# ctest: once
import json
import os
import re
import socket
import subprocess
import unittest
from pathlib import Path

from ctl import CTL, DONE, NOT_FOUND, REFUSED, RUN_FAILED, UNREACHABLE, USAGE, CtlCase
from harness import DEADLINE_S, Node, wait_for


class Jobs(CtlCase):
    def test_create_a_command(self):
        out = self.out("job", "create", "--name", "report", "--schedule", "0 9 * * 1-5", "--schedule", "@daily", "--timezone",
                       "Europe/Berlin", "--command", "make report", "--env", "A=1", "--env", "B=x=y", "--timeout", "10m",
                       "--retries", "3", "--retry-interval", "2s", "--tag", "team=be", "--description", "d",
                       "--concurrency", "allow", "--max-concurrent", "4", "--missed-run-policy", "ignore", "--disabled",
                       "--placement-tag", "disk=ssd", "--placement-tag", "zone=a")
        job = self.job("report")
        self.assertEqual(out, f'job "report" created ({job["id"]})\n')
        self.assertEqual(job["schedule"], ["0 9 * * 1-5", "@daily"])
        self.assertEqual(job["config"], {"command": "make report", "env": {"A": "1", "B": "x=y"}})
        self.assertEqual((job["timezone"], job["timeout"], job["tags"], job["description"]),
                         ("Europe/Berlin", "10m", {"team": "be"}, "d"))
        self.assertEqual((job["concurrency"], job["max_concurrent"], job["missed_run_policy"], job["enabled"]),
                         ("allow", 4, "ignore", False))
        self.assertEqual((job["retry_policy"]["max_attempts"], job["retry_policy"]["initial_interval"]), (3, "2s"))
        self.assertEqual(job["placement"], {"tags": {"disk": "ssd", "zone": "a"}})

    def test_placement(self):
        self.out("job", "create", "--name", "x", "--schedule", "@manually", "--command", "true", "--placement", "leader")
        self.assertEqual(self.job("x")["placement"], "leader")
        self.out("job", "update", "x", "--placement-tag", "disk=ssd")
        self.out("job", "update", "x", "--placement-tag", "zone=a")
        self.assertEqual(self.job("x")["placement"], {"tags": {"disk": "ssd", "zone": "a"}})
        self.out("job", "update", "x", "--placement", "any")
        self.assertEqual(self.job("x")["placement"], "any")
        self.out("job", "update", "x", "--placement", "all")
        self.assertEqual(self.job("x")["placement"], "all")
        self.out("job", "update", "x", "--placement", "all", "--placement-tag", "disk=ssd")
        self.assertEqual(self.job("x")["placement"], {"all": True, "tags": {"disk": "ssd"}})
        self.assertIn("--placement any and --placement-tag exclude each other",
                      self.err("job", "update", "x", "--placement", "any", "--placement-tag", "a=b", code=USAGE))
        self.assertIn("--placement-tag (a b): a tag's key has", self.err("job", "update", "x", "--placement-tag", "a b=c", code=REFUSED))
        self.assertIn("--placement: ", self.err("job", "update", "x", "--placement", "some", code=REFUSED))

    def test_create_a_webhook(self):
        out = self.out("job", "create", "--name", "ping", "--schedule", "0 0 1 1 *", "--webhook", "http://127.0.0.1:9/x",
                       "--method", "PUT", "--header", "X-A: b: c", "--body", "hi")
        self.assertRegex(out, r'^job "ping" created \(job_\w{26}\), next run \d{4}-01-01T00:00:00\.000Z \(in \w+\)\n$')
        job = self.job("ping")
        self.assertEqual(job["config"], {"url": "http://127.0.0.1:9/x", "method": "PUT", "headers": {"X-A": "b: c"},
                                         "body": "hi"})

    def test_create_by_executor_and_config(self):
        self.out("job", "create", "--name", "x", "--schedule", "@manually", "--executor", "shell", "--config",
                 '{"command": "true", "cwd": "/"}')
        self.assertEqual(self.job("x")["config"], {"command": "true", "cwd": "/"})

    def test_dry_run(self):
        out = self.out("job", "create", "--name", "x", "--schedule", "@daily", "--command", "true", "--dry-run")
        self.assertIn('job "x" is valid and would be created', out)
        self.assertEqual(self.node.get("/api/v1/jobs/x").status, 404)

    def test_refusals_name_every_field(self):
        err = self.err("job", "create", "--name", "x", "--schedule", "61 * * * *", "--concurrency", "foo", "--command", "true",
                       code=REFUSED)
        lines = err.splitlines()
        self.assertEqual(lines[:2], ["chronosctl: 2 fields are wrong:", "  --schedule: minute: 61 is out of range 0-59"])
        self.assertTrue(lines[2].startswith("  --concurrency: "), err)
        self.assertEqual(self.err("job", "create", "--name", "x", "--schedule", "@daily", "--webhook", "http://x", "--method",
                                  "FETCH", code=REFUSED).count("\n"), 1)
        err = self.err("job", "apply", "-f", self.file("bad.yaml", "name: x\nschedule: 61 * * * *\ncommand: 'true'\n"),
                       code=REFUSED)
        self.assertRegex(err, r'^chronosctl: \S+bad.yaml:1: job "x": schedule: minute: 61 is out of range 0-59\n$')

    def test_what_a_job_needs_is_said_by_flags(self):
        for words, missing in ((["--schedule", "@daily", "--command", "true"], "--name"),
                               (["--name", "x", "--command", "true"], "--schedule"),
                               (["--name", "x", "--schedule", "@daily"], "--command, --webhook or --executor")):
            with self.subTest(words=words):
                self.assertIn(f"job create needs {missing}", self.err("job", "create", *words, code=USAGE))

    def test_hints_are_for_the_command_line(self):
        self.node.create(name="x", schedule="@daily", command="true")
        for words, code, message in ((["job", "get", "y"], NOT_FOUND, "chronosctl job list shows all"),
                                     (["job", "upcoming", "x", "--count", "5000"], REFUSED, ": --count is a number"),
                                     (["job", "upcoming", "x", "--from", "now"], REFUSED, ": --from is an RFC 3339 time"),
                                     (["execution", "list", "--status", "ok"], REFUSED, ": --status is one of"),
                                     (["execution", "list", "--since", "1h", "--until", "2h"], USAGE, "later than --until"),
                                     (["execution", "output", "x"], NOT_FOUND, "chronosctl execution list")):
            with self.subTest(words=words):
                err = self.err(*words, code=code)
                self.assertIn(message, err)
                self.assertNotRegex(err, "/api/|query parameter|%2B")

    def test_name_taken(self):
        self.node.create(name="x", schedule="@daily", command="true")
        self.assertIn("x", self.err("job", "create", "--name", "x", "--schedule", "@daily", "--command", "true", code=REFUSED))

    def test_update_changes_only_what_is_given(self):
        self.node.create(name="x", schedule="@daily", command={"command": "old", "env": {"A": "1"}}, tags={"a": "1"})
        before = self.job("x")
        self.out("job", "update", "x", "--timeout", "7m", "--tag", "b=2", "--env", "B=2")
        after = self.job("x")
        self.assertEqual(after["config"], {"command": "old", "env": {"A": "1", "B": "2"}})
        self.assertEqual((after["timeout"], after["tags"], after["schedule"]), ("7m", {"a": "1", "b": "2"}, "@daily"))
        self.assertEqual(after["version"], before["version"] + 1)
        self.out("job", "update", "x", "--command", "new")
        self.assertEqual(self.job("x")["config"], {"command": "new", "env": {"A": "1", "B": "2"}})

    def test_update_to_another_executor_drops_the_old_config(self):
        self.node.create(name="x", schedule="@daily", command={"command": "old", "env": {"A": "1"}})
        self.out("job", "update", "x", "--webhook", "http://127.0.0.1:9/", "--method", "POST")
        self.assertEqual((self.job("x")["executor"], self.job("x")["config"]),
                         ("http", {"url": "http://127.0.0.1:9/", "method": "POST"}))
        self.out("job", "update", "x", "--executor", "shell", "--config", '{"command": "true"}')
        self.assertEqual((self.job("x")["executor"], self.job("x")["config"]), ("shell", {"command": "true"}))

    def test_update_from_a_file(self):
        self.node.create(name="x", schedule="@daily", command="true")
        self.out("job", "update", "x", "-f", self.file("patch.yaml", "timeout: 3m\n"))
        self.assertEqual(self.job("x")["timeout"], "3m")

    def test_update_without_a_change(self):
        self.assertIn("needs what is to change", self.err("job", "update", "x", code=USAGE))

    def test_list(self):
        self.node.create(name="alpha", schedule="0 0 29 2 *", command="true", tags={"team": "be"}) # never just now
        self.node.create(name="beta", schedule=["@daily", "@hourly"], webhook={"url": "http://127.0.0.1:9/"}, enabled=False)
        lines = self.out("job", "list").splitlines()
        self.assertEqual(lines[0].split("  ")[0], "NAME")
        self.assertRegex(lines[1], r"^alpha +0 0 29 2 \* +yes +shell +in \d+d +- +-$")
        self.assertRegex(lines[2], r"^beta +@daily; @hourly +no +http +- +- +-$")
        self.assertEqual(self.out("job", "list", "-o", "name"), "alpha\nbeta\n")
        self.assertEqual(self.out("job", "list", "--tag", "team=be", "-o", "name"), "alpha\n")
        self.assertEqual(self.out("job", "list", "--disabled", "-o", "name"), "beta\n")
        self.assertEqual(self.out("job", "list", "--enabled", "-o", "name"), "alpha\n")
        self.assertEqual(self.out("job", "list", "--executor", "http", "-o", "name"), "beta\n")
        self.assertEqual(self.out("jobs", "list", "--name", "al", "-o", "name"), "alpha\n")
        self.assertIn(self.job("alpha")["id"], self.out("job", "list", "--wide"))
        self.assertEqual([j["name"] for j in json.loads(self.out("job", "list", "-o", "json"))["jobs"]], ["alpha", "beta"])

    def test_list_pages(self):
        names = [f"job-{i:04}" for i in range(1203)]
        document = "".join(f"- {{name: {name}, schedule: '@manually', command: 'true'}}\n" for name in names)
        self.out("job", "create", "-f", "-", stdin=document)
        self.assertEqual(self.out("job", "list", "-o", "name").split(), names)
        self.assertEqual(self.out("job", "list", "-o", "name", "--limit", "1100").split(), names[:1100])
        limited = json.loads(self.out("job", "list", "-o", "json", "--limit", "3"))
        self.assertEqual(len(limited["jobs"]), 3)
        self.assertIsInstance(limited["next_cursor"], str)

    def test_get(self):
        self.node.create(name="x", schedule="0 0 29 2 *", command="true") # never just now
        out = self.out("job", "get", "x")
        self.assertRegex(out, r"(?m)^schedule: +0 0 29 2 \*$")
        upcoming = self.node.get("/api/v1/jobs/x/upcoming?count=5").json["upcoming"]
        self.assertEqual(re.findall(r"^  (\S+Z)  in ", out, re.M), upcoming)
        self.assertEqual(json.loads(self.out("job", "get", "x", "-o", "json")), self.job("x"))

    def test_not_found(self):
        for words in (["job", "get", "nope"], ["job", "delete", "nope"], ["job", "trigger", "nope"], ["job", "upcoming", "nope"],
                      ["job", "enable", "nope"], ["execution", "get", "exec_" + "0" * 26], ["job", "get", "job_" + "0" * 26],
                      ["execution", "list", "--job", "nope"], ["execution", "output", "exec_zz"]):
            with self.subTest(words=words):
                self.assertTrue(self.err(*words, code=NOT_FOUND).startswith("chronosctl: "))

    def test_prefixes_of_ids(self):
        one = self.node.create(name="one", schedule="@manually", command="true")["id"]
        two = self.node.create(name="two", schedule="@manually", command="true")["id"]
        common = os.path.commonprefix([one, two])
        self.assertEqual(self.out("job", "get", one[:len(common) + 1], "-o", "name"), "one\n")
        self.assertEqual(self.out("job", "get", one, "-o", "name"), "one\n")
        err = self.err("job", "get", common, code=REFUSED)
        for part in (one, two, "(one)", "(two)"):
            self.assertIn(part, err)

    def test_delete_enable_disable(self):
        for name in ("a", "b", "c"):
            self.node.create(name=name, schedule="@daily", command="true")
        self.assertRegex(self.out("job", "disable", "a", "b"), r'^job "a" disabled .*\njob "b" disabled .*\n$')
        self.assertFalse(self.job("a")["enabled"])
        self.assertRegex(self.out("job", "enable", "a"), r'^job "a" enabled \(job_\w+\), next run ')
        self.assertTrue(self.job("a")["enabled"])
        out, err = self.ctl("job", "delete", "a", "nope", "b", code=NOT_FOUND)
        self.assertEqual(out, 'job "a" deleted\njob "b" deleted\n')
        self.assertIn("nope", err)
        self.assertEqual(self.out("job", "list", "-o", "name"), "c\n")

    def test_upcoming(self):
        self.node.create(name="x", schedule="0 0 * * *", command="true")
        out = self.out("job", "upcoming", "x", "--count", "3", "--from", "2030-01-01T00:00:00Z")
        self.assertEqual([line.split()[0] for line in out.splitlines()],
                         ["2030-01-02T00:00:00.000Z", "2030-01-03T00:00:00.000Z", "2030-01-04T00:00:00.000Z"])
        self.node.create(name="b", schedule="0 2 * * *", timezone="Europe/Berlin", command="true")
        out = self.out("job", "upcoming", "b", "--count", "2", "--from", "2026-10-24T12:00:00Z")
        self.assertRegex(out, r"^  2026-10-25T00:00:00\.000Z  2026-10-25 02:00:00 \+02:00 Europe/Berlin  \w[^\n]*\n"
                              r"  2026-10-26T01:00:00\.000Z  2026-10-26 02:00:00 \+01:00 Europe/Berlin  \w[^\n]*\n$")
        self.node.create(name="m", schedule="@manually", command="true")
        self.assertIn("does not come due", self.err("job", "upcoming", "m"))

    def test_validate_schedule(self):
        out = self.out("job", "validate-schedule", "0 9 * * 1-5", "--timezone", "America/New_York", "--count", "2")
        self.assertEqual(out.splitlines()[0], "at 09:00, Monday to Friday")
        self.assertEqual(len(re.findall(r"^  \S+Z  \S+ 09:00:00 -0[45]:00 America/New_York  in ", out, re.M)), 2)
        self.assertIn("61 is out of range", self.err("job", "validate-schedule", "61 * * * *", code=REFUSED))
        self.assertTrue(json.loads(self.out("job", "validate-schedule", "@daily", "@hourly", "-o", "json"))["valid"])


class Apply(CtlCase):
    def test_created_unchanged_updated(self):
        path = self.file("jobs.yaml", "name: a\nschedule: '@daily'\ncommand: echo a\n---\n- name: b\n  schedule: 0 9 * * *\n"
                                      "  webhook: {url: 'http://127.0.0.1:9/'}\n")
        out = self.out("job", "apply", "-f", path, "--dry-run")
        self.assertRegex(out, r'^job "a" would be created.*\njob "b" would be created')
        self.assertRegex(self.out("job", "apply", "-f", path), r'^job "a" created .*\njob "b" created ')
        versions = [self.job(name)["version"] for name in "ab"]
        self.assertRegex(self.out("job", "apply", "-f", path), r'^job "a" unchanged .*\njob "b" unchanged ')
        self.assertEqual([self.job(name)["version"] for name in "ab"], versions)
        Path(path).write_text(Path(path).read_text().replace("echo a", "echo A"))
        self.assertRegex(self.out("job", "apply", "-f", path, "--dry-run"), r'^job "a" would be updated .*\njob "b" unchanged ')
        self.assertEqual(self.job("a")["config"], {"command": "echo a"})
        self.assertRegex(self.out("job", "apply", "-f", path), r'^job "a" updated .*\njob "b" unchanged ')
        self.assertEqual(self.job("a")["config"], {"command": "echo A"})

    def test_what_get_and_list_print_can_be_applied(self):
        self.node.create(name="a", schedule=["*/5 * * * *", "@at 2099-01-01T00:00:00Z"], command="echo 'x: y' # z\necho \u00e9\n",
                         tags={"yes": "no", "n": "5"}, description="- \"quoted\"\n\ttab")
        self.node.create(name="b", schedule="@manually", webhook={"url": "http://127.0.0.1:9/", "body": "{{.JobID}}"})
        before = self.job("a")
        for words in (["job", "get", "a", "-o", "yaml"], ["job", "get", "a", "-o", "json"], ["job", "list", "-o", "yaml"],
                      ["job", "list", "-o", "json"]):
            with self.subTest(words=words):
                document = self.out(*words)
                self.assertRegex(self.out("job", "apply", "-f", "-", stdin=document), r'^job "a" unchanged ')
        self.assertEqual(self.job("a"), before)
        self.node.delete("/api/v1/jobs/a")
        self.out("job", "apply", "-f", "-", stdin=document)
        self.assertEqual(self.job("a")["config"], before["config"])
        self.assertEqual(self.job("a")["description"], before["description"])

    def test_a_changed_secret_is_not_unchanged(self):
        text = ("name: a\nschedule: '@manually'\nwebhook: {url: 'http://127.0.0.1:9/', auth: {type: bearer, token: %s}}\n")
        self.out("job", "apply", "-f", "-", stdin=text % "one")
        version = self.job("a")["version"]
        self.assertNotIn("one", json.dumps(self.job("a")["config"]["auth"]))
        self.assertIn("updated", self.out("job", "apply", "-f", "-", stdin=text % "two"))
        self.assertEqual(self.job("a")["version"], version + 1)
        # With the mask in place of the secret there is nothing to change.
        masked = self.out("job", "get", "a", "-o", "yaml")
        self.assertIn("unchanged", self.out("job", "apply", "-f", "-", stdin=masked))

    def test_one_bad_job_does_not_stop_the_others(self):
        path = self.file("jobs.yaml", "- {name: a, schedule: '61 * * * *', command: 'true'}\n"
                                      "- {name: b, schedule: '@daily', command: 'true'}\n")
        out, err = self.ctl("job", "apply", "-f", path, code=REFUSED)
        self.assertIn('job "b" created', out)
        self.assertIn(f'chronosctl: {path}:1: job "a": schedule: minute: 61 is out of range 0-59', err)

    def test_files_are_read_before_anything_is_sent(self):
        good = self.file("good.yaml", "{name: a, schedule: '@daily', command: 'true'}\n")
        for text, message in (("name: b\nschedule: */5 * * * *\n", 'bad.yaml:2:11: quote the schedule: "*/5 * * * *"'),
                              ("name: b\n\tx: 1\n", "bad.yaml:2:1: a tab"),
                              ("name: b\nname: c\n", 'bad.yaml:2:1: the key "name" stands twice'),
                              ("name: a\n", 'bad.yaml:1: job "a": the same name as'),
                              ("x: 1\n", "bad.yaml:1: the job has no name")):
            with self.subTest(text=text):
                bad = self.file("bad.yaml", text)
                self.assertIn(message, self.err("job", "apply", "-f", good, "-f", bad, code=USAGE))
        self.assertIn("/nowhere", self.err("job", "apply", "-f", "/nowhere/x.yaml", code=USAGE))
        self.assertEqual(self.out("job", "list", "-o", "name"), "")

    def test_create_does_not_replace(self):
        document = "{name: a, schedule: '@daily', command: 'true'}\n"
        self.out("job", "create", "-f", "-", stdin=document)
        self.assertIn('standard input:1: job "a": ', self.err("job", "create", "-f", "-", stdin=document, code=REFUSED))
        self.assertIn("exclude each other", self.err("job", "create", "-f", "-", "--name", "x", code=USAGE))


class Executions(CtlCase):
    def test_trigger_and_wait(self):
        self.node.create(name="good", schedule="@manually", command="echo hello")
        self.node.create(name="bad", schedule="@manually", command="exit 3")
        out = self.out("job", "trigger", "good", "--wait")
        self.assertRegex(out, r'^execution exec_\w+ of job "good" triggered: \w+\nexecution exec_\w+ of job "good" ended: success')
        self.assertIn('ended: failed', self.out("job", "trigger", "bad", "--wait", code=RUN_FAILED))
        run = json.loads(self.out("job", "trigger", "bad", "--wait", "-o", "json", code=RUN_FAILED))
        self.assertEqual((run["status"], run["exit_code"]), ("failed", 3))
        run = json.loads(self.out("job", "trigger", "good", "-o", "json"))
        self.assertEqual(self.node.ended(run["id"])["status"], "success")

    def test_trigger_with_another_config(self):
        self.node.create(name="x", schedule="@manually", command="echo one")
        run = self.out("job", "trigger", "x", "--wait", "--config", '{"command": "echo two"}', "-o", "name").strip()
        self.assertEqual(self.out("execution", "output", run), "two\n")
        self.assertIn("--config", self.err("job", "trigger", "x", "--config", "{", code=USAGE))

    def test_list_and_get(self):
        self.node.create(name="good", schedule="@manually", command="echo hello")
        self.node.create(name="bad", schedule="@manually", command="exit 3")
        good = self.out("job", "trigger", "good", "--wait", "-o", "name").strip()
        bad = self.out("job", "trigger", "bad", "--wait", "-o", "name", code=RUN_FAILED).strip()
        self.assertEqual(self.out("execution", "list", "-o", "name").split()[:2], [bad, good])
        self.assertEqual(self.out("exec", "list", "--job", "good", "-o", "name").split(), [good])
        self.assertIn(bad, self.out("executions", "list", "--status", "failed", "--since", "1h", "-o", "name").split())
        self.assertEqual(self.out("execution", "list", "--until", "1h", "--job", "bad", "-o", "name"), "")
        self.assertRegex(self.out("execution", "list", "--job", "good"), rf"{good} +good +\S+.* manual +success +\S+ +exit 0\n$")
        self.assertIn("ATTEMPTS", self.out("execution", "list", "--wide"))
        out = self.out("execution", "get", good)
        self.assertRegex(out, r"(?m)^status: +success$")
        self.assertTrue(out.endswith("\noutput:\nhello\n"), out)
        self.assertEqual(json.loads(self.out("execution", "get", good, "-o", "json")), self.node.execution(good))
        self.assertIn("--since", self.err("execution", "list", "--since", "yesterday", code=USAGE))

    def test_output_is_what_was_written(self):
        self.node.create(name="x", schedule="@manually", command=r"printf '\033[31mred\377\000\n'")
        run = self.out("job", "trigger", "x", "--wait", "-o", "name").strip()
        want = self.node.get(f"/api/v1/executions/{run}/output").body
        self.assertEqual(self.out("execution", "output", run).encode(errors="surrogateescape"), want)
        self.assertEqual(self.ctl("execution", "output", run, "--attempt", "2", code=REFUSED),
                         ("", "chronosctl: there is no attempt 2: the newest is 1\n"))
        self.assertIn(b"\x1b[31m", want)
        self.assertIn("\\x1b[31mred", self.out("execution", "get", run))  # also a NUL must not stop it

    def test_output_that_was_not_kept_is_mentioned(self):
        self.node.create(name="x", schedule="@manually", command="seq 1 1000000")
        run = self.out("job", "trigger", "x", "--wait", "-o", "name").strip()
        out, err = self.ctl("execution", "output", run)
        self.assertTrue(out.startswith("1\n2\n3\n"))
        self.assertEqual(err, f"chronosctl: {len(out)} of 6888896 bytes were kept (output.captured_bytes, output.retention)\n")

    def test_follow_to_the_end_and_over_a_retry(self):
        flag = self.node.work / "go"
        self.node.create(name="x", schedule="@manually", retry_policy={"max_attempts": 2, "initial_interval": "100ms"},
                         command=f"echo attempt $CHRONOS_ATTEMPT; while [ ! -e {flag} ]; do sleep 0.05; done; "
                                 "echo last words; [ $CHRONOS_ATTEMPT = 2 ]")
        run = self.out("job", "trigger", "x", "-o", "name").strip()
        process = subprocess.Popen([str(CTL), "-s", self.server, "execution", "output", "-f", run], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        try:
            self.assertEqual(process.stdout.readline(), b"attempt 1\n")  # before the run has ended
            flag.write_text("")
            out, err = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
            process.wait()
        self.assertEqual(out, b"last words\nattempt 2\nlast words\n")
        self.assertEqual(err, b"chronosctl: attempt 2 begins\n")
        self.assertEqual(process.returncode, DONE)

    def test_cancel(self):
        self.node.create(name="x", schedule="@manually", command="exec sleep 600")
        run = self.out("job", "trigger", "x", "-o", "name").strip()
        wait_for(lambda: self.node.execution(run)["status"] == "running", "the run")
        self.assertIn(run, self.out("execution", "cancel", run))
        self.assertEqual(self.node.ended(run)["status"], "cancelled")
        self.err("execution", "cancel", run, code=REFUSED)

    def test_terminals_get_no_control_characters(self):
        self.node.create(name="x", schedule="@manually", command=r"printf 'a\033[2J\033]0;title\007\tb\n'",
                         description="\x1b[31m\u202e")
        run = self.out("job", "trigger", "x", "--wait", "-o", "name").strip()
        written = self.on_a_terminal("execution", "output", run)
        self.assertEqual(written.replace(b"\r\n", b"\n"), rb"a\x1b[2J\x1b]0;title\x07" + b"\tb\n")
        for words in (["execution", "get", run], ["execution", "get", run, "-o", "json"], ["job", "get", "x"],
                      ["job", "get", "x", "-o", "yaml"], ["job", "get", "x", "-o", "json"], ["job", "list"]):
            for line in (self.on_a_terminal(*words, environment={"NO_COLOR": "1"})).splitlines():
                self.assertNotRegex(line, rb"[\x00-\x08\x0b-\x1f\x7f]", words)
                self.assertNotIn("\u202e".encode(), line)

    def test_a_token_on_a_terminal(self):
        shown = self.on_a_terminal("token", "generate", "carol").decode()
        self.assertRegex(shown, r"(?s)shown this once.*\n  chr_[0-9a-f]{64}\r.*SIGHUP:\r\n\r\n  carol:[0-9a-f]{64}\r\n")

    def test_colour(self):
        self.node.create(name="x", schedule="@manually", command="true")
        self.out("job", "trigger", "x", "--wait")
        green = b"\x1b[32msuccess\x1b[0m"
        self.assertIn(green, self.on_a_terminal("execution", "list"))
        self.assertNotIn(b"\x1b", self.on_a_terminal("execution", "list", environment={"NO_COLOR": "1"}))
        self.assertNotIn(b"\x1b", self.on_a_terminal("execution", "list", environment={"TERM": "dumb"}))
        self.assertNotIn(b"\x1b", self.on_a_terminal("execution", "list", "--no-color"))
        self.assertNotIn("\x1b", self.out("execution", "list"))


class Servers(CtlCase):
    def test_a_server_that_hangs_leaves_time_for_the_next(self):
        with socket.create_server(("127.0.0.1", 0)) as deaf: # the kernel takes the connection, and nobody reads
            hangs = f"127.0.0.1:{deaf.getsockname()[1]}"
            self.node.create(name="seen", schedule="@manually", command="true")
            for words in (("job", "list", "-o", "name"), ("job", "get", "seen", "-o", "name")):
                self.assertIn("seen", self.out("--request-timeout", "6s", "--server", f"{hangs},{self.server}", *words))
            self.assertIn("triggered", self.out("--request-timeout", "6s", "--server", f"{hangs},{self.server}", "job", "trigger", "seen"))
            said = self.err("--request-timeout", "1s", "--server", f"{hangs},{hangs}", "job", "list", code=UNREACHABLE)
            self.assertIn("(and none of those before it)", said)
            self.assertNotIn("none of those", self.err("--request-timeout", "1s", "--server", hangs, "job", "list", code=UNREACHABLE))

    def test_the_next_server_is_tried(self):
        self.assertEqual(self.out("job", "list", "-o", "name", server=f"127.0.0.1:1,{self.server}"), "")
        self.assertEqual(self.out("--server", f"http://127.0.0.1:1,http://{self.server}/", "job", "list", "-o", "name",
                                  server="127.0.0.1:1"), "")

    def test_not_reachable(self):
        err = self.err("job", "list", server="127.0.0.1:1", code=UNREACHABLE)
        self.assertIn("cannot reach http://127.0.0.1:1: ", err)
        self.assertIn("is chronos running there (`systemctl status chronos`)?", err)

    def test_a_variable_that_looks_as_if_it_named_servers(self):
        elsewhere = {"CHRONOS_SERVER": "127.0.0.1:1"}
        warns = "CHRONOS_SERVER is not looked at; the variable is CHRONOSCTL_SERVER"
        self.assertEqual(self.ctl("job", "list", "-o", "name", environment=elsewhere), ("", ""))
        self.assertEqual(self.ctl("-s", self.server, "job", "list", "-o", "name", environment={**elsewhere, "CHRONOSCTL_SERVER": ""}), ("", ""))
        self.assertEqual(self.ctl("token", "generate", "x", "-o", "name", environment={**elsewhere, "CHRONOSCTL_SERVER": ""})[1].count(warns), 1)

    def test_a_proxy_is_not_asked_about_this_machine(self):
        self.out("job", "list", environment={"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"})

    def test_version(self):
        number = self.node.get("/version").json["version"]
        self.assertEqual(self.out("version"), f"chronosctl {number}\nserver     {number} (http://{self.server})\n")
        self.assertEqual(self.out("--version"), f"chronosctl {number}\n")
        self.assertIn("not reached", self.out("version", server="127.0.0.1:1"))
        self.assertEqual(json.loads(self.out("version", "-o", "json")), {"client": number, "server": number})

    def test_usage(self):
        for words, message in (([], "a command is missing"), (["jbo"], 'unknown command "jbo"; did you mean "job"?'),
                               (["job", "diff"], 'unknown command "diff"'), (["job", "lst"], 'did you mean "list"?'),
                               (["job", "list", "--tga", "x"], "did you mean --tag?"),
                               (["job", "list", "-o", "xml"], "it is table, json, yaml or name"),
                               (["-s", "ftp://x", "job", "list"], "not an address")):
            with self.subTest(words=words):
                err = self.err(*words, code=USAGE)
                self.assertTrue(err.startswith("chronosctl: "), err)
                self.assertIn(message, err)

    def test_help(self):
        for words in (["help"], ["-h"], ["job", "--help"], ["help", "job", "create"], ["execution", "output", "-h"]):
            with self.subTest(words=words):
                self.assertTrue(self.out(*words, server="127.0.0.1:1").startswith("Usage: chronosctl"))

    def test_completion_in_bash(self):
        self.out("job", "create", "--name", "nightly", "--schedule", "@manually", "--command", "true")
        script = self.out("completion", "bash") + (
            'COMP_WORDS=(chronosctl "$@") COMP_CWORD=$#\n_chronosctl\nprintf "%s\\n" "${COMPREPLY[@]}"\n')
        for words, offered in (([""], {"job", "execution", "cluster", "token", "help", "version", "--server"}),
                               (["jo"], {"job"}), (["job", "cre"], {"create"}), (["jobs", "cre"], {"create"}),
                               (["--server", "x", "job", "tri"], {"trigger"}), (["job", "list", "--ta"], {"--tag"}),
                               (["job", "list", "-o", "j"], {"json"}), (["execution", "list", "--job", ""], set()),
                               (["job", "get", "ni"], {"nightly"}), (["exec", "output", "--fo"], {"--follow"}),
                               (["execution", "list", "--status", "s"], {"success", "skipped"}),
                               (["job", "create", "--concurrency", ""], {"forbid", "allow", "replace"}),
                               (["job", "update", "x", "--missed-run-policy", "execute"], {"execute_one", "execute_all"}),
                               (["job", "create", "--placement", ""], {"any", "leader", "all"}),
                               (["job", "import", "--on-conflict", ""], {"fail", "skip", "replace"}),
                               (["help", "jo"], {"job"}), (["help", "job", "cre"], {"create"}), (["help", "vers"], {"version"})):
            with self.subTest(words=words):
                done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, timeout=DEADLINE_S,
                                      env={"PATH": f"{CTL.parent}:{os.environ['PATH']}", "CHRONOSCTL_SERVER": self.server})
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                found = set(done.stdout.split())
                self.assertTrue(found == offered if words != [""] else found > offered, found)

    def test_completions_know_every_command(self):
        """What `help` lists, for each shell."""
        listed = re.findall(r"^  (job|execution|cluster|token) (\S+)", self.out("help"), re.M)
        self.assertGreater(len(listed), 20)
        for shell in ("bash", "zsh", "fish"):
            script = self.out("completion", shell)
            self.assertIn("'fail skip replace'", script)
            for group, command in listed:
                with self.subTest(shell=shell, command=command):
                    self.assertIn(f"-a {command} " if shell == "fish" else f"'{group} {command}'", script)
        self.assertIn("not one of bash, zsh, fish", self.err("completion", "csh", code=USAGE))

    def test_a_full_disk_is_noticed(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([str(CTL), "help"], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, REFUSED)
        self.assertIn(b"cannot write the output", done.stderr)


class LongOutput(CtlCase):
    environment = {"CHRONOS_OUTPUT_CAPTURED_BYTES": "16MiB"}

    def test_output_longer_than_one_piece(self):
        self.node.create(name="x", schedule="@manually", command="seq 1 1000000")  # 6.9 MB
        run = self.out("job", "trigger", "x", "--wait", "-o", "name").strip()
        want = "".join(f"{i}\n" for i in range(1, 1000001))
        self.assertTrue(self.ctl("execution", "output", run) == (want, ""))
        self.assertTrue(self.ctl("execution", "output", "-f", run) == (want, ""))


class UnixSocket(CtlCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.socket = cls.node.work / "api.sock"
        cls.node.environment = {"CHRONOS_SERVER_HTTP_UNIX_SOCKET": str(cls.socket)}
        cls.node.start()
        cls.server = f"unix://{cls.socket}"

    def test_socket(self):
        self.out("job", "create", "--name", "x", "--schedule", "@daily", "--command", "true")
        self.assertEqual(self.out("job", "list", "-o", "name"), "x\n")
        self.assertIn(f"(unix://{self.socket})", self.out("version"))


if __name__ == "__main__":
    unittest.main()
