//! The folder: whose it is, who may use it, and whether what lies in it is of this boot.
//!
//! Owns everything about the files that LMDB does not: they are made for nobody but us (0700, 0600,
//! whatever the umask), they are on this machine, the folder is ours and holds nothing else, and
//! what an earlier boot left is removed. Two locks (`flock`, which ends with its process) keep
//! starting processes apart: one on the folder itself, held while somebody opens; one on the file
//! [`MARKER`], held together by all that use the folder, so that whoever gets it alone knows that
//! nobody does. Refuses to know what LMDB writes.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LocalError;

/// A folder that this process uses. Others can tell, as long as this lives.
pub(super) struct Folder {
    path: PathBuf,
    marker: File,
}

/// What was found in the folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// What processes of this boot wrote.
    Ours,
    /// What was written before the machine was started; it is gone now.
    Outdated,
}

/// The lock under which one process opens at a time; ends when it is dropped.
pub(super) struct Opening(#[expect(dead_code, reason = "is a lock as long as it is open")] File);

impl Folder {
    /// Makes the folder if need be, and waits until no other process is opening it.
    pub(super) fn enter(path: &Path) -> Result<(Self, Found, Opening), LocalError> {
        let failed = |source| LocalError::Folder { path: path.to_owned(), source };
        make(path).map_err(failed)?;
        let path = fs::canonicalize(path).map_err(failed)?;
        let failed = |source| LocalError::Folder { path: path.clone(), source };
        if let Some(kind) = remote_kind(&path) {
            return Err(LocalError::Remote { path, kind });
        }
        let opening = File::open(&path).map_err(failed)?;
        opening.lock().map_err(failed)?;
        check(&path, &opening)?;
        let marker = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path.join(MARKER))
            .map_err(failed)?;
        let mut folder = Self { path, marker };
        let found = folder.settle(boot().as_deref())?;
        Ok((folder, found, Opening(opening)))
    }

    /// Waits until no other process is opening the folder, which this one uses already.
    pub(super) fn enter_again(&self) -> Result<Opening, LocalError> {
        let opening = File::open(&self.path).and_then(|opening| {
            opening.lock()?;
            Ok(opening)
        });
        opening.map(Opening).map_err(|source| self.failed(source))
    }

    /// Where it is, without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody else uses the folder, while nobody else can begin to.
    pub(super) fn is_alone(&self, _: &Opening) -> Result<bool, LocalError> {
        let is_alone = self.lock_alone()?;
        self.marker.lock_shared().map_err(|source| self.failed(source))?;
        Ok(is_alone)
    }

    /// Takes the lock on the marker for us alone, unless somebody else holds it too. A process that
    /// was forked, and is not yet another program, holds what its parent held; so we look for a
    /// while before we believe it.
    fn lock_alone(&self) -> Result<bool, LocalError> {
        for _ in 0..LOOKS_MAX {
            match self.marker.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOOK_PAUSE),
                Err(TryLockError::Error(source)) => return Err(self.failed(source)),
            }
        }
        Ok(false)
    }

    /// Puts what LMDB cannot read out of its way, and says where it lies. Only one such file is
    /// kept. The lock file says nothing by itself and is removed.
    pub(super) fn set_aside(&self, _: &Opening) -> Result<PathBuf, LocalError> {
        let aside = self.path.join(ASIDE);
        fs::rename(self.path.join(DATA), &aside)
            .and_then(|()| remove(&self.path.join(LOCK)))
            .map_err(|source| self.failed(source))?;
        Ok(aside)
    }

    /// Gives the lock file all of its blocks before LMDB maps it: in a file system that is full, a
    /// write into the map of a file with holes is a signal that ends the process, whereas this is
    /// an error. A file that has them is left alone, since a tool of LMDB's may be looking.
    pub(super) fn prepare_lock(&self, _: &Opening) -> Result<(), LocalError> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.path.join(LOCK));
        let fill = |mut lock: File| match lock.metadata()?.len() {
            0..LOCK_BYTES => lock.write_all(&[0; LOCK_BYTES as usize]),
            _ => Ok(()),
        };
        lock.and_then(fill).map_err(|source| self.failed(source))
    }

    /// Makes the marker say this boot. What lies there from another one goes.
    fn settle(&mut self, boot: Option<&str>) -> Result<Found, LocalError> {
        let mut written = String::new();
        // Something other than text is not of this boot either.
        let _ = self.marker.read_to_string(&mut written);
        let data = self.path.join(DATA);
        let found = if data.exists() { Found::Ours } else { Found::Nothing };
        let found = match boot {
            Some(boot) if boot == written => found,
            _ if self.lock_alone()? => {
                self.empty(boot.unwrap_or_default()).map_err(|source| self.failed(source))?;
                if found == Found::Ours { Found::Outdated } else { found }
            }
            // Where the system does not name its boots, what is in use is of this one.
            None => found,
            Some(_) => return Err(LocalError::InUse { path: self.path.clone() }),
        };
        self.marker.lock_shared().map_err(|source| self.failed(source))?;
        Ok(found)
    }

    /// Removes the data first and names the boot afterwards, so that whoever is stopped in between
    /// leaves a folder that is emptied again.
    fn empty(&mut self, boot: &str) -> io::Result<()> {
        for name in [DATA, LOCK, ASIDE] {
            remove(&self.path.join(name))?;
        }
        self.marker.set_len(0)?;
        self.marker.seek(SeekFrom::Start(0))?;
        self.marker.write_all(boot.as_bytes())
    }

    fn failed(&self, source: io::Error) -> LocalError {
        LocalError::Folder { path: self.path.clone(), source }
    }
}

/// Makes the folder, exactly 0700, unless it is there.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        // A strict umask may have taken from us what we need.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the folder is ours alone, and holds nothing but what is ours.
fn check(path: &Path, folder: &File) -> Result<(), LocalError> {
    let failed = |source| LocalError::Folder { path: path.to_owned(), source };
    let metadata = folder.metadata().map_err(failed)?;
    if metadata.mode() & 0o022 != 0 {
        return Err(LocalError::Writable { path: path.to_owned() });
    }
    let us = own_user(path).map_err(failed)?;
    if metadata.uid() != us {
        return Err(LocalError::Owner { path: path.to_owned(), owner: metadata.uid(), us });
    }
    let mut is_marked = false;
    let mut is_empty = true;
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        is_empty = false;
        is_marked |= name == MARKER;
        if [MARKER, DATA, LOCK].iter().any(|ours| name == *ours) {
            let metadata = entry.metadata().map_err(failed)?;
            let kind = metadata.file_type();
            if kind.is_symlink() || kind.is_dir() || kind.is_fifo() || metadata.uid() != us {
                return Err(LocalError::Foreign { path: entry.path() });
            }
            if metadata.mode() & 0o7777 != FILE_MODE {
                fs::set_permissions(entry.path(), Permissions::from_mode(FILE_MODE))
                    .map_err(failed)?;
            }
        }
    }
    // A folder with something else in it, such as another program's LMDB environment, must not be
    // emptied because somebody named it by mistake.
    if is_empty || is_marked { Ok(()) } else { Err(LocalError::Foreign { path: path.to_owned() }) }
}

/// Who we are: the owner of a file that we make. It is gone afterwards.
fn own_user(path: &Path) -> io::Result<u32> {
    let probe = path.join(PROBE);
    remove(&probe)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&probe)?;
    let us = file.metadata()?.uid();
    remove(&probe)?;
    Ok(us)
}

/// The kind of file system that the folder is on, if other machines can be on it too. Where the
/// system does not say, it is taken for local.
fn remote_kind(path: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    kind_of_mount(&mounts, path).filter(|kind| {
        REMOTE_KINDS.iter().any(|remote| kind == remote) || kind.starts_with("fuse.sshfs")
    })
}

/// Looks for the innermost mount of `path`, in the format of proc(5). Names with blanks are written
/// in another way there and are not found, which leaves the mount around them.
fn kind_of_mount(mounts: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        let depth = Path::new(point).components().count();
        path.starts_with(point)
            .then(|| (depth, file_system.split(' ').next().unwrap_or_default().to_owned()))
    };
    // Of two mounts on one point, the later one is seen.
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What the kernel calls the time since it was started. The same in every container of a machine.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Says that the folder is ours, and of which boot its content is.
const MARKER: &str = "portunus-sessions";
/// What was set aside.
const ASIDE: &str = "data.mdb.damaged";
/// The names that LMDB has for its files.
pub(super) const DATA: &str = "data.mdb";
const LOCK: &str = "lock.mdb";
const PROBE: &str = "portunus-probe";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// At least what LMDB asks for with its 126 readers; the size decides how many there are.
const LOCK_BYTES: u64 = 16 * 1024;
/// How often, and with what pauses, a folder is looked at that others seem to use: half a second.
const LOOKS_MAX: u32 = 25;
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// File systems over which neither the locks nor the map of a file hold together.
const REMOTE_KINDS: [&str; 9] =
    ["9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "smb3"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_decides_whether_a_folder_is_remote() {
        let mounts = "\
            21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            22 21 0:40 / /srv rw,noatime shared:7 - nfs4 host:/srv rw\n\
            23 22 0:41 / /srv/run rw - tmpfs tmpfs rw\n";
        let kind = |path: &str| kind_of_mount(mounts, Path::new(path)).unwrap();
        assert_eq!(kind("/var/lib/portunus"), "ext4");
        assert_eq!(kind("/srv/sessions"), "nfs4");
        assert_eq!(kind("/srv/run/sessions"), "tmpfs");
        assert_eq!(kind("/srvx"), "ext4");
    }

    #[test]
    fn what_another_boot_wrote_is_removed_unless_somebody_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, found, _) = Folder::enter(folder.path()).unwrap();
        assert_eq!(found, Found::Nothing);
        fs::write(folder.path().join(DATA), "data").unwrap();

        let (second, found, opening) = Folder::enter(folder.path()).unwrap();
        assert_eq!(found, Found::Ours);
        drop(opening);
        let other = first.settle(Some("another boot"));
        assert!(matches!(other, Err(LocalError::InUse { .. })), "{other:?}");
        assert!(folder.path().join(DATA).exists());

        drop(second);
        first.marker.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(first.settle(Some("another boot")).unwrap(), Found::Outdated);
        assert!(!folder.path().join(DATA).exists());
        drop(first);
        fs::write(folder.path().join(DATA), "data").unwrap();
        let (_, found, _) = Folder::enter(folder.path()).unwrap();
        assert_eq!(found, Found::Outdated);
    }
}
