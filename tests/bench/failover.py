"""How long nobody leads: three nodes in network namespaces, as root, with the timeouts of the user's page.

    python3 -B tests/bench/failover.py [--trials 30] [--backend lmdb|sqlite]

Each trial ends the leader in one way, waits for the next one, and brings the old one back. `stop`: SIGTERM, from the old leader's "no
longer leader" to the new one's "became leader", as their logs say. `kill`: kill -9, and `cut`: every packet of the leader is dropped,
from the moment at which it was done. All the while a job is due each second; in the end each of its slots must have run once. One line
of JSON a way on stdout: milliseconds; the exit code is 1 where a slot was missing or doubled, never for a time.
"""
import argparse
import json
import math
import os
import re
import shutil
import sys
import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parent / "integration" / "faults")]
os.environ.setdefault("CHRONOS_BUILD", str(HERE.parents[1] / "build"))

import network as net # noqa: E402
from harness import wait_for # noqa: E402
from network import Network # noqa: E402
from nodes import Cluster # noqa: E402

PATIENCE_S = 60


def logged(node, text):
    """When the node last logged this, as seconds; None: never since its start."""
    found = re.findall(r"^(\S+) +\w+ +" + re.escape(text), node.log(), re.M)
    return datetime.fromisoformat(found[-1].replace("Z", "+00:00")).timestamp() if found else None


def next_leader(cluster, old, since):
    def elected():
        times = [(t, n) for n in cluster.nodes if n is not old and n.runs() and (t := logged(n, "became leader")) and t >= since]
        return min(times, key=lambda pair: pair[0]) if times else None
    return wait_for(elected, "another leader", PATIENCE_S)


def stop(cluster, leader):
    began = time.time()
    leader.stop()
    became, _ = next_leader(cluster, leader, began - 0.001)
    ended = logged(leader, "no longer leader")
    leader.start()
    return became - ended


def kill(cluster, leader):
    began = time.time()
    leader.kill9()
    became, _ = next_leader(cluster, leader, began - 0.001)
    leader.start()
    return became - began


def cut(cluster, leader):
    began = time.time()
    for node in cluster.nodes:
        if node is not leader:
            cluster.network.cut(leader.number, node.number)
    became, _ = next_leader(cluster, leader, began - 0.001)
    cluster.network.heal()
    return became - began


def percentile(values, share):
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def count_slots(node, job, began, ended):
    """Slots of the job between two instants that have no run, and runs beyond one a slot."""
    slots, cursor = Counter(), ""
    while cursor is not None:
        page = node.request("GET", f"/api/v1/jobs/{job}/executions?limit=1000&consistent=true{cursor}").json
        for run in page["executions"]:
            slots[int(datetime.fromisoformat(run["scheduled_time"].replace("Z", "+00:00")).timestamp())] += run["status"] != "skipped"
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
    due = range(int(began) + 2, int(ended) - 2)
    return sum(slots[s] == 0 for s in due), sum(n - 1 for n in slots.values() if n > 1), len(due)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--backend", choices=["lmdb", "sqlite"], default="lmdb")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("network namespaces are made: run this as root")
    net.sweep()
    folder, lock = net.make_work_folder()
    cluster, bad = None, 0
    try:
        network = Network(folder)
        net.enter(network.switch)
        cluster = Cluster(folder, network, 3, options.backend)
        cluster.form()
        job = wait_for(lambda: (a := cluster.await_leader().request("POST", "/api/v1/jobs", {
            "name": "each-second", "schedule": "* * * * * *", "command": "true", "concurrency": "allow", "max_concurrent": 1000,
            "missed_run_policy": "execute_all"})).status == 201 and a.json, "the job to be taken")
        began = time.time()
        for way in (stop, kill, cut):
            times = []
            for _ in range(options.trials):
                cluster.settle()
                times.append(1000 * way(cluster, cluster.await_leader()))
            print(json.dumps({"name": f"failover_{way.__name__}", "unit": "ms", "trials": len(times), "p50": round(percentile(times, 0.5)),
                              "p90": round(percentile(times, 0.9)), "p99": round(percentile(times, 0.99)), "max": round(max(times)),
                              "load_1m": os.getloadavg()[0], "backend": options.backend}), flush=True)
        cluster.settle()
        ended = time.time()
        time.sleep(20) # what was taken over ends
        missing, extra, due = count_slots(cluster.await_leader(), job["id"], began, ended)
        bad = missing + extra
        print(json.dumps({"name": "failover_slots", "due": due, "missing": missing, "extra": extra}), flush=True)
    finally:
        if cluster is not None:
            cluster.close()
        net.take_down(folder)
        shutil.rmtree(folder, ignore_errors=True)
        del lock
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
