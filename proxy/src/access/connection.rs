//! What is said about a connection whose bytes are forwarded as they are, in text and in JSON.
//!
//! Owns [`ConnectionEntry`] and the two forms of its line. Text:
//!
//! ```text
//! 2026-03-01T12:00:00.123Z 203.0.113.7 tcp received=312 sent=5120 listener=imap
//!     sni=mail.example.com tls=1.3 handshake=full duration_ms=12.345 backend=imap
//!     endpoint=10.0.0.7:143 end=done
//! ```
//!
//! in one line: the moment of the end in UTC; the client; the bytes that it has sent and those that
//! it was given; the name of the listener; the name that it asked for, the version of TLS and the
//! kind of its handshake; the time from accept to the end; the backend and the endpoint; which
//! software the client is like, if that is wanted to be known, as `ja4=`; and how it ended. What
//! there is none of is `-`, in JSON null. Refuses to know what the bytes meant.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portunus_certs::name::HostName;

use super::words::{
    begin_object, begin_text, put, put_endpoint, put_endpoint_member, put_member, put_millis,
    put_optional,
};
use crate::log::Format;
use crate::metrics::{HandshakeKind, TlsVersion};
use crate::net::{ClientAddr, EndpointAddr};
use crate::outcome::{CloseReason, Label as _};

/// A connection and what became of it.
#[derive(Clone, Debug, Default)]
pub struct ConnectionEntry {
    /// The name of the listener.
    pub listener: Arc<str>,
    /// On whose behalf it came.
    pub client: Option<ClientAddr>,
    /// The name that it asked for, if TLS has one.
    pub server_name: Option<HostName>,
    /// The version of TLS, where TLS ends here.
    pub tls: Option<TlsVersion>,
    /// How its keys came about.
    pub handshake: Option<HandshakeKind>,
    /// Bytes that the client has sent.
    pub received: u64,
    /// Bytes that it was given.
    pub sent: u64,
    /// How long it lasted.
    pub duration: Duration,
    /// The name of the backend, if one was asked.
    pub backend: Option<Arc<str>>,
    /// The endpoint, if one was asked.
    pub endpoint: Option<EndpointAddr>,
    /// Which software the client is like, if that is told.
    pub ja4: Option<Arc<str>>,
    /// How it ended.
    pub end: Option<CloseReason>,
}

impl ConnectionEntry {
    /// Adds the line to `line`, with its end.
    pub(super) fn write(&self, format: Format, now: SystemTime, line: &mut Vec<u8>) {
        match format {
            Format::Json => self.write_json(now, line),
            Format::Text => self.write_text(now, line),
        }
    }

    fn write_text(&self, now: SystemTime, line: &mut Vec<u8>) {
        begin_text(line, now, self.client);
        let Self { received, sent, listener, .. } = self;
        put(line, format_args!(" tcp received={received} sent={sent} listener={listener} sni="));
        put_optional(line, self.server_name.as_ref().map(HostName::as_str));
        line.extend_from_slice(b" tls=");
        put_optional(line, self.tls.map(|version| version.label()));
        line.extend_from_slice(b" handshake=");
        put_optional(line, self.handshake.map(|kind| kind.label()));
        line.extend_from_slice(b" duration_ms=");
        put_millis(line, self.duration);
        line.extend_from_slice(b" backend=");
        put_optional(line, self.backend.as_deref());
        line.extend_from_slice(b" endpoint=");
        put_endpoint(line, self.endpoint.as_ref());
        if let Some(ja4) = &self.ja4 {
            put(line, format_args!(" ja4={ja4}"));
        }
        line.extend_from_slice(b" end=");
        put_optional(line, self.end.map(|end| end.label()));
        line.push(b'\n');
    }

    fn write_json(&self, now: SystemTime, line: &mut Vec<u8>) {
        begin_object(line, now, self.client);
        put(line, format_args!(",\"received\":{},\"sent\":{}", self.received, self.sent));
        put_member(line, "listener", Some(&self.listener));
        put_member(line, "sni", self.server_name.as_ref().map(HostName::as_str));
        put_member(line, "tls", self.tls.map(|version| version.label()));
        put_member(line, "handshake", self.handshake.map(|kind| kind.label()));
        line.extend_from_slice(b",\"duration_ms\":");
        put_millis(line, self.duration);
        put_member(line, "backend", self.backend.as_deref());
        put_endpoint_member(line, self.endpoint.as_ref());
        put_member(line, "ja4", self.ja4.as_deref());
        put_member(line, "end", self.end.map(|end| end.label()));
        line.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::net::PeerAddr;

    fn line(entry: &ConnectionEntry, format: Format) -> String {
        let mut line = Vec::new();
        let now = UNIX_EPOCH + Duration::from_millis(1_709_210_096_007);
        entry.write(format, now, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_connection_of_bytes_is_told_of_in_one_line() {
        let entry = ConnectionEntry {
            listener: "imap".into(),
            client: Some(ClientAddr::from(PeerAddr::new("203.0.113.7:1234".parse().unwrap()))),
            server_name: HostName::parse("mail.example").ok(),
            tls: Some(TlsVersion::V1_3),
            handshake: Some(HandshakeKind::Full),
            received: 312,
            sent: 5_120,
            duration: Duration::from_micros(12_345),
            backend: Some("imap".into()),
            endpoint: Some(EndpointAddr::Tcp("10.0.0.7:143".parse().unwrap())),
            ja4: Some("t13d".into()),
            end: Some(CloseReason::Done),
        };
        assert_eq!(
            line(&entry, Format::Text),
            "2024-02-29T12:34:56.007Z 203.0.113.7 tcp received=312 sent=5120 listener=imap \
             sni=mail.example tls=1.3 handshake=full duration_ms=12.345 backend=imap \
             endpoint=10.0.0.7:143 ja4=t13d end=done\n"
        );
        let expected = serde_json::json!({
            "timestamp": "2024-02-29T12:34:56.007Z", "client": "203.0.113.7", "received": 312,
            "sent": 5120, "listener": "imap", "sni": "mail.example", "tls": "1.3",
            "handshake": "full", "duration_ms": 12.345, "backend": "imap",
            "endpoint": "10.0.0.7:143", "ja4": "t13d", "end": "done",
        });
        let told: serde_json::Value = serde_json::from_str(&line(&entry, Format::Json)).unwrap();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_there_is_none_of_is_told_as_such() {
        let nothing = ConnectionEntry::default();
        let text = line(&nothing, Format::Text);
        assert!(text.contains(" sni=- tls=- handshake=- ") && text.ends_with(" end=-\n"), "{text}");
        let told: serde_json::Value = serde_json::from_str(&line(&nothing, Format::Json)).unwrap();
        assert_eq!(told.get("endpoint"), Some(&serde_json::Value::Null));
    }
}
