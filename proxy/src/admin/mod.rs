//! The admin listener: what the process says about itself to those who run it.
//!
//! Owns a thread with a runtime of its own, so that it answers while the data plane is overloaded.
//! What it answers, and to whom, is in `page`; what it tells, in `status`; how that looks to
//! people, in `html`; in which format metrics are told, in `accept`. Refuses to know connections.

mod accept;
mod html;
mod page;
mod query;
pub mod status;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portunus_certs::store::CertificateStore;
use tokio::runtime::{self, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::backend::Backend;
use crate::config::Secret;
use crate::control::Orders;
use crate::failures::Failures;
use crate::history::History;
use crate::limit::{Memory, Panics};
use crate::metrics::Metrics;
use crate::net::listen::{BindError, ListenSocket, OpenSocket};
use crate::net::{ListenAddr, Socket};
use crate::phase::PhaseWatch;
use crate::privilege::Report;

use page::{Pages, Place};
use status::ClientPolicy;

/// The running admin listener; it ends when this is dropped.
#[derive(Debug)]
pub struct Admin {
    /// Taken when it ends.
    running: Option<(oneshot::Sender<Infallible>, thread::JoinHandle<()>)>,
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // It says its last words, within a bound; a panic there is nothing to who ends.
            let _ = thread.join();
        }
    }
}

/// What is told.
#[derive(Debug)]
pub struct About {
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Where the process stands.
    pub phase: PhaseWatch,
    /// What was read of late.
    pub history: Arc<History>,
    /// How often something panicked of late.
    pub panics: Arc<Panics>,
    /// Whether there is enough of it for new clients.
    pub memory: Arc<Memory>,
    /// Without any, nobody can be served, unless there is nowhere to look for them: then no TLS
    /// ends here.
    pub certificates: Arc<CertificateStore>,
    /// Which clients failed of late, and why.
    pub failures: Arc<Failures>,
    /// What the configuration says now.
    pub view: Arc<ArcSwap<View>>,
    /// What the process gave up, if it did.
    pub confinement: Option<Arc<Report>>,
    /// Where what operators ask for is given.
    pub orders: Orders,
}

/// What is told of one configuration.
#[derive(Debug)]
pub struct View {
    /// Its number, counted from 1 at start.
    pub generation: u64,
    /// What a request must show, if anything.
    pub token: Option<Secret>,
    /// Where clients come in.
    pub listeners: status::Listeners,
    /// What is used up, and of how much.
    pub resources: status::Resources,
    /// Who may be a client.
    pub client_policies: Vec<ClientPolicy>,
    /// Who came back.
    pub resumption: status::Resumption,
    /// Where requests go.
    pub backends: Vec<Arc<Backend>>,
}

impl About {
    /// Whether every worker gets on, however much it has to do.
    fn is_alive(&self) -> bool {
        self.metrics.process().workers_stalled.get() == 0
    }

    /// Whether new clients should come.
    fn is_ready(&self) -> bool {
        let certificates = &self.certificates;
        let is_served = certificates.options().paths.is_empty() || !certificates.load().is_empty();
        let now = Instant::now();
        let is_sound = !self.panics.are_too_many(now) && !self.memory.is_long_closed(now);
        self.phase.now().is_ready() && is_served && is_sound
    }
}

/// Answers on `socket`, on a thread of its own.
pub fn start(socket: OpenSocket, about: About) -> Result<Admin, AdminError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(AdminError::Thread)?;
    let bound = {
        let _entered = runtime.enter();
        ListenSocket::new(socket)
    };
    let socket = match bound {
        Ok(socket) => socket,
        Err(error) => {
            // The caller may be a task, where a runtime must not be waited for.
            runtime.shutdown_background();
            return Err(AdminError::Bind(error));
        }
    };
    let place = match socket.addr() {
        ListenAddr::Tcp(_) | ListenAddr::Given(_) => Place::Port,
        ListenAddr::Unix(_) => Place::File,
    };
    let pages = Arc::new(Pages::new(about, place));
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || serve(&runtime, &socket, &pages, stopped))
        .map_err(AdminError::Thread)?;
    Ok(Admin { running: Some((stop, thread)) })
}

fn serve(
    runtime: &Runtime,
    socket: &ListenSocket,
    pages: &Arc<Pages>,
    stopped: oneshot::Receiver<Infallible>,
) {
    let tasks = LocalSet::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accept = tasks.run_until(async {
        loop {
            // The semaphore is never closed.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match socket.accept().await {
                Ok((stream, ..)) => {
                    let pages = Arc::clone(pages);
                    tokio::task::spawn_local(async move {
                        answer(stream, pages).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    debug!(listener = "admin", %error, "cannot accept connections");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    runtime.block_on(async {
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
        // Whoever waits for the answer to an order that ends the process gets it.
        let answered = slots.acquire_many(CONNECTIONS_MAX as u32);
        let _ = timeout(FAREWELL, tasks.run_until(answered)).await;
    });
}

/// Answers the requests of one connection, within a bound of time.
async fn answer(stream: Socket, pages: Arc<Pages>) {
    let service = service_fn(move |request| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(pages.answer(&request).await) }
    });
    let serve = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // Who breaks off or is too slow has no answer coming.
    let _ = timeout(CONNECTION_TIMEOUT, serve).await;
}

/// Why the admin listener could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address could not be bound.
    #[error("admin listener")]
    Bind(#[source] BindError),
    /// The thread or its runtime could not be started.
    #[error("the thread of the admin listener could not start")]
    Thread(#[source] io::Error),
}

/// Connections at once; scrapers and probes are few.
const CONNECTIONS_MAX: usize = 32;

/// From the first byte of a request head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A scraper that keeps its connection opens a new one now and then.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// Bytes of a request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// For the last answers, when everything else has ended.
const FAREWELL: Duration = Duration::from_millis(200);

/// After an error of accepting.
const PAUSE: Duration = Duration::from_millis(100);
