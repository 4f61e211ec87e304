use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).expect("a pointer")
}

#[test]
fn values_are_found_where_the_rfc_says() {
    // RFC 6901 section 5.
    let text = r#"{ "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8 }"#;
    for (at, expected) in [
        ("", Some(text)),
        ("/foo", Some(r#"["bar", "baz"]"#)),
        ("/foo/0", Some(r#""bar""#)),
        ("/foo/2", None),
        ("/foo/00", None),
        ("/foo/-", None),
        ("/", Some("0")),
        ("/a~1b", Some("1")),
        ("/i\\j", Some("5")),
        ("/k\"l", Some("6")),
        ("/m~0n", Some("8")),
        ("/m~0n/x", None),
    ] {
        assert_eq!(get(text, &pointer(at)), Ok(expected), "{at}");
    }
}

#[test]
fn edits_leave_the_bytes_around_them() {
    let text = " { \"a\" : 1.0 ,\n \"b\":[ 1 , 2 ],\"c\":{} } ";
    let set = |at, value| set(text, &pointer(at), value, Parents::Required);
    let cut = |at| remove(text, &pointer(at));
    for (edited, expected) in [
        (
            set("/a", "2"),
            " { \"a\" : 2 ,\n \"b\":[ 1 , 2 ],\"c\":{} } ",
        ),
        (
            set("/b/1", "9"),
            " { \"a\" : 1.0 ,\n \"b\":[ 1 , 9 ],\"c\":{} } ",
        ),
        (
            set("/b/-", "9"),
            " { \"a\" : 1.0 ,\n \"b\":[ 1 , 2,9 ],\"c\":{} } ",
        ),
        (
            set("/c/x", "9"),
            " { \"a\" : 1.0 ,\n \"b\":[ 1 , 2 ],\"c\":{\"x\":9} } ",
        ),
        (
            set("/d", "9"),
            " { \"a\" : 1.0 ,\n \"b\":[ 1 , 2 ],\"c\":{},\"d\":9 } ",
        ),
        (set("", "9"), " 9 "),
        (cut("/a"), " { \"b\":[ 1 , 2 ],\"c\":{} } "),
        (cut("/b"), " { \"a\" : 1.0,\"c\":{} } "),
        (cut("/c"), " { \"a\" : 1.0 ,\n \"b\":[ 1 , 2 ] } "),
        (cut("/b/0"), " { \"a\" : 1.0 ,\n \"b\":[ 2 ],\"c\":{} } "),
        (cut("/b/1"), " { \"a\" : 1.0 ,\n \"b\":[ 1 ],\"c\":{} } "),
    ] {
        assert_eq!(edited.as_deref(), Ok(expected));
    }
    assert_eq!(set("/x/y", "1"), Err(EditError::Missing(pointer("/x"))));
    assert_eq!(set("/a/y", "1"), Err(EditError::NoParent(pointer("/a/y"))));
    assert_eq!(set("/b/3", "1"), Err(EditError::NoParent(pointer("/b/3"))));
    assert_eq!(cut("/x"), Err(EditError::Missing(pointer("/x"))));
    assert_eq!(cut(""), Err(EditError::Whole));
}

#[test]
fn parents_are_made_where_that_is_asked_for() {
    let set = |text, at| super::set(text, &pointer(at), "1", Parents::Created);
    assert_eq!(set("{}", "/a/b/c").as_deref(), Ok(r#"{"a":{"b":{"c":1}}}"#));
    assert_eq!(
        set(r#"{"a":null}"#, "/a/b").as_deref(),
        Ok(r#"{"a":{"b":1}}"#)
    );
    assert_eq!(
        set(r#"{"a":1}"#, "/a/b"),
        Err(EditError::NoParent(pointer("/a/b")))
    );
}

#[test]
fn a_name_that_comes_twice_is_not_guessed_at() {
    let text = r#"{"a":1,"b":2,"\u0061":3}"#;
    assert_eq!(
        find(text, &pointer("/a")),
        Err(EditError::Ambiguous(pointer("/a")))
    );
    assert_eq!(get(text, &pointer("/b")), Ok(Some("2")));
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let edited = set(&deep, &pointer("/b"), "1", Parents::Required).expect("an edit");
    assert!(edited.ends_with(",\"b\":1}"));
}

/// Any small document, in a few names so that pointers hit.
fn document() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(json!(null)),
        Just(json!(1)),
        Just(json!("x")),
        Just(json!(2.5))
    ];
    scalar.prop_recursive(3, 20, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn place() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab01-]", 0..3)
        .prop_map(|tokens| tokens.iter().map(|token| format!("/{token}")).collect())
}

fn any_operation() -> impl Strategy<Value = Value> {
    (0..6, place(), place(), document()).prop_map(|(kind, path, from, value)| match kind {
        0 => json!({ "op": "add", "path": path, "value": value }),
        1 => json!({ "op": "remove", "path": path }),
        2 => json!({ "op": "replace", "path": path, "value": value }),
        // The whole document can be moved nowhere but to itself, which is an error there.
        3 => json!({ "op": "move", "path": path, "from": if from.is_empty() { "/a" } else { &from } }),
        4 => json!({ "op": "copy", "path": path, "from": from }),
        _ => json!({ "op": "test", "path": path, "value": value }),
    })
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    /// The same document as another implementation of RFC 6902 makes, or an error where that has one.
    /// What it has changed before the error does not count: its way to undo that panics at some.
    #[test]
    fn a_patch_does_what_the_rfc_says(document in document(), operations in prop::collection::vec(any_operation(), 1..4)) {
        let ours: Vec<_> = operations.iter().map(|one| operation(one).expect("an operation")).collect();
        let theirs: json_patch::Patch = serde_json::from_value(Value::Array(operations)).expect("a patch");
        let mut expected = document.clone();
        let text = serde_json::to_string_pretty(&document).expect("JSON");
        let result = apply(&text, &ours);
        match json_patch::patch_unsafe(&mut expected, &theirs) {
            Ok(()) => {
                let edited = result.expect("an edit");
                let edited: Value = serde_json::from_str(&edited).expect("JSON");
                prop_assert_eq!(edited, expected);
            }
            Err(_) => prop_assert!(result.is_err(), "{text} {ours:?}"),
        }
    }
}
