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
