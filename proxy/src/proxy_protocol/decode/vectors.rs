//! What follows the addresses of version 2: values with a type and a length (specification 2.2.1
//! to 2.2.8).
//!
//! Owns that they end exactly where the header does, at both depths. What may stand there once is
//! refused twice; what is not understood is passed over.

use super::super::crc32c::crc32c;
use super::super::{
    Ends, Introduction, Shown, TLV_HEAD_BYTES, Text, TlsIntroduction, UNIQUE_ID_BYTES_MAX, client,
    kind,
};
use super::Malformed;

/// Reads what stands in `header` from `start` on, of a connection between `ends`.
pub(super) fn read(header: &[u8], start: usize, ends: Ends) -> Result<Introduction, Malformed> {
    let mut found = Introduction::of(ends);
    let mut seen = Seen::default();
    let mut rest = header.get(start..).unwrap_or_default();
    while let Some(vector) = next(&mut rest)? {
        match vector.kind {
            kind::ALPN => {
                seen.once(vector.kind)?;
                found.alpn = Some(vector.value.to_vec());
            }
            kind::AUTHORITY => {
                seen.once(vector.kind)?;
                found.authority = Some(vector.text()?);
            }
            kind::CRC32C => {
                seen.once(vector.kind)?;
                let end = header.len() - rest.len();
                check(header, end, &vector)?;
            }
            kind::UNIQUE_ID => {
                seen.once(vector.kind)?;
                if vector.value.len() > UNIQUE_ID_BYTES_MAX {
                    return Err(Malformed::VectorValue(vector.kind));
                }
                found.unique_id = Some(vector.value.to_vec());
            }
            kind::SSL => {
                seen.once(vector.kind)?;
                found.tls = tls(&vector)?;
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A value with its type.
struct Vector<'a> {
    kind: u8,
    value: &'a [u8],
}

impl Vector<'_> {
    fn text(&self) -> Result<Text, Malformed> {
        match std::str::from_utf8(self.value) {
            Ok(text) => Ok(Text::Owned(text.to_owned())),
            Err(_) => Err(Malformed::VectorValue(self.kind)),
        }
    }
}

/// Takes the next vector off `rest`; `None` if nothing is left.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<Vector<'a>>, Malformed> {
    let Some((head, after)) = rest.split_first_chunk::<TLV_HEAD_BYTES>() else {
        return if rest.is_empty() { Ok(None) } else { Err(Malformed::VectorCut) };
    };
    let [kind, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (value, after) = after.split_at_checked(length).ok_or(Malformed::VectorCut)?;
    *rest = after;
    Ok(Some(Vector { kind, value }))
}

/// The types that were there.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    /// Remembers `kind`, which is below 64, unless it was there before.
    fn once(&mut self, kind: u8) -> Result<(), Malformed> {
        let bit = 1_u64.checked_shl(kind.into()).unwrap_or_default();
        if self.0 & bit != 0 {
            return Err(Malformed::VectorTwice(kind));
        }
        self.0 |= bit;
        Ok(())
    }
}

/// Compares the checksum in `vector`, which ends at `end` of `header`, with that of the header with
/// zeros in its place (specification 2.2.3).
fn check(header: &[u8], end: usize, vector: &Vector<'_>) -> Result<(), Malformed> {
    let sum: [u8; 4] = vector.value.try_into().map_err(|_| Malformed::VectorValue(vector.kind))?;
    let before = header.get(..end - sum.len()).unwrap_or_default();
    let behind = header.get(end..).unwrap_or_default();
    match crc32c([before, &[0; 4], behind]) == u32::from_be_bytes(sum) {
        true => Ok(()),
        false => Err(Malformed::Checksum),
    }
}

/// How the client came under TLS; `None` if it did not.
fn tls(vector: &Vector<'_>) -> Result<Option<TlsIntroduction>, Malformed> {
    let Some((&[bits, ref verify @ ..], mut rest)) = vector.value.split_first_chunk::<5>() else {
        return Err(Malformed::VectorValue(vector.kind));
    };
    let shown = match (bits & client::CERT_CONN, bits & client::CERT_SESS) {
        (0, 0) => Shown::Never,
        (0, _) => Shown::Once,
        (_, _) => Shown::Now,
    };
    let verify = u32::from_be_bytes(*verify);
    let mut found = TlsIntroduction { shown, verify, ..TlsIntroduction::default() };
    let mut seen = Seen::default();
    while let Some(vector) = next(&mut rest)? {
        let field = match vector.kind {
            kind::SSL_VERSION => &mut found.version,
            kind::SSL_CN => &mut found.common_name,
            kind::SSL_CIPHER => &mut found.cipher,
            kind::SSL_SIG_ALG => &mut found.signature_algorithm,
            kind::SSL_KEY_ALG => &mut found.key_algorithm,
            kind::SSL_GROUP => &mut found.group,
            kind::SSL_SIG_SCHEME => &mut found.signature_scheme,
            kind::SSL_CLIENT_CERT => {
                seen.once(vector.kind)?;
                found.certificate = Some(vector.value.to_vec());
                continue;
            }
            _ => continue,
        };
        seen.once(vector.kind)?;
        *field = Some(vector.text()?);
    }
    Ok((bits & client::SSL != 0).then_some(found))
}
