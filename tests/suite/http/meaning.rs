//! What a request means is the same on both sides of the proxy, whatever it looks like.
//!
//! Requests are made up at random, from the same seed each time: sound ones in odd dress, sound
//! ones with bytes changed, and lists of fields of HTTP/2 that no client would send. The backend
//! reads them by `grammar::reference`, which takes no liberties: whatever it saw has one meaning,
//! came at most once, and, where it was sound, is what was sent.

use std::collections::HashMap;
use std::sync::Arc;

use portunus_tests::{Client, Proxy, Tls, https, read_response};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tokio::task::JoinSet;

use super::NAME;
use super::grammar::{judge, reference};

/// A request as it was thought of.
#[derive(Clone, Debug)]
struct Thought {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    /// The sizes of chunks, if its length is not said.
    chunks: Option<Vec<usize>>,
    /// How lines are dressed: white space before and behind values, upper case of names.
    dress: (&'static str, &'static str, bool),
}

fn thoughts() -> impl Strategy<Value = Thought> {
    let method = select(vec!["GET", "POST", "PUT", "PATCH", "OPTIONS", "QUERY", "BREW"]);
    let target = "/[a-zA-Z0-9._~!$&'()*+,;=:@%/-]{0,30}(\\?[a-z0-9/?=&%+.:@-]{0,20})?";
    let name = select(vec!["x-a", "x-b", "x-long-name-1", "accept", "accept-language", "cookie"]);
    let value = "([!-~\u{e4}\u{20ac}]([ -~\t]{0,30}[!-~])?)?";
    let fields = vec((name.prop_map(str::to_owned), value), 0..8);
    let body = vec(any::<u8>(), 0..3_000);
    let chunks = proptest::option::of(vec(1_usize..900, 1..6));
    let space = || select(vec!["", " ", "\t", "  "]);
    (method, target, fields, body, chunks, (space(), space(), any::<bool>())).prop_map(
        |(method, target, fields, body, chunks, dress)| {
            let method = method.to_owned();
            Thought { method, target, fields, body, chunks, dress }
        },
    )
}

impl Thought {
    /// As HTTP/1.1 writes it.
    fn written(&self, id: usize) -> Vec<u8> {
        let (before, behind, upper) = self.dress;
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut field = |name: &str, value: &str| {
            let name = if upper { name.to_ascii_uppercase() } else { name.to_owned() };
            out.extend(format!("{name}:{before}{value}{behind}\r\n").bytes());
        };
        field("host", NAME);
        field("x-id", &name_of(id));
        self.fields.iter().for_each(|(name, value)| field(name, value));
        match &self.chunks {
            None if self.body.is_empty() => out.extend(b"\r\n"),
            None => {
                field("content-length", &self.body.len().to_string());
                out.extend(b"\r\n");
                out.extend(&self.body);
            }
            Some(sizes) => {
                field("transfer-encoding", "chunked");
                out.extend(b"\r\n");
                let mut rest = &self.body[..];
                for size in sizes.iter().cycle().take_while(|_| !rest.is_empty()) {
                    let (chunk, left) = rest.split_at((*size).min(rest.len()));
                    out.extend(format!("{:x};odd=\"1\"\r\n", chunk.len()).bytes());
                    out.extend(chunk);
                    out.extend(b"\r\n");
                    rest = left;
                    if rest.is_empty() {
                        break;
                    }
                }
                out.extend(b"0\r\n\r\n");
            }
        }
        out
    }

    /// Whether the backend understood it as it was thought of.
    fn is(&self, seen: &reference::Request) -> bool {
        let values = |name: &str| {
            let own = self.fields.iter().filter(move |(field, _)| field == name);
            own.map(|(_, value)| value.trim()).collect::<Vec<_>>()
        };
        let is_same = |name: &str| {
            seen.values(name).iter().map(|value| value.trim()).collect::<Vec<_>>() == values(name)
        };
        (&seen.method, &seen.target, &seen.body) == (&self.method, &self.target, &self.body)
            && ["x-a", "x-b", "x-long-name-1", "accept", "accept-language"].into_iter().all(is_same)
            && seen.values("cookie").join("; ") == values("cookie").join("; ")
    }
}

/// The name of a request: unlike any other, even with a byte changed.
fn name_of(id: usize) -> String {
    format!("{:08x}", id.wrapping_mul(0x9e37_79b1) & 0xffff_ffff)
}

/// So many values, the same ones each time.
fn some<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    let made = (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current());
    made.collect()
}

/// Sends each of `requests` on a connection of its own, and returns what the backend saw.
/// The proxy waits for the rest of a request as long as `patience` says.
async fn sent(
    protocol: &str,
    patience: &str,
    requests: Vec<Vec<u8>>,
) -> Vec<Result<reference::Request, String>> {
    let (backend, seen) = judge();
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(&backend)
        .set("limits.http.request_head_timeout", patience)
        .set("limits.http.request_body_timeout", patience)
        .set("limits.http.keepalive_timeout", patience)
        .start()
        .await;
    let client = Arc::new(proxy.client(NAME).alpn(&[protocol]));
    let mut running = JoinSet::new();
    for request in requests {
        if running.len() >= AT_ONCE {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(send(Arc::clone(&client), request));
    }
    running.join_all().await;
    // Nothing is under way any more.
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
    let seen = seen.lock().unwrap();
    seen.clone()
}

async fn send(client: Arc<Client>, request: Vec<u8>) {
    let mut tls = client.connect().await;
    // Whoever is refused already may not take the rest.
    let _ = tls.try_send(&request).await;
    if tls.protocol().as_deref() == Some("h2") {
        until_answered(&mut tls).await;
    } else {
        while let Some(answer) = read_response(&mut tls, &mut Vec::new()).await {
            if answer.status >= 200 {
                break;
            }
        }
    }
}

/// Reads until the only stream or the connection has ended.
async fn until_answered(tls: &mut Tls) {
    let mut bytes = Vec::new();
    while let Ok(more @ [_, ..]) = tls.receive().await.as_deref() {
        bytes.extend(more);
        while let Some(head) = bytes.first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            if bytes.len() < 9 + length {
                break;
            }
            bytes.drain(..9 + length);
            // RST_STREAM, GOAWAY, or HEADERS or DATA that end the stream.
            if matches!(kind, 3 | 7) || (matches!(kind, 0 | 1) && flags & 1 == 1) {
                return;
            }
        }
    }
}

/// What was seen, by its number; it fails for what has no single meaning, and for what came twice.
fn sorted(
    seen: Vec<Result<reference::Request, String>>,
    sent: &[Vec<u8>],
) -> HashMap<usize, reference::Request> {
    let mut sorted = HashMap::new();
    for seen in seen {
        let seen =
            seen.unwrap_or_else(|error| panic!("the backend got what is no request: {error}"));
        // A changed byte may have been one of the name.
        let Some(id) = (0..sent.len()).find(|id| seen.values("x-id") == [name_of(*id)]) else {
            continue;
        };
        let text = String::from_utf8_lossy(&sent[id]).into_owned();
        let before = sorted.insert(id, seen.clone());
        assert!(before.is_none(), "twice: {text:?}\n{before:?}\n{seen:?}");
    }
    sorted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_request_of_http_1_1_means_at_the_backend_what_the_client_meant() {
    let thoughts = some(&thoughts(), SOUND);
    let requests: Vec<_> =
        thoughts.iter().enumerate().map(|(id, thought)| thought.written(id)).collect();
    let seen = sorted(sent("http/1.1", LONG, requests.clone()).await, &requests);
    for (id, thought) in thoughts.iter().enumerate() {
        let text = String::from_utf8_lossy(&requests[id]);
        let seen = seen.get(&id).unwrap_or_else(|| panic!("it did not arrive: {text:?}"));
        assert!(thought.is(seen), "sent {text:?}\nseen {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_http_1_1_with_changed_bytes_means_one_thing_or_nothing() {
    let odd = b"\0\t\n\r :;,=\"0159afAFxX/\x7f\x80\xff".to_vec();
    let change = (any::<prop::sample::Index>(), select(odd), 0..3_usize);
    let changed = (thoughts(), vec(change, 1..4));
    let requests: Vec<_> = some(&changed, CHANGED)
        .into_iter()
        .enumerate()
        .map(|(id, (mut thought, changes))| {
            thought.body.truncate(40);
            let mut bytes = thought.written(id);
            for (place, byte, act) in changes {
                let place = place.index(bytes.len());
                match act {
                    0 => bytes[place] = byte,
                    1 => bytes.insert(place, byte),
                    _ => drop(bytes.remove(place)),
                }
            }
            bytes
        })
        .collect();
    let seen = sorted(sent("http/1.1", SHORT, requests.clone()).await, &requests);
    // Many of the changes are in values and content, which may be anything.
    assert!(seen.len() > CHANGED / 8, "only {} arrived", seen.len());
    for (id, seen) in seen {
        let text = String::from_utf8_lossy(&requests[id]);
        let line = format!("{} {} HTTP/1.1\r\n", seen.method, seen.target);
        let is_asked = text.trim_start_matches(['\r', '\n']).starts_with(&line);
        assert!(is_asked, "sent {text:?}\nseen {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_http_2_make_one_request_of_http_1_1_or_none() {
    let odd =
        vec!["\r\n", "\r", "\n", "\0", " ", "\t", ":", ",", "/", "#", "\u{e4}", "x: 1\r\n\r\n"];
    let text = |sound: &'static str| {
        let odd = select(odd.clone());
        prop_oneof![
            8 => sound.prop_map(|text| text),
            1 => (sound, odd.clone()).prop_map(|(text, odd)| text + odd),
            1 => (sound, odd, sound).prop_map(|(text, odd, more)| text + odd + &more),
        ]
    };
    let names = vec![
        "x-a",
        "x-b",
        "cookie",
        "te",
        "connection",
        "transfer-encoding",
        "content-length",
        "host",
        "upgrade",
        "expect",
        "X-Upper",
        ":path",
        ":method",
        ":status",
        "keep-alive",
        "trailer",
    ];
    let name = prop_oneof![6 => select(vec!["x-a", "x-b", "cookie"]), 2 => select(names)];
    let value = prop_oneof![6 => text("[ -~]{0,20}"), 1 => text("chunked|5|close|trailers|0|a, b")];
    let field =
        (name, text("[a-z-]{1,8}"), any::<u8>(), value).prop_map(|(name, other, odds, value)| {
            (if odds < 16 { other } else { name.to_owned() }, value)
        });
    let known = select(vec!["GET", "POST"]).prop_map(str::to_owned);
    let request = (
        prop_oneof![9 => known, 1 => text("[A-Z]{1,5}")],
        text("/[a-z0-9/?=&%.]{0,20}"),
        prop_oneof![9 => Just(NAME.to_owned()), 1 => text("app.example")],
        vec(field, 0..6),
        vec(vec(any::<u8>(), 0..200), 0..4),
    );
    let requests: Vec<_> = some(&request, FIELDS)
        .into_iter()
        .enumerate()
        .map(|(id, (method, path, authority, fields, content))| {
            let mut list = vec![
                (":method".to_owned(), method),
                (":scheme".to_owned(), "https".to_owned()),
                (":authority".to_owned(), authority),
                (":path".to_owned(), path),
                ("x-id".to_owned(), name_of(id)),
            ];
            list.extend(fields);
            frames(&list, &content)
        })
        .collect();
    let seen = sorted(sent("h2", SHORT, requests.clone()).await, &requests);
    assert!(seen.len() > FIELDS / 4, "only {} arrived", seen.len());
    for (id, seen) in seen {
        let text = requests[id].escape_ascii().to_string();
        let smuggled = seen.fields.iter().find(|(name, _)| name == "x" || name.starts_with(':'));
        assert!(smuggled.is_none(), "sent {text}\nseen {seen:?}");
        assert_eq!(seen.values("host"), [NAME], "sent {text}\nseen {seen:?}");
    }
}

/// A connection of HTTP/2 with one request: literals that touch no table, then content.
fn frames(fields: &[(String, String)], content: &[Vec<u8>]) -> Vec<u8> {
    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
        [&head[..], payload].concat()
    }
    fn string(text: &str) -> Vec<u8> {
        // None is longer than a byte with a prefix of seven bits says.
        assert!(text.len() < 127);
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }
    let literal =
        |(name, value): &(String, String)| [&[0][..], &string(name), &string(value)].concat();
    let block: Vec<u8> = fields.iter().flat_map(literal).collect();
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    out.extend(frame(4, 0, 0, &[]));
    out.extend(frame(1, if content.is_empty() { 5 } else { 4 }, 1, &block));
    for (place, piece) in content.iter().enumerate() {
        out.extend(frame(0, u8::from(place + 1 == content.len()), 1, piece));
    }
    out
}

const SOUND: usize = 400;
const CHANGED: usize = 600;
const FIELDS: usize = 600;
const AT_ONCE: usize = 32;

/// For requests that are whole.
const LONG: &str = "\"30s\"";

/// For requests of which some never end.
const SHORT: &str = "\"2s\"";
