"""Figures `idle`, `jobs_100k` and `growth`: memory, time to start, bytes on disk."""
import statistics
import time

from fires import create_due_each_second, noop_settings
from load import create_jobs, say
from servers import Chronos, folder_bytes

MIB = 1024 * 1024
MANY_JOBS = 100_000
STARTS = 3
SETTLE_S = 5
GROWTH_JOBS, GROWTH_SAMPLES, GROWTH_SAMPLE_S, GROWTH_KEPT = 1000, 18, 10, 5


def emit_memory(emit, name, memory, limit_mib, **more):
    value = memory["anonymous"] / MIB
    emit(name=name, value=round(value, 1), unit="MiB", target=["<", limit_mib], met=value < limit_mib,
         resident_mib=round(memory["resident"] / MIB, 1), children_mib=round(memory["children"] / MIB, 1), **more)


def idle(options, emit):
    with Chronos(options.work, options.backend) as chronos:
        time.sleep(SETTLE_S)
        emit_memory(emit, "idle_memory", chronos.memory(), 8)


def jobs_100k(options, emit):
    with Chronos(options.work, options.backend) as chronos:
        create_jobs(chronos, MANY_JOBS, "many")
        say(f"  {MANY_JOBS} jobs created, {folder_bytes(chronos.data_dir) / MIB:.0f} MiB in data_dir; restarting")
        starts = []
        for _ in range(STARTS):
            chronos.stop()
            chronos.start(poll_s=0.001)
            starts.append(chronos.ready_after_s)
            say(f"  ready after {chronos.ready_after_s:.3f} s")
        time.sleep(SETTLE_S)
        jobs, memory = int(chronos.metrics()["chronos_jobs"]), chronos.memory()
        data = folder_bytes(chronos.data_dir)
    start = statistics.median(starts)
    emit_memory(emit, "jobs_100k_memory", memory, 60, jobs=jobs, data_dir_mib=round(data / MIB))
    emit(name="jobs_100k_start", value=round(start, 3), unit="s", target=["<", 1.0], met=start < 1.0,
         rounds=[round(value, 3) for value in starts], jobs=jobs)


def growth(options, emit):
    with Chronos(options.work, options.backend, noop_settings(options, executions_per_job=GROWTH_KEPT)) as chronos:
        create_due_each_second(GROWTH_JOBS, 0.001)
        sizes = []
        for number in range(GROWTH_SAMPLES):
            time.sleep(GROWTH_SAMPLE_S)
            folders = {child.name: folder_bytes(child) for child in chronos.data_dir.iterdir() if child.is_dir()}
            sizes.append(folder_bytes(chronos.data_dir))
            metrics = chronos.metrics()
            runs = int(metrics['chronos_runs_total{status="success"}'])
            parts = ", ".join(f"{name} {size / MIB:.1f}" for name, size in sorted(folders.items()))
            say(f"  {(number + 1) * GROWTH_SAMPLE_S} s, {runs} runs: {sizes[-1] / MIB:.1f} MiB ({parts}); "
                f"log entries {int(metrics['chronos_log_entries_total'])}")
    third = GROWTH_SAMPLES // 3
    last_third = sizes[-1] - sizes[-1 - third]
    emit(name="growth", value=round(sizes[-1] / MIB, 1), unit="MiB", runs=runs, kept_per_job=GROWTH_KEPT,
         samples_mib=[round(size / MIB, 1) for size in sizes], sample_s=GROWTH_SAMPLE_S,
         first_third_mib=round((sizes[third - 1]) / MIB, 1), growth_in_last_third_mib=round(last_third / MIB, 1),
         files_mib={name: round(size / MIB, 1) for name, size in folders.items()})
