//! Keys of `[agent]`: which agent is started, and how it is kept running.

use super::{DefaultValue, Key, Kind, put};
use crate::config::value::Value;
use crate::launch::{AntigravityVersion, Preset};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "agent.preset",
        kind: Kind::Choice(&["antigravity"]),
        default: DefaultValue::Unset {
            example: r#""antigravity""#,
            means: "agent.command alone says what is started; without both no agent is",
        },
        help: "An agent that gravimeter knows how to start.",
        set: |raw, value| {
            let words: Vec<_> = Preset::ALL
                .iter()
                .map(|preset| (preset.as_str(), *preset))
                .collect();
            put(&mut raw.agent_preset, value.choice(&words).map(Some))
        },
    },
    Key {
        name: "agent.command",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/opt/antigravity/bin/language_server_linux_x64""#,
            means: "the preset searches in the usual places",
        },
        help: "The agent's executable.",
        set: |raw, value| put(&mut raw.agent_command, value.path().map(Some)),
    },
    Key {
        name: "agent.args",
        kind: Kind::List("arg"),
        default: DefaultValue::Is("[]"),
        help: "Arguments of the agent; with a preset they follow its own.",
        set: |raw, value| put(&mut raw.launch.args, value.list("--verbose", Value::text)),
    },
    Key {
        name: "agent.env",
        kind: Kind::Environment,
        default: DefaultValue::Is("{}"),
        help: "Variables for the agent beside PATH, HOME, USER, LOGNAME and LANG. It inherits no others.\n\
               The values are never shown.",
        set: |raw, value| put(&mut raw.launch.env, value.environment()),
    },
    Key {
        name: "agent.user",
        kind: Kind::Text,
        default: DefaultValue::Unset {
            example: r#""antigravity-ls""#,
            means: "the agent runs as the user who runs gravimeter",
        },
        help: "The user that the agent runs as; with the redirect it is capture.user.",
        set: |raw, value| put(&mut raw.launch.user, value.user().map(Some)),
    },
    Key {
        name: "agent.working_directory",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/srv/agent""#,
            means: "the home of its user",
        },
        help: "Where the agent is started.",
        set: |raw, value| put(&mut raw.launch.working_directory, value.path().map(Some)),
    },
    Key {
        name: "agent.ca_bundle",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/var/lib/gravimeter/trust/bundle.pem""#,
            means: "trust/bundle.pem in state.dir",
        },
        help: "Where the certificates that the agent trusts are written: the system's and gravimeter's CA.\n\
               The agent's user must be able to read it; the agent learns the place from its environment.",
        set: |raw, value| put(&mut raw.ca_bundle, value.path().map(Some)),
    },
    Key {
        name: "agent.antigravity_version",
        kind: Kind::Choice(&["2", "1.21", "1.20"]),
        default: DefaultValue::Is(r#""2""#),
        help: "Which flags the Antigravity language server understands; it refuses those of another version.",
        set: |raw, value| {
            let words: Vec<_> = AntigravityVersion::ALL
                .iter()
                .map(|version| (version.as_str(), *version))
                .collect();
            put(&mut raw.launch.antigravity_version, value.choice(&words))
        },
    },
    Key {
        name: "agent.cloud_code_endpoint",
        kind: Kind::Text,
        default: DefaultValue::Is(r#""https://daily-cloudcode-pa.googleapis.com""#),
        help: "The provider's base URL that the Antigravity language server is given.",
        set: |raw, value| put(&mut raw.launch.cloud_code_endpoint, value.https_url()),
    },
    Key {
        name: "agent.log_output",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether the agent's output goes to our log. It may hold prompts and tokens.",
        set: |raw, value| put(&mut raw.supervision.log_output, value.switch()),
    },
    Key {
        name: "agent.restart_backoff_initial",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""1s""#),
        help: "The pause before the agent is started again; it doubles with each restart that follows.",
        set: |raw, value| {
            put(
                &mut raw.supervision.restart_backoff_initial,
                value.duration(),
            )
        },
    },
    Key {
        name: "agent.restart_backoff_max",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""1m""#),
        help: "The longest pause before a restart.",
        set: |raw, value| put(&mut raw.supervision.restart_backoff_max, value.duration()),
    },
    Key {
        name: "agent.restart_limit",
        kind: Kind::Number,
        default: DefaultValue::Is("10"),
        help: "After how many restarts in a row gravimeter gives up.",
        set: |raw, value| {
            put(
                &mut raw.supervision.restart_limit,
                value.number(0..=1_000_000),
            )
        },
    },
    Key {
        name: "agent.steady_after",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""5m""#),
        help: "How long the agent must stay up for the count of restarts to begin anew.",
        set: |raw, value| put(&mut raw.supervision.steady_after, value.duration()),
    },
    Key {
        name: "agent.stop_timeout",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "How long the agent may take to end by itself before it is killed.",
        set: |raw, value| put(&mut raw.supervision.stop_timeout, value.duration()),
    },
    Key {
        name: "agent.announce_timeout",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""30s""#),
        help: "How long a preset's agent may take to announce its ports.",
        set: |raw, value| put(&mut raw.supervision.announce_timeout, value.duration()),
    },
];
