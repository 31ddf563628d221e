"""Tables of what was measured: for each fault a row for each proxy, medians of the rounds."""

import statistics

from bench.faults.scenarios import FAULTS

HEADS = ["requests", "failed", "answered", "p50 ms", "p99 ms", "max ms", "slow", "recovery s", "attempts", "at the faulty"]


def medians(records):
    """{fault: {proxy: {measure: median}}}; `failed_range` are the least and the most of the rounds."""
    groups = {}
    for record in records:
        groups.setdefault(record["fault"], {}).setdefault(record["proxy"], []).append(record)
    return {fault: {proxy: _of_rounds(rounds) for proxy, rounds in by_proxy.items()} for fault, by_proxy in groups.items()}


def _of_rounds(rounds):
    found = {}
    for key in rounds[0]:
        values = [each[key] for each in rounds if isinstance(each[key], (int, float))]
        if values:
            found[key] = statistics.median(values)
    failed = [each["failed"] for each in rounds]
    found["failed_range"] = min(failed), max(failed)
    found["failures"] = sorted({kind for each in rounds for kind in each["failures"]})
    return found


def _cells(found):
    low, high = found["failed_range"]
    failed = f"{found['failed']:,.0f}" + (f" ({low:,}–{high:,})" if low != high else "")
    share = 1 - found["failed"] / found["requests"]
    answered = "100%" if found["failed"] == 0 else f"{min(share, 0.9999):.2%}"
    ratio = found["attempts"] / found["offered"]
    return [f"{found['requests']:,.0f}", failed, answered,
            *(f"{found[key]:,.1f}" if key in found else "-" for key in ("p50_ms", "p99_ms", "max_ms")),
            f"{found['slow']:,.0f}", f"{found['recovery_s']:.2f}", f"{found['attempts']:,.0f} ({ratio:.2f}×)", f"{found['attempts_first']:,.0f}"]


def as_markdown(records):
    lines = [f"| fault | proxy | {' | '.join(HEADS)} |", f"| --- | --- |{' ---: |' * len(HEADS)}"]
    for fault, by_proxy in medians(records).items():
        for number, (proxy, found) in enumerate(by_proxy.items()):
            kinds = f" {', '.join(found['failures'])}" if found["failures"] else ""
            cells = _cells(found)
            cells[1] += kinds
            name = f"**{proxy}**" if proxy.startswith("outrigger") else proxy
            lines.append(f"| {FAULTS[fault].title if number == 0 else ''} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
