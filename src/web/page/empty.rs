//! What the page says while no call has been seen: how to make it see one.

use std::fmt::{self, Write as _};

use super::html::escaped;
use crate::launch::ConnectionGuide;

/// Writes what to copy into a terminal.
pub(super) fn invitation(html: &mut String, guide: Option<&ConnectionGuide>) -> fmt::Result {
    html.push_str(
        "<div class=\"empty\"><p>No call has been seen yet. This page fills itself as soon as one ends.</p>\
         <h2>Observe a program</h2><code>gravimeter run -- PROGRAM</code>",
    );
    if let Some(guide) = guide {
        html.push_str("<h2>Or lead it here by its environment</h2><dl>");
        for (name, command) in guide.commands() {
            write!(
                html,
                "<dt>{}</dt><dd><code>{}</code></dd>",
                escaped(name),
                escaped(&command)
            )?;
        }
        html.push_str("</dl>");
    }
    html.write_str("</div>")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn commands_are_shown_as_text() {
        let proxy = "127.0.0.1:8743".parse().unwrap();
        let file = Path::new("/a&b/<all>.pem");
        let guide = ConnectionGuide::new(proxy, file, file);
        let mut html = String::new();
        invitation(&mut html, Some(&guide)).unwrap();
        let command = "SSL_CERT_FILE=&#39;/a&amp;b/&lt;all&gt;.pem&#39; ./app</code>";
        assert!(html.contains(command), "{html}");
        let mut html = String::new();
        invitation(&mut html, None).unwrap();
        assert!(
            html.contains("gravimeter run -- ") && !html.contains("HTTPS_PROXY"),
            "{html}"
        );
    }
}
