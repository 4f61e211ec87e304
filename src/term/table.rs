//! The terminal's view of `/v1/usage`: tokens by model or by another group, redrawn in place.
//!
//! What enters: the answer of `/v1/usage`. What leaves: aligned text. Never fetches anything and
//! never asks the terminal.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Deserialize;

use super::figures::{dollars, grouped};
use super::grid::{Column, Grid};
use crate::record::TokenKind;

/// The part of `/v1/usage` that the table shows. Fields that are missing count as zero, unknown
/// ones are ignored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All groups together.
    pub totals: Row,
    /// By model name, or by the name of another group.
    pub models: BTreeMap<String, Row>,
}

/// The figures of one line.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "the names are those of /v1/usage, documented there"
)]
pub struct Row {
    pub model: Option<String>,
    pub calls: u64,
    pub total_tokens: u64,
    pub cost_usd: Option<f64>,
    pub unpriced_calls: u64,
    /// All other fields of the group: tokens by kind, and what no table shows.
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

impl Row {
    /// The tokens under a public name ([`TokenKind::public_names`]).
    #[must_use]
    pub fn tokens(&self, name: &str) -> u64 {
        let count = self.others.get(&format!("{name}_tokens"));
        count.and_then(serde_json::Value::as_u64).unwrap_or(0)
    }

    /// The cost in dollars; `≥` before it where some calls have no price, `-` where none has one.
    #[must_use]
    pub fn cost(&self) -> String {
        let at_least = if self.unpriced_calls > 0 { "≥ " } else { "" };
        self.cost_usd.map_or_else(
            || "-".to_owned(),
            |usd| format!("{at_least}{}", dollars(usd)),
        )
    }
}

/// The place on the terminal where a table is drawn again and again.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    in_place: bool,
    drawn: usize,
}

impl<W: Write> Screen<W> {
    /// Draws over the previous table when `in_place` (a terminal), below it otherwise (a file, a
    /// pipe).
    pub fn new(out: W, in_place: bool) -> Self {
        Self {
            out,
            in_place,
            drawn: 0,
        }
    }

    /// Writes a text that stays, below whatever was shown.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.drawn = 0;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Shows a text in the place of the previous one.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn show(&mut self, text: &str) -> io::Result<()> {
        if self.in_place && self.drawn > 0 {
            // ECMA-48: cursor up by so many lines, then erase to the end of the screen.
            write!(self.out, "\x1b[{}A\x1b[J", self.drawn)?;
        }
        self.out.write_all(text.as_bytes())?;
        self.drawn = text.lines().count();
        self.out.flush()
    }
}

/// The table by model, at most `width` columns wide, largest model first; every line ends with a
/// newline.
///
/// Where the width does not suffice, columns go (cache writes first), then the ends of model names.
#[must_use]
pub fn render(usage: &Usage, width: usize) -> String {
    render_by("MODEL", usage, width)
}

/// The same for groups of another kind, which `head` names. Where groups name a model, it stands
/// beside them.
#[must_use]
pub fn render_by(head: &'static str, usage: &Usage, width: usize) -> String {
    let mut rows: Vec<(&str, &Row)> = usage
        .models
        .iter()
        .map(|(name, row)| (name.as_str(), row))
        .collect();
    rows.sort_by_key(|(_, row)| Reverse(row.total_tokens));
    grid(head, rows, &usage.totals).render(width)
}

/// The same for days or hours, in the order of time; with `bars` each has one for its tokens.
#[must_use]
pub fn render_periods(head: &'static str, usage: &Usage, width: usize, bars: bool) -> String {
    let mut rows: Vec<(&str, &Row)> = usage
        .models
        .iter()
        .map(|(name, row)| (name.as_str(), row))
        .collect();
    // An hour that a clock shows twice has two offsets, whose order is not that of letters.
    rows.sort_by_cached_key(|(name, _)| (name.parse::<Timestamp>().ok(), *name));
    let tokens: Vec<u64> = rows.iter().map(|(_, row)| row.total_tokens).collect();
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    let names = without_zones(&names);
    let rows = names
        .iter()
        .zip(rows)
        .map(|(name, (_, row))| (name.as_str(), row));
    let grid = grid(head, rows.collect(), &usage.totals);
    if bars {
        grid.with_bars(tokens).render(width)
    } else {
        grid.render(width)
    }
}

/// Periods as a person calls them: hours without the offset of their zone (`2026-11-23 20:00`), but
/// for one that a clock shows twice. All others are called what they are.
fn without_zones(names: &[&str]) -> Vec<String> {
    let hours: Vec<Option<String>> = names.iter().map(|name| local_hour(name)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for hour in hours.iter().flatten() {
        *counts.entry(hour).or_default() += 1;
    }
    let is_one = |hour: &&String| counts.get(hour.as_str()) == Some(&1);
    let called = |(name, hour): (&&str, &Option<String>)| {
        hour.as_ref()
            .filter(is_one)
            .map_or((*name).to_owned(), Clone::clone)
    };
    names.iter().zip(&hours).map(called).collect()
}

/// `2026-11-23 20:00` of `2026-11-23T20:00:00+01:00`.
fn local_hour(name: &str) -> Option<String> {
    let (date, time) = name.split_once('T')?;
    Some(format!("{date} {}", time.get(..HOUR_AND_MINUTE)?))
}

/// The length of `20:00`.
const HOUR_AND_MINUTE: usize = 5;

fn grid<'a>(head: &'static str, mut rows: Vec<(&'a str, &'a Row)>, totals: &'a Row) -> Grid {
    rows.push(("total", totals));
    let mut grid = Grid::new(head, rows.iter().map(|(name, _)| (*name).to_owned())).with_total();
    if rows.iter().any(|(_, row)| row.model.is_some()) {
        let models = rows
            .iter()
            .map(|(_, row)| row.model.clone().unwrap_or_default());
        // Groups that name a model are known by their ids.
        grid = grid.with_ids().column(Column::words("MODEL", 2, models));
    }
    let figures = |head, expendable, figure: fn(&Row) -> u64| {
        Column::figures(
            head,
            expendable,
            rows.iter().map(|(_, row)| grouped(figure(row))),
        )
    };
    grid = grid.column(figures("CALLS", 0, |row| row.calls));
    for name in TokenKind::public_names() {
        let (head, expendable) = head_of(name);
        let tokens = rows.iter().map(|(_, row)| grouped(row.tokens(name)));
        grid = grid.column(Column::figures(head, expendable, tokens));
    }
    grid.column(figures("TOTAL", 0, |row| row.total_tokens))
        .column(Column::figures(
            "COST",
            0,
            rows.iter().map(|(_, row)| row.cost()),
        ))
}

/// The head of the column of a kind of tokens, and how early the column goes where the width does
/// not suffice.
fn head_of(name: &'static str) -> (&'static str, u8) {
    match name {
        "input" => ("INPUT", 1),
        "cache_read" => ("CACHE READ", 3),
        "cache_write" => ("CACHE WRITE", 6),
        "tool_input" => ("TOOLS", 5),
        "output" => ("OUTPUT", 1),
        "thinking" => ("THINKING", 4),
        other => (other, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Usage {
        let text = r#"{"since": "2026-11-01T00:00:00Z",
            "totals": {"calls": 1204, "input_tokens": 1001991, "cache_read_tokens": 15942, "tool_input_tokens": 7,
                       "output_tokens": 2056, "thinking_tokens": 999, "total_tokens": 1020995, "cost_usd": 5.0581, "unpriced_calls": 1},
            "models": {
                "gemini-3.1-pro-low": {"provider": "gcp.gen_ai", "calls": 4, "input_tokens": 1991, "tool_input_tokens": 7,
                                       "output_tokens": 56, "thinking_tokens": 999, "total_tokens": 3053, "unpriced_calls": 1},
                "claude-opus-4-6-thinking": {"calls": 1200, "input_tokens": 1000000, "cache_read_tokens": 15942,
                                             "output_tokens": 2000, "total_tokens": 1017942,
                                             "cost_usd": 5.057971}}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        let expected = "\
MODEL                     CALLS      INPUT  CACHE READ  CACHE WRITE  TOOLS  OUTPUT  THINKING      TOTAL       COST
──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
claude-opus-4-6-thinking  1,200  1,000,000      15,942            0      0   2,000         0  1,017,942    $5.0580
gemini-3.1-pro-low            4      1,991           0            0      7      56       999      3,053          -
──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
total                     1,204  1,001,991      15,942            0      7   2,056       999  1,020,995  ≥ $5.0581
";
        assert_eq!(render(&usage(), 120), expected);
    }

    #[test]
    fn a_narrow_terminal_loses_columns_then_letters() {
        let expected = "\
MODEL                     CALLS      TOTAL       COST
─────────────────────────────────────────────────────
claude-opus-4-6-thinking  1,200  1,017,942    $5.0580
gemini-3.1-pro-low            4      3,053          -
─────────────────────────────────────────────────────
total                     1,204  1,020,995  ≥ $5.0581
";
        assert_eq!(render(&usage(), 56), expected);
        let eighty = "MODEL                     CALLS      INPUT  OUTPUT      TOTAL       COST\n";
        assert!(render(&usage(), 80).starts_with(eighty));
        for line in render(&usage(), 40).lines() {
            assert_eq!(line.chars().count(), 40, "{line}");
        }
    }

    #[test]
    fn no_width_leaves_no_line_broken() {
        for width in 0..130 {
            let text = render(&usage(), width);
            let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
            assert!(
                widths.iter().all(|other| *other == widths[0]) && widths[0] <= width.max(34),
                "{width}: {text}"
            );
        }
    }

    #[test]
    fn groups_of_another_kind_have_their_head_and_their_model() {
        let text = r#"{"totals": {"calls": 3, "total_tokens": 9}, "models": {
            "179c837c-8253-4105-902c-d37299fc89d0": {"model": "gemini-3.1-pro-low", "calls": 2, "total_tokens": 8},
            "unknown": {"calls": 1, "total_tokens": 1}}}"#;
        let expected = "\
CASCADE          MODEL               CALLS  INPUT  OUTPUT  TOTAL  COST
──────────────────────────────────────────────────────────────────────
179c837c-8253-…  gemini-3.1-pro-low      2      0       0      8     -
unknown                                  1      0       0      1     -
──────────────────────────────────────────────────────────────────────
total                                    3      0       0      9     -
";
        assert_eq!(
            render_by("CASCADE", &serde_json::from_str(text).unwrap(), 70),
            expected
        );
    }

    #[test]
    fn hours_stand_in_the_order_of_time_with_a_bar_on_a_terminal() {
        let text = r#"{"totals": {"calls": 3, "total_tokens": 9}, "models": {
            "2026-10-25T02:00:00+01:00": {"calls": 1, "total_tokens": 1},
            "2026-10-25T02:00:00+02:00": {"calls": 2, "total_tokens": 8},
            "2026-10-25T03:00:00+01:00": {}}}"#;
        let usage = serde_json::from_str(text).unwrap();
        let expected = "\
HOUR                       CALLS  INPUT  OUTPUT  TOTAL  COST          
──────────────────────────────────────────────────────────────────────
2026-10-25T02:00:00+02:00      2      0       0      8     -  ████████
2026-10-25T02:00:00+01:00      1      0       0      1     -  █       
2026-10-25 03:00               0      0       0      0     -          
──────────────────────────────────────────────────────────────────────
total                          3      0       0      9     -          
";
        assert_eq!(render_periods("HOUR", &usage, 70, true), expected);
        let narrow = render_periods("HOUR", &usage, 60, true);
        assert!(
            narrow.contains("COST") && !narrow.contains('█'),
            "bars go first: {narrow}"
        );
        let plain = render_periods("HOUR", &usage, 120, false);
        assert!(!plain.contains('█') && plain.contains("COST"), "{plain}");
    }

    #[test]
    fn a_terminal_is_redrawn_and_a_pipe_is_not() {
        let shown = |in_place| {
            let mut screen = Screen::new(Vec::new(), in_place);
            screen.show("a\nb\n").unwrap();
            screen.show("c\n").unwrap();
            String::from_utf8(screen.out).unwrap()
        };
        assert_eq!(shown(true), "a\nb\n\x1b[2A\x1b[Jc\n");
        assert_eq!(shown(false), "a\nb\nc\n");
    }
}
