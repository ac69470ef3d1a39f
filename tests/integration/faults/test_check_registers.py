"""The judge of registers is judged: known good and known bad histories."""
import random
import time
import unittest

import check_registers
from check_registers import check
from workload import Operation, Register


def op(kind, invoked, returned, outcome="ok", value="", version=0, expected=0):
    return Operation(kind, value, expected, invoked, returned, outcome, version)


def write(invoked, returned, value, version=0, outcome="ok"):
    return op("write", invoked, returned, outcome, value, version)


def read(invoked, returned, value, version):
    return op("read", invoked, returned, "ok", value, version)


class Good(unittest.TestCase):
    def good(self, *operations):
        self.assertIsNone(check(list(operations)))

    def test_one_after_the_other(self):
        self.good(read(0, 1, "0", 1), write(2, 3, "a", 2), read(4, 5, "a", 2), write(6, 7, "b", 3), read(8, 9, "b", 3))

    def test_overlapping_in_either_order(self):
        self.good(write(0, 10, "a", 3), write(1, 9, "b", 2), read(11, 12, "a", 3))
        self.good(write(0, 10, "a", 2), read(1, 2, "0", 1), read(3, 4, "a", 2))

    def test_in_doubt_and_done(self):
        self.good(write(0, 1, "a", outcome="unknown"), read(2, 3, "0", 1), read(4, 5, "a", 2))

    def test_in_doubt_and_never_done(self):
        self.good(write(0, 1, "a", outcome="unknown"), write(2, 3, "b", 2), read(4, 5, "b", 2))

    def test_in_doubt_and_seen_by_nobody(self):
        self.good(write(0, 1, "a", outcome="unknown"), write(2, 3, "b", 3), read(4, 5, "b", 3))

    def test_compare_and_set(self):
        self.good(op("cas", 0, 1, value="a", version=2, expected=1), op("cas", 2, 3, "mismatch", "b", expected=1),
                  op("cas", 4, 5, "unknown", "c", expected=1), read(6, 7, "a", 2))
        self.good(op("cas", 0, 9, "mismatch", "b", expected=1), write(1, 8, "a", 2)) # overlapping: the write came first

    def test_refused_is_left_out(self):
        self.good(write(0, 1, "a", outcome="fail"), read(2, 3, "0", 1))

    def test_a_read_without_an_answer(self):
        self.good(op("read", 0, 1, "unknown"), write(2, 3, "a", 2))


class Bad(unittest.TestCase):
    def bad(self, *operations):
        self.assertIn("nothing explains", check(list(operations)) or "")

    def test_a_stale_read(self):
        self.bad(write(0, 1, "a", 2), read(2, 3, "0", 1))

    def test_reads_that_go_back(self):
        self.bad(write(0, 10, "a", 2), read(1, 2, "a", 2), read(3, 4, "0", 1))

    def test_a_lost_update(self):
        self.bad(write(0, 1, "a", 2), write(2, 3, "b", 2))
        self.bad(write(0, 1, "a", 2), read(2, 3, "0", 2))

    def test_a_refused_write_that_is_seen(self):
        self.bad(write(0, 1, "a", outcome="fail"), read(2, 3, "a", 2))
        self.bad(op("cas", 0, 1, "mismatch", "a", expected=7), read(2, 3, "a", 2))

    def test_a_write_done_twice(self):
        self.bad(write(0, 1, "a", outcome="unknown"), read(2, 3, "a", 2), read(4, 5, "a", 3))
        self.bad(write(0, 1, "a", 2), read(2, 3, "a", 3))

    def test_a_write_in_doubt_before_its_time(self):
        self.bad(read(0, 1, "a", 2), write(2, 3, "a", outcome="unknown"))

    def test_a_version_that_nobody_made(self):
        self.bad(write(0, 1, "a", 3))

    def test_two_that_both_compared_and_set(self):
        self.bad(op("cas", 0, 5, value="a", version=2, expected=1), op("cas", 1, 6, value="b", version=2, expected=1))

    def test_a_mismatch_where_all_agree(self):
        self.bad(op("cas", 0, 1, "mismatch", "a", expected=1), read(2, 3, "0", 1))

    def test_a_value_out_of_nowhere(self):
        self.bad(read(0, 1, "z", 1))

    def test_an_answer_with_what_another_wrote(self):
        operation = write(0, 1, "a")
        operation.before = 3
        history = [operation, write(0, 1, "b", 3)]
        self.assertIsNone(check(history))
        self.assertEqual(self.kinds(history), {"answered with what another one wrote"})
        operation.before = 2
        self.bad(*history)

    def test_kinds(self):
        refusal = op("cas", 2, 3, "mismatch", "b", expected=2)
        self.assertEqual(self.kinds([write(0, 1, "a", 2), read(4, 5, "a", 2)]), set())
        self.assertEqual(self.kinds([write(0, 1, "a", 2), refusal, read(4, 5, "a", 2)]), {"refused without a reason"})
        self.assertEqual(self.kinds([write(0, 1, "a", 2), refusal, read(4, 5, "0", 1)]), {"not linearizable"})
        self.assertEqual(self.kinds([op("read", 0, 1, "missing")]), {"not linearizable"})
        self.assertEqual(self.kinds([op("write", 0, 1, "missing", "a")]), {"refused without a reason"})

    def kinds(self, history):
        register = Register("r")
        register.operations = history
        return {kind for kind, sentences in check_registers.judge([register]).items() if sentences}


class Many(unittest.TestCase):
    """Histories made by a register that is right, with clients that overlap and lose answers; then one answer is spoilt."""

    def make(self, rng, count, doubtful=10):
        state, operations, now = (1, "0"), [], 0.0
        free_at = [0.0] * 6
        for i in range(count):
            client = min(range(6), key=lambda c: free_at[c])
            now = max(now, free_at[client])
            invoked, at = now, now + rng.random()
            returned = at + rng.random()
            free_at[client] = returned
            operations.append((at, invoked, returned, rng.choice(("read", "write", "cas")), str(i + 1)))
            now += rng.random() * 0.3
        history, in_doubt, seen = [], 0, 1
        for at, invoked, returned, kind, value in sorted(operations):
            expected = seen if kind == "cas" else 0
            if kind == "read":
                history.append(read(invoked, returned, state[1], state[0]))
                continue
            outcome = "ok"
            if kind == "cas" and state[0] != expected:
                outcome = "mismatch"
            lost = in_doubt < doubtful and rng.random() < 0.05
            in_doubt += lost
            if outcome == "ok" and not (lost and rng.random() < 0.5):
                state = (state[0] + 1, value)
                seen = state[0] if rng.random() < 0.7 else seen
            history.append(op(kind, invoked, returned, "unknown" if lost else outcome, value, state[0], expected))
        return history

    def test_right_ones(self):
        for seed in range(60):
            self.assertIsNone(check(self.make(random.Random(seed), 150)), f"seed {seed}")

    def test_spoilt_ones(self):
        found = 0
        for seed in range(60):
            rng = random.Random(seed)
            history = self.make(rng, 150)
            victim = rng.choice([o for o in history if o.outcome == "ok" and o.kind == "read" and o.version > 20])
            old = rng.choice([o for o in history if o.outcome == "ok" and o.version < victim.version - 10])
            victim.version, victim.value = old.version, old.value
            found += check(history) is not None
        self.assertEqual(found, 60)

    def test_thousands_are_judged_at_once(self):
        history = self.make(random.Random(1), 5000)
        began = time.process_time()
        self.assertIsNone(check(history))
        self.assertLess(time.process_time() - began, 30)

    def test_it_says_when_it_gives_up(self):
        doubtful = [write(0, 1, str(i + 1), outcome="unknown") for i in range(60)]
        with self.assertRaises(check_registers.Undecided):
            check(doubtful + [write(2, 3, "x", 30)])


if __name__ == "__main__":
    unittest.main()
