//! Exchanges that look like calls of models and that no dialect reads: their tokens are missing from
//! every figure of the page.

use std::fmt::{self, Write as _};

use super::View;
use super::html::{escaped, grouped};

pub(super) fn list(html: &mut String, view: &View<'_>) -> fmt::Result {
    let unread = &view.live.unread;
    if unread.is_empty() {
        return Ok(());
    }
    html.push_str(
        "<h2>Not read</h2><p class=\"note\">These look like calls of models, in no format that is read. \
         Their tokens are missing from all figures.</p><ul class=\"events\">",
    );
    for (kind, count) in unread {
        write!(
            html,
            "<li><span class=\"dot bad\">{}{}</span> {} ({})</li>",
            escaped(kind.host.as_str()),
            escaped(&kind.path.to_string()),
            grouped(*count),
            kind.reason
        )?;
    }
    html.push_str("</ul>");
    Ok(())
}
