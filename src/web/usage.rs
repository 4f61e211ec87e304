//! `/v1/usage`: the ledger's answer as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::task::spawn_blocking;

use super::Web;
use super::error::ApiError;
use crate::ledger::{By, UsageQuery, UsageReport};

pub(super) async fn usage(
    State(web): State<Arc<Web>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<UsageReport>, ApiError> {
    let now = Timestamp::now();
    let query = parse(&parameters, now).map_err(|wrong| wrong.into_error())?;
    // A year by day takes a tenth of a second, which the traffic's workers must not wait for.
    let answer = spawn_blocking(move || web.ledger.query(&query, now)).await;
    let failed = |message: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable", message);
    match answer {
        Ok(report) => report.map(Json).map_err(|failure| failed(failure.to_string())),
        Err(_) => Err(failed("the ledger could not be asked".to_owned())),
    }
}

/// What is wrong with the query string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Wrong {
    #[error("'by' must be 'cascade', 'day', 'hour', 'model', 'operation' or 'provider'")]
    By,
    #[error("'since' must be a time (RFC 3339, 'Z' or an offset) or a duration such as '24h'")]
    Since,
    #[error("'until' must be a time (RFC 3339, 'Z' or an offset) or a duration such as '1h'")]
    Until,
    #[error("a parameter stands there twice")]
    Twice,
    #[error("the parameters are 'by', 'since', 'tz' and 'until'")]
    Unknown,
    #[error(
        "'tz' must be a time zone: a name such as 'Europe/Berlin', or an offset such as '+05:30' ('+' written as %2B)"
    )]
    Zone,
}

impl Wrong {
    fn into_error(self) -> ApiError {
        let code = match self {
            Self::By => "invalid_by",
            Self::Since => "invalid_since",
            Self::Until => "invalid_until",
            Self::Twice => "repeated_parameter",
            Self::Unknown => "unknown_parameter",
            Self::Zone => "invalid_tz",
        };
        ApiError::new(StatusCode::BAD_REQUEST, code, self.to_string())
    }
}

fn parse(parameters: &[(String, String)], now: Timestamp) -> Result<UsageQuery, Wrong> {
    let (mut by, mut since, mut until, mut zone) = (None, None, None, None);
    for (name, value) in parameters {
        let repeated = match name.as_str() {
            "by" => by.replace(grouping(value).ok_or(Wrong::By)?).is_some(),
            "since" => since.replace(time(value, now).ok_or(Wrong::Since)?).is_some(),
            "tz" => zone.replace(value.parse().map_err(|_| Wrong::Zone)?).is_some(),
            "until" => until.replace(time(value, now).ok_or(Wrong::Until)?).is_some(),
            _ => return Err(Wrong::Unknown),
        };
        if repeated {
            return Err(Wrong::Twice);
        }
    }
    Ok(UsageQuery { by: by.unwrap_or_default(), since, until, zone: zone.unwrap_or_default() })
}

fn grouping(value: &str) -> Option<By> {
    match value {
        "cascade" => Some(By::Cascade),
        "day" => Some(By::Day),
        "hour" => Some(By::Hour),
        "model" => Some(By::Model),
        "operation" => Some(By::Operation),
        "provider" => Some(By::Provider),
        _ => None,
    }
}

/// A time, or a duration before now.
fn time(value: &str, now: Timestamp) -> Option<Timestamp> {
    let ago = || value.parse::<SignedDuration>().ok().filter(|ago| !ago.is_negative());
    value.parse().ok().or_else(|| now.checked_sub(ago()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Zone;

    #[test]
    fn a_query_is_read_or_its_mistake_named() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
        let read = |pairs: &[(&str, &str)]| {
            let owned: Vec<_> = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            parse(&owned, now)
        };
        assert_eq!(read(&[]), Ok(UsageQuery::default()));
        let query = read(&[("by", "provider"), ("since", "24h"), ("until", "2026-11-23T13:00:00+01:00")]);
        let since = "2026-11-22T12:00:00Z".parse().ok();
        assert_eq!(query, Ok(UsageQuery { by: By::Provider, since, until: Some(now), zone: Zone::default() }));
        for (pairs, wrong) in [
            (vec![("by", "colour")], Wrong::By),
            (vec![("by", "")], Wrong::By),
            (vec![("since", "yesterday")], Wrong::Since),
            (vec![("since", "-1h")], Wrong::Since),
            (vec![("since", "99999999999999h")], Wrong::Since),
            (vec![("until", "2026-11-23")], Wrong::Until),
            (vec![("by", "model"), ("by", "model")], Wrong::Twice),
            (vec![("url", "http://evil.example")], Wrong::Unknown),
        ] {
            assert_eq!(read(&pairs), Err(wrong), "{pairs:?}");
        }
    }
}
