"""Threads of a program that are made to stand still, by ptrace."""

import ctypes
import os

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class StoppedThread:
    """One thread of a program that stands still, as if its loop never turned."""

    def __init__(self, tid):
        self.tid = tid
        self._trace(PTRACE_SEIZE)
        self._trace(PTRACE_INTERRUPT)
        os.waitpid(tid, WALL)

    def _trace(self, request):
        if libc.ptrace(request, self.tid, None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def go_on(self):
        self._trace(PTRACE_DETACH)


def threads_of(pid):
    """All but the main one, the oldest first."""
    return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid)
