//! How sums are grouped: by what, and for hours, days, weeks and months in which time zone.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _, ZonedDateTime};

use crate::record::label;

label! {
    /// How the sums of a report are grouped.
    #[derive(Default)]
    pub enum By {
        /// One group for each branch of a repository, and for what is not known to belong to one.
        Branch => "branch",
        /// One group for each conversation, and for what is not known to belong to one.
        Cascade => "cascade",
        /// One group for each day of the query's time zone.
        Day => "day",
        /// One group for each hour of the query's time zone.
        Hour => "hour",
        /// One group for each model (and provider, where two serve the same model).
        #[default]
        Model => "model",
        /// One group for each month of the query's time zone.
        Month => "month",
        /// One group for each purpose of calls.
        Operation => "operation",
        /// One group for each program that calls, and for what none is known to have called.
        Program => "program",
        /// One group for each provider.
        Provider => "provider",
        /// One group for each repository, and for what is not known to belong to one.
        Repository => "repository",
        /// One group for each set of rules that changed requests, and one for what none has changed.
        Rule => "rule",
        /// One group for each session, and for what belongs to none.
        Session => "session",
        /// One group for each subagent, and one for what no subagent is known to have called.
        Subagent => "subagent",
        /// One group for each week of the query's time zone, from Monday on.
        Week => "week",
    }
}

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub(in crate::ledger) TimeZone);

impl Zone {
    /// A local time of the zone (`2026-11-23T09:30`), or the beginning of a day (`2026-11-23`). One
    /// that a clock skips is later by as much as it skips; one that it shows twice is the first of
    /// the two. `None` for any other text.
    #[must_use]
    pub fn time(&self, text: &str) -> Option<Timestamp> {
        // More is understood by the parser, such as the name of another zone.
        let is_local = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"-:.T".contains(&byte));
        let local = text.parse::<DateTime>().ok().filter(|_| is_local)?;
        self.0.to_timestamp(local).ok()
    }

    /// The beginning of a day of the zone by its name, as of `now`: `today`, `yesterday`, or the last
    /// day of that weekday (`monday`), which is today where today is one. `None` for any other
    /// text.
    #[must_use]
    pub fn named_day(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned_datetime(self.0.clone()).date();
        let days_ago = match name {
            "today" => 0,
            "yesterday" => 1,
            weekday => i32::from(today.weekday().since(parse_weekday(weekday)?)),
        };
        self.start_of_day(now, days_ago)
    }

    /// The time zone of this machine, or UTC where it has none.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// The zone's rules.
    #[must_use]
    pub fn time_zone(&self) -> &TimeZone {
        &self.0
    }

    /// The beginning of the day of the zone that was so many days before `now`; 0 is today. `None` at
    /// the ends of the calendar.
    #[must_use]
    pub fn start_of_day(&self, now: Timestamp, days_ago: i32) -> Option<Timestamp> {
        let today = now.to_zoned_datetime(self.0.clone()).date();
        start_of(today.checked_sub(days_ago.days()).ok()?, &self.0)
    }

    /// The time zone of this machine by its name; `None` where it has none.
    #[must_use]
    pub fn name_of_this_machine() -> Option<String> {
        TimeZone::system().iana_name().map(str::to_owned)
    }
}

/// The text is no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time zone: write a name such as 'Europe/Berlin', or an offset such as '+05:30'")]
pub struct InvalidZone;

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;

    /// Reads an IANA name or an offset (`+05:30`, `-08`).
    fn from_str(text: &str) -> Result<Self, InvalidZone> {
        if text.starts_with(['+', '-']) {
            return offset(text)
                .map(|offset| Self(TimeZone::fixed(offset)))
                .ok_or(InvalidZone);
        }
        TimeZone::get(text).map(Self).map_err(|_| InvalidZone)
    }
}

/// By its English name in small letters.
fn parse_weekday(name: &str) -> Option<Weekday> {
    let weekday = match name {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    };
    Some(weekday)
}

/// The Monday of the week of a day; the first day of the calendar where it has none.
fn monday_of(day: Date) -> Date {
    let days = i32::from(day.weekday().since(Weekday::Monday));
    day.saturating_sub(days.days())
}

/// The first moment of a day: midnight, or later where the clock skips it. `None` at the ends of the
/// calendar.
fn start_of(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    let start = day.to_zoned_datetime(zone.clone()).ok()?;
    Some(start.timestamp())
}

fn offset(text: &str) -> Option<Offset> {
    let (hours, minutes) = text
        .get(1..)?
        .split_once(':')
        .unwrap_or((text.get(1..)?, "00"));
    let number = |digits: &str| {
        (digits.len() == 2)
            .then(|| digits.parse::<i32>().ok())
            .flatten()
    };
    let (hours, minutes) = (
        number(hours)?,
        number(minutes).filter(|minutes| *minutes < 60)?,
    );
    let seconds = (hours * 60 + minutes) * 60;
    Offset::from_seconds(if text.starts_with('-') {
        -seconds
    } else {
        seconds
    })
    .ok()
}

/// A stretch of time that a group stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// When it begins.
    start: Timestamp,
    /// What it is called: `2026-11-23T20:00:00+01:00` is an hour, `2026-11-23` a day or the week that
    /// begins with it, `2026-11` a month.
    name: String,
}

impl Period {
    /// The hour, day, week or month of the zone in which a time lies.
    pub(in crate::ledger) fn of(at: Timestamp, by: By, zone: &TimeZone) -> Self {
        let local = at.to_zoned_datetime(zone.clone());
        let today = local.date();
        let (first_day, name) = match by {
            By::Day => (today, today.to_string()),
            By::Week => {
                let monday = monday_of(today);
                (monday, monday.to_string())
            }
            By::Month => (today.first_of_month(), today.strftime("%Y-%m").to_string()),
            _ => return Self::hour_of(at, &local, zone),
        };
        let start = start_of(first_day, zone).unwrap_or(at);
        Self { start, name }
    }

    fn hour_of(at: Timestamp, local: &ZonedDateTime, zone: &TimeZone) -> Self {
        let into = i64::from(local.minute()) * 60 + i64::from(local.second());
        let whole = at.as_second() - into;
        let start = Timestamp::from_second(whole).unwrap_or(at);
        Self {
            start,
            name: start
                .to_zoned_datetime(zone.clone())
                .strftime("%Y-%m-%dT%H:%M:%S%:z")
                .to_string(),
        }
    }

    pub(in crate::ledger) fn start(&self) -> Timestamp {
        self.start
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl serde::Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}
