"""chronos.yaml, the environment and the command line: what is wrong is said with file, line and key."""
# ctest: once timeout=120
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BUILD, Node, TestCase, wait_for

CHRONOS = BUILD / "bin" / "chronos"
FIXTURES = BUILD / "tests" / "abi" / "plugins"
SANITIZERS = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}


class ConfigCase(TestCase):
    def setUp(self):
        self.work = Path(tempfile.mkdtemp(prefix="chronos-test-"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.file = self.work / "chronos.yaml"

    def chronos(self, *arguments, environment=None):
        return subprocess.run([str(CHRONOS), *arguments], cwd=self.work, capture_output=True, text=True, timeout=60,
                              env={"PATH": os.environ["PATH"], **SANITIZERS, **(environment or {})})

    def validate(self, text, environment=None):
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.chronos("config", "validate", "-f", "chronos.yaml", environment=environment)

    def valid(self, text, environment=None):
        done = self.validate(text, environment)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "chronos.yaml: valid\n", ""))

    def refused(self, text, *lines, environment=None):
        """Exit code 78; each of `lines` begins one line of the complaint, in this order, and there are no others."""
        done = self.validate(text, environment)
        self.assertEqual((done.returncode, done.stdout), (78, ""), done)
        said = done.stderr.splitlines()
        self.assertEqual(len(said), len(lines), done.stderr)
        for line, start in zip(said, lines):
            if isinstance(start, str):
                start = (start,)
            self.assertTrue(line.startswith("chronos: " + start[0]), f"{line!r} does not begin with {start[0]!r}")
            for part in start[1:]:
                self.assertIn(part, line)


class FileTest(ConfigCase):
    def test_valid(self):
        for text in ("", "# nothing\n", "{}\n", "cluster:\n", "storage: {backend: sqlite}\n", "executors: {http: false}\n",
                     "\ufefflogging: {level: debug}\n", "scheduler: {catchup_window: unlimited, grace: 0}\r\n"):
            with self.subTest(text=text):
                self.valid(text)
        shutil.copy(Path(__file__).resolve().parents[2] / "configs" / "chronos.yaml", self.file)
        self.assertEqual(self.chronos("config", "validate", "-f", "chronos.yaml").returncode, 0)

    def test_yaml_itself(self):
        for text, line, words in (("cluster:\n\tnode_id: a\n", 2, "tab"), ("cluster:\n  node_id: a\n\tdata_dir: b\n", 3,
                                                                           "tab"), ("cluster: {node_id: a\n", None, ""),
                                  ("cluster: [\n", None, ""), ("a: b: c\n", 1, ""), ("cluster:\n  node_id: \"a\n", None, ""),
                                  ("cluster: &x {}\n", 1, "anchor"), ("cluster: *x\n", 1, ""),
                                  ("cluster: !!map {}\n", 1, "tag"), ("---\n{}\n---\n{}\n", None, ""), ("- a\n- b\n", 1, ""),
                                  ("text\n", 1, ""), ("1: 2\n", 1, ""), ("cluster:\n  <<: {}\n", 2, "")):
            with self.subTest(text=text):
                done = self.validate(text)
                self.assertEqual((done.returncode, done.stdout), (78, ""), done)
                self.assertRegex(done.stderr, rf"^chronos: chronos\.yaml:{line or '[0-9]+'}: ")
                self.assertIn(words, done.stderr)
        for text in (b"cluster: {node_id: \xff}\n", b"cluster: {node_id: \x00}\n", b"\xff\xfe\x00", "{" * 100000,
                     "a: " + "[" * 50, "x" * (2 << 20)):
            with self.subTest(text=text[:20]):
                done = self.validate(text)
                self.assertEqual((done.returncode, done.stdout), (78, ""), done)
                self.assertIn("chronos.yaml", done.stderr)

    def test_duplicate_keys(self):
        self.refused("cluster:\n  node_id: a\n  node_id: b\n", ("chronos.yaml:3: ", "node_id", "twice"))
        self.refused("cluster: {}\nserver: {}\ncluster: {}\n", ("chronos.yaml:3: ", "cluster", "twice"))

    def test_unknown_keys_and_the_nearest(self):
        self.refused("""
cluster:
  nod_id: a
server:
  http:
    adress: 127.0.0.1:0
  port: 80
storge: {}
scheduler:
  default_retry_policy: {max_attempt: 3}
""", 'chronos.yaml:3: cluster.nod_id: unknown key; did you mean "node_id"?',
                     'chronos.yaml:6: server.http.adress: unknown key; did you mean "address"?',
                     "chronos.yaml:7: server.port: unknown key",
                     'chronos.yaml:8: storge: unknown key; did you mean "storage"?',
                     'chronos.yaml:10: scheduler.default_retry_policy.max_attempt: unknown key; did you mean "max_attempts"?')
        self.refused("cluster: {election_timeout: 1s}\n",
                     ('chronos.yaml:1: cluster.election_timeout: unknown key', "cluster.raft"))

    def test_wrong_values(self):
        self.refused("""
cluster:
  node_id: "a b"
  raft: {peers: ["10.0.0.2:7000"], heartbeat_timeout: 5s}
server:
  http:
    address: localhost:8080
    read_timeout: fast
    max_connections: 0
    max_body_bytes: 1MB1
  shutdown_timeout: 2d
storage: {min_free: -1, executions_per_job: many}
scheduler: {missed_run_policy: run_all, misfire_threshold: 1ms}
output: {replicated_bytes: 1MiB}
metrics: {enabled: yes, path: metrics}
logging: {level: warning, format: xml, output: ""}
security: {strict: 1}
executors: {max_concurrent: [1]}
""", *[(f"chronos.yaml:{line}: {key}: ", word)
        for line, key, word in ((3, "cluster.node_id", '"a b"'), (7, "server.http.address", "localhost"),
                               (8, "server.http.read_timeout", '"fast"'), (9, "server.http.max_connections", "1"),
                               (10, "server.http.max_body_bytes", "1MB1"), (11, "server.shutdown_timeout", "1h"),
                               (12, "storage.min_free", "-1"), (12, "storage.executions_per_job",
                                                                "many"), (13, "scheduler.missed_run_policy", "execute_all"),
                               (13, "scheduler.misfire_threshold", "100ms"), (14, "output.replicated_bytes", "64KiB"),
                               (15, "metrics.enabled", "true"), (15, "metrics.path", ""), (16, "logging.level", '"warn"'),
                               (16, "logging.format", "json"), (16, "logging.output", ""), (17, "security.strict", "true"),
                               (18, "executors.max_concurrent",
                                "list"), (4, "cluster.raft.peers", ""), (4, "cluster.raft.heartbeat_timeout",
                                                                         "election_timeout"))])  # what must agree comes last

    def test_a_file_that_cannot_be_read(self):
        for path in ("no-such-file.yaml", "/no/such/file", "."):
            with self.subTest(path=path):
                done = self.chronos("config", "validate", "-f", path)
                self.assertEqual((done.returncode, done.stdout), (78, ""))
                self.assertIn(path, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertEqual(self.chronos("--config", path).returncode, 78)

    def test_options_of_plugins(self):
        self.refused("executors:\n  http:\n    max_conections: 5\n",
                     ("chronos.yaml:3: executors.http.max_conections: ", "max_connections"))
        self.refused("executors:\n  http:\n    max_connections: none\n",
                     ("chronos.yaml:3: executors.http.max_connections: ", ""))
        self.refused("storage:\n  lmdb: {map_siz: 1GiB}\n", ("chronos.yaml:2: storage.lmdb.map_siz: ", "map_size"))
        self.refused("storage:\n  backend: lmbd\n", ("chronos.yaml:2: storage.backend: ", "storage_lmbd.so"))
        self.refused("executors:\n  shell: {}\n  bash: {}\n", ("chronos.yaml:3: executors.bash: ", "executor_bash.so"))
        self.refused("executors: {webhook: {}}\n", ('chronos.yaml:1: executors.webhook: there is no executor plugin "webhook"',
                                                    "; known: shell, http"))
        self.refused("executors: {webhook: false}\n", ("chronos.yaml:1: executors.webhook: unknown key; known here are: ",
                                                       ", shell, http"))

    def test_every_mistake_in_the_options_of_plugins(self):
        text = """\
storage:
  backend: lmdb
  lmdb: {map_sise: 1GiB, map_size: 12}
executors:
  shell:
    shel: /bin/bash
  http: {max_conections: 5}
  shel: {}
"""
        lines = ('chronos.yaml:3: storage.lmdb.map_sise: unknown key "map_sise"; did you mean "map_size"?',
                 "chronos.yaml:3: storage.lmdb.map_size: must be between",
                 'chronos.yaml:6: executors.shell.shel: unknown key "shel"; known: guardian',
                 'chronos.yaml:7: executors.http.max_conections: unknown key "max_conections"; did you mean "max_connections"?',
                 ('chronos.yaml:8: executors.shel: there is no executor plugin "shel"', 'did you mean "shell"?'))
        self.refused(text, *lines)
        done = self.chronos("--config", "chronos.yaml", "--data-dir", "data")  # a start says the same
        self.assertEqual(done.returncode, 78, done)
        self.assertEqual(len(done.stderr.splitlines()), len(lines), done.stderr)
        self.refused("storage: {backend: lmbd}\n", ('chronos.yaml:1: storage.backend: there is no storage plugin "lmbd"',
                                                    'did you mean "lmdb"?'))


class PluginFileTest(ConfigCase):
    def setUp(self):
        super().setUp()
        self.plugins = self.work / "plugins"
        self.plugins.mkdir(mode=0o755)

    def copy(self, name, to=None, mode=0o644):
        path = self.plugins / (to or f"{name}.so")
        shutil.copyfile(FIXTURES / f"{name}.so", path)
        path.chmod(mode)
        return path

    def load(self, path, more=""):
        return f"plugins:\n  load:\n    - path: {path}\n{more}"

    def bad(self, path, *words, more=""):
        self.refused(self.load(path, more), ("chronos.yaml:", "plugins.load", *words))

    def test_a_good_one(self):
        path = self.copy("executor_noop")
        self.valid(self.load(path, "executors: {noop: {}}\n"))

    def test_missing(self):
        self.bad(self.plugins / "nothing.so", "nothing.so", "No such file")
        self.bad("nothing.so", "nothing.so", "No such file")
        self.bad("some/relative.so", "some/relative.so", "absolute")
        self.bad(f"{self.plugins}/../x.so", "..")
        path = self.copy("executor_noop")
        self.refused(self.load(path, "    - path: /x.so\n    - path: /y.so\n"),
                     ("chronos.yaml:4: plugins.load.1: ", "/x.so"), ("chronos.yaml:5: plugins.load.2: ", "/y.so"))

    def test_who_may_write_it(self):
        for mode in (0o666, 0o664, 0o646):
            self.bad(self.copy("executor_noop", mode=mode), "executor_noop.so", "can be written", "chmod go-w")
        path = self.copy("executor_noop")
        self.plugins.chmod(0o777)
        self.bad(path, str(self.plugins), "can be written")
        self.plugins.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
            self.bad(path, "owned by user 65534", "chown root")

    def test_links(self):
        path = self.copy("executor_noop")
        (self.plugins / "link.so").symlink_to(path)
        self.bad(self.plugins / "link.so", "link.so", "symbolic link")
        (self.work / "linked").symlink_to(self.plugins)
        self.bad(self.work / "linked" / "executor_noop.so", "linked", "symbolic link")

    def test_what_is_no_plugin(self):
        (self.plugins / "text.so").write_text("not a library\n")
        (self.plugins / "empty.so").touch()
        (self.plugins / "directory.so").mkdir()
        os.mkfifo(self.plugins / "pipe.so", 0o644)
        for name, word in (("text.so", ""), ("empty.so", ""), ("directory.so", "directory"), ("pipe.so", "special")):
            with self.subTest(name=name):
                (self.plugins / name).chmod(0o755)
                self.bad(self.plugins / name, name, word)

    def test_every_bad_plugin_is_refused_with_its_name(self):
        words = {
            "bad_major": "major", "bad_entry": "chronos_plugin_v1", "bad_magic": "", "bad_revision": "revision",
            "bad_undefined": "undefined"
        }
        fixtures = sorted(FIXTURES.glob("bad_*.so"))
        self.assertGreater(len(fixtures), 20)
        for fixture in fixtures:
            name = fixture.stem
            with self.subTest(name=name):
                path = self.copy(name)
                done = self.validate(self.load(path, "executors: {bad: {}}\n"))
                if name == "bad_create":
                    continue  # what create() says is known at the start only: below
                self.assertEqual(done.returncode, 78, done)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertIn(words.get(name, ""), done.stderr)

    def test_a_pin(self):
        path = self.copy("executor_noop")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.valid(f"plugins:\n  load:\n    - {{path: {path}, sha256: {digest}}}\n")
        self.refused(f"plugins:\n  load:\n    - {{path: {path}, sha256: {'0' * 64}}}\n", ("chronos.yaml:", digest))
        self.refused(f"plugins:\n  load:\n    - {{path: {path}, sha256: abc}}\n", ("chronos.yaml:", "sha256"))

    def test_a_plugin_that_refuses_to_start(self):
        path = self.copy("bad_create")
        self.file.write_text(self.load(path, "executors: {bad: {}}\n"))
        done = self.chronos("--config", "chronos.yaml", "--http-address", "127.0.0.1:0",
                            environment={"CHRONOS_STORAGE_MIN_FREE": "0"})
        self.assertNotEqual(done.returncode, 0, done.stderr)
        self.assertIn("bad", done.stderr.splitlines()[-1])

    def test_the_same_id_twice(self):
        first, second = self.copy("executor_noop"), self.copy("executor_noop", "again.so")
        self.refused(f"plugins:\n  load:\n    - path: {first}\n    - path: {second}\n", ("chronos.yaml:", "noop"))


class EnvironmentTest(ConfigCase):
    def test_overrides(self):
        self.valid("logging: {level: info}\n", {"CHRONOS_LOGGING_LEVEL": "debug"})
        self.refused("logging: {level: nonsense}\n", "chronos.yaml:1: logging.level: ",
                     environment={"CHRONOS_LOGGING_LEVEL": "debug"})
        self.refused("", ("CHRONOS_LOGGING_LEVEL: logging.level: ", "verbose"),
                     environment={"CHRONOS_LOGGING_LEVEL": "verbose"})
        self.refused("", ("CHRONOS_SERVER_HTTP_READ_TIMEOUT: server.http.read_timeout: ", "1"),
                     environment={"CHRONOS_SERVER_HTTP_READ_TIMEOUT": "1"})

    def test_unknown_variables(self):
        self.refused("", 'CHRONOS_CLUSTER_NODEID: unknown environment variable; did you mean "CHRONOS_CLUSTER_NODE_ID"?',
                     environment={"CHRONOS_CLUSTER_NODEID": "x"})
        self.valid(
            "", {
                "CHRONOS_TEST_X": "1", "CHRONOSCTL_SERVER": "x", "CHRONOS_SERVICE_HOST": "10.0.0.1",
                "CHRONOS_PORT": "tcp://10.0.0.1:80", "CHRONOS_PORT_8080_TCP_ADDR": "10.0.0.1"
            })

    def test_precedence(self):
        """File, then environment, then command line."""
        node = Node("cluster: {node_id: from-file}\nlogging: {level: error}\n",
                    environment={"CHRONOS_CLUSTER_NODE_ID": "from-environment"})
        self.addCleanup(node.close)
        node.environment["CHRONOS_LOGGING_LEVEL"] = "info"
        node.start()
        self.assertEqual(node.get("/health").json["node_id"], "from-environment")
        self.assertEqual(node.stop(), 0)
        done = self.chronos("--log-level", "loud", environment={"CHRONOS_LOGGING_LEVEL": "debug"})
        self.assertEqual(done.returncode, 78)
        self.assertIn("--log-level: logging.level: ", done.stderr)


class CommandLineTest(ConfigCase):
    def test_version_and_help(self):
        done = self.chronos("--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"^chronos \d+\.\d+\.\d+")
        done = self.chronos("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--config", "--data-dir", "--http-address", "--log-level", "--version", "--help", "config validate"):
            self.assertIn(option, done.stdout)
        self.assertEqual(self.chronos("-h").stdout, done.stdout)

    def test_wrong_usage(self):
        for arguments, words in ((["--verion"], "did you mean --version?"), (["--conf"], "unknown option --conf"),
                                 (["-x"], "unknown option -x"), (["start"], 'unknown command "start"'),
                                 (["--config"], "--config needs a value"), (["--data-dir"], "--data-dir needs a value"),
                                 (["config"], "usage"), (["config", "check"], "usage"), (["config",
                                                                                          "validate"], "-f FILE is missing"),
                                 (["config", "validate", "x.yaml"], "x.yaml"), (["config", "validate", "-f"], "usage")):
            with self.subTest(arguments=arguments):
                done = self.chronos(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(words, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertEqual(list(self.work.iterdir()), [], "nothing was started")

    def test_values_with_an_equals_sign(self):
        self.file.write_text("logging: {level: loud}\n")
        self.assertEqual(self.chronos("--config=chronos.yaml").returncode, 78)


class StartTest(ConfigCase):
    def node(self, config=None, **environment):
        node = Node(config, environment=environment)
        self.addCleanup(node.close)
        return node

    def test_without_a_file(self):
        node = self.node().start()
        self.assertEqual({e["name"] for e in node.get("/api/v1/executors").json["executors"]}, {"shell", "http"})
        self.assertEqual(node.stop(), 0)

    def test_defaults_of_a_bare_start(self):
        """No file, no environment, no option: data in ./chronos-data, 127.0.0.1:8080."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", 8080))
            except OSError:
                self.skipTest("port 8080 is taken on this machine")
        with open(self.work / "log", "wb") as log:
            process = subprocess.Popen([str(CHRONOS)], cwd=self.work, env={"PATH": os.environ["PATH"], **SANITIZERS},
                                       stdout=log, stderr=log)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        wait_for(lambda: "became leader" in (self.work / "log").read_text() or process.poll() is not None, "a leader")
        self.assertIn("port=8080", (self.work / "log").read_text())
        self.assertTrue((self.work / "chronos-data" / "chronos-data").read_text().endswith("backend lmdb\n"))
        process.terminate()
        self.assertEqual(process.wait(30), 0)

    def test_formats_of_the_log(self):
        node = self.node("logging: {format: json, level: debug}\n")
        node.spawn()
        wait_for(lambda: "became leader" in node.log(), "a leader")
        self.assertEqual(node.stop(), 0)
        lines = [json.loads(line) for line in node.log().splitlines()]
        self.assertGreater(len(lines), 3)
        for line in lines:
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["level"], ("debug", "info", "warn", "error"))
        node = self.node("logging: {format: text}\n").start()
        self.assertEqual(node.stop(), 0)
        for line in node.log().splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO |WARN |ERROR) \S")
        node = self.node("logging: {level: error}\n")
        node.spawn()
        wait_for(lambda: (node.data_dir / "lock").exists(), "a start")
        wait_for(lambda: node.process.poll() is not None or (node.data_dir / "local").exists(), "a start")
        node.kill9()
        self.assertEqual(node.log(), "")

    def test_log_to_a_file_that_is_rotated(self):
        path = self.work / "node.log"
        node = self.node(f"logging: {{output: {path}}}\n")
        node.spawn()
        wait_for(lambda: path.exists() and "became leader" in path.read_text(), "a leader")
        path.rename(self.work / "node.log.1")
        node.process.send_signal(signal.SIGHUP)
        wait_for(lambda: path.exists() and "reopened" in path.read_text(), "the new file")
        self.assertEqual(node.stop(), 0)
        self.assertIn("stopped", path.read_text())
        self.assertEqual(node.log(), "")

    def test_beyond_loopback(self):
        node = self.node(CHRONOS_SERVER_HTTP_ADDRESS="0.0.0.0:0").start()
        wait_for(lambda: "insecure" in node.log(), "the warning")
        self.assertRegex(node.log(), r"WARN +insecure: .*0\.0\.0\.0:0")
        self.assertEqual(node.metric('chronos_insecure{what="http"}'), 1)
        self.assertEqual(node.stop(), 0)
        for address in ("0.0.0.0:0", ":0", "[::]:0"):
            with self.subTest(address=address):
                strict = self.node("security: {strict: true}\n", CHRONOS_SERVER_HTTP_ADDRESS=address)
                strict.spawn()
                self.assertEqual(strict.wait_exit(), 78)
                self.assertIn("security.strict", strict.log())
                self.assertFalse(strict.data_dir.exists(), "refused before anything was touched")
        done = self.validate("security: {strict: true}\nserver: {http: {address: '0.0.0.0:0'}}\n"
                             "cluster: {raft: {address: '10.0.0.1:7000', peers: ['10.0.0.2:7000']}}\n")
        self.assertEqual(done.returncode, 78, done)
        for what in ("server.http.address 0.0.0.0:0 listens", "links between nodes on 10.0.0.1:7000"):
            self.assertIn(f"security.strict: {what}", done.stderr)
        strict = self.node("security: {strict: true}\n").start()
        self.assertEqual(strict.stop(), 0)
        self.assertNotIn("insecure", strict.log())

    def test_a_port_in_use(self):
        first = self.node().start()
        second = self.node(CHRONOS_SERVER_HTTP_ADDRESS=f"127.0.0.1:{first.port}")
        second.spawn()
        self.assertEqual(second.wait_exit(), 1)
        last = second.log().strip().splitlines()[-1]
        self.assertTrue(last.startswith("chronos: cannot start: server.http.address: "), last)
        self.assertIn("in use by another program; stop it, or choose another address", last)
        (self.work / "file").touch()
        third = self.chronos("--data-dir", "file", "--http-address", "127.0.0.1:0")
        self.assertEqual(third.returncode, 1)
        self.assertTrue(third.stderr.splitlines()[-1].startswith("chronos: cannot start: cluster.data_dir: "), third)
        self.assertIn(f"127.0.0.1:{first.port}", last)
        self.assertIn("in use", last)
        self.assertEqual(first.get("/ready").status, 200)

    def test_hangup_while_it_starts(self):
        """Rotation of logs may meet a node at any time; what it asks for is done once the node runs."""
        node = self.node()
        node.spawn()
        while not node.data_dir.exists():  # later than the log, and long before all is open
            self.assertIsNone(node.process.poll(), node.log())
        node.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "log reopened" in node.log() or node.process.poll() is not None, "the reload")
        self.assertEqual(node.stop(), 0)
        self.assertLess(node.log().index("chronos started"), node.log().index("log reopened"))

    def test_an_address_of_another_machine(self):
        node = self.node(CHRONOS_SERVER_HTTP_ADDRESS="192.0.2.1:8080")
        node.spawn()
        self.assertEqual(node.wait_exit(), 1)
        self.assertIn("192.0.2.1", node.log())

    def ask(self, path, request=b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(path))
            connection.sendall(request)
            data = b""
            while piece := connection.recv(65536):
                data += piece
            return data

    def test_unix_socket(self):
        path = self.work / "api.sock"
        node = self.node(CHRONOS_SERVER_HTTP_UNIX_SOCKET=str(path)).start()
        self.assertTrue(self.ask(path).startswith(b"HTTP/1.1 200 "))
        self.assertEqual(path.stat().st_mode & 0o007, 0, "not for everybody")
        self.assertEqual(node.get("/live").status, 200)
        second = self.node(CHRONOS_SERVER_HTTP_UNIX_SOCKET=str(path))
        second.spawn()
        self.assertEqual(second.wait_exit(), 1, "a socket in use is not taken away")
        self.assertIn("server.http.unix_socket", second.log())
        self.assertTrue(self.ask(path).startswith(b"HTTP/1.1 200 "))
        node.kill9()
        self.assertTrue(path.exists())
        node.start()  # what a crash left behind is no obstacle
        self.assertTrue(self.ask(path).startswith(b"HTTP/1.1 200 "))
        self.assertEqual(node.stop(), 0)
        self.assertFalse(path.exists())
        path.write_text("somebody's file")
        node.spawn()
        self.assertEqual(node.wait_exit(), 1)
        self.assertEqual(path.read_text(), "somebody's file")

    def test_metrics_elsewhere_or_off(self):
        node = self.node("metrics: {path: /internal/metrics}\n").start()
        self.assertEqual((node.get("/internal/metrics").status, node.get("/metrics").status), (200, 404))
        node = self.node("metrics: {enabled: false}\n").start()
        self.problem(node.get("/metrics"), 404, "NOT_FOUND")

    def test_an_executor_that_is_left_out(self):
        node = self.node("executors: {http: false}\n").start()
        self.assertEqual([e["name"] for e in node.get("/api/v1/executors").json["executors"]], ["shell"])
        answer = node.post("/api/v1/jobs", {"name": "x", "schedule": "@manually", "webhook": {"url": "http://127.0.0.1/"}})
        document = self.problem(answer, 422, "EXECUTOR_UNKNOWN")
        self.assertEqual(document["errors"], [{"field": "/webhook", "message": 'this node does not have the executor "http"; known: shell'}])


if __name__ == "__main__":
    unittest.main()
