//! Failures on the agent's side are counted, logged once and retried; what is reported meanwhile is
//! not lost.

mod kit;

use std::time::Duration;

use tokio::net::TcpListener;

use super::Config;
use crate::record::{FollowFailure, RunOutcome, UpdateSource};
use kit::{Fake, Follower, Script, Way, brisk, until};

const NOW: Duration = Duration::ZERO;

fn script(change: impl FnOnce(&mut Script)) -> Script {
    let mut script = Script::default();
    change(&mut script);
    script
}

/// The agent holds a whole run while it is watched.
async fn a_run(fake: &Fake, follower: &Follower, cascade: &'static str) {
    let (started, ended) = (follower.started(), follower.ended().len());
    fake.change(|script| script.begin(cascade, NOW));
    until(|| follower.started() > started).await;
    fake.change(|script| script.end(cascade));
    until(|| follower.ended().len() > ended).await;
    assert_eq!(
        follower.outcomes().last(),
        Some(&(cascade.to_owned(), RunOutcome::Ok))
    );
}

#[test]
fn pauses_double_up_to_the_longest_one() {
    let config = Config::default();
    let pauses: Vec<_> = [1, 2, 3, 4, 40, u32::MAX]
        .map(|failures| config.pause_after(failures).as_millis())
        .into();
    assert_eq!(pauses, [1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
    let endless = Config {
        poll_interval: Duration::MAX,
        ..config
    };
    assert_eq!(endless.pause_after(8), endless.idle_interval);
}

#[tokio::test]
async fn an_agent_that_comes_later_is_followed_from_then_on() {
    let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = place.local_addr().unwrap();
    let (away, script) = (Fake::start(Script::default()).await, Script::default());
    let mut endpoint = away.endpoint("");
    drop(away);
    let follower = Follower::start(Some(endpoint.clone()));
    until(|| follower.failures(FollowFailure::Connect) >= 6).await;
    assert_eq!(follower.warnings().len(), 1, "{:?}", follower.warnings());
    drop(place);
    let fake = Fake::at(addr, script).await;
    endpoint = fake.endpoint("");
    follower.endpoints.send_replace(Some(endpoint));
    a_run(&fake, &follower, "a").await;
    follower.stop().await;
}

#[tokio::test]
async fn an_agent_that_comes_back_on_its_port_is_followed_again() {
    let fake = Fake::start(script(|script| {
        script.agent_state = Way::Missing;
        script.begin("a", NOW);
    }))
    .await;
    let (addr, endpoint) = (fake.addr, fake.endpoint(""));
    // Slow enough for its stream to be given up before the agent is.
    let (poll_interval, idle_interval) = (Duration::from_millis(300), Duration::from_millis(400));
    let follower = Follower::with(
        Config {
            poll_interval,
            idle_interval,
            ..brisk()
        },
        Some(endpoint),
    );
    until(|| follower.started() == 1 && fake.asked("RetrieveUserQuotaSummary") == 1).await;
    drop(fake);
    until(|| follower.ended().len() == 1).await;
    let fake = Fake::at(addr, Script::default()).await;
    until(|| fake.asked("RetrieveUserQuotaSummary") == 1).await;
    a_run(&fake, &follower, "a").await;
    assert_eq!(
        fake.asked("GetCascadeTrajectorySteps"),
        0,
        "old failures do not count against the new one"
    );
    assert!(
        follower.updates(UpdateSource::AgentState) > 0,
        "nor does what the old one lacked"
    );
    let expected = [
        ("a".to_owned(), RunOutcome::Lost),
        ("a".to_owned(), RunOutcome::Ok),
    ];
    assert_eq!(follower.outcomes(), expected);
    follower.stop().await;
}

#[tokio::test]
async fn an_agent_that_moves_is_followed_and_what_it_left_is_lost_once() {
    let old = Fake::start(script(|script| script.begin("a", NOW))).await;
    let new = Fake::start(script(|script| script.begin("b", NOW))).await;
    let follower = Follower::start(Some(old.endpoint("")));
    until(|| follower.started() == 1).await;
    follower.endpoints.send_replace(Some(new.endpoint("")));
    until(|| follower.started() == 2).await;
    follower.endpoints.send_replace(None);
    until(|| follower.ended().len() == 2).await;
    follower.endpoints.send_replace(Some(new.endpoint("")));
    a_run(&new, &follower, "c").await;
    new.change(|script| script.end("b"));
    until(|| follower.ended().len() == 4).await;
    let mut outcomes = follower.outcomes();
    outcomes.sort();
    let of = |cascade: &str, outcome| (cascade.to_owned(), outcome);
    let mut expected = [
        of("a", RunOutcome::Lost),
        of("b", RunOutcome::Lost),
        of("b", RunOutcome::Ok),
        of("c", RunOutcome::Ok),
    ];
    expected.sort();
    assert_eq!(outcomes, expected);
    follower.stop().await;
}

#[tokio::test]
async fn a_wrong_token_is_counted_and_the_right_one_opens() {
    let fake = Fake::start(script(|script| script.token = "right")).await;
    let follower = Follower::start(Some(fake.endpoint("wrong")));
    until(|| follower.failures(FollowFailure::BadToken) >= 6).await;
    assert_eq!(follower.warnings().len(), 1, "{:?}", follower.warnings());
    assert!(!follower.warnings()[0].contains("wrong"));
    follower
        .endpoints
        .send_replace(Some(fake.endpoint("right")));
    a_run(&fake, &follower, "a").await;
    follower.stop().await;
}

#[tokio::test]
async fn down_the_ladder_and_up_again() {
    let fake = Fake::start(script(|script| script.agent_state = Way::Missing)).await;
    let config = Config {
        retry_upward: Duration::from_millis(50),
        ..brisk()
    };
    let follower = Follower::with(config, Some(fake.endpoint("")));
    let by = |source| follower.updates(source);
    a_run(&fake, &follower, "a").await;
    assert!(by(UpdateSource::Reactive) > 0 && by(UpdateSource::AgentState) == 0);
    fake.change(|script| script.reactive = Way::Missing);
    a_run(&fake, &follower, "a").await;
    until(|| by(UpdateSource::Polling) > 0).await;
    fake.change(|script| script.agent_state = Way::Works);
    fake.change(|script| script.begin("a", NOW));
    until(|| by(UpdateSource::AgentState) > 0).await;
    fake.change(|script| script.end("a"));
    until(|| follower.ended().len() == 3).await;
    assert!(follower.failures(FollowFailure::Disabled) >= 2);
    assert_eq!(
        follower.warnings(),
        Vec::<String>::new(),
        "no news were lost"
    );
    follower.stop().await;
}

#[tokio::test]
async fn a_method_that_fails_in_the_middle_of_a_run_loses_nothing() {
    let fake = Fake::start(script(|script| script.begin("a", NOW))).await;
    let follower = Follower::start(Some(fake.endpoint("")));
    until(|| follower.updates(UpdateSource::AgentState) > 0).await;
    // The run ends before any other method has reported it.
    fake.change(|script| {
        script.agent_state = Way::Missing;
        script.end("a");
    });
    until(|| follower.updates(UpdateSource::Reactive) > 0).await;
    until(|| follower.ended().len() == 1).await;
    fake.change(|script| {
        script.reactive = Way::Missing;
        script.begin("a", NOW);
    });
    until(|| follower.updates(UpdateSource::Polling) > 0).await;
    fake.change(|script| script.end("a"));
    until(|| follower.ended().len() == 2).await;
    assert!(
        follower
            .ended()
            .iter()
            .all(|run| run.outcome == RunOutcome::Ok)
    );
    follower.stop().await;
}

#[tokio::test]
async fn a_run_that_was_over_before_the_first_look_is_found_by_any_method() {
    for reactive in [Way::Works, Way::Missing] {
        let fake = Fake::start(script(|script| {
            (script.agent_state, script.reactive) = (Way::Missing, reactive)
        }))
        .await;
        let follower = Follower::start(Some(fake.endpoint("")));
        // The second look knows what the first one has seen.
        until(|| fake.asked("GetAllCascadeTrajectories") >= 2).await;
        fake.change(|script| {
            script.begin("a", NOW);
            script.end("a");
        });
        until(|| follower.ended().len() == 1).await;
        assert_eq!(follower.outcomes(), [("a".to_owned(), RunOutcome::Ok)]);
        follower.stop().await;
    }
}

/// A stream that fails while a run goes on, and works again.
async fn breaks(change: fn(&mut Script, Way), way: Way, reason: FollowFailure) {
    let mut script = script(|script| script.begin("a", NOW));
    change(&mut script, Way::Works);
    let fake = Fake::start(script).await;
    let follower = Follower::start(Some(fake.endpoint("")));
    until(|| follower.started() == 1).await;
    fake.change(|script| {
        change(script, way);
        // Nothing is said while nothing happens.
        script.begin("a", NOW);
    });
    until(|| follower.failures(reason) > 0).await;
    fake.change(|script| {
        change(script, Way::Works);
        script.end("a");
    });
    until(|| {
        follower
            .ended()
            .iter()
            .any(|run| run.outcome == RunOutcome::Ok)
    })
    .await;
    assert!(
        follower
            .ended()
            .iter()
            .all(|run| run.outcome != RunOutcome::Lost)
    );
    assert!(follower.warnings().len() <= 1, "{:?}", follower.warnings());
    follower.stop().await;
}

fn agent_state(script: &mut Script, way: Way) {
    script.agent_state = way;
}

fn reactive(script: &mut Script, way: Way) {
    (script.agent_state, script.reactive) = (Way::Missing, way);
}

#[tokio::test]
async fn a_stream_that_is_cut_in_the_middle_of_a_frame_is_opened_again() {
    breaks(agent_state, Way::Cut, FollowFailure::Truncated).await;
    breaks(reactive, Way::Cut, FollowFailure::Truncated).await;
}

#[tokio::test]
async fn an_update_that_cannot_be_read_costs_its_stream() {
    breaks(agent_state, Way::Garbage, FollowFailure::Malformed).await;
}

#[tokio::test]
async fn a_difference_that_does_not_apply_costs_its_stream() {
    breaks(reactive, Way::Garbage, FollowFailure::Diff).await;
}

#[tokio::test]
async fn a_frame_of_64_mebibytes_passes() {
    let fake = Fake::start(Script::default()).await;
    let follower = Follower::start(Some(fake.endpoint("")));
    fake.change(|script| {
        script.ballast = 64 << 20;
        script.begin("a", NOW);
    });
    until(|| follower.started() == 1).await;
    fake.change(|script| {
        script.ballast = 0;
        script.end("a");
    });
    until(|| follower.ended().len() == 1).await;
    assert_eq!(follower.outcomes(), [("a".to_owned(), RunOutcome::Ok)]);
    assert_eq!(follower.updates(UpdateSource::Polling), 0);
    assert_eq!(follower.warnings(), Vec::<String>::new());
    follower.stop().await;
}

#[tokio::test]
async fn the_run_of_a_deleted_conversation_is_lost() {
    for polled in [false, true] {
        let way = if polled { Way::Missing } else { Way::Works };
        let fake = Fake::start(script(|script| {
            (script.agent_state, script.reactive) = (way, way);
            script.begin("a", NOW);
            script.begin("b", NOW);
        }))
        .await;
        let follower = Follower::start(Some(fake.endpoint("")));
        until(|| follower.started() == 2).await;
        fake.change(|script| _ = script.cascades.remove("a"));
        until(|| follower.ended().len() == 1).await;
        fake.change(|script| script.end("b"));
        until(|| follower.ended().len() == 2).await;
        let expected = [
            ("a".to_owned(), RunOutcome::Lost),
            ("b".to_owned(), RunOutcome::Ok),
        ];
        assert_eq!(follower.outcomes(), expected, "polled: {polled}");
        follower.stop().await;
    }
}

#[tokio::test]
async fn conversations_beyond_the_streams_are_asked_for() {
    let fake = Fake::start(Script::default()).await;
    let config = Config {
        max_streams: 1,
        ..brisk()
    };
    let follower = Follower::with(config, Some(fake.endpoint("")));
    until(|| fake.asked("GetAllCascadeTrajectories") > 0).await;
    let all = ["a", "b", "c"];
    fake.change(|script| {
        all.into_iter()
            .for_each(|cascade| script.begin(cascade, NOW))
    });
    until(|| follower.started() == all.len()).await;
    fake.change(|script| all.into_iter().for_each(|cascade| script.end(cascade)));
    until(|| follower.ended().len() == all.len()).await;
    assert!(
        follower
            .ended()
            .iter()
            .all(|run| run.outcome == RunOutcome::Ok)
    );
    assert_eq!(fake.asked("StreamAgentStateUpdates"), 1);
    assert!(
        follower.updates(UpdateSource::Polling) > 0
            && follower.updates(UpdateSource::AgentState) > 0
    );
    follower.stop().await;
}

/// 200 conversations that an agent lists only when it has been followed for a while.
fn many_old() -> impl Iterator<Item = &'static str> {
    (0..200).map(|number| &*format!("old-{number:03}").leak())
}

#[tokio::test]
async fn old_conversations_that_turn_up_later_are_history() {
    let fake = Fake::start(Script::default()).await;
    let follower = Follower::start(Some(fake.endpoint("")));
    until(|| fake.asked("GetAllCascadeTrajectories") > 0).await;
    fake.change(|script| many_old().for_each(|old| script.list_old(old, true)));
    a_run(&fake, &follower, "live").await;
    assert_eq!(
        fake.asked("StreamAgentStateUpdates"),
        1,
        "the live one has the only stream"
    );
    assert_eq!(
        (fake.asked("GetCascadeTrajectorySteps"), follower.started()),
        (0, 1)
    );
    follower.stop().await;
}

#[tokio::test]
async fn conversations_that_rest_give_their_streams_to_those_that_run() {
    let fake = Fake::start(Script::default()).await;
    let config = Config {
        max_streams: 4,
        ..brisk()
    };
    let follower = Follower::with(config, Some(fake.endpoint("")));
    until(|| fake.asked("GetAllCascadeTrajectories") > 0).await;
    fake.change(|script| many_old().for_each(|old| script.list_old(old, false)));
    until(|| {
        fake.asked("StreamAgentStateUpdates") == 4 && fake.asked("GetCascadeTrajectorySteps") == 196
    })
    .await;
    for live in ["a", "b", "c", "d", "e"] {
        let asked = fake.asked("GetCascadeTrajectorySteps");
        a_run(&fake, &follower, live).await;
        assert_eq!(
            fake.asked("GetCascadeTrajectorySteps"),
            asked,
            "{live} has a stream"
        );
    }
    assert_eq!(follower.started(), 5, "what is old began no run");
    follower.stop().await;
}

#[tokio::test]
async fn a_run_lasts_as_long_as_the_list_says_that_subagents_work() {
    let fake = Fake::start(script(|script| script.agent_state = Way::Missing)).await;
    let follower = Follower::start(Some(fake.endpoint("")));
    until(|| fake.asked("GetAllCascadeTrajectories") > 0).await;
    fake.change(|script| script.begin("a", NOW));
    until(|| follower.updates(UpdateSource::Reactive) > 0 && follower.started() == 1).await;
    fake.change(|script| {
        script.end("a");
        script.set_subagent("a", true);
    });
    // A run of another conversation that begins after the end of the first one, and ends, takes
    // longer than a pause may.
    a_run(&fake, &follower, "b").await;
    a_run(&fake, &follower, "b").await;
    assert_eq!(
        follower.outcomes().len(),
        2,
        "the first run is still under way: {:?}",
        follower.outcomes()
    );
    fake.change(|script| script.set_subagent("a", false));
    until(|| follower.ended().len() == 3).await;
    assert_eq!(
        follower.outcomes().last(),
        Some(&("a".to_owned(), RunOutcome::Ok))
    );
    follower.stop().await;
}

#[tokio::test]
async fn what_no_stream_tells_is_asked_for_at_the_short_interval() {
    let fake = Fake::start(script(|script| script.begin("a", NOW))).await;
    let config = Config {
        max_streams: 0,
        idle_interval: Duration::from_secs(3600),
        ..brisk()
    };
    let follower = Follower::with(config, Some(fake.endpoint("")));
    until(|| follower.started() == 1).await;
    fake.change(|script| script.end("a"));
    until(|| follower.ended().len() == 1).await;
    follower.stop().await;
}

#[tokio::test]
async fn an_agent_whose_clock_is_ahead_has_runs_of_a_sane_length() {
    let ahead = Duration::from_secs(3600);
    for way in [Way::Works, Way::Missing] {
        let fake = Fake::start(script(|script| {
            (script.agent_state, script.reactive) = (way, way)
        }))
        .await;
        let follower = Follower::start(Some(fake.endpoint("")));
        until(|| fake.asked("GetAllCascadeTrajectories") > 0).await;
        fake.change(|script| script.begin("a", ahead));
        until(|| follower.started() == 1).await;
        fake.change(|script| script.end("a"));
        until(|| follower.ended().len() == 1).await;
        let run = &follower.ended()[0];
        assert_eq!(run.outcome, RunOutcome::Ok);
        assert!(
            run.duration < ahead && run.started_at <= std::time::SystemTime::now(),
            "{run:?}"
        );
        follower.stop().await;
    }
}

#[tokio::test]
async fn a_conversation_whose_streams_fail_is_asked_for_and_costs_the_others_nothing() {
    let fake = Fake::start(script(|script| {
        script.cut.insert("bad");
        script.begin("bad", NOW);
        script.begin("good", NOW);
    }))
    .await;
    let follower = Follower::start(Some(fake.endpoint("")));
    until(|| follower.started() == 2 && follower.updates(UpdateSource::Polling) > 0).await;
    assert_eq!(follower.failures(FollowFailure::Truncated), 3);
    assert_eq!(
        fake.asked("StreamAgentStateUpdates"),
        4,
        "three for one, one for the other"
    );
    assert_eq!(follower.warnings().len(), 1, "{:?}", follower.warnings());
    fake.change(|script| {
        ["bad", "good"]
            .into_iter()
            .for_each(|cascade| script.end(cascade))
    });
    until(|| follower.ended().len() == 2).await;
    assert!(
        follower
            .ended()
            .iter()
            .all(|run| run.outcome == RunOutcome::Ok)
    );
    follower.stop().await;
}

#[tokio::test]
async fn a_stream_that_failed_is_tried_again_later() {
    let fake = Fake::start(script(|script| {
        script.cut.insert("a");
        script.begin("a", NOW);
    }))
    .await;
    let config = Config {
        retry_upward: Duration::from_millis(50),
        ..brisk()
    };
    let follower = Follower::with(config, Some(fake.endpoint("")));
    until(|| follower.updates(UpdateSource::Polling) > 0).await;
    fake.change(|script| script.cut.clear());
    until(|| follower.updates(UpdateSource::AgentState) > 0).await;
    fake.change(|script| script.end("a"));
    until(|| follower.ended().len() == 1).await;
    assert_eq!(follower.outcomes(), [("a".to_owned(), RunOutcome::Ok)]);
    follower.stop().await;
}

/// Before a stream has told of a change that the list has shown, it is given up for a better one.
#[tokio::test]
async fn what_a_stream_has_not_told_before_it_was_given_up_is_asked_for_again() {
    let fake = Fake::start(script(|script| {
        (script.agent_state, script.reactive) = (Way::Missing, Way::Hangs);
        script.list_old("a", false);
    }))
    .await;
    let config = Config {
        retry_upward: Duration::from_millis(200),
        ..brisk()
    };
    let follower = Follower::with(config, Some(fake.endpoint("")));
    // What is idle at the first look is history.
    until(|| fake.asked("GetAllCascadeTrajectories") > 1).await;
    fake.change(|script| {
        script.begin("a", NOW);
        script.end("a");
    });
    until(|| fake.asked("StreamCascadeReactiveUpdates") > 0).await;
    fake.change(|script| script.agent_state = Way::Works);
    until(|| follower.ended().len() == 1).await;
    assert_eq!(follower.outcomes(), [("a".to_owned(), RunOutcome::Ok)]);
    follower.stop().await;
}

#[tokio::test]
async fn news_that_could_not_be_had_are_asked_for_again() {
    let fake = Fake::start(script(|script| {
        (script.agent_state, script.reactive, script.steps) =
            (Way::Missing, Way::Missing, Way::Garbage);
    }))
    .await;
    let follower = Follower::start(Some(fake.endpoint("")));
    until(|| fake.asked("GetAllCascadeTrajectories") > 0).await;
    fake.change(|script| script.begin("a", NOW));
    until(|| follower.failures(FollowFailure::Malformed) >= 3).await;
    // It is over when it can be read at last.
    fake.change(|script| {
        script.end("a");
        script.steps = Way::Works;
    });
    until(|| follower.ended().len() == 1).await;
    assert_eq!(follower.outcomes(), [("a".to_owned(), RunOutcome::Ok)]);
    assert_eq!(follower.warnings().len(), 1, "{:?}", follower.warnings());
    follower.stop().await;
}

#[tokio::test]
async fn quotas_that_do_not_come_hold_up_nothing() {
    let fake = Fake::start(script(|script| script.quotas = Way::Hangs)).await;
    let follower = Follower::start(Some(fake.endpoint("")));
    until(|| fake.asked("GetAvailableModels") == 1).await;
    a_run(&fake, &follower, "a").await;
    assert_eq!(
        fake.asked("RetrieveUserQuotaSummary"),
        0,
        "it still waits for the names of models"
    );
    follower.stop().await;
}

#[tokio::test]
async fn it_ends_at_once_whatever_it_waits_for() {
    // Nobody to follow.
    Follower::start(None).stop().await;
    // A port that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fake = Fake::start(Script::default()).await;
    let endpoint =
        crate::cascade::client::Endpoint::new(Some(silent.local_addr().unwrap()), None, None)
            .unwrap();
    let follower = Follower::start(Some(endpoint));
    let _held = silent.accept().await.unwrap();
    follower.stop().await;
    // A method that never answers, each in its phase.
    let asked = [
        (
            "GetAllCascadeTrajectories",
            script(|script| script.list = Way::Hangs),
        ),
        (
            "RetrieveUserQuotaSummary",
            script(|script| script.quotas = Way::Missing),
        ),
        (
            "GetAvailableModels",
            script(|script| script.quotas = Way::Hangs),
        ),
        (
            "StreamAgentStateUpdates",
            script(|script| script.agent_state = Way::Hangs),
        ),
        (
            "StreamCascadeReactiveUpdates",
            script(|script| reactive(script, Way::Hangs)),
        ),
        (
            "GetCascadeTrajectorySteps",
            script(|script| {
                (script.agent_state, script.reactive, script.steps) =
                    (Way::Missing, Way::Missing, Way::Hangs)
            }),
        ),
    ];
    for (method, mut script) in asked {
        script.begin("a", NOW);
        let fake = Fake::start(script).await;
        let follower = Follower::start(Some(fake.endpoint("")));
        until(|| fake.asked(method) > 0).await;
        follower.stop().await;
    }
    // While it waits after a failure.
    let endpoint = fake.endpoint("");
    drop(fake);
    let follower = Follower::start(Some(endpoint));
    until(|| follower.failures(FollowFailure::Connect) > 0).await;
    follower.stop().await;
}
