"""The workloads by name, in the order in which they run."""

from bench.workloads import bulk, connect, cost, idle, latency, redirect, small, start, tls_bulk, tls_connect, tls_idle, tls_small

WORKLOADS = {module.NAME: module for module in (small, connect, bulk, latency, idle, start, redirect, cost, tls_small, tls_connect, tls_bulk,
                                              tls_idle)}
