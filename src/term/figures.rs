//! How figures are written on a terminal: one way for each kind, wherever it stands.

use std::time::Duration;

/// Digits in groups of three.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An amount of dollars to a hundredth of a cent, which is what a call of a small model costs.
#[must_use]
pub fn dollars(usd: f64) -> String {
    format!("${usd:.4}")
}

/// A number of seconds to two or three digits: `85 ms`, `2.4 s`, `3 min 20 s`, `2 h 5 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let whole = time.as_secs();
    match whole {
        0 => format!("{} ms", time.as_millis()),
        1..=9 => format!("{seconds:.1} s"),
        10..=59 => format!("{whole} s"),
        60..=3599 => format!("{} min {} s", whole / 60, whole % 60),
        3600..=86_399 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// A share of a whole, from 0 to 1, in percent.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// What is left of a limit, from 0 to 1, in whole percent: rounded down, so that it is never told
/// too high.
#[must_use]
pub fn percent_left(share: f64) -> String {
    // A share such as 0.29 is a little less than that in binary.
    let whole = (share * 100.0 + TINY).floor();
    format!("{whole:.0} %")
}

/// More than the error of a share in binary, less than any share that a provider tells.
const TINY: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ];
        cases
            .iter()
            .for_each(|(number, text)| assert_eq!(grouped(*number), *text));
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        let cases = [
            (0.085, "85 ms"),
            (2.44, "2.4 s"),
            (59.9, "59 s"),
            (200.0, "3 min 20 s"),
            (7500.0, "2 h 5 min"),
            (90_000.0, "1 d 1 h"),
            (-1.0, "0 ms"),
        ];
        cases
            .iter()
            .for_each(|(seconds, text)| assert_eq!(duration(*seconds), *text));
    }

    #[test]
    fn what_is_left_is_never_told_too_high() {
        let left: Vec<_> = [0.0, 0.429, 0.999, 0.29, 1.0]
            .into_iter()
            .map(percent_left)
            .collect();
        assert_eq!(left, ["0 %", "42 %", "99 %", "29 %", "100 %"]);
    }
}
