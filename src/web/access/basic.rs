//! Parses the `Authorization` field of HTTP Basic (RFC 7617) into a name and a password.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// Name and password of a request, if it has exactly one valid field. The password is wiped when it
/// is dropped.
pub(super) fn credentials(headers: &HeaderMap) -> Option<(String, Zeroizing<Vec<u8>>)> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next()?.as_bytes();
    if fields.next().is_some() {
        return None;
    }
    let (scheme, rest) = field.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let decoded = Zeroizing::new(BASE64_STANDARD.decode(rest.trim_ascii()).ok()?);
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (name, password) = decoded.split_at_checked(colon)?;
    let password = password.strip_prefix(b":")?;
    Some((
        String::from_utf8(name.to_vec()).ok()?,
        Zeroizing::new(password.to_vec()),
    ))
}

const SCHEME: &[u8] = b"basic ";

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(fields: &[&str]) -> Option<(String, Vec<u8>)> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_str(field).unwrap());
        }
        credentials(&headers).map(|(name, password)| (name, password.to_vec()))
    }

    #[test]
    fn name_and_password_are_read() {
        let is = |name: &str, password: &str| Some((name.to_owned(), password.as_bytes().to_vec()));
        // The example of RFC 7617, section 2.
        assert_eq!(
            read(&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]),
            is("Aladdin", "open sesame")
        );
        assert_eq!(read(&["bAsIc  YTpiOmM= "]), is("a", "b:c"));
        assert_eq!(read(&["Basic Og=="]), is("", ""));
    }

    #[test]
    fn anything_else_is_nobody() {
        for fields in [
            &[][..],
            &["Basic"],
            &["Basic "],
            &["Basic !!!"],
            &["Basic YQ=="],
            &["Basic /zph"],
            &["Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
            &["Basic Og==", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
        ] {
            assert_eq!(read(fields), None, "{fields:?}");
        }
    }
}
