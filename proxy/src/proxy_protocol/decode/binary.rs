//! Version 2: a fixed part, addresses, and vectors (specification 2.2).

use std::net::SocketAddr;

use super::super::{Ends, FIXED_BYTES, HEADER_BYTES_MAX, Introduction, UNIX_NAME_BYTES, UnixName};
use super::{Decoded, Malformed, canonical, vectors};

/// Reads the header that `bytes`, which have the signature as far as they go, begin with.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Malformed> {
    let command = match bytes.get(12) {
        None => return Ok(Decoded::Incomplete),
        Some(0x20) => Command::Local,
        Some(0x21) => Command::Proxy,
        Some(other) => return Err(Malformed::Command(*other)),
    };
    let layout = match (command, bytes.get(13)) {
        (_, None) => return Ok(Decoded::Incomplete),
        (Command::Local, Some(_)) => Layout { family: Family::None, transport: Transport::Other },
        (Command::Proxy, Some(byte)) => Layout::of(*byte).ok_or(Malformed::Family(*byte))?,
    };
    let Some(&[high, low]) = bytes.get(14..FIXED_BYTES) else { return Ok(Decoded::Incomplete) };
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_BYTES_MAX {
        return Err(Malformed::too_long());
    }
    let addresses_end = FIXED_BYTES + layout.family.bytes();
    if addresses_end > length {
        return Err(Malformed::AddressesCut);
    }
    let Some(header) = bytes.get(..length) else { return Ok(Decoded::Incomplete) };
    let introduction = match command {
        // Whatever else it has is to be discarded.
        Command::Local => Introduction::of(Ends::Local),
        Command::Proxy => {
            let addresses = header.get(FIXED_BYTES..addresses_end).unwrap_or_default();
            let ends = layout.ends(addresses).ok_or(Malformed::AddressesCut)?;
            vectors::read(header, addresses_end, ends)?
        }
    };
    Ok(Decoded::Complete { introduction: Box::new(introduction), length })
}

#[derive(Clone, Copy)]
enum Command {
    Local,
    Proxy,
}

/// What the addresses are.
struct Layout {
    family: Family,
    transport: Transport,
}

enum Family {
    None,
    V4,
    V6,
    Unix,
}

/// Only of streams are the addresses of use.
#[derive(Eq, PartialEq)]
enum Transport {
    Stream,
    Other,
}

impl Layout {
    fn of(byte: u8) -> Option<Self> {
        let family = match byte >> 4 {
            0 => Family::None,
            1 => Family::V4,
            2 => Family::V6,
            3 => Family::Unix,
            _ => return None,
        };
        let transport = match byte & 0xf {
            1 => Transport::Stream,
            0 | 2 => Transport::Other,
            _ => return None,
        };
        Some(Self { family, transport })
    }

    /// `None` if `bytes` are too few.
    fn ends(&self, bytes: &[u8]) -> Option<Ends> {
        if self.transport == Transport::Other {
            return Some(Ends::Unknown);
        }
        match self.family {
            Family::None => Some(Ends::Unknown),
            Family::V4 => tcp::<4>(bytes),
            Family::V6 => tcp::<16>(bytes),
            Family::Unix => {
                let (source, rest) = bytes.split_first_chunk::<UNIX_NAME_BYTES>()?;
                let destination = UnixName(*rest.first_chunk()?);
                Some(Ends::Unix { source: UnixName(*source), destination })
            }
        }
    }
}

impl Family {
    /// How long both addresses are together, with their ports.
    fn bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::V4 => 2 * (4 + 2),
            Self::V6 => 2 * (16 + 2),
            Self::Unix => 2 * UNIX_NAME_BYTES,
        }
    }
}

/// Two IP addresses of `N` bytes and two ports.
fn tcp<const N: usize>(bytes: &[u8]) -> Option<Ends>
where
    std::net::IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let destination_port = rest.first_chunk()?;
    let addr = |ip: &[u8; N], port: &[u8; 2]| {
        canonical(SocketAddr::new((*ip).into(), u16::from_be_bytes(*port)))
    };
    Some(Ends::Tcp {
        source: addr(source, source_port),
        destination: addr(destination, destination_port),
    })
}
