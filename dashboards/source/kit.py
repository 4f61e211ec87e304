"""Panels and boards in a few lines: one way to draw a number, lines, bars, a heat map, a table.

Every helper takes a title, a description and its queries. What all panels share (data source, units, legend, links to the
trace store) is decided here and nowhere else.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.dashboard import DataSourceRef, DynamicConfigValue, GridPos, Threshold
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
TAG = "gravimeter"
WIDTH = 24

# Queries of a panel, by their legend. `{{label}}` in a legend is the value of a label.
Queries = Mapping[str, str]
Steps = Sequence[tuple[float | None, str]]

# Any of the SDK's panel builders.
P = TypeVar("P", bound=Any)

GOOD, WARN, BAD, PLAIN = "green", "orange", "red", "blue"

# Percentiles are the same kind of line in every panel: the slower, the warmer.
PERCENTILES = {"p50": "green", "p90": "blue", "p95": "orange", "p99": "red"}


def above(warn: float, bad: float) -> Steps:
    """Good until it grows."""
    return (None, GOOD), (warn, WARN), (bad, BAD)


def below(bad: float, warn: float) -> Steps:
    """Good until it shrinks."""
    return (None, BAD), (bad, WARN), (warn, GOOD)


class Panel(Protocol):
    """What all panel builders of the SDK have in common."""

    def build(self) -> dashboard.Panel:
        """The panel, without a place."""
        ...


# A height, and panels with their widths.
Band = tuple[int, list[tuple[int, Panel]]]


def stat_panel(
    title: str,
    description: str,
    expr: str,
    unit: str,
    *,
    steps: Steps = ((None, PLAIN),),
    names: Mapping[str, tuple[str, str]] | None = None,
    text: str = "",
    spark: bool = True,
    decimals: int | None = None,
    nothing: str = "",
) -> Panel:
    """One number: the latest of a range or, without a spark line, one for the whole range. `names` says what values mean."""
    query = _query(expr, text, "A")
    graph = common.BigValueGraphMode.AREA if spark else common.BigValueGraphMode.NONE
    panel = _common(stat.Panel(), title, description, unit, steps).with_target(query if spark else query.instant())
    panel.color_mode(common.BigValueColorMode.VALUE).graph_mode(graph)
    panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    if text:
        panel.text_mode(common.BigValueTextMode.NAME)
    if decimals is not None:
        panel.decimals(decimals)
    if nothing:
        panel.no_value(nothing)
    if names:
        results = {
            value: dashboard.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, (text, color)) in enumerate(names.items())
        }
        panel.mappings([dashboard.ValueMap(options=results), _beyond()])
    return panel


def lines(
    title: str,
    description: str,
    queries: Queries,
    unit: str,
    *,
    steps: Steps = (),
    exemplars: bool = False,
    links: Sequence[builders.DashboardLink] = (),
    top: float | None = None,
    floor: float | None = 0,
    nothing: str = "",
) -> Panel:
    """Lines over time, with a line for each threshold. `nothing` is what no lines mean."""
    panel = _graph(title, description, queries, unit, steps, exemplars)
    if nothing:
        panel.no_value(nothing)
    _fix(panel, {name: color for name, color in PERCENTILES.items() if name in queries})
    panel.line_width(2).fill_opacity(8)
    if floor is not None:
        panel.min(floor)
    if top is not None:
        panel.max(top)
    if steps:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(style)
    return panel.data_links(list(links)) if links else panel


def bars(
    title: str,
    description: str,
    queries: Queries,
    unit: str,
    *,
    colors: Mapping[str, str] | None = None,
    links: Sequence[builders.DashboardLink] = (),
    nothing: str = "",
    per: str = "minute",
) -> Panel:
    """Stacked bars of what happens in a minute; `colors` by the value in the legend. `nothing` is what no bars mean."""
    panel = _graph(title, description, queries, unit, (), exemplars=False)
    panel.axis_label(f"per {per}")
    panel.draw_style(common.GraphDrawStyle.BARS).fill_opacity(80).line_width(0).min(0)
    panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if nothing:
        panel.no_value(nothing)
    _fix(panel, colors or {})
    return panel.data_links(list(links)) if links else panel


def days(title: str, description: str, queries: Queries, unit: str, *, nothing: str) -> Panel:
    """Stacked bars of what happened on each of the last 30 days, whatever time range the board shows."""
    panel: Any = bars(title, description, queries, unit, nothing=nothing, per="day")
    of_days: Panel = panel.time_from("30d").interval("1d")
    return of_days


def heat(title: str, description: str, expr: str, unit: str, *, exemplars: bool = False, scheme: str = "Turbo") -> Panel:
    """The buckets of a histogram over time; the diamonds of exemplars lead to traces."""
    query = _query(expr, "{{le}}", "A").format(PromQueryFormat.HEATMAP).exemplar(exemplars)
    panel = _common(heatmap.Panel(), title, description, unit, ()).with_target(query)
    color = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme(scheme).steps(64)
    panel.color(color.scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5).fill("dark-orange"))
    panel.calculate(False).cell_gap(1).show_y_histogram().show_color_scale(True)
    panel.filter_values(heatmap.FilterValueRange().le(1e-9))
    panel.y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(common.AxisPlacement.LEFT))
    return panel.exemplars_color("rgba(255,255,255,0.8)").show_legend()


@dataclass(frozen=True)
class Column:
    """A number in a table."""

    expr: str
    unit: str
    steps: Steps = ()
    decimals: int | None = None


def rows(
    title: str,
    description: str,
    columns: Mapping[str, Column],
    labels: Mapping[str, str],
    *,
    sort: str,
    descending: bool = True,
    links: Sequence[builders.DashboardLink] = (),
    nothing: str = "",
) -> Panel:
    """A table with a row for each set of `labels` (and what to call them) and a column for each query, two at least."""
    panel = _common(table.Panel(), title, description, "short", ())
    if nothing:
        panel.no_value(nothing)
    refs = dict(zip(columns, "ABCDEFGHIJ", strict=False))
    for name, column in columns.items():
        panel.with_target(_query(column.expr, name, refs[name]).format(PromQueryFormat.TABLE).instant())
    order = [*labels, *(f"Value #{ref}" for ref in refs.values())]
    named = {**labels, **{f"Value #{ref}": name for name, ref in refs.items()}}
    panel.with_transformation(dashboard.DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        dashboard.DataTransformerConfig(
            "organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: index for index, name in enumerate(order)},
                "renameByName": named,
            },
        )
    )
    for name, column in columns.items():
        properties = [DynamicConfigValue("unit", column.unit)]
        if column.decimals is not None:
            properties.append(DynamicConfigValue("decimals", column.decimals))
        if column.steps:
            properties.append(DynamicConfigValue("thresholds", _thresholds(column.steps).build()))
            properties.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
        panel.override_by_name(name, properties)
    if links:
        first = next(iter(labels.values()))
        panel.override_by_name(first, [DynamicConfigValue("links", [link.build() for link in links])])
    return panel.sort_by([common_builders.TableSortByFieldState().display_name(sort).desc(descending)])


def traces(traceql: str, tags: str) -> list[builders.DashboardLink]:
    """Links from a point of a graph to a search in the trace store: by TraceQL in Tempo, by tags in Jaeger."""
    tempo = {"refId": "A", "queryType": "traceql", "query": traceql, "limit": 50, "tableType": "traces"}
    jaeger = {"refId": "A", "queryType": "search", "service": "gravimeter", "tags": tags}
    return [
        builders.DashboardLink("Traces in Tempo").url(_explore("tempo", tempo)).target_blank(True),
        builders.DashboardLink("Traces in Jaeger").url(_explore("jaeger", jaeger)).target_blank(True),
    ]


@dataclass
class Board:
    """A dashboard: rows of panels, each as high as it is said to be."""

    uid: str
    title: str
    description: str
    # What a panel says that has nothing to show, unless it has words of its own.
    nothing: str
    rows: list[tuple[str, list[Band]]] = field(default_factory=list)

    def row(self, title: str, *bands: Band) -> "Board":
        """Adds a row: bands of a height, each with panels of a width."""
        for height, panels in bands:
            width = sum(width for width, _ in panels)
            if width != WIDTH:
                raise ValueError(f"{self.title}, {title}: a band of height {height} is {width} wide, not {WIDTH}")
        self.rows.append((title, list(bands)))
        return self

    def build(self) -> dashboard.Dashboard:
        """The dashboard as Grafana imports it."""
        board = builders.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG]).readonly()
        board.timezone("browser").refresh("30s").time("now-3h", "now").tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        board.link(
            builders.DashboardLink("Gravimeter")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
        for variable in [*_sources("prometheus"), *self._queries(), *_sources("tempo", "jaeger")]:
            board.with_variable(variable)
        built = board.build()
        built.annotations = dashboard.AnnotationContainer(list_val=_annotations())
        built.panels = self._panels()
        return built

    def _queries(self) -> list[builders.QueryVariable]:
        selected = 'job=~"$job", instance=~"$instance"'
        return [
            _variable("job", "label_values(gravimeter_build_info, job)").all_value(".+"),
            _variable("instance", 'label_values(gravimeter_build_info{job=~"$job"}, instance)').all_value(".+"),
            _variable("provider", f"label_values(gravimeter_calls_total{{{selected}}}, provider)").all_value(".+"),
            # All models are those of the provider: so it narrows metrics, too, that have no label for it.
            _variable("model", f'label_values(gravimeter_calls_total{{{selected}, provider=~"$provider"}}, model)'),
        ]

    def _panels(self) -> list[dashboard.Panel | dashboard.RowPanel]:
        placed: list[dashboard.Panel | dashboard.RowPanel] = []
        y = 0
        for title, bands in self.rows:
            row = builders.Row(title).grid_pos(GridPos(x=0, y=y, w=WIDTH, h=1)).build()
            placed.append(row)
            y += 1
            for height, panels in bands:
                x = 0
                for width, panel in panels:
                    built = panel.build()
                    if built.field_config and not built.field_config.defaults.no_value:
                        built.field_config.defaults.no_value = self.nothing
                    built.grid_pos = GridPos(x=x, y=y, w=width, h=height)
                    placed.append(built)
                    x += width
                y += height
        for number, element in enumerate(placed, start=1):
            element.id_val = number
        return placed


class _Marked(dashboard.AnnotationQuery):
    """An annotation query with what the SDK has no words for: how often to look, and what to write beside the mark."""

    def __init__(self, name: str, color: str, expr: str, title: str, tags: str) -> None:
        super().__init__(name=name, datasource=SOURCE, icon_color=color, expr=expr, built_in=0)
        self.more = {"step": "60s", "titleFormat": title, "tagKeys": tags}

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), **self.more}


def _annotations() -> list[dashboard.AnnotationQuery]:
    """Marks on every board. Their queries look back two of their own steps, so that a mark is never stepped over."""
    selected = '{job=~"$job", instance=~"$instance"}'
    restarts = f"changes(process_start_time_seconds{selected}[2m]) > 0"
    agent = f"sum by (instance, reason) (increase(gravimeter_agent_restarts_total{selected}[2m])) > 0"
    limits = f"sum by (model, reason) (increase(gravimeter_rate_limits_total{selected}[2m])) > 0"
    return [
        _Marked("Restarts of Gravimeter", "purple", restarts, "Gravimeter restarted", "instance"),
        _Marked("Restarts of the agent", "orange", agent, "The agent restarted", "instance,reason"),
        _Marked("Rate limits", "red", limits, "The provider refused calls", "model,reason"),
    ]


def _sources(*kinds: str) -> list[builders.DatasourceVariable]:
    return [
        builders.DatasourceVariable(f"{kind}_datasource").label(f"{kind.capitalize()} data source").type(kind) for kind in kinds
    ]


def _variable(name: str, query: str) -> builders.QueryVariable:
    everything = dashboard.VariableOption(selected=True, text="All", value="$__all")
    variable = builders.QueryVariable(name).label(name.capitalize()).query(query).datasource(SOURCE)
    variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    return variable.multi(True).include_all(True).current(everything)


def _explore(kind: str, query: Mapping[str, object]) -> str:
    """The address of a search over the time that is shown. Grafana fills in `${...}`, which must stand as it is."""
    source = {"type": kind, "uid": f"${{{kind}_datasource}}"}
    pane = {
        "datasource": source["uid"],
        "queries": [{**query, "datasource": source}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    return f"/explore?schemaVersion=1&panes={_escape(json.dumps({'traces': pane}, separators=(',', ':')))}"


def _escape(text: str) -> str:
    parts = text.split("${")
    escaped = [quote(parts[0], safe="")]
    for part in parts[1:]:
        name, rest = part.split("}", 1)
        escaped.append(f"${{{name}}}{quote(rest, safe='')}")
    return "".join(escaped)


def _query(expr: str, legend: str, ref: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(ref).datasource(SOURCE)


def _fix(panel: P, colors: Mapping[str, str]) -> None:
    """Gives series their colours, by the value in the legend."""
    for name, color in colors.items():
        panel.override_by_name(name, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})])


def _graph(title: str, description: str, queries: Queries, unit: str, steps: Steps, exemplars: bool) -> timeseries.Panel:
    panel = _common(timeseries.Panel(), title, description, unit, steps)
    # A name has its colour on every board, whatever else is drawn beside it.
    panel.color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    for ref, (legend, expr) in zip("ABCDEFGH", queries.items(), strict=False):
        panel.with_target(_query(expr, legend, ref).exemplar(exemplars).range())
    legend_options = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.TABLE)
    legend_options.placement(common.LegendPlacement.BOTTOM).show_legend(True).calcs(["mean", "max", "lastNotNull"])
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    return panel.legend(legend_options).tooltip(tooltip).show_points(common.VisibilityMode.AUTO)


def _common(panel: P, title: str, description: str, unit: str, steps: Steps) -> P:
    panel.title(title).description(description).datasource(SOURCE).unit(unit).mappings([_beyond()])
    if steps:
        panel.thresholds(_thresholds(steps))
        if isinstance(panel, stat.Panel):
            panel.color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    return panel


def _beyond() -> dashboard.RangeMap:
    """Words for an infinite value: a quantile beyond the last classic bucket. (No finite value is in the range.)"""
    words = dashboard.ValueMappingResult(text="beyond the buckets", index=0)
    return dashboard.RangeMap(dashboard.DashboardRangeMapOptions(from_val=1e300, result=words))


def _thresholds(steps: Steps) -> builders.ThresholdsConfig:
    values = [Threshold(value=value, color=color) for value, color in steps]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(values)


def side_by_side(height: int, *panels: Panel) -> Band:
    """A band of panels of the same width."""
    if WIDTH % len(panels):
        raise ValueError(f"{len(panels)} panels cannot share {WIDTH} columns")
    return height, [(WIDTH // len(panels), panel) for panel in panels]
