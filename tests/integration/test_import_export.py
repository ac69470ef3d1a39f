"""job export and job import: what was exported comes back the same, and nothing is imported by half or by mistake."""
# ctest: once timeout=600
import http.server
import json
import re
import signal
import subprocess
import unittest
from pathlib import Path

from ctl import CTL, REFUSED, UNREACHABLE, USAGE, CtlCase
from harness import DEADLINE_S, LocalServer, Node
from members import Cluster

RUNTIME = {"id", "version", "created_at", "updated_at", "updated_by", "next_run", "last_run", "last_status", "running", "held"}
MASK = "********"
SCHEDULES = ["*/5 * * * *", "15 */2 9-17 * * MON-FRI", "0 0 L * *", "0 12 15W * *", "0 9 * * 1#2", "@hourly", "@daily", "@every 90s",
             "@at 2099-01-01T00:00:00Z", "@manually", ["@daily", "0 9 * * 1-5"], ["@every 1h30m", "@at 2099-06-01T12:00:00Z"]]
COMMANDS = ["true", "echo 'x: y' # z\necho \u00e9\n", "set -e\n\n\tmake\n  indented\n\n", "  leading", "trailing  \n\n\n", "- \"q\" 'r' \\ %s",
            "echo \U0001f600 \u4f60\u597d \u202e", "*** \x1b[31m", "null", "0x10", "yes", "'", "a\r\nb"]

TAGS = ["", "5", "null", "- x: y", "'\"#", "\u4f60\u597d \u202e \U0001f600", " ", "~"]


def user_part(job):
    return {key: value for key, value in job.items() if key not in RUNTIME}


def many_jobs(count):
    """All forms of schedules, awkward texts, every field."""
    for i in range(count):
        job = {"name": f"job.{i:04}-x_", "schedule": SCHEDULES[i % len(SCHEDULES)], "enabled": i % 3 != 0,
               "description": f"number {i}: " + COMMANDS[i % len(COMMANDS)], "timezone": ["UTC", "Europe/Berlin"][i % 2],
               "tags": {"n": str(i), "yes": "no", "k/e.y": TAGS[i % len(TAGS)]}, "timeout": f"{i + 1}m",
               "concurrency": ["forbid", "allow", "replace"][i % 3], "missed_run_policy": ["execute_one", "execute_all", "ignore"][i % 3],
               "retry_policy": {"max_attempts": 1 + i % 5, "initial_interval": "1500ms", "multiplier": 1.5, "jitter": 0.25},
               "dst_gap": ["fire", "skip"][i % 2], "dst_overlap": ["first", "second", "both"][i % 3], "catchup_limit": 1 + i,
               "on_node_loss": ["retry", "fail"][i % 2], "on_lease_loss": ["cancel", "continue"][i % 2],
               "day_match": ["any", "all", "vixie"][i % 3]}
        if i % 4 == 3:
            job["webhook"] = {"url": f"http://127.0.0.1:9/{i}", "method": "POST", "headers": {"X-A": "1", "x": "2"},
                              "body": COMMANDS[i % len(COMMANDS)], "auth": {"type": "bearer", "token": "${env:TOKEN}"}}
        else:
            job["command"] = {"command": COMMANDS[i % len(COMMANDS)], "env": {"A": COMMANDS[(i + 5) % len(COMMANDS)], "N": "5"}}
        yield job


class TransferCase(CtlCase):
    def jobs(self, node=None):
        """What users wrote, by name."""
        rows, cursor = {}, ""
        while cursor is not None:
            page = (node or self.node).get("/api/v1/jobs?limit=1000" + (f"&cursor={cursor}" if cursor else "")).json
            rows.update({job["name"]: user_part(job) for job in page["jobs"]})
            cursor = page["next_cursor"]
        return rows


class RoundTrip(TransferCase):
    def test_into_a_fresh_node(self):
        for job in many_jobs(300):
            self.node.create(**job)
        wanted = self.jobs()
        self.assertEqual(len(wanted), 300)
        backup = self.node.work / "jobs-backup.yaml"
        out, err = self.ctl("job", "export", "-f", str(backup))
        self.assertEqual((out, err), ("", f"chronosctl: 300 jobs written to {backup}\n"))
        self.assertEqual(backup.stat().st_mode & 0o777, 0o600)
        forms = {"yaml": backup.read_text(), "json": self.out("job", "export", "-o", "json")}
        documents = json.loads(forms["json"])["jobs"]
        self.assertEqual({job["name"]: job for job in documents}, wanted)  # nothing that only the server sets
        self.assertEqual(self.out("job", "export"), forms["yaml"])
        forms["ndjson"] = "".join(json.dumps(job) + "\n" for job in documents)
        for form, text in forms.items():
            with self.subTest(form=form), Node() as fresh:
                server = f"127.0.0.1:{fresh.port}"
                lines = self.out("job", "import", "-f", "-", stdin=text, server=server).splitlines()
                self.assertEqual(lines[-1], "300 jobs: 300 created")
                self.assertEqual(len([line for line in lines if line.endswith(": created")]), 300)
                self.assertEqual(self.jobs(fresh), wanted)
                self.assertEqual(self.out("job", "export", server=server), forms["yaml"])
                self.assertEqual(self.out("job", "import", "-f", "-", stdin=text, server=server).splitlines()[-1],
                                 "300 jobs: 300 unchanged")

    def test_more_jobs_than_a_page(self):
        text = "".join(json.dumps({"name": f"j{i}", "schedule": "@manually", "command": "true"}) + "\n" for i in range(1200))
        self.assertTrue(self.out("job", "import", "-f", "-", stdin=text).endswith("1200 jobs: 1200 created\n"))
        self.assertEqual(len(json.loads(self.out("job", "export", "-o", "json"))["jobs"]), 1200)
        self.tearDown()  # a thousand at once

    def test_filters(self):
        self.node.create(name="a", schedule="@daily", command="true", tags={"team": "be"})
        self.node.create(name="b", schedule="@daily", command="true")
        for words, names in ((["--tag", "team=be"], ["a"]), (["--name", "b"], ["b"]), ([], ["a", "b"]), (["--disabled"], [])):
            jobs = json.loads(self.ctl("job", "export", "-o", "json", *words)[0])["jobs"]
            self.assertEqual([job["name"] for job in jobs], names, words)

    def test_no_jobs(self):
        self.assertEqual(self.ctl("job", "export"), ("jobs: []\n", "chronosctl: there are no jobs to export\n"))
        self.assertIn("there is no job in it", self.err("job", "import", "-f", "-", stdin="jobs: []\n", code=USAGE))

    def test_where_an_export_can_be_written(self):
        self.node.create(name="a", schedule="@daily", command="true")
        self.assertIn("/dev/null is not a regular file", self.err("job", "export", "-f", "/dev/null", code=REFUSED))
        self.assertIn("No such file", self.err("job", "export", "-f", "/nowhere/x", code=REFUSED))
        self.assertIn("name: a", self.out("job", "export", "-f", "-"))
        self.assertIn("-o yaml", self.err("job", "export", "-o", "name", code=USAGE))
        kept = self.file("kept.yaml", "old")
        self.err("job", "export", "-f", kept, server="127.0.0.1:1", code=UNREACHABLE)
        self.assertEqual(Path(kept).read_text(), "old")


class Conflicts(TransferCase):
    TEXT = "# three\n- {name: a, schedule: '@daily', command: new}\n- {name: b, schedule: '@daily', command: b}\n" \
           "- {name: c, schedule: '@daily', command: c}\n"

    def setUp(self):
        self.node.create(name="a", schedule="@daily", command="old")
        self.node.create(name="b", schedule="@daily", command="b")
        self.before = {name: self.job(name) for name in "ab"}

    def import_text(self, *words, text=TEXT, **more):
        return self.ctl("job", "import", "-f", self.file("jobs.yaml", text), *words, **more)

    def commands(self):
        return {name: job["config"]["command"] for name, job in self.jobs().items()}

    def test_fail_is_the_default(self):
        for words in ([], ["--on-conflict", "fail"], ["--dry-run"]):
            out, err = self.import_text(*words, code=REFUSED)
            self.assertRegex(err, r'^chronosctl: \S+jobs.yaml:2: job "a": exists already and is different; --on-conflict skip ')
            self.assertEqual("nothing was imported: 1 of 3 jobs cannot be" in err, words != ["--dry-run"])
            self.assertEqual({name: self.job(name) for name in "ab"}, self.before)
            self.assertEqual(self.commands(), {"a": "old", "b": "b"})

    def test_skip(self):
        out = self.import_text("--on-conflict", "skip")[0]
        self.assertRegex(out, r'^\S+jobs.yaml:2: job "a": skipped\n\S+:3: job "b": skipped\n\S+:4: job "c": created\n'
                              r'3 jobs: 1 created, 2 skipped\n$')
        self.assertEqual(self.commands(), {"a": "old", "b": "b", "c": "c"})

    def test_replace(self):
        out = self.import_text("--on-conflict", "replace", "--dry-run")[0]
        self.assertRegex(out, r'job "a": would be replaced\n.*job "b": unchanged\n.*job "c": would be created\n'
                              r'3 jobs: 1 would be created, 1 would be replaced, 1 unchanged\n$')
        self.assertEqual(self.commands(), {"a": "old", "b": "b"})
        out = self.import_text("--on-conflict", "replace")[0]
        self.assertTrue(out.endswith("3 jobs: 1 created, 1 replaced, 1 unchanged\n"), out)
        self.assertEqual(self.commands(), {"a": "new", "b": "b", "c": "c"})
        self.assertEqual((self.job("a")["id"], self.job("a")["version"]), (self.before["a"]["id"], 2))
        self.assertEqual(self.job("b"), self.before["b"])

    def test_in_json_and_names(self):
        out, err = self.import_text("-o", "json", code=REFUSED)
        report = json.loads(out)
        self.assertEqual([(row["name"], row["line"], row["result"]) for row in report["jobs"]],
                         [("a", 2, "failed"), ("b", 3, "unchanged"), ("c", 4, "would be created")])
        self.assertTrue(report["jobs"][0]["file"].endswith("jobs.yaml"))
        self.assertEqual((report["imported"], report["failed"], report["created"]), (False, 1, 1))
        report = json.loads(self.import_text("-o", "json", "--on-conflict", "skip")[0])
        self.assertEqual((report["imported"], report["skipped"], report["created"], report["not_done"]), (True, 2, 1, 0))
        self.assertEqual(self.import_text("-o", "name", "--on-conflict", "replace")[0], "a\n")

    def test_usage(self):
        self.assertIn("fail, skip or replace", self.import_text("--on-conflict", "merge", code=USAGE)[1])
        self.assertIn("needs -f FILE", self.err("job", "import", code=USAGE))
        self.import_text(server="127.0.0.1:1", code=UNREACHABLE)


class Refused(TransferCase):
    def test_one_bad_job_stops_all(self):
        text = "".join(f"- {{name: j{i}, schedule: '{'61 * * * *' if i in (7, 9) else '@daily'}', command: 'true'}}\n" for i in range(20))
        out, err = self.ctl("job", "import", "-f", self.file("jobs.yaml", text), code=REFUSED)
        self.assertEqual(out, "")
        self.assertRegex(err, r'jobs.yaml:8: job "j7": schedule: minute: 61 is out of range 0-59\n.*jobs.yaml:10: job "j9": schedule')
        self.assertIn("nothing was imported: 2 of 20 jobs cannot be", err)
        self.assertEqual(self.jobs(), {})

    def test_a_file_that_is_broken_halfway(self):
        good = "- {name: a, schedule: '@daily', command: 'true'}\n"
        line = json.dumps({"name": "a", "schedule": "@daily", "command": "true"}) + "\n"
        for name, text, message in (("x.yaml", good + "- {name: b, schedule: '@da", "x.yaml:"), ("x.ndjson", line + '{"name": "b"\n', "x.ndjson:2: "),
                                    ("x.json", f"[{line},", "x.json: line "), ("x.yaml", good * 2, "the same name as"),
                                    ("x.yaml", good + "- {schedule: '@daily'}\n", "x.yaml:2: the job has no name"),
                                    ("x.ndjson", line + line.replace('"a"', '"b"').replace("daily", "dialy"), None)):
            with self.subTest(text=text):
                err = self.err("job", "import", "-f", self.file(name, text), code=USAGE if message else REFUSED)
                self.assertIn(message or 'x.ndjson:2: job "b": schedule: ', err)
                self.assertEqual(self.jobs(), {})


class Secrets(TransferCase):
    HOOK = {"url": "http://127.0.0.1:9/", "auth": {"type": "basic", "username": "u", "password": "s3cret"}}

    def test_a_mask_is_never_imported(self):
        self.node.create(name="hook", schedule="@daily", webhook=self.HOOK)
        self.node.create(name="plain", schedule="@daily", command="true", description=MASK, tags={"stars": MASK})
        backup, err = self.ctl("job", "export")
        self.assertIn('chronosctl: job "hook": masked: config/auth/password\n', err)
        self.assertIn("secrets of 1 job are not in the export", err)
        self.assertIn("#   hook: config/auth/password\n", backup)
        self.assertNotIn("s3cret", backup)
        self.assertNotIn("#", self.ctl("job", "export", "-o", "json")[0])
        # The same node has the secret: nothing is lost, whatever happens on a conflict.
        self.assertTrue(self.out("job", "import", "-f", "-", stdin=backup).endswith("2 jobs: 2 unchanged\n"))
        other = backup.replace("@daily", "@hourly")
        self.assertTrue(self.out("job", "import", "-f", "-", "--on-conflict", "replace", stdin=other).endswith("2 replaced\n"))
        with Node() as fresh:
            server = f"127.0.0.1:{fresh.port}"
            for words in ([], ["--on-conflict", "replace"], ["--on-conflict", "skip"]):
                err = self.err("job", "import", "-f", "-", *words, stdin=backup, server=server, code=REFUSED)
                self.assertRegex(err, r'job "hook": config/auth/password: "\*{8}" hides a secret that is not stored here')
                self.assertEqual(self.jobs(fresh), {})
            mended = re.sub(r"password: .*", "password: ${env:PASSWORD}", backup)
            self.out("job", "import", "-f", "-", stdin=mended, server=server)
            self.assertEqual(fresh.get("/api/v1/jobs/hook").json["config"]["auth"]["password"], "${env:PASSWORD}")
            self.assertEqual(fresh.get("/api/v1/jobs/plain").json["description"], MASK)

    def test_a_mask_where_this_server_would_take_it_for_a_value(self):
        # As a node shows the jobs of an executor that it does not have.
        text = json.dumps({"name": "x", "schedule": "@daily", "executor": "shell", "config": {"command": MASK, "env": {"A": MASK}}})
        err = self.err("job", "import", "-f", "-", stdin=text, code=REFUSED)
        self.assertIn("config/command, config/env/A: ", err)
        self.node.create(name="x", schedule="@daily", command="kept")
        self.err("job", "import", "-f", "-", "--on-conflict", "replace", stdin=text, code=REFUSED)
        self.assertEqual(self.job("x")["config"], {"command": "kept"})

    def test_a_secret_given_may_be_another(self):
        text = json.dumps({"name": "hook", "schedule": "@daily", "webhook": self.HOOK})
        self.out("job", "import", "-f", "-", stdin=text)
        self.assertIn("nobody can tell whether its secrets differ", self.err("job", "import", "-f", "-", stdin=text, code=REFUSED))
        self.assertIn("1 replaced", self.out("job", "import", "-f", "-", "--on-conflict", "replace", stdin=text))


class Between(LocalServer):
    """A proxy before a node, where `on_create(node, body, nth)` may step in when a job is really created: it answers (status,
    headers, body), or "drop" to carry the request out and lose the answer, or None to let it pass."""

    def __init__(self, node, on_create):
        created = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
                stepped = None
                if self.command == "POST" and self.path == "/api/v1/jobs":
                    created.append(body)
                    stepped = on_create(node, json.loads(body), len(created))
                if isinstance(stepped, tuple):
                    return self.say(*stepped)
                copied = {k: self.headers[k] for k in ("Content-Type", "If-Match") if k in self.headers}
                answer = node.request(self.command, self.path, body, headers=copied)
                if stepped == "drop":
                    self.close_connection = True
                    return None
                kept = {k: v for k, v in answer.headers.items() if k in ("Content-Type", "ETag", "Retry-After")}
                return self.say(answer.status, kept, answer.body)

            def say(self, status, headers, body):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = handle_any

        super().__init__(Handler)


class Interrupted(TransferCase):
    TEXT = "".join(f"- {{name: j{i}, schedule: '@daily', command: 'true'}}\n" for i in range(5))
    SECRET = json.dumps({"name": "hook", "schedule": "@daily", "webhook": Secrets.HOOK})

    def through(self, on_create, text=TEXT, words=(), **more):
        with Between(self.node, on_create) as proxy:
            return self.ctl("job", "import", "-f", "-", *words, stdin=text, server=f"{proxy.address},{self.server}", **more)

    def test_an_answer_that_is_lost(self):
        def lose(node, job, nth):
            return "drop" if nth == 3 else None
        for words in ((), ("--on-conflict", "skip")):
            self.assertTrue(self.through(lose, words=words)[0].endswith("5 jobs: 5 created\n"))
            self.tearDown()
        self.assertTrue(self.through(lambda node, job, nth: "drop", text=self.SECRET)[0].endswith("1 job: 1 created\n"))

    def test_an_outcome_that_is_not_known(self):
        unknown = json.dumps({"status": 504, "code": "OUTCOME_UNKNOWN", "title": "?", "detail": "?"}).encode()

        def carried_out(node, job, nth):
            if nth == 2:
                node.create(**job)
            return (504, {"Content-Type": "application/problem+json"}, unknown) if nth in (2, 4) else None
        self.assertTrue(self.through(carried_out)[0].endswith("5 jobs: 5 created\n"))
        self.assertEqual(sorted(self.jobs()), [f"j{i}" for i in range(5)])

    def test_a_server_that_is_busy_for_a_while(self):
        busy = json.dumps({"status": 503, "code": "NO_LEADER", "title": "?", "detail": "?"}).encode()

        def refuse(node, job, nth):
            return (503, {"Content-Type": "application/problem+json", "Retry-After": "0"}, busy) if nth in (1, 3) else None
        self.assertTrue(self.through(refuse)[0].endswith("5 jobs: 5 created\n"))

    def test_somebody_else_takes_a_name_meanwhile(self):
        def take(node, job, nth):
            if nth == 3:
                node.create(name=job["name"], schedule="@hourly", command="theirs")
        out, err = self.through(take, code=REFUSED)
        self.assertIn('standard input:3: job "j2": exists already and is different', err)
        self.assertTrue(out.endswith("5 jobs: 4 created, 1 failed\n"), out)
        self.assertEqual(self.job("j2")["config"], {"command": "theirs"})
        self.tearDown()
        self.assertTrue(self.through(take, words=("--on-conflict", "replace"))[0].endswith("4 created, 1 replaced\n"))

    def test_killed_and_repeated(self):
        text = "".join(f"- {{name: j{i}, schedule: '@daily', command: 'true'}}\n" for i in range(600))
        path = self.file("jobs.yaml", text)
        process = subprocess.Popen([str(CTL), "-s", self.server, "job", "import", "-f", path], stdout=subprocess.PIPE)
        try:
            for _ in range(20):
                self.assertIn(b"created", process.stdout.readline())
            process.send_signal(signal.SIGSTOP)
            done = len(self.jobs())
            self.assertTrue(20 <= done < 600, done)
        finally:
            process.kill()
            process.communicate(timeout=DEADLINE_S)
        last = self.out("job", "import", "-f", path).splitlines()[-1]
        created, unchanged = map(int, re.fullmatch(r"600 jobs: (\d+) created, (\d+) unchanged", last).groups())
        self.assertEqual(created + unchanged, 600)
        self.assertIn(unchanged - done, (0, 1))  # one request may have been on its way
        self.assertEqual(len(self.jobs()), 600)

    def test_a_server_that_goes_away(self):
        with Between(self.node, lambda node, job, nth: "drop" if nth >= 3 else None) as proxy:
            out, err = self.ctl("job", "import", "-f", "-", stdin=self.TEXT, server=proxy.address, code=UNREACHABLE)
        self.assertIn('standard input:3: job "j2": ', err)
        self.assertIn("2 jobs were not looked at any more; say the same again", err)
        self.assertTrue(out.endswith("5 jobs: 2 created, 1 failed, 2 not done\n"), out)
        self.assertTrue(self.out("job", "import", "-f", "-", stdin=self.TEXT).endswith("5 jobs: 2 created, 3 unchanged\n"))

    def test_progress_is_for_terminals(self):
        path = self.file("jobs.yaml", self.TEXT)
        written = self.on_a_terminal("job", "import", "-f", path)
        self.assertIn(b"\r\x1b[Kchecking 0 of 5", written)
        self.assertTrue(written.endswith(b"5 jobs: 5 created\r\n"), written)
        self.assertNotIn(b"\x1b", self.on_a_terminal("job", "import", "-f", path, environment={"TERM": "dumb"}))
        self.assertEqual(self.ctl("job", "import", "-f", path)[1], "")


class IntoACluster(TransferCase):
    def test_while_the_leader_dies(self):
        text = "".join(f"- {{name: j{i}, schedule: '@manually', executor: shell, config: {{command: 'echo {i}'}}}}\n" for i in range(300))
        with Cluster() as cluster:
            leader = cluster.settle()
            servers = ",".join(f"127.0.0.1:{node.port}" for node in cluster.followers() + [leader])
            process = subprocess.Popen([str(CTL), "-s", servers, "job", "import", "-f", self.file("jobs.yaml", text)],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                for _ in range(20):
                    self.assertIn(b": created", process.stdout.readline())
                leader.kill9()
                out, err = process.communicate(timeout=2 * DEADLINE_S)
            finally:
                process.kill()
                process.wait()
            self.assertEqual((process.returncode, err), (0, b""), out[-500:])
            self.assertTrue(out.endswith(b"300 jobs: 300 created\n"), out[-500:])
            node = cluster.followers()[0]
            exported = json.loads(self.out("job", "export", "-o", "json", server=f"127.0.0.1:{node.port}"))["jobs"]
            self.assertEqual({job["name"]: job["config"]["command"] for job in exported}, {f"j{i}": f"echo {i}" for i in range(300)})


if __name__ == "__main__":
    unittest.main()
