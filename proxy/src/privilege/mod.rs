//! What the process may do for the rest of its life: as little as serving needs.
//!
//! Owns the order in which privileges are given up ([`confine`]), and the report of what this
//! kernel took. It happens once, while there is one thread and after everything is open that
//! needs more: what a thread may do is inherited by those that it starts, and by nobody else.
//! Which files may be reached is decided in `places` and made so in `files`; `calls` knows system
//! calls, `capability` and `user` who we are, `process` what is left of us for others to look at.
//! Refuses to know what the files are for. Read next: `report`.

mod calls;
mod capability;
mod files;
mod places;
mod process;
mod report;
mod user;

use std::io;
use std::path::PathBuf;

use crate::config::Sandbox;

pub use places::{Places, lies_among_others};
pub use process::close as close_memory;
pub use report::{Measure, Report, Standing};
pub use user::{Identity, UserError, Wish, make_file, make_folder};

/// What is to be given up.
#[derive(Debug)]
pub struct Plan {
    /// Who the process is from now on; `None` for whoever started it.
    pub user: Option<Identity>,
    /// Whether the kernel's sandbox is wanted.
    pub sandbox: Sandbox,
    /// The files that it needs.
    pub places: Places,
    /// Unix sockets that were bound: they belong to the user from now on.
    pub sockets: Vec<PathBuf>,
}

/// Gives up what `plan` says, for this process and all of its threads to come.
///
/// What this kernel does not have is in the report, and is an error only where it is required. A
/// user that was asked for and cannot be had is always one.
pub fn confine(plan: &Plan) -> Result<Report, ConfineError> {
    match process::threads() {
        // Where proc(5) is not mounted, nobody knows better than the caller.
        Some(1) | None => {}
        Some(threads) => return Err(ConfineError::Threads { threads }),
    }
    let mut report = Report::new(plan.sandbox);
    report.add(Measure::OpenFiles, process::raise_open_files());
    report.add(Measure::NewFiles, process::tighten_umask());
    let needed = capability::needed(plan.user.as_ref());
    let bounds = capability::clear_bounds(needed);
    user::own(&plan.sockets, plan.user.as_ref());
    report.add(Measure::User, user::become_user(plan.user.as_ref())?);
    report.add(Measure::Capabilities, capability::keep(needed, bounds));
    report.add(Measure::NewPrivileges, capability::refuse_new());
    // Keys are in a core, whether there is a sandbox or not.
    report.add(Measure::Memory, process::close_memory());
    if plan.sandbox == Sandbox::Off {
        for measure in [Measure::Files, Measure::SystemCalls] {
            report.add(measure, Standing::Off("server.sandbox is off".into()));
        }
        return Ok(report);
    }
    let files = files::restrict(&plan.places);
    if matches!(files, Standing::Applied(_)) {
        report.keep_to(&plan.places);
    }
    report.add(Measure::Files, files);
    // The last one: what is above needs calls that are refused from here on.
    report.add(Measure::SystemCalls, calls::restrict());
    judge(report)
}

/// Whether what became of the measures is enough.
fn judge(report: Report) -> Result<Report, ConfineError> {
    if report.sandbox() == Sandbox::Require
        && let Some((measure, reason)) = report.missing().next()
    {
        return Err(ConfineError::Required { measure, reason: reason.to_owned() });
    }
    Ok(report)
}

/// Why the process is not as confined as it has to be.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// `sandbox = "require"`, and something is missing.
    #[error("server.sandbox requires that {} is confined: {reason}", .measure.label())]
    Required {
        /// What.
        measure: Measure,
        /// Why it is not.
        reason: String,
    },
    /// A mistake of ours: other threads would keep what this one gives up.
    #[error("privileges cannot be given up: there are {threads} threads already")]
    Threads {
        /// How many.
        threads: usize,
    },
    /// Nobody is who the process is to become.
    #[error("server.user")]
    Unknown(#[from] UserError),
    /// The user could not be become.
    #[error("server.user = \"{user}\"")]
    User {
        /// As it was written.
        user: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl ConfineError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Required { .. } => Some(
                "Landlock needs Linux 5.13 with `landlock` among its security modules, and a \
                 container runtime that lets its calls pass; `sandbox = \"auto\"` does without",
            ),
            Self::Threads { .. } => None,
            Self::Unknown(cause) => cause.hint(),
            Self::User { .. } => Some(
                "only root can become another user: start it as root, or start it as that user \
                 and leave `server.user` out",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
