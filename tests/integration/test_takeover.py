"""A new process takes over from an old one without a connection lost; whatever fails on the way leaves the old one serving."""

import array
import http.client
import json
import os
import signal
import socket
import time

import pytest

from tests.support.clients import Load, connect, ending, exchange, served
from tests.support.processes import Program, eventually, run
from tests.support.servers import echo, free_port
from tests.support.stopped_thread import StoppedThread, threads_of


@pytest.fixture
def host(programs, tmp_path, serve):
    """A proxy on a host, and its successors."""
    made = []
    for directory in [tmp_path, *tmp_path.parents][:3]:  # for other uids
        if directory.stat().st_uid == os.getuid():
            directory.chmod(0o755)

    class Host:
        def __init__(self, **config):
            self.port, self.health, self.admin = free_port(), free_port(), free_port()
            self.socket_path = str(tmp_path / "control.sock")
            self.config = {"version": 1, "workers": 2, "log": {"format": "text", "level": "info"},
                           "health": {"port": self.health}, "admin": {"port": self.admin},
                           "control": {"path": self.socket_path}, "drain": {"timeout": "300ms"},
                           "listeners": [{"name": "test", "address": f"127.0.0.1:{self.port}", "cluster": "test"}],
                           "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(echo, backlog=1024).port}"}]}],
                           **config}
            self.number = 0
            self.program = self.start()
            eventually(lambda: self.ask("/healthz/ready")[0] == 200, what="ready")

        def start(self, *words, environment=None, under=(), **changes):
            path = tmp_path / f"config{self.number}.json"
            path.write_text(json.dumps({**self.config, **changes}))
            program = Program([*under, f"{programs}/outrigger", "-c", path, *words], tmp_path / f"log{self.number}",
                              env={**os.environ, **(environment or {})})
            self.number += 1
            made.append(program)
            return program

        def take_over(self, **options):
            return self.start("--takeover", self.socket_path, **options)

        def ask(self, path):
            connection = http.client.HTTPConnection("127.0.0.1", self.health, timeout=5)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read().decode()
            except OSError:
                return 0, ""
            finally:
                connection.close()

        def ctl(self, *words, check=True):
            return run([f"{programs}/outriggerctl", "--socket", self.socket_path, *words], check=check)

    yield Host
    for program in made:
        if program.is_running():
            program.signal(signal.SIGTERM)
            assert program.wait(10) == 0, program.log()


def in_force(host, program):
    """Whether the program is the one that answers."""
    return "state: ready" in program.log() and host.ctl("ready", check=False).returncode == 0


def test_connections_handed_over_before_a_worker_has_begun_are_carried(host):
    """A burst that waited for the new process was spread over its workers before the last of them knew its limits: it never read."""
    it = host()
    old = [StoppedThread(tid) for tid in threads_of(it.program.pid)]
    clients = [connect(it.port) for _ in range(400)]  # more than the old one takes in the turn in which it lets go
    for client in clients:
        client.sendall(b"hello")
    # What its main thread writes takes long, and so its workers are told to begin one well after the other.
    new = it.take_over(under=["strace", "-D", "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:delay_exit=100000"],
                       environment={"ASAN_OPTIONS": "detect_leaks=0"})  # LeakSanitizer does not work under ptrace
    time.sleep(1)  # it waits for the old one now
    for thread in old:
        thread.go_on()
    for client in clients:
        assert client.recv(5) == b"hello"
    status = json.loads(it.ctl("--json", "status").stdout)
    assert in_force(it, new) and status["connections"]["active"] > 100, status


def test_five_in_a_row_under_load_lose_nothing(host):
    it = host()
    load = Load(it.port, 8)
    sessions, old = [], it.program
    for _ in range(5):
        sessions.append(served(it.port))
        new = it.take_over()
        eventually(lambda: in_force(it, new), what="the new one in force")
        eventually(lambda: "another process has taken over" in old.log(), what="the old one's farewell")
        assert old.is_running(), "it has a session"
        old = new
    time.sleep(0.3)
    load.stop()
    assert not load.problems and load.exchanged > 500
    for session in sessions:
        session.sendall(b"x")
        assert session.recv(1) == b"x"
        session.close()
    it.program = old


def test_the_old_one_ends_with_its_last_connection(host):
    it = host()
    session = served(it.port)
    new = it.take_over()
    eventually(lambda: in_force(it, new), what="the new one in force")
    session.sendall(b"x")
    assert session.recv(1) == b"x" and it.program.is_running()
    session.close()
    assert it.program.wait(5) == 0
    assert os.path.exists(it.socket_path) and it.ctl("ready").returncode == 0, "the control socket is the new one's now"
    assert it.ask("/healthz/ready")[0] == 200 and exchange(it.port, b"x") == b"x"


def test_the_old_one_ends_at_takeover_timeout(host):
    it = host(takeover={"timeout": "500ms"})
    session = served(it.port)
    new = it.take_over()
    eventually(lambda: in_force(it, new), what="the new one in force")
    assert it.program.wait(5) == 0
    assert ending(session)[1] == "reset"
    assert "takeover.timeout is over: 1 connections are reset" in it.program.log()


def test_sigterm_gives_the_old_one_its_usual_time(host):
    it = host(drain={"timeout": "500ms"})
    session = served(it.port)
    new = it.take_over()
    eventually(lambda: in_force(it, new), what="the new one in force")
    begun = time.monotonic()
    it.program.signal(signal.SIGTERM)
    assert it.program.wait(5) == 0
    assert 0.4 < time.monotonic() - begun < 3
    assert ending(session)[1] == "reset"
    assert exchange(it.port, b"x") == b"x"


def test_another_number_of_workers_is_refused_and_says_why(host):
    it = host()
    new = it.take_over(workers=1)
    assert new.wait(5) == 1
    assert "the old process has 2 workers, this one would have 1" in new.log() and "set workers: 2" in new.log()
    assert exchange(it.port, b"x") == b"x" and it.ctl("ready").returncode == 0
    eventually(lambda: it.take_over().is_running(), what="another try")


def test_a_new_one_that_cannot_start_leaves_the_old_one_serving(host, serve):
    it = host()
    taken = serve(echo)
    new = it.take_over(listeners=[*it.config["listeners"],
                                  {"name": "taken", "address": f"127.0.0.1:{taken.port}", "cluster": "test"}])
    assert new.wait(5) == 1 and "listener taken" in new.log()
    assert [exchange(it.port, b"x") for _ in range(20)] == [b"x"] * 20
    assert it.ctl("ready").returncode == 0 and it.ask("/healthz/ready")[0] == 200
    assert "another process has taken over" not in it.program.log()


def test_listeners_that_are_new_are_opened_and_others_are_let_go(host):
    it = host()
    added = free_port()
    new = it.take_over(listeners=[{"name": "added", "address": f"127.0.0.1:{added}", "cluster": "test"}])
    eventually(lambda: in_force(it, new), what="the new one in force")
    assert exchange(added, b"x") == b"x"
    with pytest.raises(ConnectionRefusedError):
        connect(it.port)


def test_another_control_path_replaces_the_old_one(host, tmp_path):
    it = host()
    old_path = it.socket_path
    new = it.take_over(control={"path": str(tmp_path / "other.sock")})
    it.socket_path = str(tmp_path / "other.sock")
    eventually(lambda: in_force(it, new), what="the new one in force")
    assert it.program.wait(5) == 0
    assert not os.path.exists(old_path) and exchange(it.port, b"x") == b"x"


def test_nobody_there_is_told(host, tmp_path):
    it = host()
    new = it.start("--takeover", str(tmp_path / "nothing.sock"))
    assert new.wait(5) == 1
    assert "nothing.sock: No such file or directory" in new.log()


def claim(path):
    """As a new process does: the sockets, and the connection."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(path)
    connection.sendall(b"POST /takeover HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    fds, text = array.array("i"), b""
    while b"HTTP/1.1 200" not in text or not text.rstrip().endswith(b"}"):
        part, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(250 * fds.itemsize))
        assert part
        text += part
        for _, _, data in ancillary:
            fds.frombytes(data)
    return connection, list(fds), json.loads(text[text.index(b"{"):])


def test_a_new_one_that_dies_half_way_leaves_the_old_one_serving(host):
    it = host()
    before = len(os.listdir(f"/proc/{it.program.pid}/fd"))
    for _ in range(20):
        connection, fds, answer = claim(it.socket_path)
        assert len(fds) == len(answer["sockets"]) == 7 and answer["workers"] == 2
        kinds = sorted(each["kind"] for each in answer["sockets"])
        assert kinds == ["admin", "admin", "control", "health", "health", "listener", "listener"]
        for fd in fds:
            os.close(fd)
        connection.close()
    assert exchange(it.port, b"x") == b"x"
    eventually(lambda: len(os.listdir(f"/proc/{it.program.pid}/fd")) <= before, what="no descriptor lost")


def test_done_without_an_offer_changes_nothing(host):
    """Regression: one stray request took the proxy off the air."""
    it = host()
    done = run(["curl", "-sS", "--unix-socket", it.socket_path, "-X", "POST", "http://outrigger/takeover/done"])
    assert "first POST /takeover, on the same connection" in done.stdout
    connection, fds, _ = claim(it.socket_path)
    done = run(["curl", "-sS", "--unix-socket", it.socket_path, "-X", "POST", "http://outrigger/takeover/done"])
    assert "on the same connection" in done.stdout, "by somebody else"
    for fd in fds:
        os.close(fd)
    connection.close()
    assert exchange(it.port, b"x") == b"x" and it.ctl("ready").returncode == 0


def test_an_offer_from_before_a_reload_is_void(host, tmp_path):
    it = host()
    connection, fds, _ = claim(it.socket_path)
    (tmp_path / "config0.json").write_text(json.dumps({**it.config, "zone": "b"}))
    assert it.ctl("reload").stdout.endswith("reloaded\n")
    connection.sendall(b"POST /takeover/done HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert b"409" in connection.recv(4096)
    for fd in fds:
        os.close(fd)
    connection.close()
    assert exchange(it.port, b"x") == b"x"


def test_a_new_one_that_is_gone_when_it_is_heard_has_not_taken_over(host):
    """Regression: its last words were obeyed although nobody was there any more."""
    it = host()
    connection, fds, _ = claim(it.socket_path)
    for fd in fds:
        os.close(fd)
    it.program.signal(signal.SIGSTOP)
    connection.sendall(b"POST /takeover/done HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    connection.close()
    it.program.signal(signal.SIGCONT)
    eventually(lambda: "that was about to take over is gone" in it.program.log(), what="its notice")
    assert exchange(it.port, b"x") == b"x" and it.ctl("ready").returncode == 0


def test_another_name_of_the_same_socket_is_the_same_socket(host, tmp_path):
    """Regression: the socket that had just been taken over was deleted."""
    it = host()
    os.symlink(it.socket_path, tmp_path / "link.sock")
    new = it.start("--takeover", str(tmp_path / "link.sock"))
    eventually(lambda: in_force(it, new), what="the new one in force")
    assert it.program.wait(5) == 0
    assert it.ctl("ready").returncode == 0


def test_only_who_may_do_everything_takes_over(host, programs):
    it = host()
    done = run(["setpriv", "--reuid=1000", "--clear-groups", "curl", "-sS", "--unix-socket", it.socket_path, "-X", "POST",
                "http://outrigger/takeover"], check=False)
    assert "this uid may not do that" in done.stdout


def test_a_client_that_cannot_receive_descriptors_is_no_harm(host):
    """curl skips interim responses; the kernel closes what it was passed."""
    it = host()
    done = run(["curl", "-sS", "--unix-socket", it.socket_path, "-X", "POST", "http://outrigger/takeover"])
    assert json.loads(done.stdout)["workers"] == 2
    assert exchange(it.port, b"x") == b"x"


def test_the_service_manager_is_told(host, tmp_path):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(5)
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    it = host()
    new = it.take_over(environment=environment)
    assert manager.recv(4096).decode().splitlines() == ["READY=1", f"MAINPID={new.pid}"]
    new.signal(signal.SIGTERM)
    assert manager.recv(4096) == b"STOPPING=1"
    assert new.wait(5) == 0
    manager.close()


def test_a_process_that_was_taken_over_changes_nothing_any_more(host):
    it = host()
    session = served(it.port)
    held = socket.socket(socket.AF_UNIX)  # to the old one, from before
    held.connect(it.socket_path)
    held.sendall(b"GET /healthz/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"live" in held.recv(4096)
    new = it.take_over()
    eventually(lambda: in_force(it, new), what="the new one in force")
    for path in ("/reload", "/undrain", "/takeover", "/takeover/done"):
        held.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        assert b"too late" in held.recv(4096), path
    held.close()
    session.close()
    assert it.program.wait(5) == 0
