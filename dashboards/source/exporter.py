"""Exporter: whether Gravimeter itself can be trusted, and what it costs."""

from kit import Band, Board, above, bars, below, heat, lines, side_by_side, stat_panel, traces
from promql import calls, gravimeter, process, ratio, scrape

HANDSHAKE = "tls_handshake_duration_seconds"
DAY = 86400


def board() -> Board:
    """The board."""
    built = Board(
        "gravimeter-exporter",
        "Gravimeter / Exporter",
        "Gravimeter itself: is it in the path, does it see everything, how much delay does it add, does it lose anything?",
        "nothing was reported",
    )
    built.row("Now", _numbers())
    built.row("TLS handshakes", *_tls())
    built.row("Connections", *_connections())
    built.row("Added delay", _delay())
    built.row("Coverage and quality", _coverage(), _trust())
    built.row("Ledger and OTLP", _stores())
    built.row("The agent and the process", *_process())
    return built


def _numbers() -> Band:
    yes_no = {"0": ("no", "red"), "1": ("yes", "green")}
    tunnelled = gravimeter.total("connections_total", 'disposition="tunnelled"')
    passed = gravimeter.total("connections_total", 'disposition=~"intercepted|tunnelled"')
    return side_by_side(
        4,
        stat_panel(
            "Scraped",
            "Whether the last scrape of every selected instance worked.",
            scrape.value("up", how="min"),
            "short",
            names=yes_no,
        ),
        stat_panel(
            "Version",
            "The running version. There are two while an update is rolled out.",
            gravimeter.value("build_info", by="version", how="count"),
            "short",
            text="{{version}}",
            spark=False,
        ),
        stat_panel(
            "Running for",
            "Time since the start of the selected instance that started last.",
            f"time() - {process.value('start_time_seconds', how='max')}",
            "s",
            spark=False,
        ),
        stat_panel(
            "Redirect in place",
            "Whether the rules that redirect the agent's traffic are in place, for each IP family. none: not configured.",
            gravimeter.value("redirect_active", how="min"),
            "short",
            names=yes_no,
            nothing="none",
        ),
        stat_panel(
            "Agent up",
            "Whether the supervised agent runs. none: no agent is supervised.",
            gravimeter.value("agent_up", how="min"),
            "short",
            names=yes_no,
            nothing="none",
        ),
        stat_panel(
            "CA ends in",
            "Validity left of the CA certificate. A start of Gravimeter renews it when less than 30 days are left.",
            f"{gravimeter.value('ca_expiry_timestamp_seconds', how='min')} - time()",
            "s",
            steps=below(14 * DAY, 30 * DAY),
            spark=False,
        ),
        stat_panel(
            "Tunnelled",
            "Share of connections that were passed on unread, mostly because their host is not listed. Only bytes are counted.",
            ratio(tunnelled, passed),
            "percentunit",
            spark=False,
        ),
        stat_panel(
            "Exact",
            "Share of calls whose final token counts were seen.",
            ratio(calls.total("usage_reports_total", 'quality="exact"'), calls.total("usage_reports_total")),
            "percentunit",
            steps=below(0.9, 0.97),
            spark=False,
        ),
    )


def _tls() -> list[Band]:
    return [
        side_by_side(
            8,
            heat(
                "Handshakes with the agent",
                "By duration. They begin once the provider is verified: otherwise no leaf certificate is shown.",
                gravimeter.heat(HANDSHAKE, 'side="agent"'),
                "s",
            ),
            heat(
                "Handshakes with providers",
                "By duration.",
                gravimeter.heat(HANDSHAKE, 'side="upstream"'),
                "s",
            ),
        ),
        side_by_side(
            8,
            lines(
                "Handshakes, p95",
                "By side, version and whether a session was resumed.",
                {"{{side}}, {{version}}, resumed {{resumed}}": gravimeter.quantile(0.95, HANDSHAKE, by="side, version, resumed")},
                "s",
            ),
            bars(
                "Handshakes that failed",
                "By side and reason. agent, unknown_ca: the agent does not trust Gravimeter's CA.",
                {"{{side}}, {{reason}}": gravimeter.per_minute("tls_handshake_failures_total", by="side, reason") + " > 0"},
                "short",
                nothing="none",
            ),
            bars(
                "Leaf certificates",
                "Certificates that were shown to the agent: newly made (minted) or from the cache.",
                {"{{result}}": gravimeter.per_minute("leaf_certificates_total", by="result")},
                "short",
                colors={"minted": "orange", "cached": "green"},
                nothing="none",
            ),
        ),
    ]


def _connections() -> list[Band]:
    return [
        side_by_side(
            8,
            bars(
                "Connections",
                "By what was done with them: intercepted, tunnelled (passed on unread) or refused.",
                {"{{disposition}}": gravimeter.per_minute("connections_total", by="disposition")},
                "short",
                colors={"intercepted": "green", "tunnelled": "blue", "refused": "red"},
                nothing="none",
            ),
            lines(
                "Open connections",
                "Connections that are open now.",
                {"{{disposition}}": gravimeter.value("connections_active", by="disposition")},
                "short",
            ),
            lines(
                "Bytes passed on",
                "Seen from the agent: plaintext of intercepted connections, raw bytes of tunnelled ones.",
                {"{{direction}}": gravimeter.rate("bytes_total", by="direction")},
                "Bps",
            ),
        ),
        side_by_side(
            8,
            bars(
                "Refused connections",
                "By reason. They ended before any byte was passed on.",
                {"{{reason}}": gravimeter.per_minute("connections_refused_total", by="reason") + " > 0"},
                "short",
                nothing="none",
            ),
            bars(
                "Timeouts",
                "By the step that exceeded its time limit.",
                {"{{step}}": gravimeter.per_minute("timeouts_total", by="step") + " > 0"},
                "short",
                nothing="none",
            ),
            lines(
                "Connecting to providers",
                "Time of the TCP handshake.",
                {f"p{q}": gravimeter.quantile(q / 100, "tcp_connect_duration_seconds") for q in (50, 95, 99)},
                "s",
            ),
        ),
    ]


def _delay() -> Band:
    return side_by_side(
        8,
        heat(
            "Delay of each chunk",
            "From a chunk read to the same chunk written: what Gravimeter itself adds.",
            gravimeter.heat("relay_delay_seconds"),
            "s",
        ),
        lines(
            "Delay of each chunk, percentiles",
            "p50, p95 and p99. The delay includes waiting for a provider or an agent that reads slowly.",
            {f"p{q}": gravimeter.quantile(q / 100, "relay_delay_seconds") for q in (50, 95, 99)},
            "s",
            steps=above(0.01, 0.1),
        ),
    )


def _coverage() -> Band:
    return side_by_side(
        8,
        bars(
            "How far token counts can be trusted",
            "exact: the provider's final figures were seen; partial: cut off, a lower bound; unknown: no figures.",
            {"{{quality}}": calls.per_minute("usage_reports_total", by="quality")},
            "short",
            colors={"exact": "green", "partial": "orange", "unknown": "red"},
            nothing="no calls in this time range",
        ),
        bars(
            "The agent's own count",
            "Compared with the wire. agent_only: a call bypassed Gravimeter; disagree: both know it, with different figures.",
            {"{{result}}": gravimeter.per_minute("usage_comparisons_total", by="result")},
            "short",
            colors={"agree": "green", "disagree": "red", "agent_only": "dark-red", "wire_only": "blue"},
            nothing="none: the agent reports no count of its own, or no agent is followed",
        ),
        bars(
            "Connections that passed unread",
            "By reason. What they carry is not counted. encrypted_hello and no_sni may hide a host that should be read.",
            {"{{reason}}": gravimeter.per_minute("tunnelled_connections_total", by="reason") + " > 0"},
            "short",
            nothing="none",
        ),
        bars(
            "Figures that were lost",
            "Calls or connections that could not be read, and values folded into 'other'. Their traffic was not affected.",
            {
                "{{reason}}": gravimeter.per_minute("observer_failures_total", by="reason"),
                "over its budget of {{budget}}": gravimeter.per_minute("observer_budget_exceeded_total", by="budget"),
                "folded: {{label}}": gravimeter.per_minute("label_overflow_total", by="label"),
            },
            "short",
            nothing="none",
        ),
    )


def _trust() -> Band:
    return side_by_side(
        8,
        bars(
            "The provider's own total",
            "Compared with the sum of the parts. disagree: no known meaning of the parts adds up to the total.",
            {"{{result}}": gravimeter.per_minute("usage_totals_total", by="result")},
            "short",
            colors={"agree": "green", "disagree": "red", "absent": "blue"},
            nothing="no calls in this time range",
        ),
        bars(
            "Calls that are not read",
            "Exchanges that look like LLM calls, in a format that is not read. Their tokens are missing from all figures.",
            {"{{reason}}": gravimeter.per_minute("unread_calls_total", by="reason")},
            "short",
            nothing="none",
        ),
        bars(
            "Requests that rules matched",
            "By rule and what it did: applied, denied, unchanged, dry_run; failed, signed and too_large could not be changed.",
            {"{{rule}}: {{result}}": gravimeter.per_minute("rules_applied_total", by="rule, result")},
            "short",
            nothing="none",
        ),
        lines(
            "Rules that hold",
            "broken: the last edit of their files has mistakes, so that the rules before it hold.",
            {"active": gravimeter.value("rules_active"), "broken": gravimeter.value("rules_broken", how="max")},
            "short",
        ),
    )


def _stores() -> Band:
    return side_by_side(
        8,
        bars(
            "Errors of the ledger",
            "Errors by operation, and calls that are missing from the ledger on disk. /metrics still includes them.",
            {
                "{{operation}}": gravimeter.per_minute("ledger_errors_total", by="operation"),
                "calls dropped": gravimeter.per_minute("ledger_dropped_calls_total"),
                "dropped: {{record}}": gravimeter.per_minute("ledger_dropped_records_total", by="record"),
            },
            "short",
            nothing="none",
        ),
        bars(
            "Sent by OTLP",
            "Spans, and points of pushed metrics, that the collector has accepted.",
            {
                "spans": gravimeter.per_minute("otlp_spans_exported_total"),
                "points": gravimeter.per_minute("otlp_points_exported_total"),
            },
            "short",
            nothing="none: no collector is configured, or there was nothing to send",
            links=traces('{resource.service.name="gravimeter"}', ""),
        ),
        bars(
            "Lost on the way to the collector",
            "Spans and points that were to be exported and are lost, by reason. The traffic was not affected.",
            {
                "spans: {{reason}}": gravimeter.per_minute("otlp_spans_dropped_total", by="reason"),
                "points: {{reason}}": gravimeter.per_minute("otlp_points_dropped_total", by="reason"),
            },
            "short",
            nothing="none",
        ),
    )


def _process() -> list[Band]:
    return [
        side_by_side(
            8,
            lines(
                "CPU",
                "Cores in use.",
                {"{{instance}}": process.rate("cpu_seconds_total", by="instance")},
                "short",
            ),
            lines(
                "Memory",
                "Resident memory.",
                {"{{instance}}": process.value("resident_memory_bytes", by="instance")},
                "bytes",
            ),
            lines("Threads", "Threads of the process.", {"{{instance}}": process.value("threads", by="instance")}, "short"),
            lines(
                "File descriptors",
                "Share of the limit in use. At the limit, new connections are refused.",
                {"{{instance}}": f"{process.value('open_fds', by='instance')} / {process.value('max_fds', by='instance')}"},
                "percentunit",
                steps=above(0.5, 0.9),
            ),
        ),
        side_by_side(
            8,
            lines(
                "Agent up",
                "1 while the supervised agent runs.",
                {"{{instance}}": gravimeter.value("agent_up", by="instance", how="min")},
                "short",
                nothing="no agent is supervised",
                top=1,
            ),
            bars(
                "Restarts of the agent",
                "By how its process ended.",
                {"{{reason}}": gravimeter.per_minute("agent_restarts_total", by="reason")},
                "short",
                nothing="none",
            ),
            bars(
                "Refused by the exporter itself",
                "Connections that could not be accepted for lack of descriptors or memory, scrapes beyond the limit, "
                "and requests that were denied, failed or too slow, by reason.",
                {
                    "not accepted": gravimeter.per_minute("accept_errors_total"),
                    "scrapes refused": gravimeter.per_minute("scrapes_rejected_total"),
                    "{{reason}}": gravimeter.per_minute("web_refusals_total", by="reason"),
                },
                "short",
            ),
        ),
    ]
