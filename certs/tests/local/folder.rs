//! What the folder may be, and what becomes of a damaged file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use portunus_certs::session::engine::Engine;
use portunus_certs::session::id::Use;
use portunus_certs::session::local::{LocalEngine, LocalError, LocalOptions, Start};

use crate::process::{Process, fetch, fill, put};

fn open(path: &Path) -> Result<LocalEngine, LocalError> {
    LocalEngine::open(&LocalOptions { bytes_max: 4 << 20, ..LocalOptions::new(path) })
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_files_are_for_nobody_else_whatever_the_umask() {
    for umask in ["000", "022", "177"] {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("sessions");
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let other = Process::within(&["sh", "-c", &script], &folder, 1 << 20);
        assert_eq!(other.hear(), "Created 1048576");
        other.end();
        assert_eq!(mode(&folder), 0o700);
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap()).collect();
        assert_eq!(files.len(), 3, "{files:?}");
        files.iter().for_each(|file| assert_eq!(mode(&file.path()), 0o600, "{file:?}"));
    }
}

#[test]
fn a_folder_that_others_can_write_or_own_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o770)).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, LocalError::Writable { .. }), "{error:?}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()));
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    drop(open(folder.path()).unwrap());
    // Only root can give a folder away.
    if chown(folder.path(), Some(65534), None).is_ok() {
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, LocalError::Owner { owner: 65534, .. }), "{error:?}");
    }
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data.mdb"), "of another program").unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, LocalError::Foreign { .. }), "{error:?}");
    let kept = fs::read(folder.path().join("data.mdb")).unwrap();
    assert_eq!(kept, b"of another program");

    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::remove_file(folder.path().join("data.mdb")).unwrap();
    symlink(elsewhere.path(), folder.path().join("data.mdb")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, LocalError::Foreign { .. }), "{error:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(open(file.path()), Err(LocalError::Folder { .. })));
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_sessions_begin_anew() {
    let damages: [fn(&Path); 4] = [
        |data| fs::write(data, "garbage").unwrap(),
        |data| fs::write(data, vec![0xa5; 1 << 20]).unwrap(),
        // The version in both of the pages that describe the file.
        |data| {
            let mut bytes = fs::read(data).unwrap();
            bytes[20] ^= 0xff;
            bytes[4096 + 20] ^= 0xff;
            fs::write(data, bytes).unwrap();
        },
        |data| fs::File::options().write(true).open(data).unwrap().set_len(64 * 1024).unwrap(),
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path()).unwrap();
        assert_eq!(fill(&engine, 0, 2000, 500).await, 2000);
        drop(engine);
        damage(&folder.path().join("data.mdb"));
        let engine = open(folder.path()).unwrap();
        let Start::SetAside { path } = engine.start() else { panic!("{engine:?}") };
        assert!(path.exists());
        assert!(!fetch(&engine, 1, Use::Repeated).await);
        put(&engine, 1, 100).await;
        assert!(fetch(&engine, 1, Use::Single).await);
    }
}

#[tokio::test]
async fn a_folder_of_another_boot_is_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).unwrap();
    put(&engine, 1, 100).await;
    // While it is in use, another boot can only be another machine.
    let marker = folder.path().join("portunus-sessions");
    let boot = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, "00000000-0000-0000-0000-000000000000").unwrap();
    let other = Process::new(folder.path(), 1 << 20);
    assert!(other.hear().starts_with("InUse"));
    assert!(fetch(&engine, 1, Use::Repeated).await);
    drop(engine);
    let engine = open(folder.path()).unwrap();
    assert_eq!(*engine.start(), Start::Emptied);
    assert_eq!(fs::read_to_string(&marker).unwrap(), boot);
    assert!(!fetch(&engine, 1, Use::Single).await);
    engine.probe().await.unwrap();
}
