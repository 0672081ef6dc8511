//! What a backend says of itself to those who run it.
//!
//! Owns the values; how they look is up to `admin`.

use std::sync::Arc;
use std::time::Duration;

use crate::metrics::Standing;
use crate::net::EndpointAddr;

/// A backend, as it is now.
#[derive(Clone, Debug)]
pub struct BackendReport {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// Every endpoint that has an address.
    pub endpoints: Vec<EndpointReport>,
    /// How old the oldest answer for a name is, if there are names.
    pub resolve_age: Option<Duration>,
}

/// An endpoint, as it is now.
#[derive(Clone, Debug)]
pub struct EndpointReport {
    /// The name in the configuration.
    pub name: String,
    /// The address.
    pub addr: EndpointAddr,
    /// Its share beside the others'.
    pub weight: u16,
    /// Whether it is used only if no other can be.
    pub is_backup: bool,
    /// Whether it can be used.
    pub standing: Standing,
    /// Whether the last attempt to use it failed.
    pub is_down: bool,
    /// Connections and requests that are going on there.
    pub load: usize,
}
