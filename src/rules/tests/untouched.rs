//! What no rule names leaves as it came, to the byte.

use proptest::prelude::*;

use super::{Request, rule};
use crate::record::RuleResult;
use crate::rules::Decision;

/// Any JSON text: with white space, escapes, numbers that no machine type holds, and names that
/// come twice.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        text(),
    ];
    scalar.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), space()).prop_map(
                |(values, space)| format!("[{space}{}{space}]", values.join(&format!(",{space}")))
            ),
            (prop::collection::vec((text(), inner), 0..5), space()).prop_map(|(members, space)| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(name, value)| format!("{name}{space}:{space}{value}"))
                    .collect();
                format!("{{{space}{}{space}}}", members.join(&format!("{space},")))
            }),
        ]
    })
}

fn object() -> impl Strategy<Value = String> {
    (prop::collection::vec((text(), json()), 0..6), space()).prop_map(|(members, space)| {
        let members: Vec<_> = members
            .into_iter()
            .map(|(name, value)| format!("{space}{name} :{value}"))
            .collect();
        format!("{space}{{{}{space}}}{space}", members.join(","))
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#""a""#.to_owned()),
        r#""[a-z ]{0,6}""#,
        Just(r#""\u0061\n\"\ud83d\ude00""#.to_owned()),
        Just("\"é\u{1f600}\"".to_owned()),
    ]
}

fn space() -> impl Strategy<Value = String> {
    "[ \n\t\r]{0,3}"
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn a_body_without_what_a_rule_names_leaves_as_it_came(body in json()) {
        for keys in [
            r#"replace = { "/not there/at all" = 1 }"#,
            r#"remove = "/not there""#,
            r#"patch = [{ op = "test", path = "/not there", value = 1 }, { op = "add", path = "/a", value = 1 }]"#,
            "max_thinking_tokens = 5000",
        ] {
            let changed = Request::message(&body).under(&rule("r", keys));
            prop_assert!(matches!(changed.outcome.decision, Decision::Unchanged), "{keys}");
        }
    }

    #[test]
    fn an_edit_changes_the_bytes_of_one_value(body in object(), name in "[a-z]{1,3}") {
        let set = rule("r", &format!("set = {{ \"/{name}Z\" = 17 }}"));
        let changed = Request::message(&body).under(&set);
        prop_assert_eq!(changed.uses()[0].1, RuleResult::Applied);
        let edited = changed.body().expect("a body").to_owned();
        // Taken away again, it is what it was before.
        let remove = rule("r", &format!("remove = \"/{name}Z\""));
        let back = Request::message(&edited).under(&remove);
        prop_assert_eq!(back.body().expect("a body"), body.as_str());
    }
}
