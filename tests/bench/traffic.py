"""Figures `bytes_3` and `growth_3`: what a cluster of three writes and sends for a run, and what endless edits leave on disk."""
import subprocess
import threading
import time

from fires import create_due_each_second, noop_settings
from load import create_jobs, describe, say, wrk
from servers import CHRONOS_PEER_PORT, BenchError, ChronosMember, Trio, folder_bytes

MIB = 1024 * 1024
IDLE_S, SETTLE_S, WINDOW_S = 10, 3, 20
RUNS_A_SECOND = (10, 1000)
EDITED_JOBS, EDIT_S, SAMPLE_S = 1000, 180, 10


def trio(options, **storage):
    return Trio(*(ChronosMember(options.work, options.backend, n, noop_settings(options, **storage)) for n in (1, 2, 3)))


def sent_bytes():
    """Bytes that TCP has carried over the node links that stand, in both directions, without headers and TLS (there is none)."""
    total = 0
    peers = {CHRONOS_PEER_PORT + n for n in (1, 2, 3)}
    lines = subprocess.run(["ss", "-tinOH", "state", "established"], capture_output=True, text=True, check=True).stdout
    for line in lines.splitlines():
        fields = line.split()
        if {int(end.rsplit(":", 1)[1]) for end in fields[2:4]} & peers:
            total += sum(int(field.split(":")[1]) for field in fields if field.startswith("bytes_sent:"))
    return total


def counts(leader):
    metrics = leader.metrics()
    return {"at": time.monotonic(), "network": sent_bytes(), "log": metrics["chronos_log_bytes"],
            "entries": metrics["chronos_log_entries_total"], "runs": metrics['chronos_runs_total{status="success"}']}


def between(leader, seconds):
    before = counts(leader)
    time.sleep(seconds)
    return {key: value - before[key] for key, value in counts(leader).items()}


def bytes_3(options, emit):
    for rate in RUNS_A_SECOND:
        with trio(options) as members:
            members.settle()
            leader = members.leader()
            idle = between(leader, IDLE_S)
            create_due_each_second(rate, 1 / rate, leader.ports[0])
            time.sleep(SETTLE_S)
            busy = between(leader, WINDOW_S)
            if members.leader() is not leader:
                raise BenchError("another node leads now")
        idle_rate = idle["network"] / idle["at"]
        say(f"  idle: {idle_rate:,.0f} bytes/s on the links; {rate} runs/s: {busy}")
        for kind, value in (("log", busy["log"]), ("network", busy["network"] - idle_rate * busy["at"])):
            emit(name=f"bytes_3_{kind}_{rate}", value=round(value / busy["runs"]), unit="bytes/run", runs=int(busy["runs"]),
                 entries_per_run=round(busy["entries"] / busy["runs"], 2), idle_network_bytes_s=round(idle_rate))


def growth_3(options, emit):
    with trio(options) as members:
        members.settle()
        leader = members.leader()
        create_jobs(leader, EDITED_JOBS, "edit")
        jobs = leader.get_json(f"/api/v1/jobs?limit={EDITED_JOBS}")["jobs"]
        paths = options.work / "paths"
        paths.write_text("".join(f"/api/v1/jobs/{job['id']}\n" for job in jobs))
        reports = []
        editor = threading.Thread(target=lambda: reports.append(wrk(leader.ports[0], "patch.lua", EDIT_S, str(paths))))
        editor.start()
        sizes = []
        while editor.is_alive():
            editor.join(SAMPLE_S)
            folders = [{child.name: folder_bytes(child) for child in member.data_dir.iterdir() if child.is_dir()}
                       for member in members.members]
            sizes.append([sum(node.values()) for node in folders])
            say(f"  {len(sizes) * SAMPLE_S} s: " + "; ".join(
                ", ".join(f"{name} {size / MIB:.1f}" for name, size in sorted(node.items())) for node in folders))
        if not reports:
            raise BenchError("the edits ended early")
        say(f"  {describe(reports[0])}")
    third = len(sizes) // 3
    emit(name="growth_3", value=round(max(sizes[-1]) / MIB, 1), unit="MiB", edits=reports[0]["good"], errors=reports[0]["errors"],
         largest_node_mib=[round(max(nodes) / MIB, 1) for nodes in sizes], sample_s=SAMPLE_S,
         growth_in_last_third_mib=round((max(sizes[-1]) - max(sizes[-1 - third])) / MIB, 1),
         files_mib={name: round(size / MIB, 1) for name, size in folders[members.members.index(leader)].items()})
