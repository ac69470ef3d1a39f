"""Figures `fires_1k` and `fires_10k`: jobs of the no-op executor, each due every second."""
import http.client
import json
import threading
import time
from datetime import datetime, timezone

from load import percentile, say
from servers import CHRONOS_PORT, BenchError, Chronos

CREATORS = 8
SETTLE_S = 3
BUCKETS = "chronos_run_start_lateness_seconds_bucket"


def instant_ms(text):
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def rfc3339(ms):
    return datetime.fromtimestamp(ms / 1000, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def noop_settings(options, max_concurrent=256, **storage):
    return {"plugins": [f"load: [{{path: {options.noop}}}]"],
            "executors": ["noop: {}", f"max_concurrent: {max_concurrent}"],
            "storage": [f"{key}: {value}" for key, value in storage.items()]}


def create_due_each_second(count, spacing_s, port=CHRONOS_PORT):
    """`count` jobs, one every `spacing_s`: a job's slots lie at its own creation plus whole seconds, so they spread."""
    problems = []
    begin = time.monotonic() + 0.1

    def creator(first):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for number in range(first, count, CREATORS):
            time.sleep(max(0.0, begin + number * spacing_s - time.monotonic()))
            body = json.dumps({"name": f"fire-{number:06d}", "schedule": "@every 1s", "executor": "noop", "config": {}})
            connection.request("POST", "/api/v1/jobs", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 201:
                problems.append((answer.status, text[:300]))
        connection.close()

    threads = [threading.Thread(target=creator, args=(first,)) for first in range(CREATORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise BenchError(f"{len(problems)} of {count} jobs were not created; the first: {problems[0]}")


def finished_between(chronos, from_ms, to_ms):
    """The ended runs of slots in [from_ms, to_ms), page by page. Ids are in order of the decision, which is never before the
    slot: the walk ends a minute of slots below."""
    runs, cursor = [], None
    while True:
        page = chronos.get_json(f"/api/v1/executions?limit=1000&until={rfc3339(to_ms)}" +
                                (f"&cursor={cursor}" if cursor else ""))
        slots = [(instant_ms(run["scheduled_time"]), run) for run in page["executions"]]
        runs += [(slot, run) for slot, run in slots if from_ms <= slot < to_ms]
        cursor = page["next_cursor"]
        if cursor is None or (slots and max(slot for slot, _ in slots) < from_ms - 2000):
            return runs


def check_slots(runs, count, seconds):
    """How many of the slots that were due in the window have exactly one successful run."""
    by_job = {}
    good = 0
    for slot, run in runs:
        good += run["status"] == "success"
        by_job.setdefault(run["job_id"], []).append(slot)
    duplicates = sum(len(slots) - len(set(slots)) for slots in by_job.values())
    missing = count * seconds - (len(runs) - duplicates)
    return good, missing, duplicates


def difference(after, before, name):
    return after.get(name, 0.0) - before.get(name, 0.0)


def total(samples, prefix):
    return sum(value for name, value in samples.items() if name.startswith(prefix))


def within(after, before, bound):
    """Share of the starts in the daemon's own histogram that were at most `bound` seconds late."""
    count = difference(after, before, f'{BUCKETS}{{le="+Inf"}}')
    return difference(after, before, f'{BUCKETS}{{le="{bound}"}}') / count if count else 0.0


def run_window(chronos, seconds):
    """Lets the jobs run for a window of whole seconds; the metrics around it."""
    time.sleep(SETTLE_S)
    before, from_ms = chronos.metrics(), round(time.time() * 1000)
    time.sleep(seconds)
    after, to_ms = chronos.metrics(), from_ms + seconds * 1000
    time.sleep(SETTLE_S)
    return before, after, from_ms, to_ms


def fires(options, emit, name, count, max_concurrent, target):
    with Chronos(options.work, options.backend, noop_settings(options, max_concurrent)) as chronos:
        # 1,000 in a second; more at a pace that the creating side holds, over whole seconds so that slots spread evenly.
        create_due_each_second(count, 0.001 if count <= 1000 else 0.0008)
        say(f"  {count} jobs, {options.fire_seconds} s")
        before, after, from_ms, to_ms = run_window(chronos, options.fire_seconds)
        cpu = chronos.cpu_seconds()
        late_runs = chronos.metrics().get("chronos_open_runs", 0)
        runs = finished_between(chronos, from_ms, to_ms)
    good, missing, duplicates = check_slots(runs, count, options.fire_seconds)
    lateness = sorted(instant_ms(run["started_at"]) - slot for slot, run in runs if run.get("started_at"))
    if not lateness:
        raise BenchError(f"no run was started; {len(runs)} runs, {missing} slots without any")
    dropped = total(after, "chronos_missed_runs_total") - total(before, "chronos_missed_runs_total")
    success = 'chronos_runs_total{status="success"}'
    emit(name=f"{name}_rate", value=round(difference(after, before, success) / options.fire_seconds), unit="runs/s",
         target=["=", count], due=count * options.fire_seconds, succeeded=good, missing=missing, duplicates=duplicates,
         dropped=int(dropped), open_at_end=int(late_runs), cpu_s=round(cpu, 1),
         met=good == count * options.fire_seconds and missing == 0 and duplicates == 0)
    p99 = percentile(lateness, 0.99)
    figure = {"target": target, "met": p99 < target[1]} if target else {}
    emit(name=f"{name}_lateness_p99", value=p99, unit="ms", p50_ms=percentile(lateness, 0.5),
         p999_ms=percentile(lateness, 0.999), max_ms=lateness[-1], runs=len(lateness),
         within_5_ms_by_metrics=round(within(after, before, "0.005"), 4), **figure)


def fires_1k(options, emit):
    fires(options, emit, "fires_1k", 1000, 256, ["<", 5])


# A run takes one of max_concurrent places from its decision until its end is committed. 256, the default, are enough for
# 10,000 a second only while that takes less than 26 ms.
def fires_10k(options, emit):
    fires(options, emit, "fires_10k", 10000, 4096, None)
