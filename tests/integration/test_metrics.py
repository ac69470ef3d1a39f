# ctest: once
"""The metrics page and docs/metrics.md name the same metrics, with the same types."""
import re
import unittest

from harness import ROOT, Node, TestCase


class MetricsTest(TestCase):
    def test_page_and_document_agree(self):
        with Node() as node:
            node.create(name="tick", schedule="@manually", command="true")
            node.ended(node.trigger("tick")["id"])
            page = node.get("/metrics")
        self.assertEqual(page.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page.body.decode(), re.M))
        document = (ROOT / "docs" / "metrics.md").read_text()
        documented = dict(re.findall(r"^\| `([a-z_]+)(?:\{[a-z_, ]+\})?` \| (\w+) \|", document, re.M))
        self.assertEqual(documented, types)

    def test_every_sample_is_well_formed(self):
        with Node() as node:
            lines = node.get("/metrics").body.decode().splitlines()
        sample = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? -?[0-9.e+]+$|^# (HELP|TYPE) ')
        self.assertEqual([line for line in lines if not sample.match(line)], [])
        self.assertEqual(len([line for line in lines if line.startswith("# TYPE")]),
                         len({line.split()[2] for line in lines if line.startswith("# TYPE")}))


if __name__ == "__main__":
    unittest.main()
