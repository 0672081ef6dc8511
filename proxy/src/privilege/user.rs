//! Who the process is.
//!
//! Owns `server.user`: how it is read, who that is on this machine, and the change. The
//! supplementary groups are those that the system's database has for the user, since keys are often
//! given to a group; a number that the database does not know has none. Refuses to know why.

use std::ffi::CString;
use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User, getgrouplist, getresgid, getresuid};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, chownat, fstat, openat};
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::{ConfineError, Standing};

/// A user of this machine, with all of the user's groups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    written: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Identity {
    /// Who `name`, `name:group`, `uid` or `uid:gid` is.
    pub fn find(written: &str) -> Result<Self, UserError> {
        let (user, group) = match written.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (written, None),
        };
        let failed = |cause: nix::Error| UserError::Database { cause: cause.into() };
        let known = match number(user) {
            Some(uid) => User::from_uid(uid.into()).map_err(failed)?,
            None => User::from_name(user).map_err(failed)?,
        };
        let uid = match (&known, number(user)) {
            (Some(known), _) => known.uid.as_raw(),
            (None, Some(uid)) => uid,
            (None, None) => return Err(UserError::NoUser { name: user.to_owned() }),
        };
        let gid = match (group, &known) {
            (Some(group), _) => group_id(group)?,
            (None, Some(known)) => known.gid.as_raw(),
            (None, None) => return Err(UserError::NoGroupOf { uid }),
        };
        let mut groups = vec![gid];
        if let Some(name) = known.and_then(|known| CString::new(known.name).ok()) {
            let listed = getgrouplist(&name, gid.into()).map_err(failed)?;
            groups = listed.into_iter().map(nix::unistd::Gid::as_raw).collect();
        }
        Ok(Self { written: written.to_owned(), uid, gid, groups })
    }

    /// Who this process is.
    pub fn of_process() -> Self {
        let groups = getgroups().unwrap_or_default();
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let groups = groups.into_iter().map(Gid::as_raw).collect();
        Self { written: format!("{uid}:{gid}"), uid, gid, groups }
    }

    /// Whether every file can be read, whoever it is meant for.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The first of `path` and the folders above it that this user cannot pass, by the permission
    /// bits; lists of further permissions are not looked at.
    pub fn barrier(&self, path: &Path, wish: Wish) -> Option<PathBuf> {
        let real = std::fs::canonicalize(path).ok()?;
        let barred = |path: &Path, bits| {
            std::fs::metadata(path).is_ok_and(|meta| !self.is_root() && !self.may(&meta, bits))
        };
        let mut above: Vec<_> = real.ancestors().skip(1).collect();
        above.reverse();
        let folder = above.into_iter().find(|folder| barred(folder, EXECUTE));
        let bits = match (wish, real.is_dir()) {
            (Wish::Read, false) => READ,
            (Wish::Read, true) => READ | EXECUTE,
            (Wish::Write, false) => WRITE,
            (Wish::Write, true) => WRITE | EXECUTE,
        };
        folder.map(Path::to_owned).or_else(|| barred(&real, bits).then(|| real.clone()))
    }

    /// Whether the process acts as this user.
    fn is_here(&self) -> bool {
        (geteuid().as_raw(), getegid().as_raw()) == (self.uid, self.gid)
    }

    /// Whether it cannot become another one either.
    fn is_everywhere(&self) -> bool {
        let users = getresuid().map(|ids| [ids.real, ids.effective, ids.saved].map(u32::from));
        let groups = getresgid().map(|ids| [ids.real, ids.effective, ids.saved].map(u32::from));
        (users, groups) == (Ok([self.uid; 3]), Ok([self.gid; 3]))
    }

    /// The groups of the process that are not the user's.
    fn foreign_groups(&self) -> Vec<u32> {
        let groups = getgroups().unwrap_or_default().into_iter().map(Gid::as_raw);
        groups.filter(|group| *group != self.gid && !self.groups.contains(group)).collect()
    }

    fn refused(&self, cause: rustix::io::Errno) -> ConfineError {
        ConfineError::User { user: self.written.clone(), cause: cause.into() }
    }

    fn may(&self, meta: &Metadata, bits: u32) -> bool {
        let shift = if meta.uid() == self.uid {
            6
        } else if meta.gid() == self.gid || self.groups.contains(&meta.gid()) {
            3
        } else {
            0
        };
        (meta.mode() >> shift) & bits == bits
    }
}

/// The name as it was written, with the numbers that it means.
impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers = format!("{}:{}", self.uid, self.gid);
        if self.written == numbers {
            return f.write_str(&numbers);
        }
        write!(f, "{} ({numbers})", self.written)
    }
}

/// What somebody wants to do with a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// Read it, or what is in it.
    Read,
    /// Write it, or make files in it.
    Write,
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // The last number means "no user" in chown(2).
    text.parse().ok().filter(|number| digits && *number != u32::MAX)
}

fn group_id(group: &str) -> Result<u32, UserError> {
    if let Some(gid) = number(group) {
        return Ok(gid);
    }
    match Group::from_name(group) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(UserError::NoGroup { name: group.to_owned() }),
        Err(cause) => Err(UserError::Database { cause: cause.into() }),
    }
}

/// Gives the files of unix sockets to the user, who has to be able to use them. Of each only what
/// was looked at is changed, and only if it is a socket: who may write in its folder could have
/// put something else in its place.
pub(super) fn own(sockets: &[PathBuf], user: Option<&Identity>) {
    let Some(user) = user else { return };
    for path in sockets {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) = openat(CWD, path, flags, Mode::empty()) else { continue };
        let is_socket = fstat(&file)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
        if is_socket {
            let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
            // Without it the owner is who started us, who can use it as well.
            let _ = chownat(&file, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH);
        }
    }
}

/// Makes the folder `path` for `user` alone, if it is not there.
pub fn make_folder(path: &Path, user: Option<&Identity>) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    DirBuilder::new().mode(0o700).create(path)?;
    give(path, user)
}

/// Makes the file `path` for `user`, if it is not there.
pub fn make_file(path: &Path, user: Option<&Identity>) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    OpenOptions::new().append(true).create_new(true).mode(0o640).open(path)?;
    give(path, user)
}

fn give(path: &Path, user: Option<&Identity>) -> io::Result<()> {
    user.map_or(Ok(()), |user| lchown(path, Some(user.uid), Some(user.gid)))
}

/// Becomes `user`, for good.
pub(super) fn become_user(user: Option<&Identity>) -> Result<Standing, ConfineError> {
    let Some(user) = user else {
        let now = Identity::of_process();
        return Ok(match now.is_root() {
            true => Standing::Off("root; set server.user".to_owned()),
            false => Standing::Applied(now.to_string()),
        });
    };
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<_> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let grouped = match user.foreign_groups().is_empty() {
        // As in a container that was started so.
        true if user.is_everywhere() => return Ok(Standing::Applied(user.to_string())),
        true if user.is_here() => Ok(()),
        _ => set_thread_groups(&groups),
    };
    let foreign = match grouped {
        // Somebody gave us groups that are not the user's, and nobody lets us give them back.
        Err(_) if user.is_here() => user.foreign_groups(),
        Err(cause) => return Err(user.refused(cause)),
        Ok(()) => Vec::new(),
    };
    set_thread_res_gid(gid, gid, gid)
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .map_err(|cause| user.refused(cause))?;
    Ok(match foreign.as_slice() {
        [] => Standing::Applied(user.to_string()),
        groups => Standing::Missing(format!("{user}, and still in the groups {groups:?}")),
    })
}

/// Why a user is nobody here.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Nobody can be asked.
    #[error("the users of this machine cannot be looked up")]
    Database {
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// No such group.
    #[error("there is no group `{name}`")]
    NoGroup {
        /// As it was written.
        name: String,
    },
    /// A number that says nothing of a group.
    #[error("the group of user {uid} is not known")]
    NoGroupOf {
        /// The number.
        uid: u32,
    },
    /// No such user.
    #[error("there is no user `{name}`")]
    NoUser {
        /// As it was written.
        name: String,
    },
}

impl UserError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Database { .. } => Some("numbers need no look-up: `user = \"65532:65532\"`"),
            Self::NoGroup { .. } | Self::NoUser { .. } => Some(
                "make it, as by `useradd --system --shell /usr/sbin/nologin portunus`, or give \
                 numbers: `user = \"65532:65532\"`",
            ),
            Self::NoGroupOf { .. } => Some("write both numbers: `user = \"65532:65532\"`"),
        }
    }
}

const READ: u32 = 0o4;
const WRITE: u32 = 0o2;
const EXECUTE: u32 = 0o1;
