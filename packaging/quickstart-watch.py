"""Prints the runs of a node as they end. With --check: until both jobs of the quickstart ran twice, then checks them."""
import argparse
import json
import sys
import time
import urllib.request
from datetime import datetime

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--check", action="store_true")
parser.add_argument("--seconds", type=float, default=18)
arguments = parser.parse_args()

ENDED = {"success", "failed", "timeout", "cancelled", "lost", "skipped"}
PERIOD_S = {"hello": 3, "ping": 4}


def newest():
    with urllib.request.urlopen(arguments.url + "/api/v1/executions?limit=50", timeout=5) as answer:
        return reversed(json.load(answer)["executions"])


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def show(run):
    late_ms = round((instant(run["started_at"]) - instant(run["scheduled_time"])) * 1000) if run["started_at"] else "-"
    output = (run["output"] or run["error"] or "").strip().split("\n")[0]
    print(f'{run["scheduled_time"]}  {run["job_name"]:<8} {run["status"]:<8} {run["duration_ms"]} ms'
          f'  started {late_ms} ms after its time  {output}', flush=True)


def problems(seen):
    """What is not as scheduled: each job ran at least twice, in success, with no slot left out between two runs."""
    for name, period in PERIOD_S.items():
        runs = sorted((r for r in seen.values() if r["job_name"] == name), key=lambda r: r["scheduled_time"])
        if len(runs) < 2:
            yield f"{name}: {len(runs)} runs, wanted 2 at least"
        for run in runs:
            if run["status"] != "success" or run["trigger"] != "schedule":
                yield f'{name}: {run["scheduled_time"]} ended {run["status"]}: {run["error"]}'
        for before, after in zip(runs, runs[1:]):
            gap = instant(after["scheduled_time"]) - instant(before["scheduled_time"])
            if abs(gap - period) > 0.001:
                yield f'{name}: {gap} s between {before["scheduled_time"]} and the next run, wanted {period}'


seen = {}
end = time.monotonic() + arguments.seconds
try:
    while not arguments.check or time.monotonic() < end:
        for run in newest():
            if run["id"] not in seen and run["status"] in ENDED:
                seen[run["id"]] = run
                show(run)
        if arguments.check and all(sum(r["job_name"] == name for r in seen.values()) >= 3 for name in PERIOD_S):
            break
        time.sleep(0.25)
except KeyboardInterrupt:
    sys.exit(0)
except OSError as error:
    print(f"The node no longer answers: {error}", file=sys.stderr)
    sys.exit(1)
found = list(problems(seen))
for problem in found:
    print(problem, file=sys.stderr)
sys.exit(1 if found else 0)
