//! What the program is told of its own making.
//!
//! Owns `PORTUNUS_COMMIT`, the commit that `portunus_build_info` shows: what the variable of that
//! name says, else what git says in a build for release, else `unknown`. Other builds do not ask
//! git, so that a commit alone builds nothing anew.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    let told = env::var(VARIABLE).ok().filter(|commit| is_commit(commit));
    let commit = told.or_else(found).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env={VARIABLE}={commit}");
}

/// The commit that is checked out here, in a build for release.
fn found() -> Option<String> {
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if !is_release {
        return None;
    }
    // Every move of HEAD is written there.
    let moves = Path::new("../.git/logs/HEAD");
    if moves.exists() {
        println!("cargo::rerun-if-changed={}", moves.display());
    }
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && is_commit(&commit)).then_some(commit)
}

/// Whether it can be shown as it is.
fn is_commit(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

const VARIABLE: &str = "PORTUNUS_COMMIT";
