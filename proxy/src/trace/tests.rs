//! What is continued, what begins anew, what is written, and what an answer means.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode};

use super::otlp::{Resource, Verdict, request, verdict};
use super::proto::{Value, field};
use super::queue::QUEUE_BYTES_MAX;
use super::*;
use crate::count::IntCounter;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// Numbers that are all different.
fn chance() -> u64 {
    NEXT.with(|next| {
        next.set(next.get() + 1);
        next.get().wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

fn tracer(share: f64, parents: Parents) -> (Tracer, Arc<Queue>, IntCounter) {
    let dropped = IntCounter::default();
    let queue = Arc::new(Queue::new(dropped.clone()));
    let tracer = Tracer::default();
    tracer.become_other(Some(Live { share, parents, chance, queue: Arc::clone(&queue) }));
    (tracer, queue, dropped)
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// What a backend gets of a request with `fields`, and whether its trace is recorded.
fn passed(
    tracer: &Tracer,
    standing: Standing,
    fields: &[(&'static str, &str)],
) -> (HeaderMap, bool) {
    let mut headers = headers(fields);
    let begun = tracer.begin(&headers, standing);
    if let Some(told) = begun.told {
        told.write(&mut headers);
    }
    (headers, begun.recording.is_some())
}

#[test]
fn without_a_collector_what_a_request_says_passes_as_it_is() {
    let fields = [("traceparent", "anything"), ("tracestate", "a=1")];
    let (headers, is_recorded) = passed(&Tracer::default(), Standing::Trusted, &fields);
    assert_eq!(headers, self::headers(&fields));
    assert!(!is_recorded && Tracer::default().begin_alone().is_none());
}

#[test]
fn a_recorded_trace_goes_on_with_its_notes_and_a_place_of_ours() {
    let (tracer, ..) = tracer(0.0, Parents::All);
    let fields = [("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")];
    let (headers, is_recorded) = passed(&tracer, Standing::Stranger, &fields);
    assert!(is_recorded);
    let told = headers["traceparent"].to_str().unwrap();
    assert_eq!((told.len(), &told[..36], &told[52..]), (55, &PARENT[..36], "-01"));
    assert_ne!(told, PARENT);
    assert_eq!(headers.get_all("tracestate").iter().count(), 2);
}

#[test]
fn a_trace_that_its_beginner_does_not_record_passes_as_it_is() {
    let (tracer, ..) = tracer(1.0, Parents::All);
    let fields = [("traceparent", &*PARENT.replace("-01", "-00")), ("tracestate", "a=1")];
    let (headers, is_recorded) = passed(&tracer, Standing::Stranger, &fields);
    assert_eq!((headers, is_recorded), (self::headers(&fields), false));
}

#[test]
fn what_is_not_written_as_it_has_to_be_begins_a_new_trace() {
    let (tracer, ..) = tracer(1.0, Parents::All);
    let zeros = [
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    ];
    let bad = [
        "",
        "00",
        &PARENT.to_uppercase(),
        &PARENT.replacen("00-", "ff-", 1),
        &PARENT.replacen("00-", "0g-", 1),
        &PARENT.replacen('-', "_", 1),
        &format!("{PARENT}-more"),
        &format!(" {PARENT}"),
        &PARENT[..54],
        zeros[0],
        zeros[1],
        &format!("{}x", PARENT.replacen("00-", "01-", 1)),
    ];
    for value in bad {
        let fields = [("traceparent", value), ("tracestate", "a=1")];
        let (headers, is_recorded) = passed(&tracer, Standing::Stranger, &fields);
        let told = headers["traceparent"].to_str().unwrap();
        assert!(is_recorded && told.starts_with("00-") && told.ends_with("-01"), "{value}: {told}");
        assert!(!told.contains("0af7651916cd43dd8448eb211c80319c"), "{value}: {told}");
        assert!(!headers.contains_key("tracestate"), "{value}");
    }
    let twice = [("traceparent", PARENT), ("traceparent", PARENT)];
    let (headers, _) = passed(&tracer, Standing::Stranger, &twice);
    assert_eq!(headers.get_all("traceparent").iter().count(), 1);
    assert!(!headers["traceparent"].to_str().unwrap().contains(&PARENT[3..35]));
}

#[test]
fn a_later_version_is_understood_as_far_as_it_is_known() {
    let (tracer, ..) = tracer(1.0, Parents::All);
    let later = format!("{}-more", PARENT.replacen("00-", "01-", 1).replace("-01", "-ff"));
    let later = later.replace("-ff-more", "-03-more");
    let (headers, _) = passed(&tracer, Standing::Stranger, &[("traceparent", &later)]);
    let told = headers["traceparent"].to_str().unwrap();
    assert_eq!((&told[..36], &told[52..]), (&PARENT[..36], "-03"));
}

#[test]
fn strangers_continue_no_trace_unless_everybody_may() {
    let is_continued = |parents, standing| {
        let (tracer, ..) = tracer(1.0, parents);
        let (headers, _) = passed(&tracer, standing, &[("traceparent", PARENT)]);
        headers["traceparent"].to_str().unwrap().contains(&PARENT[3..35])
    };
    assert!(is_continued(Parents::All, Standing::Stranger));
    assert!(is_continued(Parents::Trusted, Standing::Trusted));
    assert!(!is_continued(Parents::Trusted, Standing::Stranger));
    assert!(!is_continued(Parents::None, Standing::Trusted));
}

#[test]
fn as_many_new_traces_are_recorded_as_the_share_says_and_backends_hear_of_the_others_too() {
    for (share, least, most) in [(0.0, 0, 0), (0.25, 2_300, 2_700), (1.0, 10_000, 10_000)] {
        let (tracer, ..) = tracer(share, Parents::All);
        let mut recorded = 0;
        for _ in 0..10_000 {
            let (headers, is_recorded) = passed(&tracer, Standing::Stranger, &[]);
            let end = if is_recorded { "-01" } else { "-00" };
            assert!(headers["traceparent"].to_str().unwrap().ends_with(end));
            recorded += u32::from(is_recorded);
        }
        assert!((least..=most).contains(&recorded), "{share}: {recorded}");
    }
}

/// The fields of `message`, by their numbers.
fn fields(mut message: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while let Some((number, value, rest)) = field(message) {
        fields.push((number, value));
        message = rest;
    }
    assert!(message.is_empty());
    fields
}

fn only<'a>(fields: &[(u64, Value<'a>)], number: u64) -> &'a [u8] {
    match fields.iter().find(|(of, _)| *of == number) {
        Some((_, Value::Bytes(bytes))) => bytes,
        other => panic!("{number}: {other:?}"),
    }
}

fn tell(recording: &Recording, kind: Kind, text: &str) {
    let (start, end) = (UNIX_EPOCH, SystemTime::now());
    let span = Span { kind, name: "GET", start, end, failed: None };
    recording.tell(&span, |about| about.text("text", text));
}

#[test]
fn the_call_is_a_part_of_what_was_asked_which_is_a_part_of_what_came() {
    let (tracer, queue, _) = tracer(1.0, Parents::All);
    let headers = headers(&[("traceparent", PARENT), ("tracestate", "a=1")]);
    let recording = tracer.begin(&headers, Standing::Stranger).recording.unwrap();
    tell(&recording, Kind::Service, "");
    tell(&recording, Kind::Call, "");
    let batch = queue.take();
    assert_eq!(batch.spans, 2);
    let spans: Vec<Vec<_>> = fields(&batch.bytes)
        .into_iter()
        .map(|(number, value)| match (number, value) {
            (2, Value::Bytes(span)) => fields(span),
            other => panic!("{other:?}"),
        })
        .collect();
    for span in &spans {
        assert_eq!(only(span, 1), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
        assert_eq!(only(span, 3), b"a=1");
    }
    assert_eq!(only(&spans[0], 4), 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(only(&spans[1], 4), only(&spans[0], 2));
    assert_ne!(only(&spans[1], 2), only(&spans[0], 2));
}

#[test]
fn a_text_that_a_client_has_written_has_an_end() {
    let (tracer, queue, _) = tracer(1.0, Parents::All);
    let recording = tracer.begin_alone().unwrap();
    tell(&recording, Kind::Service, &"ä".repeat(100_000));
    let length = queue.take().bytes.len();
    assert!((500..1_000).contains(&length), "{length}");
}

#[test]
fn what_does_not_fit_into_the_queue_is_left_out_and_counted() {
    let (tracer, queue, dropped) = tracer(1.0, Parents::All);
    let recording = tracer.begin_alone().unwrap();
    let told = 20_000;
    for _ in 0..told {
        tell(&recording, Kind::Service, &"a".repeat(512));
    }
    let batch = queue.take();
    assert!(batch.bytes.len() <= QUEUE_BYTES_MAX && dropped.get() > 0);
    assert_eq!(batch.spans + dropped.get(), told);
    tell(&recording, Kind::Service, "");
    assert_eq!(queue.take().spans, 1);
}

#[test]
fn spans_of_a_request_that_is_going_on_go_where_they_go_when_it_is_over() {
    let (tracer, before, _) = tracer(1.0, Parents::All);
    let recording = tracer.begin_alone().unwrap();
    let now = Arc::new(Queue::new(IntCounter::default()));
    let queue = Arc::clone(&now);
    tracer.become_other(Some(Live { share: 0.0, parents: Parents::None, chance, queue }));
    tell(&recording, Kind::Service, "");
    tracer.become_other(None);
    tell(&recording, Kind::Service, "");
    assert_eq!((before.take().spans, now.take().spans), (0, 1));
}

#[test]
fn a_message_says_who_speaks_and_holds_every_span() {
    let (tracer, queue, _) = tracer(1.0, Parents::All);
    let recording = tracer.begin_alone().unwrap();
    for _ in 0..3 {
        tell(&recording, Kind::Service, "");
    }
    let resource = Resource { service: "edge", version: "1", host: "h", instance: "i" };
    let message = request(&resource, &queue.take());
    let of_resource = fields(only(&fields(&message), 1));
    let about = fields(only(&of_resource, 1));
    assert_eq!(about.len(), 4);
    let service = fields(only(&about, 1));
    assert_eq!(only(&service, 1), b"service.name");
    assert_eq!(only(&fields(only(&service, 2)), 1), b"edge");
    let of_scope = fields(only(&of_resource, 2));
    assert_eq!(of_scope.iter().filter(|(number, _)| *number == 2).count(), 3);
}

#[test]
fn an_answer_says_what_was_taken_and_what_may_be_sent_again() {
    let headers = headers(&[("retry-after", "7")]);
    let nothing = HeaderMap::new();
    let of =
        |status: u16, body: &[u8]| verdict(StatusCode::from_u16(status).unwrap(), &nothing, body);
    assert_eq!(of(200, b""), Verdict::Taken { rejected: 0 });
    // partial_success { rejected_spans: 300, error_message: "no" }
    let partial = [&[0x0a, 7, 0x08, 0xac, 2, 0x12, 2][..], b"no"].concat();
    assert_eq!(of(200, &partial), Verdict::Taken { rejected: 300 });
    assert_eq!(of(200, &partial[..5]), Verdict::Taken { rejected: 0 });
    assert_eq!(of(202, b"ok"), Verdict::Taken { rejected: 0 });
    for status in [429, 502, 503, 504] {
        assert_eq!(of(status, b""), Verdict::Later(None));
    }
    for status in [301, 400, 401, 404, 413, 500] {
        assert_eq!(of(status, b""), Verdict::Refused);
    }
    let busy = verdict(StatusCode::SERVICE_UNAVAILABLE, &headers, b"");
    assert_eq!(busy, Verdict::Later(Some(Duration::from_secs(7))));
    for (said, seconds) in [("0", 1), ("18446744073709551615", 300)] {
        let headers = self::headers(&[("retry-after", said)]);
        let busy = verdict(StatusCode::TOO_MANY_REQUESTS, &headers, b"");
        assert_eq!(busy, Verdict::Later(Some(Duration::from_secs(seconds))), "{said}");
    }
}

proptest::proptest! {
    #[test]
    fn no_answer_and_no_field_makes_anybody_panic(bytes: Vec<u8>) {
        verdict(StatusCode::OK, &HeaderMap::new(), &bytes);
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", value);
            assert!(Context::of(&headers).is_none());
        }
    }
}
