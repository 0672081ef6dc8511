//! Lines as people and machines read them, and what happens if they cannot be written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, UNIX_EPOCH};

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::log::queue::QUEUE_BYTES_MAX;
use crate::net::{ClientAddr, EndpointAddr, PeerAddr};

/// A request that was answered, at a moment that is known.
fn entry(uri: &str) -> Entry {
    let request = Request::builder().uri(uri).header("host", "a.example:443").body(()).unwrap();
    let mut entry = Entry::of(&request, Instant::now());
    entry.listener = "https".into();
    entry.client = Some(ClientAddr::from(PeerAddr::new("203.0.113.7:1234".parse().unwrap())));
    entry.status = Some(200);
    entry.sent = 5_120;
    entry.duration = Duration::from_micros(12_345);
    entry.head = Some(Duration::from_micros(1_002));
    entry.backend = Some("app".into());
    entry.endpoint = Some(EndpointAddr::Tcp("10.0.0.7:3000".parse().unwrap()));
    entry.request_id = Some(HeaderValue::from_static("0123abcd"));
    entry.end = End::Complete;
    entry
}

fn line(entry: &Entry, format: Format) -> String {
    let mut line = Vec::new();
    // 2024-02-29, a leap day.
    let now = UNIX_EPOCH + Duration::from_millis(1_709_210_096_007);
    entry.write(format, now, &mut line);
    String::from_utf8(line).unwrap()
}

fn log(target: Target) -> (AccessLog, Writer, IntCounter) {
    let dropped = IntCounter::default();
    let (log, writer) = AccessLog::open(target, Format::Text, dropped.clone()).unwrap();
    (log, writer, dropped)
}

#[test]
fn a_request_that_is_going_on_is_told_of_where_lines_go_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.log", "two.log"].map(|name| folder.path().join(name));
    let (access, writer, dropped) = log(Target::File(one.clone()));
    let request = Request::builder().uri("/slow").body(()).unwrap();
    let [first, second] = [(); 2].map(|()| access.begin(&request, None, |_| {}));
    drop(first);
    let (other, next_writer, _) = log(Target::File(two.clone()));
    access.become_other(&other);
    drop(writer);
    drop(second);
    drop(next_writer);
    for file in [one, two] {
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.matches("/slow").count(), 1, "{}: {text}", file.display());
    }
    assert_eq!(dropped.get(), 0);
}

/// Waits until the thread has done what it was asked for.
fn settle(log: &AccessLog) {
    log.0.load_full().unwrap().queue.flush(Duration::from_secs(60));
}

#[test]
fn a_line_of_text_says_what_became_of_a_request() {
    assert_eq!(
        line(&entry("/a/b?token=secret"), Format::Text),
        "2024-02-29T12:34:56.007Z 203.0.113.7 \"GET /a/b HTTP/1.1\" 200 5120 listener=https \
         host=a.example:443 duration_ms=12.345 head_ms=1.002 backend=app \
         endpoint=10.0.0.7:3000 request_id=0123abcd end=complete\n"
    );
}

#[test]
fn a_line_of_json_is_an_object_with_the_same() {
    let line = line(&entry("/a/b?token=secret"), Format::Json);
    let expected = serde_json::json!({
        "timestamp": "2024-02-29T12:34:56.007Z", "client": "203.0.113.7", "method": "GET",
        "path": "/a/b", "version": "HTTP/1.1", "status": 200, "sent": 5120, "listener": "https",
        "host": "a.example:443", "duration_ms": 12.345, "head_ms": 1.002,
        "backend": "app", "endpoint": "10.0.0.7:3000", "request_id": "0123abcd", "ja4": null,
        "end": "complete",
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
    assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
}

#[test]
fn what_there_is_none_of_is_left_open() {
    let request = Request::builder().uri("*").body(()).unwrap();
    let entry = Entry::of(&request, Instant::now());
    assert!(line(&entry, Format::Text).contains(
        " - \"GET * HTTP/1.1\" - 0 listener= host=- duration_ms=0.000 head_ms=- \
         backend=- endpoint=- request_id=- end=cut\n"
    ));
    let json: serde_json::Value = serde_json::from_str(&line(&entry, Format::Json)).unwrap();
    for name in ["client", "status", "host", "head_ms", "backend", "endpoint", "request_id"] {
        assert_eq!(json[name], serde_json::Value::Null, "{name}");
    }
}

#[test]
fn a_request_that_could_not_be_read_has_no_method_and_no_path() {
    let mut entry = Entry::unread(Instant::now());
    entry.status = Some(400);
    let text = line(&entry, Format::Text);
    assert!(text.starts_with("2024-02-29T12:34:56.007Z - \"-\" 400 0 listener= "), "{text}");
    let json: serde_json::Value = serde_json::from_str(&line(&entry, Format::Json)).unwrap();
    assert!(json["method"].is_null() && json["path"].is_null(), "{json}");
}

#[test]
fn neither_queries_nor_credentials_are_logged() {
    let entry = entry("https://user:secret@b.example/x?secret#secret");
    for format in [Format::Json, Format::Text] {
        let line = line(&entry, format);
        assert!(!line.contains("secret") && line.contains("b.example"), "{line}");
    }
}

#[test]
fn what_a_client_writes_at_length_is_cut() {
    let mut entry = entry(&format!("/{}", "a".repeat(300)));
    entry.method = Method::from_bytes(&[b'M'; 30_000]).ok();
    entry.host = HeaderValue::from_bytes(&[b'h'; 30_000]).ok();
    let (method, path) = ("M".repeat(256), format!("/{}", "a".repeat(255)));
    let text = line(&entry, Format::Text);
    assert!(text.contains(&format!(" \"{method}... {path}... HTTP/1.1\" ")), "{text}");
    assert!(text.contains(&format!(" host={}... ", "h".repeat(256))), "{text}");
    let json: serde_json::Value = serde_json::from_str(&line(&entry, Format::Json)).unwrap();
    assert_eq!(json["method"], format!("{method}..."));
    assert_eq!(json["path"], format!("{path}..."));
    // Each letter has two bytes, and is not cut in two: a line of the longest is still short.
    entry.target = format!("/{}", "\u{e4}".repeat(300)).parse().ok();
    let json: serde_json::Value = serde_json::from_str(&line(&entry, Format::Json)).unwrap();
    assert_eq!(json["path"], format!("/{}...", "\u{e4}".repeat(127)));
    assert!(line(&entry, Format::Text).len() < 4 * 1024);
}

proptest! {
    #[test]
    fn no_client_can_end_a_line_or_leave_its_quotes(path in "/\\PC*", host in "[ -~]*") {
        let mut entry = entry("/");
        entry.target = path.parse().ok();
        entry.host = HeaderValue::from_str(&host).ok();
        let text = line(&entry, Format::Text);
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\n'));
        let plain = text.replace("\\\\", "").replace("\\\"", "");
        prop_assert_eq!(plain.matches('"').count(), 2);
        prop_assert_eq!(plain.split(' ').count(), 15);
        let json: serde_json::Value = serde_json::from_str(&line(&entry, Format::Json)).unwrap();
        let path = entry.target.as_ref().map_or("", PathAndQuery::path);
        prop_assert_eq!(json["path"].as_str(), Some(path));
        prop_assert_eq!(json["host"].as_str(), Some(host.as_str()));
    }
}

#[test]
fn lines_are_in_the_file_at_the_latest_when_the_log_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (log, writer, dropped) = log(Target::File(path.clone()));
    for _ in 0..1_000 {
        log.write(&entry("/x"));
    }
    let request = Request::builder().uri("/recorded").body(()).unwrap();
    let mut record = log.begin(&request, None, |entry| entry.listener = "web".into());
    record.note(|entry| entry.status = Some(418));
    drop(record);
    drop(writer);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!((text.lines().count(), dropped.get()), (1_001, 0));
    assert!(text.lines().last().unwrap().contains("\"GET /recorded HTTP/1.1\" 418 0 listener=web"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0);
    log.write(&entry("/late"));
    assert_eq!(dropped.get(), 1, "nobody writes any more");
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    let (log, writer, dropped) = log(Target::File(path.clone()));
    log.write(&entry("/first"));
    settle(&log);
    fs::rename(&path, &moved).unwrap();
    log.write(&entry("/second"));
    settle(&log);
    log.reopen();
    settle(&log);
    log.write(&entry("/third"));
    // Where there is no file to be had, the one so far does.
    settle(&log);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    log.reopen();
    log.write(&entry("/fourth"));
    drop(writer);
    let text = fs::read_to_string(&moved).unwrap();
    assert!(text.contains("/first") && text.contains("/second") && text.lines().count() == 2);
    assert_eq!(dropped.get(), 0);
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let (log, writer, dropped) = log(Target::File("/dev/full".into()));
    for _ in 0..10 {
        log.write(&entry("/x"));
    }
    drop(writer);
    assert_eq!(dropped.get(), 10);
}

#[test]
fn what_does_not_fit_is_counted_and_nobody_waits() {
    let dropped = IntCounter::default();
    // A queue that nobody writes from, as if the disk never answered.
    let queue = Queue::new(dropped.clone(), usize::MAX);
    let log = AccessLog(Arc::new(Some(Arc::new(Lines { format: Format::Text, queue })).into()));
    let entry = entry("/x");
    let length = line(&entry, Format::Text).len();
    let fitting = QUEUE_BYTES_MAX / length;
    for _ in 0..fitting + 7 {
        log.write(&entry);
    }
    assert_eq!(dropped.get(), 7);
}

#[test]
fn what_cannot_be_a_log_is_refused_at_the_start() {
    let open = |path: &str| {
        let dropped = IntCounter::default();
        AccessLog::open(Target::File(path.into()), Format::Text, dropped).unwrap_err().to_string()
    };
    assert_eq!(open("/nowhere/log"), "cannot open the access log `/nowhere/log`");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert!(open(pipe.to_str().unwrap()).ends_with("is a pipe; a file is needed, or `stdout`"));
}

#[test]
fn without_a_log_nothing_is_kept() {
    let request = Request::builder().uri("/").body(()).unwrap();
    let record = AccessLog::default().begin(&request, None, |_| unreachable!());
    assert!(record.0.is_none());
}
