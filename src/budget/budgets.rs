//! All budgets of the program, shared by the traffic, the views and the commands.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::account::Account;
use super::amount::Amount;
use super::definition::{Budget, BudgetName};
use super::matching::{self, ConnectionScope};
use super::status::{BudgetStatus, Notice};
use crate::record::{Call, Fact, Host, Models, Provider, SessionId, Sink, SubjectTotals};

/// All budgets. Takes facts without waiting, and answers from memory.
#[derive(Debug)]
pub struct Budgets {
    models: Arc<Models>,
    /// The provider at a host, where that is known.
    provider_of: fn(&Host) -> Option<Provider>,
    /// Guards all sums: locked for one fact, question or command at a time.
    accounts: Mutex<Accounts>,
    /// Counts up whenever calls are stopped, or pass again.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Accounts {
    accounts: Vec<Account>,
    /// The providers whose calls were seen at a host.
    providers: HashMap<Host, Vec<Provider>>,
    /// What has changed last, the newest last.
    recent: VecDeque<Notice>,
    /// Changes that nobody has been notified of yet.
    pending: Notices,
    /// Sessions that have ended and whose sums are still shown, the newest last.
    ended: VecDeque<SessionId>,
}

/// Changes to notify people of.
#[derive(Debug, Default)]
pub struct Notices {
    /// The oldest first.
    pub waiting: VecDeque<Notice>,
    /// How many more there were no room for.
    pub lost: u64,
}

/// Why no call is carried.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    /// The budget that stops it.
    pub budget: BudgetName,
    /// What was spent of it.
    pub used: Amount,
    /// What may be spent of it.
    pub limit: Amount,
    /// When calls pass again, where that is known.
    pub reopens_at: Option<Timestamp>,
}

impl fmt::Display for Stop {
    /// For people, as in an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            budget,
            used,
            limit,
            reopens_at,
        } = self;
        write!(
            f,
            "the budget {budget:?} is used up ({used} of {limit})",
            budget = budget.as_str()
        )?;
        match reopens_at {
            Some(at) => write!(f, ": calls pass again at {at}"),
            None => f.write_str(": calls pass again in the next session"),
        }
    }
}

/// There is no budget of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no budget {0:?}")]
pub struct UnknownBudget(pub String);

impl Budgets {
    /// Budgets of which nothing is spent yet.
    #[must_use]
    pub fn new(
        budgets: Vec<Budget>,
        models: Arc<Models>,
        provider_of: fn(&Host) -> Option<Provider>,
        now: Timestamp,
    ) -> Self {
        let accounts = budgets.into_iter().map(|budget| Account::new(budget, now));
        Self {
            models,
            provider_of,
            accounts: Mutex::new(Accounts {
                accounts: accounts.collect(),
                providers: HashMap::new(),
                recent: VecDeque::new(),
                pending: Notices::default(),
                ended: VecDeque::new(),
            }),
            changes: watch::Sender::new(0),
        }
    }

    /// Counts what was spent before now in the current window of each budget. `spent` answers for
    /// one budget and the beginning of its window; `None` is that this cannot be told.
    pub fn seed(
        &self,
        now: Timestamp,
        spent: impl Fn(&Budget, Timestamp) -> Option<Vec<SubjectTotals>>,
    ) {
        let mut accounts = self.lock();
        for account in &mut accounts.accounts {
            let start = account.budget.window.start(now, &account.budget.zone);
            match spent(&account.budget, start) {
                Some(totals) => {
                    for totals in totals {
                        // Was noticed when it was spent.
                        let _ = account.add(&totals, now, now);
                    }
                    account.forget_stops();
                }
                None => _ = account.miss(now),
            }
        }
    }

    /// Looks at the clock. Returns when to look again.
    pub fn refresh(&self, now: Timestamp) -> Option<Timestamp> {
        let mut accounts = self.lock();
        let mut notices = Vec::new();
        for account in &mut accounts.accounts {
            notices.extend(account.refresh(now));
        }
        let next = accounts
            .accounts
            .iter()
            .filter_map(|account| account.next_change(now));
        let next = next.min();
        self.publish(&mut accounts, notices);
        next
    }

    /// Lets the calls pass that a budget stops, until then.
    ///
    /// # Errors
    /// [`UnknownBudget`] when there is none of that name.
    pub fn lift(&self, name: &str, until: Timestamp, now: Timestamp) -> Result<(), UnknownBudget> {
        let mut accounts = self.lock();
        let mut named = accounts.accounts.iter_mut();
        let account = named
            .find(|account| account.budget.name.as_str() == name)
            .ok_or_else(|| UnknownBudget(name.to_owned()))?;
        let notices = account.lift(until, now);
        self.publish(&mut accounts, notices);
        // Also where nothing was stopped: the time for which it is lifted has begun.
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// How all budgets stand, in the order of the configuration.
    #[must_use]
    pub fn statuses(&self, now: Timestamp) -> Vec<BudgetStatus> {
        let accounts = self.lock();
        let accounts = accounts.accounts.iter();
        accounts.map(|account| account.status(now)).collect()
    }

    /// What has changed last, the newest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Notice> {
        self.lock().recent.iter().rev().cloned().collect()
    }

    /// What people have not been notified of yet; it is given away.
    pub(crate) fn take_notices(&self) -> Notices {
        std::mem::take(&mut self.lock().pending)
    }

    /// The budget that lets no call pass to this host from this caller, where one does. Stops only
    /// calls of models: a host that is not known for them is none of its business.
    pub(crate) fn stop_for(
        &self,
        host: &Host,
        scope: &ConnectionScope<'_>,
        now: Timestamp,
    ) -> Option<Stop> {
        let accounts = self.lock();
        let providers = match scope.provider {
            Some(provider) => vec![provider],
            None => self.providers(&accounts, host),
        };
        if providers.is_empty() {
            return None;
        }
        accounts.accounts.iter().find_map(|account| {
            let groups = matching::groups(&account.budget, &providers, scope, &self.models);
            let group = groups.into_iter().find(|group| account.stops(group, now))?;
            Some(Stop {
                budget: account.budget.name.clone(),
                used: account.used(&group, now),
                limit: account.budget.limit,
                reopens_at: account.reopens_at(now),
            })
        })
    }

    /// Whether it matters now which program has opened a connection.
    pub(crate) fn needs_program(&self, now: Timestamp) -> bool {
        let accounts = self.lock();
        let mut accounts = accounts.accounts.iter();
        accounts.any(|account| matching::needs_program(account) && account.stops_any(now))
    }

    /// Whether it matters now which model or subagent a call is of.
    pub(crate) fn needs_call(&self, now: Timestamp) -> bool {
        let accounts = self.lock();
        let mut accounts = accounts.accounts.iter();
        accounts.any(|account| matching::needs_call(account) && account.stops_any(now))
    }

    /// Counts up whenever [`Budgets::stop_for`] may answer otherwise than before.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Those that are known to answer at a host, and those whose calls were seen there.
    fn providers(&self, accounts: &Accounts, host: &Host) -> Vec<Provider> {
        let mut providers = accounts.providers.get(host).cloned().unwrap_or_default();
        if let Some(known) = (self.provider_of)(host)
            && !providers.contains(&known)
        {
            providers.push(known);
        }
        providers
    }

    fn ended(&self, call: &Call) {
        let (totals, now) = (SubjectTotals::from(call), Timestamp::now());
        let ended_at = ended_at(call);
        let mut accounts = self.lock();
        let mut notices = Vec::new();
        for account in &mut accounts.accounts {
            notices.extend(account.add(&totals, ended_at, now));
        }
        self.publish(&mut accounts, notices);
    }

    fn missed(&self) {
        let now = Timestamp::now();
        let mut is_new = false;
        for account in &mut self.lock().accounts {
            is_new |= account.miss(now);
        }
        if is_new {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    fn publish(&self, accounts: &mut Accounts, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        for notice in notices {
            if accounts.recent.len() >= MAX_RECENT {
                accounts.recent.pop_front();
            }
            accounts.recent.push_back(notice.clone());
            if accounts.pending.waiting.len() < MAX_PENDING {
                accounts.pending.waiting.push_back(notice);
            } else {
                accounts.pending.lost += 1;
            }
        }
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn saw(&mut self, host: &Host, provider: Provider) {
        if let Some(known) = self.providers.get_mut(host) {
            if !known.contains(&provider) {
                known.push(provider);
            }
        } else if self.providers.len() < MAX_HOSTS {
            self.providers.insert(host.clone(), vec![provider]);
        }
    }

    fn end_session(&mut self, session: &SessionId) {
        self.ended.push_back(session.clone());
        if self.ended.len() > MAX_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            for account in &mut self.accounts {
                account.forget_session(&oldest);
            }
        }
    }
}

impl Sink for Budgets {
    fn receive(&self, fact: &Fact) {
        match fact {
            Fact::Call(call) => self.ended(call),
            Fact::CallStarted(started) => self.lock().saw(&started.host, started.provider),
            Fact::CallUnread(_) | Fact::ObserverFailed(_) => self.missed(),
            Fact::SessionEnded(ended) => self.lock().end_session(&ended.id),
            _ => {}
        }
    }
}

/// When a call has ended, as the ledger has it.
pub(super) fn ended_at(call: &Call) -> Timestamp {
    let started_at = Timestamp::try_from(call.timing.started_at).unwrap_or_default();
    let ended_at = started_at.saturating_add(call.timing.duration);
    let ended_at = ended_at.unwrap_or(started_at).as_millisecond();
    Timestamp::from_millisecond(ended_at).unwrap_or_default()
}

/// Changes that are shown: more than fit beside the budgets on the page.
const MAX_RECENT: usize = 8;

/// Changes that wait for being notified of: one for each group of the largest answer, twice.
const MAX_PENDING: usize = 256;

/// Sessions that have ended and are still shown: as many as are listed.
const MAX_ENDED: usize = 100;

/// Hosts whose providers are learned from calls: those of gateways, of which a machine has a few.
const MAX_HOSTS: usize = 256;
