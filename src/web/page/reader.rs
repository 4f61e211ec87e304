//! Who reads a page: in which time zone, so that days and times are those of the reader.

use std::fmt::Write as _;

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::{Timestamp, Unit, ZonedDateTime};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::ledger::Zone;
use crate::web::error::ApiError;

/// The time zone of the reader: what `tz` names, or that of this machine.
#[derive(Debug, Clone)]
pub(in crate::web) struct Reader {
    zone: Zone,
    /// What is behind the path of a link to another page, so that it has the same zone.
    query: String,
}

impl Reader {
    /// The reader whose zone has that name; `None` if there is no such zone.
    fn of_zone(name: &str) -> Option<Self> {
        let zone = name.parse().ok()?;
        if Zone::name_of_this_machine().is_some_and(|machine| machine == name) {
            return Some(Self::default());
        }
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        Some(Self {
            zone,
            query: format!("?tz={name}"),
        })
    }

    /// The beginning of the day that was so many days before `now`; 0 is today. `now` itself at the
    /// ends of the calendar.
    pub(in crate::web) fn start_of_day(&self, now: Timestamp, days_ago: i32) -> Timestamp {
        self.zone.start_of_day(now, days_ago).unwrap_or(now)
    }

    /// A link's address: the path, and the zone.
    pub(super) fn link(&self, path: &str) -> String {
        format!("{path}{}", self.query)
    }

    fn local(&self, at: Timestamp) -> ZonedDateTime {
        at.round(Unit::Second)
            .unwrap_or(at)
            .to_zoned_datetime(self.zone.time_zone().clone())
    }

    /// The short name that the zone has at a time, such as `CET`.
    pub(super) fn zone_at(&self, at: Timestamp) -> String {
        self.local(at).strftime("%Z").to_string()
    }

    /// `30 Nov 2026, 21:29:10 CET`.
    pub(super) fn full(&self, at: Timestamp) -> String {
        self.local(at)
            .strftime("%-d %b %Y, %H:%M:%S %Z")
            .to_string()
    }

    /// `30 Nov 2026, 21:29 CET`.
    pub(super) fn minute(&self, at: Timestamp) -> String {
        self.local(at).strftime("%-d %b %Y, %H:%M %Z").to_string()
    }

    /// The time of day, with the date where it is not that of `now`: `21:29:10`, `29 Nov 21:29`,
    /// `29 Nov 2025`. The zone stands elsewhere.
    pub(super) fn short(&self, at: Timestamp, now: Timestamp) -> String {
        let (local, today) = (self.local(at), self.local(now));
        let form = if local.date() == today.date() {
            "%H:%M:%S"
        } else if local.year() == today.year() {
            "%-d %b %H:%M"
        } else {
            "%-d %b %Y"
        };
        local.strftime(form).to_string()
    }

    /// The short form as an element, with the full one in its tooltip.
    pub(super) fn time(&self, at: Timestamp, now: Timestamp) -> String {
        self.element(at, &self.short(at, now))
    }

    /// A text that stands for a time, with the full form in its tooltip.
    pub(super) fn element(&self, at: Timestamp, text: &str) -> String {
        let mut html = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            html,
            "<time datetime=\"{}\" title=\"{}\">{text}</time>",
            at.round(Unit::Second).unwrap_or(at),
            self.full(at)
        );
        html
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            zone: Zone::of_this_machine(),
            query: String::new(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let wrong = |code, message| ApiError::new(StatusCode::BAD_REQUEST, code, message);
        let unknown = || wrong("unknown_parameter", "the only parameter is 'tz'");
        let Ok(Query(parameters)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
            return Err(unknown());
        };
        match &parameters[..] {
            [] => Ok(Self::default()),
            [(name, zone)] if name == "tz" => Self::of_zone(zone).ok_or_else(|| {
                let message = "'tz' must be a time zone: a name such as 'Europe/Berlin', or an offset such as '+05:30'";
                wrong("invalid_tz", message)
            }),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn times_are_those_of_the_reader() {
        let reader = Reader::of_zone("Europe/Berlin").expect("a zone");
        let now = at("2026-11-30T22:59:10Z");
        assert_eq!(reader.short(now, now), "23:59:10");
        assert_eq!(
            reader.short(at("2026-11-29T23:00:00Z"), now),
            "00:00:00",
            "it is today there"
        );
        assert_eq!(
            reader.short(at("2026-11-29T22:59:00Z"), now),
            "29 Nov 23:59"
        );
        assert_eq!(reader.short(at("2025-11-29T22:59:00Z"), now), "29 Nov 2025");
        assert_eq!(
            reader.full(at("2026-07-01T00:00:00Z")),
            "1 Jul 2026, 02:00:00 CEST"
        );
        assert_eq!(reader.zone_at(now), "CET");
        assert_eq!(reader.start_of_day(now, 6), at("2026-11-23T23:00:00Z"));
        assert_eq!(reader.link("/calls/1-2"), "/calls/1-2?tz=Europe%2FBerlin");
        assert!(Reader::of_zone("Mars/Olympus").is_none());
    }
}
