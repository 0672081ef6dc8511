//! What a launcher starts, and what it does not.

mod closed;

use std::io::{BufRead as _, Read as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;

use super::*;

/// A launcher of `sh -c script`, attended by the test, and the end of the process.
async fn with_launcher<F: Future>(script: &str, test: impl FnOnce(Launcher) -> F) -> F::Output {
    let (packets, theirs) = Packets::pair().unwrap();
    let theirs = Packets::of(theirs);
    let arguments = [OsString::from("-c"), script.into()];
    let child = Command::new("/bin/true").spawn().unwrap();
    let launcher = Launcher::attended_by(child, packets);
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
        let started = launcher.launch(theirs.into()).await.unwrap();
        launcher.ended(started.launch).await.unwrap()
    });
    assert_eq!(how.await, "exit status: 0");
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert_eq!(said, "1none\n");
}

#[tokio::test]
async fn a_process_that_ends_without_having_read_everything_is_no_error() {
    let stdin = UnixStream::pair().unwrap().0;
    let kept = async |launcher: Launcher| {
        launcher.launch(stdin.into()).await.unwrap();
        // How the new process ended, which the old one does not read.
        launcher.packets.registered().unwrap().readable().await.unwrap();
    };
    // Fails inside if the launcher does.
    with_launcher("exit 64", kept).await;
}

#[tokio::test]
async fn how_it_ended_is_told_and_another_one_can_be_started() {
    let pids = with_launcher("exit 64", async |launcher| {
        let mut pids = Vec::new();
        for _ in 0..2 {
            let (_ours, theirs) = UnixStream::pair().unwrap();
            let started = launcher.launch(theirs.into()).await.unwrap();
            pids.push(started.pid);
            assert_eq!(launcher.ended(started.launch).await.unwrap(), "exit status: 64");
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
        let first = launcher.launch(theirs.into()).await.unwrap().launch;
        let (_more, theirs) = UnixStream::pair().unwrap();
        let second = launcher.launch(theirs.into()).await.unwrap_err();
        assert!(second.to_string().contains("still runs"), "{second}");
        launcher.kill(first).await;
        let how = launcher.ended(first).await.unwrap();
        assert!(how.contains("signal: 9"), "{how}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_comes_late_is_not_that_to_the_next_request_and_what_it_started_is_ended() {
    let (packets, theirs) = Packets::pair().unwrap();
    let theirs = Packets::of(theirs);
    let launcher = Launcher::attended_by(Command::new("/bin/true").spawn().unwrap(), packets);
    let (mut with_first, first) = UnixStream::pair().unwrap();
    // Nobody attends yet.
    tokio::time::pause();
    let late = launcher.launch(first.into()).await.unwrap_err();
    assert!(matches!(late, LaunchError::Gone(_)), "{late}");
    tokio::time::resume();
    let arguments = ["-c", "echo $$ >&0; read line"].map(OsString::from);
    let attend = attend(&theirs, Path::new("/bin/sh"), &arguments);
    let launch = async {
        let (with_second, second) = UnixStream::pair().unwrap();
        let started = launcher.launch(second.into()).await.unwrap();
        let mut said = String::new();
        io::BufReader::new(&with_second).read_line(&mut said).unwrap();
        assert_eq!(said.trim(), started.pid.as_raw_nonzero().to_string());
        // It has ended.
        with_first.read_to_string(&mut said).unwrap();
        launcher.kill(started.launch).await;
        let how = launcher.ended(started.launch).await.unwrap();
        assert!(how.contains("signal: 9"), "{how}");
        drop(launcher);
    };
    let (attended, ()) = tokio::join!(attend, launch);
    attended.unwrap();
}

#[tokio::test]
async fn what_was_started_for_nobody_is_ended_once_it_is_heard_of() {
    with_launcher("read line", async |launcher| {
        let (mut forgotten, theirs) = UnixStream::pair().unwrap();
        // Whoever asks goes away before the answer comes.
        let launch = launcher.launches.fetch_add(1, Ordering::Relaxed) + 1;
        launcher.say(Order::Launch(launch), Some(theirs.as_fd())).await.unwrap();
        drop(theirs);
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let busy = launcher.launch(theirs.into()).await.unwrap_err();
        assert!(busy.to_string().contains("still runs"), "{busy}");
        let (more, theirs) = UnixStream::pair().unwrap();
        let started = launcher.launch(theirs.into()).await.unwrap();
        forgotten.read_to_string(&mut String::new()).unwrap();
        drop(more);
        launcher.ended(started.launch).await.unwrap();
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
        Launcher::attended_by(child, packets).retire().await;
        assert!(!Path::new("/proc").join(id.to_string()).exists(), "{script}");
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_named() {
    let (packets, theirs) = Packets::pair().unwrap();
    let theirs = Packets::of(theirs);
    let child = Command::new("/bin/true").spawn().unwrap();
    let launcher = Launcher::attended_by(child, packets);
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
