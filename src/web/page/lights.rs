//! Indicators of the TLS sessions of both sides: whether handshakes succeed.

use std::fmt::{self, Write as _};

use super::View;
use super::html::{counted, grouped};
use crate::record::Side;
use crate::web::live::Handshakes;

pub(super) fn lights(html: &mut String, view: &View<'_>) -> fmt::Result {
    html.push_str("<span class=\"lights\">");
    for (side, handshakes) in &view.live.handshakes {
        light(html, *side, handshakes)?;
    }
    html.write_str("</span>")
}

fn light(html: &mut String, side: Side, handshakes: &Handshakes) -> fmt::Result {
    let peer = match side {
        Side::Agent => "TLS with the agent",
        Side::Upstream => "TLS with providers",
    };
    let class = match (&handshakes.failing, handshakes.made) {
        (Some(_), _) => "bad",
        (None, 0) => "none",
        (None, _) => "good",
    };
    write!(
        html,
        "<span><span class=\"dot {class}\">{peer}</span>: {}",
        counted(handshakes.made, "handshake", "handshakes")
    )?;
    if handshakes.failed > 0 {
        write!(html, ", {} failed", grouped(handshakes.failed))?;
    }
    if let Some(reason) = handshakes.failing {
        write!(html, ", the last one: {reason}")?;
    }
    html.write_str("</span>")
}
