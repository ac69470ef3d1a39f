"""The faults, each a context: it happens on entry, is over on exit, and says on entry what it did.

`stops` says whether the cluster as a whole may have no working majority meanwhile; the slot rule is wider then.
"""
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable

from harness import wait_for
from nodes import PATIENCE_S


@dataclass
class Fault:
    name: str
    happen: Callable
    stops: bool = True
    network: bool = False # two of these never at once
    ahead_s: float = 0.0
    freezes: bool = False


FAULTS = {}


def fault(**traits):
    def add(function):
        FAULTS[function.__name__] = Fault(function.__name__, contextmanager(function), **traits)
        return function
    return add


def names(nodes):
    return ", ".join(n.name for n in nodes)


def some(cluster, rng, count=1):
    return rng.sample(cluster.nodes, count)


def minority(cluster, rng):
    return some(cluster, rng, rng.randint(1, (len(cluster.nodes) - 1) // 2))


def part(cluster, left, right):
    for one in left:
        for other in right:
            cluster.network.cut(one.number, other.number)


# --- the network ---

@fault(network=True, stops=False)
def partition_leader(cluster, _):
    """The leader alone, both ways."""
    leader = cluster.await_leader()
    part(cluster, [leader], [n for n in cluster.nodes if n is not leader])
    yield names([leader])
    cluster.network.heal()


@fault(network=True, stops=False)
def partition(cluster, rng):
    """A minority on one side, both ways."""
    few = minority(cluster, rng)
    part(cluster, few, [n for n in cluster.nodes if n not in few])
    yield f"{names(few)} | the others"
    cluster.network.heal()


@fault(network=True)
def partition_all(cluster, _):
    """Every node alone."""
    for i, node in enumerate(cluster.nodes):
        part(cluster, [node], cluster.nodes[i + 1:])
    yield "each alone"
    cluster.network.heal()


@fault(network=True, stops=False)
def one_way(cluster, rng):
    """The leader, or any node, hears nobody, or is heard by nobody."""
    node = rng.choice((cluster.await_leader(), rng.choice(cluster.nodes)))
    is_deaf = rng.random() < 0.5
    for other in cluster.nodes:
        if other is not node:
            cluster.network.drop(*((other.number, node.number) if is_deaf else (node.number, other.number)))
    yield f"{node.name} {'hears nobody' if is_deaf else 'is heard by nobody'}"
    cluster.network.heal()


@fault(network=True, stops=False)
def bridge(cluster, rng):
    """Two sides that see each other only through one node in the middle."""
    order = some(cluster, rng, len(cluster.nodes))
    middle, half = order[0], len(order) // 2
    part(cluster, order[1:1 + half], order[1 + half:])
    yield f"{names(order[1:1 + half])} - {middle.name} - {names(order[1 + half:])}"
    cluster.network.heal()


@fault(network=True)
def delay(cluster, rng):
    """Slow links that also change the order and send twice."""
    chosen = some(cluster, rng, rng.randint(1, len(cluster.nodes)))
    ms, jitter, twice = rng.choice((5, 30, 100)), rng.choice((0, 10, 50)), rng.choice((0, 0.05))
    for node in chosen:
        cluster.network.plug(node.number, ms, jitter, twice, rng.getrandbits(32))
    yield f"{names(chosen)}: {ms}-{ms + jitter} ms each way, {twice:.0%} twice"
    cluster.network.heal()


@fault(network=True)
def loss(cluster, rng):
    """Packets get lost, between all nodes."""
    percent = rng.choice((2, 10, 30))
    for one in cluster.nodes:
        for other in cluster.nodes:
            if one is not other:
                cluster.network.lose(one.number, other.number, percent)
    yield f"{percent}% of all packets"
    cluster.network.heal()


# --- processes ---

def kill(nodes):
    for node in nodes:
        node.kill9()
    yield names(nodes)
    for node in nodes:
        node.start()


@fault(stops=False)
def kill_leader(cluster, _):
    """kill -9."""
    yield from kill([cluster.await_leader()])


@fault(stops=False)
def kill_some(cluster, rng):
    """kill -9 of a minority."""
    yield from kill(minority(cluster, rng))


@fault()
def kill_all(cluster, _):
    """kill -9 of every node at once, as a power cut does."""
    yield from kill(cluster.nodes)


@fault(stops=False, freezes=True)
def pause(cluster, rng):
    """SIGSTOP, of the leader or of any node."""
    node = rng.choice((cluster.await_leader(), rng.choice(cluster.nodes)))
    node.freeze()
    yield node.name
    node.thaw()


@fault(stops=False)
def rolling_restart(cluster, rng):
    """SIGTERM and start, one node after the other, each when the one before is back."""
    order = some(cluster, rng, len(cluster.nodes))
    for node in order:
        node.stop()
        node.start()
        wait_for(node.is_ready, f"{node.name} to be ready again", PATIENCE_S)
    yield names(order)


@fault()
def transfer(cluster, rng):
    """Leadership is handed over, a few times."""
    count = rng.randint(1, 4)
    for _ in range(count):
        cluster.await_leader().request("POST", "/api/v1/cluster/transfer-leadership") # refused while another one is under way
    yield f"{count} times"


# --- the machine ---

@fault()
def slow_disk(cluster, rng):
    """Each sync takes long, on the leader or on any node."""
    node = rng.choice((cluster.await_leader(), rng.choice(cluster.nodes)))
    delay_s = rng.choice((0.05, 0.3, 1.5))
    node.set_control(sync_delay_s=delay_s)
    yield f"{node.name}: {delay_s} s each sync"
    node.set_control()


@fault()
def full_disk(cluster, rng):
    """Nearly full, so that writes are refused; or to the last byte."""
    node = rng.choice((cluster.await_leader(), rng.choice(cluster.nodes)))
    left = rng.choice((12 << 20, 1 << 20, 0))
    node.fill_disk(left)
    yield f"{node.name}: {left >> 20} MiB left"
    node.empty_disk()


def step(cluster, rng, low_s, high_s):
    node = rng.choice((cluster.await_leader(), rng.choice(cluster.nodes)))
    seconds = rng.choice((-1, 1)) * rng.uniform(low_s, high_s)
    node.set_control(clock_offset_s=seconds)
    yield f"{node.name}: {seconds:+.1f} s"
    node.set_control()


@fault(ahead_s=4.0)
def clock_step(cluster, rng):
    """A wall clock is set forward or back by what clock_tolerance allows, and set right again."""
    yield from step(cluster, rng, 0.5, 4.0)


# --- members ---

@fault()
def replace(cluster, rng):
    """A node is removed, comes back with an empty disk, and votes again before the fault is over."""
    node = rng.choice(cluster.nodes)
    others = [n for n in cluster.nodes if n is not node]
    wait_for(lambda: others[0].request("DELETE", f"/api/v1/cluster/nodes/{node.name}").status in (204, 404), "the removal",
             PATIENCE_S)
    node.stop()
    node.wipe()
    node.configure([n.number for n in others])
    node.start()
    wait_for(lambda: is_voter(others, node), f"{node.name} to vote again", PATIENCE_S)
    yield node.name


def is_voter(others, node):
    states = [s for n in others if (s := n.status()) and s["is_leader"]]
    return any(p["id"] == node.name and p["state"] != "Learner" for s in states for p in s["peers"])


def run_for(seconds):
    """The time that a fault lasts is what is tested; nothing is waited for here."""
    time.sleep(seconds)
