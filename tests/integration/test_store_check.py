"""`chronos store check`: says that all is well where it is, names what is not, and changes nothing."""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BACKEND, BUILD, Node, TestCase

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def id_bytes(text):
    """The 16 bytes of "job_" and 26 digits."""
    number = 0
    for digit in text.split("_")[1]:
        number = number * 32 + DIGITS.index(digit)
    return number.to_bytes(16, "big")


def contents(directory):
    """Every file but those that only coordinate processes: LMDB's readers, SQLite's index of its log."""
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(directory.rglob("*")) if path.is_file() and path.name not in ("lock.mdb", "store.db-shm")}


class StoreCheckCase(TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.work = Path(tempfile.mkdtemp(prefix="chronos-check-"))
        self.addCleanup(shutil.rmtree, self.work, True)

    def check(self, *arguments):
        environment = {"PATH": os.environ["PATH"], **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}
        return subprocess.run([str(self.node.program), "store", "check", *map(str, arguments)], env=environment,
                              cwd=self.work, capture_output=True, text=True, timeout=60)

    def sound(self, *arguments):
        answer = self.check(*arguments)
        self.assertEqual((answer.returncode, answer.stderr), (0, ""), answer)
        self.assertIn("no problems found\n", answer.stdout)
        return answer.stdout

    def unsound(self, *arguments):
        answer = self.check(*arguments)
        self.assertEqual(answer.returncode, 1, answer)
        self.assertNotIn("no problems found", answer.stdout)
        return answer.stderr

    def filled(self):
        """A node that has stopped, with a job, a run and another job's versions. The job's id."""
        self.node.start()
        job = self.node.create(name="marker-of-a-job", schedule="@manually", command="echo run", description="x" * 50)
        self.node.ended(self.node.trigger("marker-of-a-job")["id"])
        self.node.patch("/api/v1/jobs/marker-of-a-job", {"description": "another"})
        self.assertEqual(self.node.stop(), 0)
        return job["id"]

    def replace(self, directory, old, new):
        """In each place of the store's one file."""
        self.assertEqual(len(old), len(new))
        path = self.node.data_dir / directory / ("data.mdb" if BACKEND == "lmdb" else "store.db")
        data = path.read_bytes()
        self.assertIn(old, data)
        path.write_bytes(data.replace(old, new))


class DirectoryTest(StoreCheckCase):
    def test_sound_and_unchanged(self):
        self.filled()
        before = contents(self.node.data_dir)
        said = self.sound(self.node.data_dir)
        self.assertIn(f"{self.node.data_dir} ({BACKEND})", said)
        self.assertIn("jobs 1, names 1, sched 1, marks 1, open 0, executions 1,", said)
        self.assertIn("versions 1,", said)
        self.assertRegex(said, r"cluster +[0-9a-f]{32}\n")
        self.assertRegex(said, r"state +entry \d+ of term \d+ \(state-1\)\n")
        self.assertEqual(contents(self.node.data_dir), before)
        self.node.start()
        self.assertEqual(self.node.get("/api/v1/jobs/marker-of-a-job").json["description"], "another")

    def test_after_a_kill(self):
        self.node.start()
        for i in range(20):
            self.node.create(name=f"job-{i}", schedule="@manually", command="true")
        self.node.kill9()
        self.sound(self.node.data_dir)
        self.node.start()
        self.assertEqual(len(self.node.get("/api/v1/jobs").json["jobs"]), 20)

    def test_in_use(self):
        self.node.start()
        self.assertIn(f"is in use by process {self.node.process.pid}: stop that node first",
                      self.unsound(self.node.data_dir))
        self.assertEqual(self.node.get("/ready").status, 200)

    def test_a_damaged_entry_is_named(self):
        self.filled()
        self.replace("log", b"x" * 50, b"x" * 49 + b"y")
        said = self.unsound(self.node.data_dir)
        self.assertRegex(said, r"problem: the log: .*log entry \d+")
        self.assertEqual(said.count("problem: "), 1)  # and the state was looked at all the same
        self.assertIn("jobs 1, names 1", self.check(self.node.data_dir).stdout)

    def test_a_row_that_leads_nowhere_is_named(self):
        identity = id_bytes(self.filled())
        self.replace("state-1", b"\x01" + identity, b"\x01" + identity[:-1] + bytes([identity[-1] ^ 1]))
        said = self.unsound(self.node.data_dir)
        self.assertIn(f"problem: table names, key {b'marker-of-a-job'.hex()}: the job that it leads to is not there", said)
        self.assertIn(f"problem: table jobs, key {identity.hex()}: ", said)

    def test_a_log_that_is_older_than_the_state(self):
        self.filled()
        shutil.copytree(self.node.data_dir / "log", self.work / "log")
        self.node.start()
        self.node.create(name="later", schedule="@manually", command="true")
        self.node.stop()
        shutil.rmtree(self.node.data_dir / "log")
        shutil.copytree(self.work / "log", self.node.data_dir / "log")
        self.assertIn("log and state are not of one node, or of different moments", self.unsound(self.node.data_dir))

    def test_parts_that_are_missing_stay_missing(self):
        self.filled()
        shutil.rmtree(self.node.data_dir / "state-1")  # the log holds all since the beginning
        self.assertNotIn("rows", self.sound(self.node.data_dir))
        shutil.rmtree(self.node.data_dir / "log")
        said = self.unsound(self.node.data_dir)
        self.assertIn("there is no log (if storage.log_dir is set, give --config)", said)
        self.assertIn("the state: there is none", said)
        self.assertEqual({path.name for path in self.node.data_dir.iterdir()} & {"log", "state-1"}, set())

    def test_a_log_elsewhere(self):
        self.node.environment = {"CHRONOS_STORAGE_LOG_DIR": str(self.work / "elsewhere")}
        self.filled()
        config = self.work / "chronos.yaml"
        config.write_text(f"storage:\n  log_dir: {self.work}/elsewhere\n")
        self.sound(self.node.data_dir, "--config", config)
        self.sound(f"--config={config}", self.node.data_dir)
        self.assertIn("give --config", self.unsound(self.node.data_dir))

    def test_what_is_no_data_directory(self):
        self.assertIn("is no data directory of Chronos", self.unsound(self.work))
        self.assertEqual(list(self.work.iterdir()), [])
        self.assertIn("No such file or directory", self.unsound(self.work / "none"))
        (self.work / "chronos-data").write_text("chronos-data 2\n")
        self.assertIn("written by a newer version of Chronos", self.unsound(self.work))

    def test_usage(self):
        for arguments in ([], ["a", "b"], ["--what"], ["a", "--config"]):
            self.assertEqual(self.check(*arguments).returncode, 2, arguments)
        config = self.work / "chronos.yaml"
        config.write_text("storage:\n  no_such_key: 1\n")
        self.filled()
        self.assertEqual(self.check(self.node.data_dir, "--config", config).returncode, 78)


class SnapshotTest(StoreCheckCase):
    def test_sound_and_damaged(self):
        self.filled()
        path = self.work / "snapshot"
        subprocess.run([BUILD / "tests" / "chronos-write-snapshot", BUILD / f"lib/chronos/plugins/storage_{BACKEND}.so",
                        self.node.data_dir / "state-1", path], check=True)
        sample = path.read_bytes()
        said = self.sound(path)
        rows = re.search(r"rows .*\n", self.sound(self.node.data_dir))[0]
        self.assertIn(rows, said)
        self.assertIn(f"sha-256   {hashlib.sha256(sample).hexdigest()}\n", said)
        self.assertIn(f"size      {len(sample)} bytes\n", said)
        self.assertIn("made by   node-1, Chronos ", said)
        self.assertEqual(path.read_bytes(), sample)
        middle = len(sample) // 2
        path.write_bytes(sample[:middle] + bytes([sample[middle] ^ 1]) + sample[middle + 1:])
        self.assertRegex(self.unsound(path), r"problem: the snapshot .*: the block at byte \d+: its checksum does not fit")
        path.write_bytes(sample[:-1])
        self.assertIn("which is too early", self.unsound(path))
        path.write_bytes(sample + b"\0")
        self.assertIn("bytes behind its end", self.unsound(path))
        path.write_bytes(b"something else that is long enough")
        self.assertIn("it is not a snapshot of Chronos", self.unsound(path))


if __name__ == "__main__":
    unittest.main()
