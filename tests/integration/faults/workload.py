"""What the cluster has to do meanwhile: jobs that fire every second and leave a trace, and clients that write and read registers.

A register is the description of a job that never runs. Each change adds 1 to the job's version, so a register is the pair
(version, value), and every value is written once. An operation's outcome is

    ok        answered, with what it saw
    mismatch  412: not done, because the version was another one
    missing   404: never right, for it was there before it was used
    fail      certainly not done: the connection was refused, 503
    unknown   it may have been done, or may be done yet: 504, 500, a connection lost or silent
"""
import itertools
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass

from nodes import request

JOBS = "/api/v1/jobs"
CLIENT_TIMEOUT_S = 3.0
# A register is given up for a new one before its history has so many operations without an answer that it cannot be judged.
OPERATIONS_MAX, UNKNOWN_MAX = 400, 12
EFFECT = ('echo "$CHRONOS_EXECUTION_ID $CHRONOS_JOB_NAME $CHRONOS_SCHEDULED_TIME $CHRONOS_ATTEMPT $CHRONOS_NODE_ID {what} '
          '$(date +%s.%N)" >>{folder}/$CHRONOS_NODE_ID')


@dataclass
class Operation:
    kind: str       # read, write, cas
    value: str      # written, or read
    expected: int   # cas: the version that it asked for; otherwise 0
    invoked: float
    returned: float = 0.0
    outcome: str = "unknown"
    version: int = 0  # ok: the version seen, or made; 0 where the answer showed a later one
    before: int = 0   # that later one
    node: int = 0
    detail: str = ""


def certain(exchange):
    """Repeats what was certainly not done, and what may have been: only for creating things under a name. Returns the answer."""
    end = time.monotonic() + 60
    while True:
        try:
            answer = exchange()
            if answer.status not in (503, 504):
                return answer
            last = answer
        except OSError as reason:
            last = reason
        if time.monotonic() > end:
            raise AssertionError(f"in vain for a minute: {last}")
        time.sleep(0.1)


class Jobs:
    """`ticks` short jobs and one long one, all with concurrency allow, every second."""

    def __init__(self, cluster, ticks=4):
        self.cluster = cluster
        self.folder = cluster.folder / "effects"
        self.folder.mkdir()
        begin, end = (EFFECT.format(what=what, folder=self.folder) for what in ("begin", "end"))
        self.commands = {f"tick-{i}": begin for i in range(1, ticks + 1)}
        self.commands["long"] = f"{begin}; sleep 2; {end}"
        self.jobs = {}

    def create(self):
        for name, command in self.commands.items():
            answer = certain(lambda: self.cluster.nodes[0].request("POST", JOBS, {
                "name": name, "schedule": "* * * * * *", "concurrency": "allow", "command": command, "timeout": "1m",
                "missed_run_policy": "execute_all"}))
            assert answer.status == 201, answer
            self.jobs[name] = answer.json

    def disable(self):
        """After this, every slot up to `updated_at` is decided."""
        for name in self.jobs:
            answer = certain(lambda: self.cluster.nodes[0].request("POST", f"{JOBS}/{name}/disable"))
            assert answer.status == 200, answer
            self.jobs[name] = {**answer.json, "created_at": self.jobs[name]["created_at"]}

    def executions(self, name, node):
        runs, cursor = [], ""
        while cursor is not None:
            path = f"{JOBS}/{name}/executions?limit=1000&consistent=true{'&cursor=' + cursor if cursor else ''}"
            page = certain(lambda: node.request("GET", path))
            assert page.status == 200, page
            runs += page.json["executions"]
            cursor = page.json["next_cursor"]
        return runs

    def effects(self):
        lines = []
        for path in sorted(self.folder.iterdir()):
            for line in path.read_text().splitlines():
                execution, job, slot, attempt, node, what, at = line.split()
                lines.append({"execution": execution, "job": job, "slot": slot, "attempt": int(attempt), "node": node, "what": what,
                              "at": float(at)})
        return lines


class Register:
    def __init__(self, name):
        self.name, self.operations, self.unknown, self.version = name, [], 0, 1

    def is_full(self):
        return len(self.operations) >= OPERATIONS_MAX or self.unknown >= UNKNOWN_MAX


class Clients:
    """Threads that write and read all the time, each on a node chosen anew for each operation."""

    def __init__(self, cluster, seed, threads=6, registers=3):
        self.cluster, self.seed = cluster, seed
        self.numbers = [n.number for n in cluster.nodes]
        self.values = itertools.count(1)
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.failure = None
        self.registers, self.current = [], []
        for slot in range(registers):
            self.current.append(self.fresh(slot))
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
        if self.failure:
            raise self.failure

    def fresh(self, slot):
        """A new job; 409 says that an attempt before, of which nothing was heard, had made it."""
        with self.lock:
            register = Register(f"register-{slot}-{len(self.registers)}")
            self.registers.append(register)
        numbers = itertools.cycle(self.numbers)
        answer = certain(lambda: request(next(numbers), "POST", JOBS, {
            "name": register.name, "schedule": "@manually", "command": "true", "description": "0"}, timeout=CLIENT_TIMEOUT_S))
        assert answer.status in (201, 409), answer
        return register

    def run(self, number):
        rng = random.Random(f"{self.seed} client {number}")
        try:
            while not self.stopping.wait(rng.uniform(0.02, 0.1)):
                slot = rng.randrange(len(self.current))
                with self.lock:
                    register = self.current[slot]
                    is_full = register is not None and register.is_full()
                    if is_full:
                        self.current[slot] = None # until this thread has made the next one
                if is_full:
                    self.current[slot] = self.fresh(slot)
                elif register is not None:
                    self.operate(register, rng.choice(self.numbers), rng.choice(("read", "read", "write", "write", "cas")))
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def operate(self, register, number, kind):
        expected = register.version if kind == "cas" else 0
        value = "" if kind == "read" else str(next(self.values))
        operation = Operation(kind, value, expected, time.monotonic(), node=number)
        try:
            if kind == "read":
                answer = request(number, "GET", f"{JOBS}/{register.name}?consistent=true", timeout=CLIENT_TIMEOUT_S)
            else:
                headers = {"If-Match": f'"{expected}"'} if expected else {}
                answer = request(number, "PATCH", f"{JOBS}/{register.name}", {"description": value}, headers, CLIENT_TIMEOUT_S)
            self.judge(operation, answer)
        except ConnectionRefusedError as reason:
            operation.outcome, operation.detail = "fail", str(reason)
        except Exception as reason:  # pylint: disable=broad-except
            # Silence, a reset, half an answer: nobody knows.
            operation.detail = f"{type(reason).__name__}: {reason}"
        operation.returned = time.monotonic()
        with self.lock:
            register.operations.append(operation)
            register.unknown += operation.outcome == "unknown" and kind != "read"
            register.version = max(register.version, operation.version, operation.before)

    def judge(self, operation, answer):
        if answer.status == 200:
            job = answer.json
            operation.outcome, operation.version = "ok", job["version"]
            if operation.kind == "read":
                operation.value = job["description"]
            elif job["description"] != operation.value:
                operation.version, operation.before = 0, job["version"]
                operation.detail = f"answered with what another one wrote: {job['description']}"
            return
        code = answer.json.get("code")
        operation.detail = f"{answer.status} {code}"
        if answer.status == 412 and operation.kind == "cas":
            operation.outcome = "mismatch"
        elif answer.status == 404: # it was created before it was used
            operation.outcome = "missing"
        elif answer.status == 503 or (answer.status, code) == (409, "CONFLICT"):
            operation.outcome = "fail"
        elif answer.status not in (500, 504):
            raise AssertionError(f"{operation} was answered with {answer}")

    def read_all(self):
        """Last reads, once all is well: what is in doubt shows here or never."""
        for register in self.registers:
            for number in self.numbers:
                self.operate(register, number, "read")

    def tally(self):
        counts = Counter({"ok": 0, "mismatch": 0, "fail": 0, "unknown": 0})
        for register in self.registers:
            counts.update(operation.outcome for operation in register.operations)
        return counts
