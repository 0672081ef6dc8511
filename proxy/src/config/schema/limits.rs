//! Every timeout and cap: `[limits]` and `[limits.http]`.
//!
//! Owns the keys. Read next: `listener`.

use std::time::Duration;

use super::super::number::{Count, Size, Time};
use super::super::section::{Key, Properties, Reader, Section, Table, section};
use super::super::value::Kind;
use super::{DAY, HOUR, MIB_USIZE, MINUTE, MOMENT, MONTH, SECOND, TCP_TIME_MAX, secs, within};

section! {
    /// `[limits]`
    LimitsSection {
        /// From accept to the complete ClientHello.
        client_hello_timeout: Duration = Time(MOMENT, HOUR).or(secs(5));
        /// Bytes of TLS records until the ClientHello is complete.
        client_hello_size: usize = Size(1_024, 64 * 1_024).or(16 * 1_024);
        /// From accept to the end of the PROXY header, where there has to be one.
        proxy_header_timeout: Duration = Time(MOMENT, MINUTE).or(secs(3));
        /// For what is said before TLS, where something is.
        starttls_timeout: Duration = Time(MOMENT, HOUR).or(secs(30));
        /// From accept, or the end of what comes before TLS, to the finished handshake.
        handshake_timeout: Duration = Time(MOMENT, HOUR).or(secs(10));
        /// Certificates that a client may show, its own included.
        client_chain_certificates: usize = Count(1, 16).or(8);
        /// Bytes of all certificates that a client may show.
        client_chain_size: usize = Size(1_024, 64 * 1_024).or(32 * 1_024);
        /// Handshakes going on at once, and as many dialogues before TLS; further connections are
        /// reset. 0 = 1024 per worker.
        handshakes: usize = Count(0, 10_000_000).or(0);
        /// Handshakes going on at once from one IPv4 address or IPv6 /64, and as many dialogues.
        handshakes_per_source: usize = Count(1, 10_000_000).or(64);
        /// Handshakes in a second from one IPv4 address or IPv6 /64 that resume nothing or fail;
        /// 0 = any number.
        handshake_rate_per_source: u32 = Count(0, 1_000_000).or(0);
        /// To connect to one endpoint.
        connect_timeout: Duration = Time(MOMENT, HOUR).or(secs(3));
        /// Endpoints tried for one connection or request.
        connect_attempts: usize = Count(1, 64).or(2);
        /// Connection attempts going on at once, for each backend; further ones wait their turn.
        connects: usize = Count(1, 65_536).or(256);
        /// Nothing moved in either direction of a tunnel.
        tunnel_idle_timeout: Duration = Time(MOMENT, MONTH).or(HOUR);
        /// Nothing moved in the remaining direction after the other has ended.
        half_close_timeout: Duration = Time(MOMENT, MONTH).or(secs(60));
        /// TCP: silence before the first keepalive probe, in whole seconds.
        tcp_keepalive_idle: Duration = Time(SECOND, TCP_TIME_MAX).or(secs(60));
        /// TCP: time between keepalive probes, in whole seconds.
        tcp_keepalive_interval: Duration = Time(SECOND, TCP_TIME_MAX).or(secs(10));
        /// TCP: unanswered probes before the connection is given up.
        tcp_keepalive_probes: u32 = Count(1, 127).or(6);
        /// TCP: how long sent data may stay unacknowledged.
        tcp_user_timeout: Duration = Time(SECOND, TCP_TIME_MAX).or(secs(30));
        /// Timeouts and caps of HTTP listeners.
        http: HttpSection = within();
    }
}

section! {
    /// `[limits.http]`
    HttpSection {
        /// From the first wait for a request head to its end.
        request_head_timeout: Duration = Time(MOMENT, HOUR).or(secs(10));
        /// Silence between two requests of a client.
        keepalive_timeout: Duration = Time(MOMENT, DAY).or(secs(75));
        /// Requests on one connection of HTTP/1.1.
        requests: u64 = Count(1, 1 << 53).or(1_000);
        /// The age of a connection at which it ends after what is going on.
        connection_age: Duration = Time(SECOND, MONTH).or(HOUR);
        /// Fields of a request head.
        header_fields: usize = Count(8, 1_024).or(100);
        /// Bytes of a request head.
        header_size: usize = Size(8 * 1_024, MIB_USIZE).or(32 * 1_024);
        /// Bytes of a request target.
        uri_size: usize = Size(256, 65_534).or(8 * 1_024);
        /// Silence within a request body.
        request_body_timeout: Duration = Time(MOMENT, DAY).or(secs(30));
        /// What a request body must bring per second after its first ten seconds; 0 B = anything.
        request_body_rate: u64 = Size(0, 1 << 30).or(500);
        /// From the complete request to the head of the response.
        response_head_timeout: Duration = Time(MOMENT, DAY).or(secs(60));
        /// Silence within a response body of a backend.
        response_body_timeout: Duration = Time(MOMENT, MONTH).or(secs(300));
        /// The client takes nothing of what is there for it.
        write_timeout: Duration = Time(MOMENT, DAY).or(secs(30));
        /// How long a connection to an endpoint waits for its next request.
        pool_idle_timeout: Duration = Time(MOMENT, DAY).or(secs(50));
        /// Connections that wait, per endpoint.
        pool_idle: usize = Count(0, 65_536).or(64);
        /// Concurrent HTTP/2 streams of one connection.
        h2_streams: u32 = Count(1, 65_536).or(100);
        /// Flow-control window of an HTTP/2 stream.
        h2_stream_window: u32 = Size(16 * 1_024, WINDOW_MAX).or(64 * 1_024);
        /// Flow-control window of an HTTP/2 connection of a client.
        h2_connection_window: u32 = Size(64 * 1_024, WINDOW_MAX).or(1 << 20);
        /// Response bytes that wait for the window of an HTTP/2 stream.
        h2_send_buffer: usize = Size(16 * 1_024, 64 * MIB_USIZE).or(64 * 1_024);
        /// Requests on one connection of HTTP/2.
        h2_requests: u64 = Count(1, 1 << 30).or(10_000);
        /// Streams that a client may reset within ten seconds.
        h2_resets: u32 = Count(1, 1 << 20).or(200);
        /// Frames that a client may send within ten seconds without asking or sending anything.
        h2_control_frames: u32 = Count(16, 1 << 20).or(1_000);
        /// Silence before an HTTP/2 client with open streams is asked whether it still lives.
        h2_ping_interval: Duration = Time(SECOND, DAY).or(secs(30));
        /// How long it may take to say so.
        h2_ping_timeout: Duration = Time(MOMENT, HOUR).or(secs(20));
    }
}

/// RFC 9113 §6.9.1.
const WINDOW_MAX: u32 = (1 << 31) - 1;
