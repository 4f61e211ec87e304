//! The known name that somebody most probably meant.

/// The candidate that is most like `name`, or that ends in the same word (`listen` for
/// `web.listen`).
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = |candidate: &str| {
        let whole = strsim::jaro(name, candidate);
        let same_last_word = candidate.rsplit(['.', '_']).next() == Some(name);
        if same_last_word {
            whole.max(CLOSE_ENOUGH)
        } else {
            whole
        }
    };
    candidates
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= CLOSE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Jaro similarity from which on a name is worth proposing: a misspelt letter or two, or a
/// forgotten section.
const CLOSE_ENOUGH: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn proposes_what_was_probably_meant() {
        let names = ["web.listen", "capture.listen", "timeouts.idle", "log.level"];
        let of = |name| nearest(name, names.into_iter());
        assert_eq!(of("web.lisen"), Some("web.listen"));
        assert_eq!(of("idle"), Some("timeouts.idle"));
        assert_eq!(of("log-level"), Some("log.level"));
        assert_eq!(of("colour"), None);
    }
}
