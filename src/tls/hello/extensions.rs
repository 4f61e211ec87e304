//! Finds the extensions of a ClientHello: rustls reads it but shows only some of them.
//!
//! The bytes are those of a ClientHello that rustls has read completely. Anything malformed counts
//! as absent.

/// `encrypted_client_hello` in the registry of TLS extensions (RFC 9849).
pub(super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Whether the ClientHello that `records` begin with has an extension of this kind.
pub(super) fn has(records: &[u8], kind: u16) -> bool {
    let message = handshake_bytes(records);
    extensions(&message).is_some_and(|mut rest| {
        while let Some((found, _)) = extension(&mut rest) {
            if found == kind {
                return true;
            }
        }
        false
    })
}

/// What the handshake records at the beginning hold, without their headers (RFC 8446 section 5.1):
/// a message may be spread over any number of them.
fn handshake_bytes(mut records: &[u8]) -> Vec<u8> {
    const HANDSHAKE: u8 = 22;
    let mut message = Vec::with_capacity(records.len());
    while let Some([HANDSHAKE, _, _]) = take(&mut records, 3)
        && let Some(fragment) = sized(&mut records, 2)
    {
        message.extend_from_slice(fragment);
    }
    message
}

/// The list of extensions in a ClientHello (RFC 8446 section 4.1.2); `None` where it has none.
fn extensions(mut message: &[u8]) -> Option<&[u8]> {
    const TYPE: usize = 1;
    const VERSION_AND_RANDOM: usize = 2 + 32;
    take(&mut message, TYPE)?;
    let mut hello = sized(&mut message, 3)?;
    take(&mut hello, VERSION_AND_RANDOM)?;
    let (_session, _ciphers, _compression) = (
        sized(&mut hello, 1)?,
        sized(&mut hello, 2)?,
        sized(&mut hello, 1)?,
    );
    sized(&mut hello, 2)
}

/// The next extension: its kind and its body.
fn extension<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let kind = take(rest, 2)?.try_into().map(u16::from_be_bytes).ok()?;
    Some((kind, sized(rest, 2)?))
}

/// A field with its length before it, in `width` bytes.
fn sized<'a>(bytes: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let length = take(bytes, width)?
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    take(bytes, length)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}
