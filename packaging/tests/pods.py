"""Pods of packaging/kubernetes on this machine, without a cluster of Kubernetes: what the manifests say of a container is done to a process.

A pod has a network namespace with an address that no pod had before, names from a hosts file in place of the cluster's DNS, a PID, mount and
UTS namespace of its own, the image's files read-only, its volumes, and the user, capabilities, command, environment and hooks of the
StatefulSet. The image is this machine's system with the files of the packages over it.

What a kubelet does besides is not here: resource limits, seccomp, network policy, restarts by the liveness probe.
"""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/integration"), str(ROOT / "tests/integration/faults")]
# pylint: disable=wrong-import-position
import network as net
from harness import Answer, instant, wait_for # pylint: disable=unused-import

MANIFESTS = ROOT / "packaging/kubernetes"
# root, host name, then lines "source target how" on descriptor 3, then the command.
ENTER = r"""
root=$1 name=$2
shift 2
hostname "$name"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while read -r source target how; do
    mount --bind "$source" "$root$target"
    [ "$how" = rw ] || mount -o remount,bind,ro "$source" "$root$target"
done <"$root-mounts/$name"
exec chroot "$root" "$@"
"""


def manifests(file):
    return list(yaml.safe_load_all((MANIFESTS / file).read_text()))


class Lab:
    """The parts that pods share: image, network, names, ConfigMap and Secrets."""

    def __init__(self, files):
        net.sweep()
        self.folder, self.lock = net.make_work_folder()
        self.network = net.Network(self.folder)
        self.addresses = iter(range(1, net.CLIENTS))
        [self.set] = manifests("statefulset.yaml")
        self.spec = self.set["spec"]["template"]["spec"]
        [self.container] = self.spec["containers"]
        self.domain = self.set["spec"]["serviceName"]
        self.make_image(files)
        self.sources = {"config": self.folder / "config", "tokens": self.folder / "tokens", "tls": self.folder / "tls"}
        self.make_config()
        self.make_secrets()
        self.hosts = self.folder / "hosts"
        self.hosts.write_text("")
        self.pods = [Pod(self, ordinal) for ordinal in range(self.set["spec"]["replicas"])]
        with open("/proc/self/ns/net") as home:
            self.home_fd = os.dup(home.fileno())
        net.enter(self.network.switch)

    def make_image(self, files):
        """An overlay without a layer to write to is read-only, as readOnlyRootFilesystem asks."""
        self.root, ours = self.folder / "root", self.folder / "image"
        for folder in (self.root, ours, self.folder / "root-mounts"):
            folder.mkdir()
        net.run("mount", "-t", "tmpfs", "-o", "mode=755", "chronos-pods", ours) # not a part of what it lies over
        shutil.copytree(files / "usr", ours / "usr", symlinks=True) # /lib of the package is systemd's, and would hide a link
        for mount in self.container["volumeMounts"]:
            (ours / mount["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
        (ours / "etc/hosts").write_text("")
        (ours / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n") # where nobody answers
        net.run("mount", "-t", "overlay", "-o", f"lowerdir={ours}:/", "chronos-pods", self.root)
        assert self.container["securityContext"]["readOnlyRootFilesystem"] is True

    def make_config(self):
        [generator] = manifests("kustomization.yaml")[0]["configMapGenerator"]
        self.sources["config"].mkdir()
        for file in generator["files"]:
            shutil.copy(MANIFESTS / file, self.sources["config"] / file)
            (self.sources["config"] / file).chmod(0o644) # as a ConfigMap without defaultMode

    def make_secrets(self):
        """As docs/kubernetes.md has them made."""
        for name in ("tokens", "tls"):
            self.sources[name].mkdir()
        self.make_certificate(2)
        lines = [net.run(self.root / "usr/bin/chronosctl", "token", "generate", name, "--save", self.folder / f"{name}.token")
                 for name in ("node", "admin")]
        (self.sources["tokens"] / "tokens").write_text("".join(line.rstrip("\n") + "\n" for line in lines))
        shutil.copy(self.folder / "node.token", self.sources["tokens"] / "node.token")
        self.token = (self.folder / "admin.token").read_text().strip()
        self.own_secret("tokens")

    def make_certificate(self, days):
        net.run("sh", MANIFESTS / "certificates.sh", self.folder / "authority", days)
        for file in ("tls.crt", "tls.key", "ca.crt"):
            shutil.copy(self.folder / "authority" / file, self.sources["tls"] / file)
        self.own_secret("tls")

    def own_secret(self, name):
        """As kubelet does where there is a fsGroup."""
        secret = next(volume["secret"] for volume in self.spec["volumes"] if volume["name"] == name)
        for file in self.sources[name].iterdir():
            os.chown(file, 0, self.spec["securityContext"]["fsGroup"])
            file.chmod(secret["defaultMode"])

    def say_names(self):
        """The headless service. The file stays the same: it is mounted."""
        lines = [f"{pod.address} {pod.name} {pod.name}.{self.domain}\n" for pod in self.pods if pod.process]
        self.hosts.write_text("127.0.0.1 localhost\n" + "".join(lines))

    def ready(self):
        return [pod for pod in self.pods if pod.probe("readinessProbe")]

    def close(self):
        for pod in self.pods:
            pod.kill9()
        net.libc.setns(self.home_fd, net.CLONE_NEWNET)
        os.close(self.home_fd)
        self.network.close() # and the mounts below the folder
        shutil.rmtree(self.folder)
        self.lock.close()


class Pod:
    def __init__(self, lab, ordinal):
        self.lab, self.name = lab, f"{lab.set['metadata']['name']}-{ordinal}"
        self.process = self.address = None
        self.log_path, self.log_from = lab.folder / f"{self.name}.log", 0
        self.log_path.write_text("")
        self.volume = lab.folder / f"data-{self.name}"
        self.new_volume()

    def new_volume(self):
        """As the driver of a volume and fsGroup leave one that is empty."""
        shutil.rmtree(self.volume, ignore_errors=True)
        self.volume.mkdir()
        os.chown(self.volume, 0, self.lab.spec["securityContext"]["fsGroup"])
        self.volume.chmod(0o2775)
        (self.volume / "lost+found").mkdir(mode=0o700)

    # --- the container ---

    def environment(self):
        values = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": self.name}
        for entry in self.lab.container["env"]:
            if "value" in entry:
                values[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda m: values[m[1]], entry["value"])
            else:
                assert entry["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}, entry
                values[entry["name"]] = self.name
        return values

    def as_user(self, *command):
        context, own = self.lab.spec["securityContext"], self.lab.container["securityContext"]
        assert own["capabilities"] == {"drop": ["ALL"]} and own["allowPrivilegeEscalation"] is False and context["runAsNonRoot"] is True
        return ["setpriv", f"--reuid={context['runAsUser']}", f"--regid={context['runAsGroup']}", f"--groups={context['fsGroup']}",
                "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
                "env", "-i", *(f"{k}={v}" for k, v in self.environment().items()), *command]

    def mounts(self):
        tmp = self.lab.folder / f"tmp-{self.name}"
        shutil.rmtree(tmp, ignore_errors=True)
        tmp.mkdir()
        tmp.chmod(0o777)
        sources = {**self.lab.sources, "data": self.volume, "tmp": tmp}
        lines = [f"{self.lab.hosts} /etc/hosts ro"]
        for mount in self.lab.container["volumeMounts"]:
            lines.append(f"{sources[mount['name']]} {mount['mountPath']} {'ro' if mount.get('readOnly') else 'rw'}")
        (self.lab.folder / "root-mounts" / self.name).write_text("\n".join(lines) + "\n")

    def start(self):
        number = next(self.lab.addresses)
        self.lab.network.add(number)
        self.namespace, self.address = self.lab.network.of(number), self.lab.network.address(number)
        self.mounts()
        with open(self.log_path, "ab") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen(
                [*net.ALONG, "ip", "netns", "exec", self.namespace, "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork",
                 "sh", "-euc", ENTER, "enter", str(self.lab.root), self.name, *self.as_user(*self.lab.container["command"])],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.lab.say_names()

    def init(self):
        """PID 1 of the container, as this machine numbers it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def exec(self, *command, check=True):
        """kubectl exec."""
        inside = ["nsenter", "--target", str(self.init()), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        done = subprocess.run([*inside, *self.as_user(*command)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        assert not check or done.returncode == 0, f"{self.name}: {command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def delete(self):
        """kubectl delete pod; the code of its end."""
        self.pre_stop()
        return self.terminate()

    def pre_stop(self):
        self.exec(*self.lab.container["lifecycle"]["preStop"]["exec"]["command"])

    def terminate(self):
        """SIGTERM, and after the grace period an error in place of SIGKILL."""
        os.kill(self.init(), signal.SIGTERM)
        code = self.process.wait(timeout=self.lab.spec["terminationGracePeriodSeconds"])
        self.gone()
        return code

    def kill9(self):
        """With PID 1 all that is in the container goes."""
        if self.process:
            net.kill(self.init() or self.process.pid)
            self.process.wait()
            self.gone()

    def gone(self):
        self.process = None
        self.lab.say_names()

    def log(self):
        with open(self.log_path, "rb") as log:
            log.seek(self.log_from)
            return log.read().decode(errors="replace")

    def runs(self):
        return self.process is not None and self.process.poll() is None

    # --- requests ---

    def request(self, method, path, body=None, timeout=10):
        connection = http.client.HTTPConnection(self.address, 8080, timeout=timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json", "Authorization": f"Bearer {self.lab.token}"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def probe(self, name):
        """One try of a probe, without a token."""
        get = self.lab.container[name]["httpGet"]
        port = next(p["containerPort"] for p in self.lab.container["ports"] if p["name"] == get["port"])
        if not self.runs():
            return False
        try:
            connection = http.client.HTTPConnection(self.address, port, timeout=self.lab.container[name].get("timeoutSeconds", 1))
            connection.request("GET", get["path"])
            return 200 <= connection.getresponse().status < 400
        except OSError:
            return False
        finally:
            connection.close()

    def until_ready(self):
        def is_ready():
            assert self.runs(), f"{self.name} ended with {self.process.poll()}:\n{self.log()[-3000:]}"
            return self.probe("readinessProbe")
        wait_for(is_ready, f"{self.name} to be ready")

    def status(self):
        answer = self.request("GET", "/api/v1/cluster/status")
        assert answer.status == 200, answer
        return answer.json
