//! Events that do not come: lost by the kernel, or never to be had. What changed is found all the
//! same.

use std::fs;
use std::path::Path;

use portunus_tests::foreign::user_namespaces;
use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, authority, echo, tls, write, write_and_rename};

use super::becomes;

const NAME: &str = "app.example";
const OVERFLOWS: &str = "portunus_certificate_watch_overflows_total";
const MODE: &str = "portunus_certificate_watch_mode";

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_event_was_lost_in_an_overflow_is_served() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("certificates.poll_interval", "\"1h\"")
        .start()
        .await;
    proxy.wait_for_metric(MODE, &[("mode", "events")], |value| value == 1.0).await;
    assert_eq!(proxy.metric(OVERFLOWS, &[]).await, 0.0);
    let room = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let room: usize = room.trim().parse().unwrap();
    let folder = proxy.folder().join("certs.d");
    let (one, other) = (folder.join("one.txt"), folder.join("other.txt"));
    write(&one, "");
    proxy.process().signal("STOP");
    let status = format!("/proc/{}/stat", proxy.process().id());
    let stopped = async || fs::read_to_string(&status).unwrap().contains(") T ").then_some(());
    eventually("the process to stand still", stopped).await;
    // Each renaming is two events, and no two in a row are alike.
    for _ in 0..=room / 4 {
        fs::rename(&one, &other).unwrap();
        fs::rename(&other, &one).unwrap();
    }
    let new = authority().issue(&[NAME]);
    write_and_rename(&folder.join("app.example.pem"), &new.pem());
    proxy.process().signal("CONT");
    becomes(&proxy, NAME, &new.leaf).await;
    proxy.wait_for_metric(OVERFLOWS, &[], |count| count >= 1.0).await;
    // The watch goes on.
    let new = authority().issue(&[NAME]);
    write_and_rename(&folder.join("app.example.pem"), &new.pem());
    becomes(&proxy, NAME, &new.leaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_watch_a_renewed_certificate_is_found_by_looking() {
    for limit in ["max_inotify_instances", "max_inotify_watches"] {
        if !user_namespaces() {
            return;
        }
        let none = format!("echo 0 > /proc/sys/user/{limit} && exec \"$0\" \"$@\"");
        let proxy = Proxy::builder()
            .listener(tls(NAME))
            .backend(echo())
            .set("certificates.poll_interval", "\"1s\"")
            .under(&["unshare", "-Ur", "sh", "-c", &none])
            .start()
            .await;
        let said = "certificates are not watched, only polled";
        proxy.wait_for_log(said, &[("level", "WARN")]).await;
        proxy.wait_for_metric(MODE, &[("mode", "poll")], |value| value == 1.0).await;
        assert_eq!(proxy.metric(MODE, &[("mode", "events")]).await, 0.0);
        for _ in 0..2 {
            let new = authority().issue(&[NAME]);
            write_and_rename(
                Path::new(&proxy.folder().join("certs.d/app.example.pem")),
                &new.pem(),
            );
            becomes(&proxy, NAME, &new.leaf).await;
        }
        let lines = proxy.process().lines();
        let count = lines.iter().filter(|line| line.says(said, &[])).count();
        assert_eq!(count, 1, "{limit}: said {count} times");
    }
}
