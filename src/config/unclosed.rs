//! Finds the bracket that a configuration file does not close: a TOML parser goes on to read what
//! follows as a part of the list, and names many places, but not this one.

/// The line, from 1, of the first bracket or brace that is still open where the next key or section
/// begins, or at the end of the text.
pub(super) fn unclosed(text: &str) -> Option<usize> {
    let mut open: Vec<usize> = Vec::new();
    let mut string: Option<&str> = None;
    for (number, line) in text.lines().enumerate() {
        if string.is_none() && begins_anew(line) && !open.is_empty() {
            break;
        }
        let mut rest = line;
        while let Some(letter) = rest.chars().next() {
            if let Some(end) = string {
                rest = match (rest.strip_prefix(end), letter) {
                    (Some(after), _) => {
                        string = None;
                        after
                    }
                    // Behind a backslash, a quote does not end the text.
                    (None, '\\') if end.starts_with('"') => {
                        let mut escaped = rest.chars();
                        escaped.by_ref().take(2).for_each(drop);
                        escaped.as_str()
                    }
                    (None, _) => behind_first(rest),
                };
                continue;
            }
            if let Some(quote) = QUOTES.into_iter().find(|quote| rest.starts_with(quote)) {
                string = Some(quote);
                rest = rest.strip_prefix(quote).unwrap_or(rest);
                continue;
            }
            match letter {
                '#' => break,
                '[' | '{' => open.push(number + 1),
                ']' | '}' => {
                    open.pop();
                }
                _ => {}
            }
            rest = behind_first(rest);
        }
        // Only the long quotes go on in the next line.
        string = string.filter(|quote| quote.len() > 1);
    }
    open.first().copied()
}

/// Whether the line begins as a key or a section does, and no element of a list.
fn begins_anew(line: &str) -> bool {
    let is_name = |text: &str| {
        let mut letters = text.trim().chars();
        !text.trim().is_empty()
            && letters.all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
    };
    let line = line.trim();
    let section = line
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let key = line.split_once('=').map(|(key, _)| key);
    section.or(key).is_some_and(is_name)
}

fn behind_first(text: &str) -> &str {
    let mut letters = text.chars();
    letters.next();
    letters.as_str()
}

/// What TOML texts stand between, the long ones first.
const QUOTES: [&str; 4] = [r#"""""#, "'''", r#"""#, "'"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bracket_that_is_not_closed_is_found() {
        for (text, line) in [
            ("a = 1\nb = [\"x\",\n\nc = 2\n", Some(2)),
            ("b = [\"x\", \"y\"\n[web]\nlisten = 1\n", Some(1)),
            ("x = 1\n[web\nlisten = 1\n", Some(2)),
            ("x = [ [1, 2], [3\n]\ny = 1", Some(1)),
            ("env = { A = \"1\"\nb = 1\n", Some(1)),
            ("x = [", Some(1)),
            ("[agent]\nargs = [\n  \"--a=b\",\n  \"c = d\",\n]\n", None),
            ("a = \"[\"\nb = '['\n# [\nc = 1", None),
            ("a = \"\\\"[\"\nb = 1", None),
            ("a = \"\"\"\n[not = a\n[section\n\"\"\"\nb = 1", None),
            ("a = [\n# b = 1\n]\n[web]\n", None),
            ("a = ]", None),
            ("", None),
        ] {
            assert_eq!(unclosed(text), line, "{text:?}");
        }
    }
}
