//! The way to the store: one connection, whichever kind of store it is.
//!
//! Owns what a new connection is given (a name, no retries, limits in time) and the one command or
//! many that are sent on it. A connection is shared by all callers. The library matches answers to
//! questions by their order, and keeps the place of a question whose caller is gone, so that no
//! answer ever goes to another caller. Retries of the library are off: a second `GETDEL` would
//! lose what the first one fetched. Refuses to know when to dial, which is [`super::link`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    Pipeline, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisResult,
    TlsCertificates, TlsMode, Value,
};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::url::{Host, Kind, Login, Place};
use crate::session::engine::ErrorKind;

/// How to get there.
#[derive(Debug)]
pub(super) struct Dialer {
    place: Place,
    authorities: Option<Vec<u8>>,
    pub(super) secrets: Vec<Zeroizing<String>>,
}

/// A connection that all callers share. The library's own task ends with the last of them.
pub(super) struct Connection {
    way: Way,
    closed: Arc<AtomicBool>,
}

enum Way {
    Cluster(ClusterConnection),
    One(MultiplexedConnection),
}

impl Dialer {
    pub(super) fn new(place: Place, authorities: Option<Vec<u8>>) -> Self {
        let secrets = place.secrets();
        Self { place, authorities, secrets }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// How long a dial may take. Sentinels and clusters are asked before the store is.
    pub(super) fn limit(&self) -> Duration {
        match self.place.kind {
            Kind::Socket(_) | Kind::Tcp(_) => CONNECT_TIMEOUT,
            Kind::Cluster(_) | Kind::Sentinel { .. } => CONNECT_TIMEOUT * 4,
        }
    }

    pub(super) async fn dial(&self) -> Result<Connection, Failure> {
        let failure =
            |error: &RedisError| Failure::of_dial(error, &self.place.to_string(), &self.secrets);
        let Ok(dialed) = tokio::time::timeout(self.limit(), self.try_dial()).await else {
            let text = format!("{}: no connection within {:?}", self.place, self.limit());
            return Err(Failure::new(ErrorKind::Unreachable, &text));
        };
        let connection = dialed.map_err(|error| failure(&error))?;
        // A server that lacks the command, or forbids it, still stores.
        match connection.one(&naming()).await {
            Err(error) if error.code() == Some("NOAUTH") || error.is_io_error() => {
                Err(failure(&error))
            }
            Ok(_) | Err(_) => Ok(connection),
        }
    }

    async fn try_dial(&self) -> RedisResult<Connection> {
        let closed = Arc::new(AtomicBool::new(false));
        let way = match &self.place.kind {
            Kind::Cluster(nodes) => Way::Cluster(self.dial_cluster(nodes).await?),
            Kind::Sentinel { sentinels, master, login } => {
                let client = self.find_master(sentinels, master, login).await?;
                let info = client.get_connection_info();
                let info = info.clone().set_redis_settings(self.settings());
                Way::One(connect(&Client::open(info)?, &closed).await?)
            }
            Kind::Socket(path) => {
                Way::One(connect(&self.client(ConnectionAddr::Unix(path.clone()))?, &closed).await?)
            }
            Kind::Tcp(host) => Way::One(connect(&self.client(self.address(host))?, &closed).await?),
        };
        Ok(Connection { way, closed })
    }

    async fn dial_cluster(&self, nodes: &[Host]) -> RedisResult<ClusterConnection> {
        let info = |host| self.info(self.address(host));
        let nodes = nodes.iter().map(info).collect::<RedisResult<Vec<_>>>()?;
        let mut builder = ClusterClient::builder(nodes)
            .retries(0)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(CLUSTER_TIMEOUT)
            .overall_response_timeout(None)
            .tcp_settings(tcp_settings())
            .use_protocol(ProtocolVersion::RESP3);
        if let Some(certificates) = self.certificates() {
            builder = builder.certs(certificates);
        }
        builder.build()?.get_async_connection().await
    }

    /// Asks the sentinels who the master is now, and the master whether it is one.
    async fn find_master(
        &self,
        sentinels: &[Host],
        master: &str,
        login: &Login,
    ) -> RedisResult<Client> {
        let sentinels = sentinels.iter().map(|host| self.address(host));
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(sentinels, master, kind)?
            .set_client_to_redis_db(self.place.database)
            .set_client_to_redis_tcp_settings(tcp_settings());
        if let Some(user) = &self.place.login.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &self.place.login.password {
            builder = builder.set_client_to_redis_password(password.as_str());
        }
        if let Some(user) = &login.user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = &login.password {
            builder = builder.set_client_to_sentinel_password(password.as_str());
        }
        if self.place.tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = self.certificates() {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build()?.async_get_client().await
    }

    fn client(&self, address: ConnectionAddr) -> RedisResult<Client> {
        let info = self.info(address)?;
        match self.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = Some(self.authorities.clone()?);
        Some(TlsCertificates { client_tls: None, root_cert })
    }

    fn address(&self, host: &Host) -> ConnectionAddr {
        let (host, port) = (host.name.clone(), host.port);
        if self.place.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    fn info(&self, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
        let info = address.into_connection_info()?.set_tcp_settings(tcp_settings());
        Ok(info.set_redis_settings(self.settings()))
    }

    /// The third version of the protocol, since only there the library says that a connection
    /// closed while nobody asked anything.
    fn settings(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name()
            .set_db(self.place.database);
        if let Some(user) = &self.place.login.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.place.login.password {
            settings = settings.set_password(password.as_str());
        }
        settings
    }
}

impl Connection {
    /// Whether the library has seen its end.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it mends itself, one node at a time.
    pub(super) fn mends_itself(&self) -> bool {
        matches!(self.way, Way::Cluster(_))
    }

    /// Sends one command.
    pub(super) async fn one(&self, command: &Cmd) -> RedisResult<Value> {
        match &self.way {
            Way::Cluster(cluster) => cluster.clone().req_packed_command(command).await,
            Way::One(connection) => connection.clone().send_packed_command(command).await,
        }
        .and_then(Value::extract_error)
    }

    /// Sends several at once; each has its own answer.
    pub(super) async fn many(&self, pipeline: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        match &self.way {
            // A pipeline of a cluster must stay within one slot.
            Way::Cluster(_) => {
                let asked = pipeline.cmd_iter().map(|command| self.one(command));
                Ok(join(asked).await)
            }
            Way::One(connection) => {
                let mut connection = connection.clone();
                let count = pipeline.len();
                let values = connection.send_packed_commands(pipeline, 0, count).await?;
                Ok(values.into_iter().map(Value::extract_error).collect())
            }
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

async fn connect(client: &Client, closed: &Arc<AtomicBool>) -> RedisResult<MultiplexedConnection> {
    let closed = Arc::clone(closed);
    let notice = move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            closed.store(true, Ordering::Release);
        }
        Ok::<_, redis::aio::SendError>(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE_MAX)
        .set_push_sender(notice);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A peer that vanishes without a word must not hold a connection for a quarter of an hour, which
/// is what the system's own limits give it.
fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_MAX);
    settings
}

/// The name under which `CLIENT LIST` has us.
fn naming() -> Cmd {
    let mut command = redis::cmd("CLIENT");
    command.arg("SETNAME").arg("portunus");
    command
}

/// Awaits all of them at once.
async fn join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut asked: Vec<Pin<Box<_>>> = futures.map(Box::pin).collect();
    let mut answers: Vec<Option<T>> = asked.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let open = asked.iter_mut().zip(&mut answers).filter(|(_, answer)| answer.is_none());
        let mut waits = false;
        for (question, answer) in open {
            match question.as_mut().poll(context) {
                Poll::Ready(value) => *answer = Some(value),
                Poll::Pending => waits = true,
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// How long one connection may take to be made, with all that belongs to it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// How long a node of a cluster may take; callers wait far less, so this only frees memory.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(1);

/// How many commands wait for the library's task before callers do.
const QUEUE_MAX: usize = 256;

const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// How long what was sent may stay without the peer's kernel having taken it.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(2);
