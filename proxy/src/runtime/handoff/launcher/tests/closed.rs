//! Nobody reaches into the memory of a launcher: tried in a process of its own, since nothing of
//! this can be taken back.

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

use super::super::*;

#[tokio::test]
async fn the_memory_of_a_launcher_is_closed_before_it_obeys() {
    let (packets, theirs) = Packets::pair().unwrap();
    // A process of its own, since nothing of this can be taken back.
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", concat!(module_path!(), "::is_the_launcher")].map(without_crate));
    command.env(OF_TEST, "1").stdin(Stdio::from(theirs)).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    packets.send(&Order::Launch(1).encode(), None).await.unwrap();
    drop(packets);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// What the test above starts; nothing where nobody did.
#[test]
fn is_the_launcher() {
    if std::env::var_os(OF_TEST).is_none() {
        return;
    }
    run(Path::new("/nowhere/portunus"), &[]).unwrap();
    let dumpable = dumpable_behavior().unwrap();
    assert_eq!(dumpable, DumpableBehavior::NotDumpable);
    let core = getrlimit(Resource::Core);
    assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
}

/// The name that libtest has for a path.
fn without_crate(path: &str) -> &str {
    path.strip_prefix("portunus::").unwrap_or(path)
}

const OF_TEST: &str = "PORTUNUS_TEST_LAUNCHER";
