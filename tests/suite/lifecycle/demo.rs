//! The command that needs nothing: its lines are copied as a newcomer would.

use std::net::TcpListener;
use std::path::Path;

use portunus_tests::foreign::{curl, openssl};
use portunus_tests::wait::best_of;
use portunus_tests::{Process, command};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_demo_work_as_they_stand_there() {
    let demo = best_of(3, async || {
        let begin = Instant::now();
        let mut demo = command();
        demo.args(["demo", "--port", "0", "--admin-port", "0"]);
        let demo = Process::spawn(demo);
        demo.line("the lines to copy", |line| line.text().contains("/metrics").then_some(())).await;
        let took = begin.elapsed();
        // Under a second where nothing else runs; here a whole suite does.
        if took.as_secs() < 5 {
            return Ok(demo);
        }
        demo.signal("INT");
        demo.exit().await;
        Err(format!("{took:?}"))
    })
    .await;
    let lines = demo.text();
    let copied = |start: &str| {
        let lines = lines.iter().map(|line| line.trim());
        let line = lines.clone().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("no {start}: {lines:?}"));
        line.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let ca = copied("curl --cacert")[1].clone();
    assert!(Path::new(&ca).is_file(), "{ca}");

    for start in ["curl --cacert", "curl --http1.1"] {
        let Some(curl) = curl() else { return };
        let page = curl.args(copied(start)).run().await.expect_success();
        assert!(page.to_lowercase().contains("portunus"), "{page}");
    }
    let Some(metrics) = curl() else { return };
    let metrics = metrics.args(copied("curl http://")).run().await.expect_success();
    assert!(metrics.contains("portunus_handshakes_total"), "{metrics}");
    let Some(openssl) = openssl() else { return };
    let mut client = openssl.args(copied("openssl s_client")).start();
    client.say(b"hello\n").await;
    client.hear("hello\n").await;
    drop(client);

    demo.signal("INT");
    assert_eq!(demo.exit().await.code(), Some(0));
    assert!(!Path::new(&ca).exists(), "the folder is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_closed_ends_the_demo_and_leaves_nothing() {
    for signal in ["HUP", "QUIT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = command();
        demo.args(["demo", "--port", "0", "--admin-port", "0"]).env("TMPDIR", folder.path());
        let demo = Process::spawn(demo);
        demo.line("the lines to copy", |line| line.text().contains("/metrics").then_some(())).await;
        demo.signal(signal);
        assert_eq!(demo.exit().await.code(), Some(0), "{signal}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_any_name_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join(r#"a "b" ${C}"#);
    std::fs::create_dir(&odd).unwrap();
    let mut demo = command();
    demo.args(["demo", "--port", "0", "--admin-port", "0"]).env("TMPDIR", &odd);
    let demo = Process::spawn(demo);
    demo.line("the lines to copy", |line| line.text().contains("/metrics").then_some(())).await;
    let quoted = format!("--cacert '{}/", odd.display());
    assert!(demo.text().iter().any(|line| line.contains(&quoted)), "{:?}", demo.text());
    demo.signal("INT");
    assert_eq!(demo.exit().await.code(), Some(0));
    assert_eq!(std::fs::read_dir(&odd).unwrap().count(), 0, "the folder is removed");
}

#[test]
fn what_keeps_the_demo_from_starting_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let long = format!("/tmp/{}", "long".repeat(20));
    let cases: &[(&str, &[&str], i32, &[&str])] = &[
        ("/none/there", &["--port", "0"], 1, &["/none/there/", "`TMPDIR`"]),
        (&long, &["--port", "0"], 1, &[&long, "too long", "`TMPDIR`"]),
        ("/tmp", &["--port", &port], 1, &[&port, "--port 9443 --admin-port 9091"]),
        ("/tmp", &["--port", "0", "--admin-port", &port], 1, &[&port, "--admin-port 9091"]),
        ("/tmp", &["--port", "9443", "--admin-port", "9443"], 64, &["9443", "twice"]),
        ("/tmp", &["--port", "9443", "--admin-port", "9444"], 64, &["9444", "twice"]),
        ("/tmp", &["--port", "65535"], 64, &["65535", "0..=65534", "--port"]),
    ];
    for (folder, arguments, code, words) in cases {
        let mut demo = command();
        // A free admin port, where the case names none.
        let any: &[&str] =
            if arguments.contains(&"--admin-port") { &[] } else { &["--admin-port", "0"] };
        let demo = demo.arg("demo").args(*arguments).args(any).env("TMPDIR", folder);
        let output = demo.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {said}");
        for word in *words {
            assert!(said.contains(word), "{arguments:?}, {word}: {said}");
        }
    }
}
