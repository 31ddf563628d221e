"""Charts: the requests that failed, by fault and proxy, and when they failed."""

import os

from bench.faults.measure import SLICE_S
from bench.faults.report import medians
from bench.faults.scenarios import FAULTS

COLORS = {"outrigger": "#0b7285", "outrigger-checks": "#22b8cf", "outrigger-resets": "#66d9e8", "outrigger-replay": "#99e9f2",
          "outrigger-hedge": "#3bc9db", "haproxy": "#e8590c", "nginx": "#2f9e44",
          "nginx-short": "#8ce99a", "envoy": "#862e9c", "envoy-checks": "#da77f2"}
OVER_TIME = ("outage", "stopped", "resets-request", "silent")  # the faults whose timeline is drawn


def _style(proxies):
    from pygal.style import CleanStyle  # here, so that the table alone does without it

    return CleanStyle(colors=[COLORS[proxy] for proxy in proxies], background="white", plot_background="white", font_family="sans-serif",
                      label_font_size=13, title_font_size=17, legend_font_size=12, value_font_size=9, value_colors=("#333",) * len(proxies))


def write(records, directory):
    """Writes failed.svg and a timeline for each of OVER_TIME; needs pygal."""
    os.makedirs(directory, exist_ok=True)
    proxies = [name for name in COLORS if any(record["proxy"] == name for record in records)]
    _failed(records, proxies, os.path.join(directory, "failed.svg"))
    for fault in OVER_TIME:
        if any(record["fault"] == fault for record in records):
            _timeline(records, fault, proxies, os.path.join(directory, f"{fault}.svg"))


def _failed(records, proxies, path):
    import pygal

    found = {fault: by_proxy for fault, by_proxy in medians(records).items() if fault != "none"}
    bars = pygal.HorizontalBar(style=_style(proxies[::-1]), width=1000, height=180 + 120 * len(found), legend_at_bottom=True,
                               legend_at_bottom_columns=5, truncate_legend=-1, js=[], title="Requests of a hundred that failed or took longer than 0.5 s",
                               x_labels=[FAULTS[fault].title for fault in reversed(found)], truncate_label=-1, print_values=True,
                               value_formatter=lambda value: f"{value:.2f}" if value else "0", show_x_guides=True)
    for proxy in reversed(proxies):
        bars.add(proxy, [_bad_percent(found[fault].get(proxy)) for fault in reversed(found)])
    bars.render_to_file(path)


def _bad_percent(found):
    return found and 100 * (found["failed"] + found["slow"]) / found["requests"]


def _timeline(records, fault, proxies, path):
    import pygal

    chart = pygal.XY(style=_style(proxies), width=1000, height=420, legend_at_bottom=True, legend_at_bottom_columns=5, truncate_legend=-1, js=[],
                     show_dots=False, stroke_style={"width": 2}, x_title="seconds from the begin of the fault",
                     title=f"Failed or slower than 0.5 s, a second: {FAULTS[fault].title}")
    for proxy in proxies:
        rounds = [record["timeline"] for record in records if record["fault"] == fault and record["proxy"] == proxy]
        if rounds:
            means = [sum(row["failed"] + row["slow"] for row in rows) / len(rows) / SLICE_S for rows in zip(*rounds)]
            chart.add(proxy, [((number + 0.5) * SLICE_S - FAULTS[fault].before, mean) for number, mean in enumerate(means)])
    chart.render_to_file(path)
