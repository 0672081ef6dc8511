//! What a backend says before its answer: it comes to the client in time, whole, and at a message
//! boundary, or not at all.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";
const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn early_hints_come_before_the_answer_is_there() {
    // The backend answers only after it has got what the client sends when it has the hints.
    let post = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\n\r\n";
    let mut client = Client::new(vec![say(EARLY), say(OK).after("more")]).await;
    client.send(post).await;
    assert_eq!(client.read_until("\r\n\r\n").await, EARLY);
    client.send("more").await;
    assert!(client.read_until("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn hints_that_come_together_with_the_answer_come_first() {
    let both: &'static str =
        format!("HTTP/1.1 100 Continue\r\n\r\n{EARLY}HTTP/1.1 102 Processing\r\n\r\n{OK}").leak();
    let mut client = Client::new(vec![say(both), say(OK), say(both)]).await;
    for hinted in [true, false, true] {
        client.send(GET).await;
        let answer = client.read_until("ok").await;
        let hints = format!("{EARLY}HTTP/1.1 102 Processing\r\n\r\n");
        let hints = if hinted { hints.as_str() } else { "" };
        assert!(answer.starts_with(&format!("{hints}HTTP/1.1 200 OK\r\n")), "{answer}");
    }
}

#[tokio::test]
async fn hints_carry_nothing_that_is_for_one_hop_or_frames_a_body() {
    let hint = "HTTP/1.1 103 Early Hints\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
        Content-Length: 7\r\nTransfer-Encoding: chunked\r\nLink: </b>\r\n\r\n";
    let both: &'static str = format!("{hint}{OK}").leak();
    let mut client = Client::new(vec![say(both)]).await;
    client.send(GET).await;
    let answer = client.read_until("ok").await;
    let (hint, _) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(hint, "HTTP/1.1 103 Early Hints\r\nlink: </b>");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_hints() {
    let both: &'static str = format!("{EARLY}{OK}").leak();
    let client = Client::new(vec![say(both)]).await;
    let (answer, _) = client.ask("GET / HTTP/1.0\r\nHost: app.example\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_get_their_own_hints() {
    let both: &'static str = format!("{EARLY}{OK}").leak();
    let mut client = Client::new(vec![say(both), say(OK), say(both)]).await;
    client.send(&GET.repeat(3)).await;
    let mut answers = String::new();
    while answers.matches("ok").count() < 3 {
        answers += &client.read_until("ok").await;
    }
    let statuses: Vec<&str> =
        answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["103", "200", "200", "103", "200"], "{answers}");
}

#[tokio::test]
async fn a_storm_of_hints_is_cut() {
    let eleven: &'static str = format!("{}{OK}", EARLY.repeat(11)).leak();
    let endless: &'static str = EARLY.repeat(10_000).leak();
    for storm in [eleven, endless] {
        let client = Client::new(vec![say(storm)]).await;
        let (answer, _) =
            client.ask(&GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.matches(" 103 ").count() <= 10, "{answer}");
        assert!(answer.contains("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    }
}
