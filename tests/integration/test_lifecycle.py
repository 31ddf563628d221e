"""
Every event on one side in every state of the other: what arrives there, and the named end. docs/connection-lifecycle.md shows this as a
table; a cell is named test_event[EVENT-STATE-SIDE], where SIDE is the one with the event.
"""

import socket
import threading
import time

import pytest

from tests.support.clients import connect, ending, linger_zero, pattern
from tests.support.processes import eventually, stopped
from tests.support.servers import Silent, free_port

SIDES = ["client", "upstream"]
LARGE = pattern(64 * 1024 * 1024, 3)  # more than the kernel and the proxy keep for a reader that has stopped
RECEIVE_BUFFER = 64 * 1024


class Ends:
    """Both ends of one connection through a proxy: `near` has the event, `far` the state."""

    def __init__(self, plain, side, **timeouts):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        self.proxy, port = plain([listener.getsockname()[1]], {"timeouts": timeouts} if timeouts else None, workers=1)
        self.begun = time.monotonic()  # whatever has moved last in the proxy has moved after that
        client = connect(port, receive_buffer=RECEIVE_BUFFER)
        listener.settimeout(5)
        upstream, _ = listener.accept()
        upstream.settimeout(10)
        listener.close()
        self.side = side
        self.near, self.far = (client, upstream) if side == "client" else (upstream, client)
        self.owed = b""  # sent by near, and not read by far yet

    def fill(self, sender):
        """Sends until nothing is taken any more; returns what was."""
        taken = 0
        self.begun = time.monotonic()
        sender.settimeout(0.3)
        try:
            while taken < len(LARGE):
                taken += sender.send(LARGE[taken:taken + 65536])
        except TimeoutError:
            pass
        sender.settimeout(10)
        assert 0 < taken < len(LARGE), "nothing holds the sender back"
        return LARGE[:taken]

    def ended(self, reason):
        eventually(lambda: self.proxy.ended("test") == {reason: 1}, what=reason)

    def cut_by_near(self):
        return "client_reset" if self.side == "client" else "upstream_reset"

    def close(self):
        self.near.close()
        self.far.close()


def far_is_open(ends):
    pass


def far_has_stopped_reading(ends):
    ends.owed = ends.fill(ends.near)


def far_has_finished(ends):
    ends.far.shutdown(socket.SHUT_WR)
    assert ends.near.recv(1) == b""


def receive(connection, length):
    """So many bytes, or fewer when the stream ends before."""
    parts = []
    while length > 0 and (part := connection.recv(min(length, 65536))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def bytes_come(ends, far):
    sender = threading.Thread(target=ends.near.sendall, args=(b"hello",))
    sender.start()
    assert receive(ends.far, len(ends.owed) + 5) == ends.owed + b"hello"
    sender.join()


def it_finishes(ends, far):
    ends.near.shutdown(socket.SHUT_WR)
    assert ending(ends.far) == (ends.owed, "end")
    if far is not far_has_finished:  # the other direction is as it was
        ends.far.sendall(b"reply")
        assert receive(ends.near, 5) == b"reply"
        ends.far.shutdown(socket.SHUT_WR)
        assert ending(ends.near) == (b"", "end")
    ends.ended("completed")


def it_is_cut(ends, far):
    if far is not far_has_stopped_reading:
        ends.near.sendall(b"last")
        ends.owed = b"last"
        time.sleep(0.1)  # or the reset takes the bytes away before they have left
    linger_zero(ends.near)
    ends.near.close()
    got, how = ending(ends.far)
    assert how == "reset"
    if far is far_has_stopped_reading:  # what had not left its kernel is gone with it
        assert len(got) > 500_000 and ends.owed.startswith(got)
    else:
        assert got == ends.owed
    ends.ended(ends.cut_by_near())


def it_stops_reading(ends, far):
    if far is far_has_finished:
        pytest.fail("not a cell: nothing can be sent to it")
    sent = ends.fill(ends.far)
    assert receive(ends.near, len(sent)) == sent
    assert receive(ends.far, len(ends.owed)) == ends.owed
    ends.far.sendall(b"after")
    assert receive(ends.near, 5) == b"after"


def it_is_silent(ends, far):
    if far is far_has_finished:  # near has read the end of its stream already; it is far that still waits
        assert ending(ends.far) == (b"", "reset")
        ends.ended("half_close_timeout")
    else:
        assert ending(ends.near) == (b"", "reset")
        got, how = ending(ends.far)
        assert how == "reset" and ends.owed.startswith(got)
        ends.ended("idle_timeout")
    assert 0.99 < time.monotonic() - ends.begun < 5


EVENTS = {"bytes": bytes_come, "fin": it_finishes, "reset": it_is_cut, "stops_reading": it_stops_reading, "silence": it_is_silent}
STATES = {"open": far_is_open, "stopped_reading": far_has_stopped_reading, "finished": far_has_finished}
CELLS = [(event, state, side) for event in EVENTS for state in STATES for side in SIDES if (event, state) != ("stops_reading", "finished")]


@pytest.mark.parametrize("event,state,side", CELLS, ids=lambda word: word)
def test_event(plain, event, state, side):
    timeouts = {"idle": "1s", "half_close": "1s"} if event == "silence" else {}
    ends = Ends(plain, side, **timeouts)
    STATES[state](ends)
    EVENTS[event](ends, STATES[state])
    ends.close()


@pytest.mark.parametrize("side", SIDES)
def test_finished_with_bytes_owed_to_one_that_has_stopped_reading(plain, side):
    ends = Ends(plain, side)
    sent = ends.fill(ends.far)
    ends.far.shutdown(socket.SHUT_WR)
    assert ending(ends.near) == (sent, "end")
    ends.near.shutdown(socket.SHUT_WR)
    ends.ended("completed")
    ends.close()


@pytest.mark.parametrize("event", ["bytes", "fin", "reset"])
@pytest.mark.parametrize("side", SIDES)
def test_event_while_cutting(plain, event, side):
    """`far` was cut, and `near` takes its last bytes slowly: what `near` does then goes nowhere, and its end is the cut's."""
    ends = Ends(plain, side)
    sent = ends.fill(ends.far)
    linger_zero(ends.far)
    ends.far.close()
    time.sleep(0.2)
    assert ends.proxy.active() == 1, "the cut has been passed on already"
    if event == "bytes":
        ends.near.sendall(b"to nobody")
    elif event == "fin":
        ends.near.shutdown(socket.SHUT_WR)
    else:
        linger_zero(ends.near)
        ends.near.close()
    if event != "reset":
        got, how = ending(ends.near)
        assert how == "reset" and len(got) > 500_000 and sent.startswith(got)
    ends.ended("upstream_reset" if side == "client" else "client_reset")
    ends.close()


def test_reset_and_the_others_fin_in_one_turn_is_a_reset(plain):
    """Regression: both directions had ended, and the connection counted as completed, though the reply was cut."""
    ends = Ends(plain, "client")
    ends.near.sendall(b"question")
    ends.near.shutdown(socket.SHUT_WR)
    assert ending(ends.far) == (b"question", "end")
    ends.far.sendall(b"reply")
    time.sleep(0.2)
    with stopped(ends.proxy.pid):
        ends.far.close()
        time.sleep(0.05)
        linger_zero(ends.near)
        ends.near.close()
        time.sleep(0.05)
    ends.ended("client_reset")


def test_last_bytes_for_one_that_has_closed_are_a_reset(plain):
    """Regression: held back for the FIN behind them, the bytes met the closed upstream only after the connection had been counted."""
    ends = Ends(plain, "client")
    ends.far.sendall(b"bye")
    ends.far.close()
    assert ending(ends.near) == (b"bye", "end")
    with stopped(ends.proxy.pid):
        ends.near.sendall(b"lost")
        ends.near.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
    ends.ended("upstream_reset")
    ends.near.close()


class Connecting:
    """A client whose upstream does not answer: the queue of its listener is full."""

    def __init__(self, plain, **timeouts):
        self.silent = Silent()
        self.proxy, port = plain([self.silent.port], {"timeouts": timeouts, "retry": {"attempts": 1}}, workers=1)
        self.client = connect(port)
        eventually(lambda: self.proxy.active() == 1, what="the client")

    def accept(self):
        return self.silent.accept()

    def close(self):
        self.client.close()
        self.silent.close()


def test_bytes_and_fin_while_connecting_wait_for_the_upstream(plain):
    waiting = Connecting(plain, connect="8s")
    waiting.client.sendall(b"early")
    waiting.client.shutdown(socket.SHUT_WR)
    time.sleep(0.3)
    with waiting.accept() as upstream:
        assert ending(upstream) == (b"early", "end")
        upstream.sendall(b"reply")
    assert ending(waiting.client) == (b"reply", "end")
    waiting.close()


def test_reset_while_connecting_cancels_the_attempt(plain):
    waiting = Connecting(plain, connect="8s")
    linger_zero(waiting.client)
    waiting.client.close()
    eventually(lambda: waiting.proxy.ended("test") == {"client_gone": 1}, what="client_gone")
    waiting.close()


def test_silence_while_connecting_ends_at_the_connect_timeout(plain):
    waiting = Connecting(plain, connect="400ms")
    assert ending(waiting.client) == (b"", "reset")
    eventually(lambda: waiting.proxy.ended("test") == {"connect_timeout": 1}, what="connect_timeout")
    waiting.close()


@pytest.mark.parametrize("event,reason", [("fin", "connect_refused"), ("reset", "client_gone")])
def test_event_in_backoff(plain, event, reason):
    """Refused by all, and waiting for the next attempt: a FIN waits too, a reset ends the connection."""
    proxy, port = plain([free_port()], {"retry": {"attempts": 3, "backoff": {"base": "1s", "max": "1s"}}}, workers=1)
    client = connect(port)
    eventually(lambda: proxy.traffic("test", "listener")["retries"] >= 1, what="the first retry")
    if event == "fin":
        client.shutdown(socket.SHUT_WR)
        assert ending(client) == (b"", "reset")
    else:
        linger_zero(client)
        client.close()
    eventually(lambda: proxy.ended("test") == {reason: 1}, what=reason)
    client.close()
