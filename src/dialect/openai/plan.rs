//! What is left of the limits of a plan of ChatGPT (Codex), in header fields and in messages over a
//! WebSocket.
//!
//! Each limit has two windows. The main limit, `codex`, is for all models together; others are for
//! what they are called by, mostly one model: header fields have their id in their names
//! (`x-{limit-id}-primary-used-percent`), messages have it as `metered_limit_name`. The minutes of
//! a window tell what it limits, not which of the two it is.
//!
//! Source: openai/codex `codex-rs/codex-api/src/rate_limits.rs`.

use std::time::SystemTime;

use crate::dialect::limits::{Limit, Scope, left, number};
use crate::dialect::times::unix_time;
use crate::observe::exchange::Fields;
use crate::observe::json::Value;
use crate::record::{Model, QuotaWindow};

/// One limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Plan {
    /// `None` for the main one.
    id: Option<String>,
    /// What people call it.
    name: Option<String>,
    windows: [Window; 2],
}

/// One window of a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Window {
    used_percent: Option<f64>,
    minutes: Option<u32>,
    resets_at: Option<SystemTime>,
}

/// What is said of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlanField {
    Id,
    Name,
    /// A part of the first or of the second window.
    Window(usize, WindowPart),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WindowPart {
    Minutes,
    ResetsAt,
    UsedPercent,
}

impl Plan {
    /// Takes a value; what is none says nothing.
    pub(super) fn take(&mut self, field: PlanField, value: &Value<'_>) {
        let (Value::Number(text) | Value::String { text, cut: false }) = value else {
            return;
        };
        match field {
            PlanField::Id => self.id = id_of(text),
            PlanField::Name => self.name = Some((*text).to_owned()).filter(|name| !name.is_empty()),
            PlanField::Window(place, part) => {
                if let Some(window) = self.windows.get_mut(place) {
                    window.take(part, text);
                }
            }
        }
    }

    /// Takes over what is said later, limit by limit; the last word on a window counts.
    pub(super) fn merge_into(self, known: &mut Vec<Self>) {
        if self.windows == <[Window; 2]>::default() {
            return;
        }
        let has_room = known.len() < MAX_LIMITS;
        match known.iter_mut().find(|plan| plan.id == self.id) {
            Some(plan) => {
                for (window, new) in plan.windows.iter_mut().zip(self.windows) {
                    if new != Window::default() {
                        *window = new;
                    }
                }
                plan.name = self.name.or(plan.name.take());
            }
            None if has_room => known.push(self),
            None => {}
        }
    }

    /// The limits that its windows are, as far as they say how much is used.
    pub(super) fn limits(&self) -> impl Iterator<Item = Limit> {
        let name = self.name.as_ref().filter(|_| self.id.is_some());
        let scope = match name.or(self.id.as_ref()) {
            Some(name) => Scope::Named(Model::from_wire(name)),
            None => Scope::Account,
        };
        let limits = self.windows.map(|window| window.limit(scope.clone()));
        limits.into_iter().flatten()
    }
}

impl Window {
    fn take(&mut self, part: WindowPart, text: &str) {
        match part {
            WindowPart::Minutes => self.minutes = text.parse().ok(),
            WindowPart::ResetsAt => self.resets_at = unix_time(text),
            WindowPart::UsedPercent => self.used_percent = number(text),
        }
    }

    fn limit(self, scope: Scope) -> Option<Limit> {
        Some(Limit {
            scope,
            window: match self.minutes {
                Some(300) => QuotaWindow::FiveHours,
                Some(1_440) => QuotaWindow::Day,
                Some(10_080) => QuotaWindow::Weekly,
                _ => QuotaWindow::Unspecified,
            },
            remaining: left(self.used_percent? / 100.0),
            resets_at: self.resets_at,
        })
    }
}

/// An id as both spellings of it are compared; `None` for that of the main limit.
fn id_of(text: &str) -> Option<String> {
    let id = text.to_ascii_lowercase().replace('-', "_");
    (!id.is_empty() && id != MAIN).then_some(id)
}

/// The limits that a head tells of.
pub(super) fn of_head(fields: &Fields) -> Vec<Limit> {
    let mut plans = Vec::new();
    for (name, value) in &fields.by_ending {
        let Some((id, field)) = of_name(name) else {
            continue;
        };
        let place = plans.iter().position(|plan: &Plan| plan.id == id);
        let plan = match place {
            Some(place) => plans.get_mut(place),
            None if plans.len() < MAX_LIMITS => {
                plans.push(Plan {
                    id,
                    ..Plan::default()
                });
                plans.last_mut()
            }
            None => None,
        };
        if let Some(plan) = plan {
            plan.take(field, &Value::Number(value));
        }
    }
    plans.iter().flat_map(Plan::limits).collect()
}

/// The limit that a header field speaks of, and what it says of it.
fn of_name(name: &str) -> Option<(Option<String>, PlanField)> {
    HEAD_FIELDS.iter().find_map(|(ending, field)| {
        let id = name.strip_suffix(ending)?.strip_prefix("x-")?;
        Some((id_of(id), *field))
    })
}

/// Where a message over a WebSocket speaks of a limit: by itself, or among the header fields of a
/// refusal, which are those of the main one.
pub(super) fn paths() -> impl Iterator<Item = (String, PlanField)> {
    let of_head = HEAD_FIELDS
        .iter()
        .map(|(ending, field)| (format!("headers.x-{MAIN}{ending}"), *field));
    let own = MEMBERS.map(|(path, field)| (path.to_owned(), field));
    of_head.chain(own)
}

/// The endings of the names of header fields.
pub(super) const ENDINGS: &[&str] = &[
    HEAD_FIELDS[0].0,
    HEAD_FIELDS[1].0,
    HEAD_FIELDS[2].0,
    HEAD_FIELDS[3].0,
    HEAD_FIELDS[4].0,
    HEAD_FIELDS[5].0,
    HEAD_FIELDS[6].0,
];

const HEAD_FIELDS: [(&str, PlanField); 7] = [
    ("-limit-name", PlanField::Name),
    (
        "-primary-used-percent",
        PlanField::Window(0, WindowPart::UsedPercent),
    ),
    (
        "-primary-window-minutes",
        PlanField::Window(0, WindowPart::Minutes),
    ),
    (
        "-primary-reset-at",
        PlanField::Window(0, WindowPart::ResetsAt),
    ),
    (
        "-secondary-used-percent",
        PlanField::Window(1, WindowPart::UsedPercent),
    ),
    (
        "-secondary-window-minutes",
        PlanField::Window(1, WindowPart::Minutes),
    ),
    (
        "-secondary-reset-at",
        PlanField::Window(1, WindowPart::ResetsAt),
    ),
];

const MEMBERS: [(&str, PlanField); 8] = [
    ("limit_name", PlanField::Name),
    ("metered_limit_name", PlanField::Id),
    (
        "rate_limits.primary.used_percent",
        PlanField::Window(0, WindowPart::UsedPercent),
    ),
    (
        "rate_limits.primary.window_minutes",
        PlanField::Window(0, WindowPart::Minutes),
    ),
    (
        "rate_limits.primary.reset_at",
        PlanField::Window(0, WindowPart::ResetsAt),
    ),
    (
        "rate_limits.secondary.used_percent",
        PlanField::Window(1, WindowPart::UsedPercent),
    ),
    (
        "rate_limits.secondary.window_minutes",
        PlanField::Window(1, WindowPart::Minutes),
    ),
    (
        "rate_limits.secondary.reset_at",
        PlanField::Window(1, WindowPart::ResetsAt),
    ),
];

/// The id of the main limit.
const MAIN: &str = "codex";

/// Limits of one answer that are kept apart; accounts have three or four.
const MAX_LIMITS: usize = 8;

#[cfg(test)]
mod tests {
    use super::super::limits::LIMITS;
    use crate::dialect::limits::shown;

    #[test]
    fn the_minutes_name_the_window() {
        let of = |minutes: &str| {
            shown(
                LIMITS,
                &[
                    ("x-codex-primary-used-percent", "41.5"),
                    ("x-codex-primary-window-minutes", minutes),
                ],
            )
        };
        assert_eq!(of("300"), ["Account 5h 0.585"]);
        assert_eq!(of("1440"), ["Account 1d 0.585"]);
        assert_eq!(of("10080"), ["Account weekly 0.585"]);
        assert_eq!(of("17"), ["Account unspecified 0.585"]);
        assert_eq!(of("soon"), ["Account unspecified 0.585"]);
        let without_use = [
            ("x-codex-secondary-window-minutes", "300"),
            ("x-codex-secondary-reset-at", "7"),
        ];
        assert_eq!(shown(LIMITS, &without_use), [""; 0]);
    }

    #[test]
    fn other_limits_have_the_name_that_people_know_or_their_id() {
        let of = |fields: &[(&'static str, &str)]| shown(LIMITS, fields);
        let used = [("x-codex-bengalfox-primary-used-percent", "25")];
        let unnamed = r#"Named(Model("codex_bengalfox")) unspecified 0.75"#;
        assert_eq!(of(&used), [unnamed]);
        let named = [used[0], ("x-codex-bengalfox-limit-name", "gpt-x-spark")];
        assert_eq!(
            of(&named),
            [r#"Named(Model("gpt-x-spark")) unspecified 0.75"#]
        );
        // The name of the main limit makes it no other one.
        let main = [
            ("x-codex-primary-used-percent", "25"),
            ("x-codex-limit-name", "Codex"),
        ];
        assert_eq!(of(&main), ["Account unspecified 0.75"]);
        assert_eq!(of(&[("x-codex-limit-name", "Codex")]), [""; 0]);
    }

    #[test]
    fn no_head_has_more_limits_than_are_kept_apart() {
        const USED: [&str; 10] = [
            "x-a-primary-used-percent",
            "x-b-primary-used-percent",
            "x-c-primary-used-percent",
            "x-d-primary-used-percent",
            "x-e-primary-used-percent",
            "x-f-primary-used-percent",
            "x-g-primary-used-percent",
            "x-h-primary-used-percent",
            "x-i-primary-used-percent",
            "x-j-primary-used-percent",
        ];
        let fields = USED.map(|name| (name, "1"));
        assert_eq!(shown(LIMITS, &fields).len(), super::MAX_LIMITS);
    }
}
