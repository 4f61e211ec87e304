//! The windows of time that budgets are for.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::record::label;

label! {
    /// For how long a budget is.
    pub enum Window {
        /// An hour of the clock.
        Hour => "hour",
        /// A day of the time zone.
        Day => "day",
        /// A week of the time zone, from Monday on.
        Week => "week",
        /// A month of the time zone.
        Month => "month",
        /// A session of `gravimeter run`, from its start to its end.
        Session => "session",
    }
}

impl Window {
    /// When the window begins that `at` lies in. All sessions have one and the same, which has always
    /// been.
    #[must_use]
    pub fn start(self, at: Timestamp, zone: &TimeZone) -> Timestamp {
        if self == Self::Session {
            return Timestamp::MIN;
        }
        let local = at.to_zoned_datetime(zone.clone());
        if self == Self::Hour {
            let into = i64::from(local.minute()) * 60 + i64::from(local.second());
            return Timestamp::from_second(at.as_second() - into).unwrap_or(at);
        }
        begin_of(self.first_day(local.date()), zone).unwrap_or(at)
    }

    /// When the window ends that `at` lies in: the next one begins then. `None` where that is not
    /// known before: a session ends with its program.
    #[must_use]
    pub fn end(self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let today = at.to_zoned_datetime(zone.clone()).date();
        let first = self.first_day(today);
        let next = match self {
            Self::Session => return None,
            Self::Hour => {
                let start = self.start(at, zone);
                return Timestamp::from_second(start.as_second() + 3600).ok();
            }
            Self::Day => first.checked_add(1.day()),
            Self::Week => first.checked_add(7.days()),
            Self::Month => first.checked_add(1.month()),
        };
        begin_of(next.ok()?, zone)
    }

    /// The first day of the window that a day lies in.
    fn first_day(self, day: Date) -> Date {
        match self {
            Self::Week => {
                let days = i32::from(day.weekday().since(Weekday::Monday));
                day.saturating_sub(days.days())
            }
            Self::Month => day.first_of_month(),
            Self::Day | Self::Hour | Self::Session => day,
        }
    }
}

/// The first moment of a day: midnight, or later where the clock skips it. `None` at the ends of the
/// calendar.
fn begin_of(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    Some(day.to_zoned_datetime(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Label as _;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn windows_are_those_of_the_zone() {
        let berlin = TimeZone::get("Europe/Berlin").expect("a zone");
        let now = at("2026-10-25T00:30:00Z");
        let bounds = |window: Window| {
            (
                window.start(now, &berlin).to_string(),
                window.end(now, &berlin).map(|end| end.to_string()),
            )
        };
        let expected = |start: &str, end: &str| (start.to_owned(), Some(end.to_owned()));
        assert_eq!(
            bounds(Window::Hour),
            expected("2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z")
        );
        // The day has 25 hours.
        assert_eq!(
            bounds(Window::Day),
            expected("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
        );
        assert_eq!(
            bounds(Window::Week),
            expected("2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z")
        );
        assert_eq!(
            bounds(Window::Month),
            expected("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z")
        );
        assert_eq!(Window::Session.end(now, &berlin), None);
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn windows_meet_without_gap_or_overlap(second in 0i64..4_000_000_000, zone in 0usize..4) {
            let zone = ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"][zone];
            let zone = TimeZone::get(zone).expect("a zone");
            let now = Timestamp::from_second(second).expect("a time");
            for window in Window::ALL.iter().copied().filter(|window| *window != Window::Session) {
                let (start, end) = (window.start(now, &zone), window.end(now, &zone).expect("an end"));
                prop_assert!(start <= now && now < end, "{window}: {start} {now} {end}");
                prop_assert_eq!(window.start(end, &zone), end, "{}", window);
                let last = end.checked_sub(1.second()).expect("a time");
                prop_assert_eq!(window.start(last, &zone), start, "{}", window);
            }
        }
    }
}
