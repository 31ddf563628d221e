"""A chart of what each proxy costs beside Outrigger."""

from bench import table

# What the chart compares; less is better for all of them.
COSTS = [
    ("small", "64 connections", "cpu_us_per_request", "CPU per request"),
    ("connect", "64 at once", "cpu_us_per_request", "CPU per connection"),
    ("bulk", "download", "cpu_us_per_request", "CPU per 100 MB"),
    ("latency", "10000 requests/s", "p99_us", "latency p99"),
    ("idle", "9000 connections, 64 busy", "bytes_per_connection", "memory per idle connection"),
    ("start", "at rest", "ready_us", "exec to ready"),
    ("start", "at rest", "anonymous_kib", "memory at rest"),
]
SHOWN = ["floor", "outrigger", "haproxy", "nginx", "envoy"]


def write(records, path):
    """Writes the SVG. Thread: any; needs pygal, which tools/bootstrap installs."""
    import pygal  # here, so that the table alone does without it
    from pygal.style import CleanStyle

    ratios = {(workload, variant, key): found for workload, variant, key, found in table.rows(records)}
    costs = [cost for cost in COSTS if cost[:3] in ratios]
    style = CleanStyle(colors=("#9aa5b1", "#0b7285", "#e8590c", "#2f9e44", "#862e9c"), background="white", plot_background="white",
                       font_family="sans-serif", label_font_size=13, major_label_font_size=13, title_font_size=17,
                       legend_font_size=14)
    bars = pygal.Bar(style=style, logarithmic=True, width=1000, height=460, legend_at_bottom=True, legend_at_bottom_columns=5,
                     title="What each proxy costs, as a multiple of Outrigger (logarithmic; less is better)", js=[],
                     x_labels=[cost[3] for cost in costs], x_label_rotation=12, show_minor_y_labels=False,
                     y_labels=[0.3, 1, 3, 10, 30, 100], value_formatter=lambda value: f"{value:g}×", margin=16)
    for name in SHOWN:
        values = [ratios[cost[:3]].get(name, (None, None))[1] for cost in costs]
        if any(value is not None for value in values):
            bars.add(name, values)
    bars.render_to_file(path)
