//! Signals: who may end the process, have it replaced, or ask it to look at its files.
//!
//! Owns the handlers. SIGTERM and SIGINT end, a second one ends at once; SIGUSR2 asks for an upgrade;
//! what SIGHUP asks for is the caller's choice. SIGPIPE is ignored by Rust's runtime from the start. Refuses to know what
//! follows.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What SIGHUP asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HangUp {
    /// The end, as of a program at a terminal that was closed. So does SIGQUIT.
    End,
    /// A look at the certificates and a new file for the access log, as of a service.
    Reload,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// The end.
    End,
    /// A new process that takes over.
    Upgrade,
}

/// The signals that the process listens to.
#[derive(Debug)]
pub(super) struct Signals {
    ends: Vec<Signal>,
    upgrade: Option<Signal>,
    reload: Option<Signal>,
    reopen: Option<Signal>,
    configure: Option<Signal>,
}

impl Signals {
    /// Takes the signals over from their default actions. What comes before it is waited for is
    /// not lost.
    pub(super) fn listen(hang_up: HangUp) -> io::Result<Self> {
        let mut ends = vec![signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let hangs_up = signal(SignalKind::hangup())?;
        let (reload, reopen, configure, upgrade) = match hang_up {
            HangUp::End => {
                ends.extend([hangs_up, signal(SignalKind::quit())?]);
                (None, None, None, None)
            }
            HangUp::Reload => (
                Some(hangs_up),
                Some(signal(SignalKind::hangup())?),
                Some(signal(SignalKind::hangup())?),
                Some(signal(SignalKind::user_defined2())?),
            ),
        };
        Ok(Self { ends, upgrade, reload, reopen, configure })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Heard {
        poll_fn(|cx| {
            if self.ends.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
                return Poll::Ready(Heard::End);
            }
            if self.upgrade.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
                return Poll::Ready(Heard::Upgrade);
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for a signal that ends the process; what others ask for is too late.
    pub(super) async fn end(&mut self) {
        while self.next().await != Heard::End {}
    }

    /// The signal that asks for a look at the certificates, for the one who does that.
    pub(super) fn take_reload(&mut self) -> Option<Signal> {
        self.reload.take()
    }

    /// The same signal, for the one who reads the configuration.
    pub(super) fn take_configure(&mut self) -> Option<Signal> {
        self.configure.take()
    }

    /// The same signal, for the one who opens the files of logs anew.
    pub(super) fn take_reopen(&mut self) -> Option<Signal> {
        self.reopen.take()
    }
}
