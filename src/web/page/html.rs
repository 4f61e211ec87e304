//! Figures, texts and tables as HTML. Names come from the traffic: nothing of them becomes markup.

use std::fmt::{self, Display, Write as _};

use crate::ledger::Usage;
use crate::record::Cost;

/// Begins a table with its title, and a link to the same figures as JSON. What is in the columns is
/// markup.
pub(super) fn begin_table(
    html: &mut String,
    title: &str,
    json: Option<&str>,
    columns: &[&str],
) -> fmt::Result {
    heading(html, title, json)?;
    // Can be scrolled by the keyboard where the page is narrow.
    write!(
        html,
        "<div class=\"scroll\" role=\"region\" aria-label=\"{title}\" tabindex=\"0\"><table><thead><tr>"
    )?;
    columns
        .iter()
        .try_for_each(|column| write!(html, "<th scope=\"col\">{column}</th>"))?;
    html.write_str("</tr></thead><tbody>")
}

pub(super) const END_TABLE: &str = "</tbody></table></div>";

/// Writes the title of a section, with a link to the same figures as JSON.
pub(super) fn heading(html: &mut String, title: &str, json: Option<&str>) -> fmt::Result {
    write!(html, "<h2>{title}")?;
    if let Some(path) = json {
        write!(
            html,
            " <a class=\"json\" href=\"{path}\" aria-label=\"{title} as JSON\">JSON</a>"
        )?;
    }
    html.write_str("</h2>")
}

/// The cells of a row behind its name. Each carries the title of its column, which a narrow page
/// shows beside it.
pub(super) struct Cells<'a> {
    html: &'a mut String,
    titles: std::slice::Iter<'a, &'a str>,
}

impl<'a> Cells<'a> {
    /// `columns` are those of the table; the first one is that of the row's name.
    pub(super) fn new(html: &'a mut String, columns: &'a [&'a str]) -> Self {
        Self {
            html,
            titles: columns.get(1..).unwrap_or_default().iter(),
        }
    }

    /// `content` is markup.
    pub(super) fn cell(&mut self, class: &str, content: impl Display) -> fmt::Result {
        let title = self.titles.next().copied().unwrap_or_default();
        write!(self.html, "<td data-label=\"{title}\"")?;
        if !class.is_empty() {
            write!(self.html, " class=\"{class}\"")?;
        }
        write!(self.html, ">{content}</td>")
    }

    /// A number, which is paler where it is zero.
    pub(super) fn figure(&mut self, figure: u64) -> fmt::Result {
        let class = if figure == 0 { "zero" } else { "" };
        self.cell(class, grouped(figure))
    }

    /// A figure that may be unknown.
    pub(super) fn known(&mut self, figure: Option<impl Display>) -> fmt::Result {
        match figure {
            Some(figure) => self.cell("", figure),
            None => self.cell("zero", UNKNOWN),
        }
    }
}

/// Stands for an unknown figure.
pub(super) const UNKNOWN: &str = "–";

/// Digits in groups of three, separated by a narrow space.
pub(super) fn grouped(figure: u64) -> String {
    let digits = figure.to_string();
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of things, with their name in the singular or plural.
pub(super) fn counted(count: u64, one: &str, more: &str) -> String {
    let name = if count == 1 { one } else { more };
    format!("{} {name}", grouped(count))
}

/// A share in whole percent, rounded down: nothing but all is 100 %, and what is more than nothing
/// and less than one percent says so.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let hundredfold = u128::from(part) * 100;
    match hundredfold / u128::from(whole.max(1)) {
        0 if part > 0 => "< 1 %".to_owned(),
        percent => format!("{percent} %"),
    }
}

/// A number of seconds, with as many digits as matter.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.1} s")
    }
}

pub(super) fn dollars(cost: Cost) -> String {
    format!("${:.4}", cost.usd())
}

/// In dollars; a lower bound where some calls have no price.
pub(super) fn cost(usage: &Usage) -> String {
    let at_least = if usage.unpriced_calls > 0 { "≥ " } else { "" };
    usage.cost.map_or_else(
        || UNKNOWN.to_owned(),
        |cost| format!("{at_least}{}", dollars(cost)),
    )
}

/// Text that cannot become markup.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_markup_is_not() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            escaped("<b a='1'>&\""),
            "&lt;b a=&#39;1&#39;&gt;&amp;&quot;"
        );
    }

    #[test]
    fn a_share_is_never_rounded_up() {
        let shares = [
            (0, 0),
            (0, 5),
            (1, 1000),
            (1, 100),
            (999, 1000),
            (5, 5),
            (u64::MAX, u64::MAX),
        ];
        let expected = ["0 %", "0 %", "< 1 %", "1 %", "99 %", "100 %", "100 %"];
        assert_eq!(shares.map(|(part, whole)| percent(part, whole)), expected);
    }

    #[test]
    fn a_cell_carries_the_title_of_its_column() {
        let mut html = String::new();
        let mut cells = Cells::new(&mut html, &["Model", "Calls", "Cost"]);
        cells.figure(0).expect("text");
        cells.known(None::<&str>).expect("text");
        assert_eq!(
            html,
            "<td data-label=\"Calls\" class=\"zero\">0</td><td data-label=\"Cost\" class=\"zero\">–</td>"
        );
    }
}
