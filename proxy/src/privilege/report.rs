//! What became of each measure.
//!
//! Owns the words for it, which are a closed set in `/status` and in the log. Refuses to know how
//! a measure is taken.

use std::fmt;
use std::path::Path;

use super::Places;
use crate::config::Sandbox;

/// Something that the process gives up, or others lose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Measure {
    /// Capabilities (capabilities(7)).
    Capabilities,
    /// The files that can be reached (Landlock).
    Files,
    /// What others can read of its memory: debuggers, core dumps.
    Memory,
    /// Who can use the files that it makes.
    NewFiles,
    /// Whether a program could give privileges back.
    NewPrivileges,
    /// How many files it may have open; the one thing that it takes.
    OpenFiles,
    /// The system calls that it can make (seccomp).
    SystemCalls,
    /// Who it is.
    User,
}

impl Measure {
    /// The word in `/status` and in logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Files => "files",
            Self::Memory => "memory",
            Self::NewFiles => "new_files",
            Self::NewPrivileges => "new_privileges",
            Self::OpenFiles => "open_files",
            Self::SystemCalls => "system_calls",
            Self::User => "user",
        }
    }
}

/// What became of a measure; the text says with what, or why not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// All of it.
    Applied(String),
    /// None of it, or not all.
    Missing(String),
    /// Nobody asked for it.
    Off(String),
}

impl Standing {
    /// Applied, unless there is an error to tell.
    pub(super) fn of<E: fmt::Display>(
        done: Result<(), E>,
        with: impl Into<String>,
        what: &str,
    ) -> Self {
        match done {
            Ok(()) => Self::Applied(with.into()),
            Err(error) => Self::Missing(format!("{what}: {error}")),
        }
    }

    /// The word in `/status`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Missing(_) => "missing",
            Self::Off(_) => "off",
        }
    }

    /// With what, or why not.
    pub fn detail(&self) -> &str {
        let (Self::Applied(detail) | Self::Missing(detail) | Self::Off(detail)) = self;
        detail
    }
}

/// What became of every measure, in the order in which they were taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    sandbox: Sandbox,
    measures: Vec<(Measure, Standing)>,
    places: Option<Places>,
}

impl Report {
    pub(super) fn new(sandbox: Sandbox) -> Self {
        Self { sandbox, measures: Vec::new(), places: None }
    }

    /// Nothing but `places` can be reached from now on.
    pub(super) fn keep_to(&mut self, places: &Places) {
        self.places = Some(places.clone());
    }

    /// Whether the sandbox lets `path` be read.
    pub fn permits_reading(&self, path: &Path) -> bool {
        self.places.as_ref().is_none_or(|places| places.permits_reading(path))
    }

    /// Whether the sandbox lets files be made in `folder`.
    pub fn permits_writing(&self, folder: &Path) -> bool {
        self.places.as_ref().is_none_or(|places| places.permits_writing(folder))
    }

    pub(super) fn add(&mut self, measure: Measure, standing: Standing) {
        self.measures.push((measure, standing));
    }

    /// What was asked for.
    pub fn sandbox(&self) -> Sandbox {
        self.sandbox
    }

    /// Every measure.
    pub fn measures(&self) -> impl Iterator<Item = (Measure, &Standing)> {
        self.measures.iter().map(|(measure, standing)| (*measure, standing))
    }

    /// Those that could not be taken, and why.
    pub fn missing(&self) -> impl Iterator<Item = (Measure, &str)> {
        self.measures().filter_map(|(measure, standing)| match standing {
            Standing::Missing(reason) => Some((measure, reason.as_str())),
            Standing::Applied(_) | Standing::Off(_) => None,
        })
    }
}

/// The measures that were taken, and behind them those that could not be, each with its reason.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (measure, standing)) in self.measures().enumerate() {
            let label = measure.label();
            let gap = if place == 0 { "" } else { "; " };
            match standing {
                Standing::Applied(with) => write!(f, "{gap}{label}: {with}")?,
                Standing::Missing(why) => write!(f, "{gap}{label} not confined: {why}")?,
                Standing::Off(why) => write!(f, "{gap}{label} left alone: {why}")?,
            }
        }
        Ok(())
    }
}
