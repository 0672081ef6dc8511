//! HAProxy, nginx and stunnel: what the test has them do, around what each needs to run in a test.
//!
//! Owns the lines that every configuration of theirs needs, and the order to stay in the
//! foreground and to log to us. Refuses to know what they are used for.

use std::path::PathBuf;
use std::process::Command;

use super::program::{packaged, server};
use super::{Draft, Peer};

/// A proxy to be, which the test configures.
#[derive(Debug)]
pub struct ForeignProxy {
    draft: Draft,
    command: fn(Command, &Draft, &str) -> Command,
}

/// An HAProxy, if it is here. Its configuration is the sections behind `defaults`, which are those
/// of `mode tcp`; what its `log-format` says comes to [`Peer::log`].
pub fn haproxy() -> Option<ForeignProxy> {
    ForeignProxy::new("haproxy", |mut command, draft, sections| {
        let text = format!(
            "global\n  log stdout format raw local0\n  nbthread 1\n\
             defaults\n  mode tcp\n  log global\n  timeout connect 10s\n  timeout client 30s\n  \
             timeout server 30s\n{sections}\n"
        );
        command.args(["-db", "-f"]).arg(draft.file("haproxy.cfg", &text));
        command
    })
}

/// An nginx with its module for streams, if it is here. Its configuration is the blocks `http` and
/// `stream`; its errors, and an `access_log` to `/dev/stdout`, come to [`Peer::log`].
pub fn nginx() -> Option<ForeignProxy> {
    ForeignProxy::new("nginx", |mut command, draft, blocks| {
        let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let is_apart = packaged(module).exists();
        let module = if is_apart { format!("load_module {module};") } else { String::new() };
        let folder = draft.folder.path().display();
        let text = format!(
            "{module}\nuser nobody nogroup;\nworker_processes 1;\ndaemon off;\n\
             pid {folder}/nginx.pid;\nerror_log stderr info;\n\
             events {{ worker_connections 512; }}\n{blocks}\n"
        );
        command.arg("-p").arg(draft.folder.path()).args(["-e", "stderr", "-c"]);
        command.arg(draft.file("nginx.conf", &text));
        command
    })
}

/// A stunnel, if it is here. Its configuration is its services.
pub fn stunnel() -> Option<ForeignProxy> {
    ForeignProxy::new("stunnel4", |mut command, draft, services| {
        let text = format!("foreground = yes\npid =\ndebug = 6\nsyslog = no\n{services}\n");
        command.arg(draft.file("stunnel.conf", &text));
        command
    })
}

impl ForeignProxy {
    fn new(program: &'static str, command: fn(Command, &Draft, &str) -> Command) -> Option<Self> {
        server(program).map(|_| Self { draft: Draft::new(program), command })
    }

    /// A free port of 127.0.0.1, by a name of the test's own.
    pub fn port(&mut self, name: &str) -> u16 {
        self.draft.port(name)
    }

    /// Writes a file into its folder, and says where it is.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        self.draft.file(name, text)
    }

    /// The path of a file in its folder, for a Unix socket.
    pub fn path(&self, name: &str) -> PathBuf {
        self.draft.path(name)
    }

    /// Runs it with this configuration, and waits until it listens at all its ports.
    pub async fn start(self, configuration: &str) -> Peer {
        let command = server(self.draft.program).expect("it was found before");
        let command = (self.command)(command, &self.draft, configuration);
        self.draft.start(command, "").await
    }
}
