//! The image at work, with as few rights as a container can have.

use std::borrow::Borrow as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use portunus_tests::container::{Container, Draft, Image};
use portunus_tests::wait::eventually;
use portunus_tests::{Backend, Client, Http, Line, authority, http, read_response};
use serde_json::json;

const NAME: &str = "app.example";

/// A container that serves [`NAME`] in front of `backend`, at a port that the system chooses.
fn draft(image: Image, backend: &Http) -> Draft {
    configured(image.container(), backend).certificate(NAME)
}

fn configured(draft: Draft, backend: &Http) -> Draft {
    let backend: &Backend = backend.borrow();
    draft.config(&format!(
        "log.format = 'json'\nserver.drain_delay = '0s'\n\
         [listener.https]\nlisten = ['127.0.0.1:0']\nbackend = 'app'\n\
         [backend.app]\nendpoints = [{:?}]\n",
        backend.endpoint()
    ))
}

/// Waits until it says that it is ready; returns where it listens.
async fn ready(container: &Container) -> SocketAddr {
    let listening = container.process().line("where it listens", |line| {
        line.says("listening", &[("listener", "https")]).then(|| line.field("address"))
    });
    let address = listening.await.parse().unwrap();
    container.process().line("readiness", |line| line.says("ready", &[]).then_some(())).await;
    address
}

/// The answer of its admin listener.
fn asked(container: &Container, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", container.admin)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The status of the answer to a request through it.
async fn request(address: SocketAddr) -> u16 {
    let mut client = Client::new(address, NAME).alpn(&["http/1.1"]).connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    read_response(&mut client, &mut Vec::new()).await.unwrap().status
}

/// A line of `/proc/PID/status`, without its name.
fn fact(pid: u32, name: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap().split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_as_nobody_without_a_capability_on_a_root_that_cannot_be_written() {
    let Some(image) = Image::find() else { return };
    let backend = http();
    let container = draft(image, &backend).start();
    let address = ready(&container).await;
    assert_eq!(request(address).await, 200);
    let pid = container.pid();
    assert_eq!(fact(pid, "Uid"), ["65532"; 4]);
    assert_eq!(fact(pid, "Gid"), ["65532"; 4]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(fact(pid, set), ["0000000000000000"], "{set}");
    }
    assert_eq!(fact(pid, "NoNewPrivs"), ["1"]);
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let options = root.filter(|mount| mount[4] == "/").map(|mount| mount[5].to_owned());
    let options: Vec<String> = options.collect();
    assert!(options.iter().all(|options| options.split(',').any(|it| it == "ro")), "{options:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_as_any_user_of_the_root_group() {
    let Some(image) = Image::find() else { return };
    let backend = http();
    let container = configured(image.container().user(12345, 0), &backend).certificate(NAME);
    let container = container.start();
    let address = ready(&container).await;
    assert_eq!(request(address).await, 200);
    assert_eq!(fact(container.pid(), "Uid"), ["12345"; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_up_within_300_ms_and_takes_less_than_40_mb() {
    let backend = http();
    let mut fastest = Duration::MAX;
    // The machine has other things to do as well: the fastest of some starts tells what it takes.
    for _ in 0..30 {
        let Some(image) = Image::find() else { return };
        let draft = draft(image, &backend);
        let begun = Instant::now();
        let container = draft.start();
        ready(&container).await;
        fastest = fastest.min(begun.elapsed());
        assert!(asked(&container, "/readyz").starts_with("HTTP/1.1 200"), "it is as it says");
        let memory: u64 = fact(container.pid(), "VmRSS")[0].parse().unwrap();
        assert!(memory < 40_000, "{memory} kB of memory");
        eprintln!("up after {:?} at the best, {memory} kB resident", fastest);
        if fastest < UP {
            return;
        }
    }
    panic!("up after {fastest:?} at the best");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_health_check_tells_whether_clients_should_come() {
    let Some(image) = Image::find() else { return };
    let check = |image: &Image| {
        let test = image.about()["Healthcheck"]["Test"].as_array().unwrap();
        let words = test[1..].iter().map(|word| word.as_str().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    let command = check(&image);
    let backend = http();
    let container = draft(image, &backend).start();
    ready(&container).await;
    let healthy = container.exec(&command);
    assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");

    let Some(image) = Image::find() else { return };
    let container = configured(image.container(), &backend).start();
    ready(&container).await;
    assert!(asked(&container, "/livez").starts_with("HTTP/1.1 200"), "it lives, and waits");
    let unready = container.exec(&command);
    assert_eq!(unready.status.code(), Some(1), "without a certificate: {unready:?}");
    let words = String::from_utf8_lossy(&unready.stderr).into_owned();
    assert!(words.contains("not ready") && words.contains("certificate"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_it_says_what_to_mount() {
    let Some(image) = Image::find() else { return };
    let container = image.container().alone().certificate(NAME).start();
    let said = |word: &'static str| {
        container.process().line(word, move |line| line.text().contains(word).then_some(()))
    };
    said("ready").await;
    let ca = tempfile::NamedTempFile::new().unwrap();
    fs::write(ca.path(), authority().pem()).unwrap();
    let mut curl = container.visitor("--net");
    let resolve = format!("{NAME}:8443:127.0.0.1");
    curl.args(["curl", "-q", "-sS", "--max-time", "20", "--noproxy", "*", "--resolve", &resolve]);
    let answer = curl.arg("--cacert").arg(ca.path()).arg(format!("https://{NAME}:8443/x"));
    let answer = answer.output().unwrap();
    let (out, err) = (answer.stdout, String::from_utf8_lossy(&answer.stderr).into_owned());
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("mount one at /etc/portunus/config.toml"), "{out} {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_to_the_first_process_of_a_container_ends_it_in_good_order() {
    let Some(image) = Image::find() else { return };
    let backend = http();
    let container = draft(image, &backend).start();
    let address = ready(&container).await;
    assert_eq!(request(address).await, 200);
    assert_eq!(fact(container.pid(), "NSpid").last().unwrap(), "1");
    container.signal("TERM");
    let end = container.process().exit().await;
    assert_eq!(end.code(), Some(0));
    let said = |line: &Line| line.says("stopped", &[("end", "clean")]).then_some(());
    container.process().line("the end", said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_process_of_a_container_takes_leave_of_orphans() {
    let Some(image) = Image::find() else { return };
    let backend = http();
    let container = draft(image, &backend).start();
    ready(&container).await;
    let init = container.pid();
    // A shell of this machine that leaves a child behind in there.
    let mut shell = container.visitor("--pid");
    shell.args(["sh", "-c", "sleep 1000 & echo"]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut shell = shell.stdout(Stdio::null()).spawn().unwrap();
    assert!(shell.wait().unwrap().success());
    let is_orphan = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name == "sleep\n" && fact(*pid, "PPid") == [init.to_string()]
    };
    let pids = || {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
    };
    let orphan = eventually("an orphan", async || pids().find(is_orphan)).await;
    let kill = std::process::Command::new("kill").arg(orphan.to_string()).status().unwrap();
    assert!(kill.success());
    // As long as nobody takes leave of it, it has its number.
    let gone = async || (!fs::exists(format!("/proc/{orphan}")).unwrap()).then_some(());
    eventually("that the orphan is gone", gone).await;
    assert!(asked(&container, "/readyz").starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_workers_as_the_quota_has_cpus() {
    let cpus = std::thread::available_parallelism().unwrap().get();
    let backend = http();
    for (quota, workers) in [(None, cpus), (Some(200_000), 2.min(cpus)), (Some(100_000), 1)] {
        let Some(image) = Image::find() else { return };
        let limit = |quota: i64| json!({ "cpu": { "quota": quota, "period": 100_000 } });
        let container =
            draft(image, &backend).resources(quota.map_or_else(|| json!({}), limit)).start();
        let address = ready(&container).await;
        assert_eq!(request(address).await, 200);
        let said = |line: &Line| line.says("ready", &[]).then(|| line.field("workers"));
        let told = container.process().line("readiness", said).await;
        assert_eq!(told, workers.to_string(), "with {quota:?} µs in 100 ms");
    }
}

/// From the order to run it to its readiness.
const UP: Duration = Duration::from_millis(300);
