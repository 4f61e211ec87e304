"""Cascades: how long a user waits for an answer, and what it takes to give one."""

from kit import Band, Board, Column, above, bars, below, heat, lines, rows, side_by_side, stat_panel, traces
from promql import gravimeter, ratio, runs

RUN = "gen_ai.operation.name=invoke_agent"
# A run rather than a subagent, which has an id.
MAIN = 'span.gen_ai.operation.name="invoke_agent" && span.gen_ai.agent.id=nil'
OUTCOMES = {"ok": "green", "canceled": "blue", "error": "red", "swallowed": "dark-red", "lost": "purple"}
SEARCH = traces(f"{{{MAIN}}}", RUN)
ENDED = traces(
    f'{{{MAIN} && span.gravimeter.run.outcome="${{__field.labels.outcome}}"}}',
    RUN + " gravimeter.run.outcome=${__field.labels.outcome}",
)
UNSUCCESSFUL = 'outcome!~"ok|canceled"'


def board() -> Board:
    """The board."""
    built = Board(
        "gravimeter-cascades",
        "Gravimeter / Cascades",
        "Conversations of the agent with its users. A run is the work on one message: "
        "until the agent and all of its subagents are idle.",
        "no run was seen: no agent is followed, or none has worked",
    )
    built.row("In the time range shown, and now", _numbers())
    built.row("Waiting times of users", *_durations())
    built.row("Slowest runs", _slowest())
    built.row("Calls, tokens and spend of a run", *_costs())
    built.row("Steps", _steps())
    built.row("Assignment of calls to conversations", _knowledge())
    return built


def _numbers() -> Band:
    ended = runs.observed("duration_seconds")
    joined = gravimeter.total("correlations_total", 'method!="none"')
    return side_by_side(
        4,
        stat_panel("Runs", "Runs that have ended, with any outcome.", ended, "short", spark=False, decimals=0),
        stat_panel("Running", "Conversations that the agent is working on now.", gravimeter.value("cascades_running"), "short"),
        stat_panel(
            "Duration, median",
            "Half of the runs end within this time.",
            runs.quantile(0.5, "duration_seconds", window="$__range"),
            "s",
            spark=False,
        ),
        stat_panel(
            "Duration, p95",
            "Of 20 runs, 19 end within this time.",
            runs.quantile(0.95, "duration_seconds", window="$__range"),
            "s",
            spark=False,
        ),
        stat_panel(
            "Calls per run",
            "Mean number of LLM calls that one message takes.",
            runs.mean("calls", window="$__range"),
            "short",
            spark=False,
            decimals=1,
        ),
        stat_panel(
            "Tokens per run",
            "Mean number of tokens that one message takes, of all kinds.",
            runs.mean("tokens", window="$__range"),
            "short",
            spark=False,
        ),
        stat_panel(
            "Unsuccessful",
            "Share of runs with the outcome error, swallowed or lost. Runs that users canceled do not count.",
            # Outcomes that never were have no series.
            ratio(f"({runs.observed('duration_seconds', UNSUCCESSFUL)} or vector(0))", ended),
            "percentunit",
            steps=above(0.05, 0.2),
            spark=False,
        ),
        stat_panel(
            "Joined",
            "Share of LLM calls whose conversation is known. All others are in all totals, but in no run.",
            ratio(joined, gravimeter.total("correlations_total")),
            "percentunit",
            steps=below(0.8, 0.95),
            spark=False,
        ),
    )


def _durations() -> list[Band]:
    first = "time_to_first_chunk_seconds"
    return [
        side_by_side(
            9,
            heat(
                "Duration of runs",
                "Runs by the time from the user's message until all work has ended. Diamonds are runs and link to their traces.",
                runs.heat("duration_seconds"),
                "s",
                exemplars=True,
            ),
            lines(
                "Duration of runs, percentiles",
                "Diamonds are single runs and link to their traces.",
                {f"p{q}": runs.quantile(q / 100, "duration_seconds") for q in (50, 90, 95, 99)},
                "s",
                exemplars=True,
                links=SEARCH,
            ),
        ),
        side_by_side(
            8,
            lines(
                "The first word",
                "From the user's message to the first content, including what the agent does before its first call.",
                {f"p{q}": runs.quantile(q / 100, first) for q in (50, 95, 99)},
                "s",
            ),
            bars(
                "Runs by outcome",
                "swallowed: the agent went idle without an answer; lost: the end could not be seen.",
                {"{{outcome}}": runs.observed_per_minute("duration_seconds", by="outcome")},
                "short",
                colors=OUTCOMES,
                links=ENDED,
            ),
            lines(
                "Running",
                "Conversations that the agent is working on.",
                {"running": gravimeter.value("cascades_running")},
                "short",
            ),
        ),
    ]


def _slowest() -> Band:
    by = "model, outcome"
    slow = runs.quantile(0.95, "duration_seconds", by=by, window="$__range")
    longer = f'{{{MAIN} && duration>10s && span.gravimeter.run.model="${{__value.raw}}"}}'
    return 9, [
        (
            14,
            lines(
                "The slowest runs",
                "The upper end of the bucket that the slowest run of each interval fell into. Its diamond links to its trace.",
                {"{{model}}": runs.slowest("duration_seconds", by="model")},
                "s",
                exemplars=True,
                links=SEARCH,
            ),
        ),
        (
            10,
            rows(
                "The slowest models",
                "The ten slowest combinations of model and outcome. A click on a model shows its runs of more than ten seconds.",
                {
                    "Duration, p95": Column(f"topk(10, {slow})", "s", above(60, 300)),
                    "Runs": Column(runs.observed("duration_seconds", by=by), "short", decimals=0),
                },
                {"model": "Model", "outcome": "Outcome"},
                sort="Duration, p95",
                links=traces(longer, RUN),
            ),
        ),
    ]


def _costs() -> list[Band]:
    return [
        side_by_side(
            8,
            heat("Calls per run", "Runs by their number of LLM calls.", runs.heat("calls"), "short"),
            heat("Tokens per run", "Runs by their number of tokens, of all kinds and all calls.", runs.heat("tokens"), "short"),
        ),
        side_by_side(
            8,
            lines(
                "Calls per run, by model",
                "The mean, and the value that one in twenty runs exceeds.",
                {"mean, {{model}}": runs.mean("calls", by="model"), "p95, {{model}}": runs.quantile(0.95, "calls", by="model")},
                "short",
            ),
            lines(
                "Tokens per run, by model",
                "The mean, and the value that one in twenty runs exceeds.",
                {
                    "mean, {{model}}": runs.mean("tokens", by="model"),
                    "p95, {{model}}": runs.quantile(0.95, "tokens", by="model"),
                },
                "short",
            ),
        ),
    ]


def _steps() -> Band:
    return side_by_side(
        8,
        bars(
            "Steps by kind",
            "What the agent did: answers, commands, searches, edits, browsing.",
            {"{{step}}": gravimeter.per_minute("cascade_steps_total", by="step")},
            "short",
            nothing="no step was seen: no agent is followed, or none has worked",
        ),
        bars(
            "Steps by end",
            "How steps ended.",
            {"{{status}}": gravimeter.per_minute("cascade_steps_total", by="status")},
            "short",
            colors={"done": "green", "error": "red", "canceled": "blue", "interrupted": "orange"},
        ),
    )


def _knowledge() -> Band:
    return side_by_side(
        8,
        bars(
            "Calls by what names their conversation",
            "none: neither the call nor the agent named a conversation. Nothing is guessed from times.",
            {"{{method}}": gravimeter.per_minute("correlations_total", by="method")},
            "short",
            colors={"none": "red"},
        ),
        bars(
            "News of conversations by source",
            "How Gravimeter follows the agent: by its state stream, its reactive updates, polling, or its traffic alone.",
            {"{{source}}": gravimeter.per_minute("cascade_updates_total", by="source")},
            "short",
        ),
        bars(
            "News that was lost",
            "Updates about conversations that were lost, by reason. Neither the traffic nor a token count was affected. "
            "Conversations that their users delete are no loss.",
            {"{{reason}}": gravimeter.per_minute("cascade_follow_errors_total", 'reason!="deleted"', by="reason") + " > 0"},
            "short",
            nothing="none",
        ),
    )
