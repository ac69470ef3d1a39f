"""The judge of slots is judged: histories with a missing, a doubled, a late slot, and ones that are right."""
import unittest

from check_slots import PROMPT_S, RECOVERY_S, Disturbance, Verdict, check_job, deadline
from harness import rfc3339

BASE = 1_800_000_000
JOB = {"name": "tick", "created_at": rfc3339(BASE - 0.5), "updated_at": rfc3339(BASE + 9.5)}


def run(slot, attempts=1, **more):
    history = [{"attempt": i + 1, "node_id": "chronos-1", "outcome": "success" if i + 1 == attempts else "lost"}
               for i in range(attempts)]
    return {"id": f"exec_{slot}", "scheduled_time": rfc3339(BASE + slot), "status": "success", "reason": None, "error": None,
            "started_at": rfc3339(BASE + slot), "attempts": history, **more}


def trace(slot, late=0.01, attempt=1, what="begin", **more):
    return {"execution": f"exec_{slot}", "job": "tick", "slot": rfc3339(BASE + slot), "attempt": attempt, "node": "chronos-1",
            "what": what, "at": BASE + slot + late, **more}


class Judging(unittest.TestCase):
    def setUp(self):
        self.runs = [run(slot) for slot in range(10)]
        self.traces = [trace(slot) for slot in range(10)]
        self.missed, self.disturbances = [], []

    def judge(self):
        verdict = Verdict()
        check_job(verdict, JOB, self.runs, self.missed, self.traces, self.disturbances)
        return verdict

    def only(self, kind, count=1):
        verdict = self.judge()
        self.assertEqual(len(getattr(verdict, kind)), count, verdict.lines())
        self.assertEqual(len(verdict.lines()), count, verdict.lines())
        self.assertFalse(verdict.is_good())

    def good(self):
        self.assertEqual(self.judge().lines(), [])

    def test_all_is_well(self):
        self.good()
        self.assertEqual((self.judge().slots, self.judge().runs), (10, 10))

    def test_a_missing_slot(self):
        del self.runs[4], self.traces[4]
        self.only("missing")

    def test_the_first_and_the_last_slot(self):
        del self.runs[9], self.traces[9], self.runs[0], self.traces[0]
        self.only("missing", 2)

    def test_a_range_that_was_given_up(self):
        self.missed = [{"first": rfc3339(BASE + 3), "count": 2, "reason": "catchup_limit"}]
        self.only("missing")

    def test_a_run_that_failed(self):
        self.runs[4]["status"] = "lost"
        self.only("missing")

    def test_a_run_without_a_trace(self):
        del self.traces[4]
        self.only("missing")

    def test_a_doubled_slot(self):
        self.runs.append(run(4, id="exec_twin"))
        self.traces.append(trace(4, execution="exec_twin"))
        self.only("extra")

    def test_a_slot_that_is_none(self):
        for slot in (-1, 12, 3.5):
            with self.subTest(slot=slot):
                self.setUp()
                self.runs.append(run(slot))
                self.traces.append(trace(slot))
                self.only("extra")

    def test_the_same_attempt_twice(self):
        self.traces.append(trace(4, late=0.5))
        self.only("extra")

    def test_a_trace_of_nobody(self):
        self.traces.append(trace(4, execution="exec_ghost"))
        self.only("extra")

    def test_a_trace_from_another_node(self):
        self.traces[4]["node"] = "chronos-2"
        self.only("extra")

    def test_taken_over(self):
        self.runs[4] = run(4, attempts=2)
        self.good() # the first attempt began
        self.traces.append(trace(4, late=3, attempt=2))
        self.good() # and so did the second
        self.assertEqual(self.judge().retaken, 1)

    def test_taken_over_after_success(self):
        self.runs[4] = run(4, attempts=2)
        self.runs[4]["attempts"][0]["outcome"] = "success"
        self.only("extra")

    def test_taken_over_too_early(self):
        self.runs[4] = run(4, attempts=2)
        self.traces += [trace(4, late=1, attempt=2), trace(4, late=2, what="end")]
        self.only("extra")
        self.disturbances = [Disturbance("pause", BASE + 3, BASE + 6, False, freezes=True)]
        self.good() # what stands still cannot be stopped

    def test_a_run_that_never_ends(self):
        self.runs[4]["status"] = "running"
        self.only("open")

    def test_a_late_slot(self):
        self.traces[4] = trace(4, late=PROMPT_S + 0.1)
        self.only("late")

    def test_a_slot_before_its_time(self):
        self.traces[4] = trace(4, late=-1)
        self.only("early")
        self.disturbances = [Disturbance("clock_step", BASE + 2, BASE + 6, True, ahead_s=2)]
        self.good()

    def test_disturbed(self):
        self.disturbances = [Disturbance("kill_leader", BASE + 4, BASE + 60, False)]
        self.traces[5] = trace(5, late=RECOVERY_S - 0.1)
        self.good()
        self.traces[5] = trace(5, late=RECOVERY_S + 0.1)
        self.only("late") # the others went on: it must not wait for the node to come back
        self.disturbances[0].stops = True
        self.good()


class Deadlines(unittest.TestCase):
    def test_calm(self):
        self.assertEqual(deadline(100, []), 100 + PROMPT_S)
        self.assertEqual(deadline(100, [Disturbance("kill_all", 10, 20, True), Disturbance("kill_all", 200, 210, True)]),
                         100 + PROMPT_S)

    def test_one_that_stops_all(self):
        self.assertEqual(deadline(100, [Disturbance("kill_all", 99, 130, True)]), 130 + RECOVERY_S)
        self.assertEqual(deadline(100, [Disturbance("kill_all", 90, 95, True)]), 100 + RECOVERY_S)

    def test_they_add_up(self):
        several = [Disturbance("kill_all", 99, 110, True), Disturbance("kill_all", 115, 120, True)]
        self.assertEqual(deadline(100, several), 120 + RECOVERY_S)


if __name__ == "__main__":
    unittest.main()
