//! A look at the files that changed decides what a look at all of them would.
//!
//! Three stores see the same history of a few files that share keys, leaves and names in every
//! combination. One is told which files changed, one looks around, one reads everything. What they
//! serve and what they say must be the same at every step, and to read everything once more must
//! change nothing.

#![expect(clippy::unwrap_used, reason = "a failed step is the failure of the test")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portunus_certs::store::{CONTENTS_PER_LOOK, Look};
use portunus_certs::{CertificateStore, DevelopmentCa, KeyChoice, ReloadReport, StoreOptions};
use proptest::prelude::*;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
/// Below two configured folders.
const FILES: [&str; 6] = ["x/a.pem", "x/b.pem", "x/c.key", "y/a.pem", "y/b.pem", "y/c.key"];

/// What a file may hold: halves and wholes of credentials that share names, keys and leaves.
fn contents() -> &'static [String] {
    static CONTENTS: OnceLock<Vec<String>> = OnceLock::new();
    CONTENTS.get_or_init(|| {
        let authority = DevelopmentCa::new(at(NOW)).unwrap();
        let issue = |names: &[&str], from: i64, to: i64| {
            let (from, to) = (NOW + from * DAY, NOW + to * DAY);
            authority.issue_with(names, KeyChoice::EcdsaP256, from, to).unwrap()
        };
        let credentials = [
            issue(&["a"], -10, 10),
            issue(&["a", "*.b"], -10, 20),
            issue(&["c.b"], 2, 30),
            issue(&["a"], -20, -1),
        ];
        let mut contents = vec![String::new(), "-----BEGIN CERTIFICATE-----\nMII".to_owned()];
        contents.push(authority.certificate_pem().to_owned());
        for issued in &credentials {
            let (chain, key) = (&issued.chain_pem, &issued.key_pem);
            let leaf = chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
            contents.push(chain.clone());
            contents.push(leaf.to_owned());
            contents.push(key.to_string());
            contents.push(format!("{chain}{}", **key));
        }
        let [one, two, ..] = &credentials;
        contents.push(format!("{}{}{}", one.chain_pem, two.chain_pem, *two.key_pem));
        contents.push(format!("{}{}", *one.key_pem, *two.key_pem));
        contents
    })
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap()))
}

#[derive(Clone, Debug)]
enum Act {
    Write(usize, usize),
    Remove(usize),
    Rename(usize, usize),
    Mode(usize, u32),
    RemoveFolder(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let file = || 0..FILES.len();
    prop_oneof![
        8 => (file(), 0..contents().len()).prop_map(|(file, text)| Act::Write(file, text)),
        2 => file().prop_map(Act::Remove),
        2 => (file(), file()).prop_map(|(from, to)| Act::Rename(from, to)),
        1 => (file(), prop::sample::select(vec![0o600, 0o644])).prop_map(|(f, m)| Act::Mode(f, m)),
        1 => any::<bool>().prop_map(Act::RemoveFolder),
    ]
}

/// Does it, and returns the files that somebody who watches would name; `None` for a folder.
fn perform(act: &Act, root: &Path) -> Option<Vec<PathBuf>> {
    let path = |file: &usize| root.join(FILES.get(*file).unwrap());
    match act {
        Act::Write(file, text) => {
            fs::create_dir_all(path(file).parent().unwrap()).unwrap();
            fs::write(path(file), contents().get(*text).unwrap()).unwrap();
            Some(vec![path(file)])
        }
        Act::Remove(file) => {
            let _ = fs::remove_file(path(file));
            Some(vec![path(file)])
        }
        Act::Rename(from, to) => {
            let _ = fs::rename(path(from), path(to));
            Some(vec![path(from), path(to)])
        }
        Act::Mode(file, mode) => {
            let _ = fs::set_permissions(path(file), fs::Permissions::from_mode(*mode));
            Some(vec![path(file)])
        }
        Act::RemoveFolder(first) => {
            let _ = fs::remove_dir_all(root.join(if *first { "x" } else { "y" }));
            None
        }
    }
}

fn open(root: &Path) -> CertificateStore {
    let paths = vec![root.join("x"), root.join("y")];
    let provider = Arc::new(aws_lc_rs::default_provider());
    CertificateStore::open(StoreOptions { paths, strict_permissions: false, provider }, at(NOW)).0
}

/// What is served, in path order, to whom, and what is said.
fn state(store: &CertificateStore, report: &ReloadReport) -> Vec<String> {
    let index = store.load();
    let mut state: Vec<_> = index
        .credentials()
        .map(|credential| {
            credential.key().keys_match().unwrap();
            format!("{} {}", credential.label(), credential.fingerprint())
        })
        .collect();
    for name in ["a", "x.b", "c.b"] {
        let name = portunus_certs::HostName::parse(name).unwrap();
        state.extend(index.explain(&name, at(NOW)).iter().map(|answer| format!("{answer:?}")));
    }
    let mut lines: Vec<_> = report.lines().collect();
    lines.sort_unstable();
    state.extend(lines);
    let counts = (report.loaded, report.kept, report.pending.len(), report.next_change);
    state.push(format!("{} {counts:?}", report.changed));
    state
}

proptest! {
    #[test]
    fn three_ways_to_look_agree(
        steps in prop::collection::vec((prop::collection::vec(act(), 1..4), 0..4_i64), 1..10),
    ) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("x")).unwrap();
        fs::create_dir(root.path().join("y")).unwrap();
        let [told, around, closely] = [(); 3].map(|()| open(root.path()));
        let mut now = NOW;
        for (acts, days) in steps {
            let touched = acts.iter().map(|act| perform(act, root.path()));
            let touched: Option<Vec<_>> = touched.collect();
            let is_there = |folder: &&str| root.path().join(folder).is_dir();
            let folders_are_there = ["x", "y"].iter().all(is_there);
            let look = match touched {
                // A folder that comes or goes is no file that could be told of.
                Some(paths) if folders_are_there => {
                    Look::At(paths.concat().into_iter().collect::<BTreeSet<_>>())
                }
                _ => Look::Around,
            };
            now += days * DAY;
            let expected = closely.reload(at(now));
            let expected = state(&closely, &expected);
            let again = closely.reload(at(now));
            prop_assert!(!again.changed && !again.news, "the same files again: {:?}", again);
            let report = told.look(&look, at(now));
            prop_assert_eq!(&state(&told, &report), &expected, "told {:?}", look);
            let report = around.look(&Look::Around, at(now));
            prop_assert_eq!(&state(&around, &report), &expected, "around");
        }
    }
}

/// Metadata is believed once it is old enough to have changed with the contents.
#[test]
fn among_many_files_a_change_is_found_by_metadata_and_the_rest_is_read_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let authority = DevelopmentCa::new(at(NOW)).unwrap();
    let write = |number: usize, name: &str| {
        let issued = authority.issue(&[name], at(NOW)).unwrap();
        let path = folder.path().join(format!("{number:05}.pem"));
        fs::write(&path, format!("{}{}", issued.chain_pem, *issued.key_pem)).unwrap();
        path
    };
    // Bad files are as good as any for counting, and quicker to make.
    let count = 2 * CONTENTS_PER_LOOK;
    for number in 1..count {
        fs::write(folder.path().join(format!("{number:05}.pem")), "junk").unwrap();
    }
    let last = write(0, "first");
    // Metadata says nothing of files as young as these: wait until they are old enough.
    while fs::metadata(&last).unwrap().modified().unwrap().elapsed().unwrap().as_secs() < 4 {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let paths = vec![folder.path().to_path_buf()];
    let provider = Arc::new(aws_lc_rs::default_provider());
    let options = StoreOptions { paths, strict_permissions: false, provider };
    let (store, _) = CertificateStore::open(options, at(NOW));
    let names = |store: &CertificateStore| -> Vec<_> {
        store.load().credentials().flat_map(|c| c.names().to_vec()).map(|n| n.to_string()).collect()
    };
    assert_eq!(names(&store), ["first"]);
    for turn in 0..4 {
        assert!(!store.look(&Look::Around, at(NOW)).changed);
        write(count - 1 - turn, "next");
        let report = store.look(&Look::Around, at(NOW));
        assert_eq!((report.changed, report.loaded), (true, 2 + turn));
    }
}
