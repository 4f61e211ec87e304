//! Everything that the screen shows: the last answers, since when none came, and what the keys have
//! chosen.

use std::cmp::Reverse;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::answers::{Answers, Call, Conversation, Session};

/// What is shown, and how.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Where the exporter is.
    pub(super) base: String,
    /// Whose times of day are shown.
    pub(super) zone: TimeZone,
    pub(super) answers: Answers,
    /// Since when no answer came; `None` while the exporter answers.
    pub(super) silence: Option<Silence>,
    pub(super) view: View,
    pub(super) order: Order,
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// Whether new answers are kept from the screen.
    pub(super) is_paused: bool,
    /// The row on which the keys act, by its key; the first one where none was chosen.
    selected: Option<String>,
}

/// No answer comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) since: Timestamp,
    pub(super) why: String,
}

/// What the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Calls,
    Conversations,
    Sessions,
}

/// Which rows come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Calls,
    Cost,
    Duration,
    Newest,
    Tokens,
}

/// What keys mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They choose what is shown.
    Browse,
    /// One row is shown with all its figures.
    Details,
    /// They are letters of the filter.
    Filter,
    /// They are explained.
    Help,
}

impl View {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Calls => "Calls",
            Self::Conversations => "Conversations",
            Self::Sessions => "Sessions",
        }
    }

    /// The orders that its rows can have.
    fn orders(self) -> &'static [Order] {
        match self {
            Self::Calls => &[Order::Newest, Order::Cost, Order::Tokens, Order::Duration],
            Self::Conversations | Self::Sessions => {
                &[Order::Newest, Order::Cost, Order::Tokens, Order::Calls]
            }
        }
    }
}

impl Order {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Calls => "most calls first",
            Self::Cost => "highest cost first",
            Self::Duration => "longest first",
            Self::Newest => "newest first",
            Self::Tokens => "most tokens first",
        }
    }
}

impl State {
    /// Shows the first answers of the exporter at `base`.
    pub(crate) fn new(base: String, zone: TimeZone, answers: Answers) -> Self {
        Self {
            base,
            zone,
            answers,
            silence: None,
            view: View::Conversations,
            order: Order::Newest,
            filter: String::new(),
            mode: Mode::Browse,
            is_paused: false,
            selected: None,
        }
    }

    /// Takes what the exporter has answered, or why it has not.
    pub(super) fn take(&mut self, answered: Result<Answers, String>, now: Timestamp) {
        match answered {
            Ok(answers) => {
                self.silence = None;
                if !self.is_paused {
                    self.answers = answers;
                    if !self.views().contains(&self.view) {
                        self.open(View::Conversations);
                    }
                }
            }
            Err(why) => {
                let since = self.silence.as_ref().map_or(now, |silence| silence.since);
                self.silence = Some(Silence { since, why });
            }
        }
    }

    /// The views that the exporter has answers for, in their order on the screen.
    pub(super) fn views(&self) -> Vec<View> {
        let sessions = self.answers.sessions.as_ref().map(|_| View::Sessions);
        [Some(View::Conversations), sessions, Some(View::Calls)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The sessions that the filter lets through, in order.
    pub(super) fn sessions(&self) -> Vec<&Session> {
        let texts = |of: &Session| {
            [
                Some(of.program.clone()),
                Some(of.state.clone()),
                of.repository.clone(),
                of.branch.clone(),
            ]
        };
        let all = self.answers.sessions.iter().flatten();
        let mut rows: Vec<_> = all.filter(|of| self.lets_through(texts(of))).collect();
        match self.order {
            Order::Calls => rows.sort_by_key(|of| Reverse(of.usage.calls)),
            Order::Cost => rows.sort_by(|a, b| by_cost(b.usage.cost_usd, a.usage.cost_usd)),
            Order::Tokens => rows.sort_by_key(|of| Reverse(of.usage.total_tokens)),
            Order::Duration | Order::Newest => rows.sort_by_key(|of| Reverse(of.started_at)),
        }
        rows
    }

    /// The conversations that the filter lets through, in order.
    pub(super) fn conversations(&self) -> Vec<&Conversation> {
        let texts = |of: &Conversation| {
            [
                Some(of.id.clone()),
                Some(of.state.clone()),
                of.model.clone(),
                Some(of.name()),
            ]
        };
        let all = self.answers.conversations.iter();
        let mut rows: Vec<_> = all.filter(|of| self.lets_through(texts(of))).collect();
        match self.order {
            Order::Calls => rows.sort_by_key(|of| Reverse(of.usage.calls)),
            Order::Cost => rows.sort_by(|a, b| by_cost(b.usage.cost_usd, a.usage.cost_usd)),
            Order::Tokens => rows.sort_by_key(|of| Reverse(of.usage.total_tokens)),
            Order::Duration | Order::Newest => rows.sort_by_key(|of| Reverse(of.last_active_at)),
        }
        rows
    }

    /// The calls that the filter lets through, in order.
    pub(super) fn calls(&self) -> Vec<&Call> {
        let texts = |of: &Call| {
            [
                Some(of.model.clone()),
                Some(of.provider.clone()),
                Some(of.operation.clone()),
                Some(of.outcome.clone()),
                of.cascade.clone(),
            ]
        };
        let all = self.answers.live.calls.iter();
        let mut rows: Vec<_> = all.filter(|of| self.lets_through(texts(of))).collect();
        match self.order {
            Order::Cost => rows.sort_by(|a, b| by_cost(b.cost_usd, a.cost_usd)),
            Order::Duration => {
                rows.sort_by(|a, b| b.duration_seconds.total_cmp(&a.duration_seconds))
            }
            Order::Tokens => rows.sort_by_key(|of| Reverse(of.tokens())),
            Order::Calls | Order::Newest => rows.sort_by_key(|of| Reverse(of.ended_at)),
        }
        rows
    }

    fn lets_through<const N: usize>(&self, texts: [Option<String>; N]) -> bool {
        let wanted = self.filter.to_lowercase();
        let mut texts = texts.into_iter().flatten();
        wanted.is_empty() || texts.any(|text| text.to_lowercase().contains(&wanted))
    }

    /// What tells the rows apart, in their order.
    fn keys(&self) -> Vec<String> {
        match self.view {
            View::Calls => self
                .calls()
                .iter()
                .map(|call| call.number.to_string())
                .collect(),
            View::Conversations => self
                .conversations()
                .iter()
                .map(|of| of.id.clone())
                .collect(),
            View::Sessions => self.sessions().iter().map(|of| of.id.clone()).collect(),
        }
    }

    /// The place of the row on which the keys act.
    pub(super) fn selected(&self) -> usize {
        let chosen = self.selected.as_ref();
        let place = |chosen: &String| self.keys().iter().position(|key| key == chosen);
        chosen.and_then(place).unwrap_or(0)
    }

    /// Chooses the row that is so many further down, or up; the first one is no choice: it stays the
    /// first, whichever that is.
    pub(super) fn select(&mut self, further: isize) {
        let keys = self.keys();
        let last = keys.len().saturating_sub(1);
        let place = self.selected().saturating_add_signed(further).min(last);
        self.selected = keys.into_iter().nth(place).filter(|_| place > 0);
    }

    /// Opens a view.
    pub(super) fn open(&mut self, view: View) {
        if view == self.view {
            return;
        }
        self.view = view;
        self.selected = None;
        if !view.orders().contains(&self.order) {
            self.order = Order::Newest;
        }
    }

    /// Takes the next order of those that the rows can have.
    pub(super) fn reorder(&mut self) {
        let orders = self.view.orders();
        let next = orders
            .iter()
            .skip_while(|order| **order != self.order)
            .nth(1);
        self.order = *next.or(orders.first()).unwrap_or(&Order::Newest);
    }
}

/// A cost that is not known is below every other.
fn by_cost(one: Option<f64>, other: Option<f64>) -> std::cmp::Ordering {
    let known = |cost: Option<f64>| cost.unwrap_or(-1.0);
    known(one).total_cmp(&known(other))
}
