//! HAProxy and nginx before us and behind us.

use portunus_tests::peers::{haproxy, nginx};
use portunus_tests::wait::eventually;
use portunus_tests::{Client, Proxy, echo, greeter, tls};
use tokio::net::TcpStream;

use super::{FROM, NAME, over};

/// Has `client` exchange a word through whoever waits at `port`, and returns its own address.
async fn visit(port: u16, client: &Client) -> String {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let here = tcp.local_addr().unwrap().to_string();
    let mut tls = over(tcp, client).await;
    tls.send(b"hello").await;
    tls.expect(b"hello").await;
    tls.close_notify().await;
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_before_us_tells_of_its_clients() {
    let Some(mut front) = haproxy() else { return };
    let proxy =
        Proxy::builder().listener(tls(NAME).with(FROM.0, FROM.1)).backend(echo()).start().await;
    let ways = [
        ("v1", "send-proxy"),
        ("v2", "send-proxy-v2"),
        ("sum", "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
        ("ssl", "send-proxy-v2-ssl-cn proxy-v2-options crc32c,ssl,cert-cn,ssl-cipher,authority"),
    ];
    let address = proxy.first_address();
    let mut sections = String::new();
    let mut ports = Vec::new();
    for (name, options) in ways {
        let port = front.port(name);
        ports.push(port);
        sections += &format!(
            "listen {name}\n  bind 127.0.0.1:{port}\n  unique-id-format %{{+X}}o%ci%cp\n  \
             server s {address} {options}\n"
        );
    }
    let _front = front.start(&sections).await;
    for port in ports {
        let here = visit(port, &proxy.client(NAME)).await;
        proxy.wait_for_log("closed", &[("client", &here), ("reason", "done")]).await;
    }
    let accepted = [("result", "accepted")];
    assert_eq!(proxy.metric("portunus_proxy_header_total", &accepted).await, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_that_only_looks_is_served_as_itself() {
    let Some(mut front) = haproxy() else { return };
    let proxy =
        Proxy::builder().listener(tls(NAME).with(FROM.0, FROM.1)).backend(echo()).start().await;
    let (port, address) = (front.port("in"), proxy.first_address());
    let sections = format!(
        "listen checks\n  bind 127.0.0.1:{port}\n  \
         server s {address} send-proxy-v2 check check-send-proxy check-ssl verify none inter 200\n"
    );
    let _front = front.start(&sections).await;
    let headers = "portunus_proxy_header_total";
    proxy.wait_for_metric(headers, &[("result", "local")], |count| count >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_before_us_tells_of_its_clients() {
    let Some(mut front) = nginx() else { return };
    let proxy =
        Proxy::builder().listener(tls(NAME).with(FROM.0, FROM.1)).backend(echo()).start().await;
    let (port, address) = (front.port("in"), proxy.first_address());
    let blocks = format!(
        "stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass {address}; \
         proxy_protocol on; }} }}"
    );
    let _front = front.start(&blocks).await;
    let here = visit(port, &proxy.client(NAME)).await;
    proxy.wait_for_log("closed", &[("client", &here), ("reason", "done")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_behind_us_hears_of_our_clients() {
    for version in ["v1", "v2"] {
        let Some(mut behind) = haproxy() else { return };
        let port = behind.port("in");
        let word = greeter("hello");
        let sections = format!(
            "frontend in\n  bind 127.0.0.1:{port} accept-proxy\n  \
             log-format \"heard %ci:%cp at %fi:%fp for %[fc_pp_authority] as \
             %[fc_pp_unique_id]\"\n  default_backend out\n\
             backend out\n  server s {}\n",
            word.endpoint()
        );
        let behind = behind.start(&sections).await;
        let proxy = Proxy::builder()
            .listener(tls(NAME))
            .endpoints("app", &[&behind.endpoint("in")])
            .set("backend.app.send_proxy", &format!("{version:?}"));
        let proxy = match version {
            "v1" => proxy,
            _ => proxy.set(
                "backend.app.proxy_tlvs",
                "[\"alpn\", \"authority\", \"client-cert\", \"ssl\", \"unique-id\"]",
            ),
        };
        let proxy = proxy.start().await;
        let tcp = TcpStream::connect(proxy.first_address()).await.unwrap();
        let here = tcp.local_addr().unwrap();
        let mut tls = over(tcp, &proxy.client(NAME)).await;
        tls.expect(b"hello").await;
        tls.close_notify().await;
        let _ = tls.receive_all().await;
        let line = behind.line("what was heard", |line| line.contains("heard ")).await;
        let heard = format!("heard {here} at {} for", proxy.first_address());
        assert!(line.contains(&heard), "{line} has not {heard}");
        if version == "v2" {
            assert!(line.contains(&format!("for {NAME} as ")), "{line}");
            let id = line.rsplit(' ').next().unwrap().trim();
            assert_eq!(id.len(), 36, "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_behind_us_hears_of_our_clients() {
    for version in ["v1", "v2"] {
        let Some(mut behind) = nginx() else { return };
        let port = behind.port("in");
        let blocks = format!(
            "stream {{ server {{ listen 127.0.0.1:{port} proxy_protocol; \
             return \"$proxy_protocol_addr:$proxy_protocol_port \
             $proxy_protocol_server_addr:$proxy_protocol_server_port\"; }} }}"
        );
        let behind = behind.start(&blocks).await;
        let proxy = Proxy::builder()
            .listener(tls(NAME))
            .endpoints("app", &[&behind.endpoint("in")])
            .set("backend.app.send_proxy", &format!("{version:?}"));
        let proxy = match version {
            "v1" => proxy,
            // That of Debian takes no more than 107 bytes.
            _ => proxy.set("backend.app.proxy_tlvs", "[]"),
        };
        let proxy = proxy.start().await;
        let tcp = TcpStream::connect(proxy.first_address()).await.unwrap();
        let here = tcp.local_addr().unwrap();
        let mut tls = over(tcp, &proxy.client(NAME)).await;
        let said = String::from_utf8(tls.receive_all().await.unwrap()).unwrap();
        assert_eq!(said, format!("{here} {}", proxy.first_address()), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_takes_us_for_healthy_when_we_take_it_for_healthy() {
    let Some(mut behind) = haproxy() else { return };
    let port = behind.port("in");
    let sections = format!(
        "frontend in\n  bind 127.0.0.1:{port} accept-proxy\n  mode http\n  \
         http-request return status 200 if {{ src 127.0.0.1 }}\n"
    );
    let behind = behind.start(&sections).await;
    for version in ["v1", "v2"] {
        let proxy = Proxy::builder()
            .listener(tls(NAME))
            .endpoints("app", &[&behind.endpoint("in")])
            .set("backend.app.send_proxy", &format!("{version:?}"))
            .set("backend.app.health", "{ path = \"/\", interval = \"200ms\", timeout = \"5s\" }")
            .start()
            .await;
        let checks = "portunus_health_checks_total";
        proxy.wait_for_metric(checks, &[("result", "good")], |count| count >= 1.0).await;
        eventually("a healthy endpoint", async || {
            let up = proxy.metric("portunus_endpoint_up", &[]).await;
            (up == 1.0).then_some(())
        })
        .await;
    }
}
