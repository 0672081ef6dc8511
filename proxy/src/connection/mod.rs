//! The spine: what happens to a connection, from accept to close, in the order in which it happens.
//!
//! Owns the sequence identify → establish → route → forward → report, and every branch between
//! them. Refuses to know how any of the stages does its work. Read next: `handshake`, and `tunnel`
//! for what happens to bytes.

mod prelude;
mod report;
mod span;
mod tunnel;

use std::fmt;
use std::future::{Future, poll_fn};
use std::mem::discriminant;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use tokio::time::Instant;

use crate::config::{self, ProxyProtocol};
use crate::drain::{DrainWatch, Ear, Notice};
use crate::forward::clear::ClearStream;
use crate::forward::header::TlsFacts;
use crate::forward::http::{self, HttpService};
use crate::handshake::introduction::{self, IntroductionError};
use crate::handshake::sites::SiteId;
use crate::handshake::{self, Arrival, Established, PassedThrough, Protocol, Start};
use crate::limit::{Share, Slot};
use crate::metrics::HandshakeKind::Full;
use crate::metrics::{HttpVersion, Limit};
use crate::net::{self, ClientAddr, PeerAddr, Socket};
use crate::outcome::{CloseReason, HandshakeFailure};
use crate::proxy_protocol::Introduction;
use crate::snapshot::{Service, Snapshot};
use prelude::Prelude;
use report::Report;
use tunnel::{Known, Way};

/// A connection that was accepted and not yet looked at.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: Socket,
    /// Who opened it.
    pub peer: PeerAddr,
    /// The TCP port that it was opened to; a unix socket has none.
    pub port: Option<u16>,
    /// When it was accepted.
    pub at: Instant,
    /// Its place among all connections.
    pub slot: Slot,
    /// Which way it came.
    pub entrance: Entrance,
    /// What connections are served by that come now.
    pub present: Present,
}

/// Tells what connections of a listener are served by at the moment, as long as any are.
#[derive(Clone)]
pub struct Present(Arc<dyn Fn() -> Option<Arc<Snapshot>> + Send + Sync>);

impl Present {
    /// What `ask` says.
    pub fn new(ask: impl Fn() -> Option<Arc<Snapshot>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Present").finish_non_exhaustive()
    }
}

/// What a connection is served by from its ClientHello on. Who keeps that back is not served by a
/// policy that holds no longer.
struct Terms<'s> {
    /// What it was accepted with.
    before: &'s Snapshot,
    present: Present,
    /// What took the place of that, if anything did.
    later: &'s OnceLock<Arc<Snapshot>>,
}

impl<'s> Terms<'s> {
    /// What holds now, if what was before can be exchanged, is what holds for good.
    fn settle(&self) -> &'s Snapshot {
        let before = self.before;
        let is_alike = |new: &Snapshot| {
            new.entrance == config::Entrance::Tls
                && discriminant(&new.service) == discriminant(&before.service)
                && [&new.starttls, &before.starttls].iter().all(|rule| rule.is_none())
        };
        match (self.present.0)().filter(|new| is_alike(new)) {
            Some(new) if !std::ptr::eq(&raw const *new, before) => self.later.get_or_init(|| new),
            _ => before,
        }
    }

    /// What holds for good.
    fn settled(&self) -> &'s Snapshot {
        self.later.get().map_or(self.before, |later| later)
    }
}

/// Which of its sockets a connection came to a listener by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entrance {
    /// One of its own.
    Main,
    /// One for requests in the clear, which are sent on to the listener.
    Redirect,
}

/// Who is at the other end of a connection, and when and where it came.
#[derive(Debug)]
struct Origin {
    peer: PeerAddr,
    client: ClientAddr,
    /// What the peer has said of the client, where it has to.
    introduction: Option<Box<Introduction>>,
    port: Option<u16>,
    at: Instant,
}

/// What is left to do when a connection has begun. It is all that stays of a connection while
/// nothing moves on it: what the beginning took is given back.
type Forwarding<'a> = Pin<Box<dyn Future<Output = CloseReason> + Send + 'a>>;

/// Serves a connection to its end.
pub async fn serve(accepted: Accepted, snapshot: Arc<Snapshot>, watch: DrainWatch) {
    let Accepted { socket, peer, port, at, slot: _slot, entrance, present } = accepted;
    let origin = Origin { peer, client: ClientAddr::from(peer), introduction: None, port, at };
    let share = snapshot.memory.share();
    let mut report = Report::open(&snapshot, &share, peer, origin.client, at);
    let mut ear = pin!(watch.ear());
    let later = OnceLock::new();
    let terms = Terms { before: &snapshot, present, later: &later };
    let begun = Box::pin(begin(socket, origin, entrance, terms, &mut report, watch));
    let ended = match unless_cut(begun, ear.as_mut(), &share).await {
        Ok(Some(forwarding)) => unless_cut(forwarding, ear, &share).await.map(Some),
        ended => ended.map(|_| None),
    };
    match ended {
        Ok(Some(reason)) => report.close(reason),
        Ok(None) => {}
        Err(Cut::Drain) => snapshot.process.drain_forced.inc(),
        Err(Cut::Memory) => report.close(CloseReason::Memory),
    }
}

/// Why a connection was cut.
enum Cut {
    /// The time to finish was over.
    Drain,
    /// Memory was short, and it held too much of it.
    Memory,
}

/// Does `work`, unless the connection is to be cut before: then it ends there, and so do its
/// connections, in resets.
async fn unless_cut<T>(
    work: Pin<Box<impl Future<Output = T> + ?Sized>>,
    mut ear: Pin<&mut Ear<impl Future<Output = ()>>>,
    share: &Share,
) -> Result<T, Cut> {
    let mut work = Some(work);
    poll_fn(|cx| {
        if share.poll_doomed(cx.waker()) {
            net::cut(work.take());
            return Poll::Ready(Err(Cut::Memory));
        }
        let done = work.as_mut().map(|work| work.as_mut().poll(cx));
        if let Some(Poll::Ready(done)) = done {
            return Poll::Ready(Ok(done));
        }
        if ear.as_mut().poll(cx, Notice::Cut) {
            net::cut(work.take());
            return Poll::Ready(Err(Cut::Drain));
        }
        Poll::Pending
    })
    .await
}

/// Brings a connection to where there is something to forward; one that has ended before is
/// reported.
async fn begin<'s>(
    mut socket: Socket,
    mut origin: Origin,
    entrance: Entrance,
    terms: Terms<'s>,
    report: &mut Report<'_>,
    watch: DrainWatch,
) -> Option<Forwarding<'s>> {
    let snapshot = terms.before;
    if let Some(rule) = &snapshot.proxy_protocol {
        match identify(&mut socket, &mut origin, rule, snapshot).await {
            Ok(()) => report.identify(origin.client),
            Err(error) => {
                report.stay_unknown(&error);
                return None;
            }
        }
    }
    match (entrance, snapshot.entrance) {
        (Entrance::Redirect, _) => {
            let service = snapshot.redirect.as_ref()?;
            let stream = ClearStream::new(socket, Arc::clone(&report.meter));
            Some(requests_in_the_clear(stream, service, &origin, report, watch))
        }
        (Entrance::Main, config::Entrance::Clear) => {
            let stream = ClearStream::new(socket, Arc::clone(&report.meter));
            match &snapshot.service {
                Service::Http(service) => {
                    Some(requests_in_the_clear(stream, service, &origin, report, watch))
                }
                Service::Tcp(_) => {
                    let (known, way) = (Known::Nothing, Way::New);
                    let begun = tunnel::begin(stream, known, way, snapshot, &origin, report).await;
                    report.expect(begun)
                }
            }
        }
        (Entrance::Main, config::Entrance::Tls) => {
            begin_tls(socket, origin, terms, report, watch).await
        }
    }
}

/// Hears who the client is.
async fn identify(
    socket: &mut Socket,
    origin: &mut Origin,
    rule: &ProxyProtocol,
    snapshot: &Snapshot,
) -> Result<(), IntroductionError> {
    let deadline = origin.at + snapshot.limits.proxy_header_timeout;
    let heard = introduction::hear(socket, origin.peer, rule, deadline).await;
    snapshot.metrics.proxy_headers.of(introduction::outcome(&heard)).inc();
    let heard = heard?;
    origin.client = introduction::client(origin.peer, &heard);
    origin.port = heard.ends.destination().map(|addr| addr.port()).or(origin.port);
    origin.introduction = Some(Box::new(heard));
    Ok(())
}

/// Serves requests that come in the clear.
fn requests_in_the_clear<'s>(
    stream: ClearStream,
    service: &Arc<HttpService>,
    origin: &Origin,
    report: &Report<'_>,
    watch: DrainWatch,
) -> Forwarding<'s> {
    let facts = http::ConnectionFacts {
        client: origin.client,
        local_port: origin.port,
        server_name: None,
        site: SiteId::FIRST,
        identity: None,
        tls: None,
        ja4: None,
        footprint: report.footprint.cloned(),
    };
    Box::pin(http::serve(stream, HttpVersion::H1, Arc::clone(service), facts, watch))
}

/// Brings a client that has to come under TLS to where there is something to forward.
async fn begin_tls<'s>(
    socket: Socket,
    origin: Origin,
    terms: Terms<'s>,
    report: &mut Report<'_>,
    watch: DrainWatch,
) -> Option<Forwarding<'s>> {
    let snapshot = terms.before;
    let (start, way) = match &snapshot.starttls {
        None => {
            let at = origin.introduction.as_ref().map_or(origin.at, |_| Instant::now());
            (Start { socket, early: Vec::new(), protocol: None, at }, Way::New)
        }
        Some(rule) => {
            let limit = &snapshot.dialogues;
            let permit = admit(|| limit.admit(origin.client.ip()), snapshot, &socket);
            let permit = report.admit(permit)?;
            let prelude = prelude::lead(socket, rule, snapshot, &origin, report);
            let prelude = Box::pin(prelude).await;
            drop(permit);
            match prelude {
                Prelude::Tls(start, way) => (start, way),
                Prelude::Over(reason) => {
                    report.close(reason);
                    return None;
                }
                Prelude::Clear(socket, said, way) => {
                    let meter = Arc::clone(&report.meter);
                    let stream = ClearStream::beginning_with(said, socket, meter);
                    let known = Known::Nothing;
                    let begun = tunnel::begin(stream, known, way, snapshot, &origin, report).await;
                    return report.expect(begun);
                }
            }
        }
    };
    // Only now: what is said before, or a backend that has to be heard, takes longer, and costs the
    // handshakes of other listeners nothing.
    let mut admission =
        report.admit(admit(|| snapshot.admission(origin.client.ip()), snapshot, &start.socket))?;
    let begin = start.at;
    let meter = Arc::clone(&report.meter);
    let policy = || &terms.settle().policy;
    let arrival = handshake::establish(start, policy, &snapshot.limits, &mut admission, meter);
    let arrival = Box::pin(arrival).await;
    let snapshot = terms.settled();
    match &arrival {
        Ok(Arrival::Established(established)) if established.facts.kind == Full => drop(admission),
        Ok(_) => admission.forgive(),
        Err(_) => drop(admission),
    }
    match arrival {
        Ok(Arrival::Established(established)) => {
            report.establish(&established.facts, begin);
            forward_clear_text(established, way, origin, snapshot, report, watch).await
        }
        Ok(Arrival::PassedThrough(passed)) => {
            let PassedThrough { socket, hello, server_name, site } = passed;
            report.pass_through(server_name.clone());
            let stream = ClearStream::beginning_with(hello, socket, Arc::clone(&report.meter));
            let (known, way) = (Known::Name(site, server_name.as_ref()), Way::New);
            let begun = tunnel::begin(stream, known, way, snapshot, &origin, report).await;
            report.expect(begun)
        }
        Err(error) => {
            report.fail(&error);
            None
        }
    }
}

/// Brings what comes out of TLS to where it is forwarded.
async fn forward_clear_text<'s>(
    established: Established,
    way: Way,
    origin: Origin,
    snapshot: &'s Snapshot,
    report: &mut Report<'_>,
    watch: DrainWatch,
) -> Option<Forwarding<'s>> {
    let Established { stream, facts } = established;
    let Service::Http(service) = &snapshot.service else {
        let known = Known::Tls(&facts);
        let begun = tunnel::begin(stream, known, way, snapshot, &origin, report).await;
        return report.expect(begun);
    };
    let version = match facts.protocol {
        Protocol::Http2 => HttpVersion::H2,
        Protocol::Plain => HttpVersion::H1,
    };
    let facts = http::ConnectionFacts {
        client: origin.client,
        local_port: origin.port,
        server_name: facts.server_name.as_ref().map(|name| name.as_str().into()),
        site: facts.site,
        identity: facts.client,
        tls: Some(TlsFacts { version: facts.version, suite: facts.suite, kind: facts.kind }),
        ja4: facts.ja4,
        footprint: report.footprint.cloned(),
    };
    Some(Box::pin(http::serve(stream, version, Arc::clone(service), facts, watch)))
}

/// What `ask` admits the connection to; one that is not admitted ends in a reset.
fn admit<A>(
    ask: impl FnOnce() -> Result<A, Limit>,
    snapshot: &Snapshot,
    socket: &Socket,
) -> Result<A, HandshakeFailure> {
    ask().map_err(|limit| {
        socket.reset_on_close();
        match limit {
            // Counted where the bill is.
            Limit::HandshakeRatePerSource => return HandshakeFailure::SourceRate,
            _ => snapshot.process.limit_hits.of(limit).inc(),
        }
        match limit {
            Limit::HandshakesPerSource => HandshakeFailure::SourceLimit,
            _ => HandshakeFailure::Shed,
        }
    })
}
