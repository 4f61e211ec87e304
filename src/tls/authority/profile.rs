//! The contents of the CA's certificate, and when it must be renewed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, KeyUsagePurpose,
    NameConstraints,
};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::{GeneralName, GeneralSubtree as ParsedSubtree};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::RenewReason;
use crate::record::HostPattern;
use crate::tls::x509::{self, BACKDATE, DAY};

/// The certificate of a new CA: it can sign leaves (path length 0) for the permitted hosts, and for
/// no IP address.
pub(super) fn params(permitted: &[HostPattern], now: SystemTime) -> CertificateParams {
    let mut params = x509::params(SUBJECT, now - BACKDATE, now + LIFE);
    params
        .distinguished_name
        .push(DnType::CommonName, "Gravimeter CA of this machine");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: subtrees(permitted)
            .into_iter()
            .map(GeneralSubtree::DnsName)
            .collect(),
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)),
        ],
    });
    params
}

/// Why the certificate can no longer serve, if so.
pub(super) fn renew_reason(
    certificate: &CertificateDer<'_>,
    permitted: &[HostPattern],
    now: SystemTime,
) -> Option<RenewReason> {
    let Some(Range { start, end }) = validity(certificate) else {
        return Some(RenewReason::Constraints);
    };
    if now >= end {
        Some(RenewReason::Expired)
    } else if now < start {
        Some(RenewReason::NotYetValid)
    } else if now + RENEW_BEFORE > end {
        Some(RenewReason::ExpiresSoon)
    } else {
        (!is_constrained_to(certificate, &subtrees(permitted))).then_some(RenewReason::Constraints)
    }
}

/// From when to when the certificate is valid.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<Range<SystemTime>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let time =
        |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default());
    let validity = certificate.validity();
    Some(time(validity.not_before.timestamp())..time(validity.not_after.timestamp()))
}

/// 90 days bound what a stolen key is worth.
const LIFE: Duration = DAY.saturating_mul(90);

/// A CA that ends within this time is replaced at the start of the program.
const RENEW_BEFORE: Duration = DAY.saturating_mul(30);

const SUBJECT: &str = "Gravimeter";

/// RFC 6761 reserves it: no host has this name. A CA without any permitted subtree could sign for
/// every host.
const NO_HOST: &str = "invalid";

fn subtrees(permitted: &[HostPattern]) -> BTreeSet<String> {
    if permitted.is_empty() {
        return BTreeSet::from([NO_HOST.to_owned()]);
    }
    permitted
        .iter()
        .map(|pattern| pattern.subtree().to_owned())
        .collect()
}

/// Whether the certificate is as [`params`] makes it for these subtrees.
fn is_constrained_to(certificate: &CertificateDer<'_>, subtrees: &BTreeSet<String>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let Ok(Some(basic)) = certificate.basic_constraints() else {
        return false;
    };
    let Ok(Some(names)) = certificate.name_constraints() else {
        return false;
    };
    let permitted = names
        .value
        .permitted_subtrees
        .as_deref()
        .unwrap_or_default();
    let excluded = names.value.excluded_subtrees.as_deref().unwrap_or_default();
    let dns: Option<BTreeSet<String>> = permitted.iter().map(dns_name).collect();
    names.critical
        && basic.value.ca
        && basic.value.path_len_constraint == Some(0)
        && dns.as_ref() == Some(subtrees)
        && excludes_all(excluded, 8)
        && excludes_all(excluded, 32)
}

fn dns_name(subtree: &ParsedSubtree<'_>) -> Option<String> {
    match &subtree.base {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    }
}

/// Whether all addresses of a family are excluded: address and mask, both of zeros, `bytes` long
/// together.
fn excludes_all(excluded: &[ParsedSubtree<'_>], bytes: usize) -> bool {
    excluded.iter().any(|subtree| match &subtree.base {
        GeneralName::IPAddress(block) => {
            block.len() == bytes && block.iter().all(|byte| *byte == 0)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_of_addresses_is_excluded_by_zeros_of_its_length_only() {
        let is_excluded = |block: &[u8], bytes| {
            let base = GeneralName::IPAddress(block);
            excludes_all(&[ParsedSubtree { base }], bytes)
        };
        assert!(is_excluded(&[0; 8], 8) && is_excluded(&[0; 32], 32));
        assert!(!is_excluded(&[0; 8], 32) && !is_excluded(&[0; 32], 8));
        let mut one_network = [0; 8];
        (one_network[0], one_network[4]) = (10, 255);
        assert!(!is_excluded(&one_network, 8));
    }
}
