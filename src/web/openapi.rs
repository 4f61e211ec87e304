//! `/v1/openapi.json`: the description of the interface, with the time zones that this machine
//! knows.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::Value;
use tokio::task::spawn_blocking;

pub(super) async fn openapi() -> impl IntoResponse {
    // The names come from the system's folder of time zones.
    let description = spawn_blocking(|| LazyLock::force(&DESCRIPTION).as_str()).await;
    (
        [(header::CONTENT_TYPE, "application/json")],
        description.unwrap_or(OPENAPI),
    )
}

/// The description, kept by hand and compared with the routes by tests.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

static DESCRIPTION: LazyLock<String> =
    LazyLock::new(|| with_zones(OPENAPI).unwrap_or_else(|| OPENAPI.to_owned()));

/// Puts the names of all time zones in the place of the one that stands for them. A name is valid
/// where the machine knows it, so that no pattern could say which are.
fn with_zones(description: &str) -> Option<String> {
    let mut description: Value = serde_json::from_str(description).ok()?;
    let forms = description
        .pointer_mut("/components/schemas/TimeZone/anyOf")?
        .as_array_mut()?;
    let names = forms.iter_mut().find_map(|form| form.get_mut("enum"))?;
    *names = jiff::tz::db()
        .available()
        .map(|name| Value::from(name.as_str()))
        .collect();
    Some(description.to_string())
}
