"""PromQL by name: every selector that a board needs, with its variables in it.

A `Scope` knows which template variables narrow the metrics it asks for; its methods return whole expressions.

What asks for a histogram asks for both of its kinds, `native or classic`: a Prometheus keeps one of them or both, and the
native one is the more accurate. Such an expression is in parentheses, because `or` binds weaker than any arithmetic.
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
        """A quantile of a histogram over one interval, or over another window.

        Where the classic buckets end below it, it is infinite: Prometheus answers with the edge of the last one, which nothing
        was measured to be.
        """
        native = f"histogram_quantile({quantile}, {self._change(metric, where, by, window)}) >= 0"
        buckets = self._change(f"{metric}_bucket", where, f"le, {by}" if by else "le", window)
        classic = f"histogram_quantile({quantile}, {buckets}) < {LAST_EDGES[self.prefix + metric]}"
        beyond = f"({self._change(f'{metric}_count', where, by, window)} > 0) * Inf"
        return f"({native} or {classic} or {beyond})"

    def slowest(self, metric: str, by: str) -> str:
        """The upper edge of the bucket of the highest value of an interval."""
        native = f"histogram_quantile(1, {self._change(metric, (), by)}) >= 0"
        buckets = self._change(f"{metric}_bucket", (), f"le, {by}")
        inside = self._change(f"{metric}_bucket", (f'le="{LAST_EDGES[self.prefix + metric]}"',), by)
        beyond = f"({self._change(f'{metric}_count', (), by)} > {inside}) * Inf"
        return f"({native} or {beyond} or histogram_quantile(1, {buckets}) >= 0)"

    def mean(self, metric: str, *where: str, by: str = "", window: str = "$__rate_interval") -> str:
        """The mean of a histogram."""
        whole = self._change(metric, where, by, window)
        native = ratio(f"histogram_sum({whole})", f"histogram_count({whole})")
        classic = ratio(*(self._change(metric + end, where, by, window) for end in ("_sum", "_count")))
        return f"({native} or {classic})"

    def observed(self, metric: str, *where: str, by: str = "") -> str:
        """Observations of a histogram in the time range that is shown."""
        native = f"histogram_count({self._change(metric, where, by, '$__range')})"
        return f"({native} or {self.total(f'{metric}_count', *where, by=by)})"

    def observed_per_minute(self, metric: str, by: str) -> str:
        """Observations of a histogram per minute."""
        native = f"histogram_count({self.rate(metric, by=by)})"
        return f"({native} or {self.rate(f'{metric}_count', by=by)}) * 60"

    def heat(self, metric: str, *where: str) -> str:
        """The buckets of a histogram, for a heat map: one native histogram, or else a series for each classic bucket."""
        native, classic = (
            _over("sum", by, f"increase({self.select(name, *where)}[$__rate_interval])")
            for name, by in ((metric, ""), (f"{metric}_bucket", "le"))
        )
        return f"{native} or on () {classic}"

    def _change(self, metric: str, where: tuple[str, ...], by: str, window: str = "$__rate_interval") -> str:
        """How much is added, summed: a rate over `$__rate_interval`; over any other window the increase says the same."""
        change = "rate" if window == "$__rate_interval" else "increase"
        return _over("sum", by, f"{change}({self.select(metric, *where)}[{window}])")


def ratio(part: str, whole: str) -> str:
    """A share. Nothing of nothing is no share: it is left out, not drawn as 0."""
    return f"{part} / ({whole} > 0)"


def _over(how: str, by: str, inner: str) -> str:
    return f"{how} by ({by}) ({inner})" if by else f"{how}({inner})"


# The last edges of the classic buckets of the histograms that quantiles are asked of, as they are exported; a test compares them.
LAST_EDGES = {
    "gravimeter_call_duration_seconds": "1310.72",
    "gravimeter_cascade_calls": "128.0",
    "gravimeter_cascade_duration_seconds": "6553.6",
    "gravimeter_cascade_time_to_first_chunk_seconds": "6553.6",
    "gravimeter_cascade_tokens": "67108864.0",
    "gravimeter_provider_time_seconds": "1310.72",
    "gravimeter_relay_delay_seconds": "5.0",
    "gravimeter_tcp_connect_duration_seconds": "5.0",
    "gravimeter_time_between_chunks_seconds": "8.192",
    "gravimeter_time_per_output_token_seconds": "8.192",
    "gravimeter_time_to_first_chunk_seconds": "1310.72",
    "gravimeter_tls_handshake_duration_seconds": "5.0",
}

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
