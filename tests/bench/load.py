"""Load: wrk with the scripts in wrk/, and what the figures share."""
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from servers import BenchError

SCRIPTS = Path(__file__).resolve().parent / "wrk"
CONNECTIONS, THREADS = 64, 2
FILL_DEADLINE_S = 600


def say(text):
    print(text, file=sys.stderr, flush=True)


def command_line(port, script, seconds, arguments):
    return ["wrk", f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPTS / script),
            f"http://127.0.0.1:{port}", "--", *arguments]


def read_report(command, exit_code, output, problems):
    """What report.lua wrote, with `good` (answers without error) and `rate` (good answers per second)."""
    line = next((line[6:] for line in output.splitlines() if line.startswith("BENCH ")), None)
    if exit_code != 0 or line is None:
        raise BenchError(f"{' '.join(command)}: exit {exit_code}\n{output}{problems}")
    report = json.loads(line)
    report["good"] = report["requests"] - report["status_errors"]
    report["rate"] = report["good"] / (report["microseconds"] / 1e6)
    report["errors"] = sum(report[kind] for kind in
                           ("status_errors", "connect_errors", "read_errors", "write_errors", "timeouts"))
    return report


def wrk(port, script, seconds, *arguments):
    command = command_line(port, script, seconds, arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120)
    return read_report(command, done.returncode, done.stdout, done.stderr)


def describe(report):
    return (f"{report['rate']:,.0f}/s, p50 {report['p50_us'] / 1000:.2f} ms, p99 {report['p99_us'] / 1000:.2f} ms, "
            f"{report['errors']} errors")


def alternate(rounds, ours, theirs):
    """A B A B ...: the pairs of reports, and the median of the ratios of each pair's rates."""
    pairs = [(ours(number), theirs(number)) for number in range(1, rounds + 1)]
    ratios = [a["rate"] / b["rate"] for a, b in pairs]
    return pairs, statistics.median(ratios), ratios


def percentile(ordered, fraction):
    """Of an ascending list, nearest rank."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]


def create_jobs(chronos, count, tag):
    """Exactly `count` (even) jobs of 300 bytes, by 64 connections. wrk ends by time only: we end it once all jobs exist."""
    command = command_line(chronos.ports[0], "fill.lua", FILL_DEADLINE_S, (tag, str(count // THREADS)))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while process.poll() is None and chronos.metrics()["chronos_jobs"] < count:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            output, problems = process.communicate(timeout=60)
        finally:
            process.kill()
    report = read_report(command, process.returncode, output, problems)
    jobs = int(chronos.metrics()["chronos_jobs"])
    if jobs != count or report["errors"]:
        raise BenchError(f"{jobs} jobs instead of {count}: {report}")
