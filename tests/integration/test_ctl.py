"""The gate and the wrapper: the app starts when the proxy is ready, gets every signal, and its code comes back."""

import os
import pty
import signal
import subprocess
import time

import pytest

from tests.support.outrigger import Outrigger
from tests.support.processes import Program, eventually, run
from tests.support.servers import echo, free_port


@pytest.fixture
def ctl(programs):
    return os.path.join(programs, "outriggerctl")


def config(serve):
    return {"health": {"port": free_port()}, "listeners": [{"name": "web", "address": f"127.0.0.1:{free_port()}", "cluster": "c"}],
            "clusters": [{"name": "c", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]}]}


def test_run_starts_the_app_only_when_the_proxy_is_ready(serve, programs, tmp_path, ctl):
    directory, marker = tmp_path / "proxy", tmp_path / "started"
    app = Program([ctl, "--socket", directory / "control.sock", "run", "--interval", "20ms", "--", "touch", marker],
                  tmp_path / "app.log")
    time.sleep(0.4)
    assert not marker.exists() and app.is_running()
    proxy = Outrigger(programs, directory, config(serve))
    assert app.wait(5) == 0
    assert marker.exists()
    assert proxy.program.is_running()
    proxy.stop()


def test_run_returns_the_apps_code_and_ends_the_proxy(serve, programs, tmp_path):
    for words, code in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -KILL $$"], 137), (["/nonexistent"], 127), (["/etc/passwd"], 126)):
        proxy = Outrigger(programs, tmp_path / f"proxy{code}", config(serve))
        assert proxy.ctl("run", "--quit", "--", *words).returncode == code
        assert proxy.program.wait(5) == 0


def test_run_ends_the_proxy_also_when_the_app_never_started(serve, programs, tmp_path, ctl):
    proxy = Outrigger(programs, tmp_path / "proxy", config(serve))
    assert proxy.ctl("drain").returncode == 0
    done = proxy.ctl("run", "--quit", "--timeout", "100ms", "--", "touch", str(tmp_path / "never"))
    assert done.returncode == 69
    assert proxy.program.wait(5) == 0
    assert not (tmp_path / "never").exists()


def test_run_ends_where_sigchld_is_ignored(serve, programs, tmp_path, ctl):
    """Regression: an inherited SIG_IGN makes the kernel reap children without a word."""
    proxy = Outrigger(programs, tmp_path / "proxy", config(serve))
    done = run(["sh", "-c", f"trap '' CHLD; exec {ctl} --socket {proxy.socket_path} run -- sh -c 'exit 3'"], check=False, timeout=10)
    assert done.returncode == 3
    proxy.stop()


def test_run_stops_and_continues_with_its_terminal(serve, programs, tmp_path, ctl):
    """Regression: Ctrl-Z stopped the app but not the wrapper, and the shell waited for ever."""
    proxy = Outrigger(programs, tmp_path / "proxy", config(serve))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(ctl, [ctl, "--socket", proxy.socket_path, "run", "--", "sh", "-c", "echo up; sleep 1; exit 4"])
    while b"up" not in os.read(terminal, 100):
        pass
    os.write(terminal, b"\x1a")
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    os.kill(pid, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
    os.close(terminal)
    proxy.stop()


def test_run_passes_signals_on(serve, programs, tmp_path, ctl):
    proxy = Outrigger(programs, tmp_path / "proxy", config(serve))
    script = "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo term; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    app = Program([ctl, "--socket", proxy.socket_path, "run", "--quit", "--", "sh", "-c", script], tmp_path / "app.log")
    eventually(lambda: "up" in app.log(), what="the app")
    for number, word in ((signal.SIGUSR1, "usr1"), (signal.SIGHUP, "hup"), (signal.SIGTERM, "term")):
        app.signal(number)
        eventually(lambda: word in app.log(), what=word)
    assert app.wait(5) == 5
    assert proxy.program.wait(5) == 0


def test_run_as_the_first_process_reaps_orphans(serve, programs, tmp_path, ctl):
    if os.getuid() != 0:
        pytest.skip("needs root for a process namespace")
    proxy = Outrigger(programs, tmp_path / "proxy", config(serve))
    script = "sh -c 'sleep 0.1 & exit 0'; sleep 0.5; ps -eo stat= | grep -c Z"
    done = run(["unshare", "--pid", "--fork", "--mount-proc", ctl, "--socket", proxy.socket_path, "run", "--", "sh", "-c", script],
               check=False)
    assert done.stdout.strip() == "0", done.stdout + done.stderr
    proxy.stop()


def test_wait_ends_when_time_is_up_and_names_what_is_missing(tmp_path, ctl):
    begun = time.monotonic()
    done = run([ctl, "--socket", tmp_path / "none.sock", "wait", "--timeout", "300ms", "--interval", "50ms"], check=False)
    assert done.returncode == 69
    assert 0.25 < time.monotonic() - begun < 2
    assert "not ready after 300 ms" in done.stderr and "No such file or directory" in done.stderr


def test_run_on_timeout_starts_or_fails_as_told(tmp_path, ctl):
    words = [ctl, "--socket", tmp_path / "none.sock", "run", "--timeout", "100ms"]
    assert run([*words, "--on-timeout", "start", "--", "echo", "bare"], check=False).stdout == "bare\n"
    done = run([*words, "--", "echo", "bare"], check=False)
    assert (done.returncode, done.stdout) == (69, "")


def test_wait_ends_on_sigterm_even_before_the_app(tmp_path, ctl):
    app = Program([ctl, "--socket", tmp_path / "none.sock", "run", "--", "true"], tmp_path / "app.log")
    time.sleep(0.3)
    app.signal(signal.SIGTERM)
    assert app.wait(2) == 128 + signal.SIGTERM


@pytest.mark.parametrize("words", [[], ["nonsense"], ["run"], ["run", "--"], ["wait", "--timeout", "5"], ["ready", "extra"],
                                   ["ready", "--quit"], ["wait", "--quit"], ["run", "--on-timeout", "maybe", "--", "true"],
                                   ["wait", "--interval", "0"], ["--nonsense"], ["status", "--timeout", "1s"]])
def test_wrong_usage_is_2_with_a_hint(ctl, words):
    done = subprocess.run([ctl, *words], capture_output=True, text=True, timeout=10)
    assert done.returncode == 2
    assert "outriggerctl" in done.stderr and done.stdout == ""


def test_program_is_static_and_small(ctl):
    assert os.path.getsize(ctl) < 200_000
    # Regression: -static-pie with musl-gcc made a program that needed musl's loader.
    assert "INTERP" not in run(["readelf", "-lW", ctl]).stdout
    assert "NEEDED" not in run(["readelf", "-dW", ctl]).stdout
