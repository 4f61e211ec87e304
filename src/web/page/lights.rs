//! Indicators of the TLS sessions of both sides: whether handshakes succeed.

use std::fmt::{self, Write as _};

use super::{View, grouped};
use crate::record::Side;
use crate::web::live::Handshakes;

pub(super) fn lights(html: &mut String, view: &View) -> fmt::Result {
    html.push_str("<h2>TLS</h2><ul class=\"lights\">");
    for (side, handshakes) in &view.live.handshakes {
        light(html, *side, handshakes)?;
    }
    html.push_str("</ul>");
    Ok(())
}

fn light(html: &mut String, side: Side, handshakes: &Handshakes) -> fmt::Result {
    let peer = match side {
        Side::Agent => "with the agent",
        Side::Upstream => "with providers",
    };
    let class = match (&handshakes.failing, handshakes.made) {
        (Some(_), _) => "bad",
        (None, 0) => "none",
        (None, _) => "good",
    };
    write!(
        html,
        "<li><span class=\"dot {class}\">{peer}</span> {} handshakes",
        grouped(handshakes.made)
    )?;
    if handshakes.failed > 0 {
        write!(html, ", {} failed", grouped(handshakes.failed))?;
    }
    if let Some(reason) = handshakes.failing {
        write!(html, ", the last one: {reason}")?;
    }
    html.push_str("</li>");
    Ok(())
}
