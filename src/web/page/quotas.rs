//! What is left of each quota, as a bar. The one with the least left, which limits the agent first,
//! stands first.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::html::{escaped, heading};
use super::{Reader, View};
use crate::ledger::QuotaReading;
use crate::record::{Label as _, Model, QuotaWindow};

/// Writes nothing while no quota is known.
pub(super) fn bars(html: &mut String, view: &View<'_>) -> fmt::Result {
    if view.quotas.is_empty() {
        return Ok(());
    }
    let mut quotas: Vec<&QuotaReading> = view.quotas.iter().collect();
    quotas.sort_by(|a, b| {
        let outdated = is_outdated(a, view.now).cmp(&is_outdated(b, view.now));
        outdated.then(a.remaining_ratio.total_cmp(&b.remaining_ratio))
    });
    heading(html, "Quota left", Some("/v1/quotas"))?;
    html.push_str("<div class=\"scroll\" role=\"region\" aria-label=\"Quota left\" tabindex=\"0\"><ul class=\"bars\">");
    for quota in quotas {
        bar(html, quota, view)?;
    }
    html.write_str("</ul></div>")
}

/// Whether the quota was filled again since it was read: what was left then says nothing of now.
fn is_outdated(quota: &QuotaReading, now: Timestamp) -> bool {
    quota
        .resets_at
        .is_some_and(|at| at <= now && at > quota.read_at)
}

fn bar(html: &mut String, quota: &QuotaReading, view: &View<'_>) -> fmt::Result {
    let is_of_account = quota.model == Model::all();
    let named = match &quota.display_name {
        Some(name) => name.as_str(),
        None if is_of_account => quota.provider.as_str(),
        None => quota.model.as_str(),
    };
    let (named, key) = (escaped(named), view.marks.get(&quota.model).key());
    let key = if is_of_account { "" } else { &key };
    write!(html, "<li><b>{key}{named}</b> <small>")?;
    if quota.window != QuotaWindow::Unspecified {
        write!(html, "{} window", quota.window)?;
    }
    html.push_str("</small>");
    if is_outdated(quota, view.now) {
        return write!(
            html,
            "<span class=\"outdated\">full again since {}, not read since then</span></li>",
            quota
                .resets_at
                .map(|at| view.reader.time(at, view.now))
                .unwrap_or_default()
        );
    }
    let left = left(quota.remaining_ratio);
    // The lower two ranges of a meter have colours of their own.
    write!(
        html,
        "<meter min=\"0\" low=\"{EMPTY}\" high=\"{LOW}\" optimum=\"100\" max=\"100\" value=\"{:.0}\" \
         aria-label=\"Quota left of {named}\">{left}</meter>",
        (quota.remaining_ratio * 100.0).floor()
    )?;
    write!(
        html,
        "<span class=\"{}\">{left}",
        class(quota.remaining_ratio)
    )?;
    if let Some(at) = quota.resets_at.filter(|at| *at > view.now) {
        write!(
            html,
            " <small>{}</small>",
            full_again(view.reader, view.now, at)
        )?;
    }
    html.write_str("</span></li>")
}

/// A quota of which less is left is shown in red; below [`LOW`], in orange. In percent.
const EMPTY: u8 = 5;
const LOW: u8 = 20;

fn class(ratio: f64) -> &'static str {
    if ratio < f64::from(EMPTY) / 100.0 {
        "bad"
    } else if ratio < f64::from(LOW) / 100.0 {
        "low"
    } else {
        ""
    }
}

/// In whole percent, rounded down; what is nearly nothing is not nothing.
fn left(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent <= 0.0 {
        "0 %, used up".to_owned()
    } else if percent < 1.0 {
        "< 1 %".to_owned()
    } else {
        format!("{} %", percent.floor() as u64)
    }
}

fn full_again(reader: &Reader, now: Timestamp, at: Timestamp) -> String {
    let when = reader.element(
        at,
        &format!("{} {}", reader.short(at, now), reader.zone_at(at)),
    );
    format!("full again in {}, {when}", until(now, at))
}

/// A duration in days, hours and minutes; nothing finer matters for a quota.
fn until(now: Timestamp, at: Timestamp) -> String {
    let minutes = at.duration_since(now).as_secs().max(0) / 60;
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_until_a_quota_is_full_is_short() {
        let now = Timestamp::UNIX_EPOCH;
        let shown = |seconds| until(now, Timestamp::from_second(seconds).expect("a time"));
        let expected = ["0 min", "59 min", "1 h 1 min", "6 d 23 h"];
        assert_eq!([-5, 3599, 3661, 7 * 86_400 - 1].map(shown), expected);
    }

    #[test]
    fn what_is_left_is_never_rounded_up_or_away() {
        let ratios = [0.0, 0.004, 0.049, 0.05, 0.199, 0.2, 0.999, 1.0];
        let expected = [
            ("0 %, used up", "bad"),
            ("< 1 %", "bad"),
            ("4 %", "bad"),
            ("5 %", "low"),
            ("19 %", "low"),
            ("20 %", ""),
            ("99 %", ""),
            ("100 %", ""),
        ];
        let shown = ratios.map(|ratio| (left(ratio), class(ratio)));
        assert_eq!(
            shown.each_ref().map(|(left, class)| (&**left, *class)),
            expected
        );
    }
}
