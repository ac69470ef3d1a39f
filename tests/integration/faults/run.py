"""Faults on a real cluster, and a verdict over its history.

    python3 -B tests/integration/faults/run.py [--nodes 3|5] [--fault NAME|mix] [--seed N] [--minutes M | --hours H]

The exit code is 0 where the slot rule and linearizability hold and no node ended by itself. The seed gives the schedule of
faults and what clients do; the times at which things meet are the machine's.
"""
import argparse
import os
import random
import shutil
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# pylint: disable=wrong-import-position
import check_registers
import check_slots
import network as net
from faults import FAULTS, run_for
from harness import BUILD, wait_for
from network import Network
from nodes import Cluster
from workload import Clients, Jobs

CALM_S = 8.0       # before the first fault and behind the last
HEALED_S = 60      # in which every run must have ended once all is well
NAMES = ("mix", *FAULTS)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, choices=(3, 5), default=3)
    parser.add_argument("--fault", choices=NAMES, default="mix", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--without", action="append", default=[], choices=tuple(FAULTS), metavar="NAME", help="leave out of the mix")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--hours", type=float, default=None)
    parser.add_argument("--backend", default=os.environ.get("CHRONOS_TEST_BACKEND", "lmdb"))
    chosen = parser.parse_args()
    chosen.seed = chosen.seed if chosen.seed is not None else random.SystemRandom().getrandbits(32)
    chosen.seconds = chosen.hours * 3600 if chosen.hours else chosen.minutes * 60
    return chosen


class Test:
    def __init__(self, chosen, folder):
        self.chosen, self.folder = chosen, folder
        self.rng = random.Random(chosen.seed)
        self.began = time.time()
        self.disturbances, self.count = [], Counter()
        self.problems = []
        self.network = Network(folder)
        net.enter(self.network.switch) # this process and its threads are the clients
        self.cluster = Cluster(folder, self.network, chosen.nodes, chosen.backend)

    def say(self, text):
        print(f"{time.time() - self.began:7.1f}  {text}", flush=True)

    # --- faults ---

    def happen(self, faults, seconds):
        """All of these at once, each entered behind the one before."""
        begin = time.time()
        with ExitStack() as stack:
            for fault in faults:
                self.say(f"{fault.name}: {stack.enter_context(fault.happen(self.cluster, self.rng))}")
                self.count[fault.name] += 1
            run_for(seconds)
            self.look_for_dead()
        end = time.time()
        self.say(f"over after {end - begin:.1f} s")
        together = len(faults) > 1 # two minorities may be a majority
        for fault in faults:
            self.disturbances.append(check_slots.Disturbance(fault.name, begin, end, fault.stops or together, fault.ahead_s,
                                                             fault.freezes))
        for node in self.cluster.dead():
            self.problems.append(f"{node.name} is not running after {[f.name for f in faults]}")
            node.start()

    def look_for_dead(self):
        for node in self.cluster.nodes:
            code = node.process.poll()
            if code is not None and code != -9:
                self.problems.append(f"{node.name} ended by itself with {code}:\n{node.log()[-2000:]}")

    def choose(self):
        if self.chosen.fault != "mix":
            return [FAULTS[self.chosen.fault]]
        pool = [f for f in FAULTS.values() if f.name not in self.chosen.without]
        first = self.rng.choice(pool)
        second = self.rng.choice([f for f in pool if f is not first and not (f.network and first.network)] or [None])
        goes_along = second and not {first.name, second.name} & {"replace", "rolling_restart", "transfer", "kill_all"}
        return [first, second] if goes_along and self.rng.random() < 0.3 else [first]

    def disturb(self):
        end = time.time() + self.chosen.seconds
        while time.time() < end and not self.problems:
            self.happen(self.choose(), self.rng.uniform(2, 15))
            run_for(self.rng.choice((0.5, 3, 15))) # with and without the time to recover

    # --- the whole ---

    def run(self):
        self.cluster.form()
        self.say("formed")
        jobs, clients = Jobs(self.cluster), Clients(self.cluster, self.chosen.seed)
        jobs.create()
        clients.start()
        run_for(CALM_S)
        self.disturb()
        self.cluster.settle()
        self.say("healed")
        run_for(CALM_S)
        clients.stop()
        jobs.disable()
        clients.read_all()
        self.judge(jobs, clients)

    def judge(self, jobs, clients):
        node = self.cluster.await_leader()
        verdict = check_slots.Verdict()
        histories = {}
        for name in jobs.jobs:
            def over(name=name):
                histories[name] = jobs.executions(name, node)
                return all(run["status"] not in ("pending", "running") for run in histories[name])
            try:
                wait_for(over, f"the runs of {name} to end", HEALED_S)
            except AssertionError:
                pass # counted as open
        effects = jobs.effects()
        for name, job in jobs.jobs.items():
            missed = node.request("GET", f"/api/v1/jobs/{name}/missed?limit=1000").json["missed"]
            check_slots.check_job(verdict, job, histories[name], missed, [e for e in effects if e["job"] == name], self.disturbances)
        wrong = check_registers.judge(clients.registers)
        self.problems += verdict.lines() + [f"{kind}: {text}" for kind, texts in wrong.items() for text in texts]
        self.tally(verdict, clients, wrong)

    def tally(self, verdict, clients, wrong):
        operations = clients.tally()
        print(f"seed {self.chosen.seed}, {self.chosen.nodes} nodes, {self.chosen.backend}, {time.time() - self.began:.0f} s")
        print("faults:    " + (", ".join(f"{name} {count}" for name, count in sorted(self.count.items())) or "none"))
        print(f"slots:     {verdict.slots}, runs {verdict.runs}, taken over {verdict.retaken}; extra {len(verdict.extra)}, "
              f"missing {len(verdict.missing)}, late {len(verdict.late)}, early {len(verdict.early)}, open {len(verdict.open)}, "
              f"other {len(verdict.other)}; the latest began {verdict.latest_s:.1f} s behind its slot")
        print(f"registers: {len(clients.registers)}, operations {sum(operations.values())}: "
              + ", ".join(f"{name} {count}" for name, count in operations.items())
              + "; " + ", ".join(f"{kind} {len(texts)}" for kind, texts in wrong.items()))


def keep(folder):
    """Logs and traces of a run that failed; data directories go with their mounts."""
    kept = Path(os.environ.get("CHRONOS_FAULTS_KEEP", BUILD)) / f"faults-{folder.name.removeprefix(net.PREFIX)}"
    shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("data", "lock", "shim.so", "control"))
    return kept


def main():
    chosen = arguments()
    if os.geteuid() != 0:
        raise SystemExit("the fault tests make network namespaces and mounts: run them as root")
    net.sweep()
    folder, lock = net.make_work_folder()
    print(f"--nodes {chosen.nodes} --fault {chosen.fault} --seed {chosen.seed}; work folder {folder}", flush=True)
    test = None
    try:
        test = Test(chosen, folder)
        test.run()
        problems = test.problems
    except Exception as reason: # pylint: disable=broad-except
        import traceback
        traceback.print_exc()
        problems = [*(test.problems if test else []), f"the test broke off: {type(reason).__name__}: {reason}"]
    finally:
        if test:
            test.cluster.close()
            test.network.close()
    for problem in problems[:50]:
        print(f"WRONG: {problem}")
    if problems:
        print(f"{len(problems)} problems; logs and traces: {keep(folder)}")
    shutil.rmtree(folder)
    lock.close()
    print("FAILED" if problems else "passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
