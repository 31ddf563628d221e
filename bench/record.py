"""What one measurement of one proxy gives: a record of the JSON list, and the sums over many of them."""

import statistics

# The measures of a record in the order that tables show them; what does not apply is null. Key: (title, unit, more is better).
MEASURES = {
    "requests_per_second": ("requests", "/s", True),
    "bytes_per_second": ("throughput", "MB/s", True),
    "cpu_us_per_request": ("CPU of the proxy", "µs/request", False),
    "p50_us": ("latency p50", "µs", False),
    "p99_us": ("latency p99", "µs", False),
    "p999_us": ("latency p99.9", "µs", False),
    "ready_us": ("exec to ready", "µs", False),
    "rss_kib": ("resident", "KiB", False),
    "anonymous_kib": ("anonymous", "KiB", False),
    "bytes_per_connection": ("memory", "bytes/connection", False),
    "binary_kib": ("program file", "KiB", False),
    "syscalls_per_request": ("system calls", "/request", False),
    "instructions_per_request": ("instructions in user space", "/request", False),
    "errors": ("errors", "", False),
}

# What says where a record belongs.
NAMES = {"workload": str, "variant": str, "proxy": str, "round": int}


def record(workload, variant, proxy, round_number, **measures):
    """A record with every key."""
    unknown = set(measures) - set(MEASURES)
    assert not unknown, unknown
    return {"workload": workload, "variant": variant, "proxy": proxy, "round": round_number,
            **{key: measures.get(key) for key in MEASURES}}


def medians(records):
    """{(workload, variant): {proxy: {measure: (median, low, high) or None}}}, in the order of the records."""
    values = {}
    for each in records:
        by_proxy = values.setdefault((each["workload"], each["variant"]), {})
        by_measure = by_proxy.setdefault(each["proxy"], {})
        for key in MEASURES:
            if each.get(key) is not None:
                by_measure.setdefault(key, []).append(each[key])
    return {
        place: {
            proxy: {key: (statistics.median(found), min(found), max(found)) for key, found in by_measure.items()}
            for proxy, by_measure in by_proxy.items()
        } for place, by_proxy in values.items()
    }


def paired_ratios(records, workload, variant, measure, proxy, other):
    """The ratios proxy/other of each round, which was measured interleaved."""
    found = {(each["proxy"], each["round"]): each[measure] for each in records
             if (each["workload"], each["variant"]) == (workload, variant) and each.get(measure) is not None}
    return [found[proxy, number] / found[other, number] for (name, number) in found
            if name == proxy and (other, number) in found and found[other, number]]


def interval(values):
    """Mean and the half width of its 95 % confidence interval (Student's t); None with fewer than two values."""
    t_of = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 14: 2.145, 19: 2.093}
    if len(values) < 2:
        return None
    freedom = len(values) - 1
    t = t_of[max(known for known in t_of if known <= freedom)]
    return statistics.mean(values), t * statistics.stdev(values) / len(values) ** 0.5


def check(records):
    """Raises ValueError where a list is not one of records."""
    if not isinstance(records, list) or not records:
        raise ValueError("no list of records, as bench/run --json writes it")
    for number, each in enumerate(records):
        missing = [key for key in (*NAMES, *MEASURES) if not isinstance(each, dict) or key not in each]
        if missing:
            raise ValueError(f"record {number}: {', '.join(missing)} missing")
        wrong = [key for key in NAMES if not isinstance(each[key], NAMES[key])]
        wrong += [key for key in MEASURES if each[key] is not None and not isinstance(each[key], (int, float))]
        if wrong:
            raise ValueError(f"record {number}: {', '.join(f'{key} is {each[key]!r}' for key in wrong)}")
