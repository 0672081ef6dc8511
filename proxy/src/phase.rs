//! Where the process stands in its life.
//!
//! Owns [`Phase`], the pair that publishes and reads it, and how long ago it all began; readiness
//! and the stop of accepting follow from it. Refuses to know what leads from one phase to the next:
//! `runtime` does.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Where the process stands in its life; it only ever goes forward.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Certificates are read, names resolved, sockets bound.
    Starting,
    /// Everything is served.
    Running,
    /// Everything is still served, but readiness asks for no more.
    Leaving,
    /// Nothing new is accepted; what is open may finish.
    Draining,
}

impl Phase {
    /// Every phase, in their order.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Running, Self::Leaving, Self::Draining];

    /// The word in metrics and answers.
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Leaving => "leaving",
            Self::Draining => "draining",
        }
    }

    /// Whether new clients should come.
    pub fn is_ready(self) -> bool {
        self == Self::Running
    }
}

/// The one who says where the process stands.
#[derive(Debug)]
pub struct PhaseTeller(watch::Sender<Phase>);

impl PhaseTeller {
    /// A teller in [`Phase::Starting`] and one that listens.
    pub fn new() -> (Self, PhaseWatch) {
        let (sender, receiver) = watch::channel(Phase::Starting);
        (Self(sender), PhaseWatch { phase: receiver, born: Instant::now() })
    }

    /// Goes forward to `phase`; an earlier one is ignored.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let forward = phase > *now;
            if forward {
                *now = phase;
            }
            forward
        });
    }
}

/// One who hears where the process stands.
#[derive(Clone, Debug)]
pub struct PhaseWatch {
    phase: watch::Receiver<Phase>,
    born: Instant,
}

impl PhaseWatch {
    /// The phase now.
    pub fn now(&self) -> Phase {
        *self.phase.borrow()
    }

    /// How long ago it began.
    pub fn uptime(&self) -> Duration {
        self.born.elapsed()
    }

    /// Waits until `phase` or a later one is entered.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the process is gone, which is later than any phase.
        let _ = self.phase.wait_for(|now| *now >= phase).await;
    }
}
