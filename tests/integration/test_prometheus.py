"""A real Prometheus scrapes three real nodes under the configuration and the alert rules that ship, and sees one of them stop."""
# ctest: once release
import json
import re
import subprocess
import tempfile
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

from harness import ROOT, Node, TestCase, wait_for
from members import Cluster, free_port, write

CONFIG = ROOT / "configs" / "prometheus"
RULE_TESTS = ROOT / "tests" / "prometheus" / "chronos.rules.test.yml"
INTERVAL = "500ms"
# As users have them from the clustering guide: name, expression, seconds until it fires, severity, summary.
GUIDE = [("ChronosNoLeader", "sum(chronos_raft_is_leader) == 0", 30, "critical", "No Chronos leader elected"),
         ("ChronosClusterDegraded", "chronos_raft_peers < 3", 300, "warning", "Chronos cluster has fewer than 3 nodes")]
GUIDE_METRICS = ["chronos_raft_is_leader", "chronos_raft_peers", "chronos_raft_commit_index", "chronos_raft_applied_index",
                 "chronos_raft_last_contact", "chronos_raft_last_contact_seconds"]


def promtool(*words, stdin=None):
    done = subprocess.run(["promtool", *map(str, words)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    return done.returncode, done.stdout.decode()


class Prometheus:
    """The configuration that ships, with these targets, and intervals for people in a hurry."""

    def __init__(self, targets):
        self.work = tempfile.TemporaryDirectory(prefix="chronos-prometheus-")
        directory = Path(self.work.name)
        text = (CONFIG / "prometheus.yml").read_text()
        text, hurried = re.subn(r"(scrape_interval|evaluation_interval): 15s", rf"\1: {INTERVAL}", text)
        text, aimed = re.subn(r"targets: \[10\.0\.0\..*\]", f"targets: {json.dumps(targets)}", text)
        assert (hurried, aimed) == (2, 1), text
        (directory / "prometheus.yml").write_text(text)
        (directory / "chronos.rules.yml").write_text((CONFIG / "chronos.rules.yml").read_text())
        self.address = f"127.0.0.1:{free_port('127.0.0.1')}"
        self.log = open(directory / "log", "w+b")
        self.process = subprocess.Popen(["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                                         f"--web.listen-address={self.address}"], cwd=directory, stdout=self.log, stderr=self.log)

    def __enter__(self):
        try:
            wait_for(self.is_ready, "Prometheus to be ready", 120)
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def __exit__(self, kind=None, *ignored):
        self.process.kill()
        self.process.wait()
        self.log.seek(0)
        if kind:
            print(f"--- prometheus\n{self.log.read().decode()[-4000:]}", flush=True)
        self.log.close()
        self.work.cleanup()

    def is_ready(self):
        assert self.process.poll() is None, "Prometheus ended"
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def get(self, path, **query):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """Values by instance; "" where the expression has none."""
        return {row["metric"].get("instance", ""): float(row["value"][1]) for row in self.get("query", query=expression)["result"]}

    def rules(self):
        return {rule["name"]: rule for group in self.get("rules")["groups"] for rule in group["rules"]}

    def alerts(self, name):
        """Instances for which the alert is about to fire, or fires."""
        return {alert["labels"].get("instance", "") for alert in self.rules()[name]["alerts"]}


class Files(TestCase):
    def test_rules_are_valid_and_do_what_their_situations_say(self):
        for words in (["check", "config", CONFIG / "prometheus.yml"], ["check", "rules", CONFIG / "chronos.rules.yml"],
                      ["test", "rules", RULE_TESTS]):
            code, said = promtool(*words)
            self.assertEqual(code, 0, said)

    def test_every_alert_has_a_situation_and_a_line_in_the_documentation(self):
        alerts = re.findall(r"- alert: (\w+)", (CONFIG / "chronos.rules.yml").read_text())
        self.assertEqual(len(set(alerts)), len(alerts))
        self.assertEqual(set(re.findall(r'alertname="(\w+)"', RULE_TESTS.read_text())), set(alerts))
        documented = re.findall(r"^\| `(Chronos\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.M)
        self.assertEqual(documented, alerts)

    def test_rules_name_metrics_that_exist(self):
        with Node() as node:
            page = node.get("/metrics").body
        code, said = promtool("check", "metrics", stdin=page)
        self.assertEqual((code, said), (0, ""))
        exposed = set(re.findall(r"^([a-z_]+)[ {]", page.decode(), re.M))
        used = set(re.findall(r"\b(?:chronos|process)_[a-z_]+", re.sub(r"summary: .*|#.*", "", (CONFIG / "chronos.rules.yml").read_text())))
        self.assertGreater(len(used), 15)
        self.assertEqual(used - exposed, {"chronos_tls_certificate_expiry_time_seconds"}) # with TLS alone: test_tls.py
        # Increases are seen from the first one on only of series that are there before.
        for reason in ("missed", "catchup_window", "catchup_limit", "ignore_missed"):
            self.assertIn(f'chronos_missed_runs_total{{reason="{reason}"}} 0\n', page.decode())


class Scraping(TestCase):
    def test_three_nodes(self):
        with Cluster() as cluster:
            write(cluster.nodes[0], name="x", schedule="@manually", executor="shell", config={"command": "true"})
            targets = {node: f"127.0.0.1:{node.port}" for node in cluster.nodes}
            with Prometheus(list(targets.values())) as prometheus:
                self.all_up(prometheus, set(targets.values()))
                self.rules_as_in_the_guide(prometheus)
                stopped = cluster.followers()[0]
                self.assertEqual(stopped.stop(), 0)
                self.one_down(prometheus, targets, stopped)
                for node in cluster.running():
                    node.stop()
                self.all_down(prometheus, len(targets))

    def all_up(self, prometheus, targets):
        wait_for(lambda: prometheus.query('up{job="chronos"} == 1').keys() == targets, "all targets to be up")
        wait_for(lambda: prometheus.query("sum(chronos_raft_is_leader)") == {"": 1}, "one leader")
        for name in GUIDE_METRICS:
            self.assertEqual(prometheus.query(name).keys(), targets, name)
        self.assertEqual(set(prometheus.query("chronos_raft_peers").values()), {3})
        wait_for(lambda: set(prometheus.query("chronos_raft_peers_reachable").values()) == {3}, "all to reach each other")
        self.assertEqual(set(prometheus.query("chronos_jobs").values()), {1})
        self.assertGreater(min(prometheus.query("chronos_raft_applied_index").values()), 0)
        self.assertLess(max(prometheus.query("chronos_raft_last_contact_seconds").values()), 10)

    def rules_as_in_the_guide(self, prometheus):
        rules = wait_for(lambda: (r := prometheus.rules()) and all(rule["health"] == "ok" for rule in r.values()) and r, "the rules")
        for name, expression, seconds, severity, summary in GUIDE:
            rule = rules[name]
            self.assertEqual((rule["query"], rule["duration"], rule["labels"], rule["annotations"]),
                             (expression, seconds, {"severity": severity}, {"summary": summary}))
        # Until all were scraped for the first time there may have been no leader. Then there is nothing to say.
        wait_for(lambda: not any(rule["alerts"] for rule in prometheus.rules().values()), "calm")

    def one_down(self, prometheus, targets, stopped):
        left = set(targets.values()) - {targets[stopped]}
        wait_for(lambda: prometheus.query('up{job="chronos"} == 0').keys() == {targets[stopped]}, "the target to be down")
        wait_for(lambda: prometheus.alerts("ChronosNodeDown") == {targets[stopped]}, "the rule to see it")
        wait_for(lambda: prometheus.alerts("ChronosNodeUnreachable") == left, "the others to miss it")
        wait_for(lambda: len(prometheus.alerts("ChronosQuorumAtRisk")) == 1, "the leader to worry")
        self.assertEqual(prometheus.query("sum(chronos_raft_is_leader)"), {"": 1})
        self.assertEqual(prometheus.alerts("ChronosNoLeader"), set())

    def all_down(self, prometheus, count):
        wait_for(lambda: len(prometheus.alerts("ChronosNodeDown")) == count, "all targets to be down")
        wait_for(lambda: prometheus.alerts("ChronosGone") == {""}, "the rule that sees that there is nothing to see")


if __name__ == "__main__":
    unittest.main()
