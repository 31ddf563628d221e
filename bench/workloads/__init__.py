"""The workloads by name, in the order in which they run."""

from bench.workloads import bulk, connect, cost, idle, latency, redirect, small, start

WORKLOADS = {module.NAME: module for module in (small, connect, bulk, latency, idle, start, redirect, cost)}
