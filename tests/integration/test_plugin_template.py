"""docs/plugin-guide.md, step by step: the SDK installed to an empty prefix, the template copied elsewhere, built, checked, loaded, run."""
# ctest: once timeout=300
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from harness import BUILD, ROOT, Node, TestCase, instant, wait_for

JOBS = "/api/v1/jobs"


def call(*command, cwd=None, **environment):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CHRONOS_")}  # the tests' own
    done = subprocess.run([str(c) for c in command], cwd=cwd, env={**inherited, **environment}, capture_output=True,
                          text=True, timeout=200)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


class TemplateTest(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Path(tempfile.mkdtemp(prefix="chronos-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        cls.prefix = cls.work / "prefix"
        call("cmake", "--install", BUILD, "--prefix", cls.prefix)
        cls.template = cls.prefix / "share" / "chronos" / "templates" / "executor"

    def copy(self, name):
        """Step 2, to a folder that is not beside the prefix."""
        folder = Path(tempfile.mkdtemp(prefix="chronos-test-")) / name
        self.addCleanup(shutil.rmtree, folder.parent, ignore_errors=True)
        shutil.copytree(self.template, folder)
        return folder

    def build_with_cmake(self):
        folder = self.copy("with_cmake")
        call("cmake", "-B", "build", f"-DCMAKE_PREFIX_PATH={self.prefix}", cwd=folder)
        call("cmake", "--build", "build", cwd=folder)
        return folder / "build" / "executor_hello.so"

    def build_with_make(self):
        folder = self.copy("with_make")
        call("make", cwd=folder, PKG_CONFIG_PATH=str(self.prefix / "share" / "pkgconfig"))
        return folder / "executor_hello.so"

    def test_what_is_installed(self):
        for path in ("bin/chronos", "bin/chronosctl", "bin/chronos-plugin-check", "include/chronos/plugin.h",
                     "include/chronos/executor.h", "include/chronos/storage.h", "include/chronos/host.h",
                     "share/pkgconfig/chronos-plugin.pc", "lib/chronos/plugins/storage_lmdb.so",
                     "lib/chronos/plugins/storage_sqlite.so", "lib/chronos/plugins/executor_shell.so",
                     "lib/chronos/plugins/executor_http.so", "share/chronos/templates/executor/executor_hello.c"):
            with self.subTest(path=path):
                self.assertTrue((self.prefix / path).is_file())
        shown = call("pkg-config", "--cflags", "--variable=plugindir", "chronos-plugin",
                     PKG_CONFIG_PATH=str(self.prefix / "share" / "pkgconfig"))
        self.assertIn(str(self.prefix), shown)
        self.assertNotIn(str(ROOT), shown + (self.prefix / "share/pkgconfig/chronos-plugin.pc").read_text(),
                         "a path of the source tree was installed")
        for path in self.prefix.rglob("*.cmake"):
            self.assertNotIn(str(ROOT), path.read_text(), path)

    def test_the_links_of_what_is_installed(self):
        pages = list(self.prefix.rglob("*.md"))
        self.assertIn(self.prefix / "share/doc/chronos/docs/getting-started.md", pages)
        for page in pages:
            for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
                with self.subTest(page=page.name, link=link):
                    self.assertTrue("://" in link or (page.parent / link).is_file())

    def test_the_template_is_short(self):
        lines = [line for line in (self.template / "executor_hello.c").read_text().splitlines() if line.strip()]
        self.assertLess(len(lines), 250)

    def test_with_cmake(self):
        self.follow(self.build_with_cmake())

    def test_with_make(self):
        self.follow(self.build_with_make())

    def test_what_is_no_plugin_is_said_once(self):
        done = subprocess.run([self.prefix / "bin" / "chronos-plugin-check", self.prefix / "bin" / "chronosctl"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("0 passed", done.stdout)
        self.assertLess(len(done.stdout.splitlines()), 12, done.stdout)

    def test_make_without_the_sdk(self):
        folder = self.copy("without_sdk")
        environment = {"PATH": os.environ["PATH"], "PKG_CONFIG_LIBDIR": str(folder)}
        done = subprocess.run(["make"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("PKG_CONFIG_PATH=<prefix>/share/pkgconfig make", done.stderr)
        subprocess.run(["make", "clean"], cwd=folder, env=environment, capture_output=True, timeout=60, check=True)

    def test_installed_by_its_own_rules(self):
        """`make install` puts it where a bare name finds it, and the executor's id alone is enough to load it."""
        folder = self.copy("installed")
        call("make", "install", cwd=folder, PKG_CONFIG_PATH=str(self.prefix / "share" / "pkgconfig"))
        self.assertTrue((self.prefix / "lib/chronos/plugins/executor_hello.so").is_file())
        with self.installed_node("executors: {hello: {}}\n") as node:
            self.assertEqual({e["name"] for e in node.get("/api/v1/executors").json["executors"]}, {"shell", "http", "hello"})
        (self.prefix / "lib/chronos/plugins/executor_hello.so").unlink()

    def installed_node(self, config):
        return Node(config, program=self.prefix / "bin" / "chronos")

    def follow(self, plugin):
        """Steps 4 to 7."""
        checked = call(self.prefix / "bin" / "chronos-plugin-check", plugin)
        self.assertNotIn("FAIL", checked)
        self.assertLess(len(checked.splitlines()), 10, "what is for other kinds of plugins is told once")
        place = self.work / "opt" / plugin.parent.parent.name / "executor_hello.so"
        call("install", "-D", "-m", "0644", plugin, place)
        config = f"plugins:\n  load:\n    - path: {place}\nexecutors:\n  hello: {{}}\n"
        (self.work / "chronos.yaml").write_text(config)
        call(self.prefix / "bin" / "chronos", "config", "validate", "-f", self.work / "chronos.yaml")
        with self.installed_node(config) as node:
            self.use(node)
            self.assertEqual(node.stop(), 0)
            self.assertNotIn("ERROR", node.log())

    def use(self, node):
        listed = {e["name"]: e for e in node.get("/api/v1/executors").json["executors"]}
        self.assertEqual(listed["hello"]["plugin"], "executor_hello")
        options = {o["name"] for o in node.get("/api/v1/executors/hello").json["config"]["options"]}
        self.assertEqual(options, {"name", "delay"})

        node.create(name="greet", schedule="@every 1s", executor="hello", config={"name": "reader", "delay": "100ms"})
        run = node.ended(node.trigger("greet")["id"])
        self.assertEqual(run["status"], "success", run)
        self.assertIn("Hello, reader! This is run " + run["id"], run["output"])
        self.assertGreaterEqual(run["duration_ms"], 100)
        scheduled = wait_for(lambda: [r for r in node.executions("greet", trigger="schedule") if r["status"] == "success"],
                             "a scheduled run")
        self.assertIn(scheduled[0]["id"], scheduled[0]["output"])
        node.delete(f"{JOBS}/greet")

        for config, field in (({"delay": "soon"}, "/config/delay"), ({"nam": "x"}, "/config/nam"), ({"name": 5},
                                                                                                    "/config/name")):
            answer = node.post(JOBS, {"name": "bad", "schedule": "@manually", "executor": "hello", "config": config})
            self.problem(answer, 422, "INVALID", field=field)
        answer = node.post(JOBS,
                           {"name": "bad", "schedule": "@manually", "executor": "hello", "config": {"name": "two\nlines"}})
        self.problem(answer, 422, "INVALID", contains="one line")

        node.create(name="slow", schedule="@manually", executor="hello", config={"delay": "10m"}, concurrency="allow",
                    timeout="1h")
        runs = [node.trigger("slow") for _ in range(10)]
        wait_for(lambda: node.get(f"{JOBS}/slow").json["running"] == 10, "ten of them")
        begun = time.monotonic()
        for run in runs:
            self.assertEqual(node.post(f"/api/v1/executions/{run['id']}/cancel").status, 202)
        self.assertEqual({node.ended(r["id"])["status"] for r in runs}, {"cancelled"})
        self.assertLess(time.monotonic() - begun, 10)
        node.create(name="late", schedule="@manually", executor="hello", config={"delay": "10m"}, timeout="300ms")
        done = node.ended(node.trigger("late")["id"])
        self.assertEqual(done["status"], "timeout")
        self.assertLess(instant(done["completed_at"]) - instant(done["started_at"]), 5)

        many = [node.trigger("slow", config={"delay": "1ms", "name": str(i)}) for i in range(100)]
        for i, run in enumerate(many):
            self.assertIn(f"Hello, {i}!", node.ended(run["id"])["output"])


if __name__ == "__main__":
    unittest.main()
