//! The product's own container image, run as operators run it.
//!
//! ```text
//! let Some(image) = Image::find() else { return };
//! let container = image.container().certificate(NAME).config(TOML).start().await;
//! ```
//!
//! Owns where the image is, the bundle that an OCI runtime (`runc`) runs, and its life: whatever
//! happens, it ends with this. A container here may do as little as one can: no capability, no new
//! privileges, a root that cannot be written, nothing writable besides, namespaces of its own
//! for everything but the network. `.ci/image` builds and unpacks the image;
//! `PORTUNUS_TEST_IMAGE` tells the folder, without it, it is looked for beside the build, and with
//! `none`, or where this is not root, tests are skipped. Refuses to know what the product says.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authority::authority;
use crate::foreign::{missing, skip};
use crate::peers::is_root;
use crate::process::Process;
use crate::reserved::Reserved;

/// The image, unpacked.
#[derive(Debug)]
pub struct Image {
    folder: PathBuf,
    about: Value,
}

/// A container that does not run yet.
#[derive(Debug)]
pub struct Draft {
    image: Image,
    folder: TempDir,
    user: (u32, u32),
    arguments: Vec<String>,
    mounts: Vec<Value>,
    namespaces: Vec<&'static str>,
    resources: Value,
    admin: Reserved,
}

/// A container that runs, and ends with this.
#[derive(Debug)]
pub struct Container {
    process: Process,
    id: String,
    folder: TempDir,
    /// The port of its admin listener, if the configuration takes it.
    pub admin: u16,
    _reserved: Reserved,
}

impl Image {
    /// The image, if it was built and can be run here.
    pub fn find() -> Option<Self> {
        let told = std::env::var_os(TOLD).map(PathBuf::from);
        let beside_the_build = || {
            let suite = std::env::current_exe().ok()?;
            Some(suite.ancestors().nth(3)?.join("tools/image"))
        };
        if told.as_ref().is_some_and(|told| told.as_os_str() == "none") || !is_root() {
            skip("the container image");
            return None;
        }
        let folder = told.or_else(beside_the_build)?;
        let Ok(about) = std::fs::read_to_string(folder.join("image.json")) else {
            missing("the container image");
            return None;
        };
        let runs = Command::new("runc").arg("--version").stdout(Stdio::null()).status();
        if !runs.is_ok_and(|status| status.success()) {
            missing("runc");
            return None;
        }
        let about = serde_json::from_str(&about).expect("what buildah says is JSON");
        Some(Self { folder, about })
    }

    /// The root of its files.
    pub fn root(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// What it says about itself: `User`, `Cmd`, `Healthcheck` and so on.
    pub fn about(&self) -> &Value {
        &self.about["Docker"]["config"]
    }

    /// A container of it, as its own user, with nothing mounted.
    pub fn container(self) -> Draft {
        let user = self.about()["User"].as_str().expect("it has a user").to_owned();
        let (user, group) = user.split_once(':').expect("a user and a group");
        let user = (user.parse().expect("a number"), group.parse().expect("a number"));
        let arguments = [self.texts("Entrypoint"), self.texts("Cmd")].concat();
        let folder = tempfile::tempdir().expect("a folder");
        // Whoever the container runs as may come in.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("ours");
        let namespaces = vec!["cgroup", "ipc", "mount", "pid", "uts"];
        let (mounts, resources, admin) = (Vec::new(), json!({}), Reserved::new());
        Draft { image: self, folder, user, arguments, mounts, namespaces, resources, admin }
    }

    /// A list of texts among what it says about itself.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let list = self.about()[key].as_array().into_iter().flatten();
        list.map(|text| text.as_str().expect("a text").to_owned()).collect()
    }
}

impl Draft {
    /// Another user and group.
    #[must_use]
    pub fn user(mut self, user: u32, group: u32) -> Self {
        self.user = (user, group);
        self
    }

    /// A certificate for `name`, which its user can read, where the image expects some.
    #[must_use]
    pub fn certificate(self, name: &str) -> Self {
        let folder = self.folder.path().join("certs.d");
        std::fs::create_dir(&folder).expect("the folder is ours");
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("ours");
        let file = folder.join("certificate.pem");
        std::fs::write(&file, authority().issue(&[name]).pem()).expect("the folder is ours");
        self.own(&file);
        self.mount(&folder, "/etc/portunus/certs.d")
    }

    /// A configuration in the place of the image's own; it begins with an admin listener that the
    /// test can reach.
    #[must_use]
    pub fn config(self, toml: &str) -> Self {
        let admin = format!("admin.listen = \"127.0.0.1:{}\"\n", self.admin.number());
        let file = self.folder.path().join("config.toml");
        std::fs::write(&file, admin + toml).expect("the folder is ours");
        self.own(&file);
        self.mount(&file, "/etc/portunus/config.toml")
    }

    /// A network that has nothing but its own loopback, and every port of it.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.namespaces.push("network");
        self
    }

    /// Limits of its cgroups, as the runtime's specification has them.
    #[must_use]
    pub fn resources(mut self, resources: Value) -> Self {
        self.resources = resources;
        self
    }

    fn own(&self, file: &Path) {
        let (user, group) = self.user;
        std::os::unix::fs::chown(file, Some(user), Some(group)).expect("root may give away");
        std::fs::set_permissions(file, Permissions::from_mode(0o400)).expect("it is ours");
    }

    fn mount(mut self, from: &Path, to: &str) -> Self {
        let options = ["bind", "ro", "nosuid", "nodev", "noexec"];
        self.mounts.push(json!({
            "source": from, "destination": to, "type": "bind", "options": options,
        }));
        self
    }

    /// Runs it.
    pub fn start(self) -> Container {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("portunus-suite-{}-{count}", std::process::id());
        let bundle = serde_json::to_vec(&self.specification(&id)).expect("it is JSON");
        std::fs::write(self.folder.path().join("config.json"), bundle).expect("it is ours");
        let mut command = runc(&self.folder);
        command.args(["run", "--bundle"]).arg(self.folder.path()).arg(&id);
        let (admin, process) = (self.admin.number(), Process::spawn(command));
        Container { process, id, folder: self.folder, admin, _reserved: self.admin }
    }

    fn specification(&self, id: &str) -> Value {
        let (user, group) = self.user;
        let namespaces = self.namespaces.iter().map(|kind| json!({ "type": kind }));
        let none: [&str; 0] = [];
        let place = |to: &str, kind: &str, options: &[&str]| {
            let source = kind;
            json!({ "destination": to, "type": kind, "source": source, "options": options })
        };
        let mut mounts = vec![
            place("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            place("/dev", "tmpfs", &["nosuid", "noexec", "mode=755", "size=64k", "ro"]),
            place("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            place("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"]),
        ];
        mounts.extend(self.mounts.iter().cloned());
        json!({
            "ociVersion": "1.0.2",
            "hostname": "portunus",
            "root": { "path": self.image.root(), "readonly": true },
            "process": {
                "user": { "uid": user, "gid": group },
                "args": self.arguments,
                "env": self.image.texts("Env"),
                "cwd": self.image.about()["WorkingDir"],
                "noNewPrivileges": true,
                "capabilities": {
                    "bounding": none, "effective": none, "permitted": none,
                    "inheritable": none, "ambient": none,
                },
                "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096 }],
            },
            "mounts": mounts,
            "linux": {
                "namespaces": namespaces.collect::<Vec<_>>(),
                "cgroupsPath": format!("/{id}"),
                "resources": self.resources,
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
            },
        })
    }
}

impl Container {
    /// What runs it, and passes on what it says and how it ends.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Sends its first process a signal, as `docker stop` does.
    pub fn signal(&self, name: &str) {
        let sent = self.runtime(&["kill", &self.id, name]);
        assert!(sent.status.success(), "{sent:?}");
    }

    /// Runs a program of the image in it, as `docker exec` does.
    pub fn exec(&self, program: &[String]) -> Output {
        let mut arguments = vec!["exec", self.id.as_str()];
        arguments.extend(program.iter().map(String::as_str));
        self.runtime(&arguments)
    }

    /// What its first process is called outside.
    pub fn pid(&self) -> u32 {
        let state = self.runtime(&["state", &self.id]);
        let state: Value = serde_json::from_slice(&state.stdout).expect("what runc says is JSON");
        u32::try_from(state["pid"].as_u64().expect("it runs")).expect("a process")
    }

    /// What runs a program of this machine in namespaces of its first process, which `which` names
    /// as `nsenter` does.
    pub fn visitor(&self, which: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid())).arg(which);
        command
    }

    fn runtime(&self, arguments: &[&str]) -> Output {
        runc(&self.folder).args(arguments).output().expect("runc was found")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.runtime(&["delete", "--force", &self.id]);
    }
}

/// The runtime, with its notes in a folder of the container's own.
fn runc(folder: &TempDir) -> Command {
    let mut command = Command::new("runc");
    command.arg("--root").arg(folder.path().join("state"));
    command
}

/// What tells where the image is.
const TOLD: &str = "PORTUNUS_TEST_IMAGE";
