//! The end of memory is never reached: connections are given up before it, the largest first, and
//! the process lives.

use std::path::{Path, PathBuf};
use std::process::Command;

use portunus_tests::wait::eventually;
use portunus_tests::{Backend, Builder, Proxy, Tls, https, raw};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::NAME;

const PRESSURE: &str = "portunus_memory_pressure";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// Answers everything with `hello`, and what is asked for `/endless` without end.
fn generous() -> Backend {
    raw(|mut stream, _| async move {
        let mut head = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut head).await {
            if head[..count].starts_with(b"GET /endless") {
                let begin = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
                let _ = stream.write_all(begin).await;
                while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
                return;
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    })
}

fn proxy(backend: &Backend) -> Builder {
    Proxy::builder()
        .listener(https(NAME))
        .backend(backend)
        .set("limits.handshakes_per_source", "10000")
        .set("limits.tcp_user_timeout", "\"600s\"")
        .set("limits.connects", "5000")
        .set("log.level", "\"info\"")
}

/// Connections that nobody would mind, before each of them takes more.
const CROWD: usize = 400;

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

/// What a process weighs itself at, once it has seen all that it holds now.
async fn used(proxy: &Proxy) -> f64 {
    let status = format!("/proc/{}/status", proxy.process().id());
    eventually("a process that weighs itself", async || {
        let status = std::fs::read_to_string(&status).unwrap();
        let kib = |start| {
            let rest = status.lines().find_map(|line| line.strip_prefix(start)).unwrap();
            rest.trim_end_matches("kB").trim().parse::<f64>().unwrap()
        };
        let held = 1024.0 * (kib("RssAnon:") + kib("RssShmem:"));
        let used = proxy.metric("portunus_memory_used_bytes", &[]).await;
        (used + f64::from(1 << 18) >= held).then_some(used)
    })
    .await
}

/// Resident memory of a process, in bytes.
async fn resident(proxy: &Proxy) -> f64 {
    proxy.metric("process_resident_memory_bytes", &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_of_several_floods_took_is_given_back() {
    let backend = generous();
    // Sessions would stay, as they are meant to.
    let proxy = proxy(&backend).set("resumption.mode", "\"off\"").start().await;
    hold(&proxy, 100).await;
    let before = resident(&proxy).await;
    let mut after = Vec::new();
    // What stayed of each, if it were but some pages for each connection, would add up.
    for _ in 0..5 {
        hold(&proxy, 1_000).await;
        let active = "portunus_connections_active";
        proxy.wait_for_metric(active, &[], |count| count == 0.0).await;
        let most = 1.5 * before;
        let resident = "process_resident_memory_bytes";
        after.push(proxy.wait_for_metric(resident, &[], |bytes| bytes < most).await);
    }
    println!(
        "MiB resident: {:.1}, after each flood {:.1?}",
        mib(before),
        after.iter().map(|&bytes| mib(bytes)).collect::<Vec<_>>()
    );
}

/// Connections that were answered once and stay.
async fn hold(proxy: &Proxy, count: usize) -> Vec<Tls> {
    let mut held = Vec::new();
    while held.len() < count {
        let mut opening = JoinSet::new();
        for _ in 0..50.min(count - held.len()) {
            let client = proxy.client(NAME).alpn(&["http/1.1"]);
            opening.spawn(async move {
                let mut tls = client.connect().await;
                tls.send(REQUEST).await;
                tls.receive().await.unwrap();
                tls
            });
        }
        held.extend(opening.join_all().await);
    }
    held
}

/// The same, by and by: what comes at once is expected to come again.
async fn hold_calmly(proxy: &Proxy, count: usize) -> Vec<Tls> {
    let mut held = Vec::new();
    while held.len() < count {
        let rest = count - held.len();
        held.extend(hold(proxy, rest.min(25.max(rest / 4))).await);
        used(proxy).await;
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_runs_short_of_its_own_memory_gives_up_the_largest_and_lives() {
    let backend = generous();
    let probe = proxy(&backend).set("server.memory_max", "\"4 GiB\"").start().await;
    let held = hold(&probe, CROWD).await;
    let limit = used(&probe).await / 0.75;
    drop((held, probe));
    let proxy =
        proxy(&backend).set("server.memory_max", &format!("\"{limit:.0} B\"")).start().await;
    run_short(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_runs_short_of_its_control_group_lives() {
    let Some(group) = Group::new() else {
        eprintln!("skipped: there is no memory control group that this test may use");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let enter = group.enter_with_program_of_its_own(folder.path());
    let backend = generous();
    let probe = proxy(&backend).under(&["sh", "-c", &enter]).start().await;
    let held = hold(&probe, CROWD).await;
    let limit = used(&probe).await + f64::from(20 << 20);
    drop((held, probe));
    group.limit(limit as u64);
    let proxy = proxy(&backend).under(&["sh", "-c", &enter]).start().await;
    run_short(&proxy).await;
    assert_eq!(group.kills(), 0);
    drop(proxy.drain().await);
}

/// Takes memory until there is too little of it, and sees that the process gets over it.
async fn run_short(proxy: &Proxy) {
    let mut held = hold_calmly(proxy, CROWD).await;
    assert!(proxy.metric(PRESSURE, &[]).await < 2.0);
    let request = format!("GET /endless HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    for some in held.chunks_mut(10) {
        // Some are reset by the time that the last are asked.
        for tls in &mut *some {
            let _ = tls.try_send(request.as_bytes()).await;
        }
        for tls in some {
            let _ = tls.receive().await;
        }
    }
    let closed = "portunus_connections_closed_total";
    let reset = proxy.wait_for_metric(closed, &[("reason", "memory")], |reset| reset >= 1.0).await;
    println!("{reset} of {CROWD} connections were reset");
    proxy.wait_for_log("memory runs short: the largest connections are reset", &[]).await;
    let hits = [("limit", "memory")];
    assert!(proxy.metric("portunus_limit_hits_total", &hits).await >= 1.0);
    assert_eq!(proxy.process().exited(), None);
    drop(held);
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
    // What the allocator keeps is room for others.
    proxy.wait_for_metric(PRESSURE, &[], |level| level < 2.0).await;
    for mut again in hold(proxy, 20).await {
        again.try_send(REQUEST).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_memory_is_short_answers_are_the_last_of_their_connection() {
    let backend = generous();
    let probe = proxy(&backend).set("server.memory_max", "\"4 GiB\"").start().await;
    let held = hold(&probe, CROWD).await;
    // Between what has answers say good-bye and what has nothing accepted.
    let limit = used(&probe).await / 0.885;
    drop((held, probe));
    let proxy =
        proxy(&backend).set("server.memory_max", &format!("\"{limit:.0} B\"")).start().await;
    let mut held = hold_calmly(&proxy, CROWD - 100).await;
    while proxy.metric(PRESSURE, &[]).await < 1.0 {
        held.extend(hold_calmly(&proxy, 5).await);
        assert!(held.len() < 2 * CROWD, "memory does not run short");
    }
    // It was answered while there was enough.
    let tls = held.first_mut().unwrap();
    tls.send(REQUEST).await;
    let answer = String::from_utf8(tls.receive().await.unwrap()).unwrap();
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
}

/// A control group of version 1 with a limit on memory, which goes with this value.
struct Group(PathBuf);

impl Group {
    /// Below that of this process, if it may make one.
    fn new() -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = groups.lines().find_map(|line| line.split_once(":memory:"))?.1;
        let root = Path::new("/sys/fs/cgroup/memory");
        let parent = root.join(own.trim_start_matches('/'));
        let parent = if parent.is_dir() { parent } else { root.to_owned() };
        let folder = parent.join(format!("portunus-test-{}", std::process::id()));
        std::fs::create_dir(&folder).ok()?;
        let group = Self(folder);
        // It has one, but not yet one that anybody reaches.
        group.limit(1 << 32);
        Some(group)
    }

    /// The script of a shell that becomes the program it is given, in this group, and has the
    /// group pay for all of the program too: of a copy in `folder`, no page is in the cache yet.
    fn enter_with_program_of_its_own(&self, folder: &Path) -> String {
        let (group, program) = (self.0.display(), folder.join("program"));
        let program = program.display();
        format!(
            "cp \"$0\" {program} && dd of={program} oflag=nocache conv=notrunc,fdatasync count=0 \
             2>&1 && echo $$ > {group}/cgroup.procs && exec {program} \"$@\""
        )
    }

    fn limit(&self, bytes: u64) {
        std::fs::write(self.0.join("memory.limit_in_bytes"), bytes.to_string()).unwrap();
    }

    /// How often the kernel ended a process of it.
    fn kills(&self) -> u64 {
        let told = std::fs::read_to_string(self.0.join("memory.oom_control")).unwrap();
        let kills = told.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.map_or(0, |number| number.trim().parse().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It can go once the last process has; the shell waits for that where this may not.
        let folder = self.0.display();
        let script = format!("for i in 1 2 3 4 5; do rmdir {folder} && exit; sleep 1; done");
        let _ =
            Command::new("sh").args(["-c", &script]).stderr(std::process::Stdio::null()).spawn();
    }
}
