//! A frame of the screen: what the state says, laid out for the size of the terminal.

mod header;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::keys::HINTS;
use super::state::{Mode, State, View};
use super::table::{Table, Tone, details, time_of_day};
use super::theme::Theme;

/// Draws the state as it is at `now`.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme, now: Timestamp) {
    let theme = if state.silence.is_some() {
        theme.stale()
    } else {
        theme
    };
    let area = frame.area();
    frame.buffer_mut().set_style(area, theme.plain());
    let parts = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ]);
    let [exporter, spent, limits, _, views, body, keys] = parts.areas(area);
    header::exporter(frame, exporter, state, theme, now);
    header::spent(frame, spent, state, theme);
    header::limits(frame, limits, state, theme, now);
    draw_views(frame, views, state, theme);
    match state.mode {
        Mode::Details => draw_details(frame, body, state, theme, now),
        Mode::Help => draw_help(frame, body, theme),
        Mode::Browse | Mode::Filter => draw_table(frame, body, state, theme, now),
    }
    draw_keys(frame, keys, state, theme);
}

/// The views with their sizes, the order and the filter.
fn draw_views(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let mut spans = Vec::new();
    for view in state.views() {
        let count = match view {
            View::Calls => state.answers.live.calls.len(),
            View::Conversations => state.answers.conversations.len(),
            View::Sessions => state.answers.sessions.as_ref().map_or(0, Vec::len),
        };
        let style = if view == state.view {
            theme.selected()
        } else {
            theme.plain()
        };
        spans.push(Span::styled(format!(" {} {count} ", view.title()), style));
        spans.push(Span::raw(" "));
    }
    spans.push(Span::styled(
        format!(" {}", state.order.title()),
        theme.plain(),
    ));
    if !state.filter.is_empty() {
        spans.push(Span::styled(
            format!(", with \"{}\"", state.filter),
            theme.plain(),
        ));
    }
    frame.render_widget(Line::from(spans), area);
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme, now: Timestamp) {
    let table = Table::new(state, usize::from(area.width), now);
    if table.rows.is_empty() {
        frame.render_widget(Line::styled(nothing(state), theme.plain()), area);
        return;
    }
    let [head, rows] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::styled(table.head, theme.title()), head);
    let (selected, height) = (state.selected(), usize::from(rows.height));
    let first = (selected + 1).saturating_sub(height);
    let shown = table.rows.into_iter().enumerate().skip(first).take(height);
    let lines: Vec<Line<'_>> = shown
        .map(|(place, (text, tone))| {
            let style = match tone {
                Tone::Active => theme.good(),
                Tone::Failed => theme.bad(),
                Tone::Usual => theme.plain(),
            };
            let style = if place == selected {
                style.patch(theme.selected())
            } else {
                style
            };
            Line::styled(text, style)
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), rows);
}

/// Why there is no row.
fn nothing(state: &State) -> &'static str {
    match (state.filter.is_empty(), state.view) {
        (false, _) => "Nothing matches the filter: esc clears it.",
        (true, View::Calls) => "No call has ended since the exporter was started.",
        (true, View::Conversations) => "No conversation is known yet.",
        (true, View::Sessions) => "No program was run by `gravimeter run` yet.",
    }
}

fn draw_details(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme, now: Timestamp) {
    let fields = details(state, now);
    if fields.is_empty() {
        frame.render_widget(Line::styled(nothing(state), theme.plain()), area);
        return;
    }
    let line = |(name, value): (&'static str, String)| {
        let name = Span::styled(format!("{name:<14}"), theme.title());
        Line::from(vec![name, Span::styled(value, theme.plain())])
    };
    let lines: Vec<_> = fields.into_iter().map(line).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let line = |(key, does): (&'static str, &'static str)| {
        let key = Span::styled(format!("{key:<14}"), theme.title());
        Line::from(vec![key, Span::styled(does, theme.plain())])
    };
    let lines: Vec<_> = HELP.into_iter().map(line).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let line = match state.mode {
        Mode::Filter => Line::styled(
            format!("filter: {}▏  enter: keep it, esc: clear it", state.filter),
            theme.title(),
        ),
        Mode::Details => Line::styled("enter back  ↑↓ move", theme.plain()),
        Mode::Help => Line::styled("any key: back", theme.plain()),
        Mode::Browse => {
            let hint = |(key, does): (&'static str, &'static str)| {
                let key = Span::styled(key, theme.title());
                [key, Span::styled(format!(" {does}  "), theme.plain())]
            };
            Line::from(HINTS.into_iter().flat_map(hint).collect::<Vec<_>>())
        }
    };
    frame.render_widget(line, area);
}

const HELP: [(&str, &str); 13] = [
    ("q, Ctrl-C", "quit"),
    (
        "tab, 1 to 3",
        "conversations, sessions, the calls that ended last",
    ),
    ("s", "next order: newest, cost, tokens, calls or duration"),
    ("/", "show only rows that contain a text"),
    ("esc", "clear the filter; without one, quit"),
    ("enter", "all figures of a row"),
    ("p, space", "keep the screen as it is, until pressed again"),
    ("↑ ↓, j k", "next or previous row"),
    ("page up, down", "ten rows further"),
    ("home, end", "first or last row"),
    ("Ctrl-Z", "stop; fg goes on"),
    ("≥", "a lower bound: not all of it is known"),
    (
        "cost",
        "in US dollars, by the provider's word or at list prices",
    ),
];
