//! A handshake from the moment that it may begin: its permit and its bill.
//!
//! Owns [`Admission`], which is what `handshake` asks before the costly part. While few handshakes
//! are going on, nobody waits. When there are many, the full ones take turns, and each lets
//! everything pass first that is ready by then: clients that resume, and those whose TLS stands.
//! Refuses to know what a hello says. Read next: `handshakes`, `rates`.

use tokio::sync::SemaphorePermit;

use super::handshakes::HandshakePermit;
use super::rates::Bill;
use crate::metrics::Limit;

/// A handshake that may begin.
#[derive(Debug)]
pub struct Admission {
    permit: HandshakePermit,
    bill: Bill,
}

/// What a handshake will cost, as far as it is known before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cost {
    /// That of a full handshake.
    Full,
    /// Next to nothing: the session that is offered is there.
    Resumed,
}

/// A turn to compute; nothing may be waited for while it is held.
#[derive(Debug)]
pub struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Admission {
    /// A handshake that has a permit, and a bill to be paid.
    pub fn new(permit: HandshakePermit, bill: Bill) -> Self {
        Self { permit, bill }
    }

    /// Waits for the turn to compute, if the source may have what that will `cost`.
    pub async fn turn(&mut self, cost: Cost) -> Result<Turn<'_>, Limit> {
        match cost {
            Cost::Full => {
                self.bill.pay()?;
                Ok(Turn { _permit: self.permit.turn().await })
            }
            Cost::Resumed => Ok(Turn { _permit: None }),
        }
    }

    /// The handshake is over, and was cheap.
    pub fn forgive(self) {
        self.bill.forgive();
    }
}
