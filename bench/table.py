"""Tables of medians, and of ratios to Outrigger's."""

from bench.record import MEASURES, interval, medians, paired_ratios

MINE = "outrigger"


def number(value):
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 or value == int(value) else f"{value:.2f}"


def shown(key, value):
    """A value in the unit that MEASURES names."""
    return number(value / 1e6 if key == "bytes_per_second" else value)


def rows(records):
    """Workload, variant, measure, and for each proxy the median and its ratio to Outrigger's (None where there is none)."""
    for (workload, variant), by_proxy in medians(records).items():
        for key in MEASURES:
            found = {proxy: values[key][0] for proxy, values in by_proxy.items() if key in values}
            if not found or (key == "errors" and not any(found.values())):
                continue
            mine = found.get(MINE)
            yield workload, variant, key, {proxy: (value, value / mine if mine else None) for proxy, value in found.items()}


def as_text(records):
    """For a terminal."""
    lines, place = [], None
    for workload, variant, key, found in rows(records):
        if place != (workload, variant):
            place = (workload, variant)
            lines += ["", f"{workload}: {variant}"]
        title, unit, _ = MEASURES[key]
        lines.append(f"  {title}, {unit}" if unit else f"  {title}")
        for proxy, (value, ratio) in found.items():
            line = f"    {proxy:<16}{shown(key, value):>12}"
            if ratio is not None and proxy != MINE:
                line += f"   {ratio:6.2f} × {MINE}"
                spread = interval(paired_ratios(records, workload, variant, key, proxy, MINE))
                if spread:
                    line += f"   (rounds: {spread[0]:.2f} ± {spread[1]:.2f})"
            lines.append(line)
    return "\n".join(lines) if lines else "nothing was measured"


# The rows of the short table: workload, variant, measure.
CHOSEN = [
    ("small", "64 connections", "requests_per_second"),
    ("small", "64 connections", "cpu_us_per_request"),
    ("small", "512 connections", "cpu_us_per_request"),
    ("connect", "64 at once", "requests_per_second"),
    ("connect", "64 at once", "cpu_us_per_request"),
    ("bulk", "download", "bytes_per_second"),
    ("bulk", "download", "cpu_us_per_request"),
    ("bulk", "upload", "bytes_per_second"),
    ("latency", "10000 requests/s", "p50_us"),
    ("latency", "10000 requests/s", "p99_us"),
    ("idle", "9000 connections, 64 busy", "bytes_per_connection"),
    ("idle", "9000 connections, 64 busy", "cpu_us_per_request"),
    ("start", "at rest", "ready_us"),
    ("start", "at rest", "anonymous_kib"),
    ("start", "at rest", "rss_kib"),
    ("cost", "keep-alive", "syscalls_per_request"),
    ("cost", "keep-alive", "instructions_per_request"),
    ("redirect", "small, 64 connections", "cpu_us_per_request"),
    ("redirect", "connect, 64 at once", "cpu_us_per_request"),
    ("tls_small", "64 connections", "requests_per_second"),
    ("tls_small", "64 connections", "cpu_us_per_request"),
    ("tls_small", "64 connections", "p99_us"),
    ("tls_small", "512 connections", "cpu_us_per_request"),
    ("tls_connect", "64 at once", "requests_per_second"),
    ("tls_connect", "64 at once", "cpu_us_per_request"),
    ("tls_bulk", "download", "bytes_per_second"),
    ("tls_bulk", "download", "cpu_us_per_request"),
    ("tls_idle", "2000 connections", "bytes_per_connection"),
]


def as_markdown(records, everything=False):
    """A Markdown table: a row for each measure, a column for each proxy, `median (ratio to Outrigger's)`."""
    chosen = [row for row in rows(records) if everything or row[:3] in CHOSEN]
    proxies = list(dict.fromkeys(each["proxy"] for each in records))
    lines = ["| | " + " | ".join(f"**{proxy}**" if proxy == MINE else proxy for proxy in proxies) + " |",
             "| --- |" + " ---: |" * len(proxies)]
    for workload, variant, key, found in chosen:
        title, unit, _ = MEASURES[key]
        cells = []
        for proxy in proxies:
            value, ratio = found.get(proxy, (None, None))
            cell = shown(key, value) if value is not None else "-"
            cells.append(f"**{cell}**" if proxy == MINE else cell + (f" ({ratio:.2f}×)" if ratio is not None else ""))
        lines.append(f"| {workload}, {variant}: {title}{', ' + unit if unit else ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
