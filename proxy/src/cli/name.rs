//! Names that people type, refused with the word that they typed.

use std::net::IpAddr;

use portunus_certs::name::{HostName, NameError, NamePattern};

/// A host name, as a client asks for it.
pub(super) fn host(name: &str) -> Result<HostName, BadName> {
    HostName::parse(name).map_err(|cause| BadName { name: name.to_owned(), cause })
}

/// Whether a certificate can be for `name`: a host name, a wildcard or an address.
pub(super) fn check(name: &str) -> Result<(), BadName> {
    if name.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let pattern = NamePattern::parse(name);
    pattern.map(drop).map_err(|cause| BadName { name: name.to_owned(), cause })
}

/// A word that is no name.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is no host name")]
pub(super) struct BadName {
    name: String,
    #[source]
    cause: NameError,
}
