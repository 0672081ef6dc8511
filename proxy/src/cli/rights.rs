//! What the process may not do once it is confined.
//!
//! Owns the question, for every file of the configuration, before it is asked at the first renewal
//! of a certificate. Permission bits are what it is answered by. Refuses to become anybody. Read
//! next: `check`, which asks.

use std::path::{Path, PathBuf};

use crate::config::{Config, Sandbox};
use crate::privilege::{Identity, Wish, lies_among_others};
use crate::runtime::confinement::{Written, read_paths, written};

use super::finding::Findings;

/// Adds what the sandbox is in the way of, and what `server.user` cannot read or write, if there is
/// one.
pub(super) fn add(config: &Config, findings: &mut Findings) {
    if config.server.sandbox != Sandbox::Off {
        for one in written(config) {
            if let Written::File(path) = one
                && lies_among_others(path)
            {
                let path = path.display();
                let text = format!("{path}: the sandbox lets nothing be made or removed beside it");
                findings
                    .warning(text, Some("give it a folder of its own, such as /var/log/portunus"));
            }
        }
    }
    let Some(user) = &config.server.user else { return };
    let user = match Identity::find(user) {
        Ok(user) => user,
        Err(error) => return findings.error(format_args!("server.user: {error}"), error.hint()),
    };
    for path in read_paths(config) {
        // Of a folder, what lies in it is read as well.
        let within = std::fs::read_dir(path).into_iter().flatten().flatten();
        let within = within.map(|entry| entry.path()).filter(|path| path.is_file());
        add_barrier(path, within, &user, Wish::Read, findings);
    }
    for one in written(config) {
        let folder = match one {
            Written::File(path) => path.parent().unwrap_or(path),
            Written::Folder(path) => path,
        };
        add_barrier(folder, std::iter::empty(), &user, Wish::Write, findings);
    }
}

/// Adds the first that is in the way of `path`, or of some of what lies `within`.
fn add_barrier(
    path: &Path,
    within: impl Iterator<Item = PathBuf>,
    user: &Identity,
    wish: Wish,
    findings: &mut Findings,
) {
    let (verb, hint) = match wish {
        Wish::Read => ("read", "give it to a group that the user is in: `chgrp`, `chmod g+r`"),
        Wish::Write => ("write", "give it to the user: `chown`"),
    };
    let barrier = user.barrier(path, wish);
    let barriers = match barrier {
        Some(barrier) => vec![barrier],
        None => within.filter_map(|path| user.barrier(&path, wish)).take(SHOWN_MAX).collect(),
    };
    for barrier in barriers {
        let text = format!("{}: user `{user}` cannot {verb} it", barrier.display());
        findings.warning(text, Some(hint));
    }
}

/// Files of one folder that are told; they are alike.
const SHOWN_MAX: usize = 8;
