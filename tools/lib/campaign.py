"""Plays millions of torture connections through the proxy, slice by slice, with an account that survives interruptions."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.support.outrigger import copy_programs  # noqa: E402
from tests.support.processes import end_on_sigterm, positive  # noqa: E402
from tests.support.torture import LIMITS, Violation, torture_proxy  # noqa: E402

SLICE = 10_000  # connections of one proxy's life
AT_ONCE = 500
FIRST_SEED = 1000  # slice n has seed FIRST_SEED + n, and the limits in turn


def load(path, restart):
    """The account so far, or a new one. Exits where the file is not an account."""
    account = {"slices": 0, "connections": 0, "bytes": 0, "seconds": 0.0, "commits": []}
    if not restart and os.path.exists(path):
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            if not isinstance(found, dict) or {key: type(value) for key, value in found.items()} != \
                    {key: type(value) for key, value in account.items()}:
                raise ValueError("it is not an account of this campaign")
        except (OSError, ValueError) as error:
            fail(f"{path}: {error}; --restart begins a new one")
        account = found
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    if commit and commit not in account["commits"]:
        account["commits"].append(commit)
    return account


def fail(what):
    print(f"campaign: {what}", file=sys.stderr)
    sys.exit(4)


def save(path, account):
    """Whole or not at all: an interruption leaves the account of the last slice."""
    try:
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(account, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".new", path)
    except OSError as error:
        fail(f"{path}: {error.strerror}; the last slice is not in the account")


def play_slice(programs, number, connections):
    directory = tempfile.mkdtemp(prefix="outrigger-campaign-")
    os.chmod(directory, 0o755)
    try:
        return torture_proxy(programs, os.path.join(directory, "proxy"), FIRST_SEED + number, connections, LIMITS[number % len(LIMITS)],
                             AT_ONCE, timeout=1800, log="warning")
    finally:
        shutil.rmtree(directory)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--connections", type=positive, default=10_000_000)
    parser.add_argument("--seconds", type=positive)
    parser.add_argument("--restart", action="store_true")
    wanted = parser.parse_args()
    end_on_sigterm()
    directory = os.path.join(ROOT, "build", "campaign")
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, f"exactness-{wanted.build}.json")
    account = load(path, wanted.restart)
    programs = tempfile.mkdtemp(prefix="outrigger-campaign-bin-")
    copy_programs(programs)
    begun = time.monotonic()
    try:
        while account["connections"] < wanted.connections:
            if wanted.seconds and time.monotonic() - begun > wanted.seconds:
                print(f"time is over: {account['connections']} of {wanted.connections} connections, 0 violations; start it again to go on")
                return 3
            slice_begun = time.monotonic()
            connections = min(SLICE, wanted.connections - account["connections"])
            account["bytes"] += play_slice(programs, account["slices"], connections)
            account["slices"] += 1
            account["connections"] += connections
            account["seconds"] += time.monotonic() - slice_begun
            save(path, account)
            print(f"{account['connections']} of {wanted.connections} connections, {account['bytes'] / 1e9:.1f} GB, 0 violations, "
                  f"{account['seconds']:.0f} s", flush=True)
    except Violation as violation:
        limits = LIMITS[account["slices"] % len(LIMITS)]
        print(f"violation in slice {account['slices']} (seed {FIRST_SEED + account['slices']}, limits {limits}):\n{violation}")
        return 1
    except KeyboardInterrupt:
        print("interrupted; start it again to go on")
        return 3
    finally:
        shutil.rmtree(programs)
    print(f"exactness, {wanted.build} build: {account['connections']} connections, {account['bytes'] / 1e9:.1f} GB, 0 violations")
    return 0


sys.exit(main())
