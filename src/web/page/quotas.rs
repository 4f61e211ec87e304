//! What is left of each quota, as a bar.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::{View, escaped, second};
use crate::ledger::QuotaReading;
use crate::record::{Label as _, Model, QuotaWindow};

/// Writes nothing while no quota is known.
pub(super) fn bars(html: &mut String, view: &View) -> fmt::Result {
    if view.quotas.is_empty() {
        return Ok(());
    }
    html.push_str("<h2>Quota left</h2><ul class=\"bars\">");
    for quota in &view.quotas {
        bar(html, quota, view.now)?;
    }
    html.push_str("</ul>");
    Ok(())
}

fn bar(html: &mut String, quota: &QuotaReading, now: Timestamp) -> fmt::Result {
    let is_of_account = quota.model == Model::all();
    let named = match &quota.display_name {
        Some(name) => name.as_str(),
        None if is_of_account => quota.provider.as_str(),
        None => quota.model.as_str(),
    };
    let percent = (quota.remaining_ratio * 100.0).round() as u64;
    write!(html, "<li><b>{}</b> <small>", escaped(named))?;
    if quota.window != QuotaWindow::Unspecified {
        write!(html, "{} window", quota.window)?;
    }
    html.push_str("</small>");
    // Below the low mark a meter shows itself as a warning, by its own colours.
    write!(
        html,
        "<meter min=\"0\" low=\"20\" optimum=\"100\" max=\"100\" value=\"{percent}\">{percent} %</meter>"
    )?;
    write!(html, "<span>{percent} %")?;
    if let Some(at) = quota.resets_at {
        write!(
            html,
            " <small>full again in <time datetime=\"{}\">{}</time></small>",
            second(at),
            until(now, at)
        )?;
    }
    html.push_str("</span></li>");
    Ok(())
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
        let told = |seconds| until(now, Timestamp::from_second(seconds).expect("a time"));
        let expected = ["0 min", "59 min", "1 h 1 min", "6 d 23 h"];
        assert_eq!([-5, 3599, 3661, 7 * 86_400 - 1].map(told), expected);
    }
}
