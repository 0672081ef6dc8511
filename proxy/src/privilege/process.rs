//! What is left of the process for others to look at, and what it may have open.
//!
//! Owns its limits, its umask, and whether its memory can be read: keys lie there.

use std::io;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};

use super::Standing;

/// The threads of this process, as proc(5) counts them.
pub(super) fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

/// Raises what may be open to what an administrator allows.
pub(super) fn raise_open_files() -> Standing {
    let limit = getrlimit(Resource::Nofile);
    let (now, most) = (text(limit.current), text(limit.maximum));
    if limit.current == limit.maximum {
        return Standing::Applied(format!("{now} at once"));
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => Standing::Applied(format!("{most} at once")),
        Err(error) => Standing::Missing(format!("{now} at once; {most} are refused: {error}")),
    }
}

fn text(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

/// Files are made for owner and group at the most; a umask that says less is left alone.
pub(super) fn tighten_umask() -> Standing {
    let before = umask(Mode::all());
    let now = before | Mode::WGRP | Mode::RWXO;
    umask(now);
    Standing::Applied(format!("umask {:03o}", now.bits()))
}

/// No core dump, and no look into the memory for anybody but root: not with a debugger, and not
/// through /proc. To be called behind the change of user, which undoes it.
pub(super) fn close_memory() -> Standing {
    Standing::of(close(), "no core dumps, not dumpable", "core dumps and debuggers")
}

/// The same for a process that gives up nothing else. A program that it starts is open again.
pub fn close() -> io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)?;
    // A limit alone is not enough: a program that takes the cores does not ask for it.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
