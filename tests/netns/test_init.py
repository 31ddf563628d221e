"""The redirect rules in the kernel: what is planned is what is there, in one transaction, and nobody else's are touched."""

import collections
import errno
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from tests.support.outrigger import ROOT
from tests.support.processes import eventually, run
from tests.support.servers import Server, echo, receive_all

OPTION_SETS = [
    [],
    ["-o", "22,8000-8010", "-x", "10.1.0.0/16,fd00::/8"],
    ["-i", "10.0.0.0/8,2001:db8:1::/48", "-q", "443,9000-9010"],
    ["-i", "", "-b", "80,8080-8090", "-d", "22"],
    ["-b", "", "-u", "7,8", "-g", "9"],
    ["-p", "16001", "-z", "16006", "-x", "0.0.0.0/1,128.0.0.0/1,::/1"],
    ["-g", "", "-x", "10.0.0.0/13"],
    ["-c", "lo,wlan*", "-k", "eth1,tun+", "-o", "22", "-x", "10.1.0.0/16"],
    ["-k", "eth1", "-i", "10.0.0.0/8", "-q", "443", "-b", ""],
    ["-m", "tproxy", "-d", "22", "-e", "15008"],
    ["-m", "tproxy", "-t", "4294967295", "-b", "80,90-99", "-k", "eth1", "--exclude-inbound-cidrs", "10.0.0.0/8,::1"],
    ["--drop-invalid=off", "-i", "127.0.0.0/8,::1"],
    ["--include-outbound-gids", "0,1000", "--exclude-outbound-gids", "7", "-q", "443,80-90", "-i", "10.0.0.0/8"],
]


@pytest.fixture
def init(programs):
    return os.path.join(programs, "outrigger-init")


@pytest.fixture
def broken(tmp_path):
    """Makes the environment in which outrigger-init and the kernel do not understand each other; see break_batch.c."""
    library = tmp_path / "break_batch.so"
    run(["gcc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, os.path.join(ROOT, "tests", "support", "break_batch.c"), "-ldl"])
    return lambda **words: {**os.environ, "LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0", **words}


def rules(space):
    return space.run(["nft", "list", "ruleset"]).stdout


@pytest.mark.parametrize("options", OPTION_SETS)
def test_kernel_has_what_was_planned_and_show_tells_it(namespace, init, options, tmp_path):
    space = namespace("init")
    planned = space.run([init, "--dry-run", *options]).stdout
    assert rules(space) == ""  # a dry run touches nothing
    script = tmp_path / "rules.nft"
    script.write_text(planned)
    planned = "".join(line for line in planned.splitlines(keepends=True) if not line.startswith("#"))
    space.run(["nft", "-c", "-f", script])
    space.run([init, "--no-verify", *options])
    applied = rules(space)
    assert "".join(planned.split("\n", 2)[2:]) == applied
    assert space.run([init, "show"]).stdout == applied
    space.run(["nft", "-f", script])  # the text makes the same rules as the program
    assert rules(space) == applied


def test_second_run_gives_the_same_and_remove_leaves_nothing(namespace, init):
    space = namespace("init")
    before = space.run(["ip", "address", "show", "dev", "lo"]).stdout
    space.run([init])
    first = rules(space)
    assert "inet6 ::6/128" in space.run(["ip", "address", "show", "dev", "lo"]).stdout
    space.run([init])
    assert rules(space) == first
    space.run([init, "-o", "22"])
    assert rules(space) != first
    space.run([init])
    assert rules(space) == first
    for _ in range(2):
        space.run([init, "remove"])
        assert rules(space) == ""
        assert space.run(["ip", "address", "show", "dev", "lo"]).stdout == before
    done = space.run([init, "show"], check=False)
    assert done.returncode == 1 and "outrigger-init apply" in done.stderr


def test_foreign_tables_stay_as_they_are(namespace, init, tmp_path):
    space = namespace("init")
    foreign = tmp_path / "foreign.nft"
    foreign.write_text("""
table inet other { set s { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }
  chain outbound { type nat hook output priority 0; ip daddr @s tcp dport 80 counter redirect to :1; }; }
table ip outrigger { chain inbound { type filter hook input priority 5; policy accept; }; }
table ip6 six { chain c { }; }
""")
    space.run(["nft", "-f", foreign])
    before = rules(space)
    space.run([init])
    space.run([init, "-o", "22"])
    assert rules(space).startswith(before.rstrip("\n"))
    space.run([init, "remove"])
    assert rules(space) == before


def test_verify_proves_both_families_and_fails_without_rules(pods, init):
    client, _ = pods
    done = client.run([init])
    assert "IPv4 outbound: verified: a connection to 192.0.2.2:15002 arrived at port 15001" in done.stdout
    assert "IPv6 outbound: verified: a connection to [2001:db8::2]:15002 arrived at port 15001" in done.stdout
    assert "IPv4 inbound: verified: a connection to 127.0.0.6:15002 arrived at port 15006" in done.stdout
    assert "IPv6 inbound: verified: a connection to [::6]:15002 arrived at port 15006" in done.stdout
    assert client.run([init, "verify"]).returncode == 0
    client.run(["nft", "delete", "table", "inet", "outrigger"])
    done = client.run([init, "verify"], check=False)
    assert done.returncode == 95 and "there are no rules" in done.stderr


def test_verify_fails_where_the_connection_lands_elsewhere(pods, init):
    """Somebody else holds the capture port and does not answer as the proxy does."""
    client, _ = pods
    other = client.inside(lambda: Server(echo, host="0.0.0.0", port=15001))
    done = client.run([init, "--verify-timeout", "500ms"], check=False)
    other.close()
    assert done.returncode == 95
    assert "what listens there does not answer" in done.stderr
    assert "outbound" in rules(client)  # fail closed: the rules stay


def test_verify_fails_where_a_rule_before_ours_takes_the_connection(pods, init, tmp_path):
    client, _ = pods
    script = tmp_path / "before.nft"
    script.write_text("table inet before { chain c { type nat hook output priority -150; meta l4proto tcp redirect to :9; }; }\n")
    client.run(["nft", "-f", script])
    done = client.run([init, "--verify-timeout", "500ms"], check=False)
    assert done.returncode == 95
    assert "the rules were not asked: another table takes or drops the connection before them" in done.stderr


def test_verify_tells_a_drop_before_ours_from_a_wrong_answer_and_none(pods, init, start, tmp_path):
    client, _ = pods

    def greet(connection):
        connection.sendall(b"220 mail.example ESMTP\n")
        receive_all(connection)
        connection.close()

    other = client.inside(lambda: Server(greet, host="0.0.0.0", port=15001))
    done = client.run([init, "--verify-timeout", "500ms"], check=False)
    other.close()
    assert done.returncode == 95 and "it lands elsewhere: something else than the proxy answers there" in done.stderr
    script = tmp_path / "before.nft"
    script.write_text("table inet before { chain c { type filter hook output priority -150; ip daddr 192.0.2.2 drop; }; }\n")
    client.run(["nft", "-f", script])
    done = client.run([init, "verify", "--verify-timeout", "500ms"], check=False)
    assert done.returncode == 95 and "the rules were not asked" in done.stderr and "IPv6 outbound: verified" in done.stdout
    client.run(["nft", "delete", "table", "inet", "before"])
    proxy = start({"intercept": {}, "health": {"port": 15021}}, namespace=client, uid=1337)
    proxy.program.signal(signal.SIGSTOP)
    done = client.run([init, "verify", "--verify-timeout", "300ms"], check=False)
    proxy.program.signal(signal.SIGCONT)
    assert done.returncode == 95 and done.stderr.count("does not answer: the proxy is stuck") == 4, done.stderr


def test_verify_asks_the_rules_who_the_proxy_is(pods, init, start):
    """Regression: it took the options' uid and gid, which the rules need not have."""
    client, _ = pods
    client.run([init, "--no-verify", "-u", "2102", "-g", "2103"])
    start({"intercept": {}, "health": {"port": 15021}}, namespace=client, uid=2102)
    done = client.run([init, "verify"])
    assert done.stdout.count("and the running proxy answered") == 4


def test_verify_of_captured_groups_beside_excluded_blocks(pods, init):
    """Regression: the rule for a group's excluded block made verify think that the group is left alone."""
    client, _ = pods
    done = client.run([init, "--include-outbound-gids", "1000", "-x", "10.0.0.0/8"])
    assert "IPv4 outbound: verified" in done.stdout and "IPv6 outbound: verified" in done.stdout


@pytest.mark.parametrize("code", ["host-unreachable", "admin-prohibited", "net-unreachable"])
def test_verify_fails_where_a_foreign_table_rejects_the_connection(pods, init, tmp_path, code):
    """Regression: these errors passed for the want of a route, which is no failure."""
    client, _ = pods
    script = tmp_path / "foreign.nft"
    script.write_text("table inet foreign { chain c { type filter hook output priority -150; "
                      f"ip daddr 192.0.2.2 reject with icmp type {code}; }}; }}\n")
    client.run(["nft", "-f", script])
    done = client.run([init], check=False)
    assert done.returncode == 95 and "the rules were not asked" in done.stderr


def test_verify_names_ipv6_that_is_missing_on_loopback_alone(pods, init):
    client, _ = pods
    client.run(["sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=1"])
    done = client.run([init, "--verify-timeout", "300ms"], check=False)
    assert done.returncode == 95 and "net.ipv6.conf.lo.disable_ipv6" in done.stderr


@pytest.mark.parametrize("word, removed", [("False", False), ("FALSE", False), ("f", False), ("0", False), ("true", True), ("T", True)])
def test_cleanup_only_is_read_as_go_reads_it(namespace, init, word, removed):
    """Regression: what was no word for "off" here took the rules away."""
    space = namespace("cleanup")
    space.run([init, "--no-verify"])
    space.run([init, f"--cleanup-only={word}", "--no-verify"])
    assert (rules(space) == "") == removed


def test_verify_without_a_route_says_so(namespace, init):
    space = namespace("alone")
    for done in (space.run([init]), space.run([init, "verify"])):
        assert "IPv4 outbound: not verified: no route to anything that these rules capture" in done.stdout
        assert "IPv4 inbound: verified" in done.stdout


def test_verify_without_anything_to_try_fails(namespace, init):
    space = namespace("alone")
    space.run([init, "--no-verify", "-o", "15002"])
    done = space.run([init, "verify"], check=False)
    assert done.returncode == 95 and "nothing could be verified" in done.stderr


def test_verify_without_loopback_says_so(namespace, init):
    space = namespace("alone")
    space.run(["ip", "link", "set", "lo", "down"])
    done = space.run([init, "--verify-timeout", "200ms"], check=False)
    assert done.returncode == 95 and "lo is down" in done.stderr


@pytest.mark.parametrize("options, host, port", [
    (["-i", "10.9.0.0/16"], "10.9.255.254", 15002),
    (["-i", "", "-q", "443,9000-9010"], "192.0.2.2", 443),
    (["-o", "15002", "-i", "10.9.0.0/16", "-q", "25"], "192.0.2.2", 25),
    (["-x", "192.0.2.0/24", "-i", "0.0.0.0/0"], "255.255.255.254", 15002),
    (["--include-outbound-gids", "7,8", "--exclude-outbound-gids", "9"], "192.0.2.2", 15002),
    (["--include-outbound-gids", "7", "-i", "10.9.0.0/16"], "10.9.255.254", 15002),
    (["--exclude-outbound-gids", "0,65534"], "192.0.2.2", 15002),
    (["--include-outbound-uids", "998", "-b", ""], "192.0.2.2", 15002),
    (["--include-outbound-uids", "998", "--include-outbound-gids", "7", "--exclude-outbound-gids", "0"], "192.0.2.2", 15002),
])
def test_verify_dials_what_these_rules_capture(pods, init, start, options, host, port):
    client, _ = pods
    done = client.run([init, *options])
    assert f"IPv4 outbound: verified: a connection to {host}:{port} arrived at port 15001, where no proxy listens yet" in done.stdout
    start({"intercept": {}, "health": {"port": 15021}}, namespace=client, uid=1337)
    done = client.run([init, "verify"])
    assert f"IPv4 outbound: verified: a connection to {host}:{port} arrived at port 15001, and the running proxy answered" in done.stdout
    inbound = "IPv4 inbound: verified: a connection to 127.0.0.6:15002 arrived at port 15006, and the running proxy answered"
    assert (inbound in done.stdout) == ("15002" not in options)


def test_verify_dials_a_neighbour_where_there_is_no_default_route(pods, init):
    client, _ = pods
    client.run(["ip", "route", "del", "default"])
    client.run(["ip", "-6", "route", "del", "default"])
    done = client.run([init])
    assert "IPv4 outbound: verified: a connection to 10.78.0.254:15002" in done.stdout
    assert "IPv6 outbound: verified: a connection to [fd4e::ffff:ffff:ffff:fffe]:15002" in done.stdout


def test_verify_names_a_port_that_is_held_without_a_listener(pods, init):
    client, _ = pods

    def hold():
        holder = socket.socket()
        holder.bind(("0.0.0.0", 15001))
        return holder

    holder = client.inside(hold)
    done = client.run([init, "--verify-timeout", "500ms"], check=False)
    holder.close()
    assert done.returncode == 95
    assert "something holds the port without listening" in done.stderr


def test_verify_says_when_a_later_table_drops_the_connection(pods, init, tmp_path):
    client, _ = pods
    script = tmp_path / "later.nft"
    script.write_text("table inet later { chain c { type filter hook input priority 0; tcp dport 15001 drop; }; }\n")
    client.run(["nft", "-f", script])
    done = client.run([init, "--verify-timeout", "500ms"], check=False)
    assert done.returncode == 95
    assert "another table changes it after them" in done.stderr


def test_without_ipv6_ipv4_works(pods, init):
    client, _ = pods
    for interface in ("all", "default", "lo", "eth0"):
        client.run(["sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1"])
    done = client.run([init])
    assert "IPv6: not available here" in done.stdout
    assert "IPv4 outbound: verified" in done.stdout and "IPv4 inbound: verified" in done.stdout
    client.run([init, "remove"])


@pytest.mark.parametrize("options", [["-p", "0"], ["-p", "-1"], ["-z", "100000"], ["-x", "10.0.0.0/33"], ["-o", "10-5"], ["-u", "0"],
                                     ["-q", "a"], ["--nonsense"], ["nonsense"], ["-c", "eth7"], ["-b", "80", "-d", "80"],
                                     ["-i", "10.0.0.0/8", "-x", "10.0.0.0/8"], ["-q", "443", "-o", "400-500"], ["-m", "nat"],
                                     ["-k", "eth*h"], ["--redirect-dns"], ["-u", "1,,2"], ["--cleanup-only=no"],
                                     ["apply", "--cleanup-only"], ["-x", " *"], ["-e", "*"], ["--include-outbound-gids", "1337"], ["--include-outbound-uids", "1337"],
                                     ["--exclude-outbound-gids", "4294967295"], ["apply", "-Zn"]])
def test_bad_options_are_one_error_and_touch_nothing(namespace, init, options):
    space = namespace("init")
    done = space.run([init, *options], check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("outrigger-init: ")
    assert rules(space) == ""


def test_without_net_admin_the_error_says_what_is_missing(namespace, init):
    space = namespace("init")
    done = space.run([init], uid=1000, check=False)
    assert done.returncode == 1 and "NET_ADMIN" in done.stderr
    assert rules(space) == ""


def test_net_admin_alone_suffices(pods, init):
    """Regression: the proof wanted SETUID and SETGID, which an init container does not have."""
    client, _ = pods
    capabilities = "-all,+net_admin,+net_raw"
    done = client.run(["setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities, init], check=False)
    assert done.returncode == 0, done.stderr
    assert "IPv4 outbound: verified" in done.stdout and "IPv6 outbound: verified" in done.stdout
    assert "IPv4 inbound: not verified: the rules know the proxy by its uid and gid, and this process may not" in done.stdout


def test_remove_has_no_dry_run_and_removes_nothing_then(namespace, init):
    space = namespace("init")
    space.run([init])
    before = rules(space)
    done = space.run([init, "remove", "--dry-run"], check=False)
    assert done.returncode == 2 and "belongs to apply" in done.stderr
    assert rules(space) == before


def test_long_lists_fit_without_root_of_the_machine(init):
    """Regression: one acknowledgement a rule did not fit where the receive buffer could not be enlarged."""
    ports = ",".join(str(port) for port in range(2000, 2256))
    done = run(["unshare", "-Urn", "sh", "-c", f"{init} --no-verify -o {ports} && nft list ruleset | grep -c dport"], check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(256 + 2)


def test_rules_of_another_hand_are_not_shown_as_ours(namespace, init):
    space = namespace("init")
    space.run([init])
    space.run(["nft", "add rule inet outrigger outbound tcp sport 22 return; add rule inet outrigger outbound meta l4proto udp return"])
    done = space.run([init, "show"])
    assert "2 rules or chains of the table are of another hand" in done.stderr
    assert "dport 22" not in done.stdout
    done = space.run([init, "trace", "--to", "10.0.0.1:80", "--out-interface", "eth0"], check=False)
    assert done.returncode == 1 and "is not known" in done.stderr


@pytest.mark.parametrize("words", [
    "tcp dport >= 1024", "tcp dport <= 1024", "tcp dport 80 tcp dport <= 90", "meta mark & 0xff == 0x1 meta l4proto tcp",
    "ip daddr & 255.0.255.0 == 10.0.1.0 meta l4proto tcp", "ip daddr > 10.1.0.0 meta l4proto tcp",
    "ip daddr 10.1.0.0-10.1.0.9 meta l4proto tcp", "oifname > \"eth0\" meta l4proto tcp", "meta nfproto ipv4 meta l4proto tcp", "",
    "th dport 80", "ct state established meta l4proto tcp",
])
def test_rule_that_only_resembles_ours_is_told_apart(namespace, init, words):
    """Regression: such rules were shown as others, and traced so."""
    space = namespace("init")
    space.run([init, "--no-verify"])
    before = space.run([init, "show"]).stdout
    space.run(["nft", f'add rule inet outrigger outbound {words} counter return comment "like ours"'])
    done = space.run([init, "show"])
    assert "1 rules or chains of the table are of another hand" in done.stderr and done.stdout == before


@pytest.mark.parametrize("rule", [
    'tcp dport 80 return comment "x"', "tcp dport 80 counter return", f'tcp dport 80 counter return comment "{"x" * 120}"',
    'meta l4proto tcp counter redirect to :80-90 comment "x"', 'meta l4proto tcp counter redirect to :80 random comment "x"',
    'tcp dport 80 counter accept comment "x"',
])
def test_action_that_only_resembles_ours_is_told_apart(namespace, init, rule):
    space = namespace("init")
    space.run([init, "--no-verify"])
    space.run(["nft", f"add rule inet outrigger outbound {rule}"])
    assert "1 rules or chains of the table are of another hand" in space.run([init, "show"]).stderr


@pytest.mark.parametrize("change", [
    "add chain inet outrigger other { type filter hook output priority 0; }", "add chain inet outrigger plain",
    "add chain inet outrigger outbound { policy drop; }",
])
def test_chain_of_another_hand_is_counted(namespace, init, change):
    space = namespace("init")
    space.run([init, "--no-verify"])
    space.run(["nft", change])
    assert "1 rules or chains of the table are of another hand" in space.run([init, "show"]).stderr


def test_lost_answer_is_read_back(namespace, init, broken):
    """The kernel took the batch, or refused it, and its answer did not fit (ENOBUFS)."""
    lossy = broken(LOSE_ANSWER="1")
    space = namespace("init")
    done = space.run([init, "--no-verify"], env=lossy)
    assert "applied" in done.stdout
    before = rules(space)
    done = space.run([init, "--no-verify", "-o", "22"], env={**lossy, "BREAK_BATCH_RULE": "7"}, check=False)
    assert done.returncode == 1 and "it is not known whether they are in force" in done.stderr
    assert rules(space) == before


def test_killed_at_any_system_call_leaves_the_old_rules_or_the_new(pods, init, tmp_path):
    space, _ = pods
    space.run([init, "--no-verify"])
    old = rules(space)
    space.run([init, "--no-verify", "-m", "tproxy", "-o", "22"])
    new = rules(space)
    words = [init, "--no-verify", "-m", "tproxy", "-o", "22"]
    trace = tmp_path / "trace"
    traced = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # LeakSanitizer does not work under strace
    space.run(["strace", "-o", trace, *words], env=traced)
    calls = collections.Counter(line.split("(")[0] for line in trace.read_text().splitlines() if "(" in line)
    points = [(name, number) for name, count in calls.items() for number in range(1, count + 1)
              if name.isidentifier() and name not in ("mmap", "munmap", "mprotect", "madvise", "brk", "exit_group", "execve")]
    outcomes = set()
    for name, number in points:
        space.run([init, "--no-verify"])
        done = space.run(["strace", "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={number}", *words], env=traced,
                         check=False)
        assert done.returncode != 0, (name, number)
        found = rules(space)
        assert found in (old, new), (name, number)
        outcomes.add(found)
    assert len(points) > 30 and outcomes == {old, new}


def test_show_explains_each_rule_and_counts(pods, init):
    client, server = pods
    outside = server.inside(lambda: Server(echo, host="0.0.0.0", port=8022))
    client.run([init, "--no-verify", "-o", "8022"])
    for _ in range(3):
        client.inside(lambda: socket.create_connection(("10.78.0.2", 8022), timeout=5)).close()
    outside.close()
    lines = client.run([init, "show", "--explain"]).stdout.splitlines()
    assert [line for line in lines if line.startswith("outbound: ")]
    assert [line.split(None, 2) for line in lines if "excluded outbound port" in line] == \
        [["1", "3", lines[2].split(None, 2)[2]]]
    assert lines[2].split(None, 2)[2].split() == "tcp dport 8022 return excluded outbound port".split()


def test_trace_tells_the_rule_and_asks_options_when_dry(namespace, init):
    space = namespace("trace")
    done = space.run([init, "trace", "--to", "10.0.0.1:80"], check=False)
    assert done.returncode == 1 and "there are no rules" in done.stderr
    words = ["trace", "-n", "--to", "10.0.0.1:443", "--out-interface", "eth0", "--uid"]
    assert run([init, *words, "1000"]).stdout.splitlines()[1:] == [
        "rule        outbound 10: meta l4proto tcp redirect to :15001",
        "reason      every other outbound connection",
        "lands       outbound capture, port 15001"]
    assert "lands       direct" in run([init, *words, "1337"]).stdout
    assert run([init, *words, "1000", "-i", ""]).stdout.splitlines()[1:] == ["rule        none: no rule is about it", "lands       direct"]
    done = run([init, "trace", "-n", "--to", "10.0.0.1"], check=False)
    assert done.returncode == 2 and "--to: \"10.0.0.1\"" in done.stderr
    done = space.run([init, "trace", "-n", "--to", "10.0.0.1:80"])
    assert "lands       nowhere: Network is unreachable" in done.stdout


def test_trace_asks_the_routes_as_the_connection_would(pods, init):
    """Regression: rules by uid and source were not asked, and what TCP cannot reach landed at the proxy."""
    space, _ = pods
    space.run(["ip", "link", "add", "side0", "type", "veth", "peer", "name", "side1"])
    space.run(["ip", "address", "add", "10.90.0.1/24", "dev", "side0"])
    for name in ("side0", "side1"):
        space.run(["ip", "link", "set", name, "up"])
    for words in (["route", "add", "blackhole", "10.91.0.0/16"], ["route", "add", "prohibit", "10.92.0.0/16"],
                  ["route", "add", "10.93.0.0/16", "dev", "side0", "table", "91"], ["rule", "add", "uidrange", "2000-2000", "lookup", "91"],
                  ["rule", "add", "from", "10.90.0.1", "lookup", "91"]):
        space.run(["ip", *words])
    space.run([init, "--no-verify", "-c", "side0"])

    def traced(*words):
        return space.run([init, "trace", *words]).stdout

    def dialled(host):
        def inside():
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as dialling:
                dialling.setblocking(False)
                return dialling.connect_ex((host, 80))
        return space.inside(inside)

    for host, error, words in (("10.91.0.1", errno.EINVAL, "the route is a blackhole"), ("10.92.0.1", errno.EACCES, "Permission denied"),
                               ("224.0.0.1", errno.ENETUNREACH, "Network is unreachable"), ("10.78.0.255", errno.ENETUNREACH, "Network is"),
                               ("255.255.255.255", errno.ENETUNREACH, "Network is unreachable"),
                               ("ff02::1", errno.ENETUNREACH, "Network is unreachable"), ("ff0e::1", errno.ENETUNREACH, "Network is")):
        written = f"[{host}]:80" if ":" in host else f"{host}:80"
        assert dialled(host) == error, host
        assert f"nowhere: {words}" in traced("--to", written), host
    assert "lands       nowhere" in traced("--to", "10.93.0.1:80", "--from", "10.77.0.1")
    assert "lands       direct" in traced("--to", "10.93.0.1:80", "--uid", "2000")
    assert "lands       outbound capture" in traced("--to", "10.93.0.1:80", "--uid", "2001")
    assert "lands       direct" in traced("--to", "10.93.0.1:80", "--from", "10.90.0.1")
    assert "the source is no address of this machine" in traced("--to", "10.0.0.5:80", "--from", "9.9.9.9")
    assert "to 10.78.0.1:80" in traced("--to", "0.0.0.0:80", "--from", "10.78.0.1")
    assert "the address is link-local" in traced("--to", "[fe80::1]:80", "--out-interface", "eth0")
    space.run(["ip", "rule", "add", "ipproto", "tcp", "dport", "443", "lookup", "91"])
    assert "lands       direct" in traced("--to", "10.93.0.1:443", "--uid", "2001")


def test_trace_refuses_what_it_cannot_answer(namespace, init):
    space = namespace("trace")
    space.run([init, "--no-verify"])
    for words, problem in ((["--in-interface", "lo"], "--in-interface: \"lo\": the rules decide when it leaves"),
                           (["--in-interface", "eth9"], "--in-interface: \"eth9\": there is no such interface here"),
                           (["--out-interface", "eth9"], "--out-interface: \"eth9\": there is no such interface here"),
                           (["--in-interface", "eth9", "--uid", "7"], "--uid and --gid are not known"),
                           (["--from", "::1"], "--from: \"::1\": allowed: an address of the same family as --to"),
                           (["--from", "x\ny"], "--from: \"x\\x0ay\": allowed: an address without port")):
        done = space.run([init, "trace", "--to", "10.0.0.1:80", *words], check=False)
        assert done.returncode == 2 and problem in done.stderr and len(done.stderr.splitlines()) == 1, words


def test_tproxy_routing_comes_and_goes_with_its_rules(pods, init):
    client, _ = pods

    def routing():
        return [client.run(["ip", family, *words]).stdout for family in ("-4", "-6")
                for words in (["rule"], ["route", "show", "table", "all"])]

    client.run(["ip", "-6", "address", "add", "::6/128", "dev", "lo"])
    client.run([init, "--no-verify"])
    before = routing()
    client.run([init, "-m", "tproxy", "--no-verify"])
    marked = routing()
    assert "fwmark 0x539 lookup 133" in marked[0] and "local default dev lo table 133" in marked[1]
    assert "fwmark 0x539 lookup 133" in marked[2] and "local default dev lo table 133" in marked[3]
    client.run([init, "-m", "tproxy", "--no-verify"])
    assert routing() == marked
    client.run([init, "--no-verify"])
    assert routing() == before
    # Regression: what another mark and table had left stayed for ever; somebody else's rule stays.
    client.run(["ip", "rule", "add", "priority", "133", "fwmark", "9", "lookup", "99"])
    foreign = routing()
    client.run([init, "-m", "tproxy", "-t", "77", "-r", "177", "--no-verify"])
    client.run([init, "-m", "tproxy", "--no-verify"])
    assert "lookup 177" not in "".join(routing()) and "table 177" not in "".join(routing())
    client.run([init, "-m", "tproxy", "-t", "77", "--no-verify"])
    assert "fwmark 0x4d lookup 133" in routing()[0] and "fwmark 0x539" not in "".join(routing())
    assert "local default dev lo table 133" in routing()[1] and "local default dev lo table 133" in routing()[3]
    client.run([init, "-m", "tproxy", "-t", "77", "-r", "177", "--no-verify"])
    client.run([init, "--no-verify"])
    assert routing() == foreign
    client.run(["ip", "rule", "del", "priority", "133"])
    client.run([init, "-m", "tproxy", "--no-verify"])
    client.run([init, "remove"])
    assert "fwmark" not in "".join(routing()) and "133" not in client.run(["ip", "rule"]).stdout


def invalid_is_answered(client, server):
    """Sends a FIN that belongs to no connection; whether the server's kernel answers it with RST."""
    with server.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)) as ear:
        mouth = client.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP))
        segment = struct.pack("!HHLLBBHHH", 4000, 4001, 1, 0, 5 << 4, 0x01, 1024, 0, 0)
        pseudo = socket.inet_aton("10.78.0.1") + socket.inet_aton("10.78.0.2") + struct.pack("!BBH", 0, 6, len(segment))
        total = sum(struct.unpack(f"!{(len(pseudo) + len(segment)) // 2}H", pseudo + segment))
        total = (total & 0xffff) + (total >> 16)
        checksum = ~((total & 0xffff) + (total >> 16)) & 0xffff
        with mouth:
            mouth.bind(("10.78.0.1", 0))
            mouth.sendto(segment[:16] + struct.pack("!H", checksum) + segment[18:], ("10.78.0.2", 0))
            mouth.settimeout(0.5)
            try:
                return bool(mouth.recv(100))
            except TimeoutError:
                return False


def test_invalid_packets_are_dropped_unless_told_otherwise(pods, init):
    client, server = pods
    server.run([init, "--no-verify", "--drop-invalid=off"])
    assert invalid_is_answered(client, server)
    server.run([init, "--no-verify"])
    assert not invalid_is_answered(client, server)
    assert "packets 1" in [line for line in rules(server).splitlines() if "ct state invalid" in line][0]


def test_rerun_under_probes_opens_no_gap(pods, init):
    """While the rules are replaced again and again, every one of thousands of connections is captured."""
    client, server = pods
    client.run([init])
    proxy = client.inside(lambda: Server(lambda connection: (connection.sendall(b"proxy"), connection.close()), host="0.0.0.0",
                                         port=15001, backlog=1024))
    outside = server.inside(lambda: Server(lambda connection: (connection.sendall(b"outside"), connection.close()), host="0.0.0.0",
                                           port=8080, backlog=1024))
    stop, landed = threading.Event(), {}

    def probe():
        while not stop.is_set():
            with socket.create_connection(("10.78.0.2", 8080), timeout=5) as connection:
                word = connection.recv(10)
                landed[word] = landed.get(word, 0) + 1

    threads = [threading.Thread(target=lambda: client.inside(probe)) for _ in range(4)]
    for thread in threads:
        thread.start()
    runs, end = 0, time.monotonic() + 60
    while time.monotonic() < end and (runs < 100 or landed.get(b"proxy", 0) < 10_000):
        client.run([init, "--no-verify", "-o", str(1000 + runs % 7)])
        runs += 1
    stop.set()
    for thread in threads:
        thread.join()
    proxy.close()
    outside.close()
    assert set(landed) == {b"proxy"}
    assert runs >= 100 and landed[b"proxy"] >= 10_000


def test_killed_at_any_moment_leaves_the_old_rules_or_the_new(namespace, init):
    space = namespace("init")
    space.run([init, "--no-verify"])
    old = rules(space)
    space.run([init, "--no-verify", "-o", "22"])
    new = rules(space)
    words = space.command([init, "--no-verify"])
    for number in range(60):
        space.run([init, "--no-verify"] + (["-o", "22"] if number % 2 else []))
        process = subprocess.Popen(words + ([] if number % 2 else ["-o", "22"]), stdout=subprocess.DEVNULL)
        time.sleep(number * 0.0002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert rules(space) in (old, new)
    space.run([init, "--no-verify"])
    assert rules(space) == old


def test_refused_rule_in_the_middle_changes_nothing_and_is_named(namespace, init, broken):
    space = namespace("init")
    for before in ("", None):
        if before is None:
            space.run([init, "--no-verify", "-o", "22"])
            before = rules(space)
        done = space.run([init, "--no-verify"], env=broken(BREAK_BATCH_RULE="7"), check=False)
        assert done.returncode == 1
        assert "rule 7 (loopback, and the app's own address, stay direct) was refused: No such file" in done.stderr
        assert rules(space) == before


@pytest.mark.parametrize("word, message", [
    ("tproxy", "rule 18 (what a transparent socket has taken stays with it) was refused: No such file or directory; the kernel needs modules nft_tproxy"),
    ("redir", "rule 4 (the app calls its own service: as inbound) was refused: No such file or directory; the kernel needs NAT"),
    ("ct", "rule 16 (answers to connections made from here) was refused: No such file or directory; the kernel needs module nft_ct"),
    ("nat", "chain outbound was refused: No such file or directory; the kernel needs NAT for family inet: 5.2 or later"),
    ("route", "chain replies was refused: No such file or directory; the kernel needs nf_tables with chains of family inet"),
])
def test_what_the_kernel_lacks_is_named_with_a_hint(namespace, init, broken, word, message):
    space = namespace("init")
    done = space.run([init, "--no-verify", "-m", "tproxy"], env=broken(BREAK_BATCH_WORD=word), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"outrigger-init: {message}") and done.stderr.count("\n") == 1
    assert rules(space) == ""


def test_running_proxy_answers_the_proof(pods, init, programs, start):
    client, _ = pods
    client.run([init])
    proxy = start({"intercept": {}, "health": {"port": 15021}}, namespace=client, uid=1337)
    done = client.run([init])
    assert done.stdout.count("and the running proxy answered") == 4
    eventually(lambda: proxy.ended("passthrough", "outbound") == {"probe": 2}, what="counted")
    eventually(lambda: proxy.ended("inbound", "inbound") == {"probe": 2}, what="counted")
    assert proxy.is_ready()
