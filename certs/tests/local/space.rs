//! A map, and a file system, without room.

use std::path::Path;
use std::process::Command;

use portunus_certs::session::id::Use;
use portunus_certs::session::local::{LocalEngine, LocalOptions};

use crate::process::{Process, fetch, fill, put};

#[tokio::test]
async fn a_full_map_keeps_taking_sessions_and_stays_within_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let options = LocalOptions { bytes_max: 1 << 20, ..LocalOptions::new(folder.path()) };
    let engine = LocalEngine::open(&options).unwrap();
    // Ten times what fits, the last with texts as long as a chain of certificates makes them.
    assert_eq!(fill(&engine, 0, 30_000, 300).await, 30_000);
    assert_eq!(fill(&engine, 30_000, 1_000, 6_000).await, 1_000);
    put(&engine, 1 << 40, 300).await;
    assert!(fetch(&engine, 1 << 40, Use::Single).await);
    let data = std::fs::metadata(folder.path().join("data.mdb")).unwrap();
    assert!(data.len() <= 1 << 20, "{} bytes", data.len());
}

#[test]
fn a_full_file_system_is_an_error_and_is_recovered_from() {
    let parent = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs {0} \
         && ln -s /proc/$$/root{0} {0}.link && exec \"$0\" \"$@\"",
        parent.path().display()
    );
    let words = ["unshare", "--map-root-user", "--mount", "sh", "-c", &script];
    let may = Command::new(words[0]).args(&words[1..]).arg("true").output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: mounts are not permitted here");
        return;
    }
    let _ = std::fs::remove_file(parent.path().with_extension("link"));
    let mut other = Process::within(&words, &parent.path().join("sessions"), 64 << 20);
    assert_eq!(other.hear(), "Created 67108864");
    assert_eq!(other.ask("put 1000000 100"), "stored");
    // Ten times what fits: those that expire first make room, as in a full map.
    let stored: u64 = other.ask("fill 0 10000 1000").parse().unwrap();
    assert!(stored > 9_000, "{stored} stored");
    assert_eq!(other.ask("put 2000000 100"), "stored");
    assert_eq!(other.ask("take 2000000"), "true");
    // From here on somebody else uses whatever room there is left.
    let seen = std::fs::read_link(link(parent.path())).unwrap();
    let filler = seen.join("filler");
    let _ = std::fs::write(&filler, vec![0; 4 << 20]);
    let answer = other.ask("put 3000000 100");
    assert!(answer == "stored" || answer == "Full", "{answer}");
    assert_eq!(other.ask("put 3000001 600000"), "Full");
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(other.ask("put 3000002 100"), "stored");
    assert_eq!(other.ask("look 3000002"), "true");
    let _ = std::fs::remove_file(link(parent.path()));
}

fn link(folder: &Path) -> std::path::PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".link");
    name.into()
}
