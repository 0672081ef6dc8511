//! Every way in which files are replaced raises a hint, and reading them raises none.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use portunus_certs::{Hint, Watch, WatchMode};

/// How long a hint may take; far above what it does take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to listen before nothing counts as nothing.
const SILENCE: Duration = Duration::from_millis(150);

struct Watched {
    watch: Watch,
    hints: Receiver<Hint>,
}

impl Watched {
    fn new(path: &Path) -> Self {
        let (sender, hints) = channel();
        let watch = Watch::new(&[path.to_path_buf()], move |hint| {
            // The test may have ended.
            let _ = sender.send(hint);
        });
        Self { watch, hints }
    }

    /// Waits for a hint that more than a file changed, then does what its owner does: refresh,
    /// and let the storm pass.
    fn expect(&mut self, step: &str) {
        self.wait_for(&Hint::Changed, step);
        self.settle();
    }

    /// Waits for a hint that names the file; nothing is to be refreshed.
    fn expect_at(&mut self, path: &Path, step: &str) {
        self.wait_for(&Hint::At(path.to_path_buf()), step);
        while self.hints.recv_timeout(SILENCE).is_ok() {}
    }

    fn wait_for(&self, hint: &Hint, step: &str) {
        let mut heard = std::iter::from_fn(|| self.hints.recv_timeout(PATIENCE).ok());
        assert!(heard.any(|heard| heard == *hint), "{step}: {hint:?}");
    }

    fn settle(&mut self) {
        while self.hints.recv_timeout(SILENCE).is_ok() {}
        self.watch.refresh();
        while self.hints.recv_timeout(SILENCE).is_ok() {}
    }
}

#[test]
fn a_folder_in_every_style() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("certs.d");
    let file = dir.join("a.pem");
    fs::create_dir(&dir).unwrap();
    fs::write(&file, "1").unwrap();
    let mut watched = Watched::new(&dir);
    assert_eq!(watched.watch.mode(), &WatchMode::Events);

    fs::write(&file, "2").unwrap();
    watched.expect_at(&file, "written in place");
    fs::write(dir.join("b.pem"), "1").unwrap();
    watched.expect_at(&dir.join("b.pem"), "created");
    fs::rename(dir.join("b.pem"), &file).unwrap();
    watched.expect_at(&file, "renamed over");
    fs::write(&file, "3").unwrap();
    watched.expect_at(&file, "written after the renaming");
    fs::remove_file(&file).unwrap();
    watched.expect_at(&file, "removed");
    fs::remove_dir(&dir).unwrap();
    watched.expect("folder removed");
    fs::create_dir(&dir).unwrap();
    watched.expect("folder made again");
    assert_eq!(watched.watch.mode(), &WatchMode::Events);
    fs::write(&file, "4").unwrap();
    watched.expect_at(&file, "written in the folder that was made again");
    fs::rename(&dir, root.path().join("old")).unwrap();
    fs::create_dir(&dir).unwrap();
    watched.expect("folder replaced");
    fs::write(&file, "5").unwrap();
    watched.expect_at(&file, "written in the folder that came instead");

    fs::read(&file).unwrap();
    fs::read_dir(&dir).unwrap().count();
    fs::write(root.path().join("neighbour.log"), "x").unwrap();
    watched.watch.refresh();
    assert!(watched.hints.recv_timeout(SILENCE).is_err(), "reading, neighbours and refreshing");
}

#[test]
fn links_are_watched_where_they_lead() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("mount");
    let archive = root.path().join("archive");
    fs::create_dir_all(dir.join("..1")).unwrap();
    fs::create_dir_all(dir.join("..2")).unwrap();
    fs::create_dir(&archive).unwrap();
    for version in ["..1", "..2"] {
        fs::write(dir.join(version).join("tls.crt"), version).unwrap();
    }
    fs::write(archive.join("cert1.pem"), "1").unwrap();
    symlink("..1", dir.join("..data")).unwrap();
    symlink("..data/tls.crt", dir.join("tls.crt")).unwrap();
    symlink("../archive/cert1.pem", dir.join("cert.pem")).unwrap();
    let mut folder = Watched::new(&dir);
    let mut named = Watched::new(&dir.join("tls.crt"));

    symlink("..2", dir.join("..new")).unwrap();
    fs::rename(dir.join("..new"), dir.join("..data")).unwrap();
    folder.expect("switched");
    named.expect("switched under a named file");
    fs::write(dir.join("..2/tls.crt"), "x").unwrap();
    folder.expect("written where the link leads now");
    named.expect("written where the link leads now, for a named file");
    fs::write(archive.join("cert1.pem"), "2").unwrap();
    folder.expect("written in another folder");
    fs::write(archive.join("unrelated"), "2").unwrap();
    assert!(folder.hints.recv_timeout(SILENCE).is_err());
    assert!(named.hints.recv_timeout(SILENCE).is_err());
}

#[test]
fn what_is_not_there_is_polled_and_fails_nobody() {
    let root = tempfile::tempdir().unwrap();
    let watch = Watch::new(&[root.path().join("no/such/folder")], |_| {});
    assert!(matches!(watch.mode(), WatchMode::PollOnly { reason } if reason.contains("no/such")));
}
