//! Signals: who may end the process, have it replaced, or ask it to look at its files.
//!
//! Owns the handlers. SIGTERM, SIGINT and SIGQUIT end, a second one of them ends at once; SIGUSR2
//! asks for an upgrade; what SIGHUP asks for is the caller's choice. SIGPIPE is ignored by Rust's
//! runtime from the start. Refuses to know what follows.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What SIGHUP asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HangUp {
    /// The end, as of a program at a terminal that was closed.
    End,
    /// A look at certificates and configuration, and a new file for the access log, as of a
    /// service.
    Reload,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// The end.
    End,
    /// A look at the files of a service, by those who wait for it, or the next who would.
    HangUp,
    /// A new process that takes over.
    Upgrade,
}

impl Heard {
    /// The signal that stands for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::End => "SIGTERM",
            Self::HangUp => "SIGHUP",
            Self::Upgrade => "SIGUSR2",
        }
    }
}

/// The signals that the process listens to.
#[derive(Debug)]
pub(super) struct Signals {
    ends: Vec<Signal>,
    hang_up: Option<Signal>,
    upgrade: Option<Signal>,
    reload: Option<Signal>,
    reopen: Option<[Signal; 2]>,
    configure: Option<Signal>,
}

impl Signals {
    /// Takes the signals over from their default actions. What comes before it is waited for is
    /// not lost.
    pub(super) fn listen(hang_up: HangUp) -> io::Result<Self> {
        let ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        let mut ends = ends.into_iter().map(signal).collect::<io::Result<Vec<Signal>>>()?;
        let hang_ups = || match hang_up {
            HangUp::End => Ok(None),
            HangUp::Reload => signal(SignalKind::hangup()).map(Some),
        };
        let (late, reload, configure) = (hang_ups()?, hang_ups()?, hang_ups()?);
        let (reopen, upgrade) = match hang_up {
            HangUp::End => {
                ends.push(signal(SignalKind::hangup())?);
                (None, None)
            }
            HangUp::Reload => (
                Some([signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?]),
                Some(signal(SignalKind::user_defined2())?),
            ),
        };
        Ok(Self { ends, hang_up: late, upgrade, reload, reopen, configure })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Heard {
        poll_fn(|cx| {
            if self.ends.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
                return Poll::Ready(Heard::End);
            }
            if self.hang_up.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
                return Poll::Ready(Heard::HangUp);
            }
            if self.upgrade.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
                return Poll::Ready(Heard::Upgrade);
            }
            Poll::Pending
        })
        .await
    }

    /// The signal that asks for a look at the certificates, for the one who does that.
    pub(super) fn take_reload(&mut self) -> Option<Signal> {
        self.reload.take()
    }

    /// The same signal, for the one who reads the configuration.
    pub(super) fn take_configure(&mut self) -> Option<Signal> {
        self.configure.take()
    }

    /// The same signal and SIGUSR1, for the one who opens the files of logs anew.
    pub(super) fn take_reopen(&mut self) -> Option<[Signal; 2]> {
        self.reopen.take()
    }
}

/// Waits for the signal, if there is one to wait for.
pub(super) async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
