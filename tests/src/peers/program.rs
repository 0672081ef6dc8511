//! Where the programs of the peers are, and how they are run there.
//!
//! `.ci/peers` unpacks packages into a folder instead of installing them. Most of these programs
//! know their own folders by absolute paths, so each runs in a mount namespace of its own, in which
//! that folder lies over `/usr`; the machine itself does not see it. Without the folder, programs
//! that are installed are run as they are.
//!
//! `PORTUNUS_TEST_PEERS` tells the folder; without it, it is looked for beside the build. It may
//! also be `installed`, which looks for no folder, or `none`: then the tests are skipped even where
//! foreign programs are required.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::foreign::{Foreign, missing, skip};

/// A client among the peers' programs, if it is here.
pub fn client(program: &'static str) -> Option<Foreign> {
    server(program).map(Foreign::new)
}

/// What runs `program` as the user of the test, if it is here.
pub(super) fn server(program: &'static str) -> Option<Command> {
    find(program, &[])
}

/// What runs `program`, which refuses to be root, as somebody else if the test is root's.
pub(super) fn unprivileged_server(program: &'static str) -> Option<Command> {
    let somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    find(program, if is_root() { &somebody } else { &[] })
}

/// The folder of `.ci/peers`, if there is one.
pub(super) fn unpacked() -> Option<PathBuf> {
    let told = std::env::var_os(TOLD).map(PathBuf::from);
    let beside_the_build = || {
        let suite = std::env::current_exe().ok()?;
        Some(suite.ancestors().nth(3)?.join("tools/peers"))
    };
    told.or_else(beside_the_build).filter(|folder| folder.join("versions").exists())
}

/// The path that a file of a package has for those who read it outside of the namespace.
pub(super) fn packaged(path: &str) -> PathBuf {
    let unpacked = unpacked().map(|folder| folder.join(path.trim_start_matches('/')));
    unpacked.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(path))
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("we are a process").uid() == 0
}

fn find(program: &'static str, under: &[&str]) -> Option<Command> {
    if std::env::var_os(TOLD).is_some_and(|told| told == "none") {
        skip(program);
        return None;
    }
    let places = || FOLDERS.iter().map(|folder| Path::new(folder).join(program));
    let has = |root: &Path| {
        let inside = |place: &PathBuf| place.strip_prefix("/").is_ok_and(|p| root.join(p).exists());
        places().find(inside)
    };
    if let Some(folder) = unpacked()
        && let Some(path) = has(&folder)
    {
        let mut command = Command::new("unshare");
        if !is_root() {
            command.args(["--user", "--map-current-user", "--keep-caps"]);
        }
        command.args(["--mount", "sh", "-c", OVER_USR]).arg(folder).args(under).arg(path);
        return Some(command);
    }
    let Some(path) = has(Path::new("/")) else {
        missing(program);
        return None;
    };
    let Some((first, rest)) = under.split_first() else { return Some(Command::new(path)) };
    let mut command = Command::new(first);
    command.args(rest).arg(path);
    Some(command)
}

/// What tells where the programs are.
const TOLD: &str = "PORTUNUS_TEST_PEERS";

/// What a shell does in the namespace: its `$0` is the folder.
const OVER_USR: &str = r#"mount -t overlay peers -o "lowerdir=$0/usr:/usr" /usr && exec "$@""#;

/// Where packages put programs.
const FOLDERS: &[&str] = &[
    "/usr/sbin",
    "/usr/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postfix/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
];
