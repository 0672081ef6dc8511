//! From a folder to an LMDB environment that is open.
//!
//! Owns the one place where LMDB opens files, the size of its map, and what happens to a file that
//! it cannot read. The largest size that any process asked for holds for all, since a smaller map
//! would not reach what the others wrote. Refuses to know what the environment is for.

use std::io::ErrorKind as Io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use heed::{Env, EnvFlags, EnvOpenOptions, MdbError};

use super::folder::{Folder, Found, Opening};
use super::{LocalError, LocalOptions, Start};

/// Opens the folder for the first time in the life of a thread.
pub(super) fn open(options: &LocalOptions) -> Result<(Folder, Env, Start), LocalError> {
    let (folder, found, opening) = Folder::enter(&options.path)?;
    let (env, aside) = open_or_set_aside(&folder, &opening, options)?;
    let start = match (aside, found) {
        (Some(path), _) => Start::SetAside { path },
        (None, Found::Nothing) => Start::Created,
        (None, Found::Ours) => Start::Found,
        (None, Found::Outdated) => Start::Emptied,
    };
    Ok((folder, env, start))
}

/// Opens the environment in a folder that this process uses.
pub(super) fn open_again(folder: &Folder, options: &LocalOptions) -> Result<Env, LocalError> {
    let opening = folder.enter_again()?;
    open_or_set_aside(folder, &opening, options).map(|(env, _)| env)
}

/// A file that LMDB does not take is not worth a terminator that does not start: it is put aside,
/// and another one is begun. It stays as long as others use it, since theirs may be in order.
fn open_or_set_aside(
    folder: &Folder,
    opening: &Opening,
    options: &LocalOptions,
) -> Result<(Env, Option<PathBuf>), LocalError> {
    folder.prepare_lock(opening)?;
    let failed = |source| LocalError::Environment { path: folder.path().to_owned(), source };
    match open_sized(folder, options) {
        Err(heed::Error::EnvAlreadyOpened) => {
            Err(LocalError::AlreadyOpen { path: folder.path().to_owned() })
        }
        Err(source) if is_damage(&source) && folder.is_alone(opening)? => {
            let aside = folder.set_aside(opening)?;
            folder.prepare_lock(opening)?;
            open_sized(folder, options).map_err(failed).map(|env| (env, Some(aside)))
        }
        other => other.map_err(failed).map(|env| (env, None)),
    }
}

/// Opens with the size that the file says, and again if it is smaller than what is asked for.
fn open_sized(folder: &Folder, options: &LocalOptions) -> heed::Result<Env> {
    let env = open_file(folder, None)?;
    // A page behind the end of the file would end the process as soon as it is read. LMDB writes
    // pages before it speaks of them, but for a few at the end that it numbered and did not need.
    let info = env.info();
    let bytes_used = (info.last_page_number as u64 + 1) * page_bytes(&env) as u64;
    if env.real_disk_size()? + TAIL_BYTES < bytes_used {
        return Err(MdbError::Corrupted.into());
    }
    let bytes = map_bytes(options.bytes_max);
    let env = if info.map_size >= bytes {
        env
    } else {
        drop(env);
        open_file(folder, Some(bytes))?
    };
    allocate(&env)?;
    Ok(env)
}

/// Gives the file all of its blocks, behind its end, where LMDB has written nothing yet and writes
/// nothing meanwhile, since we hold its lock. A file system without room says so here, and not in
/// the middle of a transaction, when not even a deletion may find the room that it needs. What fits
/// is used, but for an eighth, so that others on the file system have room as well.
fn allocate(env: &Env) -> heed::Result<()> {
    let lock = env.write_txn()?;
    let file = env.try_clone_inner_file()?;
    let (info, bytes_before) = (env.info(), file.metadata()?.len());
    let mut at = bytes_before;
    while at < info.map_size as u64 {
        let count = (info.map_size as u64 - at).min(ZEROES.len() as u64) as usize;
        let zeroes = ZEROES.get(..count).unwrap_or(&ZEROES);
        match file.write_all_at(zeroes, at) {
            Ok(()) => at += count as u64,
            Err(error) if matches!(error.kind(), Io::StorageFull | Io::QuotaExceeded) => {
                let unit = page_bytes(env) as u64;
                let used = (info.last_page_number as u64 + 1) * unit;
                let fitting = file.metadata()?.len() / 8 * 7 / unit * unit;
                file.set_len(fitting.max(used).max(bytes_before))?;
                if fitting < ALLOCATED_MIN {
                    return Err(error.into());
                }
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    lock.abort();
    Ok(())
}

#[expect(unsafe_code, reason = "LMDB maps a file into memory; see the note on safety inside")]
fn open_file(folder: &Folder, bytes: Option<usize>) -> heed::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.max_dbs(2);
    if let Some(bytes) = bytes {
        options.map_size(bytes);
    }
    // SAFETY: nobody but LMDB changes its files while they are mapped. The folder and the files are
    // ours and closed to other users (`folder::check`), they are removed only by whoever uses the
    // folder alone, under a lock that every opening process takes, and they are on this machine,
    // where the locks of LMDB hold. The path has no links in it, so that heed's own list of what
    // this process has open refuses a second environment on the same files. NO_SYNC is harmful to
    // those who outlive the machine's memory: what an earlier boot wrote is removed, not read.
    unsafe { options.flags(EnvFlags::NO_SYNC).open(folder.path()) }
}

/// Whether the file is something that LMDB cannot use, rather than that it could not be opened.
fn is_damage(error: &heed::Error) -> bool {
    matches!(
        error,
        heed::Error::Mdb(
            MdbError::Invalid
                | MdbError::VersionMismatch
                | MdbError::Corrupted
                | MdbError::PageNotFound
                | MdbError::Incompatible
        )
    )
}

/// How many pages LMDB can use without asking the file system for more.
pub(super) fn pages_allocated(env: &Env) -> heed::Result<usize> {
    let bytes = env.real_disk_size()?.min(env.info().map_size as u64) as usize;
    Ok(bytes / page_bytes(env))
}

/// How large a page is.
pub(super) fn page_bytes(env: &Env) -> usize {
    env.unnamed_database_stat().page_size as usize
}

/// A size that every system's pages divide, and in which LMDB can work.
fn map_bytes(bytes_max: usize) -> usize {
    bytes_max.max(super::BYTES_MIN).next_multiple_of(MAP_UNIT_BYTES)
}

/// How far LMDB may have numbered pages at the end that it never wrote.
const TAIL_BYTES: u64 = 64 * 4096;
/// The largest page of any system that we know.
const MAP_UNIT_BYTES: usize = 64 * 1024;
/// Less than this is no use.
const ALLOCATED_MIN: u64 = 256 * 1024;
static ZEROES: [u8; 256 * 1024] = [0; 256 * 1024];
