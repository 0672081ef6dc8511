//! Why there was no upgrade.
//!
//! Owns the words for it, and what can be done. Refuses to know when it is said: that is
//! `predecessor`, which goes on as before after each of them.

use std::io;

use super::launcher::LaunchError;
use super::message::{MessageError, VERSION};

/// Why there was no upgrade.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Nothing could be said or heard.
    #[error("the new process is gone")]
    Carry(#[source] io::Error),
    /// It served, and did not live.
    #[error("the new process did not live ({0}); this one serves again")]
    Died(String),
    /// The end of this process came first.
    #[error("this process was told to end meanwhile")]
    End,
    /// It ended without a word.
    #[error("the new process ended at its start ({0}); its log says why")]
    Ended(String),
    /// It said why it cannot serve.
    #[error("the new process cannot serve: {reason}")]
    Failed {
        /// Why, in its words.
        reason: String,
        /// What can be done about it, in its words; may be empty.
        hint: String,
    },
    /// The process is the first one of a container.
    #[error("this process is the first one of its container, which ends with it")]
    Init,
    /// It took too long.
    #[error("the new process took too long")]
    Late,
    /// The launcher failed.
    #[error("no new process")]
    Launch(#[from] LaunchError),
    /// Something was not understood.
    #[error("the new process is not understood")]
    Message(#[from] MessageError),
    /// There is nobody who could start one.
    #[error("this process was started without a launcher")]
    NoLauncher,
    /// The configuration is being read, and that does not end.
    #[error("a reload does not end")]
    Reloading,
    /// Something was said out of turn.
    #[error("the new process said `{0}`, which was not expected")]
    Unexpected(&'static str),
    /// The two processes have no words in common.
    #[error(
        "the new process speaks the versions {lowest} to {highest} of the handoff, not {VERSION}"
    )]
    Version {
        /// The lowest that it speaks.
        lowest: u16,
        /// The highest.
        highest: u16,
    },
    /// The upgrade before this one is not over.
    #[error("the upgrade before this one is still being watched")]
    Watched,
}

impl UpgradeError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Failed { hint, .. } if !hint.is_empty() => Some(hint),
            Self::Init => Some("replace the container: the new one takes over what comes new"),
            Self::Launch(LaunchError::Gone(_)) => Some(
                "`portunus launch`, its child, has ended or is stopped: restart the service; \
                 the new process has one of its own",
            ),
            Self::NoLauncher => Some("only `portunus run` has one, and its log says what is wrong"),
            Self::Reloading => Some("a file that it reads may hang: a restart is the way out"),
            Self::Watched => Some("try again in some seconds"),
            Self::Version { .. } => Some("upgrade by way of a version in between, or restart"),
            _ => None,
        }
    }
}
