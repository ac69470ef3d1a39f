"""An error of the disk's sync ends the process at once: nothing that it could not make durable is acknowledged."""
import subprocess
import unittest

from harness import Node, TestCase, wait_for

# Fails every sync with EIO once the file named by FAIL_SYNC exists.
SOURCE = r"""
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int failing(void) { const char *path = getenv("CHRONOS_TEST_FAIL_SYNC"); return path && access(path, F_OK) == 0; }
int fdatasync(int fd) { if (failing()) { errno = EIO; return -1; } return (int)syscall(SYS_fdatasync, fd); }
int fsync(int fd) { if (failing()) { errno = EIO; return -1; } return (int)syscall(SYS_fsync, fd); }
"""


class SyncErrorTest(TestCase):
    def test_the_process_ends_and_restarts_clean(self):
        node = Node()
        self.addCleanup(node.close)
        source, library, flag = node.work / "sync.c", node.work / "sync.so", node.work / "fail"
        source.write_text(SOURCE)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
        node.environment = {"LD_PRELOAD": str(library), "CHRONOS_TEST_FAIL_SYNC": str(flag),
                            "ASAN_OPTIONS": "verify_asan_link_order=0"}
        node.start()
        node.create(name="before", schedule="@manually", command="true")
        flag.touch()
        try:
            answer = node.post("/api/v1/jobs", {"name": "after", "schedule": "@manually", "command": "true"})
            self.assertNotEqual(answer.status, 201, "a write was acknowledged that is not on the disk")
        except OSError:
            pass  # the connection went with the process
        self.assertEqual(node.wait_exit(), 74, node.log())
        self.assertIn("fatal: stopping now", node.log())
        flag.unlink()
        node.environment = {}
        node.start()
        self.assertEqual(node.get("/api/v1/jobs/before").status, 200)
        wait_for(lambda: node.get("/ready").status == 200, "readiness")


if __name__ == "__main__":
    unittest.main()
