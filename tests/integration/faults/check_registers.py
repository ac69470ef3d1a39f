"""Linearizability of registers: is there one order of all operations, each between its call and its answer, that explains them?

Just-in-time linearization (Lowe, "Testing for linearizability", 2017): the history is read in the order of time with the set of
all configurations that are possible so far: the register's state, and which of the operations under way have taken effect
already. When an operation returns, only those configurations go on in which it has. Where nothing is under way, a
configuration is the state alone, so a history falls into pieces at its quiescent points by itself.

A register is (version, value); each change adds 1 to the version. Operations that certainly did nothing are left out. One whose
outcome is unknown never returns: it may take effect at any time after its call, or never.
"""
CONFIGURATIONS_MAX = 50_000


class Undecided(Exception):
    """So many operations are in doubt that the search was given up."""


def effect(state, operation):
    """The state after it, None where its answer contradicts the state before it."""
    version, _ = state
    if operation.kind == "read":
        return state if state == (operation.version, operation.value) else None
    if operation.outcome == "mismatch":
        return state if version != operation.expected else None
    if operation.kind == "cas" and version != operation.expected:
        return None
    if operation.outcome == "ok" and not (version + 1 == operation.version or version + 1 < operation.before):
        return None
    return (version + 1, operation.value)


def events_of(operations):
    """Calls and returns in the order of time, a call before a return at the same moment: the kinder reading."""
    events = []
    for i, operation in enumerate(operations):
        events.append((operation.invoked, 0, i))
        if operation.outcome != "unknown":
            events.append((operation.returned, 1, i))
    return sorted(events)


def pinned(operations):
    """Versions at which a value was seen: an operation in doubt that wrote it took effect there and nowhere else."""
    return {o.value: o.version for o in operations if o.outcome == "ok" and o.kind == "read"}


def highest_version(operation):
    """That which must not be passed before `operation` takes effect."""
    if operation.outcome == "mismatch":
        return None
    if operation.before:
        return operation.before - 2
    return operation.version if operation.kind == "read" else operation.version - 1


def expand(configurations, target, open_operations, operations, pins):
    """All configurations in which `target` has taken effect, with as many others before it as can be."""
    done, seen, stack = set(), set(configurations), list(configurations)
    limit = highest_version(operations[target])
    while stack:
        state, applied = stack.pop()
        if target in applied:
            done.add((state, applied))
            continue
        for i in open_operations:
            operation = operations[i]
            if i in applied or (limit is not None and i != target and state[0] >= limit and operation.kind != "read"):
                continue
            after = effect(state, operation)
            if after is None or (after != state and pins.get(operation.value, after[0]) != after[0]):
                continue
            configuration = (after, applied | {i})
            if configuration not in seen:
                seen.add(configuration)
                stack.append(configuration)
        if len(seen) > CONFIGURATIONS_MAX:
            raise Undecided(f"more than {CONFIGURATIONS_MAX} configurations before {operations[target]}")
    return done


def check(operations, initial=(1, "0")):
    """None if the history is linearizable, else a sentence with the operation that nothing explains."""
    operations = [o for o in operations if o.outcome not in ("fail", "missing") and not (o.kind == "read" and o.outcome == "unknown")]
    pins = pinned(operations)
    configurations, open_operations = {(initial, frozenset())}, set()
    for _, is_return, i in events_of(operations):
        if not is_return:
            open_operations.add(i)
            continue
        before = configurations
        configurations = {(state, applied - {i}) for state, applied in expand(before, i, open_operations, operations, pins)}
        open_operations.discard(i)
        if not configurations:
            states = sorted({state for state, _ in before})[:5]
            return f"nothing explains {operations[i]}; possible before it: {states}; under way: " \
                   f"{[operations[j] for j in sorted(open_operations)][:5]}"
    return None


def without_refusals(operations):
    return [o for o in operations if o.outcome != "mismatch"]


def of_missing(register):
    """(kind, sentence) of each answer that there is no such register."""
    return [("not linearizable" if o.kind == "read" else "refused without a reason", f"{register.name}: {o}")
            for o in register.operations if o.outcome == "missing"]


def judge(registers):
    """What is wrong, by kind, a list of sentences each. The lesser kinds are told apart, so that they do not hide the rest."""
    wrong = {"not linearizable": [], "refused without a reason": [], "answered with what another one wrote": [], "undecided": []}
    for register in registers:
        for kind, sentence in of_missing(register):
            wrong[kind].append(sentence)
        wrong["answered with what another one wrote"] += [f"{register.name}: {o}" for o in register.operations if o.before]
        try:
            reason, kind = check(register.operations), "refused without a reason"
            if reason and (graver := check(without_refusals(register.operations))):
                reason, kind = graver, "not linearizable"
        except Undecided as why:
            reason, kind = str(why), "undecided"
        if reason:
            wrong[kind].append(f"{register.name}: {reason}")
    return wrong
