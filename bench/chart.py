"""A chart of what each proxy costs beside Outrigger."""

from bench import table

# What the chart compares; less is better for all of them.
COSTS = [
    ("small", "64 connections", "cpu_us_per_request", "CPU / request"),
    ("connect", "64 at once", "cpu_us_per_request", "CPU / connection"),
    ("bulk", "download", "cpu_us_per_request", "CPU / 100 MB"),
    ("latency", "10000 requests/s", "p99_us", "latency p99"),
    ("idle", "9000 connections, 64 busy", "bytes_per_connection", "memory / idle conn."),
    ("start", "at rest", "ready_us", "exec to ready"),
    ("start", "at rest", "anonymous_kib", "memory at rest"),
]
SHOWN = ["floor", "outrigger", "haproxy", "nginx", "envoy"]


def write(records, path):
    """Writes the SVG. Thread: any; needs pygal, which tools/bootstrap installs."""
    import pygal  # here, so that the table alone does without it
    from pygal.style import CleanStyle

    ratios = {(workload, variant, key): found for workload, variant, key, found in table.rows(records)}
    costs = [cost for cost in COSTS if cost[:3] in ratios and table.MINE in ratios[cost[:3]]]
    if not costs:
        raise ValueError(f"nothing to compare: it needs records of {table.MINE}, and of one of small, connect, bulk, latency, idle, start")
    style = CleanStyle(colors=("#9aa5b1", "#0b7285", "#e8590c", "#2f9e44", "#862e9c"), background="white", plot_background="white",
                       font_family="sans-serif", label_font_size=13, title_font_size=17, legend_font_size=14, value_font_size=10,
                       value_colors=("#333",) * len(SHOWN))
    bars = pygal.Bar(style=style, logarithmic=True, width=1100, height=460, legend_at_bottom=True, legend_at_bottom_columns=5,
                     title="What each proxy costs, as a multiple of Outrigger (logarithmic; less is better)", js=[],
                     x_labels=[cost[3] for cost in costs], truncate_label=-1, show_y_labels=False, show_y_guides=False, margin=16,
                     print_values=True, print_values_position="top", value_formatter=table.number)
    for name in SHOWN:
        values = [ratios[cost[:3]].get(name, (None, None))[1] for cost in costs]
        if any(value is not None for value in values):
            bars.add(name, values)
    bars.render_to_file(path)
