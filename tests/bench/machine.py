"""What the figures were measured on."""
import os
import platform
import statistics
import time
from pathlib import Path

SYNCS, SYNC_BYTES = 200, 4096


def sync_latency_ms(folder):
    """Median and 99th percentile of appending 4 KiB and fdatasync."""
    path = folder / "sync"
    times = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(SYNCS):
            begin = time.perf_counter()
            file.write(b"x" * SYNC_BYTES)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begin) * 1000)
    path.unlink()
    times.sort()
    return round(statistics.median(times), 3), round(times[int(SYNCS * 0.99)], 3)


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def file_system(folder):
    """Type of the file system that holds `folder`, by the longest mount point above it."""
    best = ("", "?")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if (str(folder) + "/").startswith(point.rstrip("/") + "/") and len(point) > len(best[0]):
            best = (point, kind)
    return best[1]


def describe(folder):
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    p50, p99 = sync_latency_ms(folder)
    return {"cores": len(os.sched_getaffinity(0)), "cpu": cpu_model(), "memory_gib": round(memory_kib / 1024 / 1024),
            "kernel": platform.release(), "file_system": file_system(folder), "fdatasync_4k_p50_ms": p50,
            "fdatasync_4k_p99_ms": p99}


def load_average():
    return round(os.getloadavg()[0], 2)
