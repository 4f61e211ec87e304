"""PromQL by name: every selector that a board needs, with its variables in it.

A `Scope` knows which template variables narrow the metrics it asks for; its methods return whole expressions.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """Metrics that share a prefix and the labels by which a board narrows them."""

    prefix: str
    labels: tuple[str, ...] = ()

    def select(self, metric: str, *where: str) -> str:
        """The selector itself, with the matchers of `where` added."""
        matchers = [f'{label}=~"${label}"' for label in ("job", "instance", *self.labels)]
        return f"{self.prefix}{metric}{{{', '.join([*matchers, *where])}}}"

    def value(self, metric: str, *where: str, by: str = "", how: str = "sum") -> str:
        """A gauge, aggregated."""
        return _over(how, by, self.select(metric, *where))

    def rate(self, metric: str, *where: str, by: str = "") -> str:
        """Events per second."""
        return _over("sum", by, f"rate({self.select(metric, *where)}[$__rate_interval])")

    def per_minute(self, metric: str, *where: str, by: str = "") -> str:
        """Events per minute, for what happens now and then. (Increases of intervals that overlap would count events twice.)"""
        return f"{self.rate(metric, *where, by=by)} * 60"

    def per_day(self, metric: str, *where: str, by: str = "") -> str:
        """Events of the day that begins at each point. (Grafana places the points of days at midnight.)"""
        return _over("sum", by, f"increase({self.select(metric, *where)}[1d] offset -1d)")

    def total(self, metric: str, *where: str, by: str = "") -> str:
        """Events in the time range that is shown."""
        return _over("sum", by, f"increase({self.select(metric, *where)}[$__range])")

    def quantile(self, quantile: float, metric: str, *where: str, by: str = "", window: str = "$__rate_interval") -> str:
        """A quantile of a histogram over one interval, or over another window."""
        buckets = f"{_change(window)}({self.select(f'{metric}_bucket', *where)}[{window}])"
        return f"histogram_quantile({quantile}, {_over('sum', f'le, {by}' if by else 'le', buckets)})"

    def mean(self, metric: str, *where: str, by: str = "", window: str = "$__rate_interval") -> str:
        """The mean of a histogram."""
        parts = [f"{_change(window)}({self.select(metric + end, *where)}[{window}])" for end in ("_sum", "_count")]
        return ratio(*(_over("sum", by, part) for part in parts))

    def heat(self, metric: str, *where: str) -> str:
        """The buckets of a histogram, for a heat map."""
        return _over("sum", "le", f"increase({self.select(f'{metric}_bucket', *where)}[$__rate_interval])")


def ratio(part: str, whole: str) -> str:
    """A share. Nothing of nothing is no share: it is left out, not drawn as 0."""
    return f"{part} / ({whole} > 0)"


def _change(window: str) -> str:
    """A rate is for `$__rate_interval`; over any other window the increase says the same."""
    return "rate" if window == "$__rate_interval" else "increase"


def _over(how: str, by: str, inner: str) -> str:
    return f"{how} by ({by}) ({inner})" if by else f"{how}({inner})"


# LLM calls, their tokens and their spend.
calls = Scope("gravimeter_", ("provider", "model"))
# What is known of a provider's calls before their model is.
providers = Scope("gravimeter_", ("provider",))
# Runs of conversations, by the model of their first call; the models are those of the provider.
runs = Scope("gravimeter_cascade_", ("model",))
# Gravimeter itself: connections, TLS, the agent's process, exporters.
gravimeter = Scope("gravimeter_")
# The process and the scrape, under names that every exporter shares.
process = Scope("process_")
scrape = Scope("")
