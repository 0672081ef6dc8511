//! Tables whose keys come from clients: nobody can choose keys that fall into one place.

use std::path::{Path, PathBuf};

/// The one table that takes keys as their own hashes: they are ids that we made at random, and
/// those that clients bring are only looked up.
const OWN_IDS: &str = "certs/src/session/memory/shard.rs";

#[test]
fn every_table_is_hashed_with_a_key_of_this_process() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    collect(&root.join("proxy/src"), &mut files);
    collect(&root.join("certs/src"), &mut files);
    assert!(files.len() > 100, "{}", files.len());
    // What is the same in every process, or can be guessed.
    let weak = ["DefaultHasher::", "BuildHasherDefault", "FxHash", "ahash", "fnv::", "SipHasher"];
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root).unwrap();
        let found = weak.iter().find(|word| text.contains(**word));
        assert!(found.is_none() || name == Path::new(OWN_IDS), "{}: {found:?}", name.display());
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}
