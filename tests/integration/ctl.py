"""chronosctl as its tests call it: against a node that the tests of a class share, which has no jobs when a test begins."""
import os
import pty
import subprocess
import threading

from harness import BUILD, DEADLINE_S, Node, TestCase

CTL = BUILD / "bin" / "chronosctl"
DONE, REFUSED, USAGE, UNREACHABLE, RUN_FAILED, NOT_FOUND = range(6)


class CtlCase(TestCase):
    environment = {}

    @classmethod
    def setUpClass(cls):
        cls.node = Node(environment=cls.environment).start()
        cls.server = f"127.0.0.1:{cls.node.port}"

    @classmethod
    def tearDownClass(cls):
        cls.node.close()

    def tearDown(self):
        for job in self.node.get("/api/v1/jobs?limit=1000").json["jobs"]:
            self.node.delete(f"/api/v1/jobs/{job['id']}?cancel=true")

    def ctl(self, *words, code=DONE, stdin="", server=None, environment=None):
        """Standard output and standard error; the exit code is checked."""
        full = {"PATH": os.environ["PATH"], "CHRONOSCTL_SERVER": server or self.server, **(environment or {}),
                **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}
        done = subprocess.run([str(CTL), *words], input=stdin.encode(), capture_output=True, env=full, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, code, (words, done.stdout, done.stderr))
        return done.stdout.decode(errors="surrogateescape"), done.stderr.decode()

    def out(self, *words, **more):
        return self.ctl(*words, **more)[0]

    def err(self, *words, **more):
        out, err = self.ctl(*words, **more)
        self.assertEqual(out, "")
        return err

    def job(self, name):
        answer = self.node.get(f"/api/v1/jobs/{name}")
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def file(self, name, text):
        path = self.node.work / name
        path.write_text(text)
        return str(path)

    def on_a_terminal(self, *words, environment=None):
        """What chronosctl writes when standard output is a terminal."""
        master, slave = pty.openpty()
        written = bytearray()

        def drain():
            try:
                while piece := os.read(master, 65536):
                    written.extend(piece)
            except OSError:  # the other end is closed
                pass
        full = {"PATH": os.environ["PATH"], "TERM": "xterm", **(environment or {})}
        process = subprocess.Popen([str(CTL), "-s", self.server, *words], stdout=slave, stderr=slave, env=full)
        os.close(slave)
        reader = threading.Thread(target=drain)
        reader.start()
        process.wait(timeout=DEADLINE_S)
        reader.join()
        os.close(master)
        return bytes(written)
