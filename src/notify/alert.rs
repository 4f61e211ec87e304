//! Notices as words for people, and as alerts in the format of Prometheus Alertmanager
//! (`POST /api/v2/alerts`, `postableAlerts`).
//!
//! Source: `api/v2/openapi.yaml` of Alertmanager. Alerts with the same labels are one alert, which ends
//! at `endsAt`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::budget::{Notice, State, Window};

/// An alert, as Alertmanager takes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    /// When it began; Alertmanager keeps the earlier one of an alert that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<Timestamp>,
    /// When it ends by itself, or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
}

/// The alerts that a notice begins, or ends.
pub(super) fn alerts(notice: &Notice) -> Vec<Alert> {
    match notice.state {
        State::Lifted => vec![ended(STOPPED, notice)],
        State::Ok => vec![ended(STOPPED, notice), ended(WARNING, notice)],
        State::Stopped => vec![begun(STOPPED, notice)],
        State::Warned => vec![begun(WARNING, notice)],
    }
}

fn begun(kind: Kind, notice: &Notice) -> Alert {
    Alert {
        labels: kind.labels(notice),
        annotations: BTreeMap::from([("summary", summary(notice))]),
        starts_at: Some(notice.at),
        ends_at: notice.until,
    }
}

fn ended(kind: Kind, notice: &Notice) -> Alert {
    Alert {
        labels: kind.labels(notice),
        annotations: BTreeMap::from([("summary", summary(notice))]),
        starts_at: None,
        ends_at: Some(notice.at),
    }
}

/// What an alert is called, and how urgent it is.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    severity: &'static str,
}

impl Kind {
    fn labels(self, notice: &Notice) -> BTreeMap<&'static str, String> {
        let group = Some(("group", notice.group.clone())).filter(|(_, group)| !group.is_empty());
        [
            ("alertname", self.name.to_owned()),
            ("budget", notice.budget.to_string()),
            ("severity", self.severity.to_owned()),
        ]
        .into_iter()
        .chain(group)
        .collect()
    }
}

const STOPPED: Kind = Kind {
    name: "GravimeterBudgetStopped",
    severity: "critical",
};

const WARNING: Kind = Kind {
    name: "GravimeterBudgetWarning",
    severity: "warning",
};

/// The notice in one sentence.
pub(super) fn summary(notice: &Notice) -> String {
    let Notice {
        budget,
        group,
        used,
        limit,
        per,
        ..
    } = notice;
    let of = match group.as_str() {
        "" => String::new(),
        group => format!(" of {group}"),
    };
    let until = notice
        .until
        .map(|until| format!(" until {until}"))
        .unwrap_or_default();
    let percent = (used.ratio_of(*limit) * 100.0).floor();
    let spent = match per {
        Window::Session => format!("{used} of {limit} in this session"),
        per => format!("{used} of {limit} this {per}"),
    };
    match notice.state {
        State::Lifted => format!("budget {budget}{of}: calls pass again{until}, {spent} spent"),
        State::Ok => format!("budget {budget}{of}: a new {per} has begun"),
        State::Stopped => {
            format!("budget {budget}{of}: no new call is carried{until}, {spent} spent")
        }
        State::Warned => format!("budget {budget}{of}: {percent} % spent, {spent}"),
    }
}
