"""Asks a Prometheus what Grafana would ask it for a panel, with the variables of the board filled in."""

import json
import math
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

DAY = 86400
# What Grafana calls the resolution: as many points as a panel of middling width has.
POINTS = 180


@dataclass(frozen=True)
class Series:
    """What a query answers: the labels of a line, and its points in time."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]
    # Of a native histogram, instead of values: at each time the lower and the upper edge of each bucket, and what is in it.
    buckets: list[list[tuple[float, float, float]]] = field(default_factory=list)

    def name(self, legend: str) -> str:
        """The name in the legend: `{{label}}` is the value of a label."""
        for label, value in self.labels.items():
            legend = legend.replace("{{" + label + "}}", value)
        return legend


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that scrapes every `scrape` seconds, asked for the last `span` seconds before `now`."""

    url: str
    scrape: int
    span: int
    now: int

    @property
    def step(self) -> int:
        """The seconds between two points of a graph."""
        return max(self.scrape, self.span // POINTS)

    def range(self, panel: dict) -> tuple[int, int]:
        """The seconds that the time axis of a panel begins and ends with."""
        if panel.get("interval") == "1d":
            return self.now - int(panel["timeFrom"].removesuffix("d")) * DAY, self.now + DAY
        return self.now - self.span, self.now

    def ask(self, panel: dict, target: dict) -> list[Series]:
        """The answer to one query of a panel."""
        step, span = self.step, self.span
        if panel.get("interval") == "1d":
            step, span = DAY, int(panel["timeFrom"].removesuffix("d")) * DAY
        expression = self._filled(target["expr"], step, span)
        if target.get("instant"):
            return self._get("query", {"query": expression, "time": self.now})
        # Grafana places the points at multiples of the step.
        end = self.now // step * step
        return self._get("query_range", {"query": expression, "start": end - span, "end": end, "step": step})

    def _filled(self, expression: str, step: int, span: int) -> str:
        values = {
            "$__rate_interval": f"{max(4 * self.scrape, step + self.scrape)}s",
            "$__range": f"{span}s",
            "$instance": ".+",
            "$job": ".+",
            "$model": ".+",
            "$provider": ".+",
        }
        for name, value in values.items():
            expression = expression.replace(name, value)
        return expression

    def _get(self, path: str, parameters: dict[str, object]) -> list[Series]:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as answer:
            data = json.load(answer)["data"]
        results = [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else data["result"]
        return [_series(result) for result in results]


def _series(result: dict) -> Series:
    if histograms := result.get("histograms"):
        buckets = [
            [(float(low), float(high), float(count)) for _, low, high, count in of.get("buckets", [])] for _, of in histograms
        ]
        return Series(
            result["metric"], [float(at) for at, _ in histograms], [float(of["count"]) for _, of in histograms], buckets
        )
    points = result.get("values") or [result["value"]]
    numbers = [(float(at), float(value)) for at, value in points]
    known = [(at, value) for at, value in numbers if math.isfinite(value)]
    return Series(result["metric"], [at for at, _ in known], [value for _, value in known])
