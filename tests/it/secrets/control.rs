//! The search itself: what it must find, made by others' encoders.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::leaks;
use crate::kit::canary::{Canary, disguises};

/// What a program of the system makes of its input.
fn through(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect(program);
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input)
        .expect("a reader");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{program}");
    output.stdout
}

#[test]
fn every_disguise_is_seen_through() {
    let canary = Canary::new("planted");
    for text in [canary.text.clone(), canary.plain()] {
        // In the middle of something else, at every place in a group of three.
        for before in ["", "a", "ab", "abc"] {
            let planted = format!("{before}{text}, and so on").into_bytes();
            let disguised = [
                ("raw", planted.clone()),
                ("base64", through("base64", &["-w0"], &planted)),
                (
                    "base64url",
                    through("basenc", &["--base64url", "-w0"], &planted),
                ),
                ("HEX", through("basenc", &["--base16", "-w0"], &planted)),
                (
                    "hex",
                    through("basenc", &["--base16", "-w0"], &planted).to_ascii_lowercase(),
                ),
                ("a list of bytes", format!("{planted:?}").into_bytes()),
                ("backwards", planted.iter().rev().copied().collect()),
            ];
            for (disguise, words) in disguised {
                let found = canary.found_in(&words);
                assert!(
                    found.contains(&disguise),
                    "{disguise} {text} behind {before:?}: {found:?}"
                );
            }
        }
    }
    let slashed = Canary {
        name: "slashed",
        text: "cnry/0123456789abcdef+Kq~8 01234567".to_owned(),
    };
    for url in [
        "?key=cnry%2F0123456789abcdef%2BKq~8%2001234567",
        "?key=cnry%2f0123456789abcdef%2bKq~8%2001234567&a",
    ] {
        assert!(
            slashed
                .found_in(url.as_bytes())
                .iter()
                .any(|disguise| disguise.eq_ignore_ascii_case("url")),
            "{url}"
        );
    }
    assert_eq!(slashed.found_in(b"cnry/0123456789ab (cut)"), ["in part"]);
}

#[test]
fn a_planted_canary_is_reported_with_its_place_and_a_clean_text_is_not() {
    let canaries = [Canary::new("one"), Canary::new("other")];
    let clean = (
        "clean".to_owned(),
        format!("{} {:016x}", "cnry/".repeat(9), 7).into_bytes(),
    );
    assert_eq!(leaks(&canaries, std::slice::from_ref(&clean)).count(), 0);
    for (disguise, needle) in disguises(canaries[1].text.as_bytes()) {
        let words = [
            clean.clone(),
            ("dirty".to_owned(), [b"-", &needle[..], b"-"].concat()),
        ];
        let found: Vec<_> = leaks(&canaries, &words).collect();
        assert_eq!(found.len(), 1, "{disguise}: {found:?}");
        assert!(
            found[0].starts_with("other in dirty"),
            "{disguise}: {found:?}"
        );
    }
}
