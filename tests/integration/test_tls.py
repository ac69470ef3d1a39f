# ctest: once
"""TLS between nodes: a cluster that talks in nothing else, and certificates that are replaced while it runs."""
import os
import signal
import subprocess
import tempfile
import unittest

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

    def sign(self, name, serial):
        key, request, certificate = f"{self.folder}/{name}.key", f"{self.folder}/{name}.csr", f"{self.folder}/{name}.crt"
        extensions = f"{self.folder}/{name}.ext"
        with open(extensions, "w") as f:
            f.write(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth,clientAuth\n")
        if not os.path.exists(key):
            self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
                     "-subj", f"/CN={name}")
        self.run("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-set_serial", str(serial), "-days", "2",
                 "-out", certificate, "-extfile", extensions)
        return f"    tls: {{cert_file: {certificate}, key_file: {key}, ca_file: {self.certificate}}}"


class Tls(TestCase):
    def shown_serial(self, node, name):
        """Of the certificate that a node shows to a caller with a certificate of its own."""
        folder = self.authority.folder
        shown = subprocess.run(["openssl", "s_client", "-connect", node.raft, "-cert", f"{folder}/{name}.crt", "-key",
                                f"{folder}/{name}.key", "-CAfile", self.authority.certificate], input=b"", capture_output=True).stdout
        return int(Authority.run("x509", "-noout", "-serial", input=shown).split(b"=")[1], 16)

    def test_certificates_are_replaced(self):
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
        write(nodes[2], name="kept", **QUIET)
        self.assertEqual(self.shown_serial(nodes[1], "chronos-3"), 102)
        certificate = f"{folder.name}/chronos-2.crt"
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
        wait_for(lambda: "read again; new links use it" in nodes[1].log(), "the new certificate to be taken")
        self.assertEqual(self.shown_serial(nodes[1], "chronos-3"), 202)
        nodes[2].kill9() # its links are new ones
        nodes[2].start()
        self.assertEqual(nodes[2].get("/api/v1/jobs/kept?consistent=true").status, 200)
        write(nodes[2], name="more", **QUIET)


if __name__ == "__main__":
    unittest.main(verbosity=2)
