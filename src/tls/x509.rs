//! The common parts of the CA's certificates and the leaves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, SerialNumber};

/// Certificates begin this long before they are made: the agent may run on a clock that is behind.
pub(super) const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// A day.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The parameters of a certificate: its subject, a random serial number, its validity.
pub(super) fn params(
    subject: &str,
    not_before: SystemTime,
    not_after: SystemTime,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, subject);
    params.serial_number = Some(random_serial());
    // An expression each: the type of these fields comes from a crate that Gravimeter does not
    // name.
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_before);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_after);
    params
}

/// 126 random bits; two fixed ones keep the number positive and its length constant.
fn random_serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    let [first, ..] = &mut bytes;
    *first = (*first & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// Whole seconds since 1970, within the years that a certificate can name: a wrong clock must not
/// end the program.
fn since_epoch(time: SystemTime) -> Duration {
    const END_OF_9999: u64 = 253_402_300_799;
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    Duration::from_secs(seconds.min(END_OF_9999))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5280 section 4.1.2.2: positive, and at most 20 bytes.
    #[test]
    fn serial_numbers_are_positive_of_one_length_and_random() {
        let all: std::collections::BTreeSet<_> =
            (0..200).map(|_| random_serial().to_bytes()).collect();
        assert_eq!(all.len(), 200);
        let first: std::collections::BTreeSet<_> = all.iter().map(|bytes| bytes[0]).collect();
        assert!(all.iter().all(|bytes| bytes.len() == 16));
        assert!(first.iter().all(|byte| (0x40..0x80).contains(byte)));
        assert!(first.len() > 8, "{first:x?}");
    }
}
