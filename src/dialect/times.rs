//! Times and durations as providers write them.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

use crate::observe::json::Value;

/// A moment in RFC 3339.
pub(super) fn timestamp(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(text.parse::<Timestamp>().ok()?).ok()
}

/// A moment in seconds of Unix time.
pub(super) fn unix_time(seconds: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))
}

/// A duration with units: `3.957525076s`, `900ms`, `135h9m46s`, `256527.79s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    text.parse::<SignedDuration>().ok()?.try_into().ok()
}

/// How long a call took by the provider's own measure, as a number of units of this length. `None`
/// for what is no such number, or longer than [`MOST`].
pub(super) fn measured(value: &Value<'_>, unit: Duration) -> Option<Duration> {
    let (Value::Number(text) | Value::String { text, cut: false }) = value else {
        return None;
    };
    let seconds = text.parse::<f64>().ok()? * unit.as_secs_f64();
    let measured = Duration::try_from_secs_f64(seconds).ok()?;
    Some(measured).filter(|measured| *measured <= MOST)
}

/// The units of [`measured`].
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const NANOSECOND: Duration = Duration::from_nanos(1);

/// A day: no call takes longer, so a larger number is in another unit than it is believed to be.
const MOST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_times_are_read_in_their_unit() {
        let number = |text, unit| measured(&Value::Number(text), unit);
        assert_eq!(
            number("4100", MILLISECOND),
            Some(Duration::from_millis(4100))
        );
        assert_eq!(number("0.05", SECOND), Some(Duration::from_millis(50)));
        assert_eq!(
            number("4100000000", NANOSECOND),
            Some(Duration::from_millis(4100))
        );
        let quoted = Value::String {
            text: "12.5",
            cut: false,
        };
        assert_eq!(
            measured(&quoted, MILLISECOND),
            Some(Duration::from_micros(12_500))
        );
        for none in ["-1", "NaN", "inf", "1e300", "", "soon", "86401"] {
            assert_eq!(number(none, SECOND), None, "{none}");
        }
        assert_eq!(measured(&Value::Null, SECOND), None);
    }
}
