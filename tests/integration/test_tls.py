# ctest: once
"""TLS between nodes: a cluster that talks in nothing else, and certificates that are replaced while it runs."""
import os
import signal
import subprocess
import tempfile
import time
import unittest
from collections import namedtuple

from harness import TestCase, wait_for
from members import QUIET, Member, write


class Authority:
    """Signs for nodes, as the openssl command does."""

    def __init__(self, folder):
        self.folder = folder
        self.key, self.certificate = f"{folder}/ca.key", f"{folder}/ca.crt"
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.key, "-out",
                 self.certificate, "-days", "2", "-subj", "/CN=peers")

    @staticmethod
    def run(*arguments, **more):
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True, **more).stdout

    def sign(self, name, serial, days=2):
        key, request, certificate = f"{self.folder}/{name}.key", f"{self.folder}/{name}.csr", f"{self.folder}/{name}.crt"
        extensions = f"{self.folder}/{name}.ext"
        with open(extensions, "w") as f:
            f.write(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth,clientAuth\n")
        if not os.path.exists(key):
            self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
                     "-subj", f"/CN={name}")
        self.run("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-set_serial", str(serial), "-days", str(days),
                 "-out", certificate, "-extfile", extensions)
        return f"    tls: {{cert_file: {certificate}, key_file: {key}, ca_file: {self.certificate}}}"


Link = namedtuple("Link", "caller called port") # ports of the two nodes' cluster.raft.address; that of the caller's socket


def sockets(node):
    found = set()
    for fd in os.listdir(f"/proc/{node.process.pid}/fd"):
        try:
            found.add(os.readlink(f"/proc/{node.process.pid}/fd/{fd}"))
        except FileNotFoundError: # closed just now
            pass
    return found


def links(nodes):
    """Connections between the nodes that both ends have open: each is one whole TLS session."""
    for node in nodes:
        node.raft_port = int(node.raft.rsplit(":", 1)[1])
    owned = {node.raft_port: sockets(node) for node in nodes}
    callers, called = {}, set()
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            local, remote, state, inode = (line.split()[i] for i in (1, 2, 3, 9))
            if state != "01": # established
                continue
            here, there = (int(end.split(":")[1], 16) for end in (local, remote))
            for port, inodes in owned.items():
                if f"socket:[{inode}]" not in inodes:
                    continue
                if there in owned:
                    callers[(here, there)] = port
                elif here == port:
                    called.add((there, here))
    return {Link(caller, pair[1], pair[0]) for pair, caller in callers.items() if pair in called}


class Tls(TestCase):
    def shown_serial(self, node, name):
        """Of the certificate that a node shows to a caller with a certificate of its own."""
        folder = self.authority.folder
        shown = subprocess.run(["openssl", "s_client", "-connect", node.raft, "-cert", f"{folder}/{name}.crt", "-key",
                                f"{folder}/{name}.key", "-CAfile", self.authority.certificate], input=b"", capture_output=True).stdout
        return int(Authority.run("x509", "-noout", "-serial", input=shown).split(b"=")[1], 16)

    def three_nodes(self):
        folder = tempfile.TemporaryDirectory(prefix="chronos-test-")
        self.addCleanup(folder.cleanup)
        self.authority = Authority(folder.name)
        nodes = []
        for number in range(1, 4):
            node = Member(number, peers=nodes[:], bootstrap=number == 1)
            self.addCleanup(node.close)
            tls = self.authority.sign(node.name, 100 + number)
            node.config = node.config.replace("    election_timeout: 1000ms\n", f"    election_timeout: 1000ms\n{tls}\n")
            nodes.append(node.start())
        def is_whole():
            states = [node.status() for node in nodes]
            return all(len(s["peers"]) == 3 and all(p["state"] in ("Leader", "Follower") for p in s["peers"]) for s in states)
        wait_for(is_whole, "three that vote")
        return nodes

    def test_links_are_made_anew(self):
        """Those that the node has dialled, and those that the others have: whoever leads, nobody campaigns."""
        nodes = self.three_nodes()
        wait_for(lambda: len(links(nodes)) == 12, "all to have called all, twice") # both lanes
        before = {node.name: node.status() for node in nodes}
        told = {node.name: len(node.log()) for node in nodes}
        for turn, node in enumerate(nodes): # one of them leads
            old = links(nodes)
            others = {link for link in old if node.raft_port not in (link.caller, link.called)}
            mine = old - others
            self.assertEqual(len(mine), 8)
            self.authority.sign(node.name, 300 + turn)
            os.kill(node.process.pid, signal.SIGHUP)
            wait_for(lambda: not mine & links(nodes), "its links to be made anew")
            wait_for(lambda: len(links(nodes)) == 12, "the old ones to be closed")
            self.assertEqual(links(nodes) & others, others) # they have nothing to do with it
            self.assertEqual(self.shown_serial(node, node.name), 300 + turn)
            write(node, name=f"still-{turn}", **QUIET)
        for node in nodes:
            status = node.status()
            self.assertEqual((status["term"], status["leader_id"]), (before[node.name]["term"], before[node.name]["leader_id"]))
            log = node.log()[told[node.name]:]
            for word in ("no leader is known", "no longer leader", "became leader", "cannot be"):
                self.assertNotIn(word, log)

    def test_the_end_of_a_certificate_is_told(self):
        nodes = self.three_nodes()
        with_labels = 'chronos_tls_certificate_expiry_time_seconds{what="node_links"}'
        def ends(node):
            page = node.get("/metrics").body.decode()
            return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(with_labels))
        self.assertAlmostEqual(ends(nodes[0]), time.time() + 2 * 86400, delta=600)
        self.authority.sign(nodes[0].name, 400, days=30)
        os.kill(nodes[0].process.pid, signal.SIGHUP)
        wait_for(lambda: abs(ends(nodes[0]) - time.time() - 30 * 86400) < 600, "the new certificate to be told")
        self.assertAlmostEqual(ends(nodes[1]), time.time() + 2 * 86400, delta=600)

    def test_certificates_are_replaced(self):
        nodes = self.three_nodes()
        folder = self.authority.folder
        write(nodes[2], name="kept", **QUIET)
        self.assertEqual(self.shown_serial(nodes[1], "chronos-3"), 102)
        certificate = f"{folder}/chronos-2.crt"
        with open(certificate) as f:
            before = f.read()
        with open(certificate, "w") as f:
            f.write("nothing")
        os.kill(nodes[1].process.pid, signal.SIGHUP)
        wait_for(lambda: "the one before stays in use" in nodes[1].log(), "the broken file to be told")
        self.assertEqual(self.shown_serial(nodes[1], "chronos-3"), 102)
        with open(certificate, "w") as f:
            f.write(before)
        self.authority.sign("chronos-2", 202)
        os.kill(nodes[1].process.pid, signal.SIGHUP)
        wait_for(lambda: "read again; links are made anew with it" in nodes[1].log(), "the new certificate to be taken")
        self.assertEqual(self.shown_serial(nodes[1], "chronos-3"), 202)
        nodes[2].kill9() # its links are new ones
        nodes[2].start()
        self.assertEqual(nodes[2].get("/api/v1/jobs/kept?consistent=true").status, 200)
        write(nodes[2], name="more", **QUIET)


class Files(TestCase):
    """What is wrong with the files is said by `config validate` as by the start, before anything is touched."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="chronos-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.authority = Authority(self.folder)
        for number in (1, 2):
            self.authority.sign(f"chronos-{number}", number)

    def node(self, **files):
        node = Member(1, bootstrap=True)
        self.addCleanup(node.close)
        files = {"cert_file": f"{self.folder}/chronos-1.crt", "key_file": f"{self.folder}/chronos-1.key",
                 "ca_file": self.authority.certificate, **files}
        lines = "".join(f"      {key}: {path}\n" for key, path in files.items())
        node.config = node.config.replace("    election_timeout: 1000ms\n", f"    election_timeout: 1000ms\n    tls:\n{lines}")
        return node

    def run_both(self, node, preexec=None):
        start = node.command()
        for line in ([start[0], "config", "validate", "-f", start[-1]], start):
            yield subprocess.run(line, env=node.full_environment(), cwd=node.work, capture_output=True, text=True, timeout=60,
                                 preexec_fn=preexec)

    def test_a_key_that_everybody_can_read(self):
        for mode, is_said in ((0o640, False), (0o644, True)):
            os.chmod(f"{self.folder}/chronos-1.key", mode)
            node = self.node()
            node.start()
            self.assertEqual(node.stop(), 0)
            self.assertEqual("every user of this machine can read the private key" in node.log(), is_said, node.log())

    def refused(self, says, preexec=None, **wrong):
        (key, path), = wrong.items()
        with self.subTest(key=key, path=path):
            node = self.node(**wrong)
            node.work.chmod(0o755)
            line = 1 + [line.split(":")[0].strip() for line in node.config.splitlines()].index(key)
            for done in self.run_both(node, preexec):
                self.assertEqual((done.returncode, done.stdout), (78, ""), done)
                self.assertEqual(done.stderr.splitlines()[-1],
                                 f"chronos: {node.work}/chronos.yaml:{line}: cluster.raft.tls.{key}: {path}: {says}")
            self.assertFalse(node.data_dir.exists(), "refused before anything was touched")

    def test_what_is_wrong(self):
        for key in ("cert_file", "key_file", "ca_file"):
            self.refused("No such file or directory", **{key: "/servre.pem"})
            self.refused("Is a directory", **{key: self.folder})
        pipe = f"{self.folder}/pipe"
        os.mkfifo(pipe)
        self.refused("not a regular file", key_file=pipe)
        self.refused(f"is not the key of cert_file {self.folder}/chronos-1.crt", key_file=f"{self.folder}/chronos-2.key")
        other = f"{self.folder}/other.key" # another kind of key than the certificate's
        Authority.run("genpkey", "-algorithm", "ed25519", "-out", other)
        self.refused(f"is not the key of cert_file {self.folder}/chronos-1.crt", key_file=other)
        self.refused("holds no certificate (PEM) that can be used: no start line", cert_file=other)

    def test_a_key_of_another_user(self):
        def become_nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        is_root = os.geteuid() == 0
        os.chmod(self.folder, 0o755)
        key = f"{self.folder}/chronos-1.key"
        os.chmod(key, 0o600 if is_root else 0)
        self.refused("Permission denied", become_nobody if is_root else None, key_file=key)

    def test_good_ones(self):
        node = self.node()
        validate = next(self.run_both(node))
        self.assertEqual((validate.returncode, validate.stderr), (0, ""))
        node.start()
        self.assertEqual(node.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
