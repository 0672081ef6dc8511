//! The upgrade of the binary, and sockets that somebody else opened: nobody who connects notices.
//!
//! `activation` is about sockets of a supervisor, `handoff` about one process that follows another,
//! `ends` about the end of one while both are there, `turns` about what is asked for meanwhile.

mod activation;
mod ends;
mod handoff;
mod turns;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use portunus_tests::{Builder, Proxy, TOKEN, command, write};
use serde_json::Value;

const NAME: &str = "app.example";

/// A proxy whose binary is a file of the test's own, and the processes that follow it.
struct Upgraded {
    proxy: Proxy,
    binary: PathBuf,
    folder: tempfile::TempDir,
}

impl Upgraded {
    async fn start(builder: Builder) -> Self {
        Self::watching_for(Duration::from_millis(700), builder).await
    }

    /// The same; a new process is watched for this long.
    async fn watching_for(watch: Duration, builder: Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("portunus");
        install(Path::new(command().get_program()), &binary);
        // The shell runs our file in place of the binary that the harness names.
        let script = format!("shift; exec {} \"$@\"", binary.display());
        let builder = builder.taking_orders();
        let watch = format!("PORTUNUS_UPGRADE_WATCH_MS={}", watch.as_millis());
        let proxy = builder.under(&["env", &watch, "sh", "-c", &script, "sh"]).start().await;
        Self { proxy, binary, folder }
    }

    /// Orders the upgrade, and says how the command ended and what it said.
    async fn upgrade(&self) -> (Option<i32>, Value, String) {
        self.order(&["upgrade", "--json"]).await
    }

    /// Gives an order by its command.
    async fn order(&self, what: &[&str]) -> (Option<i32>, Value, String) {
        let mut order = command();
        let config = self.folder.path().join(format!("{}.toml", what[0]));
        let admin = self.proxy.address("admin");
        let text = "\n[listener.x]\nlisten = ['127.0.0.1:0']\nmode = 'tcp'\nbackend = 'b'\n\
                    [backend.b]\nendpoints = ['h:1']\n";
        write(&config, &format!("admin.listen = '{admin}'\nadmin.token = '{TOKEN}'{text}"));
        order.args(what).arg("--config").arg(config);
        let output = tokio::task::spawn_blocking(move || order.output().unwrap()).await.unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), serde_json::from_str(&out).unwrap_or_default(), said)
    }

    /// Waits until a new process serves, and says which.
    async fn heir(&self) -> u32 {
        self.proxy.wait_for_log("upgrade: the new process serves", &[]).await;
        let started = self.proxy.wait_for_log("upgrade: a new process was started", &[]).await;
        started.field("pid").parse().unwrap()
    }

    async fn upgrade_well(&self) -> u64 {
        let (code, told, said) = self.upgrade().await;
        assert_eq!((code, told["result"].as_str()), (Some(0), Some("upgraded")), "{said}");
        told["pid"].as_u64().unwrap()
    }
}

/// Does something while a new process is watched for this long, and once more while one is watched
/// for long if that did not come in time.
async fn within_the_watch(watch: Duration, act: impl AsyncFn(Duration) -> Result<(), String>) {
    if act(watch).await.is_err() {
        assert_eq!(act(Duration::from_secs(20)).await, Ok(()));
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        // Whoever follows runs our file, and nothing else does.
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let runs = std::fs::read_link(entry.path().join("exe")).unwrap_or_default();
            if runs.starts_with(self.folder.path()) {
                let _ = Command::new("kill").arg("-KILL").arg(entry.file_name()).status();
            }
        }
    }
}

/// Puts a program in the place of another, as a package manager does.
fn install(program: &Path, place: &Path) {
    let aside = place.with_extension("aside");
    // Another process copies: what is open for writing here would be inherited, and then be busy.
    let copied = Command::new("cp").args([program, &aside]).status().unwrap();
    assert!(copied.success());
    std::fs::rename(aside, place).unwrap();
}

fn install_script(text: &str, place: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let aside = place.with_extension("aside");
    write(&aside, &format!("#!/bin/sh\n{text}\n"));
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(aside, place).unwrap();
}
