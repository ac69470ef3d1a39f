"""The REST interface as a client sees it: resources, headers, preconditions, lists, refusals."""
# ctest: timeout=180
import http.client
import json
import re
import threading
import time
import unittest

from harness import BACKEND, Node, Receiver, TestCase, instant, rfc3339, wait_for

JOBS = "/api/v1/jobs"
RUNS = "/api/v1/executions"


class ApiCase(TestCase):
    """One node for all tests of a class: each uses names of its own."""

    config = None

    @classmethod
    def setUpClass(cls):
        cls.node = Node(cls.config)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def job(self, name, **more):
        return self.node.create(name=name, **{"schedule": "@manually", "command": "true", **more})

    def read(self, name):
        answer = self.node.get(f"{JOBS}/{name}")
        self.assertEqual(answer.status, 200, answer)
        return answer.json


class JobTest(ApiCase):
    def test_create_answers_the_whole_job(self):
        before = time.time()
        answer = self.node.post(JOBS, {"name": "whole", "schedule": "0 9 * * 1-5", "timezone": "America/New_York",
                                       "command": "true", "tags": {"team": "backend"}})
        self.assertEqual(answer.status, 201, answer)
        job = answer.json
        self.assertRegex(job["id"], r"^job_[0-9a-z]{26}$")
        self.assertEqual(answer.headers["Location"], f"{JOBS}/{job['id']}")
        self.assertEqual(answer.headers["ETag"], '"1"')
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.assertEqual(
            {k: job[k] for k in ("name", "schedule", "timezone", "enabled", "version", "executor", "config", "tags",
                                 "timeout", "concurrency", "missed_run_policy", "last_run", "last_status", "running")},
            {"name": "whole", "schedule": "0 9 * * 1-5", "timezone": "America/New_York", "enabled": True, "version": 1,
             "executor": "shell", "config": {"command": "true"}, "tags": {"team": "backend"}, "timeout": "1h",
             "concurrency": "forbid", "missed_run_policy": "execute_one", "last_run": None, "last_status": None, "running": 0})
        self.assertAlmostEqual(instant(job["created_at"]), before, delta=5)
        self.assertEqual(job["created_at"], job["updated_at"])
        self.assertRegex(job["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertGreater(instant(job["next_run"]), before)
        self.assertEqual(self.node.get(answer.headers["Location"]).json, job)

    def test_get_by_id_and_by_name_are_the_same(self):
        job = self.job("two-ways")
        self.assertEqual(self.read(job["id"]), self.read("two-ways"))

    def test_unknown_jobs(self):
        for verb, path, body in (("GET", "", None), ("PUT", "", {"name": "x", "schedule": "@manually", "command": "true"}),
                                 ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/trigger", None), ("POST", "/enable", None),
                                 ("POST", "/disable", None), ("GET", "/upcoming", None), ("GET", "/missed", None),
                                 ("GET", "/executions", None)):
            for job in ("no-such-job", "job_00000000000000000000000000", "job_zz", "%C3%A9", "x" * 200):
                with self.subTest(verb=verb, path=path, job=job):
                    self.problem(self.node.request(verb, f"{JOBS}/{job}{path}", body), 404, "NOT_FOUND")

    def test_put_replaces_and_patch_merges(self):
        self.job("merge", description="first", timeout="5m", tags={"a": "1", "b": "2"}, command="echo one")
        answer = self.node.patch(f"{JOBS}/merge", {"timeout": "7m", "tags": {"b": None, "c": "3"}})
        self.assertEqual(answer.status, 200, answer)
        job = answer.json
        self.assertEqual((job["timeout"], job["tags"], job["description"], job["version"], answer.headers["ETag"]),
                         ("7m", {"a": "1", "c": "3"}, "first", 2, '"2"'))
        job = self.node.patch(f"{JOBS}/merge", {"config": {"cwd": "/tmp"}}).json
        self.assertEqual(job["config"], {"command": "echo one", "cwd": "/tmp"})
        job = self.node.patch(f"{JOBS}/merge", {"timeout": None}).json
        self.assertEqual(job["timeout"], "1h", "null takes a member away: the default is back")
        job = self.node.put(f"{JOBS}/merge", {"name": "merge", "schedule": "@hourly", "command": "echo two"}).json
        self.assertEqual((job["description"], job["tags"], job["config"], job["version"]), ("", {}, {"command": "echo two"}, 5))

    def test_a_shorthand_in_a_patch_stands_for_executor_and_config(self):
        self.job("shorthand", command="echo one")
        job = self.node.patch(f"{JOBS}/shorthand", {"webhook": {"url": "http://127.0.0.1:1/x"}}).json
        self.assertEqual(job["executor"], "http")
        self.assertEqual(job["config"]["url"], "http://127.0.0.1:1/x")
        self.assertNotIn("command", job["config"])
        self.assertNotIn("webhook", job)

    def test_patch_as_merge_patch_type(self):
        self.job("merge-type")
        answer = self.node.patch(f"{JOBS}/merge-type", {"description": "x"},
                                 headers={"Content-Type": "application/merge-patch+json; charset=utf-8"})
        self.assertEqual(answer.status, 200, answer)
        self.problem(
            self.node.put(f"{JOBS}/merge-type", {"name": "x"}, headers={"Content-Type": "application/merge-patch+json"}), 415,
            "UNSUPPORTED_MEDIA")

    def test_get_then_put_changes_nothing_but_the_version(self):
        self.job("round", description="d", tags={"a": "b"}, timezone="Europe/Berlin", schedule=["0 9 * * *", "@every 90s"],
                 retry_policy={"max_attempts": 3, "initial_interval": "2s", "multiplier": 1.5}, catchup_window="1h",
                 concurrency="allow", max_concurrent=3, timeout="90s")
        before = self.read("round")
        answer = self.node.put(f"{JOBS}/round", before)
        self.assertEqual(answer.status, 200, answer)
        after = answer.json
        self.assertEqual(after["version"], before["version"] + 1)
        for volatile in ("version", "updated_at", "next_run"):
            before.pop(volatile), after.pop(volatile)
        self.assertEqual(after, before)

    def test_read_only_fields_are_passed_over(self):
        job = self.node.post(JOBS, {"name": "readonly", "schedule": "@manually", "command": "true", "version": 77,
                                    "id": "job_00000000000000000000000000", "created_at": "x", "updated_at": 1,
                                    "updated_by": "me", "next_run": "x", "last_run": "x", "last_status": "x", "running": 9})
        self.assertEqual(job.status, 201, job)
        self.assertEqual(job.json["version"], 1)
        self.assertNotEqual(job.json["id"], "job_00000000000000000000000000")
        self.assertEqual(job.json["running"], 0)

    def test_unknown_fields_name_the_nearest(self):
        body = {"name": "x", "schedule": "@manually", "command": "true"}
        cases = (({"shedule": "x"}, "/shedule", "schedule"), ({"retry_policy": {"max_attempt": 3}}, "/retry_policy/max_attempt",
                 "max_attempts"), ({"comand": "x"}, "/comand", "command"), ({"time_out": "1s"}, "/time_out", "timeout"))
        for more, field, near in cases:
            with self.subTest(field=field):
                self.problem(self.node.post(JOBS, {**body, **more}), 422, "INVALID", contains=f'did you mean \\"{near}\\"',
                             field=field)
        answer = self.node.post(JOBS, {"name": "x", "schedule": "@manually", "executor": "shell", "config": {"comand": "true"}})
        self.problem(answer, 422, "INVALID", contains="command", field="/config/comand")

    def test_all_mistakes_are_reported_at_once(self):
        answer = self.node.post(JOBS, {"name": "a b", "schedule": "61 * * * *", "command": "true", "timeout": 5,
                                       "concurrency": "maybe", "tags": {"k": 1}, "retry_policy": {"max_attempts": 0}})
        fields = {e["field"] for e in self.problem(answer, 422, "INVALID")["errors"]}
        self.assertEqual(fields, {"/name", "/schedule", "/timeout", "/concurrency", "/tags/k", "/retry_policy/max_attempts"})

    def test_names(self):
        for name in ("a", "A.b_c-9", "_x", "0", "x" * 128):
            with self.subTest(name=name):
                self.job(name)
                self.assertEqual(self.read(name)["name"], name)

    def test_a_taken_name(self):
        job = self.job("taken")
        self.problem(self.node.post(JOBS, {"name": "taken", "schedule": "@manually", "command": "true"}), 409, "NAME_TAKEN",
                     field="/name")
        other = self.job("other")
        self.problem(self.node.patch(f"{JOBS}/other", {"name": "taken"}), 409, "NAME_TAKEN", field="/name")
        self.problem(self.node.post(f"{JOBS}?dry_run=true", {"name": "taken", "schedule": "@manually", "command": "true"}),
                     409, "NAME_TAKEN")
        self.assertEqual(self.node.delete(f"{JOBS}/taken").status, 204)
        self.assertEqual(self.node.patch(f"{JOBS}/other", {"name": "taken"}).status, 200)
        self.assertEqual(self.read("taken")["id"], other["id"])
        self.problem(self.node.get(f"{JOBS}/{job['id']}"), 404, "NOT_FOUND")

    def test_rename(self):
        job = self.job("before")
        answer = self.node.patch(f"{JOBS}/before", {"name": "after"})
        self.assertEqual((answer.status, answer.json["id"]), (200, job["id"]))
        self.problem(self.node.get(f"{JOBS}/before"), 404, "NOT_FOUND")
        self.assertEqual(self.read("after")["id"], job["id"])
        self.job("before")

    def test_one_of_many_creators_wins(self):
        answers = []

        def create():
            answers.append(self.node.post(JOBS, {"name": "race", "schedule": "@manually", "command": "true"}).status)
        threads = [threading.Thread(target=create) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(answers), [201] + [409] * 15)

    def test_delete(self):
        job = self.job("gone")
        self.assertEqual(self.node.delete(f"{JOBS}/gone").status, 204)
        self.problem(self.node.get(f"{JOBS}/gone"), 404, "NOT_FOUND")
        self.problem(self.node.delete(f"{JOBS}/gone"), 404, "NOT_FOUND")
        self.assertNotEqual(self.job("gone")["id"], job["id"])

    def test_dry_run_changes_nothing(self):
        answer = self.node.post(f"{JOBS}?dry_run=true", {"name": "dry", "schedule": "@manually", "command": "true"})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual((answer.json["name"], answer.json["executor"], answer.json["enabled"]), ("dry", "shell", True))
        self.problem(self.node.get(f"{JOBS}/dry"), 404, "NOT_FOUND")
        self.problem(self.node.post(f"{JOBS}?dry_run=true", {"name": "dry", "schedule": "x", "command": "true"}), 422,
                     "INVALID")
        self.job("dry")
        self.assertEqual(self.node.patch(f"{JOBS}/dry?dry_run=true", {"description": "x"}).json["description"], "x")
        self.assertEqual((self.read("dry")["version"], self.read("dry")["description"]), (1, ""))

    def test_unknown_executor(self):
        answer = self.node.post(JOBS, {"name": "x", "schedule": "@manually", "executor": "sell", "config": {}})
        self.problem(answer, 422, "EXECUTOR_UNKNOWN", contains="shell", field="/executor")
        answer = self.node.post(JOBS, {"name": "x", "schedule": "@manually"})
        self.problem(answer, 422, "INVALID", field="/executor")
        answer = self.node.post(JOBS, {"name": "x", "schedule": "@manually", "command": "true", "executor": "shell"})
        self.problem(answer, 422, "INVALID", field="/command")
        answer = self.node.post(JOBS,
                                {"name": "x", "schedule": "@manually", "command": "true", "webhook": {"url": "http://a/"}})
        self.problem(answer, 422, "INVALID")

    def test_enable_and_disable(self):
        self.job("switch", schedule="@hourly")
        answer = self.node.post(f"{JOBS}/switch/disable")
        self.assertEqual((answer.status, answer.json["enabled"], answer.json["next_run"]), (200, False, None), answer)
        answer = self.node.post(f"{JOBS}/switch/enable", {})
        self.assertEqual((answer.status, answer.json["enabled"]), (200, True), answer)
        self.assertGreater(instant(answer.json["next_run"]), time.time())
        self.problem(self.node.post(f"{JOBS}/switch/enable", {"why": "x"}), 400, "MALFORMED")

    def test_upcoming(self):
        self.job("upcoming", schedule="30 4 * * *", timezone="Europe/Berlin")
        answer = self.node.get(f"{JOBS}/upcoming/upcoming?count=3&from=2027-03-27T00:00:00Z").json
        self.assertEqual(answer["upcoming"],
                         ["2027-03-27T03:30:00.000Z", "2027-03-28T02:30:00.000Z", "2027-03-29T02:30:00.000Z"])
        self.assertEqual(answer["timezone"], "Europe/Berlin")
        self.assertEqual(answer["upcoming_local"], [
            "2027-03-27T04:30:00.000+01:00", "2027-03-28T04:30:00.000+02:00", "2027-03-29T04:30:00.000+02:00"])
        longest = self.node.get(f"{JOBS}/upcoming/upcoming?count=1000").json  # UPCOMING_COUNT_MAX
        self.assertEqual((len(longest["upcoming"]), len(longest["upcoming_local"])), (1000, 1000))
        self.assertEqual(len(self.node.get(f"{JOBS}/upcoming/upcoming").json["upcoming"]), 10)
        self.job("never", schedule="@manually")
        self.assertEqual(self.node.get(f"{JOBS}/never/upcoming").json["upcoming"], [])
        for query in ("count=0", "count=1001", "count=x", "from=yesterday", "from=2027-01-01", "cuont=1"):
            with self.subTest(query=query):
                self.problem(self.node.get(f"{JOBS}/upcoming/upcoming?{query}"), 400, "MALFORMED")

    def test_missed_is_empty_at_first(self):
        self.job("punctual", schedule="@hourly")
        self.assertEqual(self.node.get(f"{JOBS}/punctual/missed").json, {"missed": [], "next_cursor": None})


class PreconditionTest(ApiCase):
    def test_if_match(self):
        self.job("cas")
        for verb in ("PUT", "PATCH", "DELETE"):
            body = None if verb == "DELETE" else {"name": "cas", "schedule": "@manually", "command": "true"}
            for tag in ('"2"', '"0"', '"01"', 'W/"1"', '""', '"3", "4"'):
                with self.subTest(verb=verb, tag=tag):
                    self.problem(self.node.request(verb, f"{JOBS}/cas", body, headers={"If-Match": tag}), 412,
                                 "VERSION_MISMATCH")
            for tag in ("1", '"1', "*,", '"1" "2"', "x" * 300):
                with self.subTest(verb=verb, tag=tag):
                    self.problem(self.node.request(verb, f"{JOBS}/cas", body, headers={"If-Match": tag}), 400, "MALFORMED")
        self.assertEqual(self.read("cas")["version"], 1)
        answer = self.node.patch(f"{JOBS}/cas", {"description": "x"}, headers={"If-Match": '"9", "1"'})
        self.assertEqual((answer.status, answer.headers["ETag"]), (200, '"2"'))
        self.assertEqual(self.node.patch(f"{JOBS}/cas", {"description": "y"}, headers={"If-Match": "*"}).status, 200)
        self.assertEqual(self.node.delete(f"{JOBS}/cas", headers={"If-Match": '"3"'}).status, 204)
        self.problem(self.node.delete(f"{JOBS}/cas", headers={"If-Match": "*"}), 404, "NOT_FOUND")

    def test_enable_under_if_match(self):
        self.job("cas-enable")
        self.problem(self.node.post(f"{JOBS}/cas-enable/disable", headers={"If-Match": '"7"'}), 412, "VERSION_MISMATCH")
        self.assertTrue(self.read("cas-enable")["enabled"])
        self.assertEqual(self.node.post(f"{JOBS}/cas-enable/disable", headers={"If-Match": '"1"'}).status, 200)

    def test_if_none_match(self):
        self.job("cached")
        for tag in ('"1"', 'W/"1"', "*", '"5", "1"'):
            with self.subTest(tag=tag):
                answer = self.node.get(f"{JOBS}/cached", headers={"If-None-Match": tag})
                self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", '"1"'))
        self.assertEqual(self.node.get(f"{JOBS}/cached", headers={"If-None-Match": '"2"'}).status, 200)
        self.node.patch(f"{JOBS}/cached", {"description": "new"})
        self.assertEqual(self.node.get(f"{JOBS}/cached", headers={"If-None-Match": '"1"'}).status, 200)

    def test_no_lost_update(self):
        """Many clients count up in one job with If-Match: each increment that was acknowledged is there."""
        self.job("counter", description="0")
        done = []

        def count_up():
            for _ in range(10):
                while True:
                    answer = self.node.get(f"{JOBS}/counter")
                    value = int(answer.json["description"])
                    change = self.node.patch(f"{JOBS}/counter", {"description": str(value + 1)},
                                             headers={"If-Match": answer.headers["ETag"]})
                    if change.status == 200:
                        done.append(value)
                        break
                    assert change.status == 412, change
        threads = [threading.Thread(target=count_up) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(done), list(range(40)))
        self.assertEqual((self.read("counter")["description"], self.read("counter")["version"]), ("40", 41))

    def test_edits_without_if_match_all_count(self):
        self.job("open-edits")
        statuses = []

        def edit(i):
            statuses.append(self.node.patch(f"{JOBS}/open-edits", {"tags": {f"t{i}": "x"}}).status)
        threads = [threading.Thread(target=edit, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, [200] * 4)
        self.assertEqual(self.read("open-edits")["tags"], {f"t{i}": "x" for i in range(4)})


class ListTest(ApiCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for i in range(25):
            team = "backend" if i % 2 else "frontend"
            more = {"webhook": {"url": "http://127.0.0.1:1/"}} if i % 5 == 0 else {"command": "true"}
            cls.node.create(name=f"job-{i:02}", schedule="@manually", enabled=i % 3 != 0, description=f"number {i}",
                            tags={"team": team, "half": "low" if i < 12 else "high"}, **more)

    def names(self, query="", expect=200):
        names, cursor = [], None
        while True:
            answer = self.node.get(f"{JOBS}?{query}" + (f"&cursor={cursor}" if cursor else ""))
            self.assertEqual(answer.status, expect, answer)
            names += [j["name"] for j in answer.json["jobs"]]
            cursor = answer.json["next_cursor"]
            if cursor is None:
                return names

    def test_all_in_order(self):
        wanted = [f"job-{i:02}" for i in range(25)]
        for limit in (1, 2, 7, 24, 25, 26, 1000):
            for sort in ("", "&sort=name", "&sort=created_at"):
                with self.subTest(limit=limit, sort=sort):
                    self.assertEqual(self.names(f"limit={limit}{sort}"), wanted)

    def test_filters(self):
        every = range(25)
        cases = {"tag.team=backend": [i for i in every if i % 2], "enabled=false": [i for i in every if i % 3 == 0],
                 "enabled=true&executor=http": [i for i in every if i % 3 and i % 5 == 0], "name=job-1": range(10, 20),
                 "name=job-03": [3], "name=nothing": [], "q=number%2024": [24], "q=NUMBER+7": [7], "q=OB-02": [2],
                 "tag.team=frontend&tag.half=high&limit=2": [i for i in range(12, 25) if i % 2 == 0],
                 "executor=shell&name=job-2&limit=1": [21, 22, 23, 24], "tag.team=none": [], "tag.x=": [],
                 "sort=created_at&name=job-2&limit=2": range(20, 25)}
        for query, wanted in cases.items():
            with self.subTest(query=query):
                self.assertEqual(self.names(query), [f"job-{i:02}" for i in wanted])

    def test_list_item_is_the_job(self):
        item = next(j for j in self.node.get(JOBS).json["jobs"] if j["name"] == "job-07")
        self.assertEqual(item, self.read("job-07"))

    def test_fields(self):
        answer = self.node.get(f"{JOBS}?fields=name,version,next_run&limit=2").json
        self.assertEqual(answer["jobs"], [{"name": f"job-0{i}", "version": 1, "next_run": None} for i in range(2)])
        self.assertEqual(answer["jobs"][0], self.node.get(f"{JOBS}/job-00?fields=next_run,version,name").json)
        for fields, wanted in (("next_run", {"next_run": None}), ("held", {}), ("name,held", {"name": "job-00"}),
                               ("tags", {"tags": {"team": "frontend", "half": "low"}}),
                               ("held,next_run,enabled", {"next_run": None, "enabled": False})):
            with self.subTest(fields=fields):
                self.assertEqual(self.node.get(f"{JOBS}?fields={fields}&limit=1").json["jobs"], [wanted])
        every = ",".join(self.read("job-07"))
        self.assertEqual(self.node.get(f"{JOBS}?fields={every}&name=job-07").json["jobs"], [self.read("job-07")])
        self.assertEqual(self.node.get(f"{JOBS}/job-03?fields=name").json, {"name": "job-03"})
        self.problem(self.node.get(f"{JOBS}?fields=name,tag"), 400, "MALFORMED", contains="tags")
        self.problem(self.node.get(f"{JOBS}?fields="), 400, "MALFORMED")

    def test_bad_queries(self):
        for query in ("limit=0", "limit=1001", "limit=", "limit=1x", "limit=-1", "enabled=yes", "sort=owner",
                      "cursor=!", "cursor=AAAA", "enabeld=true", "tag=x", "name=%zz", "consistent=1", "name=" + "x" * 300):
            with self.subTest(query=query):
                self.problem(self.node.get(f"{JOBS}?{query}"), 400, "MALFORMED")
        cursor = self.node.get(f"{JOBS}?limit=1").json["next_cursor"]
        for query in (f"sort=created_at&cursor={cursor}", f"name=zzz&cursor={cursor}"):
            self.problem(self.node.get(f"{JOBS}?{query}"), 400, "MALFORMED", contains="cursor")
        self.problem(self.node.get(f"{RUNS}?cursor={cursor}"), 400, "MALFORMED", contains="cursor")


class CursorTest(ApiCase):
    def setUp(self):
        for i in range(10):
            self.job(f"job-{i}")
        self.addCleanup(lambda: [self.node.delete(f"{JOBS}/{j['name']}") for j in self.node.get(JOBS).json["jobs"]])

    def pages(self, sort, between):
        page = self.node.get(f"{JOBS}?limit=5&sort={sort}").json
        between()
        names = [j["name"] for j in page["jobs"]]
        while page["next_cursor"]:
            page = self.node.get(f"{JOBS}?limit=2&sort={sort}&cursor={page['next_cursor']}").json
            names += [j["name"] for j in page["jobs"]]
        return names

    def writes(self):
        self.job("job-00")  # by name it is passed already, by age it comes last
        self.assertEqual(self.node.delete(f"{JOBS}/job-5").status, 204)  # the row that the cursor stands on
        self.assertEqual(self.node.delete(f"{JOBS}/job-2").status, 204)  # shown already
        self.job("job-77")

    def test_by_name(self):
        self.assertEqual(self.pages("name", self.writes), [f"job-{i}" for i in (0, 1, 2, 3, 4, 6, 7, 77, 8, 9)])

    def test_by_age(self):
        self.assertEqual(self.pages("created_at", self.writes), [f"job-{i}" for i in (0, 1, 2, 3, 4, 6, 7, 8, 9, "00", 77)])


class ExecutionTest(ApiCase):
    def test_trigger(self):
        self.job("triggered", command="echo hello; echo $EXTRA", timezone="UTC")
        answer = self.node.post(f"{JOBS}/triggered/trigger")
        self.assertEqual(answer.status, 202, answer)
        run = answer.json
        self.assertRegex(run["id"], r"^exec_[0-9a-z]{26}$")
        self.assertEqual(answer.headers["Location"], f"{RUNS}/{run['id']}")
        self.assertEqual((run["job_name"], run["trigger"], run["job_version"]), ("triggered", "manual", 1))
        self.assertIn(run["status"], ("pending", "running"))
        done = self.node.ended(run["id"])
        self.assertEqual((done["status"], done["exit_code"], done["output"], done["error"], done["node_id"]),
                         ("success", 0, "hello\n\n", None, "node-1"))
        self.assertEqual([(a["attempt"], a["outcome"], a["node_id"], a["exit_code"], a["error"]) for a in done["attempts"]],
                         [(1, "success", "node-1", 0, None)])
        self.assertGreaterEqual(instant(done["completed_at"]), instant(done["started_at"]))
        self.assertAlmostEqual(
            instant(done["completed_at"]) - instant(done["started_at"]), done["duration_ms"] / 1000, delta=0.1)
        self.assertEqual(self.read("triggered")["last_status"], "success")
        self.assertEqual(self.read("triggered")["last_run"], done["scheduled_time"])

    def test_overrides_are_for_one_run(self):
        self.job("overridden", executor="shell", command=None, config={"command": "echo $A $B", "env": {"A": "1", "B": "2"}})
        run = self.node.ended(self.node.trigger("overridden", config={"env": {"B": "3"}})["id"])
        self.assertEqual(run["output"], "1 3\n")
        self.assertEqual(self.node.ended(self.node.trigger("overridden")["id"])["output"], "1 2\n")
        self.assertEqual(self.read("overridden")["version"], 1)
        for body, field in (({"config": {"env": 1}}, "/config/env"), ({"config": {"comand": "x"}}, "/config/comand"),
                            ({"config": 1}, "/config"), ({"force": "yes"}, "/force"), ({"forse": True}, "/forse")):
            with self.subTest(body=body):
                self.problem(self.node.post(f"{JOBS}/overridden/trigger", body), 422, "INVALID", field=field)

    def test_manual_runs_obey_the_overlap_policy_unless_forced(self):
        self.job("busy", command="sleep 60")
        first = self.node.trigger("busy")
        wait_for(lambda: self.node.execution(first["id"])["status"] == "running", "the first run")
        second = self.node.trigger("busy")
        self.assertEqual((second["status"], second["reason"]), ("skipped", "overlap"))
        third = self.node.trigger("busy", force=True)
        wait_for(lambda: self.node.execution(third["id"])["status"] == "running", "the forced run")
        self.assertEqual(self.read("busy")["running"], 2)
        for run in (first, third):
            answer = self.node.post(f"{RUNS}/{run['id']}/cancel")
            self.assertEqual(answer.status, 202, answer)
            done = self.node.ended(run["id"])
            self.assertEqual((done["status"], done["reason"]), ("cancelled", "user"))
        self.problem(self.node.post(f"{RUNS}/{first['id']}/cancel"), 409, "CONFLICT")
        self.problem(self.node.post(f"{RUNS}/{second['id']}/cancel"), 409, "CONFLICT")

    def test_a_disabled_job_can_be_triggered(self):
        self.job("disabled", enabled=False)
        self.assertEqual(self.node.ended(self.node.trigger("disabled")["id"])["status"], "success")

    def test_lists(self):
        self.job("listed", command="exit $CODE", concurrency="allow", executor=None)
        ids = []
        for i in range(12):
            ids.append(self.node.trigger("listed", config={"env": {"CODE": "1" if i % 3 == 0 else "0"}})["id"])
        for run in ids:
            self.node.ended(run)
        newest_first = ids[::-1]
        listed = self.node.executions("listed")
        self.assertEqual([r["id"] for r in listed], newest_first)
        for limit in (1, 5, 12, 13):
            self.assertEqual([r["id"] for r in self.node.executions("listed", limit=limit)], newest_first)
        failed = [r for i, r in enumerate(ids) if i % 3 == 0][::-1]
        self.assertEqual([r["id"] for r in self.node.executions("listed", status="failed")], failed)
        self.assertEqual([r["id"] for r in self.node.executions("listed", status="failed", limit=1)], failed)
        self.assertEqual(self.node.executions("listed", trigger="schedule"), [])
        self.assertEqual(len(self.node.executions("listed", trigger="manual")), 12)
        self.assertEqual([r["id"] for r in self.node.executions(job="listed")], newest_first)
        across = [r["id"] for r in self.node.executions() if r["job_name"] == "listed"]
        self.assertEqual(across, newest_first)
        self.assertEqual([r["id"] for r in self.node.executions(limit=5) if r["job_name"] == "listed"], newest_first)
        self.assertEqual(listed[0], self.node.execution(newest_first[0]))
        middle = listed[5]["scheduled_time"]
        since = self.node.executions("listed", since=middle)
        until = self.node.executions("listed", until=middle)
        self.assertEqual([r["id"] for r in since + until], newest_first)
        self.assertTrue(all(r["scheduled_time"] >= middle for r in since))
        for query in ("status=done", "limit=0", "since=x", "until=1", "cursor=A", "cursor=ZXg", "cursor=anh",
                      "stauts=failed", "trigger=" + "x" * 64, "trigger=cron"):
            with self.subTest(query=query):
                self.problem(self.node.get(f"{JOBS}/listed/executions?{query}"), 400, "MALFORMED")
                self.problem(self.node.get(f"{RUNS}?{query}"), 400, "MALFORMED")

    def test_a_page_survives_new_runs(self):
        self.job("paged", concurrency="allow")
        ids = [self.node.trigger("paged")["id"] for _ in range(6)]
        for run in ids:
            self.node.ended(run)
        page = self.node.get(f"{JOBS}/paged/executions?limit=3").json
        self.node.ended(self.node.trigger("paged")["id"])
        rest = self.node.get(f"{JOBS}/paged/executions?limit=10&cursor={page['next_cursor']}").json
        self.assertEqual([r["id"] for r in page["executions"] + rest["executions"]], ids[::-1])
        self.assertIsNone(rest["next_cursor"])

    def test_under_its_job(self):
        self.job("owner", command="echo mine")
        run = self.node.ended(self.node.trigger("owner")["id"])
        self.assertEqual(self.node.get(f"{JOBS}/owner/executions/{run['id']}").json, run)
        self.assertEqual(self.node.get(f"{JOBS}/owner/executions/{run['id']}/output").body, b"mine\n")

    def test_under_another_job_it_is_not_found(self):
        self.job("owner-a"), self.job("owner-b")
        run = self.node.ended(self.node.trigger("owner-a")["id"])["id"]
        for job in ("owner-b", "no-such-job"):
            with self.subTest(job=job):
                self.problem(self.node.get(f"{JOBS}/{job}/executions/{run}"), 404, "NOT_FOUND")
                self.problem(self.node.get(f"{JOBS}/{job}/executions/{run}/output"), 404, "NOT_FOUND")
                self.problem(self.node.post(f"{JOBS}/{job}/executions/{run}/cancel"), 404, "NOT_FOUND")

    def test_unknown_executions(self):
        for run in ("exec_00000000000000000000000000", "exec_x", "nothing", "job_00000000000000000000000000"):
            for verb, path in (("GET", ""), ("GET", "/output"), ("POST", "/cancel")):
                with self.subTest(run=run, path=path):
                    self.problem(self.node.request(verb, f"{RUNS}/{run}{path}"), 404, "NOT_FOUND")

    def test_output(self):
        self.job("output", command="printf 0123456789")
        run = self.node.ended(self.node.trigger("output")["id"])["id"]

        def output(query=""):
            answer = self.node.get(f"{RUNS}/{run}/output{query}")
            self.assertEqual(answer.status, 200, answer)
            return answer
        whole = output()
        self.assertEqual(whole.body, b"0123456789")
        self.assertEqual((whole.headers["X-Chronos-Output-Total"], whole.headers["X-Chronos-Output-Complete"]), ("10", "true"))
        self.assertEqual(whole.headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertEqual(whole.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(output("?offset=4").body, b"456789")
        self.assertEqual(output("?offset=4&limit=3").body, b"456")
        self.assertEqual(output("?offset=10").body, b"")
        self.assertEqual(output("?offset=9999999999").body, b"")
        self.assertEqual(output("?attempt=1&limit=1").body, b"0")
        self.assertEqual(output("?limit=4194304").body, b"0123456789")
        for query in ("?offset=-1", "?limit=0", "?limit=4194305", "?offset=x", "?attempt=0", "?offest=1"):
            with self.subTest(query=query):
                self.problem(self.node.get(f"{RUNS}/{run}/output{query}"), 400, "MALFORMED")

    def test_output_of_a_running_run(self):
        self.job("chatty", command="echo begun; sleep 60")
        run = self.node.trigger("chatty")["id"]
        answer = wait_for(lambda: (a := self.node.get(f"{RUNS}/{run}/output")).body and a, "the first output")
        self.assertEqual((answer.body, answer.headers["X-Chronos-Output-Complete"]), (b"begun\n", "false"))
        self.node.post(f"{RUNS}/{run}/cancel")
        self.assertEqual(self.node.ended(run)["output"], "begun\n")
        self.assertEqual(self.node.get(f"{RUNS}/{run}/output").headers["X-Chronos-Output-Complete"], "true")

    def test_binary_output(self):
        self.job("binary", command=r"printf '\377\000\001'")
        run = self.node.ended(self.node.trigger("binary")["id"])
        answer = self.node.get(f"{RUNS}/{run['id']}/output")
        self.assertEqual((answer.body, answer.headers["Content-Type"]), (b"\xff\x00\x01", "application/octet-stream"))
        self.assertEqual(run["output"], "\ufffd\ufffd\x01")  # JSON carries neither: the output itself does


class CutChainTest(ApiCase):
    """Retention has taken runs that stand between open ones and the newest."""

    KEPT = 5
    config = f"storage: {{executions_per_job: {KEPT}}}\n"

    def skip_until_gone(self, name):
        """Runs that are skipped, until retention has taken the first of them and leaves the others alone."""
        first = self.node.trigger(name)["id"]

        def gone():
            if (self.node.get(f"{RUNS}/{first}").status == 404 and
                    len(self.node.executions(name, status="skipped")) == self.KEPT):
                return True
            self.assertEqual(self.node.trigger(name)["status"], "skipped")
            return False
        wait_for(gone, "the first skipped run to leave")

    def open_run(self, name, **body):
        run = self.node.trigger(name, **body)["id"]
        wait_for(lambda: self.node.execution(run)["status"] == "running", "the run to begin")
        return run

    def test_open_runs_behind_cuts(self):
        self.job("behind", command="sleep 600")
        opened = [self.open_run("behind")]
        self.skip_until_gone("behind")
        opened.insert(0, self.open_run("behind", force=True))
        self.skip_until_gone("behind")
        whole = [r["id"] for r in self.node.executions("behind")]
        self.assertEqual(len(whole), self.KEPT + len(opened))
        self.assertEqual(whole, sorted(set(whole), reverse=True), "newest first, none twice")
        self.assertEqual(whole[-2:], opened)
        for limit in (1, 2, 3, len(whole) - 2, len(whole) - 1, len(whole)):
            with self.subTest(limit=limit):
                self.assertEqual([r["id"] for r in self.node.executions("behind", limit=limit)], whole)
                self.assertEqual([r["id"] for r in self.node.executions(job="behind", limit=limit)], whole)
        for limit in (1, 2, 3):
            with self.subTest(limit=limit):
                running = self.node.executions("behind", status="running", limit=limit)
                self.assertEqual([r["id"] for r in running], opened)
        self.assertEqual(self.node.executions("behind", status="pending"), [])
        self.assertEqual([r["id"] for r in self.node.executions("behind", status="skipped")], whole[:-2])

    def test_only_the_own_open_runs(self):
        for name in ("own-a", "own-b", "own-c"):
            self.job(name, command="sleep 600")
        runs = {name: self.open_run(name) for name in ("own-b", "own-c", "own-a")}
        for name, run in runs.items():
            for query in ({}, {"status": "running"}):
                with self.subTest(name=name, query=query):
                    self.assertEqual([r["id"] for r in self.node.executions(name, **query)], [run])

    def test_a_cursor_on_a_run_that_left(self):
        self.job("left", command="sleep 600")
        run = self.open_run("left")
        for _ in range(3):
            self.node.trigger("left")
        cursor = self.node.get(f"{JOBS}/left/executions?limit=1").json["next_cursor"]
        self.skip_until_gone("left")
        page = self.node.get(f"{JOBS}/left/executions?cursor={cursor}").json
        self.assertEqual(([r["id"] for r in page["executions"]], page["next_cursor"]), ([run], None))


class ManyRowsTest(ApiCase):
    """What is looked for stands behind more others than one request may read (SCAN_ROWS_MAX)."""

    config = "storage: {executions_per_job: 100000}\n"
    READ_AT_MOST = 10_000

    def post_many(self, path, bodies):
        """Over connections that stay open; the ids, in no order."""
        left, ids, count = list(bodies), [], len(bodies)

        def work():
            connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
            while True:
                try:
                    body = left.pop()
                except IndexError:
                    break
                headers = {"Content-Type": "application/json"} if body else {}
                connection.request("POST", path, json.dumps(body) if body else None, headers)
                ids.append(json.loads(connection.getresponse().read())["id"])
            connection.close()
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(ids), count)
        return ids

    def trigger_many(self, name, count):
        return self.post_many(f"{JOBS}/{name}/trigger", [None] * count)

    def test_a_job_behind_many_others(self):
        plain = {"schedule": "@manually", "command": "true", "enabled": False}
        self.post_many(JOBS, [{"name": f"a{i:05}", **plain} for i in range(self.READ_AT_MOST)])
        self.assertEqual(self.node.get(f"{JOBS}?q=wanted").json, {"jobs": [], "next_cursor": None})
        self.job("b", description="it is WANTED here")
        page = self.node.get(f"{JOBS}?q=wanted&limit=10").json
        self.assertEqual(page["jobs"], [])
        self.assertIsNotNone(page["next_cursor"])
        page = self.node.get(f"{JOBS}?q=wanted&limit=10&cursor={page['next_cursor']}").json
        self.assertEqual(([j["name"] for j in page["jobs"]], page["next_cursor"]), (["b"], None))

    def test_a_run_behind_many_others(self):
        self.job("failing", command="exit 1", concurrency="allow")
        self.job("slow", command="sleep 60", timeout="100ms")
        late = self.node.ended(self.node.trigger("slow")["id"])["id"]
        failed = sorted(self.trigger_many("failing", 600), reverse=True)
        wait_for(lambda: self.node.metric("chronos_open_runs") == 0, "every run to end", 60)
        self.job("busy", command="sleep 600")
        self.node.trigger("busy")
        self.trigger_many("busy", self.READ_AT_MOST + 1)
        last = self.node.ended(self.node.trigger("slow")["id"])["id"]
        page = self.node.get(f"{RUNS}?status=failed&limit=1000").json
        self.assertEqual(([r["id"] for r in page["executions"]], page["next_cursor"]), (failed, None))
        self.assertEqual({r["status"] for r in page["executions"]}, {"failed"})
        for limit in (7, 254, 255, 256, 600):
            with self.subTest(limit=limit):
                self.assertEqual([r["id"] for r in self.node.executions(status="failed", limit=limit)], failed)
        page = self.node.get(f"{RUNS}?status=timeout&limit=1").json
        self.assertEqual([r["id"] for r in page["executions"]], [last])
        rest = self.node.get(f"{RUNS}?status=timeout&limit=1&cursor={page['next_cursor']}").json
        self.assertEqual([r["id"] for r in rest["executions"]], [late])
        self.assertEqual(self.node.get(f"{RUNS}?status=lost").json, {"executions": [], "next_cursor": None})
        since = self.node.execution(failed[99])["scheduled_time"]
        some = [r["id"] for r in self.node.executions(status="failed", since=since)]
        self.assertEqual(some, failed[:len(some)])
        self.assertGreaterEqual(len(some), 100)
        self.assertLess(len(some), 600)
        self.assertEqual(self.node.executions(status="failed", trigger="schedule"), [])


class PageTest(ApiCase):
    """What stands beside the resources."""

    def test_health(self):
        answer = self.node.get("/health")
        self.assertEqual(answer.status, 200)
        self.assertEqual((answer.json["status"], answer.json["leader"], answer.json["node_id"], answer.json["disk"]),
                         ("healthy", True, "node-1", "ok"))
        self.assertEqual(self.node.get("/live").status, 200)
        self.assertEqual(self.node.get("/ready").status, 200)

    def test_version(self):
        answer = self.node.get("/version").json
        self.assertRegex(answer["version"], r"^\d+\.\d+\.\d+")
        self.assertEqual(answer["plugin_abi_major"], 1)

    def test_metrics(self):
        self.job("measured")
        self.node.ended(self.node.trigger("measured")["id"])
        answer = self.node.get("/metrics")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        declared, seen = {}, set()
        for line in answer.body.decode().splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                self.assertNotIn(name, declared, "declared twice")
                declared[name] = kind
            elif not line.startswith("#"):
                match = re.match(r'^([a-z_]+)(\{[a-z_]+="[^"]*"\})? (-?[0-9.e+]+)$', line)
                self.assertIsNotNone(match, line)
                name = match.group(1)
                base = re.sub(r"_(sum|count|bucket)$", "", name)
                self.assertTrue(name in declared or base in declared, line)
                self.assertNotIn(line.rsplit(" ", 1)[0], seen)
                seen.add(line.rsplit(" ", 1)[0])
        self.assertEqual(self.node.metric("chronos_raft_is_leader"), 1)
        self.assertEqual(self.node.metric("chronos_disk_state"), 0)
        self.assertGreaterEqual(self.node.metric("chronos_jobs"), 1)
        self.assertGreaterEqual(self.node.metric('chronos_runs_total{status="success"}'), 1)
        self.assertEqual(self.node.metric('chronos_insecure{what="http"}'), 0)

    def test_executors(self):
        executors = {e["name"]: e for e in self.node.get("/api/v1/executors").json["executors"]}
        self.assertEqual({n: e["shorthand"] for n, e in executors.items()}, {"shell": "command", "http": "webhook"})
        shell = self.node.get("/api/v1/executors/shell").json
        self.assertIn("command", [o["name"] for o in shell["config"]["options"]])
        http_options = {o["name"]: o for o in self.node.get("/api/v1/executors/http").json["config"]["options"]}
        self.assertTrue(http_options["auth.password"]["secret"])
        for name in ("sell", "x" * 100, BACKEND):
            self.problem(self.node.get(f"/api/v1/executors/{name}"), 404, "NOT_FOUND")

    def test_a_path_that_is_not_there(self):
        for path, detail in (("/api/v1/job", "there is no /api/v1/job; did you mean /api/v1/jobs?"),
                             ("/healthz", "there is no /healthz; did you mean /health?"), ("/", "there is no /; paths are ")):
            with self.subTest(path=path):
                answer = self.node.get(path)
                self.problem(answer, 404, "NOT_FOUND")
                self.assertTrue(answer.json["detail"].startswith(detail), answer.json)
        answer = self.node.delete("/health")
        self.problem(answer, 405, "METHOD_NOT_ALLOWED")
        self.assertTrue(answer.json["detail"].startswith("/health is not for DELETE; it takes "), answer.json)

    def test_validate_a_schedule(self):
        answer = self.node.post("/api/v1/schedules/validate",
                                {"schedule": "0 9 * * 1-5", "timezone": "Europe/Berlin", "count": 3})
        self.assertEqual(answer.status, 200, answer)
        document = answer.json
        self.assertTrue(document["valid"])
        self.assertEqual(len(document["next"]), 3)
        self.assertTrue(all(instant(t) > time.time() for t in document["next"]))
        self.assertIn("09:00", document["description"])
        self.assertEqual(document["timezone"], "Europe/Berlin")
        self.assertEqual([t[10:] for t in document["next_local"]], [f"T09:00:00.000{t[23:]}" for t in document["next_local"]])
        most = self.node.post("/api/v1/schedules/validate", {"schedule": "@hourly", "count": 1000}).json["next"]
        self.assertEqual((len(most), most), (1000, sorted(set(most))))
        self.assertEqual(self.node.post("/api/v1/schedules/validate", {"schedule": "@manually"}).json["next"], [])
        self.assertNotEqual(self.node.post("/api/v1/schedules/validate", {"schedule": "* * * * * *"}).json["warnings"], [])
        for body, field in (({"schedule": "99 * * * *"}, "/schedule"), ({"schedule": "0 0 31 2 *"}, "/schedule"),
                            ({}, "/schedule"), ({"schedule": "@hourly", "timezone": "Europe/Berln"},
                                                "/timezone"), ({"schedule": ["@hourly", "x"]}, "/schedule/1"),
                            ({"schedule": "@hourly", "cuont": 1}, "/cuont"), ({"schedule": "@hourly",
                                                                               "count": 1001}, "/count")):
            with self.subTest(body=body):
                self.problem(self.node.post("/api/v1/schedules/validate", body), 422, "INVALID", field=field)

    def test_consistent_reads(self):
        self.job("consistent")
        for path in (f"{JOBS}/consistent", JOBS, RUNS, f"{JOBS}/consistent/executions", f"{JOBS}/consistent/upcoming",
                     f"{JOBS}/consistent/missed", "/api/v1/executors", "/health", "/metrics", "/version"):
            with self.subTest(path=path):
                answer = self.node.get(f"{path}?consistent=true")
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual(self.node.get(f"{path}?consistent=false").status, 200)
                self.problem(self.node.get(f"{path}?consistent=maybe"), 400, "MALFORMED")
        self.problem(self.node.get(f"{JOBS}/nothing?consistent=true"), 404, "NOT_FOUND")

    def test_every_answer_says_where_and_when(self):
        job = self.job("stamped")
        previous = 0
        for verb, path, body in (("GET", "/health", None), ("GET", "/nowhere", None), ("POST", JOBS, b"{"),
                                 ("PATCH", f"{JOBS}/stamped", {"description": "x"}), ("GET", f"{JOBS}/{job['id']}", None),
                                 ("DELETE", f"{JOBS}/stamped", None)):
            with self.subTest(path=path):
                answer = self.node.request(verb, path, body)
                self.assertEqual(answer.headers["X-Chronos-Node"], "node-1")
                index = int(answer.headers["X-Chronos-Applied-Index"])
                self.assertGreaterEqual(index, previous)
                previous = index

    def test_problems_carry_the_request_id(self):
        answer = self.node.get("/nowhere", headers={"X-Request-ID": "mine-123"})
        document = self.problem(answer, 404, "NOT_FOUND")
        self.assertEqual(set(document), {"type", "title", "status", "detail", "code", "request_id"})
        self.assertEqual(document["request_id"], "mine-123")
        other = self.problem(self.node.get("/nowhere"), 404, "NOT_FOUND")["request_id"]
        self.assertNotEqual(other, self.problem(self.node.get("/nowhere"), 404, "NOT_FOUND")["request_id"])

    def test_unknown_paths_and_methods(self):
        for path in ("/", "/api", "/api/v1", "/api/v2/jobs", "/api/v1/jobs/", "/api/v1/jobs/x/y", "//health", "/health/",
                     "/api/v1/openapi.json", "/api/v1/cluster/statuses", f"{JOBS}/x/explain"):
            with self.subTest(path=path):
                self.problem(self.node.get(path), 404, "NOT_FOUND")
        for verb, path, allowed in (("DELETE", JOBS, {"GET", "HEAD", "POST", "OPTIONS"}),
                                    ("POST", f"{JOBS}/x", {"GET", "HEAD", "PUT", "PATCH", "DELETE",
                                                           "OPTIONS"}), ("GET", f"{JOBS}/x/trigger", {"POST", "OPTIONS"}),
                                    ("PUT", "/health", {"GET", "HEAD",
                                                        "OPTIONS"}), ("GET", f"{RUNS}/x/cancel", {"POST", "OPTIONS"})):
            with self.subTest(verb=verb, path=path):
                answer = self.node.request(verb, path, None if verb == "GET" else {})
                self.problem(answer, 405, "METHOD_NOT_ALLOWED")
                self.assertEqual({m.strip() for m in answer.headers["Allow"].split(",")}, allowed)
                answer = self.node.request("OPTIONS", path)
                self.assertEqual((answer.status, answer.body), (204, b""))
                self.assertEqual({m.strip() for m in answer.headers["Allow"].split(",")}, allowed)
        self.problem(self.node.request("OPTIONS", "/nowhere"), 404, "NOT_FOUND")

    def test_head_is_get_without_the_body(self):
        self.job("headed")
        for path in ("/health", f"{JOBS}/headed", "/nowhere"):
            with self.subTest(path=path):
                get, head = self.node.get(path, headers={"X-Request-ID": "x"}), self.node.request(
                    "HEAD", path, headers={"X-Request-ID": "x"})
                self.assertEqual((head.status, head.body), (get.status, b""))
                for name in ("Content-Length", "Content-Type", "ETag"):
                    self.assertEqual(head.headers[name], get.headers[name])

    def test_keep_alive_and_pipelining(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=10)
        self.addCleanup(connection.close)
        sockets = set()
        for _ in range(20):
            connection.request("GET", "/live")
            self.assertEqual(connection.getresponse().read(), b'{"live":true}')
            sockets.add(id(connection.sock))
        self.assertEqual(len(sockets), 1)
        names = [f"pipe-{i}" for i in range(30)]
        requests = b"".join(
            f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(b)}\r\n\r\n{b}"
            .encode() for b in (json.dumps({"name": n, "schedule": "@manually", "command": "true"}) for n in names))
        connection.sock.sendall(requests)
        file = connection.sock.makefile("rb")
        for name in names:
            self.assertEqual(file.readline(), b"HTTP/1.1 201 Created\r\n")
            length = 0
            while (line := file.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.assertEqual(json.loads(file.read(length))["name"], name, "answers out of order")


class SecretTest(ApiCase):
    SECRET = "hunter2-very-secret"

    def hook(self, name, url, **auth):
        return self.node.create(name=name, schedule="@manually", webhook={"url": url, "auth": {"type": "bearer", **auth}})

    def test_masked_everywhere_and_kept_over_put(self):
        with Receiver() as receiver:
            created = self.hook("secretive", receiver.url + "/x", token=self.SECRET)
            mask = created["config"]["auth"]["token"]
            self.assertNotIn(self.SECRET, json.dumps(created))
            got = self.node.get(f"{JOBS}/secretive")
            for answer in (got, self.node.get(JOBS), self.node.patch(f"{JOBS}/secretive", {"description": "x"}),
                           self.node.post(f"{JOBS}/secretive/disable"), self.node.get(f"{JOBS}/secretive?fields=config"),
                           self.node.post(f"{JOBS}?dry_run=true", {**got.json, "name": "copy",
                                          "config": {**got.json["config"], "auth": {"type": "bearer", "token": self.SECRET}}})):
                self.assertIn(answer.status, (200, 201), answer)
                self.assertNotIn(self.SECRET.encode(), answer.body)
                self.assertIn(mask.encode(), answer.body)
            answer = self.node.put(f"{JOBS}/secretive", got.json)
            self.assertEqual(answer.status, 200, answer)
            run = self.node.ended(self.node.trigger("secretive")["id"])
            self.assertEqual(run["status"], "success", run)
            self.assertEqual(receiver.received[-1][2]["Authorization"], f"Bearer {self.SECRET}")
            self.assertNotIn(self.SECRET, json.dumps(run))
            self.assertEqual(self.node.patch(f"{JOBS}/secretive", {"config": {"auth": {"token": "other-secret"}}}).status, 200)
            self.node.ended(self.node.trigger("secretive")["id"])
            self.assertEqual(receiver.received[-1][2]["Authorization"], "Bearer other-secret")
        self.assertNotIn(self.SECRET, self.node.log())

    def test_a_mask_is_no_value_for_a_new_job(self):
        mask = self.hook("masked", "http://127.0.0.1:1/", token=self.SECRET)["config"]["auth"]["token"]
        answer = self.node.post(JOBS, {"name": "unmasked", "schedule": "@manually",
                                       "webhook": {"url": "http://127.0.0.1:1/", "auth": {"type": "bearer", "token": mask}}})
        self.problem(answer, 422, "INVALID", field="/config/auth/token")
        self.problem(self.node.post(f"{JOBS}/masked/trigger", {"config": {"auth": {"token": mask}}}), 422, "INVALID")

    def test_references(self):
        """Resolved where the run starts, never stored, logged or returned."""
        secret_file = self.node.work / "secret"
        secret_file.write_text("from-the-file\n")
        secret_file.chmod(0o600)
        with Receiver() as receiver:
            for name, reference, value in (("by-file", f"${{file:{secret_file}}}", "from-the-file"),
                                           ("by-env", "${env:PATH}", None)):
                job = self.hook(name, receiver.url, token=reference)
                run = self.node.ended(self.node.trigger(name)["id"])
                self.assertEqual(run["status"], "success", run)
                sent = receiver.received[-1][2]["Authorization"]
                if value:
                    self.assertEqual(sent, f"Bearer {value}")
                    self.assertNotIn(value, json.dumps(job) + json.dumps(run) + self.node.log())
                else:
                    self.assertTrue(sent.startswith("Bearer /"), sent)
            before = len(receiver.received)
            self.hook("by-nothing", receiver.url, token="${env:NO_SUCH_VARIABLE}")
            run = self.node.ended(self.node.trigger("by-nothing")["id"])
            self.assertEqual(run["status"], "failed")
            self.assertIn("NO_SUCH_VARIABLE", run["error"])
            self.assertEqual(len(receiver.received), before)


if __name__ == "__main__":
    unittest.main()
