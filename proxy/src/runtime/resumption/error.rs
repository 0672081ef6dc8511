//! Why sessions cannot be kept as the configuration says.
//!
//! Owns [`ResumptionError`] and what can be done about each. Refuses to know who is told.

use crate::runtime::key_files::KeyFileError;

use super::engines::StillOpening;

/// Why sessions cannot be kept as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum ResumptionError {
    /// A file of keys cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The authorities of the store cannot be read.
    #[error("authorities of the shared store")]
    Authorities(#[source] KeyFileError),
    /// The store cannot be used.
    #[error("shared store")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store is being opened, and that has not come to anything.
    #[error("shared store: it was to be opened before, and still is not open")]
    StillOpening,
    /// There can be no ticket keys.
    #[error("ticket keys")]
    Tickets(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ResumptionError {
    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::KeyFile(_) => {
                "a file of sealing keys has a line for each, the first one seals: \
                 `openssl rand -base64 32`; a file of ticket keys is as nginx has it: \
                 `openssl rand 80`"
            }
            Self::Authorities(_) => "`resumption.shared.ca` is a PEM bundle",
            Self::Store(_) => "`resumption.shared` says where the store is, and how it is used",
            Self::StillOpening => {
                "look for a file system that hangs, or name another folder in `resumption.shared`"
            }
            Self::Tickets(_) => "`resumption.ticket_rotation` and `resumption.lifetime` decide",
        }
    }
}

impl From<StillOpening> for ResumptionError {
    fn from(StillOpening: StillOpening) -> Self {
        Self::StillOpening
    }
}
