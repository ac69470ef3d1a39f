"""Real daemons on loopback that form one cluster."""
import itertools
import os
import socket

from harness import Node, wait_for


ports = itertools.count(10000 + os.getpid() * 37 % 20000)
# Addresses of this process alone: nodes of a test beside it that call one of theirs, which is down, reach none of these.
NETWORK = f"127.{os.getpid() // 256 % 128}.{os.getpid() % 256}"


def free_port(host):
    """One that stays free until the node binds it: below those that the kernel gives to outgoing connections."""
    for port in ports:
        with socket.socket() as s:
            try:
                s.bind((host, port))
                return port
            except OSError:
                continue


class Member(Node):
    """Node `number` of a cluster, at NETWORK.<number>; it asks those in `peers` for admission."""

    def __init__(self, number, peers=(), bootstrap=False, name=None, extra=""):
        self.number, self.name = number, name or f"chronos-{number}"
        self.host = f"{NETWORK}.{number}"
        self.raft = f"{self.host}:{free_port(self.host)}"
        listed = ", ".join(f'"{p.raft}"' for p in peers)
        super().__init__(f"""
cluster:
  node_id: {self.name}
  raft:
    address: {self.raft}
    peers: [{listed}]
    bootstrap: {"true" if bootstrap else "false"}
    heartbeat_timeout: 500ms
    election_timeout: 1000ms
executors:
  shell: {{}}
{extra}
""", environment={"CHRONOS_CLUSTER_NODE_ID": self.name})

    def begin(self):
        """Starts, and waits only until it listens: a majority may be missing."""
        self.spawn()
        self.port = int(wait_for(self._port, "the node to listen")[1])
        return self

    def status(self):
        return self.get("/api/v1/cluster/status").json


class Cluster:
    def __init__(self, size=3, extra=""):
        self.nodes = []
        for number in range(1, size + 1):
            self.nodes.append(Member(number, peers=self.nodes[:], bootstrap=number == 1, extra=extra))

    def __enter__(self):
        for node in self.nodes: # the order of the user's page: the first one leads before the others come
            node.start()
        self.settle()
        return self

    def __exit__(self, kind=None, *ignored):
        for node in self.nodes:
            if kind and node.process: # what went wrong is told by them
                print(f"--- {node.name}: {node.process.poll()}\n{node.log()[-4000:]}", flush=True)
            node.close()

    def running(self):
        return [n for n in self.nodes if n.process and n.process.poll() is None]

    def settle(self):
        """Every running node agrees on a leader that runs, and all members vote."""
        def agreed():
            states = [n.status() for n in self.running()]
            leaders = {s["leader_id"] for s in states}
            alive = {n.name for n in self.running()}
            voters = all(len(s["peers"]) == len(self.nodes) and all(p["state"] != "Learner" for p in s["peers"]) for s in states)
            return voters and len(leaders) == 1 and leaders <= alive and all(n.get("/ready").status == 200 for n in self.running())
        wait_for(agreed, "the nodes to agree on a leader")
        return self.leader()

    def leader(self):
        def leads():
            return next((n for n in self.running() if n.status()["is_leader"]), None)
        return wait_for(leads, "a leader")

    def followers(self):
        leader = self.leader()
        return [n for n in self.running() if n is not leader]


def write(node, **job):
    """Creates a job as a client does who repeats what was certainly not done."""
    def try_once():
        answer = node.post("/api/v1/jobs", job)
        if answer.status == 503:
            return None
        assert answer.status == 201, answer
        return answer.json
    return wait_for(try_once, "the write to be taken")


QUIET = {"schedule": "@manually", "executor": "shell", "config": {"command": "true"}}
