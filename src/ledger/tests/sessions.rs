//! Sessions, and who makes calls: kept, listed and summed up.

use std::time::Duration;

use super::file::{Stage, close, settle, started};
use super::kit::{at, ended, id, now, numbered, of_cascade, take};
use crate::ledger::file::retention::{Retention, part};
use crate::ledger::{
    By, Ledger, SessionPage, SessionState, SessionsQuery, UsageQuery, UsageReport, query_file,
    session_file, sessions_file,
};
use crate::record::{
    BranchName, Call, CallStarted, Caller, Fact, ProgramName, Repository, RepositoryName, Session,
    SessionEnded, SessionId,
};

fn session(name: &str, second: u64, repository: Option<Repository>) -> Session {
    Session {
        id: SessionId::parse(name).unwrap(),
        program: ProgramName::new("claude").unwrap(),
        repository,
        started_at: at(second),
    }
}

fn repository(folder: &str, remote: Option<&str>, branch: &str) -> Repository {
    Repository {
        folder: RepositoryName::of_folder(folder).unwrap(),
        remote: remote.and_then(RepositoryName::of_remote),
        branch: BranchName::new(branch),
    }
}

fn began(session: &Session) -> Fact {
    Fact::SessionStarted(Box::new(session.clone()))
}

fn is_over(session: &Session, second: u64) -> Fact {
    Fact::SessionEnded(SessionEnded {
        id: session.id.clone(),
        ended_at: at(second),
    })
}

fn by_caller(caller: Caller, call: Call) -> Fact {
    ended(Call { caller, ..call })
}

fn page(ledger: &Ledger, limit: usize) -> SessionPage {
    let query = SessionsQuery {
        limit,
        cursor: None,
    };
    ledger.sessions(&query).unwrap()
}

/// Each session as id, state and calls.
fn listed(page: &SessionPage) -> Vec<String> {
    let sessions = page.sessions.iter();
    let listed = sessions.map(|it| format!("{} {} {}", it.id, it.state, it.usage.calls));
    listed.collect()
}

fn report(ledger: &Ledger, by: By) -> UsageReport {
    let query = UsageQuery {
        by,
        ..UsageQuery::default()
    };
    ledger.query(&query, now()).unwrap()
}

/// The groups of a report as key and calls, in the order of keys.
fn groups(report: &UsageReport) -> Vec<String> {
    let all = [
        &report.branches,
        &report.programs,
        &report.repositories,
        &report.sessions,
    ];
    let groups = all.into_iter().flatten().flatten();
    let groups = groups.map(|(key, group)| format!("{key} {}", group.usage.calls));
    groups.collect()
}

#[test]
fn sessions_are_listed_with_their_calls_and_outlive_the_process() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let one = session("one", 100, Some(repository("name", None, "main")));
    let two = session("two", 200, None);
    let caller = Caller::of_session(&one);
    take(
        &ledger,
        [
            began(&one),
            began(&two),
            by_caller(caller.clone(), of_cascade("c", numbered(1))),
            by_caller(caller.clone(), of_cascade("d", numbered(2))),
            ended(numbered(3)),
            is_over(&one, 150),
        ],
    );
    assert_eq!(listed(&page(&ledger, 10)), ["two running 0", "one ended 2"]);
    let details = ledger.session(&one.id).unwrap().expect("kept");
    assert_eq!(details.cascades, [id("d"), id("c")], "the last one first");
    assert_eq!(details.by_model.len(), 1);
    let programs: Vec<_> = details.programs.iter().map(ProgramName::as_str).collect();
    assert_eq!(programs, ["claude"]);
    let shown = &details.session;
    assert_eq!(shown.folder, RepositoryName::of_folder("name"));
    assert_eq!(shown.repository, shown.folder, "it has no remote");
    assert_eq!(shown.usage.total_tokens, 126);
    let missing = SessionId::parse("three").unwrap();
    assert_eq!(ledger.session(&missing).unwrap(), None);
    close(&ledger);
    drop(ledger);

    // The session that had not ended was lost with its process, unless it goes on under this one.
    let path = stage.path();
    let all = SessionsQuery {
        limit: 10,
        cursor: None,
    };
    let archived = sessions_file(&path, &all).unwrap();
    assert_eq!(listed(&archived), ["two lost 0", "one ended 2"]);
    let archived = session_file(&path, &one.id).unwrap().expect("kept");
    assert_eq!(archived.session.usage.calls, 2);
    let (ledger, _) = stage.start();
    assert_eq!(listed(&page(&ledger, 10)), ["two lost 0", "one ended 2"]);
    take(&ledger, [began(&two)]);
    assert_eq!(page(&ledger, 10).sessions[0].state, SessionState::Running);
    close(&ledger);
}

#[test]
fn pages_of_sessions_follow_each_other() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    // Several begin at the same time.
    let names = ["a", "b", "c", "d", "e"];
    let begins = names.iter().enumerate();
    take(
        &ledger,
        begins.map(|(place, name)| began(&session(name, 100 + place as u64 / 3, None))),
    );
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let query = SessionsQuery { limit: 2, cursor };
        let page = ledger.sessions(&query).unwrap();
        seen.extend(page.sessions.iter().map(|it| it.id.to_string()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"]);
    assert_eq!(page(&ledger, 5).next, None, "nothing follows a full page");
    let csv = String::from_utf8(page(&ledger, 10).to_csv().unwrap()).unwrap();
    assert_eq!(csv.lines().count(), 6);
    let head = "session,state,program,repository,folder,branch,started_at,ended_at,calls,";
    assert!(csv.starts_with(head), "{csv}");
}

#[test]
fn calls_are_summed_up_by_who_makes_them() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let ours = repository("name", Some("git@example.com:owner/name"), "main");
    let one = session("one", 1, Some(ours.clone()));
    let side = Repository {
        branch: BranchName::new("side"),
        ..ours.clone()
    };
    let two = session("two", 2, Some(side));
    let curl = Caller {
        program: ProgramName::new("curl"),
        ..Caller::of_session(&two)
    };
    let followed = Caller {
        program: ProgramName::new("unknown"),
        ..Caller::default()
    };
    take(
        &ledger,
        [
            began(&one),
            began(&two),
            by_caller(Caller::of_session(&one), numbered(1)),
            by_caller(Caller::of_session(&one), numbered(2)),
            by_caller(curl, numbered(3)),
            by_caller(followed, numbered(4)),
            ended(numbered(5)),
        ],
    );
    let expected = [
        (By::Session, &["one 2", "two 1", "unknown 2"][..]),
        (
            By::Program,
            &["claude 2", "curl 1", "program/unknown 1", "unknown 1"],
        ),
        (By::Repository, &["example.com/owner/name 3", "unknown 2"]),
        (
            By::Branch,
            &[
                "example.com/owner/name main 2",
                "example.com/owner/name side 1",
                "unknown 2",
            ],
        ),
    ];
    let check = |ledger: &Ledger| {
        for (by, groups_of) in expected {
            let report = report(ledger, by);
            assert_eq!(groups(&report), groups_of, "{by}");
            assert_eq!(report.totals.calls, 5);
            let listed: u64 = report
                .groups
                .iter()
                .flatten()
                .map(|it| it.usage.calls)
                .sum();
            assert_eq!(listed, 5, "{by}");
        }
    };
    check(&ledger);
    let csv = String::from_utf8(report(&ledger, By::Session).to_csv(By::Session).unwrap()).unwrap();
    let lines: Vec<_> = csv.lines().collect();
    assert!(lines[0].starts_with("session,program,repository,branch,model,display_name,calls,"));
    // Of a session, its own program stands there, whichever has called.
    assert!(
        csv.contains("\ntwo,claude,example.com/owner/name,side,m,,1,"),
        "{csv}"
    );
    assert!(csv.contains("\nunknown,,,,m,,2,"), "{csv}");
    close(&ledger);
    drop(ledger);
    let (ledger, _) = stage.start();
    check(&ledger);
    // A part of a quarter of an hour is counted by its calls.
    let query = UsageQuery {
        by: By::Program,
        until: Some("1970-01-01T00:00:05Z".parse().unwrap()),
        ..UsageQuery::default()
    };
    let part = ledger.query(&query, now()).unwrap();
    assert_eq!(groups(&part), ["claude 2", "curl 1"]);
    close(&ledger);
    let archived = query_file(&stage.path(), &query, now()).unwrap();
    assert_eq!(groups(&archived), groups(&part));
}

#[test]
fn a_call_that_a_kill_cuts_off_stays_with_its_caller() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let one = session("one", 1, Some(repository("name", None, "main")));
    let Fact::CallStarted(started) = started(1, 5) else {
        panic!("a call that begins");
    };
    let started = CallStarted {
        caller: Caller::of_session(&one),
        ..started
    };
    take(&ledger, [began(&one), Fact::CallStarted(started)]);
    settle(&ledger);
    drop(ledger);
    let (ledger, _) = stage.start();
    assert_eq!(listed(&page(&ledger, 10)), ["one lost 1"]);
    assert_eq!(groups(&report(&ledger, By::Repository)), ["name 1"]);
}

#[test]
fn sums_by_repository_stay_when_calls_and_sessions_go() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let one = session("one", 1, Some(repository("name", None, "main")));
    let running = session("running", 2, None);
    take(
        &ledger,
        [
            began(&one),
            by_caller(Caller::of_session(&one), numbered(1)),
            is_over(&one, 10),
        ],
    );
    close(&ledger);
    drop(ledger);
    let mut connection = rusqlite::Connection::open(stage.path()).unwrap();
    let retention = Retention {
        keep_calls: Duration::from_secs(3600),
        max_size: u64::MAX,
    };
    while part(&mut connection, retention, now()).unwrap() {}
    drop(connection);
    let (ledger, _) = stage.start();
    take(&ledger, [began(&running)]);
    assert_eq!(listed(&page(&ledger, 10)), ["running running 0"]);
    assert_eq!(groups(&report(&ledger, By::Repository)), ["name 1"]);
    assert_eq!(groups(&report(&ledger, By::Session)), ["unknown 1"]);
}
