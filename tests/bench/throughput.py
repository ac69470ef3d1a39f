"""Figures `create` and `read`: requests per second beside another server under the same load."""
from load import alternate, create_jobs, describe, say, wrk
from servers import (CHRONOS_PORT, ETCD_PORT, NGINX_PORT, BenchError, Chronos, ChronosMember, Etcd, EtcdMember, Nginx,
                     Trio)

WARM_UP_S = 2
READ_JOBS = 1000


def check_count(what, stored, report):
    """What is stored must be what was acknowledged; answers on their way when wrk stopped may add one a connection."""
    if not report["good"] <= stored <= report["good"] + 128:
        raise BenchError(f"{what}: {report['good']} were acknowledged, {stored} are stored")


def create_round(options, number):
    with Chronos(options.work, options.backend) as chronos:
        wrk(CHRONOS_PORT, "create.lua", WARM_UP_S, "warm")
        before = chronos.metrics()["chronos_jobs"]
        report = wrk(CHRONOS_PORT, "create.lua", options.seconds, "bench")
        check_count("jobs", chronos.metrics()["chronos_jobs"] - before, report)
    say(f"  round {number} chronos: {describe(report)}")
    return report


def put_round(options, number):
    with Etcd(options.work) as etcd:
        wrk(ETCD_PORT, "etcd_put.lua", WARM_UP_S, "warm")
        before = etcd.key_count()
        report = wrk(ETCD_PORT, "etcd_put.lua", options.seconds, "benc")
        check_count("keys", etcd.key_count() - before, report)
    say(f"  round {number} etcd:    {describe(report)}")
    return report


def create_3_round(options, number):
    with Trio(*(ChronosMember(options.work, options.backend, n) for n in (1, 2, 3))) as trio:
        trio.settle()
        leader = trio.leader()
        port = leader.ports[0]
        wrk(port, "create.lua", WARM_UP_S, "warm")
        before = leader.metrics()["chronos_jobs"]
        report = wrk(port, "create.lua", options.seconds, "bench")
        check_count("jobs", leader.metrics()["chronos_jobs"] - before, report)
    say(f"  round {number} chronos x 3: {describe(report)}")
    return report


def put_3_round(options, number):
    with Trio(*(EtcdMember(options.work, n) for n in (1, 2, 3))) as trio:
        first = trio.members[0]
        wrk(first.ports[0], "etcd_put.lua", WARM_UP_S, "warm")
        before = first.key_count()
        report = wrk(first.ports[0], "etcd_put.lua", options.seconds, "benc")
        check_count("keys", first.key_count() - before, report)
    say(f"  round {number} etcd x 3:    {describe(report)}")
    return report


def compare(options, emit, name, what, ours, theirs, other, target):
    pairs, ratio, ratios = alternate(options.rounds, ours, theirs)
    errors = [sum(report["errors"] for report in side) for side in zip(*pairs)]
    median = sorted(pair[0]["rate"] for pair in pairs)[len(pairs) // 2]
    emit(name=name, value=round(median), unit=f"{what}/s", errors=errors[0],
         rounds=[round(pair[0]["rate"]) for pair in pairs], p50_ms=[pair[0]["p50_us"] / 1000 for pair in pairs],
         p99_ms=[pair[0]["p99_us"] / 1000 for pair in pairs])
    emit(name=f"{name}_ratio", value=round(ratio, 2), unit="x", ratio_to=other, target=target, met=ratio >= target[1],
         rounds=[round(value, 2) for value in ratios], errors=sum(errors),
         other_rounds=[round(pair[1]["rate"]) for pair in pairs],
         other_p99_ms=[pair[1]["p99_us"] / 1000 for pair in pairs])


def create(options, emit):
    compare(options, emit, "create", "jobs", lambda n: create_round(options, n), lambda n: put_round(options, n),
            "etcd put through its JSON gateway", [">=", 3.0])


def create_3(options, emit):
    compare(options, emit, "create_3", "jobs", lambda n: create_3_round(options, n), lambda n: put_3_round(options, n),
            "put of a cluster of three etcd through its JSON gateway", [">=", 3.0])


def read_3(options, emit):
    """How much a follower reads, beside the leader of the same cluster: its own copy answers."""
    paths = options.work / "paths"
    with Trio(*(ChronosMember(options.work, options.backend, n) for n in (1, 2, 3))) as trio:
        trio.settle()
        leader = trio.leader()
        follower = next(m for m in trio.members if m is not leader)
        create_jobs(leader, READ_JOBS, "read")
        jobs = leader.get_json(f"/api/v1/jobs?limit={READ_JOBS}")["jobs"]
        paths.write_text("".join(f"/api/v1/jobs/{job['id']}\n" for job in jobs))

        def side(member, name):
            wrk(member.ports[0], "get.lua", WARM_UP_S, str(paths))

            def measure(number):
                report = wrk(member.ports[0], "get.lua", options.seconds, str(paths))
                say(f"  round {number} {name}: {describe(report)}")
                return report
            return measure

        compare(options, emit, "read_3", "requests", side(follower, "follower"), side(leader, "leader  "),
                "the same on the leader", [">=", 0.9])


def read(options, emit):
    paths = options.work / "paths"
    with Chronos(options.work, options.backend) as chronos, Nginx(options.work):
        create_jobs(chronos, READ_JOBS, "read")
        jobs = chronos.get_json(f"/api/v1/jobs?limit={READ_JOBS}")["jobs"]
        paths.write_text("".join(f"/api/v1/jobs/{job['id']}\n" for job in jobs))
        size = len(chronos.request("GET", f"/api/v1/jobs/{jobs[0]['id']}")[1])
        say(f"  a job's answer has {size} bytes of body, nginx's {len(Nginx.DOCUMENT)}")

        def side(port, name):
            wrk(port, "get.lua", WARM_UP_S, str(paths))

            def measure(number):
                report = wrk(port, "get.lua", options.seconds, str(paths))
                say(f"  round {number} {name}: {describe(report)}")
                return report
            return measure

        compare(options, emit, "read", "requests", side(CHRONOS_PORT, "chronos"), side(NGINX_PORT, "nginx  "),
                "nginx return 200, one worker", [">=", 0.6])
