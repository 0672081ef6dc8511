//! Why a client and a backend do not come together, where we lead the opening of their session.
//!
//! Owns [`OpeningError`], and who is to blame. Refuses to know what is said in an opening: `mysql`
//! and `postgresql` do.

use std::error::Error;
use std::io;

use crate::net::is_reset;
use crate::outcome::{BackendFailure, CloseReason};

/// Why a session is not begun.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// The backend broke, or does not say what it should.
    #[error("the backend does not get through the opening of the session")]
    Backend(#[source] io::Error),
    /// The client broke, left, or does not say what it should.
    #[error("the client does not get through the opening of the session")]
    Client(#[source] io::Error),
    /// The backend does not want any client now.
    #[error("the backend greets with a refusal")]
    Refused,
    /// The backend took too long.
    #[error("the backend did not answer in time")]
    Silent,
    /// It took too long, and the backend alone is not to blame.
    #[error("the opening of the session took too long")]
    Timeout,
}

impl OpeningError {
    /// How the connection ended.
    pub fn reason(&self) -> CloseReason {
        match self {
            Self::Backend(_) | Self::Refused => CloseReason::BackendError,
            Self::Client(error) if is_reset(error) => CloseReason::ClientReset,
            Self::Client(_) => CloseReason::ClientError,
            Self::Silent | Self::Timeout => CloseReason::Timeout,
        }
    }

    /// What the backend is charged with, if it is its fault.
    pub fn failure(&self) -> Option<BackendFailure> {
        match self {
            Self::Backend(error) if error.kind() == io::ErrorKind::InvalidData => {
                Some(BackendFailure::BadResponse)
            }
            Self::Backend(_) => Some(BackendFailure::Broken),
            Self::Refused => Some(BackendFailure::BadResponse),
            Self::Silent => Some(BackendFailure::Timeout),
            Self::Client(_) | Self::Timeout => None,
        }
    }
}

/// What stands in the stream is not what should.
pub(super) fn bad(error: impl Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
