//! What an endpoint hears first: whom a connection is for.
//!
//! Owns [`Herald`], which writes the PROXY header of the configuration before anything else is
//! said, TLS included. A connection with one use is introduced as that of its client; all others,
//! which are shared, wait in the pool or only ask how the endpoint is, belong to no client and say
//! so. Refuses to know what a header looks like, which is `proxy_protocol`.

use std::io;

use tokio::io::AsyncWriteExt as _;

use crate::config::{ProxyVersion, SendProxy};
use crate::count::IntCounter;
use crate::net::Socket;
use crate::proxy_protocol::{Ends, Introduction, encode};

/// Whom a connection is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum OnBehalf<'a> {
    /// This client, and no other ever.
    Client(&'a Introduction),
    /// Nobody in particular.
    Ourselves,
}

/// Tells an endpoint whom a connection is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Herald<'a> {
    pub(super) form: &'a SendProxy,
    pub(super) whom: OnBehalf<'a>,
    /// What had no room.
    pub(super) omitted: &'a IntCounter,
}

impl Herald<'_> {
    /// Whether what the endpoint answers may be meant for a client.
    pub(super) fn tells_of_client(&self) -> bool {
        matches!(self.whom, OnBehalf::Client(_))
    }

    /// Tells it over `socket`, on which nothing was said.
    pub(super) async fn tell(&self, socket: &mut Socket) -> io::Result<()> {
        let header = match self.whom {
            OnBehalf::Client(introduction) => encode(introduction, self.form),
            OnBehalf::Ourselves => {
                encode(&Introduction::of(own_ends(self.form, socket)), self.form)
            }
        };
        self.omitted.inc_by(header.omitted as u64);
        socket.write_all(&header.bytes).await
    }
}

/// Version 1 has no words for those who speak for themselves, and not everybody takes UNKNOWN: so
/// the addresses are those of the connection itself (specification 2.1).
fn own_ends(form: &SendProxy, socket: &Socket) -> Ends {
    match form.version {
        ProxyVersion::V1 => Ends::between(socket.local_addr(), socket.peer_addr()),
        ProxyVersion::V2 => Ends::Local,
    }
}
