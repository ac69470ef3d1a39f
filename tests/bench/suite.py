"""The benchmark suite; run.sh starts it. README.md explains the figures."""
import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import fires
import footprint
import machine
import traffic
import throughput
from load import say
from servers import BUILD, PROGRAM, ROOT, BenchError

FIGURES = {
    "create": throughput.create,
    "read": throughput.read,
    "create_3": throughput.create_3,
    "read_3": throughput.read_3,
    "fires_1k": fires.fires_1k,
    "fires_10k": fires.fires_10k,
    "idle": footprint.idle,
    "jobs_100k": footprint.jobs_100k,
    "growth": footprint.growth,
    "bytes_3": traffic.bytes_3,
    "growth_3": traffic.growth_3,
}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run.sh", description="Measures Chronos; README.md explains the figures.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(FIGURES)}; all if none is given")
    parser.add_argument("--backend", choices=["lmdb", "sqlite"], default="lmdb", help="storage backend (default: lmdb)")
    parser.add_argument("--rounds", type=int, default=3, help="of a comparison, at least 3 (default: 3)")
    parser.add_argument("--seconds", type=int, default=8, help="of one side of one round (default: 8)")
    parser.add_argument("--fire-seconds", type=int, default=20, help="that fires are watched (default: 20)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in FIGURES]
    if unknown:
        parser.error(f"no figure is called {unknown[0]}; there are {', '.join(FIGURES)}")
    if options.rounds < 3:
        parser.error("fewer than 3 rounds say nothing")
    return options


def build_noop(work):
    """The executor that runs nothing, from the sources of the tests."""
    noop = work / "executor_noop.so"
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-pthread", "-fvisibility=hidden",
                    f"-Wl,--version-script={ROOT}/sdk/cmake/plugin.map", "-I", str(ROOT / "sdk" / "include"),
                    str(ROOT / "tests" / "abi" / "executor_noop.c"), "-o", str(noop)], check=True)
    return noop


def measure(options):
    """Each figure on its own: one that cannot be measured does not keep the others from it."""
    host = machine.describe(options.work)
    failed = []

    def emit(**figure):
        line = {**figure, "backend": options.backend, "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "load_1m": machine.load_average(), "machine": host}
        print(json.dumps(line), flush=True)
        verdict = {True: "met", False: "NOT met", None: ""}[figure.get("met")]
        target = "{} {}".format(*figure["target"]) if figure.get("target") else ""
        say(f"  = {figure['name']}: {figure['value']} {figure['unit']}  {target} {verdict}")

    say(f"{PROGRAM}\n{json.dumps(host)}")
    for name in options.names or FIGURES:
        say(name)
        try:
            FIGURES[name](options, emit)
        except (BenchError, OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
            say(f"  {name} could not be measured: {type(error).__name__}: {error}")
            failed.append(name)
    return failed


def main():
    options = parse(sys.argv[1:])
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not built; CHRONOS_BUILD names the build folder")
    # SIGTERM unwinds like Ctrl-C, so that the servers end with us.
    signal.signal(signal.SIGTERM, lambda *ignored: sys.exit(143))
    # In the build folder: the same file system for all competitors, and not a memory disk.
    options.work = Path(tempfile.mkdtemp(prefix="bench-", dir=BUILD))
    try:
        options.noop = build_noop(options.work)
        failed = measure(options)
    finally:
        shutil.rmtree(options.work, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
