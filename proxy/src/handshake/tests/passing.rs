//! Sites that are told apart by ALPN, and those whose TLS ends at the endpoint.

use super::*;
use crate::outcome::HandshakeFailure;

/// `a.example` has three sites; `far.example` passes through, and there is no certificate for it.
const MIXED: &str = "[listener.web]\nlisten = ['[::]:1']\nmode = 'tcp'\n\
    [[listener.web.site]]\nhosts = ['a.example']\nalpn = ['imap', 'pop3']\nbackend = 'b'\n\
    [[listener.web.site]]\nhosts = ['a.example']\nalpn = ['postgresql']\npassthrough = true\n\
    backend = 'b'\n\
    [[listener.web.site]]\nhosts = ['a.example']\nbackend = 'b'\n\
    [[listener.web.site]]\nhosts = ['b.example']\nalpn = ['smtp']\nbackend = 'b'\n\
    [[listener.web.site]]\nhosts = ['far.example']\npassthrough = true\nbackend = 'b'\n\
    [backend.b]\nendpoints = ['h:1']\n";

impl Bench {
    /// A client of `name` that offers these protocols.
    fn offering(&self, name: &'static str, protocols: &[&str]) -> ClientConnection {
        let mut config = self.client(&version::TLS13, None);
        config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name).unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    }

    /// What comes of a client that sends `pieces`, one after the other.
    async fn hear(&self, pieces: &[&[u8]]) -> Result<Arrival, HandshakeError> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let speak = async {
            for piece in pieces {
                theirs.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (arrival, ()) = tokio::join!(Box::pin(self.meet(ours, Bill::default())), speak);
        arrival
    }
}

fn hello(mut client: ClientConnection) -> Vec<u8> {
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn what_passes_through_is_what_the_client_sent_in_whatever_pieces() {
    let bench = Bench::of(MIXED);
    let mut sent = hello(bench.offering("far.example", &["anything"]));
    assert!(sent.len() > 1200, "a post-quantum key share makes it more than one segment");
    sent.extend(b"and what a hasty client sends behind it");
    for cuts in [&[][..], &[1], &[5], &[700], &[1200], &[3, 400, 1210], &[sent.len() - 1]] {
        let mut pieces = Vec::new();
        let mut start = 0;
        for &cut in cuts.iter().chain([&sent.len()]) {
            pieces.push(&sent[start..cut]);
            start = cut;
        }
        let Ok(Arrival::PassedThrough(passed)) = bench.hear(&pieces).await else {
            unreachable!("{cuts:?}");
        };
        let mut socket = passed.socket;
        let mut heard = passed.hello;
        socket.read_to_end(&mut heard).await.unwrap();
        assert!(heard == sent, "{cuts:?}: {} of {} bytes", heard.len(), sent.len());
        assert_eq!(passed.site.index(), 4);
        assert_eq!(passed.server_name.unwrap().as_str(), "far.example");
    }
}

#[tokio::test]
async fn sites_of_one_name_are_told_apart_by_what_the_client_offers() {
    let bench = Bench::of(MIXED);
    for (name, offered, site, agreed) in [
        ("a.example", &["imap"][..], 0, Some("imap")),
        ("a.example", &["other", "pop3"], 0, Some("pop3")),
        ("a.example", &["other"], 2, None),
        ("a.example", &[], 2, None),
        ("b.example", &["h2", "smtp"], 3, Some("smtp")),
    ] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let client = bench.offering(name, offered);
        let (facts, (agreement, _open)) =
            tokio::join!(Box::pin(bench.serve(ours)), Box::pin(agreement(theirs, client)));
        let agreed = agreed.map(|name| name.as_bytes().to_vec());
        assert_eq!((facts.unwrap().site.index(), agreement), (site, agreed), "{name} {offered:?}");
    }
    let sent = hello(bench.offering("a.example", &["postgresql"]));
    let arrival = bench.hear(&[&sent]).await;
    assert!(matches!(arrival, Ok(Arrival::PassedThrough(passed)) if passed.site.index() == 1));
}

/// Plays the client up to the end of the handshake, and says which protocol was agreed on.
async fn agreement(
    mut socket: UnixStream,
    mut tls: ClientConnection,
) -> (Option<Vec<u8>>, UnixStream) {
    while tls.is_handshaking() || tls.wants_write() {
        let mut words = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut words).unwrap();
        }
        socket.write_all(&words).await.unwrap();
        if tls.is_handshaking() {
            let mut buf = [0; 4096];
            let count = socket.read(&mut buf).await.unwrap();
            let mut bytes = &buf[..count];
            while !bytes.is_empty() {
                tls.read_tls(&mut bytes).unwrap();
                tls.process_new_packets().unwrap();
            }
        }
    }
    (tls.alpn_protocol().map(<[u8]>::to_vec), socket)
}

#[tokio::test]
async fn beside_what_passes_through_nothing_is_let_in_that_would_not_be_otherwise() {
    let bench = Bench::of(MIXED);
    for (name, offered, failure) in [
        ("other.example", &[][..], HandshakeFailure::UnknownName),
        ("sub.far.example", &[], HandshakeFailure::UnknownName),
        ("b.example", &[], HandshakeFailure::NoAlpn),
        ("b.example", &["imap"], HandshakeFailure::NoAlpn),
    ] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let client = bench.offering(name, offered);
        let (arrival, told) = tokio::join!(
            Box::pin(bench.meet(ours, Bill::default())),
            Box::pin(talk(theirs, client))
        );
        assert_eq!(arrival.unwrap_err().failure(), failure, "{name} {offered:?}");
        let alert = match failure {
            HandshakeFailure::NoAlpn => rustls::AlertDescription::NoApplicationProtocol,
            _ => rustls::AlertDescription::UnrecognisedName,
        };
        assert_eq!(told, Err(rustls::Error::AlertReceived(alert)), "{name} {offered:?}");
    }
}
