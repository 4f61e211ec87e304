//! What the screen shows, and what keys and answers change.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Modifier;

use super::draw::draw;
use super::keys::Wish;
use super::{Answers, State, Theme};

/// What an exporter answers that has seen a conversation of 12 calls, and two calls.
pub(super) fn answers() -> Answers {
    let bodies = [
        r#"{"version": "0.1.0", "at": "2026-11-23T12:00:00Z", "ready": true, "in_flight": {"anthropic": 2},
            "window_seconds": 300,
            "output_tokens_per_second": [{"model": "a", "rates": [0, 0, 0, 0, 10.5]}, {"rates": [1, 2, 3, 4, 20]}],
            "calls": [
              {"number": 8, "ended_at": "2026-11-23T11:59:58Z", "provider": "anthropic", "operation": "chat",
               "model": "claude-opus-4-6", "outcome": "ok", "quality": "exact", "input_tokens": 120000,
               "cache_read_tokens": 110000, "output_tokens": 1500, "time_to_first_chunk_seconds": 1.25,
               "duration_seconds": 12.5, "cost_usd": 0.1234, "cascade": "179c837c-8253-4105-902c-d37299fc89d0"},
              {"number": 7, "ended_at": "2026-11-23T11:59:00Z", "provider": "openai", "operation": "chat",
               "model": "gpt-5", "outcome": "rate_limited", "quality": "unknown", "input_tokens": 0,
               "cache_read_tokens": 0, "output_tokens": 0, "duration_seconds": 0.2, "cost_usd": null}]}"#,
        r#"{"cascades": [
              {"id": "179c837c-8253-4105-902c-d37299fc89d0", "state": "running", "model": "claude-opus-4-6",
               "display_name": "Opus", "started_at": "2026-11-23T10:00:00Z",
               "last_active_at": "2026-11-23T11:59:58Z", "running_since": "2026-11-23T11:58:00Z", "runs_ended": 3,
               "last_run": {"started_at": "2026-11-23T11:00:00Z", "duration_seconds": 61.5, "outcome": "ok"},
               "usage": {"calls": 12, "input_tokens": 100, "total_tokens": 1234567, "cost_usd": 4.5, "unpriced_calls": 1}},
              {"id": "b", "state": "idle", "started_at": "2026-11-22T10:00:00Z", "last_active_at": "2026-11-22T10:30:00Z",
               "runs_ended": 0, "usage": {"calls": 2, "total_tokens": 20, "cost_usd": 0.5, "unpriced_calls": 0}}]}"#,
        r#"{"totals": {"calls": 14, "total_tokens": 1234587, "cost_usd": 5.0, "unpriced_calls": 0}}"#,
        r#"{"quotas": [
              {"provider": "anthropic", "model": "all", "window": "7d", "remaining_ratio": 0.8,
               "resets_at": "2026-11-25T08:00:00Z", "read_at": "2026-11-23T11:59:58Z"},
              {"provider": "anthropic", "model": "all", "window": "5h", "remaining_ratio": 0.07,
               "resets_at": "2026-11-23T16:00:00Z", "read_at": "2026-11-23T11:59:58Z"},
              {"provider": "openai", "model": "gpt-5", "window": "requests", "remaining_ratio": 0,
               "read_at": "2026-11-23T11:59:58Z"}]}"#,
    ];
    let sessions = r#"{"sessions": [
          {"id": "s1", "state": "running", "program": "claude", "repository": "github.com/ann/gravimeter", "branch": "main",
           "started_at": "2026-11-23T10:00:00Z", "usage": {"calls": 12, "total_tokens": 99, "cost_usd": 4.5, "unpriced_calls": 0}},
          {"id": "s2", "state": "ended", "program": "codex", "started_at": "2026-11-22T10:00:00Z",
           "ended_at": "2026-11-22T11:00:00Z", "usage": {"calls": 2, "total_tokens": 20, "cost_usd": 9.5, "unpriced_calls": 0}}]}"#;
    Answers::read(&Answers::paths(None), bodies, Some(sessions)).expect("the answers")
}

fn now() -> Timestamp {
    "2026-11-23T12:00:05Z".parse().expect("a time")
}

fn state() -> State {
    State::new("http://127.0.0.1:8741".to_owned(), TimeZone::UTC, answers())
}

fn theme() -> Theme {
    Theme::new(None)
}

fn press(state: &mut State, keys: &str) -> Wish {
    let press = |wish, key| match wish {
        Wish::Continue => state.press(KeyEvent::new(key, KeyModifiers::NONE)),
        ended => ended,
    };
    let code = |letter| match letter {
        '\n' => KeyCode::Enter,
        '\t' => KeyCode::Tab,
        '\u{1b}' => KeyCode::Esc,
        '\u{8}' => KeyCode::Backspace,
        letter => KeyCode::Char(letter),
    };
    keys.chars().map(code).fold(Wish::Continue, press)
}

/// The screen of a terminal of that size, line by line without spaces at their ends.
fn screen(state: &State, width: u16, height: u16) -> Vec<String> {
    let terminal = drawn(state, theme(), width, height);
    let buffer = terminal.backend().buffer();
    let cells: Vec<&str> = buffer
        .content
        .iter()
        .map(ratatui::buffer::Cell::symbol)
        .collect();
    cells
        .chunks(usize::from(width))
        .map(|line| line.concat().trim_end().to_owned())
        .collect()
}

fn drawn(state: &State, theme: Theme, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal
        .draw(|frame| draw(frame, state, theme, now()))
        .expect("a frame");
    terminal
}

#[test]
fn eighty_columns_have_what_matters() {
    let mut state = state();
    let shown = screen(&state, 80, 24);
    let expected = [
        "gravimeter 0.1.0  http://127.0.0.1:8741  ready                          12:00:05",
        "today $5.0000  14 calls  1,234,587 tokens  2 under way  30 tokens/s    ▁█",
        "limits anthropic 5h 7 % left, full 16:00:00  anthropic 7d 80 % left, full 2026-1",
        "",
        " Conversations 2   Sessions 2   Calls 2   newest first",
        "MODEL             STATE    ACTIVE      RUNS  CALLS     TOKENS       COST",
        "Opus              running  11:59:58       3     12  1,234,567  ≥ $4.5000",
        "no call was seen  idle     2026-11-22     0      2         20    $0.5000",
    ];
    assert_eq!(shown[..expected.len()], expected, "{shown:#?}");
    assert_eq!(
        shown[23],
        "q quit  tab view  s sort  / filter  enter details  p pause  ↑↓ move  ? help"
    );
    press(&mut state, "\t");
    let shown = screen(&state, 80, 24);
    let expected = [
        "REPOSITORY                 PROGRAM  STATE    STARTED     BRANCH  CALLS  TOKENS     COST",
        "github.com/ann/gravimeter  claude   running  10:00:00    main       12      99  $4.5000",
        "-                          codex    ended    2026-11-22  -           2      20  $9.5000",
    ];
    assert_eq!(screen(&state, 120, 24)[5..8], expected, "{shown:#?}");
    assert!(shown[5].ends_with("CALLS  TOKENS     COST"), "{shown:#?}");
    press(&mut state, "\t");
    let shown = screen(&state, 80, 24);
    let expected = [
        " Conversations 2   Sessions 2   Calls 2   newest first",
        "MODEL            ENDED     OUTCOME        TOKENS  FIRST CHUNK    TIME     COST",
        "claude-opus-4-6  11:59:58  ok            121,500        1.2 s    12 s  $0.1234",
        "gpt-5            11:59:00  rate_limited        -            -  200 ms        -",
    ];
    assert_eq!(shown[4..8], expected, "{shown:#?}");
}

#[test]
fn no_size_breaks_the_screen() {
    for keys in ["", "2", "3", "\n", "2\n", "3\n", "?", "/x"] {
        let mut state = state();
        press(&mut state, keys);
        for (width, height) in [(1, 1), (10, 3), (40, 8), (79, 23), (200, 60)] {
            screen(&state, width, height);
        }
    }
}

#[test]
fn keys_sort_filter_and_move() {
    let mut state = state();
    let first = |state: &State| {
        screen(state, 80, 24)[6]
            .split_whitespace()
            .next()
            .map(str::to_owned)
    };
    assert_eq!(first(&state).as_deref(), Some("Opus"));
    press(&mut state, "/NO CALL\n");
    assert_eq!(
        first(&state).as_deref(),
        Some("no"),
        "the filter has no case"
    );
    assert!(screen(&state, 80, 24)[4].ends_with("newest first, with \"NO CALL\""));
    press(&mut state, "/\u{8}\u{8}\u{8}\u{8}\u{8}ne\n");
    assert!(screen(&state, 80, 24)[5].starts_with("Nothing matches the filter"));
    assert_eq!(
        press(&mut state, "\u{1b}"),
        Wish::Continue,
        "it clears the filter"
    );
    assert_eq!(first(&state).as_deref(), Some("Opus"));
    state.answers.conversations[0].model = None;
    press(&mut state, "/opus\n");
    assert_eq!(
        first(&state).as_deref(),
        Some("Opus"),
        "nor has what it lets through"
    );
    press(&mut state, "\u{1b}");

    press(&mut state, "3sss");
    assert!(screen(&state, 80, 24)[4].ends_with("longest first"));
    assert_eq!(first(&state).as_deref(), Some("claude-opus-4-6"));
    press(&mut state, "1");
    assert!(
        screen(&state, 80, 24)[4].ends_with("newest first"),
        "conversations have no such order"
    );

    press(&mut state, "j");
    let reversed = |state: &State| {
        let terminal = drawn(state, theme(), 80, 24);
        let buffer = terminal.backend().buffer();
        let is_reversed = |row: &u16| buffer[(0, *row)].modifier.contains(Modifier::REVERSED);
        (6..23).find(is_reversed)
    };
    assert_eq!(reversed(&state), Some(7));
    press(&mut state, "jjj");
    assert_eq!(reversed(&state), Some(7), "there are no more rows");
    press(&mut state, "\n");
    let details = screen(&state, 80, 24);
    assert!(
        details.contains(&"id            b".to_owned()),
        "{details:#?}"
    );
    assert!(
        details.contains(&"cost          $0.5000".to_owned()),
        "{details:#?}"
    );
    press(&mut state, "\u{1b}g");
    assert_eq!(reversed(&state), Some(6));
}

/// The chosen row stays the chosen one when others come before it.
#[test]
fn a_choice_outlives_new_answers() {
    let mut state = state();
    press(&mut state, "j\n");
    let mut newer = answers();
    let mut another = newer.conversations[0].clone();
    another.id = "another".to_owned();
    newer.conversations.push(another);
    state.take(Ok(newer), now());
    assert!(screen(&state, 80, 24).contains(&"id            b".to_owned()));
}

#[test]
fn rows_beyond_the_screen_are_reached() {
    let mut state = state();
    let mut many = answers();
    many.conversations = (0..100)
        .map(|number| super::answers::Conversation {
            id: format!("id-{number}"),
            display_name: Some(format!("model-{number:02}")),
            ..many.conversations[0].clone()
        })
        .collect();
    state.take(Ok(many), now());
    assert!(!screen(&state, 80, 24).concat().contains("model-99"));
    press(&mut state, "G");
    let shown = screen(&state, 80, 24);
    assert!(shown[22].starts_with("model-99"), "{shown:#?}");
}

#[test]
fn a_silent_exporter_greys_everything_and_says_since_when() {
    let mut state = state();
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    state.take(
        Err("nothing listens there".to_owned()),
        at("2026-11-23T11:00:00Z"),
    );
    state.take(
        Err("nothing listens there".to_owned()),
        at("2026-11-23T11:59:00Z"),
    );
    let shown = screen(&state, 80, 24);
    assert_eq!(
        shown[0],
        "no answer since 11:00:00: nothing listens there                         12:00:05"
    );
    let terminal = drawn(&state, theme(), 80, 24);
    let buffer = terminal.backend().buffer();
    let is_grey =
        |row: u16| (0..80).all(|column| buffer[(column, row)].modifier.contains(Modifier::DIM));
    assert!((1..24).all(is_grey), "{buffer:?}");
    state.take(Ok(answers()), now());
    assert!(screen(&state, 80, 24)[0].contains("ready"));
}

#[test]
fn a_pause_keeps_the_screen_as_it_is() {
    let mut state = state();
    press(&mut state, "p");
    state.take(Ok(Answers::default()), now());
    assert!(screen(&state, 80, 24)[0].starts_with("PAUSED  gravimeter 0.1.0"));
    assert!(screen(&state, 80, 24).concat().contains("Opus"));
    press(&mut state, "p");
    state.take(Ok(Answers::default()), now());
    let shown = screen(&state, 80, 24);
    assert_eq!(shown[2], "limits none was told by a provider yet");
    assert_eq!(shown[5], "No conversation is known yet.");
}

#[test]
fn keys_end_it() {
    for keys in ["q", "\u{1b}", "\t\u{1b}", "\n\u{1b}q", "/q\u{1b}q", "?qq"] {
        assert_eq!(press(&mut state(), keys), Wish::Quit, "{keys:?}");
    }
    for keys in ["/q", "\nq", "?q"] {
        assert_eq!(press(&mut state(), keys), Wish::Continue, "{keys:?}");
    }
    let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
    let mut writing = state();
    press(&mut writing, "/");
    assert_eq!(writing.press(control('c')), Wish::Quit);
    assert_eq!(writing.press(control('z')), Wish::Suspend);
}

#[test]
fn without_colour_the_screen_has_none() {
    let mut state = state();
    press(&mut state, "3");
    let has_colour = |theme| {
        let terminal = drawn(&state, theme, 80, 24);
        let cells = &terminal.backend().buffer().content;
        cells
            .iter()
            .any(|cell| cell.fg != ratatui::style::Color::Reset)
    };
    assert!(has_colour(theme()));
    assert!(!has_colour(Theme::new(Some("1".as_ref()))));
}

#[test]
fn what_comes_from_the_traffic_cannot_steer_the_terminal() {
    let mut hostile = answers();
    hostile.conversations[0].display_name = Some("\u{1b}[2J".to_owned());
    let mut state = state();
    state.take(Ok(hostile), now());
    for keys in ["", "\n"] {
        press(&mut state, keys);
        assert!(!screen(&state, 80, 24).concat().contains('\u{1b}'));
    }
}

/// An exporter of an earlier version has none.
#[test]
fn sessions_are_shown_where_there_are_any() {
    let mut state = state();
    press(&mut state, "2");
    let mut without = answers();
    without.sessions = None;
    state.take(Ok(without), now());
    let shown = screen(&state, 80, 24);
    assert_eq!(shown[4], " Conversations 2   Calls 2   newest first");
    press(&mut state, "\t");
    assert!(screen(&state, 80, 24)[5].contains("OUTCOME"));
    press(&mut state, "2\n");
    assert!(screen(&state, 80, 24).contains(&"model         claude-opus-4-6".to_owned()));
}
