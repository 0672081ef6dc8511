//! The gate before all listening sockets of the process: shut, nobody accepts, and what connects
//! waits in the kernel.
//!
//! Owns [`Gate`], which every socket has, and [`Gatekeeper`], who opens and shuts it. Refuses to
//! know why.

use tokio::sync::watch;

/// What a socket asks before it accepts. The default is a gate that nobody ever shuts.
#[derive(Clone, Debug, Default)]
pub struct Gate(Option<watch::Receiver<bool>>);

/// Who opens and shuts the gate.
#[derive(Debug)]
pub struct Gatekeeper(watch::Sender<bool>);

impl Gatekeeper {
    /// A gate that is open.
    pub fn new() -> (Self, Gate) {
        let (is_open, heard) = watch::channel(true);
        (Self(is_open), Gate(Some(heard)))
    }

    /// Lets everybody accept.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Has nobody accept from now on. A connection that is just coming in still may.
    pub fn shut(&self) {
        self.0.send_replace(false);
    }
}

impl Gate {
    /// Waits until the gate is open.
    pub async fn opened(&self) {
        self.reached(true).await;
    }

    /// Waits until the gate is shut.
    pub async fn shut(&self) {
        self.reached(false).await;
    }

    /// Whether the gate is open.
    pub fn is_open(&self) -> bool {
        self.0.as_ref().is_none_or(|is_open| *is_open.borrow())
    }

    async fn reached(&self, wanted: bool) {
        let gone = match &self.0 {
            Some(is_open) if *is_open.borrow() == wanted => return,
            Some(is_open) => is_open.clone().wait_for(|is_open| *is_open == wanted).await.is_err(),
            None => true,
        };
        // Without a keeper the gate stays as it is: open, or it would be shut for good.
        if gone && !wanted {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_gate_is_open_until_its_keeper_shuts_it_and_without_one_for_good() {
        let (keeper, gate) = Gatekeeper::new();
        assert!(gate.opened().now_or_never().is_some() && gate.shut().now_or_never().is_none());
        let heard = gate.clone();
        let (shut, ()) = tokio::join!(heard.shut(), async { keeper.shut() });
        let () = shut;
        assert!(gate.opened().now_or_never().is_none());
        keeper.open();
        assert!(gate.opened().now_or_never().is_some());
        keeper.shut();
        drop(keeper);
        for gate in [gate, Gate::default()] {
            assert!(gate.opened().now_or_never().is_some());
        }
        assert!(Gate::default().shut().now_or_never().is_none());
    }
}
