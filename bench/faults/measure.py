"""One proxy through one fault: the record of it."""

import os
import statistics
import subprocess
import time

from bench.faults.peers import PEERS
from bench.faults.world import World
from bench.peers.peer import Failed
from bench.processes import pin

TIMEOUT_S = 5  # a client's patience
SLOW_S = 0.5
SLICE_S = 0.25  # of the timeline


def measure(bench, fault, name, round_number, rate):
    """Returns the record. Raises Failed."""
    world = World(bench, fault.speaker)
    try:
        peer = PEERS[name](world)
        try:
            peer.start()
            clients, times, attempts = _play(world, peer, fault, rate)
            if peer.running:
                peer.check_running()
        finally:
            peer.stop()
    finally:
        world.close()
    return {"fault": fault.name, "proxy": name, "round": round_number, "rate": rate, **_summary(fault, clients, *times), **attempts}


def _play(world, peer, fault, rate):
    """The load with the fault's schedule beside it: the clients, when the fault began and ended, and the attempts in between."""
    start_ns = time.monotonic_ns() + 200_000_000
    host, port = peer.target()
    argv = [os.path.join(world.programs, "bench-clients"), host, port, rate, fault.whole_s, TIMEOUT_S * 1000, start_ns, fault.speaker]
    load = subprocess.Popen(world.namespace.command(argv), stdout=subprocess.PIPE, text=True, preexec_fn=pin(world.load_core))
    try:
        times, counts = [], []
        for at, act in fault.schedule():
            _sleep_until(start_ns + at * 1e9)
            counts.append(world.attempts())
            begun_ns = time.monotonic_ns()
            act(world)
            times.append((begun_ns, time.monotonic_ns()))
        output = load.communicate(timeout=fault.whole_s + TIMEOUT_S + 30)[0]
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()
    if load.returncode != 0:
        raise Failed(f"{peer.name}: bench-clients ended with {load.returncode}")
    clients = [(int(due) / 1e6, int(took) / 1e6, outcome) for due, took, outcome in map(str.split, output.splitlines())]
    during = [after - before for before, after in zip(counts[0], counts[-1])]
    begin_s, end_s = (times[0][0] - start_ns) / 1e9, (times[-1][1] - start_ns) / 1e9  # a busy machine is late
    return clients, (begin_s, end_s), {"attempts": sum(during), "attempts_first": during[0]}


def _sleep_until(ns):
    time.sleep(max(0, ns - time.monotonic_ns()) / 1e9)


def _summary(fault, clients, begin_s, over_s):
    """Counts from the fault's begin to the end; latencies are those of the answered while the fault lasted."""
    counted = [client for client in clients if client[0] >= begin_s]
    during = [client for client in counted if client[0] < over_s]
    failed = [client for client in counted if client[2] != "ok"]
    answered = sorted(took for _, took, outcome in during if outcome == "ok")
    failures = {}
    for _, _, outcome in failed:
        failures[outcome] = failures.get(outcome, 0) + 1
    bad_after = [due for due, took, outcome in counted if due >= over_s and _is_bad(took, outcome)]
    return {
        "requests": len(counted),
        "offered": len(during),  # while the fault lasted
        "failed": len(failed),
        "failed_during": sum(due < over_s for due, _, _ in failed),
        "failed_before": sum(due < begin_s and outcome != "ok" for due, _, outcome in clients),
        "failures": failures,
        "p50_ms": _at(answered, 0.5),
        "p99_ms": _at(answered, 0.99),
        "max_ms": _at(answered, 1),
        "slow": sum(outcome == "ok" and took > SLOW_S for _, took, outcome in counted),
        "recovery_s": max(bad_after) - over_s if bad_after else 0.0,
        "late_s": max(begin_s - fault.before, over_s - fault.before - fault.seconds),
        "timeline": _timeline(fault, clients),
    }


def _is_bad(took, outcome):
    return outcome != "ok" or took > SLOW_S


def _at(ordered, part):
    return round(ordered[int((len(ordered) - 1) * part)] * 1000, 3) if len(ordered) >= 100 else None


def _timeline(fault, clients):
    """For each slice of time that clients were due in: how many failed, how many were slow, the median and the longest of the answered."""
    slices = [[] for _ in range(round(fault.whole_s / SLICE_S))]
    for due, took, outcome in clients:
        slices[min(int(due / SLICE_S), len(slices) - 1)].append((took, outcome))
    rows = []
    for clients_of_slice in slices:
        answered = [took for took, outcome in clients_of_slice if outcome == "ok"]
        rows.append({"failed": len(clients_of_slice) - len(answered), "slow": sum(took > SLOW_S for took in answered),
                     "median_ms": round(statistics.median(answered) * 1000, 3) if answered else None,
                     "max_ms": round(max(answered) * 1000, 3) if answered else None})
    return rows
