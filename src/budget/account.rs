//! The sums of one budget, window by window, and what follows from them. Exact: each call counts in
//! the window in which it has ended, as in the ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::amount::Amount;
use super::definition::{Budget, OnError};
use super::status::{BudgetStatus, GroupStatus, Level, Notice, State};
use super::window::Window;
use crate::record::{SessionId, SubjectTotals};

/// What has the limit for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Group {
    /// The name of a model, a program and so on; empty where all calls count together.
    pub(super) name: String,
    /// The session, where the budget is for each one.
    pub(super) session: Option<SessionId>,
}

/// What a group has spent in a window.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    used: u64,
    /// Whether some of it has no price, though it is to be paid for.
    has_unpriced: bool,
}

/// One budget with its sums.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) budget: Budget,
    /// By the beginning of the window.
    windows: BTreeMap<Timestamp, HashMap<Group, Sum>>,
    /// The windows of which something was not counted.
    incomplete: BTreeSet<Timestamp>,
    lifted_until: Option<Timestamp>,
    /// The window as of the last look at the clock.
    current: Timestamp,
    stops: u64,
}

impl Account {
    pub(super) fn new(budget: Budget, now: Timestamp) -> Self {
        let current = budget.window.start(now, &budget.zone);
        Self {
            budget,
            windows: BTreeMap::new(),
            incomplete: BTreeSet::new(),
            lifted_until: None,
            current,
            stops: 0,
        }
    }

    /// Adds calls that have ended then. Returns what has changed by that.
    pub(super) fn add(
        &mut self,
        totals: &SubjectTotals,
        ended_at: Timestamp,
        now: Timestamp,
    ) -> Option<Notice> {
        let group = Group {
            name: self.budget.name_of(&totals.subject)?,
            session: match self.budget.window {
                Window::Session => Some(totals.subject.session.clone()?),
                _ => None,
            },
        };
        let start = self.start(ended_at);
        let groups = self.windows.entry(start).or_default();
        if groups.len() >= MAX_GROUPS && !groups.contains_key(&group) {
            self.incomplete.insert(start);
            return None;
        }
        let sum = groups.entry(group.clone()).or_default();
        let unit = self.budget.limit.unit;
        let before = *sum;
        sum.used = sum.used.saturating_add(Amount::of(unit, totals).value);
        sum.has_unpriced |= unit == super::Unit::Cost && totals.unpriced_calls > 0;
        let after = *sum;
        self.forget_far_windows(now);
        let risen = self.level(after) > self.level(before);
        (risen && start == self.start(now)).then(|| self.risen(group, after, now))
    }

    /// Looks at the clock: a window may have ended, or the time for which the budget was lifted.
    /// Returns what has changed by that.
    pub(super) fn refresh(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut notices = Vec::new();
        let start = self.start(now);
        if start != self.current {
            notices.extend(self.notices_of(self.current, Level::Warned, State::Ok, now));
            self.current = start;
            self.forget_far_windows(now);
        }
        if self.lifted_until.is_some_and(|until| until <= now) {
            self.lifted_until = None;
            let stopped = self.notices_of(start, Level::Stopped, State::Stopped, now);
            self.stops += u64::try_from(stopped.len()).unwrap_or_default();
            notices.extend(stopped);
        }
        notices
    }

    /// Lets calls pass until then.
    pub(super) fn lift(&mut self, until: Timestamp, now: Timestamp) -> Vec<Notice> {
        self.lifted_until = Some(until);
        self.notices_of(self.start(now), Level::Stopped, State::Lifted, now)
    }

    /// Something was not counted now. Returns whether it is the first in this window.
    pub(super) fn miss(&mut self, now: Timestamp) -> bool {
        self.incomplete.insert(self.start(now))
    }

    /// What was stopped by an earlier process was counted there.
    pub(super) fn forget_stops(&mut self) {
        self.stops = 0;
    }

    /// Drops the sums of a session that has ended.
    pub(super) fn forget_session(&mut self, session: &SessionId) {
        for groups in self.windows.values_mut() {
            groups.retain(|group, _| group.session.as_ref() != Some(session));
        }
    }

    /// When the next thing changes by the clock alone.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let end = self.budget.window.end(now, &self.budget.zone);
        [end, self.lifted_until].into_iter().flatten().min()
    }

    /// Whether the budget lets no call of the group pass now.
    pub(super) fn stops(&self, group: &Group, now: Timestamp) -> bool {
        if self.is_lifted(now) {
            return false;
        }
        let sum = self.sum(group, now);
        self.level(sum) == Level::Stopped || self.fails_closed(sum, now)
    }

    /// Whether the budget stops any calls now.
    pub(super) fn stops_any(&self, now: Timestamp) -> bool {
        if self.is_lifted(now) {
            return false;
        }
        let mut sums = self.groups(now).map(|(_, sum)| sum);
        self.fails_closed(Sum::default(), now)
            || sums.any(|sum| self.level(sum) == Level::Stopped || self.fails_closed(sum, now))
    }

    /// What the group has spent now.
    pub(super) fn used(&self, group: &Group, now: Timestamp) -> Amount {
        self.amount(self.sum(group, now))
    }

    /// When calls of a group that is stopped pass again.
    pub(super) fn reopens_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.budget.window.end(now, &self.budget.zone)
    }

    /// How the budget stands.
    pub(super) fn status(&self, now: Timestamp) -> BudgetStatus {
        let budget = &self.budget;
        let mut groups: Vec<_> = self.groups(now).collect();
        groups.sort_by(|(a, first), (b, second)| second.used.cmp(&first.used).then(a.cmp(b)));
        let most = groups.first().map(|(_, sum)| *sum).unwrap_or_default();
        let states = groups.iter().map(|(_, sum)| self.state(*sum, now));
        let state = states.max_by_key(|state| severity(*state));
        let is_grouped = budget.by != super::GroupBy::All || budget.window == Window::Session;
        let is_lower_bound = self.incomplete.contains(&self.start(now))
            || groups.iter().any(|(_, sum)| sum.has_unpriced);
        let groups = groups.into_iter().filter(|_| is_grouped);
        let since = self.start(now);
        BudgetStatus {
            name: budget.name.clone(),
            unit: budget.limit.unit,
            limit: budget.limit,
            per: budget.window,
            by: budget.by,
            only: budget.only.clone(),
            warn: budget.warn,
            stop: budget.stop,
            fail: budget.on_error,
            since: (budget.window != Window::Session).then_some(since),
            until: budget.window.end(now, &budget.zone),
            state: state.unwrap_or_else(|| self.state(Sum::default(), now)),
            used: self.amount(most),
            used_ratio: self.amount(most).ratio_of(budget.limit),
            is_lower_bound,
            lifted_until: self.lifted_until.filter(|until| *until > now),
            stops: self.stops,
            groups: groups
                .take(SHOWN_GROUPS)
                .map(|(group, sum)| GroupStatus {
                    name: group.name.clone(),
                    session: group.session.as_ref().map(ToString::to_string),
                    used: self.amount(sum),
                    used_ratio: self.amount(sum).ratio_of(budget.limit),
                    state: self.state(sum, now),
                })
                .collect(),
        }
    }

    fn risen(&mut self, group: Group, sum: Sum, now: Timestamp) -> Notice {
        let state = self.state(sum, now);
        self.stops += u64::from(state == State::Stopped);
        self.notice(group, sum, state, now)
    }

    /// A notice for each group of a window that has reached a level.
    fn notices_of(
        &self,
        window: Timestamp,
        least: Level,
        state: State,
        now: Timestamp,
    ) -> Vec<Notice> {
        let groups = self.windows.get(&window).into_iter().flatten();
        groups
            .filter(|(_, sum)| self.level(**sum) >= least)
            .take(SHOWN_GROUPS)
            .map(|(group, sum)| self.notice(group.clone(), *sum, state, now))
            .collect()
    }

    fn notice(&self, group: Group, sum: Sum, state: State, now: Timestamp) -> Notice {
        let budget = &self.budget;
        let until = match state {
            State::Ok => None,
            State::Lifted => self.lifted_until,
            State::Stopped | State::Warned => self.reopens_at(now),
        };
        let session = group.session.as_ref().map(SessionId::as_str);
        Notice {
            budget: budget.name.clone(),
            group: match session {
                Some(session) if group.name.is_empty() => session.to_owned(),
                Some(session) => format!("{} ({session})", group.name),
                None => group.name,
            },
            state,
            used: self.amount(sum),
            limit: budget.limit,
            per: budget.window,
            until,
            at: now,
        }
    }

    fn state(&self, sum: Sum, now: Timestamp) -> State {
        let is_stopped = self.level(sum) == Level::Stopped || self.fails_closed(sum, now);
        match self.level(sum) {
            _ if is_stopped && self.is_lifted(now) => State::Lifted,
            _ if is_stopped => State::Stopped,
            Level::Within => State::Ok,
            Level::Stopped | Level::Warned => State::Warned,
        }
    }

    fn level(&self, sum: Sum) -> Level {
        let reaches = |ratio: f64| sum.used >= self.budget.limit.share(ratio).max(1);
        match self.budget.stop {
            Some(stop) if reaches(stop) => Level::Stopped,
            _ if reaches(self.budget.warn) => Level::Warned,
            _ => Level::Within,
        }
    }

    /// Whether nothing passes because not everything could be counted.
    fn fails_closed(&self, sum: Sum, now: Timestamp) -> bool {
        let budget = &self.budget;
        budget.stop.is_some()
            && budget.on_error == OnError::Closed
            && (sum.has_unpriced || self.incomplete.contains(&self.start(now)))
    }

    fn is_lifted(&self, now: Timestamp) -> bool {
        self.lifted_until.is_some_and(|until| until > now)
    }

    fn groups(&self, now: Timestamp) -> impl Iterator<Item = (&Group, Sum)> {
        let groups = self.windows.get(&self.start(now)).into_iter().flatten();
        groups.map(|(group, sum)| (group, *sum))
    }

    fn sum(&self, group: &Group, now: Timestamp) -> Sum {
        let groups = self.windows.get(&self.start(now));
        groups
            .and_then(|groups| groups.get(group))
            .copied()
            .unwrap_or_default()
    }

    fn amount(&self, sum: Sum) -> Amount {
        Amount {
            unit: self.budget.limit.unit,
            value: sum.used,
        }
    }

    fn start(&self, at: Timestamp) -> Timestamp {
        self.budget.window.start(at, &self.budget.zone)
    }

    /// Keeps the windows next to the clock's. Calls end in the last one, too, when they are counted a
    /// moment later, and in the next one, when the clock was set back.
    fn forget_far_windows(&mut self, now: Timestamp) {
        let current = self.start(now);
        while self.windows.len() > MAX_WINDOWS {
            let far = |start: &&Timestamp| start.duration_since(current).abs();
            let Some(farthest) = self.windows.keys().max_by_key(far).copied() else {
                return;
            };
            self.windows.remove(&farthest);
            self.incomplete.remove(&farthest);
        }
        while self.incomplete.len() > MAX_WINDOWS {
            self.incomplete.pop_first();
        }
    }
}

fn severity(state: State) -> u8 {
    match state {
        State::Ok => 0,
        State::Warned => 1,
        State::Lifted => 2,
        State::Stopped => 3,
    }
}

/// The last window, this one, and the next.
const MAX_WINDOWS: usize = 3;

/// Groups of a window that have sums: more than a month has sessions, and some 2 MB. Calls of further
/// ones are not counted, which is said.
pub(super) const MAX_GROUPS: usize = 10_000;

/// Groups that are shown.
const SHOWN_GROUPS: usize = 100;
