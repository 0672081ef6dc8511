//! Files change one after the other and the store looks at any moment in between.
//!
//! Whatever the order and the manner of the writes, what is published is a pair that matches, a
//! name that was served stays served, and the end of the writes is the new pair. More cases:
//! `PROPTEST_CASES=5000`.

#![expect(clippy::unwrap_used, reason = "a failed step is the failure of the test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portunus_certs::store::Look;
use portunus_certs::{CertificateStore, DevelopmentCa, Issued, StoreOptions};
use proptest::prelude::*;
use proptest::sample::Index;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;

/// How one file is replaced.
#[derive(Clone, Debug)]
enum Manner {
    /// Truncated and written in pieces.
    InPlace(Vec<Index>),
    /// Written aside and renamed over.
    Rename,
    /// Removed, and written in pieces later.
    Again(Vec<Index>),
    /// Written elsewhere, with a symbolic link renamed over.
    Link,
    /// Made unreadable, written in place and given back.
    Mode,
}

/// One thing that happens to one file.
#[derive(Clone, Debug)]
enum Act {
    Write(String),
    Rename(String),
    Remove,
    Link(String),
    Mode(u32),
}

fn manner() -> impl Strategy<Value = Manner> {
    let cuts = || prop::collection::vec(any::<Index>(), 0..3);
    prop_oneof![
        cuts().prop_map(Manner::InPlace),
        Just(Manner::Rename),
        cuts().prop_map(Manner::Again),
        Just(Manner::Link),
        Just(Manner::Mode),
    ]
}

fn acts(manner: &Manner, text: &str) -> Vec<Act> {
    let pieces = |cuts: &[Index]| {
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        ends.sort_unstable();
        ends.push(text.len());
        ends.into_iter().map(|end| Act::Write(text.get(..end).unwrap().to_owned()))
    };
    match manner {
        Manner::InPlace(cuts) => pieces(cuts).collect(),
        Manner::Rename => vec![Act::Rename(text.to_owned())],
        Manner::Again(cuts) => [Act::Remove].into_iter().chain(pieces(cuts)).collect(),
        Manner::Link => vec![Act::Link(text.to_owned())],
        Manner::Mode => vec![Act::Mode(0o000), Act::Write(text.to_owned()), Act::Mode(0o600)],
    }
}

fn perform(act: &Act, path: &Path) {
    match act {
        Act::Write(text) => fs::write(path, text).unwrap(),
        Act::Rename(text) => {
            let aside = path.with_file_name(".aside");
            fs::write(&aside, text).unwrap();
            fs::rename(aside, path).unwrap();
        }
        Act::Remove => fs::remove_file(path).unwrap(),
        Act::Link(text) => {
            let hidden = tempfile::Builder::new().prefix(".to").tempfile_in(path.parent().unwrap());
            let (_, target) = hidden.unwrap().keep().unwrap();
            fs::write(&target, text).unwrap();
            let aside = path.with_file_name(".aside");
            symlink(target, &aside).unwrap();
            fs::rename(aside, path).unwrap();
        }
        Act::Mode(mode) => {
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
}

fn open(folder: &Path) -> CertificateStore {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let paths = vec![folder.to_path_buf()];
    let options = StoreOptions { paths, strict_permissions: false, provider };
    CertificateStore::open(options, UnixTime::now()).0
}

/// Whether `a` is served; every published pair is checked.
fn check(store: &CertificateStore) -> bool {
    let index = store.load();
    for credential in index.credentials() {
        credential.key().keys_match().unwrap();
    }
    index.credentials().any(|credential| credential.names().iter().any(|n| n.to_string() == "a"))
}

/// Some pairs for `a`, made once; each case uses them as old and new in turn.
fn pairs() -> Vec<Issued> {
    let authority = DevelopmentCa::new(UnixTime::now()).unwrap();
    (0..4).map(|_| authority.issue(&["a"], UnixTime::now()).unwrap()).collect()
}

fn leaves(store: &CertificateStore) -> Vec<Vec<u8>> {
    let index = store.load();
    index.credentials().map(|c| c.key().cert.first().unwrap().to_vec()).collect()
}

/// Runs the acts of both files in the order that `turns` gives, with a reload after each.
fn run(store: &CertificateStore, mut files: [(PathBuf, Vec<Act>); 2], turns: &[(bool, u8)]) {
    let mut looks = turns.iter().map(|(_, look)| *look).cycle();
    let mut turns = turns.iter().map(|(turn, _)| *turn).chain(std::iter::repeat(true));
    let mut lost = false;
    while files.iter().any(|(_, acts)| !acts.is_empty()) {
        let pick = usize::from(turns.next().unwrap());
        let pick = if files.get(pick).unwrap().1.is_empty() { 1 - pick } else { pick };
        let (path, acts) = files.get_mut(pick).unwrap();
        perform(&acts.remove(0), path);
        match looks.next().unwrap() {
            0 => store.look(&Look::At([path.clone()].into()), UnixTime::now()),
            1 => store.look(&Look::Around, UnixTime::now()),
            _ => store.reload(UnixTime::now()),
        };
        // Only where both were gone at once was the pair deleted.
        lost |= files.iter().all(|(path, _)| !path.exists());
        assert!(check(store) || lost);
    }
}

proptest! {
    #[test]
    fn a_pair_in_two_files(
        updates in prop::collection::vec(
            (manner(), manner(), prop::collection::vec((any::<bool>(), 0..3_u8), 8)), 1..3),
    ) {
        thread_local!(static PAIRS: Vec<Issued> = pairs());
        PAIRS.with(|pairs| {
            let folder = tempfile::tempdir().unwrap();
            pairs.first().unwrap().write(folder.path(), "a").unwrap();
            let store = open(folder.path());
            for (new, (chain, key, turns)) in pairs.iter().skip(1).zip(&updates) {
                let files = [
                    (folder.path().join("a.pem"), acts(chain, &new.chain_pem)),
                    (folder.path().join("a.key"), acts(key, &new.key_pem)),
                ];
                run(&store, files, turns);
                let expected = open(folder.path());
                assert_eq!(leaves(&store), leaves(&expected));
                assert!(store.reload(UnixTime::now()).skipped.is_empty());
            }
        });
    }

    #[test]
    fn a_pair_in_one_file(updates in prop::collection::vec((manner(), any::<bool>()), 1..3)) {
        thread_local!(static PAIRS: Vec<Issued> = pairs());
        PAIRS.with(|pairs| {
            let folder = tempfile::tempdir().unwrap();
            let text = |pair: &Issued, key_first: bool| match key_first {
                true => format!("{}{}", *pair.key_pem, pair.chain_pem),
                false => format!("{}{}", pair.chain_pem, *pair.key_pem),
            };
            let path = folder.path().join("a.pem");
            fs::write(&path, text(pairs.first().unwrap(), false)).unwrap();
            let store = open(folder.path());
            for (new, (manner, key_first)) in pairs.iter().skip(1).zip(&updates) {
                for act in acts(manner, &text(new, *key_first)) {
                    perform(&act, &path);
                    store.reload(UnixTime::now());
                    assert!(check(&store));
                }
                assert_eq!(leaves(&store), leaves(&open(folder.path())));
            }
        });
    }
}

/// The same against the clock: one thread writes in every manner while another one reloads.
#[test]
fn a_store_that_reloads_while_files_are_written() {
    let pairs = pairs();
    let folder = tempfile::tempdir().unwrap();
    pairs.first().unwrap().write(folder.path(), "a").unwrap();
    let linked = folder.path().join("tls");
    fs::create_dir(&linked).unwrap();
    for (number, pair) in pairs.iter().enumerate() {
        pair.write(&linked.join(format!("..{number}")), "tls").unwrap();
    }
    symlink("..0", linked.join("..data")).unwrap();
    symlink("..data/tls.pem", linked.join("tls.pem")).unwrap();
    symlink("..data/tls.key", linked.join("tls.key")).unwrap();
    let (plain, swapped) = (open(folder.path()), open(&linked));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..400 {
                let (number, pair) = pairs.iter().enumerate().cycle().nth(round).unwrap();
                let (chain, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
                match round % 3 {
                    0 => {
                        pair.write(folder.path(), "a").unwrap();
                    }
                    1 => {
                        fs::write(&chain, &pair.chain_pem).unwrap();
                        fs::write(&key, &*pair.key_pem).unwrap();
                    }
                    _ => {
                        fs::remove_file(&key).unwrap();
                        fs::write(&key, &*pair.key_pem).unwrap();
                        fs::write(&chain, &pair.chain_pem).unwrap();
                    }
                }
                symlink(format!("..{number}"), linked.join("..new")).unwrap();
                fs::rename(linked.join("..new"), linked.join("..data")).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            plain.reload(UnixTime::now());
            swapped.reload(UnixTime::now());
            assert!(check(&plain) && check(&swapped));
        }
    });
    plain.reload(UnixTime::now());
    swapped.reload(UnixTime::now());
    assert_eq!(leaves(&plain), leaves(&open(folder.path())));
    assert_eq!(leaves(&swapped), leaves(&open(&linked)));
}
