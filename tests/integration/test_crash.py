"""kill -9 at any moment under load: nothing acknowledged is lost, no slot is lost or doubled, nothing stays running."""
import os
import random
import threading
import time
import unittest

from harness import ENDED, Node, TestCase, instant, wait_for

ROUNDS = int(os.environ.get("CHRONOS_TEST_KILLS", "20"))
SEED = int(os.environ.get("CHRONOS_TEST_SEED", random.randrange(2**32)))


class Writer(threading.Thread):
    """Creates, edits and deletes jobs as fast as it is answered and remembers what was acknowledged."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node, self.prefix, self.stopping = node, name, False
        self.jobs = {}       # name -> version acknowledged
        self.doubtful = set()  # asked for, not answered: either outcome is right
        self.count = 0

    def run(self):
        rng = random.Random(f"{SEED}-{self.prefix}")
        while not self.stopping:
            try:
                self.step(rng)
            except OSError:
                time.sleep(0.01)  # the node is down: the main thread starts it again

    def step(self, rng):
        if self.jobs and rng.random() < 0.3:
            name = rng.choice(sorted(self.jobs))
            self.change(name, rng)
            return
        self.count += 1
        name = f"{self.prefix}-{self.count}"
        self.doubtful.add(name)
        answer = self.node.post("/api/v1/jobs", {"name": name, "schedule": "@manually", "command": "true"}, timeout=10)
        if answer.status == 201:
            self.jobs[name] = answer.json["version"]
            self.doubtful.discard(name)
        elif answer.status not in (503, 504):
            raise AssertionError(answer)

    def change(self, name, rng):
        version = self.jobs.pop(name)
        self.doubtful.add(name)
        if rng.random() < 0.5:
            answer = self.node.delete(f"/api/v1/jobs/{name}", timeout=10)
            if answer.status == 204:
                self.doubtful.discard(name)
                return
        else:
            answer = self.node.patch(f"/api/v1/jobs/{name}", {"description": f"edit of {version}"}, timeout=10)
            if answer.status == 200:
                self.jobs[name] = answer.json["version"]
                self.doubtful.discard(name)
                return
        if answer.status not in (503, 504):
            raise AssertionError(answer)


class CrashTest(TestCase):
    def test_kill_9_in_a_loop(self):
        print(f"seed {SEED}, {ROUNDS} rounds")
        rng = random.Random(SEED)
        # A big catch-up limit: each slot that passes while the node is down must be run too, so each has a run of its own.
        config = "storage: {executions_per_job: 100000}\nscheduler: {catchup_limit: 10000}\nexecutors: {max_concurrent: 64}\n"
        node = Node(config).start()
        self.addCleanup(node.close)
        for i in range(4):
            node.create(name=f"tick-{i}", schedule="* * * * * *", command="true", missed_run_policy="execute_all",
                        concurrency="allow")
        node.create(name="slow", schedule="*/2 * * * * *", command="sleep 0.3", missed_run_policy="execute_all",
                    concurrency="allow")
        created = {j["name"]: j for j in node.get("/api/v1/jobs?limit=1000").json["jobs"]}
        writers = [Writer(node, f"w{i}") for i in range(3)]
        for writer in writers:
            writer.start()
        for round_number in range(ROUNDS):
            time.sleep(rng.uniform(0.05, 0.7))  # the moment of the crash is what varies, nothing waits for it
            node.kill9()
            node.start()
        for writer in writers:
            writer.stopping = True
        for writer in writers:
            writer.join(30)
        self.check_writes(node, writers)
        self.check_slots(node, created)

    def check_writes(self, node, writers):
        for writer in writers:
            self.assertGreater(writer.count, ROUNDS, "the writers were hardly ever answered")
            for name, version in writer.jobs.items():
                answer = node.get(f"/api/v1/jobs/{name}")
                self.assertEqual(answer.status, 200, f"{name} was acknowledged and is gone")
                self.assertEqual(answer.json["version"], version, name)

    @staticmethod
    def taken_over_too_often(run):
        """Hit by four crashes in a row: lost, with that as its recorded reason (at most three takeovers)."""
        return run["status"] == "lost" and run["reason"] == "node_restart" and len(run["attempts"]) == 4

    def check_slots(self, node, created):
        for name in created:
            answer = node.post(f"/api/v1/jobs/{name}/disable")
            self.assertEqual(answer.status, 200, answer)
        wait_for(lambda: not node.executions(status="running") and not node.executions(status="pending"),
                 "every run to end", 90)
        for name, job in created.items():
            period = 2 if name == "slow" else 1
            runs = node.executions(name)
            slots = sorted(instant(r["scheduled_time"]) for r in runs)
            self.assertTrue(all(r["status"] in ENDED for r in runs))
            self.assertEqual(len(slots), len(set(slots)), f"{name}: a slot has two runs")
            missed = node.get(f"/api/v1/jobs/{name}/missed").json["missed"]
            self.assertEqual(missed, [], f"{name}: slots were dropped")
            gaps = [b - a for a, b in zip(slots, slots[1:])]
            self.assertTrue(all(abs(g - period) < 0.001 for g in gaps), f"{name}: a slot is missing: {gaps}")
            first = instant(job["created_at"])
            self.assertLessEqual(slots[0] - first, period, f"{name}: the first slot is missing")
            bad = [r for r in runs if r["status"] != "success" and not self.taken_over_too_often(r)]
            self.assertEqual([(r["id"], r["status"], r["reason"], r["error"]) for r in bad], [], name)


if __name__ == "__main__":
    unittest.main()
