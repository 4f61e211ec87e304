//! The terminal's view of `/v1/usage`: tokens by model, redrawn in place.
//!
//! What enters: the answer of `/v1/usage`. What leaves: aligned text. Never fetches anything and never asks the terminal.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Deserialize;

/// The part of `/v1/usage` that the table shows. Fields that are missing count as zero, unknown ones are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All models together.
    pub totals: Row,
    /// By model name.
    pub models: BTreeMap<String, Row>,
}

/// The figures of one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are those of /v1/usage, documented there")]
pub struct Row {
    pub calls: u64,
    pub input_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    pub tool_input_tokens: u64,
    pub output_tokens: u64,
    pub thinking_tokens: u64,
    pub total_tokens: u64,
}

/// The place on the terminal where a table is drawn again and again.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    in_place: bool,
    drawn: usize,
}

impl<W: Write> Screen<W> {
    /// Draws over the previous table when `in_place` (a terminal), below it otherwise (a file, a pipe).
    pub fn new(out: W, in_place: bool) -> Self {
        Self { out, in_place, drawn: 0 }
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

/// The table, at most `width` columns wide, largest model first; every line ends with a newline.
///
/// Where the width does not suffice, columns go (cache writes first), then the ends of model names.
#[must_use]
pub fn render(usage: &Usage, width: usize) -> String {
    let mut models: Vec<(&str, Row)> = usage.models.iter().map(|(name, row)| (printable(name), *row)).collect();
    models.sort_by_key(|(_, row)| Reverse(row.total_tokens));
    models.push(("total", usage.totals));

    let columns = fit(columns(&models), width);
    let figures: usize = columns.iter().map(Column::width).sum();
    let longest = models.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let name_width = longest.max(MODEL.len()).min(width.saturating_sub(figures)).max(MODEL.len());

    let rule = format!("{}\n", "─".repeat(name_width + figures));
    let mut text = line(&columns, MODEL, name_width, |column| column.head.to_owned());
    text.push_str(&rule);
    for (index, (name, _)) in models.iter().enumerate() {
        if index + 1 == models.len() {
            text.push_str(&rule);
        }
        text.push_str(&line(&columns, name, name_width, |column| column.cells.get(index).cloned().unwrap_or_default()));
    }
    text
}

/// One kind of figure, written out for every line.
struct Column {
    head: &'static str,
    /// The column with the highest number is the first to go; 0 stays.
    expendable: u8,
    cells: Vec<String>,
}

impl Column {
    /// With the gap before it.
    fn width(&self) -> usize {
        self.cells.iter().map(String::len).max().unwrap_or_default().max(self.head.len()) + GAP
    }
}

fn columns(rows: &[(&str, Row)]) -> Vec<Column> {
    let column = |head, expendable, figure: fn(&Row) -> u64| Column {
        head,
        expendable,
        cells: rows.iter().map(|(_, row)| grouped(figure(row))).collect(),
    };
    vec![
        column("CALLS", 2, |row| row.calls),
        column("INPUT", 1, |row| row.input_tokens),
        column("CACHE READ", 3, |row| row.cache_read_tokens),
        column("CACHE WRITE", 6, |row| row.cache_write_tokens),
        column("TOOLS", 5, |row| row.tool_input_tokens),
        column("OUTPUT", 1, |row| row.output_tokens),
        column("THINKING", 4, |row| row.thinking_tokens),
        column("TOTAL", 0, |row| row.total_tokens),
    ]
}

fn fit(mut columns: Vec<Column>, width: usize) -> Vec<Column> {
    for expendable in (1..=6).rev() {
        let needed = MODEL_WIDTH + columns.iter().map(Column::width).sum::<usize>();
        if needed > width {
            columns.retain(|column| column.expendable != expendable);
        }
    }
    columns
}

fn line(columns: &[Column], name: &str, name_width: usize, cell: impl Fn(&Column) -> String) -> String {
    let mut text = format!("{:<name_width$}", shortened(name, name_width));
    for column in columns {
        text.push_str(&format!("{:>1$}", cell(column), column.width()));
    }
    text.push('\n');
    text
}

/// A name from the wire must not steer the terminal.
fn printable(name: &str) -> &str {
    if name.chars().any(char::is_control) { "(unprintable)" } else { name }
}

fn shortened(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    name.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const MODEL: &str = "MODEL";
/// Columns go rather than that names get shorter than this.
const MODEL_WIDTH: usize = 24;
/// Spaces between two columns.
const GAP: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Usage {
        let text = r#"{"since": "2026-11-01T00:00:00Z",
            "totals": {"calls": 1204, "input_tokens": 1001991, "cache_read_tokens": 15942, "tool_input_tokens": 7,
                       "output_tokens": 2056, "thinking_tokens": 999, "total_tokens": 1020995, "cost_usd": null},
            "models": {
                "gemini-3.1-pro-low": {"provider": "gcp.gen_ai", "calls": 4, "input_tokens": 1991, "tool_input_tokens": 7,
                                       "output_tokens": 56, "thinking_tokens": 999, "total_tokens": 3053},
                "claude-opus-4-6-thinking": {"calls": 1200, "input_tokens": 1000000, "cache_read_tokens": 15942,
                                             "output_tokens": 2000, "total_tokens": 1017942}}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        let expected = "\
MODEL                     CALLS      INPUT  CACHE READ  CACHE WRITE  TOOLS  OUTPUT  THINKING      TOTAL
───────────────────────────────────────────────────────────────────────────────────────────────────────
claude-opus-4-6-thinking  1,200  1,000,000      15,942            0      0   2,000         0  1,017,942
gemini-3.1-pro-low            4      1,991           0            0      7      56       999      3,053
───────────────────────────────────────────────────────────────────────────────────────────────────────
total                     1,204  1,001,991      15,942            0      7   2,056       999  1,020,995
";
        assert_eq!(render(&usage(), 120), expected);
    }

    #[test]
    fn a_narrow_terminal_loses_columns_then_letters() {
        let expected = "\
MODEL                         INPUT  OUTPUT      TOTAL
──────────────────────────────────────────────────────
claude-opus-4-6-thinking  1,000,000   2,000  1,017,942
gemini-3.1-pro-low            1,991      56      3,053
──────────────────────────────────────────────────────
total                     1,001,991   2,056  1,020,995
";
        assert_eq!(render(&usage(), 56), expected);
        for line in render(&usage(), 20).lines() {
            assert_eq!(line.chars().count(), 20, "{line}");
        }
    }

    #[test]
    fn no_width_leaves_no_line_broken() {
        for width in 0..130 {
            let text = render(&usage(), width);
            let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
            assert!(widths.iter().all(|other| *other == widths[0]) && widths[0] <= width.max(16), "{width}: {text}");
        }
    }

    #[test]
    fn a_model_name_cannot_steer_the_terminal() {
        let usage = Usage { models: [("\x1b[2J".to_owned(), Row::default())].into(), totals: Row::default() };
        assert!(!render(&usage, 80).contains('\x1b'));
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

    #[test]
    fn digits_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")];
        cases.iter().for_each(|(number, text)| assert_eq!(grouped(*number), *text));
    }
}
