"""Models: one model, or a few, in depth."""

from kit import Band, Board, above, bars, below, heat, lines, side_by_side, stat_panel, traces
from overview import FAILED, KINDS, OUTCOMES
from promql import calls, ratio

GENERATED = 'kind=~"output|thinking"'
SENT = 'kind=~"input|cache_.+|tool_input"'
SUBSTITUTIONS = "model_substitutions_total"
CALLS = traces('{span.gen_ai.request.model="${__field.labels.model}"}', "gen_ai.request.model=${__field.labels.model}")


def board() -> Board:
    """The board."""
    built = Board(
        "gravimeter-models",
        "Gravimeter / Models",
        "One model in depth: how long its calls take, how fast it writes, what goes in and out. Select it above.",
        "no calls in this time range",
    )
    built.row("In the time range shown", _numbers())
    built.row("Duration of calls", *_latency())
    built.row("Speed of output", *_pace())
    built.row("Tokens and spend", _tokens())
    built.row("Outcomes", _ends())
    return built


def _numbers() -> Band:
    return side_by_side(
        4,
        stat_panel(
            "Calls", "LLM calls that have ended, with any outcome.", calls.total("calls_total"), "short", spark=False, decimals=0
        ),
        stat_panel("Tokens", "All kinds together.", calls.total("tokens_total"), "short", spark=False),
        stat_panel(
            "Spend",
            "What providers report, else list prices; without models that have no price.",
            calls.total("cost_usd_total"),
            "currencyUSD",
            spark=False,
        ),
        stat_panel(
            "First chunk, p95",
            "Of 20 calls, 19 showed their first content within this time.",
            calls.quantile(0.95, "time_to_first_chunk_seconds", window="$__range"),
            "s",
            steps=above(5, 15),
            spark=False,
        ),
        stat_panel(
            "Duration, p95",
            "Of 20 calls, 19 ended within this time.",
            calls.quantile(0.95, "call_duration_seconds", window="$__range"),
            "s",
            spark=False,
        ),
        stat_panel(
            "Output speed",
            "Median of output and thinking tokens per second of a call, once its answer has begun.",
            f"1 / {calls.quantile(0.5, 'time_per_output_token_seconds', window='$__range')}",
            "short",
            spark=False,
            decimals=0,
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
            "Input from the cache",
            "Share of input tokens that the provider read from its cache.",
            ratio(calls.total("tokens_total", 'kind="cache_read"'), calls.total("tokens_total", SENT)),
            "percentunit",
            steps=below(0.1, 0.3),
            spark=False,
        ),
    )


def _latency() -> list[Band]:
    duration, first = "call_duration_seconds", "time_to_first_chunk_seconds"
    return [
        side_by_side(
            9,
            heat(
                "Time to the first chunk",
                "Calls by the time from the request's first byte to the first content. Diamonds link to traces.",
                calls.heat(first),
                "s",
                exemplars=True,
            ),
            heat(
                "Duration of calls",
                "Calls by the time from the request's first byte to the answer's last. Diamonds link to traces.",
                calls.heat(duration),
                "s",
                exemplars=True,
            ),
        ),
        side_by_side(
            9,
            lines(
                "Time to the first chunk, percentiles",
                "p50, p95 and p99 of all chosen models together.",
                {f"p{q}": calls.quantile(q / 100, first) for q in (50, 95, 99)},
                "s",
                exemplars=True,
                steps=above(5, 15),
            ),
            lines(
                "Time to the first chunk by model, p95",
                "Compares the selected models.",
                {"{{model}}": calls.quantile(0.95, first, by="model")},
                "s",
                links=CALLS,
            ),
            lines(
                "Inside the provider, p95",
                "The time that the provider itself says it took, to the first byte or to the end of the answer. "
                "The rest of a call's time is the network's, or a queue's before the provider.",
                {"{{until}}, {{model}}": calls.quantile(0.95, "provider_time_seconds", by="until, model")},
                "s",
            ),
            lines(
                "Duration by operation, p95",
                "Chats, checkpoints, token counts and completions differ widely in duration.",
                {"{{operation}}": calls.quantile(0.95, duration, by="operation")},
                "s",
                exemplars=True,
            ),
        ),
    ]


def _pace() -> list[Band]:
    pace, gap = "time_per_output_token_seconds", "time_between_chunks_seconds"
    return [
        side_by_side(
            9,
            heat(
                "Time for each output token",
                "Calls by the time that one output or thinking token took, from the first content to the last. "
                "Only calls with exact counts are included.",
                calls.heat(pace),
                "s",
            ),
            heat(
                "Gaps between chunks",
                "Time between two events with content. A band at the top means that streams stall.",
                calls.heat(gap),
                "s",
            ),
        ),
        side_by_side(
            8,
            lines(
                "Tokens per second of a call",
                "Output and thinking tokens that a call writes in a second, once its answer has begun.",
                {
                    "median, {{model}}": f"1 / {calls.quantile(0.5, pace, by='model')}",
                    "slowest 5 %, {{model}}": f"1 / {calls.quantile(0.95, pace, by='model')}",
                },
                "short",
                links=CALLS,
            ),
            lines(
                "Tokens per second in all",
                "Output and thinking tokens of all calls together, averaged over each interval.",
                {"{{model}}": calls.rate("tokens_total", GENERATED, by="model")},
                "short",
            ),
            lines(
                "Gaps between chunks, percentiles",
                "p50, p95 and p99 of the silence between two events with content.",
                {f"p{q}": calls.quantile(q / 100, gap) for q in (50, 95, 99)},
                "s",
            ),
        ),
    ]


def _tokens() -> Band:
    ended = calls.rate("calls_total", 'outcome="ok"', by="model")
    return side_by_side(
        8,
        bars(
            "Tokens by kind",
            "Input by what a cache has to do with it, input that tools added, output, thinking. The kinds do not overlap.",
            {"{{kind}}": calls.per_minute("tokens_total", by="kind")},
            "short",
            colors=KINDS,
        ),
        lines(
            "Tokens per call",
            "Mean input and output of a successful call. A growing input means a growing context.",
            {
                "in, {{model}}": ratio(calls.rate("tokens_total", SENT, by="model"), ended),
                "out, {{model}}": ratio(calls.rate("tokens_total", GENERATED, by="model"), ended),
            },
            "short",
        ),
        lines(
            "Spend per call",
            "Mean US dollars of a call: what the provider reports, else the list price.",
            {"{{model}}": ratio(calls.rate("cost_usd_total", by="model"), calls.rate("calls_total", by="model"))},
            "currencyUSD",
        ),
        bars(
            "AI credits",
            "Credits of GitHub per minute that answers say they took of a plan of Copilot.",
            {"{{model}}": calls.per_minute("ai_credits_total", by="model")},
            "short",
            nothing="none",
        ),
    )


def _ends() -> Band:
    return side_by_side(
        8,
        bars(
            "Answered by another model",
            "Calls that another model has answered than the one that was asked for. Other names of the same model do not count.",
            {"{{model}}: {{served_model}}": calls.per_minute(SUBSTITUTIONS, by="model, served_model") + " > 0"},
            "short",
            nothing="none",
            links=CALLS,
        ),
        bars(
            "Calls by outcome",
            "How calls ended.",
            {"{{outcome}}": calls.per_minute("calls_total", by="outcome")},
            "short",
            colors=OUTCOMES,
        ),
        bars(
            "Calls by operation",
            "By the purpose of the call.",
            {"{{operation}}": calls.per_minute("calls_total", by="operation")},
            "short",
        ),
        bars(
            "How far token counts can be trusted",
            "exact: the provider's final figures were seen; partial: cut off, a lower bound; unknown: no figures.",
            {"{{quality}}": calls.per_minute("usage_reports_total", by="quality")},
            "short",
            colors={"exact": "green", "partial": "orange", "unknown": "red"},
        ),
    )
