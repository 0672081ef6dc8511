//! Whose turn it is to change what is served: one at a time, and the others are told at once.
//!
//! Owns [`Turn`]. While another process takes over, what it was handed is what has to be served:
//! a reload of one of them would leave the two with different sockets, and nobody with some. So
//! reloads have their turns between upgrades, not during them. Refuses to know what is changed.

use tokio::sync::watch;

/// What changes what is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// The configuration is read again.
    Reload,
    /// This process has followed another one, which still watches it.
    Succession,
    /// Another process is to follow this one.
    Upgrade,
}

impl Change {
    /// What goes on, for those whose turn it is not.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Reload => "a reload is under way",
            Self::Succession => {
                "an upgrade is under way: this process serves, and the one before it still watches"
            }
            Self::Upgrade => "an upgrade is under way",
        }
    }
}

/// Whose turn it is; clones speak of the same.
#[derive(Clone, Debug)]
pub(super) struct Turn(watch::Sender<Option<Change>>);

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Taken(Option<Turn>);

impl Turn {
    /// It is nobody's.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Takes the turn, unless something else goes on.
    pub(super) fn take(&self, change: Change) -> Result<Taken, Change> {
        let mut before = None;
        self.0.send_if_modified(|now| {
            before = *now;
            *now = now.or(Some(change));
            before.is_none()
        });
        before.map_or_else(|| Ok(Taken(Some(self.clone()))), Err)
    }

    /// Waits for the turn, and takes it.
    pub(super) async fn wait(&self, change: Change) -> Taken {
        loop {
            match self.take(change) {
                Ok(taken) => return taken,
                Err(_) => self.free().await,
            }
        }
    }

    /// Waits until it is nobody's.
    pub(super) async fn free(&self) {
        // The sender is here.
        let _ = self.0.subscribe().wait_for(Option::is_none).await;
    }
}

impl Taken {
    /// Keeps the turn until the process ends.
    pub(super) fn for_good(mut self) {
        self.0 = None;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(Turn(turn)) = &self.0 {
            turn.send_replace(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_its_turn_and_the_others_hear_what_goes_on() {
        let turn = Turn::new();
        let reload = turn.take(Change::Reload).unwrap();
        assert_eq!(turn.take(Change::Upgrade).unwrap_err(), Change::Reload);
        let other = turn.clone();
        let (upgrade, ()) = tokio::join!(other.wait(Change::Upgrade), async { drop(reload) });
        assert_eq!(turn.take(Change::Reload).unwrap_err(), Change::Upgrade);
        drop(upgrade);
        turn.free().await;
        turn.take(Change::Upgrade).unwrap().for_good();
        assert_eq!(turn.take(Change::Reload).unwrap_err(), Change::Upgrade);
    }
}
