"""A real node under test: started from the build, spoken to over HTTP, ended by pid.

CHRONOS_BUILD names the build folder (default: build/), CHRONOS_TEST_BACKEND the storage backend (default: lmdb). Nothing here
sleeps to synchronise: wait_for() polls a condition until a deadline and says what it saw last.
"""
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CHRONOS_BUILD", ROOT / "build")).resolve()
BACKEND = os.environ.get("CHRONOS_TEST_BACKEND", "lmdb")
# Sanitized builds run several times slower; deadlines are there to end a test that hangs, not to measure.
DEADLINE_S = float(os.environ.get("CHRONOS_TEST_DEADLINE", "30"))
ENDED = {"success", "failed", "timeout", "cancelled", "lost", "skipped"}


def wait_for(condition, what, deadline_s=None):
    """The first true value of condition(); fails with what it was waiting for."""
    end = time.monotonic() + (deadline_s or DEADLINE_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}; last seen: {value!r}")
        time.sleep(0.02)


def instant(text):
    """RFC 3339 to seconds since 1970."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def rfc3339(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


class Node:
    """One daemon with a data directory of its own. `config` is YAML text; without it the embedded defaults are used."""

    def __init__(self, config=None, data_dir=None, environment=None, program=None):
        self.work = Path(tempfile.mkdtemp(prefix="chronos-test-"))
        self.data_dir = Path(data_dir) if data_dir else self.work / "data"
        self.config = config
        self.environment = environment or {}
        self.headers = {}  # of every request
        self.program = program or BUILD / "bin" / "chronos"
        self.arguments = [] # further ones of the command line
        self.process = None
        self.port = None
        self.log_path = self.work / "chronos.log"

    # --- life ---

    def command(self):
        line = [str(self.program), *self.arguments]
        if self.config is not None:
            path = self.work / "chronos.yaml"
            path.write_text(self.config)
            line += ["--config", str(path)]
        return line

    def full_environment(self):
        return {"PATH": os.environ["PATH"], "CHRONOS_CLUSTER_DATA_DIR": str(self.data_dir),
                "CHRONOS_SERVER_HTTP_ADDRESS": "127.0.0.1:0", "CHRONOS_STORAGE_BACKEND": BACKEND,
                "CHRONOS_CLUSTER_NODE_ID": "node-1", "CHRONOS_STORAGE_MIN_FREE": "16MiB",
                **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, **self.environment}

    def spawn(self):
        """Starts the process and does not wait for anything."""
        with open(self.log_path, "ab") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen(self.command(), env=self.full_environment(), cwd=self.work, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        return self

    def start(self):
        self.spawn()
        self.port = int(wait_for(self._port, "the node to listen")[1])
        wait_for(lambda: self.get("/ready").status == 200, "the node to be ready")
        return self

    def _port(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with {self.process.returncode}:\n{self.log()}")
        return re.search(r"listening .*port=(\d+)", self.log())

    def log(self):
        """What this start has logged so far."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_from)
            return log.read().decode(errors="replace")

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self, deadline_s=None):
        return self.process.wait(timeout=deadline_s or DEADLINE_S)

    def stop(self):
        """SIGTERM and the exit code."""
        self.terminate()
        return self.wait_exit(60)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *ignored):
        self.close()

    # --- requests ---

    def request(self, method, path, body=None, headers=None, timeout=DEADLINE_S):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = None
            headers = {**self.headers, **(headers or {})}
            if body is not None:
                data = body if isinstance(body, (bytes, str)) else json.dumps(body)
                headers.setdefault("Content-Type", "application/json")
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, body, **more)

    def put(self, path, body, **more):
        return self.request("PUT", path, body, **more)

    def patch(self, path, body, **more):
        return self.request("PATCH", path, body, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)

    # --- what tests ask for most ---

    def create(self, **job):
        """Creates a job and returns it; fails with the problem document."""
        answer = self.post("/api/v1/jobs", job)
        assert answer.status == 201, answer
        return answer.json

    def trigger(self, job, **body):
        answer = self.post(f"/api/v1/jobs/{job}/trigger", body or None)
        assert answer.status == 202, answer
        return answer.json

    def execution(self, identifier):
        answer = self.get(f"/api/v1/executions/{identifier}")
        assert answer.status == 200, answer
        return answer.json

    def executions(self, job=None, **query):
        """All of them, page by page, newest first."""
        runs, cursor = [], None
        base = f"/api/v1/jobs/{job}/executions" if job else "/api/v1/executions"
        while True:
            fields = {"limit": 1000, **query, **({"cursor": cursor} if cursor else {})}
            answer = self.get(base + "?" + "&".join(f"{k}={v}" for k, v in fields.items()))
            assert answer.status == 200, answer
            page = answer.json
            runs += page["executions"]
            cursor = page["next_cursor"]
            if cursor is None:
                return runs

    def ended(self, identifier, deadline_s=None):
        """Waits until the run is over and returns it."""
        def over():
            run = self.execution(identifier)
            return run if run["status"] in ENDED else None
        return wait_for(over, f"the end of {identifier}", deadline_s)

    def metric(self, name):
        """The value of a sample, by its full name with labels."""
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return None


class LocalServer:
    """Answers on a loopback port with a handler of the test's, silently, from the start until the end of a `with`."""

    def __init__(self, handler):
        class Silent(handler):
            def log_message(self, *ignored):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.server.shutdown()
        self.server.server_close()


class Receiver(LocalServer):
    """An HTTP server of the test's own that records what it gets; `answer(path, nth)` returns (status, headers, body)."""

    def __init__(self, answer=lambda path, nth: (200, {}, b"ok")):
        received = self.received = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                received.append((self.command, self.path, dict(self.headers), body))
                status, headers, content = answer(self.path, len(received))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = handle_any

        super().__init__(Handler)


class TestCase(unittest.TestCase):
    maxDiff = None

    def problem(self, answer, status, code, contains=None, field=None):
        """The answer is a problem document of this status and code."""
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        document = answer.json
        self.assertEqual(document["code"], code, document)
        self.assertEqual(document["status"], status)
        if contains:
            self.assertIn(contains, answer.body.decode())
        if field:
            self.assertIn(field, [e["field"] for e in document.get("errors", [])], document)
        return document
