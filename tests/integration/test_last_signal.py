"""Signals in a process's very last moments change nothing any more."""

import signal
import time

from tests.support.servers import echo


def test_signals_while_it_ends_are_no_death_by_a_signal(plain, serve):
    """Regression: its handlers were gone before it was, and a SIGTERM in between was its exit code."""
    for _ in range(5):
        proxy, _ = plain([serve(echo).port])
        proxy.program.signal(signal.SIGTERM)
        until = time.monotonic() + 10
        while proxy.program.is_running() and time.monotonic() < until:
            proxy.program.signal(signal.SIGTERM)
            proxy.program.signal(signal.SIGHUP)
        assert proxy.program.wait(1) == 0, proxy.log()
