"""
Where connections land: for each set of options that a user of istio-iptables or linkerd's proxy-init may write, real
connections end where the table says, and `trace` says so before.
"""

import os
import random
import re

import pytest

from tests.support.landing import Probe, World

O, I, D = "outbound", "inbound", "direct"

# What is dialled, and where it lands without any option.
PROBES = {
    "out": (Probe("pod", "10.96.0.10", 80), O),
    "out6": (Probe("pod", "fd96::10", 80), O),
    "mapped": (Probe("pod", "::ffff:10.96.0.10", 80), O),  # as "out" in every case
    "out443": (Probe("pod", "10.96.0.10", 443), O),
    "out22": (Probe("pod", "10.96.0.10", 22), O),
    "out2222": (Probe("pod", "10.96.0.10", 2222), O),
    "elsewhere": (Probe("pod", "172.20.0.9", 80), O),
    "elsewhere6": (Probe("pod", "fd20::9", 443), O),
    "root": (Probe("pod", "10.96.0.10", 80, uid=0, gid=0), O),
    "proxy_uid": (Probe("pod", "10.96.0.10", 80, uid=1337), D),
    "proxy_gid": (Probe("pod", "10.96.0.10", 80, gid=1337), D),
    "other_uid": (Probe("pod", "10.96.0.10", 80, uid=2102, gid=2102), O),
    "localhost": (Probe("pod", "127.0.0.1", 8080), D),
    "localhost6": (Probe("pod", "::1", 8080), D),
    "unspecified": (Probe("pod", "0.0.0.0", 8080), D),
    "unspecified6": (Probe("pod", "::", 8080), D),
    "loopback": (Probe("pod", "127.0.0.2", 8080), D),
    "own_address": (Probe("pod", "10.78.0.1", 8080), D),
    "own_address6": (Probe("pod", "fd4e::1", 8080), D),
    "self_call": (Probe("pod", "10.78.0.1", 8080, uid=1337, gid=1337), I),
    "self_call6": (Probe("pod", "fd4e::1", 8080, uid=1337, gid=1337), I),
    "self_call_gid": (Probe("pod", "10.78.0.1", 443, uid=0, gid=1337), I),
    "self_call15008": (Probe("pod", "10.78.0.1", 15008, uid=1337, gid=1337), I),
    "to_app": (Probe("pod", "10.78.0.1", 8080, uid=1337, gid=1337, source="127.0.0.6"), D),
    "to_app6": (Probe("pod", "fd4e::1", 8080, uid=1337, gid=1337, source="::6"), D),
    "proxy_localhost": (Probe("pod", "127.0.0.1", 8080, uid=1337, gid=1337), D),
    "in": (Probe("server", "10.78.0.1", 8080), I),
    "in6": (Probe("server", "fd4e::1", 8080), I),
    "in80": (Probe("server", "10.78.0.1", 80), I),
    "in22": (Probe("server", "10.78.0.1", 22), I),
    "in9090": (Probe("server", "10.78.0.1", 9090), I),
    "in15008": (Probe("server", "10.78.0.1", 15008), I),
    "in15020": (Probe("server", "10.78.0.1", 15020), I),
    "health": (Probe("server", "10.78.0.1", 15021), D),
    "admin": (Probe("server", "fd4e::1", 15000), D),
    "side_in": (Probe("side", "10.80.0.1", 8080), I),
    "side_in6": (Probe("side", "fd50::1", 8080), I),
    "side_out": (Probe("pod", "10.80.0.2", 443), O),
    "vm_out": (Probe("vm", "10.96.0.10", 80), I),
    "vm_out6": (Probe("vm", "fd96::10", 443), I),
    "vm_out22": (Probe("vm", "10.96.0.10", 22), I),
    "vm_elsewhere": (Probe("vm", "172.20.0.9", 80), I),
    "vm_in": (Probe("vm", "10.79.0.1", 8080), I),
}

OUTGOING = {"out": D, "out6": D, "out443": D, "out22": D, "out2222": D, "elsewhere": D, "elsewhere6": D, "root": D, "other_uid": D,
            "side_out": D}
INCOMING = {"in": D, "in6": D, "in80": D, "in22": D, "in9090": D, "in15008": D, "in15020": D, "side_in": D, "side_in6": D, "vm_out": D,
            "vm_out6": D, "vm_out22": D, "vm_elsewhere": D, "vm_in": D}
VIRTUAL = {"vm_out": O, "vm_out6": O, "vm_out22": O, "vm_elsewhere": O, "vm_in": O}

ISTIO = ["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d",
         "15090,15021,15020", "--log_output_level=default:info"]

# Options, and what lands elsewhere than without any.
CASES = {
    "nothing": ([], {}),
    "istio": (ISTIO, {"in15020": D, "in15008": D, "self_call15008": D}),
    "istio, blocks with bits behind their prefix": (["istio-iptables", "-i", "10.96.3.4/16,fd96::9/64"],
                                                    {"elsewhere": D, "elsewhere6": D, "side_out": D, "in15008": D, "self_call15008": D}),
    "istio long names": (
        ["istio-iptables", "--envoy-port", "15001", "--inbound-capture-port", "15006", "--proxy-uid", "1337", "--proxy-gid", "1337",
         "--istio-inbound-interception-mode", "REDIRECT", "--istio-service-cidr", "10.96.0.0/12", "--istio-service-exclude-cidr",
         "10.96.128.0/17", "--istio-inbound-ports", "8080,9090", "--istio-local-exclude-ports", "", "--istio-outbound-ports", "",
         "--istio-local-outbound-ports-exclude", "22", "--log_output_level", "all:debug", "--run-validation", "--redirect-dns=false"],
        {"out6": D, "elsewhere": D, "elsewhere6": D, "out22": D, "side_out": D, "self_call15008": D,
         **INCOMING, "in": I, "in6": I, "in9090": I, "side_in": I, "side_in6": I, "vm_in": I}),
    "linkerd": (
        ["--incoming-proxy-port", "15006", "--outgoing-proxy-port", "15001", "--proxy-uid", "2102", "--proxy-gid", "2102",
         "--inbound-ports-to-ignore", "15008,22", "--outbound-ports-to-ignore", "443,2222", "--timeout-close-wait-secs", "3600",
         "--log-format", "plain", "--firewall-bin-path", "iptables-nft", "--ipv6=false"],
        {"proxy_uid": O, "proxy_gid": O, "other_uid": D, "out443": D, "out2222": D, "elsewhere6": D, "side_out": D, "in22": D,
         "in15008": D, "self_call": D, "self_call6": D, "self_call_gid": D, "self_call15008": D, "vm_out22": D}),
    "linkerd listed ports and subnets": (["--ports-to-redirect", "8080", "--subnets-to-ignore", "10.80.0.0/16"],
                                         {**INCOMING, "in": I, "in6": I, "side_in6": I, "vm_in": I}),
    "outbound ports excluded": (["-o", "22,443"], {"out22": D, "out443": D, "elsewhere6": D, "side_out": D, "self_call_gid": D}),
    "outbound range excluded": (["-o", "400-500"], {"out443": D, "elsewhere6": D, "side_out": D, "self_call_gid": D}),
    "outbound range in iptables' words": (["-o", "20:25"], {"out22": D}),
    "one destination included": (["-i", "10.96.0.10"],
                                 {"out6": D, "elsewhere": D, "elsewhere6": D, "side_out": D}),
    "blocks included": (["-i", "10.96.0.0/16,fd96::/64"], {"elsewhere": D, "elsewhere6": D, "side_out": D}),
    "IPv6 block included": (["-i", "fd20::/16"], {**OUTGOING, "elsewhere6": O}),
    "nothing included": (["-i", ""], OUTGOING),
    "loopback included": (["-i", "127.0.0.0/8"], {**OUTGOING, "loopback": O}),
    "blocks excluded": (["-x", "172.20.0.0/16,fd20::/16"], {"elsewhere": D, "elsewhere6": D}),
    "address excluded": (["-x", "10.96.0.10"], {"out": D, "out443": D, "out22": D, "out2222": D, "root": D, "other_uid": D}),
    "everything of IPv4 excluded": (["-x", "0.0.0.0/0"], {**OUTGOING, "out6": O, "elsewhere6": O}),
    "excluded within included": (["-i", "10.0.0.0/8", "-x", "10.96.0.0/16"], {**OUTGOING, "side_out": O}),
    "ports included": (["-i", "", "-q", "443"], {**OUTGOING, "out443": O, "elsewhere6": O, "side_out": O}),
    "ports beside blocks included": (["-i", "172.20.0.0/16", "-q", "22,2222"], {**OUTGOING, "elsewhere": O, "out22": O, "out2222": O}),
    "included port to an excluded block": (["-q", "443", "-x", "10.96.0.0/16"],
                                           {"out": D, "out443": D, "out22": D, "out2222": D, "root": D, "other_uid": D}),
    "excluded port of an included block": (["-i", "10.96.0.0/16", "-o", "80"],
                                           {**OUTGOING, "out443": O, "out22": O, "out2222": O}),
    "every port included": (["-i", "", "-q", "*"], {}),
    "inbound ports included": (["-b", "8080"], {**INCOMING, "in": I, "in6": I, "side_in": I, "side_in6": I, "vm_in": I}),
    "inbound range included": (["-b", "8000-9000,22"], {**INCOMING, "in": I, "in6": I, "in22": I, "side_in": I, "side_in6": I, "vm_in": I,
                                                        "vm_out22": I}),
    "inbound ports excluded": (["-d", "22,9090"], {"in22": D, "in9090": D, "vm_out22": D}),
    "inbound range excluded": (["-d", "8000-10000"], {"in": D, "in6": D, "in9090": D, "side_in": D, "side_in6": D, "vm_in": D}),
    "inbound off": (["-b", ""], INCOMING),
    "inbound range less an excluded port": (["-b", "1-10000", "-d", "80"], {"in80": D, "in15008": D, "in15020": D, "vm_out": D,
                                                                          "vm_elsewhere": D}),
    "both off": (["-b", "", "-i", ""], {**INCOMING, **OUTGOING}),
    "sources excluded": (["--exclude-inbound-cidrs", "10.78.0.0/16,fd50::/16"],
                         {"in": D, "in80": D, "in22": D, "in9090": D, "in15008": D, "in15020": D, "side_in6": D}),
    "another uid and gid": (["-u", "2102", "-g", "2102"],
                            {"proxy_uid": O, "proxy_gid": O, "other_uid": D, "self_call": D, "self_call6": D, "self_call_gid": D,
                             "self_call15008": D}),
    "several uids and gids": (["-u", "1337,2102", "-g", "1337,2102"], {"other_uid": D}),
    "groups included": (["--include-outbound-gids", "2102,0"], {**OUTGOING, "root": O, "other_uid": O}),
    "users included": (["--include-outbound-uids", "2102,0"], {**OUTGOING, "root": O, "other_uid": O}),
    "users or groups included": (["--include-outbound-uids", "0", "--include-outbound-gids", "2102"], {**OUTGOING, "root": O, "other_uid": O}),
    "users included, one block": (["--include-outbound-uids", "1000", "-i", "10.96.0.0/16", "-x", "10.96.0.0/24", "-q", "443"],
                                  {**OUTGOING, "elsewhere6": O, "side_out": O}),
    "groups included, ports and blocks": (["--include-outbound-gids", "1000", "-i", "10.96.0.0/16", "-x", "10.96.0.0/24", "-q", "443"],
                                          {**OUTGOING, "elsewhere6": O, "side_out": O}),
    "group excluded": (["--exclude-outbound-gids", "1000"], {**OUTGOING, "root": O, "other_uid": O}),
    "uid alone": (["-g", ""], {"proxy_gid": O, "self_call_gid": D}),
    "gid alone": (["-u", ""], {"proxy_uid": O}),
    "interface excluded": (["-c", "eth2"], {"side_in": D, "side_in6": D, "side_out": D}),
    "interfaces excluded": (["-c", "eth1,eth2"],
                            {"side_in": D, "side_in6": D, "side_out": D, "vm_out": D, "vm_out6": D, "vm_out22": D, "vm_elsewhere": D, "vm_in": D}),
    "interfaces excluded by a pattern": (["-c", "eth+"], {**INCOMING, **OUTGOING}),
    "interface of a VM": (["-k", "eth1"], VIRTUAL),
    "interface of a VM, ports excluded": (["-k", "eth1", "-o", "22"], {**VIRTUAL, "vm_out22": D, "out22": D}),
    "interface of a VM, blocks included": (["-k", "eth1", "-i", "10.96.0.0/16"],
                                           {**OUTGOING, "out": O, "out443": O, "out22": O, "out2222": O, "root": O, "other_uid": O,
                                            **VIRTUAL, "vm_out6": D, "vm_elsewhere": D, "vm_in": D}),
    "interface of a VM, blocks excluded": (["-k", "eth*", "-x", "172.20.0.0/16"],
                                           {"elsewhere": D, **VIRTUAL, "vm_elsewhere": D, "in": O, "in6": O, "in80": O, "in22": O,
                                            "in9090": O, "in15008": O, "in15020": O, "health": O, "admin": O, "side_in": O, "side_in6": O}),
    "interface of a VM, inbound off": (["-k", "eth1", "-b", ""], {**INCOMING, **VIRTUAL}),
    "tunnel port": (["-e", "15008"], {"in15008": D, "self_call15008": D}),
    "invalid packets let through": (["--drop-invalid=off"], {}),
    "tproxy": (["-m", "tproxy"], {}),
    "tproxy as istio writes it": (["istio-iptables", "-m", "TPROXY", "-t", "1338", "-r", "134", "-i", "*", "-b", "*", "-d", "15020"],
                                  {"in15020": D, "in15008": D, "self_call15008": D}),
    "tproxy, ports included": (["-m", "tproxy", "-b", "8080"], {**INCOMING, "in": I, "in6": I, "side_in": I, "side_in6": I, "vm_in": I}),
    "tproxy, ports and sources excluded": (["-m", "tproxy", "-d", "22", "--exclude-inbound-cidrs", "10.80.0.0/16"],
                                           {"in22": D, "vm_out22": D, "side_in": D}),
    "tproxy, interfaces": (["-m", "tproxy", "-c", "eth2", "-k", "eth1"], {**VIRTUAL, "side_in": D, "side_in6": D, "side_out": D}),
    "tproxy, inbound off": (["-m", "tproxy", "-b", ""], INCOMING),
}


@pytest.fixture
def init(programs):
    return os.path.join(programs, "outrigger-init")


@pytest.fixture
def world(namespace):
    made = World(namespace)
    yield made
    made.close()


def traced(space, init, probes):
    """Where `trace` says that each probe lands."""
    said = []
    for probe in probes:
        lands = [line for line in space.run([init, "trace", *probe.trace()]).stdout.splitlines() if line.startswith("lands")]
        said.append(lands[0].split()[1])
    return said


def compare(names, *columns):
    """The rows in which the columns differ."""
    return [row for row in zip(names, *columns) if len(set(row[1:])) > 1]


def test_matrix_is_as_large_as_it_should_be():
    assert len(CASES) >= 40 and len(CASES) * len(PROBES) >= 400


def test_every_probe_lands_where_the_table_says_and_trace_agrees(world, init):
    names, probes = list(PROBES), [probe for probe, _ in PROBES.values()]
    wrong = {}
    for case, (options, differing) in CASES.items():
        assert set(differing) <= set(names)
        if "out" in differing:
            differing = {**differing, "mapped": differing["out"]}
        world.pod.run([init, *options, "--no-verify"])
        expected = [differing.get(name, usual) for name, (_, usual) in PROBES.items()]
        rows = compare(names, expected, world.landings(probes), traced(world.pod, init, probes))
        if rows:
            wrong[case] = rows
    assert not wrong, "\n".join(f"{case}: (probe, expected, landed, traced) {rows}" for case, rows in wrong.items())


def some(generator, items, most=3):
    return ",".join(generator.sample(items, generator.randint(0, most)))


def random_options(generator):
    """Options that a user may write, without those that exclude what they include."""
    blocks = ["10.96.0.0/16", "172.16.0.0/12", "fd96::/16", "10.80.0.0/24", "fd20::9", "10.0.0.0/9"]
    included, excluded = generator.choice([["*"], generator.sample(blocks, 2)]), generator.sample(blocks, 2)
    ports = ["22", "80", "443", "2222", "400-500", "8000-9999", "15008", "15020"]
    inbound = generator.choice([["*"], generator.sample(ports, 3), []])
    options = ["-i", ",".join(included), "-b", ",".join(inbound),
               "-x", ",".join(block for block in excluded if included == ["*"] or block not in included and block != "10.0.0.0/9"),
               "-o", some(generator, ["22", "2222", "80"], 2), "-q", some(generator, ["443", "8000-9999"], 2),
               "-d", ",".join(port for port in generator.sample(ports, 2) if port not in inbound and "-" not in port
                              and not (port == "443" and "400-500" in inbound)),
               "-u", generator.choice(["1337", "2102", "1337,2102", "1000"]), "-g", generator.choice(["1337", "2102", ""]),
               "-m", generator.choice(["redirect", "tproxy"]), f"--drop-invalid={generator.choice(['on', 'off'])}",
               "--exclude-inbound-cidrs", some(generator, ["10.78.0.0/16", "fd50::/16", "10.79.0.2"], 2)]
    options += generator.choice([[], [], ["--include-outbound-gids", "1000,0"], ["--include-outbound-uids", "0"], ["--exclude-outbound-gids", "0,2102"]])
    options += generator.choice([[], ["-c", "eth2"], ["-k", "eth1"], ["-c", "eth2", "-k", "eth1"]])
    return options + generator.choice([[], ["-e", "15008"]])


def agreed_rules(space, init, options, tmp_path):
    """
    Applies; what is planned, what the kernel lists and what `show` prints, and `nft` takes it. Counters are set to zero: a late
    packet of a connection before may be counted at any time.
    """
    planned = space.run([init, "--dry-run", *options]).stdout
    script = tmp_path / "rules.nft"
    script.write_text(planned)
    space.run(["nft", "-c", "-f", script])
    space.run([init, *options, "--no-verify"])
    listed = space.run(["nft", "list", "table", "inet", "outrigger"]).stdout
    return [[re.sub(r"packets \d+ bytes \d+", "packets 0 bytes 0", line) for line in text.splitlines() if not line.startswith("#")]
            for text in (planned.split("\n", 2)[2], listed, space.run([init, "show"]).stdout)]


@pytest.mark.parametrize("seed", range(int(os.environ.get("OUTRIGGER_LANDING_SETS", "12"))))
def test_random_options_land_as_trace_says(world, init, tmp_path, seed):
    options = random_options(random.Random(seed))
    names, probes = list(PROBES), [probe for probe, _ in PROBES.values()]
    planned, listed, shown = agreed_rules(world.pod, init, options, tmp_path)
    assert planned == listed == shown, options
    rows = compare(names, world.landings(probes), traced(world.pod, init, probes))
    assert not rows, f"{options}: (probe, landed, traced) {rows}"
