"""The slot rule: every slot has exactly one accepted run, started within its window; extra and missing are counted.

The slots of a job are the whole seconds after its creation and up to its disabling. A run is accepted when it ended with success
and its command was seen to run. Its window: the command begins not before its slot (less what the fastest clock was ahead) and
not after

    slot + PROMPT_S                       while nothing disturbs
    max(slot, begin) + RECOVERY_S         while a disturbance leaves a majority that works
    max(slot, end) + RECOVERY_S           while a disturbance may stop the whole cluster

where disturbances that follow each other closely add up. Runs are at least once: a run whose node was lost has further attempts,
each of which may have left its trace; the same attempt twice is an extra run, and so is a trace of no run, and an attempt after
one that succeeded.
"""
import math
from collections import Counter, defaultdict
from dataclasses import dataclass

from harness import instant
from nodes import ELECTION_S, LEASE_S

PROMPT_S = 5.0
# A lease and a tenth, two elections of up to twice their timeout each, and what a machine with other work may take.
RECOVERY_S = 1.1 * LEASE_S + 4 * ELECTION_S + 5.0
EDGE_S = 0.2 # a slot so near to the disabling may have been decided or not
ENDED_WELL = "success"


@dataclass
class Disturbance:
    kind: str
    begin: float
    end: float
    stops: bool      # the cluster may have no working majority meanwhile
    ahead_s: float = 0.0 # by how much a clock was fast
    freezes: bool = False # a process stood still: nothing can stop what it had begun


def deadline(slot, disturbances):
    at = slot + PROMPT_S
    for d in sorted(disturbances, key=lambda d: d.begin):
        if d.begin <= at and slot <= d.end + RECOVERY_S:
            at = max(at, (max(slot, d.end) if d.stops else max(slot, d.begin)) + RECOVERY_S)
    return at


def earliest(slot, disturbances):
    """A clock that was ahead decided it then; clocks of one machine agree but for the shim."""
    ahead = max((d.ahead_s for d in disturbances if d.begin - d.ahead_s <= slot <= d.end + d.ahead_s + RECOVERY_S), default=0.0)
    return slot - ahead - 0.05


def expected_slots(job):
    """(those that must be there, those that may be)."""
    first, last = math.floor(instant(job["created_at"])) + 1, instant(job["updated_at"])
    every = set(range(first, math.floor(last) + 1))
    return {s for s in every if s <= last - EDGE_S}, every


class Verdict:
    def __init__(self):
        self.slots = self.runs = self.retaken = 0
        self.missing, self.extra, self.late, self.early, self.open, self.other = [], [], [], [], [], []
        self.latest_s = 0.0

    def is_good(self):
        return not (self.missing or self.extra or self.late or self.early or self.open or self.other)

    def lines(self):
        return [f"{name}: {text}" for name in ("missing", "extra", "late", "early", "open", "other") for text in getattr(self, name)]


def check_job(verdict, job, executions, missed, effects, disturbances):
    must, may = expected_slots(job)
    by_slot = defaultdict(list)
    for run in executions:
        by_slot[instant(run["scheduled_time"])].append(run)
    traces = defaultdict(list)
    for effect in effects:
        traces[effect["execution"]].append(effect)
    verdict.slots += len(must)
    verdict.runs += len(executions)
    for r in missed:
        verdict.missing.append(f"{job['name']}: {r['count']} slots from {r['first']} were given up: {r['reason']}")
    for slot in sorted(must - set(by_slot)):
        verdict.missing.append(f"{job['name']}: no run for slot {slot}")
    for slot, runs in sorted(by_slot.items()):
        if slot not in may:
            verdict.extra.append(f"{job['name']}: {[r['id'] for r in runs]} for {slot}, which is no slot of it")
        if len(runs) > 1:
            verdict.extra.append(f"{job['name']}: slot {slot} has {[r['id'] for r in runs]}")
        for run in runs:
            check_run(verdict, job, slot, run, traces.pop(run["id"], []), disturbances)
    for identifier, of_nobody in traces.items():
        verdict.extra.append(f"{job['name']}: {identifier} left a trace and is no run: {of_nobody}")


def check_run(verdict, job, slot, run, traces, disturbances):
    what = f"{job['name']}: {run['id']} of slot {slot:.0f}"
    if run["status"] in ("pending", "running"):
        verdict.open.append(f"{what} is {run['status']} ({run['reason']}) since {run['started_at']}")
        return
    if run["status"] != ENDED_WELL:
        verdict.missing.append(f"{what} ended with {run['status']} ({run['reason']}, {run['error']})")
        return
    begins = sorted((t["at"], t["attempt"], t["node"]) for t in traces if t["what"] == "begin")
    if not begins:
        verdict.missing.append(f"{what} is said to have succeeded, and left no trace")
        return
    check_attempts(verdict, what, run, traces, disturbances)
    verdict.latest_s = max(verdict.latest_s, begins[0][0] - slot)
    if begins[0][0] > deadline(slot, disturbances):
        verdict.late.append(f"{what} began {begins[0][0] - slot:.1f} s after it on {begins[0][2]}, "
                            f"{begins[0][0] - deadline(slot, disturbances):.1f} s too late; attempts: {run['attempts']}")
    if begins[0][0] < earliest(slot, disturbances):
        verdict.early.append(f"{what} began {slot - begins[0][0]:.2f} s before it on {begins[0][2]}")


def check_attempts(verdict, what, run, traces, disturbances):
    for (attempt, name), count in Counter((t["attempt"], t["what"]) for t in traces).items():
        if count > 1:
            verdict.extra.append(f"{what}: attempt {attempt} left \"{name}\" {count} times: {traces}")
    attempts = {a["attempt"]: a for a in run["attempts"]}
    verdict.retaken += len(attempts) > 1
    last = max(attempts)
    for trace in traces:
        attempt = attempts.get(trace["attempt"])
        if attempt is None or attempt["node_id"] != trace["node"]:
            verdict.extra.append(f"{what}: a trace of an attempt that is not in its history: {trace}; {run['attempts']}")
    for number, attempt in attempts.items():
        if number != last and attempt["outcome"] == ENDED_WELL:
            verdict.extra.append(f"{what}: attempt {number} succeeded, and {last} came after it")
    for trace in traces:
        later = [t for t in traces if t["attempt"] > trace["attempt"] and t["at"] < trace["at"]]
        if later and not any(d.freezes and d.begin - RECOVERY_S <= trace["at"] <= d.end + RECOVERY_S for d in disturbances):
            verdict.extra.append(f"{what}: attempt {trace['attempt']} still ran when {later[0]['attempt']} had begun")
