//! The one value that is read of a repository's configuration (git-config(1), "Syntax"): the address
//! of the remote `origin`.
//!
//! Files that it includes are not read, and addresses that the user rewrites (`insteadOf`) stay as
//! the repository has them.

/// The address of the remote `origin`, as it stands there: it may hold credentials. The last one
/// counts, as for Git.
pub(super) fn origin(config: &str) -> Option<String> {
    let (mut is_origin, mut address) = (false, None);
    let mut lines = config.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim();
        if let Some(rest) = line.strip_prefix('[') {
            let Some((section, behind)) = section(rest) else {
                is_origin = false;
                continue;
            };
            is_origin = section;
            // A value may follow on the same line.
            line = behind.trim();
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') && !is_comment(&whole) {
            whole.pop();
            match lines.next() {
                Some(next) if whole.len() < MAX_LINE => whole.push_str(next),
                _ => break,
            }
        }
        if let Some((name, text)) = whole.split_once('=').filter(|_| is_origin)
            && name.trim().eq_ignore_ascii_case("url")
        {
            address = Some(value(text));
        }
    }
    address
}

/// Whether the section behind a `[` is that of the remote `origin`, and what follows its `]`. Of the
/// name of a remote, upper and lower case differ; of the section's they do not.
fn section(rest: &str) -> Option<(bool, &str)> {
    let mut is_quoted = false;
    let end = rest.char_indices().find(|(_, character)| {
        is_quoted ^= *character == '"';
        *character == ']' && !is_quoted
    });
    let (end, _) = end?;
    let (name, behind) = (rest.get(..end)?, rest.get(end + 1..)?);
    let mut words = name.splitn(2, char::is_whitespace);
    let is_remote = words.next()?.eq_ignore_ascii_case("remote");
    let is_origin = words.next().map(str::trim) == Some("\"origin\"");
    Some((is_remote && is_origin, behind))
}

/// A value without its quotes and the comment behind it; of escapes, the quoted character is kept.
fn value(text: &str) -> String {
    let (mut value, mut is_quoted) = (String::new(), false);
    let mut characters = text.trim().chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' => value.extend(characters.next()),
            '#' | ';' if !is_quoted => break,
            other => value.push(other),
        }
    }
    value.trim().to_owned()
}

fn is_comment(line: &str) -> bool {
    line.starts_with(['#', ';'])
}

/// The longest line that is put together of several, in bytes; an address has a hundred.
const MAX_LINE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_origin_is_found_however_it_is_written() {
        for config in [
            "[remote \"origin\"]\n\turl = https://host/a/b.git\n\tfetch = +refs/heads/*\n",
            "[core]\n\tbare = false\n[Remote \"origin\"]\nURL=\"https://host/a/b.git\" # ours\n",
            "[remote \"origin\"] url = https://host/a/b.git ; ours",
            "[remote \"origin\"]\nurl = https://host\\\n/a/b.git",
            "[remote \"origin\"]\nurl = https://other/x\nurl = https://host/a/b.git",
            "[remote \"origin\"]\nurl = https://host/a/b.git\n[remote \"fork\"]\nurl = https://other/x",
            "[branch \"]\"]\nurl = x\n[remote \"origin\"]\nurl = https://host/a/b.git",
        ] {
            let found = origin(config);
            assert_eq!(found.as_deref(), Some("https://host/a/b.git"), "{config}");
        }
    }

    #[test]
    fn what_is_not_origins_address_is_none() {
        for config in [
            "",
            "url = https://host/a/b",
            "[remote \"Origin\"]\nurl = https://host/a/b",
            "[remote]\nurl = https://host/a/b",
            "[remote \"origin\"]\npushurl = https://host/a/b",
            "[remote \"origin\"]\n# url = https://host/a/b",
            "[remote \"origin\"\nurl = https://host/a/b",
            "[remoté \"origin\"]\nurl = x\n\\\n\\",
        ] {
            assert_eq!(origin(config), None, "{config}");
        }
    }
}
