//! What differs between two JSON documents, by places.

use serde_json::Value;

/// A line for each place at which they differ: `/max_tokens: 32000 -> 4096`.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", Some(before), Some(after), &mut lines);
    lines
}

fn compare(at: &str, before: Option<&Value>, after: Option<&Value>, lines: &mut Vec<String>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|name| !before.contains_key(*name));
            for name in before.keys().chain(added) {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                compare(&at, before.get(name), after.get(name), lines);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            // What is the same at both ends stays out, so that one new element is one line.
            let same = |(one, other): &(&Value, &Value)| one == other;
            let start = before.iter().zip(after).take_while(same).count();
            let rest = before.len().min(after.len()) - start;
            let ends = before.iter().rev().zip(after.iter().rev());
            let end = ends.take(rest).take_while(same).count();
            let (before_end, after_end) = (before.len() - end, after.len() - end);
            for index in start..before_end.max(after_end) {
                let one = before.get(index).filter(|_| index < before_end);
                let other = after.get(index).filter(|_| index < after_end);
                compare(&format!("{at}/{index}"), one, other, lines);
            }
        }
        (before, after) if before == after => {}
        (Some(before), Some(after)) => lines.push(format!("{at}: {before} -> {after}")),
        (Some(before), None) => lines.push(format!("{at}: {before} is removed")),
        (None, Some(after)) => lines.push(format!("{at}: {after} is added")),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_has_a_line() {
        let before = json!({ "a": 1, "b": { "c/d": [1, 2, 3] }, "e": null, "f": "x" });
        let after = json!({ "a": 2, "b": { "c/d": [0, 1, 2, 3] }, "f": "x", "g": [true] });
        assert_eq!(
            differences(&before, &after),
            [
                "/a: 1 -> 2",
                "/b/c~1d/0: 0 is added",
                "/e: null is removed",
                "/g: [true] is added",
            ]
        );
        assert!(differences(&before, &before).is_empty());
        assert_eq!(
            differences(&json!([1, 2]), &json!([2])),
            ["/0: 1 is removed"]
        );
    }
}
