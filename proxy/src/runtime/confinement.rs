//! What the process needs once it runs, and that it gives up all else.
//!
//! Owns the step from the configuration to the files that are read and written while the process
//! runs, and the words about what became of it. Refuses to know how the kernel is told. Read next:
//! `privilege`.

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::config::{self, AccessLog, Config, SharedEngine, TicketKeySource};
use crate::net::ListenAddr;
use crate::privilege::{
    ConfineError, Identity, Places, Plan, Report, confine, lies_among_others, make_file,
    make_folder,
};

use super::RunError;
use super::sockets::entrances;

/// Gives up what serving `config` does not need. Whoever is started before keeps it; so there must
/// be no other thread yet.
pub fn give_up(config: &Config) -> Result<Report, RunError> {
    let report = plan(config).and_then(|plan| confine(&plan)).map_err(RunError::Confine)?;
    let missing: Vec<_> = report.missing().map(|(measure, _)| measure.label()).collect();
    if missing.is_empty() {
        info!(%report, "confined");
    } else {
        warn!(missing = missing.join(", "), %report, "confined as far as this machine can");
    }
    if config.server.user.is_none() && Identity::of_process().is_root() {
        warn!("this is root: set `server.user`, so that it is somebody else once it is started");
    }
    Ok(report)
}

/// What is out of reach since the start: a sandbox is never widened, and a successor has one of its
/// own.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is outside of what can be {done} since the start; an upgrade takes it in",
    path.display()
)]
pub struct OutOfReach {
    path: PathBuf,
    done: &'static str,
}

impl OutOfReach {
    /// Whether it is why `line` tells of an error: the kernel says no more than that it refused.
    pub fn explains(&self, line: &str) -> bool {
        line.contains("Permission denied") && line.contains(&*self.path.to_string_lossy())
    }
}

/// What `config` needs that is out of reach.
pub fn out_of_reach(report: &Report, config: &Config) -> Vec<OutOfReach> {
    let unread = read_paths(config).filter(|path| !report.permits_reading(path));
    let unread = unread.map(|path| (path, "read"));
    let unwritten = written(config).filter_map(|written| match written {
        Written::File(path) => path.parent().map(|folder| (path, folder)),
        Written::Folder(path) => Some((path, path)),
    });
    let unwritten = unwritten
        .filter(|(path, folder)| !report.permits_writing(folder) && !report.permits_writing(path));
    let all = unread.chain(unwritten.map(|(path, _)| (path, "written")));
    all.map(|(path, done)| OutOfReach { path: path.to_owned(), done }).collect()
}

fn plan(config: &Config) -> Result<Plan, ConfineError> {
    let user = config.server.user.as_deref().map(Identity::find).transpose()?;
    make(config, user.as_ref());
    let mut places = Places::of_system();
    read_paths(config).for_each(|path| places.reads(path));
    for written in written(config) {
        match written {
            Written::File(path) => places.writes_file(path),
            Written::Folder(path) => places.writes_folder(path),
        }
    }
    let sockets = sockets(config).map(Path::to_owned).collect();
    Ok(Plan { user, sandbox: config.server.sandbox, places, sockets })
}

/// Makes what is written, so that nothing above it need be. Where that fails, whoever opens it
/// later says why.
fn make(config: &Config, user: Option<&Identity>) {
    for path in written(config) {
        if let Written::Folder(path) = path {
            _ = make_folder(path, user);
        }
    }
    if let AccessLog::File(path) = &config.log.access
        && lies_among_others(path)
    {
        _ = make_file(path, user);
    }
}

/// Every file and folder that is read while the process runs.
pub fn read_paths(config: &Config) -> impl Iterator<Item = &Path> {
    let certificates = config.certificates.paths.iter();
    let clients = config.client_auths.iter().flat_map(|auth| auth.crls.iter().chain([&auth.ca]));
    let backends = config.backends.iter().filter_map(|backend| backend.tls.as_ref());
    let backends = backends.flat_map(|tls| tls.ca.iter().chain(&tls.credential).chain(&tls.crls));
    let challenges = config.listeners.iter().filter_map(|listener| {
        listener.http.redirect.as_ref().and_then(|redirect| redirect.challenges.as_ref())
    });
    let shared = config.resumption.shared.iter().flat_map(|shared| {
        let ca = match &shared.engine {
            SharedEngine::Redis { ca, .. } => ca.as_ref(),
            SharedEngine::Local { .. } => None,
        };
        ca.into_iter().chain([&shared.sealing_key])
    });
    let tickets = match &config.resumption.tickets.keys {
        TicketKeySource::File(path) => Some(path),
        TicketKeySource::Generated | TicketKeySource::Shared => None,
    };
    let collector = config.traces.iter().filter_map(|traces| traces.collector.tls.as_ref());
    let collector = collector.filter_map(|tls| tls.ca.as_ref());
    let all = certificates.chain(clients).chain(backends).chain(challenges).chain(collector);
    let own = config.path.iter().chain(&config.files);
    all.chain(shared).chain(tickets).chain(own).map(PathBuf::as_path)
}

/// Something that is written while the process runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Written<'a> {
    /// A file, which is made anew now and then.
    File(&'a Path),
    /// Whatever is in a folder.
    Folder(&'a Path),
}

/// Every file and folder that is written while the process runs.
pub fn written(config: &Config) -> impl Iterator<Item = Written<'_>> {
    let log = match &config.log.access {
        AccessLog::File(path) => Some(Written::File(path)),
        AccessLog::Off | AccessLog::Stdout => None,
    };
    let sessions = config.resumption.shared.as_ref().and_then(|shared| match &shared.engine {
        SharedEngine::Local { path, .. } => Some(Written::Folder(path)),
        SharedEngine::Redis { .. } => None,
    });
    log.into_iter().chain(sessions).chain(sockets(config).map(Written::File))
}

/// The files of unix sockets that are listened on.
fn sockets(config: &Config) -> impl Iterator<Item = &Path> {
    let admin = config.admin.iter().map(|config::Admin { listen, .. }| listen);
    let listeners = config.listeners.iter().flat_map(entrances).map(|(addr, _)| addr);
    admin.chain(listeners).filter_map(|addr| match addr {
        ListenAddr::Unix(path) => Some(path.as_path()),
        ListenAddr::Given(_) | ListenAddr::Tcp(_) => None,
    })
}
