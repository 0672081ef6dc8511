//! What a backend says before its answer, seen by a foreign client.

use portunus_tests::foreign::{curl_for, url};
use portunus_tests::{Proxy, https, raw, read_response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, connect, get};

const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\
                     Connection: x-hop\r\nX-Hop: 1\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn early_hints_come_before_the_answer_and_curl_sees_both() {
    let backend = raw(|mut stream, _| async move {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer).await {
            let _ = stream.write_all(EARLY.as_bytes()).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let _ = stream.write_all(answer).await;
        }
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(backend).start().await;
    let mut client = connect(&proxy).await;
    let mut buffer = Vec::new();
    for _ in 0..3 {
        client.send(get("/", "").as_bytes()).await;
        let early = read_response(&mut client, &mut buffer).await.unwrap();
        assert_eq!((early.status, early.field("x-hop")), (103, ""));
        assert_eq!(early.field("link"), "</a.css>; rel=preload");
        let answer = read_response(&mut client, &mut buffer).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    let Some(curl) = curl_for(&proxy, NAME) else { return };
    let output = curl.args(["-v", "--http1.1", &url(&proxy, NAME, "/")]).run().await;
    assert_eq!(output.expect_success(), "ok");
    let said = output.everything();
    let place = |words: &str| said.find(words).unwrap_or_else(|| panic!("no {words} in {said}"));
    assert!(place("< HTTP/1.1 103") < place("< HTTP/1.1 200"), "{said}");
}
