//! The host that a request is for.

use http::HeaderValue;

/// A valid `Host` value or `:authority`: a name or an IP address, perhaps with a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    value: HeaderValue,
    name_len: usize,
}

impl Host {
    /// Checks the value of a `Host` field (RFC 9110 §7.2). Stricter than the RFC: no user, no
    /// comma, no percent-encoding, nothing that any reader could take for a separator.
    pub fn new(value: HeaderValue) -> Result<Self, HostError> {
        let bytes = value.as_bytes();
        let (name_len, rest) = match bytes {
            [b'[', ..] => {
                let end = bytes.iter().position(|&byte| byte == b']').ok_or(HostError)?;
                let inner = bytes.get(1..end).ok_or(HostError)?;
                let text = std::str::from_utf8(inner).map_err(|_| HostError)?;
                text.parse::<std::net::Ipv6Addr>().map_err(|_| HostError)?;
                (end + 1, bytes.get(end + 1..))
            }
            _ => {
                let end = bytes.iter().position(|&byte| byte == b':').unwrap_or(bytes.len());
                let name = bytes.get(..end).ok_or(HostError)?;
                let plain =
                    |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
                if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.iter().all(plain) {
                    return Err(HostError);
                }
                (end, bytes.get(end..))
            }
        };
        match rest {
            None | Some([]) => {}
            Some([b':', port @ ..]) => check_port(port)?,
            Some(_) => return Err(HostError),
        }
        Ok(Self { value, name_len })
    }

    /// The name or address without a port; an IPv6 address has its brackets.
    pub fn name(&self) -> &str {
        let text = self.value.to_str().unwrap_or_default();
        text.get(..self.name_len).unwrap_or_default()
    }

    /// The value for a `Host` field.
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }
}

fn check_port(digits: &[u8]) -> Result<(), HostError> {
    let text = std::str::from_utf8(digits).map_err(|_| HostError)?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || text.parse::<u16>().is_err() { Err(HostError) } else { Ok(()) }
}

/// The value is not a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a host name or an IP address, with or without a port")]
pub struct HostError;

/// RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 255;
