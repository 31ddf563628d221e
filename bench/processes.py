"""Processes as the benchmark sees them: pinned to a core, measured from outside."""

import os
import resource

from tests.support.processes import Program


def cores():
    """The core for the proxy and the one for load and origin; on a machine with one core they share it."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def pin(core):
    """What a child does before exec: it stays on one core and may have as many descriptors as the machine allows."""
    def prepare():
        os.sched_setaffinity(0, {core})
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return prepare


class Measured:
    """A running program and all its descendants: CPU time and memory."""

    def __init__(self, argv, log_path, core, namespace=None, uid=None, **options):
        options["preexec_fn"] = pin(core)
        if namespace is None:
            self.program = Program(argv, log_path, **options)
        else:
            self.program = namespace.start(argv, log_path, uid=uid, **options)

    def pids(self):
        found, todo = [], [self.program.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in _tasks(pid):
                todo += [int(word) for word in _read(f"/proc/{pid}/task/{task}/children").split()]
        return found

    def cpu_ns(self):
        """Time on a CPU so far, to the nanosecond."""
        stats = (_read(f"/proc/{pid}/task/{task}/schedstat").split() for pid in self.pids() for task in _tasks(pid))
        return sum(int(stat[0]) for stat in stats if stat)  # a thread may end between listing and reading

    def memory_kib(self):
        """Resident memory in all, and its anonymous part."""
        total = anonymous = 0
        for pid in self.pids():
            for line in _read(f"/proc/{pid}/status").splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
                elif line.startswith("RssAnon:"):
                    anonymous += int(line.split()[1])
        return total, anonymous

    def executable(self):
        return os.readlink(f"/proc/{self.program.pid}/exe")

    def stop(self):
        self.program.stop()


def _tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""
