//! Budgets over whole lives: what is counted, when calls are stopped, and what is said of it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;

use super::account::{Account, Group, MAX_GROUPS};
use super::budgets::ended_at;
use super::*;
use crate::ledger::{By, Ledger, Limits, SpentBy, UsageQuery};
use crate::record::{
    Call, Caller, Cost, Fact, Host, Id, MadeCall, Model, Models, ProgramName, Provider, SessionId,
    Sink as _, Subject, SubjectTotals, sample_call,
};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn calls(value: u64) -> Amount {
    Amount {
        unit: Unit::Calls,
        value,
    }
}

fn budget(limit: Amount, by: GroupBy) -> Budget {
    Budget {
        name: "daily".parse().expect("a name"),
        limit,
        window: Window::Day,
        by,
        only: Vec::new(),
        warn: 0.5,
        stop: Some(1.0),
        on_error: OnError::Open,
        zone: TimeZone::UTC,
    }
}

fn subject(model: &str) -> Subject {
    Subject {
        provider: Provider::Anthropic,
        model: Model::from_wire(model),
        program: ProgramName::new("claude"),
        repository: None,
        session: SessionId::parse("one"),
        subagent: None,
    }
}

fn totals(model: &str, calls: u64) -> SubjectTotals {
    SubjectTotals {
        subject: subject(model),
        calls,
        tokens: 10 * calls,
        cost: Cost::from_nano_usd(calls),
        unpriced_calls: 0,
    }
}

fn states(notices: impl IntoIterator<Item = Notice>) -> Vec<(State, String)> {
    let state = |notice: Notice| (notice.state, notice.group);
    notices.into_iter().map(state).collect()
}

#[test]
fn a_budget_warns_stops_and_begins_anew() {
    let now = at("2026-11-30T12:00:00Z");
    let mut account = Account::new(budget(calls(4), GroupBy::All), now);
    let group = Group::default();
    let mut said = Vec::new();
    for _ in 0..5 {
        said.extend(states(account.add(&totals("m", 1), now, now)));
    }
    let none = String::new;
    assert_eq!(said, [(State::Warned, none()), (State::Stopped, none())]);
    assert!(account.stops(&group, now) && account.status(now).stops == 1);
    assert_eq!(account.status(now).used, calls(5));

    let later = now.checked_add(30.minutes()).expect("a time");
    assert_eq!(states(account.lift(later, now)), [(State::Lifted, none())]);
    assert!(!account.stops(&group, now) && account.stops(&group, later));
    assert_eq!(account.status(now).state, State::Lifted);
    assert_eq!(states(account.refresh(later)), [(State::Stopped, none())]);
    assert_eq!(account.status(later).stops, 2);

    let tomorrow = at("2026-12-01T00:00:00Z");
    assert_eq!(account.next_change(later), Some(tomorrow));
    assert!(!account.stops(&group, tomorrow));
    assert_eq!(states(account.refresh(tomorrow)), [(State::Ok, none())]);
    assert_eq!(account.status(tomorrow).used, calls(0));
    assert_eq!(states(account.refresh(tomorrow)), []);
}

#[test]
fn a_call_counts_in_the_window_in_which_it_ended() {
    let (before, after) = (at("2026-11-30T23:59:59.999Z"), at("2026-12-01T00:00:00Z"));
    let mut account = Account::new(budget(calls(4), GroupBy::All), before);
    account.add(&totals("m", 1), before, after);
    account.add(&totals("m", 1), after, after);
    // A connection's own clock may be ahead.
    account.add(&totals("m", 2), at("2026-12-02T00:00:00Z"), after);
    assert_eq!(account.status(before).used, calls(1));
    assert_eq!(account.status(after).used, calls(1));
    for day in 1..9 {
        let day = after.checked_add((24 * day).hours()).expect("a time");
        account.add(&totals("m", 1), day, after);
    }
    assert_eq!(
        account.status(after).used,
        calls(1),
        "the clock's own window stays"
    );
}

#[test]
fn what_ended_in_a_window_that_is_over_warns_of_nothing() {
    let (before, after) = (at("2026-11-30T23:59:59Z"), at("2026-12-01T00:00:00Z"));
    let mut account = Account::new(budget(calls(1), GroupBy::All), after);
    assert_eq!(states(account.add(&totals("m", 1), before, after)), []);
    assert_eq!(account.status(after).stops, 0);
    assert_eq!(states(account.add(&totals("m", 1), after, after)).len(), 1);
}

#[test]
fn so_many_groups_are_kept_and_what_is_beyond_makes_the_sum_a_lower_bound() {
    let now = at("2026-11-30T12:00:00Z");
    let mut account = Account::new(budget(calls(9), GroupBy::Model), now);
    for model in 0..MAX_GROUPS {
        account.add(&totals(&format!("m{model}"), 1), now, now);
    }
    assert!(!account.status(now).is_lower_bound);
    account.add(&totals("one more", 1), now, now);
    account.add(&totals("m0", 1), now, now);
    let group = |name: &str| Group {
        name: name.to_owned(),
        session: None,
    };
    assert_eq!(account.used(&group("one more"), now), calls(0));
    assert_eq!(account.used(&group("m0"), now), calls(2));
    assert!(account.status(now).is_lower_bound);
}

#[test]
fn the_sums_of_a_session_go_with_it() {
    let now = at("2026-11-30T12:00:00Z");
    let of_sessions = Budget {
        window: Window::Session,
        ..budget(calls(1), GroupBy::All)
    };
    let mut account = Account::new(of_sessions, now);
    let session = SessionId::parse("one").expect("an id");
    let group = Group {
        name: String::new(),
        session: Some(session.clone()),
    };
    account.add(&totals("m", 1), now, now);
    assert!(account.stops(&group, now));
    account.forget_session(&SessionId::parse("two").expect("an id"));
    assert!(account.stops(&group, now));
    account.forget_session(&session);
    assert!(!account.stops(&group, now));
    assert_eq!(account.status(now).groups, []);
}

#[test]
fn groups_have_the_limit_for_themselves() {
    let now = at("2026-11-30T12:00:00Z");
    let only = Budget {
        only: vec![NamePattern::new("opus*")],
        ..budget(calls(2), GroupBy::Model)
    };
    let mut account = Account::new(only, now);
    let mut said = Vec::new();
    for model in ["opus-4", "haiku", "haiku", "opus-5", "opus-4"] {
        said.extend(states(account.add(&totals(model, 1), now, now)));
    }
    let of = |state, model: &str| (state, model.to_owned());
    assert_eq!(
        said,
        [
            of(State::Warned, "opus-4"),
            of(State::Warned, "opus-5"),
            of(State::Stopped, "opus-4")
        ]
    );
    let status = account.status(now);
    let groups: Vec<_> = status
        .groups
        .iter()
        .map(|group| (group.name.as_str(), group.state))
        .collect();
    assert_eq!(
        groups,
        [("opus-4", State::Stopped), ("opus-5", State::Warned)]
    );
    assert_eq!(status.state, State::Stopped);
}

/// One that knows nothing stops nothing, unless it is asked to.
#[test]
fn what_is_not_counted_stops_only_where_that_is_asked_for() {
    let now = at("2026-11-30T12:00:00Z");
    for (on_error, stops) in [(OnError::Open, false), (OnError::Closed, true)] {
        let lenient = Budget {
            on_error,
            ..budget(calls(4), GroupBy::All)
        };
        let mut account = Account::new(lenient, now);
        let group = Group::default();
        assert!(!account.stops(&group, now) && account.miss(now) && !account.miss(now));
        assert_eq!(
            (account.stops(&group, now), account.stops_any(now)),
            (stops, stops)
        );
        assert!(account.status(now).is_lower_bound);
        assert!(
            !account.stops(&group, at("2026-12-01T00:00:00Z")),
            "the next day is known"
        );

        let dollars = Budget {
            limit: Amount {
                unit: Unit::Cost,
                value: 100,
            },
            on_error,
            ..budget(calls(4), GroupBy::All)
        };
        let mut account = Account::new(dollars, now);
        let unpriced = SubjectTotals {
            unpriced_calls: 1,
            ..totals("m", 1)
        };
        account.add(&unpriced, now, now);
        assert_eq!(account.stops(&group, now), stops);
    }
}

fn budgets(list: Vec<Budget>, now: Timestamp) -> Budgets {
    let known = |host: &Host| (host.as_str() == "api.example.com").then_some(Provider::Anthropic);
    let models = Models::default();
    // As it is before a call of it is recorded.
    let _ = models.admit(&Model::from_wire("opus"));
    Budgets::new(list, Arc::new(models), known, now)
}

/// A call that has just ended.
fn call_of(model: &str, program: &str) -> Call {
    let mut call = sample_call();
    call.model = Model::from_wire(model);
    call.counted_as = None;
    call.provider = Provider::Anthropic;
    call.caller.program = ProgramName::new(program);
    call.timing.started_at = std::time::SystemTime::now();
    call.timing.duration = Duration::ZERO;
    call
}

#[test]
fn only_the_connections_in_question_are_stopped() {
    let now = Timestamp::now();
    let named = |name: &str, by| Budget {
        name: name.parse().expect("a name"),
        ..budget(calls(1), by)
    };
    let (known, learned, other) = ("api.example.com", "gateway.example.org", "www.example.net");
    let host = |name: &str| Host::parse(name).expect("a host");
    let caller = |program: &str| Caller {
        program: ProgramName::new(program),
        ..Caller::default()
    };
    let made = [MadeCall {
        model: Model::from_wire("opus"),
        subagent: None,
    }];
    for (by, stopped_program, needs_call) in [
        (GroupBy::All, None, false),
        (GroupBy::Provider, None, false),
        (GroupBy::Program, Some("claude"), false),
        (GroupBy::Model, None, true),
    ] {
        let budgets = budgets(vec![named("b", by)], now);
        let stop = |at: &str, program: &str, calls: &[MadeCall]| {
            let caller = caller(program);
            let scope = ConnectionScope {
                provider: None,
                caller: &caller,
                calls,
            };
            budgets.stop_for(&host(at), &scope, now).is_some()
        };
        assert!(!stop(known, "claude", &made), "{by}: nothing is spent");
        let mut call = call_of("opus", "claude");
        call.host = host(learned);
        budgets.receive(&Fact::CallStarted((&call).into()));
        budgets.receive(&Fact::Call(Box::new(call)));
        for at in [known, learned] {
            assert!(stop(at, "claude", &made), "{by} {at}");
            assert_eq!(stop(at, "claude", &[]), !needs_call, "{by} {at}");
            assert_eq!(
                stop(at, "codex", &made),
                stopped_program.is_none(),
                "{by} {at}"
            );
        }
        assert!(
            !stop(other, "claude", &made),
            "{by}: it is no host of models"
        );
        assert_eq!(budgets.needs_program(now), stopped_program.is_some());
        assert_eq!(states(budgets.take_notices().waiting).len(), 1);
        assert!(budgets.take_notices().waiting.is_empty());
    }
}

#[test]
fn a_session_has_its_own_window() {
    let now = Timestamp::now();
    let session = Budget {
        window: Window::Session,
        ..budget(calls(1), GroupBy::All)
    };
    let budgets = budgets(vec![session], now);
    let mut call = call_of("opus", "claude");
    call.caller.session = SessionId::parse("one");
    budgets.receive(&Fact::Call(Box::new(call)));
    budgets.receive(&Fact::Call(Box::new(call_of("opus", "claude"))));
    let stops = |session: Option<&str>| {
        let caller = Caller {
            session: session.and_then(SessionId::parse),
            ..Caller::default()
        };
        let scope = ConnectionScope {
            provider: None,
            caller: &caller,
            calls: &[],
        };
        let host = Host::parse("api.example.com").expect("a host");
        budgets.stop_for(&host, &scope, now)
    };
    assert!(stops(Some("one")).is_some_and(|stop| stop.reopens_at.is_none()));
    assert!(stops(Some("two")).is_none() && stops(None).is_none());
    let [status] = &budgets.statuses(now)[..] else {
        panic!("one budget")
    };
    assert_eq!(status.groups.len(), 1, "calls of no session do not count");
}

#[test]
fn lifting_needs_the_name() {
    let now = Timestamp::now();
    let budgets = budgets(vec![budget(calls(1), GroupBy::All)], now);
    let mut changes = budgets.changes();
    changes.mark_unchanged();
    let error = budgets.lift("weekly", now, now).expect_err("no such one");
    assert_eq!(error.to_string(), "there is no budget \"weekly\"");
    assert!(!changes.has_changed().expect("it lives"));
    let later = now.checked_add(1.hour()).expect("a time");
    budgets.lift("daily", later, now).expect("it exists");
    assert!(changes.has_changed().expect("it lives"));
}

/// A call in the days around the first of December.
fn any_call() -> impl Strategy<Value = Call> {
    let times = 0i64..40 * 86_400_000;
    (
        times,
        0usize..3,
        0usize..3,
        0usize..3,
        0u64..5_000,
        any::<Option<u32>>(),
    )
        .prop_map(|(ms, model, program, session, tokens, cost)| {
            let mut call = sample_call();
            call.number = 0;
            call.timing.started_at =
                UNIX_EPOCH + Duration::from_millis(BEGIN_MS + ms.unsigned_abs());
            call.timing.duration = Duration::from_micros(tokens * 997);
            call.model = Model::from_wire(["opus", "haiku", "sonnet"][model]);
            call.counted_as = None;
            call.caller.program =
                [None, ProgramName::new("claude"), ProgramName::new("codex")][program].clone();
            call.caller.session =
                [None, SessionId::parse("a"), SessionId::parse("b")][session].clone();
            call.ids.subagent = [None, Id::from_wire("x"), Id::from_wire("y")][session].clone();
            call.usage[crate::record::TokenKind::Input] = Some(tokens);
            call.cost = cost.map(|cost| Cost::from_nano_usd(cost.into()));
            call
        })
}

/// The first of November 2026.
const BEGIN_MS: u64 = 1_793_491_200_000;

proptest! {
    #![proptest_config(crate::seeds::usual())]

    /// Sums are those of the ledger, whether they have grown with the calls or were read from its
    /// file.
    #[test]
    fn sums_are_those_of_the_ledger(
        list in prop::collection::vec(any_call(), 1..40), split in 0usize..40, unit in 0usize..3, window in 0usize..4, by in 0usize..7,
        zone in 0usize..3, now_ms in 0u64..40 * 86_400_000
    ) {
        use crate::record::Label as _;
        let zone_name = ["UTC", "Europe/Berlin", "Asia/Kathmandu"][zone];
        let now = Timestamp::from_millisecond(i64::try_from(BEGIN_MS + now_ms).expect("a time")).expect("a time");
        let unit = Unit::ALL[unit];
        let budget = Budget {
            limit: Amount { unit, value: 1 },
            window: Window::ALL[window],
            by: GroupBy::ALL[by],
            zone: TimeZone::get(zone_name).expect("a zone"),
            ..budget(calls(1), GroupBy::All)
        };
        let models = Arc::new(Models::default());
        let ledger = Ledger::with_limits(Timestamp::UNIX_EPOCH, Arc::clone(&models), Limits::default());
        let mut account = Account::new(budget.clone(), now);
        let since = budget.window.start(now, &budget.zone);
        let until = budget.window.end(now, &budget.zone).expect("an end");
        // The clock has not passed them yet.
        let list: Vec<_> = list.into_iter().filter(|call| ended_at(call) < until).collect();
        let split = split.min(list.len());
        for (number, call) in (1..).zip(&list) {
            let mut call = call.clone();
            call.number = number;
            ledger.receive(&Fact::Call(Box::new(call.clone())));
            if number as usize > split {
                account.add(&SubjectTotals::from(&call), ended_at(&call), now);
            }
            if number as usize == split {
                // As after a restart: what the ledger has of the window by then.
                let spent_by = match budget.by {
                    GroupBy::All | GroupBy::Model | GroupBy::Provider => SpentBy::Model,
                    GroupBy::Program | GroupBy::Repository => SpentBy::Caller,
                    GroupBy::Session | GroupBy::Subagent => SpentBy::Session,
                };
                let spent = ledger.spent(since, spent_by).expect("an answer").expect("everything is kept");
                for totals in spent {
                    account.add(&totals, now, now);
                }
            }
        }
        let query = UsageQuery {
            by: By::Operation,
            since: Some(since),
            until: Some(until),
            ..UsageQuery::default()
        };
        let usage = ledger.query(&query, Timestamp::MAX).expect("an answer").totals;
        let expected = match unit {
            Unit::Calls => usage.calls,
            Unit::Cost => usage.cost.map_or(0, Cost::nano_usd),
            Unit::Tokens => usage.total_tokens,
        };
        let status = account.status(now);
        let total: u64 = match budget.by {
            GroupBy::All => status.used.value,
            _ => status.groups.iter().map(|group| group.used.value).sum(),
        };
        if matches!(budget.by, GroupBy::All | GroupBy::Model | GroupBy::Provider) {
            prop_assert_eq!(total, expected);
        } else {
            // Calls of nobody that is known count in no group.
            let counts = |call: &&Call| budget.name_of(&Subject::from(*call)).is_some();
            let in_window = |call: &&Call| since <= ended_at(call);
            let counted = list.iter().filter(counts).filter(in_window).map(SubjectTotals::from);
            let expected: u64 = counted.map(|totals| Amount::of(unit, &totals).value).sum();
            prop_assert_eq!(total, expected);
        }
    }
}
