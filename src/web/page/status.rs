//! Whether Gravimeter is ready, what it waits for, and since when it counts.

use std::fmt::{self, Write as _};

use super::{View, lights};

pub(super) fn status(html: &mut String, view: &View<'_>) -> fmt::Result {
    let (class, word) = if view.readiness.ready {
        ("good", "ready")
    } else {
        ("bad", "not ready")
    };
    write!(
        html,
        "<span class=\"now\"><span class=\"pill {class}\">{word}</span>"
    )?;
    for (condition, holds) in &view.readiness.conditions {
        let (class, word) = if *holds {
            ("good", "")
        } else {
            ("bad", ": no")
        };
        write!(
            html,
            "<span class=\"dot {class}\">{}{word}</span>",
            format!("{condition:?}").to_lowercase()
        )?;
    }
    html.push_str("</span>");
    lights::lights(html, view)?;
    let (since, reader) = (view.report.since, view.reader);
    write!(
        html,
        "<span class=\"since\">counted since {}</span>",
        reader.element(since, &reader.minute(since))
    )
}
