//! What a launcher starts, and what it does not.

mod closed;

use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;

use super::*;

/// A launcher of `sh -c script`, attended by the test, and the end of the process.
async fn with_launcher<F: Future>(script: &str, test: impl FnOnce(Launcher) -> F) -> F::Output {
    let (packets, theirs) = Packets::pair().unwrap();
    let theirs = Packets::of(theirs);
    let arguments = [OsString::from("-c"), script.into()];
    let child = Command::new("/bin/true").spawn().unwrap();
    let launcher = Launcher { packets, child };
    let attend = attend(&theirs, Path::new("/bin/sh"), &arguments);
    let (attended, output) = tokio::join!(attend, test(launcher));
    attended.unwrap();
    output
}

#[tokio::test]
async fn what_is_run_gets_the_standard_input_that_was_handed_over() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let script = "echo $PORTUNUS_HANDOFF${LISTEN_PID:-none} >&0";
    let how = with_launcher(script, async |launcher| {
        launcher.launch(theirs.into()).await.unwrap();
        launcher.ended().await.unwrap()
    });
    assert_eq!(how.await, "exit status: 0");
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert_eq!(said, "1none\n");
}

#[tokio::test]
async fn how_it_ended_is_told_and_another_one_can_be_started() {
    let pids = with_launcher("exit 64", async |launcher| {
        let mut pids = Vec::new();
        for _ in 0..2 {
            let (_ours, theirs) = UnixStream::pair().unwrap();
            pids.push(launcher.launch(theirs.into()).await.unwrap().pid);
            assert_eq!(launcher.ended().await.unwrap(), "exit status: 64");
        }
        pids
    });
    let pids = pids.await;
    assert_ne!(pids[0], pids[1]);
}

#[tokio::test]
async fn one_runs_at_a_time_and_is_killed_when_asked_to() {
    with_launcher("read line", async |launcher| {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        launcher.launch(theirs.into()).await.unwrap();
        let (_more, theirs) = UnixStream::pair().unwrap();
        let second = launcher.launch(theirs.into()).await.unwrap_err();
        assert!(second.to_string().contains("still runs"), "{second}");
        launcher.kill().await;
        let how = launcher.ended().await.unwrap();
        assert!(how.contains("signal: 9"), "{how}");
    })
    .await;
}

#[tokio::test]
async fn who_retires_has_ended_when_that_is_told_even_if_it_does_not_want_to() {
    for script in ["read line", "exec sleep 600"] {
        let (packets, theirs) = Packets::pair().unwrap();
        let mut command = Command::new("/bin/sh");
        let child = command.args(["-c", script]).stdin(Stdio::from(theirs)).spawn().unwrap();
        let id = child.id();
        Launcher { packets, child }.retire().await;
        assert!(!Path::new("/proc").join(id.to_string()).exists(), "{script}");
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_named() {
    let (packets, theirs) = Packets::pair().unwrap();
    let theirs = Packets::of(theirs);
    let child = Command::new("/bin/true").spawn().unwrap();
    let launcher = Launcher { packets, child };
    let attend = attend(&theirs, Path::new("/nowhere/portunus"), &[]);
    let launch = async {
        let (_ours, stdin) = UnixStream::pair().unwrap();
        let error = launcher.launch(stdin.into()).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/portunus: No such file"), "{error}");
        drop(launcher);
    };
    let (attended, ()) = tokio::join!(attend, launch);
    attended.unwrap();
}

#[test]
fn reports_arrive_as_they_were_made_and_nothing_else_is_one() {
    let reports = [
        Report::Started(Pid::from_raw(4711).unwrap()),
        Report::Failed("no".to_owned()),
        Report::Ended("signal: 9".to_owned()),
    ];
    for report in reports {
        assert_eq!(Report::decode(&report.encode()), Some(report));
    }
    for bytes in [&[][..], &[0], &[9, 1], &[STARTED, 1], &[STARTED, 0, 0, 0, 0], &[FAILED, 255]] {
        assert_eq!(Report::decode(bytes), None);
    }
}

#[test]
fn a_link_that_was_typed_is_followed_anew_and_anything_else_is_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
    std::fs::write(path("portunus-1"), "").unwrap();
    symlink(path("portunus-1"), path("portunus")).unwrap();
    let running = path("portunus-1");
    let located = |name: &str, search: Option<&OsStr>| {
        located(name.as_ref(), &path(""), search, running.clone())
    };
    let link = path("portunus");
    assert_eq!(located(&link.to_string_lossy(), None), link);
    assert_eq!(located("./portunus", None), path("./portunus"));
    let search = std::env::join_paths([Path::new("/nowhere"), &path("")]).unwrap();
    assert_eq!(located("portunus", Some(&search)), link);
    assert_eq!(located("portunus", None), running);
    assert_eq!(located("/bin/sh", None), running);
    assert_eq!(located("", None), running);
}
