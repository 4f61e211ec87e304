//! The lines above the table: the exporter, what today has cost, how fast models generate, and what is
//! left of the limits.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Sparkline;

use super::super::state::State;
use super::super::theme::Theme;
use super::time_of_day;
use crate::term::figures::grouped;
use crate::term::limits::Limit;

/// Where the exporter is and whether it answers; the clock at the right.
pub(super) fn exporter(
    frame: &mut Frame<'_>,
    area: Rect,
    state: &State,
    theme: Theme,
    now: Timestamp,
) {
    let live = &state.answers.live;
    let clock = time_of_day(now, now, &state.zone);
    let parts = [
        Constraint::Min(0),
        Constraint::Length(clock.len() as u16 + 1),
    ];
    let [left, right] = Layout::horizontal(parts).areas(area);
    let mut spans = vec![
        Span::styled(format!("gravimeter {}", live.version), theme.title()),
        Span::styled(format!("  {}  ", state.base), theme.plain()),
    ];
    if let Some(silence) = &state.silence {
        let since = time_of_day(silence.since, now, &state.zone);
        spans = vec![Span::styled(
            format!("no answer since {since}: {}", silence.why),
            theme.alert(),
        )];
    } else if live.ready {
        spans.push(Span::styled("ready", theme.good()));
    } else {
        spans.push(Span::styled("not ready", theme.bad()));
    }
    if state.is_paused {
        spans.insert(0, Span::styled("PAUSED", theme.selected()));
        spans.insert(1, Span::raw("  "));
    }
    frame.render_widget(Line::from(spans), left);
    frame.render_widget(Line::styled(clock, theme.plain()).right_aligned(), right);
}

/// What today has cost, the calls under way, and how fast models generate.
pub(super) fn spent(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let (today, live) = (&state.answers.today, &state.answers.live);
    let under_way = live.in_flight.values().sum();
    let text = format!(
        "today {}  {} calls  {} tokens  {} under way  {:.0} tokens/s ",
        today.cost(),
        grouped(today.calls),
        grouped(today.total_tokens),
        grouped(under_way),
        live.rate_of_last_minute(),
    );
    let width = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let [left, right] =
        Layout::horizontal([Constraint::Length(width), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::styled(text, theme.title()), left);
    let rates = squeezed(&live.rates(), usize::from(right.width));
    frame.render_widget(Sparkline::default().style(theme.plain()).data(rates), right);
}

/// The rates in so many parts, each as fast as its fastest slot.
fn squeezed(rates: &[f64], parts: usize) -> Vec<u64> {
    let size = rates.len().div_ceil(parts.max(1)).max(1);
    let fastest = |slots: &[f64]| slots.iter().copied().fold(0.0, f64::max).ceil() as u64;
    rates.chunks(size).map(fastest).collect()
}

/// What is left of each limit of a plan, the least first.
pub(super) fn limits(
    frame: &mut Frame<'_>,
    area: Rect,
    state: &State,
    theme: Theme,
    now: Timestamp,
) {
    let limits = state.answers.limits.of_plans(now);
    let mut spans = vec![Span::styled("limits ", theme.title())];
    if limits.is_empty() {
        spans.push(Span::styled(
            "none was told by a provider yet",
            theme.plain(),
        ));
    }
    for limit in limits {
        let style = match limit.remaining_ratio {
            ratio if ratio <= SHORT => theme.bad(),
            ratio if ratio <= LOW => theme.warning(),
            _ => theme.plain(),
        };
        spans.push(Span::styled(shown(limit, state, now), style));
        spans.push(Span::raw("  "));
    }
    frame.render_widget(Line::from(spans), area);
}

fn shown(limit: &Limit, state: &State, now: Timestamp) -> String {
    let reset = limit.resets_at.map_or_else(String::new, |at| {
        format!(", full {}", time_of_day(at, now, &state.zone))
    });
    let window = limit.window().map(|window| format!(" {window}"));
    format!(
        "{}{} {} left{reset}",
        limit.name(),
        window.unwrap_or_default(),
        limit.left()
    )
}

/// Less than this is red: it will not last for a long call.
const SHORT: f64 = 0.1;

/// Less than this is yellow.
const LOW: f64 = 0.25;
