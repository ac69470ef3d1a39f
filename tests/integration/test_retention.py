"""What is kept of runs that ended: bounded by number, by age and by size, also under load."""
# ctest: timeout=180
import threading
import time
import unittest

from harness import ENDED, Node, TestCase, instant, wait_for

JOBS = "/api/v1/jobs"


class Aging:
    """A node whose runs grow old."""

    def __init__(self):
        self.node = Node("storage: {execution_retention: 1m}\n").start()

    def begin(self):
        node = self.node
        node.create(name="old", schedule="@manually", command="true")
        node.create(name="failing", schedule="@manually", command="exit 1")
        self.old = [node.ended(node.trigger(name)["id"])["id"] for name in ("old", "failing", "old")]
        node.create(name="long", schedule="@manually", command="while :; do sleep 1; done")
        self.running = node.trigger("long")["id"]
        self.ended_at = time.time()


aging = None


def setUpModule():
    global aging
    aging = Aging()
    unittest.addModuleCleanup(aging.node.close)
    aging.begin()


class RetentionCase(TestCase):
    def node(self, config):
        node = Node(config)
        self.addCleanup(node.close)
        return node.start()

    def trigger_many(self, node, name, count):
        """Triggers from four threads; every one of them is taken."""
        left = list(range(count))
        failures = []

        def work():
            while True:
                try:
                    left.pop()
                except IndexError:
                    return
                answer = node.post(f"{JOBS}/{name}/trigger")
                if answer.status != 202:
                    failures.append(answer)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def idle(self, node):
        wait_for(lambda: node.metric("chronos_open_runs") == 0, "every run to end", 60)


class CountTest(RetentionCase):
    def test_executions_per_job(self):
        """At most an eighth more than the limit for a while, the newest stay, and other jobs keep theirs."""
        limit = 20
        node = self.node(f"storage: {{executions_per_job: {limit}}}\n")
        node.create(name="quiet", schedule="@manually", command="true")
        quiet = [node.ended(node.trigger("quiet")["id"])["id"] for _ in range(5)]
        node.create(name="busy", schedule="@manually", command="true", concurrency="allow")
        newest = None
        for _ in range(3):
            self.trigger_many(node, "busy", 100)
            self.idle(node)
            newest = node.ended(node.trigger("busy")["id"])["id"]
        # A pass begins when an eighth of the rows is new, at most once a second: further runs set it off.
        def swept():
            node.ended(node.trigger("busy")["id"])
            return len(node.executions("busy")) <= limit + limit // 8 + 5
        wait_for(swept, "the old runs to leave")
        runs = node.executions("busy")
        self.assertGreaterEqual(len(runs), limit)
        ids = [r["id"] for r in runs]
        self.assertEqual(ids, sorted(ids, reverse=True))
        kept = {r["id"] for r in node.executions()}
        self.assertEqual(kept, set(ids) | set(quiet))
        self.assertGreaterEqual(instant(runs[0]["scheduled_time"]), instant(runs[-1]["scheduled_time"]))
        self.assertEqual([r["id"] for r in node.executions("quiet")], quiet[::-1])
        if newest not in kept:
            self.assertGreater(ids[-1], newest, "a newer run left before an older one")
        gone = node.get("/api/v1/executions/" + "exec_00000000000000000000000001")
        self.problem(gone, 404, "NOT_FOUND")
        self.assertEqual(node.stop(), 0)
        node.start()
        self.assertEqual([r["id"] for r in node.executions("busy")], ids)

    def test_a_cursor_over_what_leaves_meanwhile(self):
        node = self.node("storage: {executions_per_job: 10}\n")
        node.create(name="busy", schedule="@manually", command="true", concurrency="allow")
        self.trigger_many(node, "busy", 60)
        self.idle(node)
        page = node.get(f"{JOBS}/busy/executions?limit=5").json
        seen = [r["id"] for r in page["executions"]]

        def swept():
            node.ended(node.trigger("busy")["id"])
            return len(node.executions("busy")) < 20
        wait_for(swept, "the old runs to leave")
        while page["next_cursor"]:
            page = node.get(f"{JOBS}/busy/executions?limit=5&cursor={page['next_cursor']}").json
            seen += [r["id"] for r in page["executions"]]
        self.assertEqual(seen, sorted(set(seen), reverse=True))


class LoadTest(RetentionCase):
    def test_bounded_under_load(self):
        """Scheduled every second by many jobs, and triggered as fast as it goes: rows and files stay bounded, nothing open is lost."""
        limit = 10
        node = self.node(f"storage: {{executions_per_job: {limit}}}\n")
        for i in range(10):
            node.create(name=f"tick-{i}", schedule="* * * * * *", command="true", concurrency="allow")
        node.create(name="busy", schedule="@manually", command="echo some output", concurrency="allow")
        end = time.monotonic() + 15
        while time.monotonic() < end:
            self.trigger_many(node, "busy", 40)
        self.idle_but_for_ticks(node)
        total = node.metric('chronos_runs_total{status="success"}')
        self.assertGreater(total, 300)
        # A pass begins with an eighth of the rows new, so a few more runs bring the table down to its limit.
        def swept():
            self.trigger_many(node, "busy", 10)
            return len(node.executions("busy")) <= 4 * limit
        wait_for(swept, "the old runs to leave", 60)
        for i in range(10):
            self.assertLessEqual(len(node.executions(f"tick-{i}")), limit + 10)
        self.assertIsNone(node.process.poll())
        self.assertNotIn("ERROR", node.log())

    def idle_but_for_ticks(self, node):
        for i in range(10):
            node.post(f"{JOBS}/tick-{i}/disable")
        self.idle(node)


class SizeTest(RetentionCase):
    def test_by_size(self):
        """All ended runs together: 1 MiB, filled by runs whose record holds 60 KiB of output each."""
        node = self.node("storage: {executions_max_bytes: 1MiB}\noutput: {replicated_bytes: 64KiB}\n")
        node.create(name="wordy", schedule="@manually", command="head -c 60000 /dev/zero | tr '\\0' x", concurrency="allow")
        for _ in range(4):
            self.trigger_many(node, "wordy", 15)
            self.idle(node)

        def swept():
            node.ended(node.trigger("wordy")["id"])
            return len(node.executions("wordy")) * 60000 < (1 << 20) * 9 // 8 + 3 * 60000
        wait_for(swept, "the oldest to leave")
        self.assertGreaterEqual(len(node.executions("wordy")), 12)
        self.assertTrue(all(r["status"] in ENDED for r in node.executions()))


class YearsLaterTest(RetentionCase):
    """The least that can be configured is a minute. It begins in setUpModule and passes while the tests above run: unittest
    takes classes by name."""

    def test_by_age(self):
        node, old, running, ended_at = aging.node, aging.old, aging.running, aging.ended_at
        wait_for(lambda: time.time() > ended_at + 55, "most of a minute", 70)
        for run in old:
            self.assertEqual(node.get(f"/api/v1/executions/{run}").status, 200, "it left too early")
        node.create(name="new", schedule="@manually", command="true")

        def swept():
            node.ended(node.trigger("new")["id"])
            return not any(r["id"] in old for r in node.executions())
        wait_for(swept, "what is older than a minute to leave", 60)
        self.assertGreater(time.time(), ended_at + 59)
        for run in old:
            self.problem(node.get(f"/api/v1/executions/{run}"), 404, "NOT_FOUND", contains="retention")
            self.problem(node.get(f"/api/v1/executions/{run}/output"), 404, "NOT_FOUND")
        self.assertEqual(node.executions(status="failed"), [])
        self.assertEqual(node.executions("old"), [])
        self.assertEqual(node.execution(running)["status"], "running", "what has not ended has no age")
        job = node.get(f"{JOBS}/old").json
        self.assertEqual((job["last_status"], job["version"]), ("success", 1), "what the job remembers stays")
        node.post(f"/api/v1/executions/{running}/cancel")
        self.assertEqual(node.ended(running)["status"], "cancelled")


if __name__ == "__main__":
    unittest.main()
