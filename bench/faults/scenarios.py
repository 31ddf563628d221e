"""The faults: what happens to which endpoint, and when."""

class Fault:
    """
    A fault after `before` seconds of peace, for `seconds`, and `after` seconds of what follows. `begin` and `end` are called
    with the world; with `every` they take turns until the end.
    """

    def __init__(self, name, title, begin, end, before=2, seconds=10, after=3, every=None, speaker="ask"):
        self.name, self.title, self.begin, self.end = name, title, begin, end
        self.before, self.seconds, self.after, self.every, self.speaker = before, seconds, after, every, speaker

    @property
    def whole_s(self):
        return self.before + self.seconds + self.after

    def schedule(self):
        """What is to be done, in order: (seconds from the start, what)."""
        step = self.every or self.seconds
        turns = [(self.before + number * step, (self.begin, self.end)[number % 2]) for number in range(round(self.seconds / step))]
        return [*turns, (self.before + self.seconds, self.end)]


def _order(letter):
    return lambda world: world.endpoints[0].order(letter)


FAULTS = {fault.name: fault for fault in (
    Fault("none", "no fault", lambda world: None, lambda world: None),
    Fault("refuses", "one refuses", lambda world: world.cut_off(refused=1), lambda world: world.cut_off()),
    Fault("silent", "one does not answer SYN", lambda world: world.cut_off(silent=1), lambda world: world.cut_off()),
    Fault("resets-banner", "one accepts and resets; the server speaks first", _order("a"), _order("h"), speaker="listen"),
    Fault("resets", "one accepts and resets; the client speaks first", _order("a"), _order("h")),
    Fault("resets-request", "one resets upon the request", _order("r"), _order("h")),
    Fault("flaps", "one refuses and returns every 2 s", lambda world: world.cut_off(refused=1), lambda world: world.cut_off(), every=2),
    Fault("stopped", "one accepts and says nothing (SIGSTOP)", lambda world: world.endpoints[0].halt(),
          lambda world: world.endpoints[0].resume()),
    Fault("outage", "all three refuse for 5 s", lambda world: world.cut_off(refused=3), lambda world: world.cut_off(), before=12, seconds=5,
          after=8),  # `before`: a budget of retries may have saved what ten seconds earn
)}
