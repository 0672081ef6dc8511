//! Who the client is: what is believed of those who tell, what backends hear, what logs keep quiet.

use portunus_tests::foreign::{curl_for, s_client, url};
use portunus_tests::{Http, Listener, Proxy, Wallet, http, https, raw, read_response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, ask, get};

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];
/// Where the clients of this suite come from.
const HERE: &str = "[\"127.0.0.0/8\", \"10.0.0.0/8\"]";

async fn proxy(listener: Listener, backend: &Http) -> Proxy {
    Proxy::builder().listener(listener).backend(backend).start().await
}

/// What the backend has seen of a request with `fields`.
async fn seen(
    proxy: &Proxy,
    backend: &Http,
    version: &str,
    fields: &[&str],
) -> Option<portunus_tests::Seen> {
    let mut curl = curl_for(proxy, NAME)?.args(["-sS", "-o", "/dev/null", version]);
    for field in fields {
        curl = curl.args(["-H", field]);
    }
    curl.arg(url(proxy, NAME, "/")).run().await.expect_success();
    Some(backend.last())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_says_nothing_about_itself() {
    for (family, told) in [
        ("x-forwarded", [("x-forwarded-for", "127.0.0.1"), ("forwarded", "")]),
        ("forwarded", [("x-forwarded-for", ""), ("forwarded", "for=127.0.0.1;host=")]),
    ] {
        let backend = http();
        let listener = https(NAME).with("forwarded", &format!("{family:?}"));
        let listener = listener.with("trusted_peers", "[\"10.0.0.0/8\"]");
        let proxy = proxy(listener, &backend).await;
        let forged = [
            "X-Forwarded-For: 6.6.6.6",
            "X-Forwarded-Proto: forged",
            "X-Forwarded-Port: 6",
            "X-Forwarded-Host: forged.example",
            "X-Forwarded-Prefix: /forged",
            "X_Forwarded_For: 6.6.6.6",
            "X.Forwarded.For: 6.6.6.6",
            "X-Real-IP: 6.6.6.6",
            "Forwarded: for=6.6.6.6;host=forged.example;proto=http",
            "X-Request-Id: forged",
            "X-Tls-Version: forged",
            "x_tls_sni: forged",
            "Client-Cert: :Zm9yZ2Vk:",
            "Via: 1.1 forged",
        ];
        for version in VERSIONS {
            let Some(seen) = seen(&proxy, &backend, version, &forged).await else { return };
            for (name, value) in &seen.headers {
                let value = String::from_utf8_lossy(value.as_bytes());
                let is_forged = ["6.6.6.6", "forged", "Zm9yZ2Vk"].iter().any(|x| value.contains(x));
                assert!(!is_forged, "{version} {name}: {value}");
            }
            for (name, start) in told {
                let value = seen.field(name);
                assert!(
                    value.starts_with(start) && value.is_empty() == start.is_empty(),
                    "{value}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_peer_is_believed_up_to_the_first_stranger() {
    let backend = http();
    let proxy = proxy(https(NAME).with("trusted_peers", HERE), &backend).await;
    for (list, told) in [
        ("192.0.2.1", "192.0.2.1, 127.0.0.1"),
        ("6.6.6.6, 192.0.2.1:999, 10.1.2.3", "192.0.2.1, 10.1.2.3, 127.0.0.1"),
        ("[2001:db8::1]:1234", "2001:db8::1, 127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("192.0.2.1, <script>", "127.0.0.1"),
    ] {
        let field = format!("X-Forwarded-For: {list}");
        for version in VERSIONS {
            let fields = [&*field, "X-Forwarded-Proto: http", "X-Forwarded-Port: 80"];
            let Some(seen) = seen(&proxy, &backend, version, &fields).await else { return };
            assert_eq!(seen.field("x-forwarded-for"), told, "{version} {list}");
            assert_eq!(seen.field("x-forwarded-proto"), "http");
            assert_eq!(seen.field("x-forwarded-port"), "80");
            assert_eq!(seen.field("x-forwarded-host"), seen.field("host"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_field_tells_of_everybody_if_it_is_the_standard_one() {
    let backend = http();
    let listener = https(NAME).with("trusted_peers", HERE).with("forwarded", "\"forwarded\"");
    let proxy = proxy(listener, &backend).await;
    let port = proxy.first_address().port();
    let own = format!("for=127.0.0.1;host=\"{NAME}:{port}\";proto=https");
    for (value, told) in [
        ("for=192.0.2.1;proto=http", format!("for=192.0.2.1;proto=http, {own}")),
        (
            "for=6.6.6.6, For=\"[2001:db8::1]:5\";host=a.example;by=x, for=10.1.2.3",
            format!("for=\"[2001:db8::1]\";host=a.example, for=10.1.2.3, {own}"),
        ),
        ("for=_hidden", own.clone()),
        ("for=192.0.2.1;host=\"open, for=10.0.0.1", own.clone()),
    ] {
        let field = format!("Forwarded: {value}");
        for version in VERSIONS {
            let fields = [&*field, "X-Forwarded-For: 6.6.6.6"];
            let Some(seen) = seen(&proxy, &backend, version, &fields).await else { return };
            assert_eq!(seen.field("forwarded"), told, "{version} {value}");
            assert_eq!(seen.field("x-forwarded-for"), "");
            assert_eq!(seen.field("x-forwarded-proto"), "");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_request_comes_from_a_trusted_peer_or_from_us() {
    let backend = http();
    let trusting = proxy(https(NAME).with("trusted_peers", HERE), &backend).await;
    let strange = proxy(https(NAME), &backend).await;
    let made = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    for version in VERSIONS {
        let mut ids = Vec::new();
        let longest = "a".repeat(129);
        for value in ["from-the-edge", "not an id", "\"quoted\"", &longest] {
            let field = format!("X-Request-Id: {value}");
            let Some(told) = seen(&trusting, &backend, version, &[&field]).await else { return };
            let id = told.field("x-request-id");
            assert!(if value == "from-the-edge" { id == value } else { made(&id) }, "{id}");
            let told = seen(&strange, &backend, version, &[&field]).await.unwrap();
            let id = told.field("x-request-id");
            assert!(made(&id), "{id}");
            ids.push(id);
        }
        ids.dedup();
        assert_eq!(ids.len(), 4, "each request has a name of its own");
    }
    // An answer of ours says it too.
    let fields = "Host: nobody.example\r\nX-Request-Id: from-the-edge\r\nConnection: close\r\n";
    let refused = ask(&trusting, format!("GET / HTTP/1.1\r\n{fields}\r\n")).await.unwrap();
    assert_eq!(refused.field("x-request-id"), "from-the-edge");
    assert!(refused.text().contains("from-the-edge"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_hear_of_tls_what_openssl_says_of_it() {
    let backend = http();
    let proxy = proxy(https(NAME).with("tls_headers", "true"), &backend).await;
    for version in ["-tls1_3", "-tls1_2"] {
        let Some(client) = s_client(&proxy, NAME) else { return };
        let request = get("/", "Connection: close\r\n");
        let mut talk = client.args([version, "-ign_eof"]).start();
        talk.say(request.as_bytes()).await;
        let told = talk.finish().await.text();
        let seen = backend.last();
        let protocol = format!("{}, Cipher is", seen.field("x-tls-version"));
        assert!(told.contains(&format!("New, {protocol}")), "{protocol}: {told}");
        if version == "-tls1_3" {
            // The names of older suites are OpenSSL's own.
            let suite = format!("Cipher is {}", seen.field("x-tls-cipher"));
            assert!(told.contains(&suite), "{suite}: {told}");
        }
        assert_eq!(seen.field("x-tls-sni"), NAME);
        assert_eq!(seen.field("x-tls-resumed"), "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_hear_whether_a_session_was_resumed() {
    let backend = http();
    let proxy = proxy(https(NAME).with("tls_headers", "true"), &backend).await;
    let caller = proxy.client(NAME).alpn(&["http/1.1"]).resumption(Wallet::new().sessions());
    for resumed in [false, true] {
        let mut client = caller.connect().await;
        client.ticket().await;
        client.send(get("/", "Connection: close\r\n").as_bytes()).await;
        assert_eq!(read_response(&mut client, &mut Vec::new()).await.unwrap().status, 200);
        assert_eq!(client.resumed(), resumed);
        let expected = if resumed { "1" } else { "0" };
        assert_eq!(backend.last().field("x-tls-resumed"), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn underscores_pass_unless_the_listener_refuses_them() {
    let backend = http();
    let lax = proxy(https(NAME), &backend).await;
    let strict = proxy(https(NAME).with("reject_underscores", "true"), &backend).await;
    assert_eq!(ask(&lax, get("/", "X_Own: 1\r\n")).await.unwrap().status, 200);
    assert_eq!(backend.last().field("x_own"), "1");
    let before = backend.seen().len();
    assert_eq!(ask(&strict, get("/", "X_Own: 1\r\n")).await.unwrap().status, 400);
    assert_eq!(backend.seen().len(), before);
    assert_eq!(ask(&strict, get("/a_b", "X-Own: a_b\r\n")).await.unwrap().status, 200);
}

/// Some backends take `_` or `.` for `-`, and would read a second length.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_that_some_backend_takes_for_framing() {
    let backend = http();
    let proxy = proxy(https(NAME), &backend).await;
    let fields = "Content_Length: 7\r\nTransfer_Encoding: chunked\r\nContent.Length: 9\r\n\
                  Keep_Alive: 1\r\nProxy_Authorization: x\r\n";
    assert_eq!(ask(&proxy, get("/", fields)).await.unwrap().status, 200);
    let names = ["content_length", "transfer_encoding", "content.length", "keep_alive"];
    for name in names.into_iter().chain(["proxy_authorization"]) {
        assert_eq!(backend.last().field(name), "", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_cannot_put_lines_into_the_head_of_an_answer() {
    for field in ["X: a\rSet-Cookie: b", "X: a\0b", "X\0: a", "X: a\x7fb", ": a", "X Y: a"] {
        let backend = raw(move |mut stream, _| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        let proxy = Proxy::builder().listener(https(NAME)).backend(backend).start().await;
        let answer = ask(&proxy, get("/", "")).await.unwrap();
        assert_eq!(answer.status, 502, "{field:?}: {:?}", answer.fields);
        assert_eq!(answer.field("set-cookie"), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_keep_what_clients_confide() {
    let backend = http();
    let listener = https(NAME).with("trusted_peers", HERE);
    let proxy = proxy(listener, &backend).await;
    let fields = "Authorization: Bearer confided-1\r\nCookie: id=confided-2\r\n\
                  Proxy-Authorization: confided-3\r\nX-Own: confided-4\r\n";
    let paths = ["/?token=confided-5", "/status/502?token=confided-6"];
    for path in paths {
        assert!(ask(&proxy, get(path, fields)).await.is_some());
    }
    let broken = format!("GET /?confided-7 HTTP/1.1\r\nHost: a b\r\n{fields}\r\n");
    assert_eq!(ask(&proxy, broken).await.unwrap().status, 400);
    let log = proxy.drain().await.log;
    assert!(log.iter().any(|line| line.contains("closed")), "{log:?}");
    for line in log {
        assert!(!line.contains("confided"), "{line}");
    }
}
