//! The command line: words for people, data for programs, and a code for both.
//!
//! Owns what holds for every command; a module for each that has more to say.

mod certs;
mod check;
mod documents;
mod exposure;
mod issue;

use std::fs;
use std::path::Path;
use std::process::Output;

use portunus_tests::{Proxy, command, echo, tls};

/// Runs the product in `folder` to its end.
fn portunus(folder: &Path, arguments: &[&str]) -> Output {
    command().args(arguments).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_arguments_there_is_help() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["--help"], &["help"]] {
        let output = portunus(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        for command in ["demo", "run", "check", "issue", "certs", "completions", "man"] {
            assert!(out(&output).contains(command), "{command}: {}", out(&output));
        }
    }
    let version = portunus(folder.path(), &["--version"]);
    assert_eq!(out(&version), format!("portunus {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_64() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["rnu"][..], &["run", "--cofnig", "x"], &["issue"], &["run"], &["check"]] {
        let output = portunus(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", err(&output));
        assert!(out(&output).is_empty() && !err(&output).is_empty(), "{arguments:?}");
    }
    for (command, can_do_without) in [("run", true), ("check", false), ("reload", false)] {
        let said = err(&portunus(folder.path(), &[command]));
        assert!(said.contains("config.toml") && said.contains("--config FILE"), "{said}");
        assert_eq!(said.contains("portunus demo"), can_do_without, "{command}: {said}");
    }
}

#[test]
fn completions_and_the_manual_are_made_from_the_same_definitions() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = portunus(folder.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(out(&output).contains("completions"), "{shell}");
    }
    let manual = portunus(folder.path(), &["man"]);
    assert_eq!(manual.status.code(), Some(0));
    assert!(out(&manual).contains(".TH portunus"), "{}", out(&manual));
    assert_eq!(out(&manual).matches(".TH").count(), 1, "one page");
    let plain = out(&manual).replace('\\', "");
    for word in ["--config", "PORTUNUS_CONFIG", "--out", "--json", "--port", "--admin-port"] {
        assert!(plain.contains(word), "{word}: {plain}");
    }
}

#[tokio::test]
async fn output_that_nobody_takes_is_no_panic() {
    let folder = Proxy::builder().listener(tls("app.example")).backend(echo()).write();
    for arguments in EVERYTHING_THAT_PRINTS {
        let mut full = command();
        full.args(*arguments).current_dir(folder.path());
        let device = fs::File::options().write(true).open("/dev/full").unwrap();
        let full = full.stdout(device).output().unwrap();
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {}", err(&full));
        let said = "error: cannot write to standard output: ";
        assert!(err(&full).contains(said), "{arguments:?}: {}", err(&full));

        let mut left = command();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let left = left.args(*arguments).current_dir(folder.path()).stdout(writer);
        let left = left.output().unwrap();
        assert_eq!(left.status.code(), Some(0), "{arguments:?}: {}", err(&left));
        assert!(!err(&left).contains("error"), "{arguments:?}: {}", err(&left));
    }
    let device = fs::File::options().write(true).open("/dev/full").unwrap();
    let mute = command().args(["check", "--config", "none"]).stderr(device).status().unwrap();
    assert_eq!(mute.code(), Some(64), "nor is it one where errors go");
}

#[tokio::test]
async fn a_variable_that_says_nothing_is_as_good_as_none() {
    let folder = Proxy::builder().listener(tls("app.example")).backend(echo()).write();
    let mut check = command();
    check.arg("check").current_dir(folder.path());
    let empty = check.env("PORTUNUS_CONFIG", "").output().unwrap();
    assert_eq!(empty.status.code(), Some(0), "{}", err(&empty));
    let other = check.env("PORTUNUS_CONFIG", "other.toml").output().unwrap();
    assert_eq!(other.status.code(), Some(64), "{}", err(&other));
    assert!(err(&other).contains("other.toml"), "{}", err(&other));
}

const EVERYTHING_THAT_PRINTS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["certs"],
    &["certs", "app.example"],
    &["certs", "--json"],
    &["check"],
    &["completions", "bash"],
    &["man"],
];
