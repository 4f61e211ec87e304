//! Text from outside on its way to a log, an error or a terminal.

/// The text with every character escaped that could steer a terminal, forge a line or turn the
/// direction of text: controls (C0, C1, delete), line and paragraph separators, and the marks of
/// Unicode's bidirectional algorithm, as `\u{..}`.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || steers_lines(character) {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// Source: Unicode Standard Annex 9, table of explicit and implicit directional formatting
/// characters; U+2028 and U+2029 end a line for some readers.
pub(super) fn steers_lines(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal_or_forges_a_line() {
        assert_eq!(
            printable("a\u{1b}[2Jb\r\nINFO c\u{202e}d é"),
            r"a\u{1b}[2Jb\r\nINFO c\u{202e}d é"
        );
        assert_eq!(
            printable("\u{9b}1m\u{7f}\u{2028}\u{61c}\0"),
            r"\u{9b}1m\u{7f}\u{2028}\u{61c}\u{0}"
        );
        assert_eq!(printable("grüße, 世界 \\n"), "grüße, 世界 \\n");
    }
}
