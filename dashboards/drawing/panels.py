"""Draws panels as Grafana does, as far as that matters to see what they say."""

import math
from collections.abc import Callable
from datetime import datetime
from functools import partial

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from ask import DAY, Prometheus, Series
from look import colour, threshold, written

SOFT = "#9a9fa6"
# Most names that a legend has room for.
LEGEND = 8
# How many rows of a heat map a native histogram has for each doubling.
ROWS_OF_A_DOUBLING = 2
Answers = list[tuple[dict, Series]]


def draw(panel: dict, axes: Axes, prometheus: Prometheus) -> bool:
    """Draws a panel with what Prometheus answers. Returns whether it shows data."""
    axes.set_title(panel["title"], loc="left", fontsize=9, fontweight="bold")
    answers = [(target, series) for target in panel["targets"] for series in prometheus.ask(panel, target)]
    answers = [(target, series) for target, series in answers if series.values]
    if not answers:
        _blank(axes)
        text = panel["fieldConfig"]["defaults"].get("noValue") or "No data"
        axes.text(0.5, 0.5, text, ha="center", va="center", color=SOFT, fontsize=9, wrap=True, transform=axes.transAxes)
        return False
    drawers: dict[str, Callable[[dict, Axes, Answers], None]] = {
        "stat": _number,
        "timeseries": partial(_graph, prometheus=prometheus),
        "heatmap": _heat,
        "table": _table,
    }
    drawers[panel["type"]](panel, axes, answers)
    return True


def _blank(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def _number(panel: dict, axes: Axes, answers: Answers) -> None:
    target, series = answers[0]
    defaults = panel["fieldConfig"]["defaults"]
    value = series.values[-1]
    text, shade = written(value, defaults["unit"], defaults.get("decimals")), threshold(value, defaults.get("thresholds"))
    for mapping in defaults.get("mappings") or []:
        result = mapping["options"].get(f"{value:g}")
        if result:
            text, shade = result["text"], threshold(value, {"steps": [{"value": None, "color": result["color"]}]})
    if panel["options"].get("textMode") == "name":
        text = series.name(target["legendFormat"])
    _blank(axes)
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=16, color=shade, transform=axes.transAxes)


def _graph(panel: dict, axes: Axes, answers: Answers, prometheus: Prometheus) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    below: dict[float, float] = {}
    for target, series in sorted(answers, key=lambda answer: answer[1].name(answer[0]["legendFormat"])):
        name = series.name(target["legendFormat"])
        times = [datetime.fromtimestamp(at) for at in series.times]
        label = f"{name}  (last {written(series.values[-1], defaults['unit'])})"
        if custom.get("drawStyle") == "bars":
            bottoms = [below.get(at, 0) for at in series.times]
            width = 0.9 if panel.get("interval") == "1d" else prometheus.step / DAY * 0.9
            axes.bar(times, series.values, bottom=bottoms, width=width, color=colour(name, panel), label=label)
            below.update({at: below.get(at, 0) + value for at, value in zip(series.times, series.values, strict=True)})
        else:
            marker = "." if len(times) == 1 else None
            axes.plot(times, series.values, color=colour(name, panel), linewidth=1.4, marker=marker, label=label)
    for step in (defaults.get("thresholds") or {}).get("steps", []):
        if custom.get("thresholdsStyle") and step["value"] is not None:
            axes.axhline(step["value"], color=threshold(step["value"], defaults["thresholds"]), linestyle="--", linewidth=0.7)
    axes.set_ylim(bottom=defaults.get("min"), top=defaults.get("max"))
    axes.set_xlim(*(datetime.fromtimestamp(at) for at in prometheus.range(panel)))
    if custom.get("axisLabel"):
        axes.set_ylabel(custom["axisLabel"], fontsize=7, color=SOFT)
    _axes(axes, defaults["unit"])
    # Below the axis, as in Grafana; names of what never happened are left out of a long list.
    handles, names = axes.get_legend_handles_labels()
    loud = [(handle, name) for handle, name in zip(handles, names, strict=True) if "(last 0" not in name]
    shown = loud if len(names) > LEGEND and loud else list(zip(handles, names, strict=True))
    if shown:
        columns = 4 if axes.get_position().width > 0.35 else 2
        axes.legend(
            *zip(*shown[:LEGEND], strict=True),
            loc="upper left",
            bbox_to_anchor=(0, -0.1),
            fontsize=6,
            frameon=False,
            ncols=columns,
        )


def _axes(axes: Axes, unit: str) -> None:
    locator = AutoDateLocator(maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.yaxis.set_major_formatter(lambda value, _: written(value, unit))
    axes.tick_params(labelsize=6)
    axes.grid(alpha=0.15)


def _heat(panel: dict, axes: Axes, answers: Answers) -> None:
    native = [series for _, series in answers if series.buckets]
    if native:
        _native_heat(panel, axes, native[0])
        return
    ordered = sorted((series for _, series in answers), key=lambda series: float(series.labels["le"]))
    times = sorted({at for series in ordered for at in series.times})
    rows, lower = [], [0.0] * len(times)
    for series in ordered:
        upper = [dict(zip(series.times, series.values, strict=True)).get(at, 0) for at in times]
        rows.append([max(one - other, 0) or float("nan") for one, other in zip(upper, lower, strict=True)])
        lower = upper
    dates = [datetime.fromtimestamp(at) for at in times]
    axes.pcolormesh(dates, range(len(rows)), rows, cmap="turbo", shading="nearest")
    unit = panel["options"]["yAxis"]["unit"]
    _axes(axes, unit)
    edges = [series.labels["le"] for series in ordered]
    name: Callable[[str], str] = partial(_edge, unit=unit)
    axes.set_yticks(range(len(edges))[::2], [name(edge) for edge in edges[::2]])


def _native_heat(panel: dict, axes: Axes, series: Series) -> None:
    """The buckets of a native histogram are too narrow to see: those of half a doubling are drawn as one, zeros below them."""
    cells_of = [(column, *bucket) for column, buckets in enumerate(series.buckets) for bucket in buckets]
    positive = [(_row(high), column, count) for column, low, high, count in cells_of if low > 0]
    lowest, highest = (pick((row for row, _, _ in positive), default=0) for pick in (min, max))
    zeros = [(lowest - 1, column, count) for column, low, _, count in cells_of if low <= 0]
    lowest -= 1 if zeros else 0
    counts: dict[tuple[int, int], float] = {}
    for row, column, count in positive + zeros:
        counts[row, column] = counts.get((row, column), 0) + count
    cells = [
        [counts.get((row, column)) or float("nan") for column in range(len(series.times))] for row in range(lowest, highest + 1)
    ]
    dates = [datetime.fromtimestamp(at) for at in series.times]
    axes.pcolormesh(dates, range(lowest, highest + 1), cells, cmap="turbo", shading="nearest")
    unit = panel["options"]["yAxis"]["unit"]
    _axes(axes, unit)
    zero = lowest if zeros else None
    axes.yaxis.set_major_formatter(lambda row, _: written(0 if row == zero else 2 ** (row / ROWS_OF_A_DOUBLING), unit))


def _row(edge: float) -> int:
    return math.ceil(math.log2(edge) * ROWS_OF_A_DOUBLING)


def _edge(edge: str, unit: str) -> str:
    return "more" if edge == "+Inf" else written(float(edge), unit)


def _table(panel: dict, axes: Axes, answers: Answers) -> None:
    options = panel["transformations"][1]["options"]["renameByName"]
    labels = {old: new for old, new in options.items() if not old.startswith("Value #")}
    columns = {target["refId"]: options[f"Value #{target['refId']}"] for target in panel["targets"]}
    units = {
        override["matcher"]["options"]: {one["id"]: one["value"] for one in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for target, series in answers:
        key = tuple(series.labels.get(label, "") for label in labels)
        rows.setdefault(key, {})[columns[target["refId"]]] = series.values[-1]
    sort = panel["options"]["sortBy"][0]
    ordered = sorted(rows.items(), key=lambda row: row[1].get(sort["displayName"], 0), reverse=sort["desc"])

    def cell(row: dict[str, float], name: str) -> str:
        of = units.get(name, {})
        return written(row[name], of.get("unit", "short"), of.get("decimals")) if name in row else ""

    text = [[*key, *(cell(row, name) for name in columns.values())] for key, row in ordered[:12]]
    _blank(axes)
    drawn = axes.table(text, colLabels=[*labels.values(), *columns.values()], loc="upper center", edges="horizontal")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(7)
