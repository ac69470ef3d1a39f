"""What a service manager is told: systemd's sd_notify(3), as a Type=notify unit with a watchdog sees it."""
# ctest: once
import os
import re
import signal
import socket
import tempfile
import time
import unittest
from pathlib import Path

from harness import Node, TestCase, wait_for
from members import free_port

WATCHDOG_MS = 300
READY_WAIT_S = 5  # core/daemon/service.h


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, abstract=False):
        self.work = tempfile.TemporaryDirectory(prefix="chronos-test-")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = str(Path(self.work.name) / "notify")
        self.name = "@" + path if abstract else path
        self.socket.bind("\0" + path if abstract else path)
        self.socket.settimeout(30)
        self.told = []  # (seconds, {name: value}) of each datagram

    def environment(self, watchdog_ms=WATCHDOG_MS, **more):
        return {"NOTIFY_SOCKET": self.name, "WATCHDOG_USEC": str(watchdog_ms * 1000), **more}

    def next(self, wanted):
        """The first datagram, of those to come, that has `wanted`."""
        while True:
            text = self.socket.recv(4096).decode()
            assert text.endswith("\n"), text
            fields = dict(line.split("=", 1) for line in text.splitlines())
            self.told.append((time.monotonic(), fields))
            if wanted in fields:
                return fields

    def close(self):
        self.socket.close()
        self.work.cleanup()


class ServiceTest(TestCase):
    def manager(self, **more):
        manager = Manager(**more)
        self.addCleanup(manager.close)
        return manager

    def node(self, environment, config=None):
        node = Node(config, environment=environment)
        self.addCleanup(node.close)
        node.spawn()
        return node

    def port(self, node):
        node.port = int(wait_for(node._port, "the node to listen")[1])

    def test_told_from_start_to_end(self):
        for abstract in (False, True):
            with self.subTest(abstract=abstract):
                manager = self.manager(abstract=abstract)
                node = self.node(manager.environment())
                manager.next("READY")
                self.port(node)
                self.assertEqual(node.get("/ready").status, 200, "ready is said once it is so")
                self.assertIn({"READY": "1", "STATUS": "leads 1 node", "WATCHDOG": "1"}, [fields for _, fields in manager.told])
                manager.told.clear()
                for _ in range(5):
                    manager.next("WATCHDOG")
                spans = [after - before for (before, _), (after, _) in zip(manager.told, manager.told[1:])]
                self.assertLess(sorted(spans)[len(spans) // 2], WATCHDOG_MS / 1000, "fed within the period")
                node.terminate()
                last = manager.next("STOPPING")
                self.assertEqual(last["STATUS"], "stopping: runs may end")
                self.assertEqual(node.wait_exit(60), 0)

    def test_a_long_stop_asks_for_time(self):
        """The manager must not kill what may still end by server.shutdown_timeout; the watchdog is fed all the while."""
        manager = self.manager()
        node = self.node(manager.environment(), "server: {shutdown_timeout: 1m}\n")
        manager.next("READY")
        self.port(node)
        flag = node.work / "end"
        node.create(name="slow", schedule="@manually", command=f"until [ -e {flag} ]; do sleep 0.05; done")
        run = node.trigger("slow")
        wait_for(lambda: node.execution(run["id"])["status"] == "running", "the run")
        node.terminate()
        for _ in range(3):
            told = manager.next("EXTEND_TIMEOUT_USEC")
            self.assertGreaterEqual(int(told["EXTEND_TIMEOUT_USEC"]), 10_000_000)
            self.assertEqual(told["WATCHDOG"], "1")
        flag.touch()
        self.assertEqual(node.wait_exit(60), 0)

    def test_a_loop_that_hangs_feeds_nothing(self):
        manager = self.manager()
        node = self.node(manager.environment())
        manager.next("READY")
        os.kill(node.process.pid, signal.SIGSTOP)
        manager.socket.settimeout(2 * WATCHDOG_MS / 1000)
        with self.assertRaises(TimeoutError):
            while True:  # what was sent before
                manager.next("WATCHDOG")
        os.kill(node.process.pid, signal.SIGCONT)
        manager.socket.settimeout(30)
        manager.next("WATCHDOG")

    def test_a_node_that_nobody_admits_has_started(self):
        """Otherwise `systemctl start` on the first machine would wait for the second."""
        manager = self.manager()
        begun = time.monotonic()
        self.node(manager.environment(),
                  f"cluster: {{raft: {{address: '127.0.0.1:{free_port('127.0.0.1')}', peers: ['127.0.0.1:9']}}}}\n")
        self.assertEqual(manager.next("READY")["STATUS"], "asks to be admitted to a cluster")
        self.assertGreaterEqual(time.monotonic() - begun, READY_WAIT_S)

    def test_a_watchdog_of_another_process(self):
        manager = self.manager()
        self.node(manager.environment(WATCHDOG_PID="1"))
        manager.next("READY")
        manager.socket.settimeout(5 * WATCHDOG_MS / 1000)
        with self.assertRaises(TimeoutError):
            manager.next("STOPPING")  # nothing of the kind: only that nothing comes this often
        self.assertEqual(len(manager.told), 1)

    def test_an_address_that_cannot_be_used(self):
        for name, said in (("relative/path", True), ("", True), ("/" + 200 * "x", True), ("/nobody/listens/there", False)):
            with self.subTest(name=name):
                node = self.node({"NOTIFY_SOCKET": name})
                self.port(node)
                wait_for(lambda: node.get("/ready").status == 200, "the node to be ready")
                self.assertEqual("NOTIFY_SOCKET" in node.log(), said, node.log())
                self.assertEqual(node.stop(), 0)

    def test_jobs_do_not_speak_for_the_node(self):
        manager = self.manager()
        node = self.node(manager.environment())
        manager.next("READY")
        self.port(node)
        node.create(name="show", schedule="@manually", command="env")
        output = node.ended(node.trigger("show")["id"])["output"]
        self.assertNotRegex(output, re.compile("NOTIFY_SOCKET|WATCHDOG"))


if __name__ == "__main__":
    unittest.main()
