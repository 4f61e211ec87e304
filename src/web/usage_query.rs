//! Parses the parameters of `/v1/usage` into the ledger's query, or names the mistake.

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::error::ApiError;
use crate::ledger::{By, Page, UsageCursor, UsageQuery, Zone};
use crate::record::Label as _;

/// What is wrong with the parameters. The message says what is allowed, and repeats nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongUsageQuery {
    /// There is no such grouping.
    #[error("'by' must be one of these: {}", groupings())]
    By,
    /// The cursor is invalid.
    #[error("'cursor' must be 'next_cursor' of an earlier answer")]
    Cursor,
    /// The cursor is one of another grouping, which has no such page.
    #[error(
        "there is no such page: 'cursor' must be 'next_cursor' of an earlier answer with the same 'by'"
    )]
    OtherPage,
    /// The limit is invalid.
    #[error("'limit' must be a number from 1 to {MAX_LIMIT}")]
    Limit,
    /// The beginning is not a time.
    #[error(
        "'since' must be 'today', 'yesterday', a weekday such as 'monday', a duration such as '24h', a day or local time \
         ('2026-11-01', '2026-11-01T09:30') or RFC 3339"
    )]
    Since,
    /// The end is not a time.
    #[error(
        "'until' must be 'today', 'yesterday', a weekday such as 'monday', a duration such as '1h', a day or local time \
         ('2026-12-01', '2026-12-01T09:30') or RFC 3339"
    )]
    Until,
    /// A parameter occurs twice.
    #[error("a parameter stands there twice")]
    Twice,
    /// There is no such parameter.
    #[error("the parameters are 'by', 'cursor', 'limit', 'since', 'tz' and 'until'")]
    Unknown,
    /// There is no such time zone.
    #[error(
        "'tz' must be a time zone: a name such as 'Europe/Berlin', or an offset such as '+05:30' ('+' in a URL is %2B)"
    )]
    Zone,
}

/// The names of all groupings.
fn groupings() -> String {
    By::ALL
        .iter()
        .map(|by| format!("'{by}'"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl WrongUsageQuery {
    pub(super) fn into_error(self) -> ApiError {
        let code = match self {
            Self::By => "invalid_by",
            Self::Cursor => "invalid_cursor",
            Self::Limit => "invalid_limit",
            Self::OtherPage => "unknown_page",
            Self::Since => "invalid_since",
            Self::Until => "invalid_until",
            Self::Twice => "repeated_parameter",
            Self::Unknown => "unknown_parameter",
            Self::Zone => "invalid_tz",
        };
        let status = if self == Self::OtherPage {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::BAD_REQUEST
        };
        ApiError::new(status, code, self.to_string())
    }
}

/// A query, and which ends of its span move with the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) query: UsageQuery,
    /// The beginning is relative to now.
    pub(super) since_moves: bool,
    /// The end is now, or relative to now.
    pub(super) until_moves: bool,
}

/// Reads the parameters of `/v1/usage`, as pairs of name and value; durations end at `now`.
///
/// # Errors
/// [`WrongUsageQuery`] for the first thing that is wrong.
pub(crate) fn usage_query(
    parameters: &[(String, String)],
    now: Timestamp,
) -> Result<UsageQuery, WrongUsageQuery> {
    Ok(parse(parameters, now)?.query)
}

pub(super) fn parse(
    parameters: &[(String, String)],
    now: Timestamp,
) -> Result<Asked, WrongUsageQuery> {
    let (mut by, mut cursor, mut limit, mut since, mut until, mut zone) =
        (None, None, None, None, None, None);
    for (name, value) in parameters {
        let place = match name.as_str() {
            "by" => &mut by,
            "cursor" => &mut cursor,
            "limit" => &mut limit,
            "since" => &mut since,
            "tz" => &mut zone,
            "until" => &mut until,
            _ => return Err(WrongUsageQuery::Unknown),
        };
        if place.replace(value.as_str()).is_some() {
            return Err(WrongUsageQuery::Twice);
        }
    }
    let by = by.map_or(Ok(By::default()), |by| {
        By::parse(by).ok_or(WrongUsageQuery::By)
    })?;
    let zone: Zone = zone.map_or(Ok(Zone::default()), |zone| {
        zone.parse().map_err(|_| WrongUsageQuery::Zone)
    })?;
    let time = |text: Option<&str>, wrong| {
        text.map(|text| time(text, &zone, now).ok_or(wrong))
            .transpose()
    };
    let (since, until) = (
        time(since, WrongUsageQuery::Since)?,
        time(until, WrongUsageQuery::Until)?,
    );
    let page = Page {
        limit: Some(read_limit(limit)?),
        cursor: cursor.map(|text| read_cursor(text, by)).transpose()?,
    };
    Ok(Asked {
        since_moves: since.is_some_and(|(_, moves)| moves),
        until_moves: until.is_none_or(|(until, moves)| moves || until > now),
        query: UsageQuery {
            by,
            since: since.map(|(at, _)| at),
            until: until.map(|(at, _)| at),
            zone,
            page,
        },
    })
}

fn read_limit(text: Option<&str>) -> Result<usize, WrongUsageQuery> {
    let Some(text) = text else {
        return Ok(MAX_LIMIT);
    };
    text.parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or(WrongUsageQuery::Limit)
}

fn read_cursor(text: &str, by: By) -> Result<UsageCursor, WrongUsageQuery> {
    let cursor: UsageCursor = text.parse().map_err(|_| WrongUsageQuery::Cursor)?;
    if cursor.by() == by {
        Ok(cursor)
    } else {
        Err(WrongUsageQuery::OtherPage)
    }
}

/// A time; `true` if it is relative to `now`.
fn time(text: &str, zone: &Zone, now: Timestamp) -> Option<(Timestamp, bool)> {
    let fixed = text.parse().ok().or_else(|| zone.time(text));
    // A day by its name moves only at midnight.
    if let Some(at) = fixed.or_else(|| zone.named_day(text, now)) {
        return Some((at, false));
    }
    let ago = text
        .parse::<SignedDuration>()
        .ok()
        .filter(|ago| !ago.is_negative())?;
    Some((now.checked_sub(ago).ok()?, true))
}

/// Most groups of an answer: more than a year has hours, and some 14 MB.
const MAX_LIMIT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().expect("a time")
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Asked, WrongUsageQuery> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        parse(&owned, now())
    }

    #[test]
    fn a_query_is_read_or_its_mistake_named() {
        let page = Page {
            limit: Some(10_000),
            cursor: None,
        };
        let query = UsageQuery {
            page: page.clone(),
            ..UsageQuery::default()
        };
        assert_eq!(
            read(&[]),
            Ok(Asked {
                query,
                since_moves: false,
                until_moves: true
            })
        );
        let asked = read(&[
            ("by", "provider"),
            ("since", "24h"),
            ("until", "2026-11-23T13:00:00+01:00"),
        ]);
        let since = "2026-11-22T12:00:00Z".parse().ok();
        let query = UsageQuery {
            by: By::Provider,
            since,
            until: Some(now()),
            zone: Zone::default(),
            page,
        };
        assert_eq!(
            asked,
            Ok(Asked {
                query,
                since_moves: true,
                until_moves: false
            })
        );
        assert!(
            read(&[("until", "2026-11-23T12:00:01Z")])
                .expect("a query")
                .until_moves,
            "it is in the future"
        );
        let cursor = "day.17.MjAyNi0xMS0yMw";
        assert!(read(&[("by", "day"), ("cursor", cursor)]).is_ok());
        for (pairs, wrong) in [
            (vec![("by", "colour")], WrongUsageQuery::By),
            (vec![("by", "")], WrongUsageQuery::By),
            (vec![("since", "tomorrow")], WrongUsageQuery::Since),
            (vec![("since", "Monday")], WrongUsageQuery::Since),
            (vec![("since", "-1h")], WrongUsageQuery::Since),
            (vec![("since", "99999999999999h")], WrongUsageQuery::Since),
            (vec![("until", "2026-11-31")], WrongUsageQuery::Until),
            (
                vec![("until", "2026-11-23T12:00[Mars/Olympus]")],
                WrongUsageQuery::Until,
            ),
            (
                vec![("by", "model"), ("by", "model")],
                WrongUsageQuery::Twice,
            ),
            (
                vec![("url", "http://evil.example")],
                WrongUsageQuery::Unknown,
            ),
            (vec![("limit", "0")], WrongUsageQuery::Limit),
            (vec![("limit", "10001")], WrongUsageQuery::Limit),
            (vec![("limit", "")], WrongUsageQuery::Limit),
            (
                vec![("cursor", "first"), ("by", "day")],
                WrongUsageQuery::Cursor,
            ),
            (
                vec![("cursor", cursor), ("by", "hour")],
                WrongUsageQuery::OtherPage,
            ),
            (vec![("tz", "Mars/Olympus")], WrongUsageQuery::Zone),
        ] {
            assert_eq!(read(&pairs), Err(wrong), "{pairs:?}");
        }
    }

    #[test]
    fn a_day_by_its_name_is_the_last_one_of_the_zone() {
        let since = |text: &str, zone: &str, now: &str| {
            let pairs =
                [("since", text), ("tz", zone)].map(|(name, value)| (name.into(), value.into()));
            let asked = parse(&pairs, now.parse().expect("a time")).expect("a query");
            (
                asked.query.since.expect("a time").to_string(),
                asked.since_moves,
            )
        };
        let monday = "2026-11-23T12:00:00Z";
        for (text, zone, now, expected) in [
            ("today", "UTC", monday, "2026-11-23T00:00:00Z"),
            ("yesterday", "UTC", monday, "2026-11-22T00:00:00Z"),
            ("monday", "UTC", monday, "2026-11-23T00:00:00Z"),
            ("tuesday", "UTC", monday, "2026-11-17T00:00:00Z"),
            ("sunday", "UTC", monday, "2026-11-22T00:00:00Z"),
            // It is Tuesday there.
            (
                "today",
                "Pacific/Kiritimati",
                monday,
                "2026-11-23T10:00:00Z",
            ),
            (
                "tuesday",
                "Pacific/Kiritimati",
                monday,
                "2026-11-23T10:00:00Z",
            ),
            // Yesterday had 23 hours in Berlin, today has 25, and Beirut's day begins at one.
            (
                "yesterday",
                "Europe/Berlin",
                "2026-03-30T10:00:00Z",
                "2026-03-28T23:00:00Z",
            ),
            (
                "today",
                "Europe/Berlin",
                "2026-10-25T22:59:59Z",
                "2026-10-24T22:00:00Z",
            ),
            (
                "sunday",
                "Europe/Berlin",
                "2026-10-25T23:00:00Z",
                "2026-10-24T22:00:00Z",
            ),
            (
                "today",
                "Asia/Beirut",
                "2026-03-29T12:00:00Z",
                "2026-03-28T22:00:00Z",
            ),
        ] {
            assert_eq!(
                since(text, zone, now),
                (expected.to_owned(), false),
                "{text} {zone} {now}"
            );
        }
    }

    #[test]
    fn a_day_begins_where_the_zone_says() {
        let since = |text, zone| {
            read(&[("since", text), ("tz", zone)])
                .expect("a query")
                .query
                .since
                .expect("a time")
        };
        for (text, zone, expected) in [
            ("2026-11-23", "UTC", "2026-11-23T00:00:00Z"),
            ("2026-11-23", "Europe/Berlin", "2026-11-22T23:00:00Z"),
            ("2026-11-23", "Asia/Kolkata", "2026-11-22T18:30:00Z"),
            ("2026-11-23", "-03:30", "2026-11-23T03:30:00Z"),
            ("2026-11-23T09:30", "Asia/Kathmandu", "2026-11-23T03:45:00Z"),
            (
                "2026-11-23T09:30:00Z",
                "Asia/Kathmandu",
                "2026-11-23T09:30:00Z",
            ),
            // The night in which Beirut has no midnight.
            ("2026-03-29", "Asia/Beirut", "2026-03-28T22:00:00Z"),
        ] {
            assert_eq!(
                since(text, zone),
                expected.parse().expect("a time"),
                "{text} {zone}"
            );
        }
    }
}
