//! Builds tables of JSON paths out of parts that occur at several places.

use crate::observe::json::Paths;

/// A part of a table: paths and their fields.
pub(super) type Rows<F> = Vec<(String, F)>;

/// The rows of a part below a prefix (`update.mainTrajectoryUpdate.`, or empty), mapped to fields
/// of the whole table.
pub(super) fn at<F: Copy, T>(place: &str, rows: &[(&str, F)], field: impl Fn(F) -> T) -> Rows<T> {
    rows.iter()
        .map(|(path, part)| (format!("{place}{path}"), field(*part)))
        .collect()
}

/// The finished table. Members may be in camelCase, as protobuf writes them, or in snake_case,
/// which it accepts too.
pub(super) fn paths<F: Copy>(rows: impl IntoIterator<Item = (String, F)>) -> Paths<F> {
    Paths::new(
        rows.into_iter()
            .flat_map(|(path, field)| [(snake_case(&path), field), (path, field)]),
    )
}

/// `responseHeader.sessionID` becomes `response_header.sessionID`.
fn snake_case(path: &str) -> String {
    let snake = path.split('.').map(|name| {
        if MAP_KEYS.contains(&name) {
            name.to_owned()
        } else {
            snake_name(name)
        }
    });
    snake.collect::<Vec<_>>().join(".")
}

fn snake_name(name: &str) -> String {
    name.chars()
        .fold(String::with_capacity(name.len()), |mut snake, c| {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            snake
        })
}

/// Keys of maps are not names of members: they stay as they are.
const MAP_KEYS: [&str; 2] = ["sessionID", "sessionId"];
