"""Overview: what was spent, how calls fare, what is left. The board to open first."""

from kit import Band, Board, Column, Panel, above, bars, below, days, lines, rows, side_by_side, stat_panel, traces
from promql import calls, gravimeter, providers, ratio

FAILED = 'outcome!~"ok|aborted"'
OUTCOMES = {
    "ok": "green",
    "aborted": "blue",
    "rate_limited": "orange",
    "client_error": "yellow",
    "server_error": "red",
    "stream_error": "dark-red",
    "truncated": "purple",
}
# Cache writes are one kind, or two where `metrics.cache_write_lifetimes` keeps their lifetimes apart.
KINDS = {
    "input": "blue",
    "cache_read": "light-blue",
    "cache_write": "dark-blue",
    "cache_write_5m": "semi-dark-blue",
    "cache_write_1h": "dark-purple",
    "tool_input": "purple",
    "output": "green",
    "thinking": "yellow",
}

CALLS = traces('{span.gen_ai.request.model="${__field.labels.model}"}', "gen_ai.request.model=${__field.labels.model}")
ENDED = traces('{span.gravimeter.outcome="${__field.labels.outcome}"}', "gravimeter.outcome=${__field.labels.outcome}")


def board() -> Board:
    """The board."""
    built = Board(
        "gravimeter-overview",
        "Gravimeter / Overview",
        "Spend, tokens, calls, waiting times and quotas of the agents that Gravimeter observes.",
        "no calls in this time range",
    )
    built.row("In the time range shown, and now", _numbers())
    built.row("Tokens and spend", *_tokens())
    built.row("Calls", *_calls())
    built.row("Budgets", _budgets())
    built.row("Quotas", _quotas())
    built.row("Models", (9, [(24, _models())]))
    return built


def _numbers() -> Band:
    return side_by_side(
        4,
        stat_panel(
            "Spend",
            "What providers report, else list prices; without calls that have no price: see 'Calls without a price'.",
            calls.total("cost_usd_total"),
            "currencyUSD",
            spark=False,
        ),
        stat_panel(
            "Tokens",
            "All kinds together. They do not overlap, so their sum is the total.",
            calls.total("tokens_total"),
            "short",
            spark=False,
        ),
        stat_panel(
            "Calls", "LLM calls that have ended, with any outcome.", calls.total("calls_total"), "short", spark=False, decimals=0
        ),
        stat_panel(
            "Failed",
            "Share of calls that failed, refusals included; calls that the agent aborted are not failures.",
            ratio(calls.total("calls_total", FAILED), calls.total("calls_total")),
            "percentunit",
            steps=above(0.02, 0.1),
            spark=False,
        ),
        stat_panel(
            "First chunk, p95",
            "Of 20 calls, 19 showed their first content within this time after the request began.",
            calls.quantile(0.95, "time_to_first_chunk_seconds", window="$__range"),
            "s",
            steps=above(5, 15),
            spark=False,
        ),
        stat_panel(
            "Cascades running",
            "Conversations that the agent is working on now.",
            gravimeter.value("cascades_running"),
            "short",
        ),
        stat_panel(
            "Quota left, least",
            "What is left of the lowest quota, as last reported. Quotas that have been reset since are left out.",
            f"min({calls.select('quota_remaining_ratio')} unless {calls.select('quota_reset_timestamp_seconds')} < time())",
            "percentunit",
            nothing="unknown",
            steps=below(0.1, 0.3),
        ),
        stat_panel(
            "Exact",
            "Share of calls whose final token counts were seen. Tokens of all others may be missing in every number here.",
            ratio(calls.total("usage_reports_total", 'quality="exact"'), calls.total("usage_reports_total")),
            "percentunit",
            steps=below(0.9, 0.97),
            spark=False,
        ),
    )


def _tokens() -> list[Band]:
    cached = calls.rate("tokens_total", 'kind="cache_read"', by="model")
    sent = calls.rate("tokens_total", 'kind=~"input|cache_.+|tool_input"', by="model")
    return [
        side_by_side(
            9,
            bars(
                "Tokens by model",
                "Tokens per minute, averaged over each interval.",
                {"{{model}}": calls.per_minute("tokens_total", by="model")},
                "short",
                links=CALLS,
            ),
            bars(
                "Tokens by kind",
                "Input by what a cache has to do with it, input that tools added, output, thinking. The kinds do not overlap.",
                {"{{kind}}": calls.per_minute("tokens_total", by="kind")},
                "short",
                colors=KINDS,
            ),
        ),
        side_by_side(
            8,
            days(
                "Spend per day",
                "US dollars of each of the last 30 days, whatever time range is shown. The last bar is of today, up to now.",
                {"{{model}}": calls.per_day("cost_usd_total", by="model")},
                "currencyUSD",
                nothing="no call with a price in the last 30 days",
            ),
            bars(
                "Spend by model",
                "US dollars per minute, by the price table of the configuration.",
                {"{{model}}": calls.per_minute("cost_usd_total", by="model")},
                "currencyUSD",
                nothing="no call with a price in this time range",
            ),
        ),
        side_by_side(
            8,
            lines(
                "Input from the cache",
                "Share of input tokens that the provider read from its cache. They cost a fraction of the others.",
                {"{{model}}": ratio(cached, sent)},
                "percentunit",
                top=1,
            ),
            bars(
                "Calls without a price",
                "Calls with tokens for which the price table has no price. Their tokens are counted, their spend is not.",
                {"{{model}}": calls.per_minute("unpriced_calls_total", by="model")},
                "short",
                nothing="none",
            ),
        ),
    ]


def _calls() -> list[Band]:
    return [
        side_by_side(
            8,
            bars(
                "Calls by outcome",
                "How calls ended.",
                {"{{outcome}}": calls.per_minute("calls_total", by="outcome")},
                "short",
                colors=OUTCOMES,
                links=ENDED,
            ),
            lines(
                "Failed calls",
                "Share of calls that failed, refusals included; calls that the agent aborted are not failures.",
                {"{{model}}": ratio(calls.rate("calls_total", FAILED, by="model"), calls.rate("calls_total", by="model"))},
                "percentunit",
                steps=above(0.05, 0.2),
                links=CALLS,
            ),
            bars(
                "Refused for quota, rate or capacity",
                "Calls that the provider refused (429), by reason.",
                {"{{model}}, {{reason}}": calls.per_minute("rate_limits_total", by="model, reason") + " > 0"},
                "short",
                nothing="none",
                links=CALLS,
            ),
        ),
        side_by_side(
            9,
            lines(
                "Time to the first chunk",
                "From the first byte of the request to the first content. Diamonds are single calls and link to their traces.",
                {f"p{q}": calls.quantile(q / 100, "time_to_first_chunk_seconds") for q in (50, 95, 99)},
                "s",
                exemplars=True,
            ),
            lines(
                "Duration of calls",
                "From the first byte of the request to the last of the answer. Diamonds are calls and link to their traces.",
                {f"p{q}": calls.quantile(q / 100, "call_duration_seconds") for q in (50, 95, 99)},
                "s",
                exemplars=True,
            ),
            lines(
                "In progress",
                "Calls in progress by provider, and conversations that the agent is working on.",
                {
                    "calls, {{provider}}": providers.value("calls_in_flight", by="provider"),
                    "cascades": gravimeter.value("cascades_running"),
                },
                "short",
            ),
        ),
    ]


def _budgets() -> Band:
    return 8, [
        (
            14,
            lines(
                "Budgets, spent",
                "The part of each budget that is spent in its window: 100 % is all of it.",
                {"{{budget}}": gravimeter.value("budget_used_ratio", by="budget", how="max")},
                "percentunit",
                steps=above(0.8, 1),
                nothing="no budget is configured",
            ),
        ),
        (
            10,
            bars(
                "Stops and notifications",
                "How often a budget was used up, and how people were notified of what changes about budgets, per minute.",
                {
                    "{{budget}} used up": gravimeter.per_minute("budget_stops_total", by="budget"),
                    "{{target}} {{result}}": gravimeter.per_minute("notifications_total", by="target, result"),
                },
                "short",
            ),
        ),
    ]


def _quotas() -> Band:
    by = "provider, model, window"
    names = {"provider": "Provider", "model": "Model or group", "window": "Window"}
    return 8, [
        (
            14,
            lines(
                "Quota left",
                "What is left of each quota, as last reported. Several models may share one quota: never add them.",
                {"{{provider}}, {{model}}, {{window}}": calls.value("quota_remaining_ratio", by=by, how="min")},
                "percentunit",
                nothing="no provider has reported a quota",
                top=1,
                steps=below(0.1, 0.3),
            ),
        ),
        (
            10,
            rows(
                "Quotas",
                "What is left, and when each quota is reset (empty if not reported).",
                {
                    "Left": Column(calls.value("quota_remaining_ratio", by=by, how="min"), "percentunit", below(0.1, 0.3)),
                    "Full again": Column(
                        f"{calls.value('quota_reset_timestamp_seconds', by=by, how='max')} * 1000", "dateTimeFromNow"
                    ),
                },
                names,
                sort="Left",
                descending=False,
                nothing="no provider has reported a quota",
            ),
        ),
    ]


def _models() -> Panel:
    return rows(
        "Models in the time range shown",
        "One row for each model. A click on a model shows its traces.",
        {
            "Calls": Column(calls.total("calls_total", by="model"), "short", decimals=0),
            "Tokens": Column(calls.total("tokens_total", by="model"), "short"),
            "Output and thinking": Column(calls.total("tokens_total", 'kind=~"output|thinking"', by="model"), "short"),
            "Spend": Column(calls.total("cost_usd_total", by="model"), "currencyUSD"),
            "Failed": Column(
                ratio(calls.total("calls_total", FAILED, by="model"), calls.total("calls_total", by="model")),
                "percentunit",
                above(0.02, 0.1),
            ),
            "First chunk, p95": Column(
                calls.quantile(0.95, "time_to_first_chunk_seconds", by="model", window="$__range"), "s", above(5, 15)
            ),
            "Duration, p95": Column(calls.quantile(0.95, "call_duration_seconds", by="model", window="$__range"), "s"),
        },
        {"model": "Model"},
        sort="Tokens",
        links=traces('{span.gen_ai.request.model="${__value.raw}"}', "gen_ai.request.model=${__value.raw}"),
    )
