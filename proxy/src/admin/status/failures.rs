//! What programs are told about handshakes that failed.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::failures::{Failure, explain};
use crate::outcome::Label as _;

/// The failures, in their order.
pub fn failures(failures: &[Arc<Failure>]) -> Value {
    failures.iter().map(|failure| facts(failure)).collect()
}

fn facts(failure: &Failure) -> Value {
    let explanation = explain(failure.reason);
    let since = failure.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        // To the millisecond: a fraction that is not longer in JSON than it is true.
        "time": since.as_millis() as f64 / 1000.0,
        "listener": &*failure.listener,
        "client": failure.client.to_string(),
        "server_name": failure.profile.server_name,
        "versions": failure.profile.versions,
        "alpn": failure.profile.alpn,
        "ja4": failure.profile.ja4.as_deref(),
        "reason": failure.reason.label(),
        "words": explanation.words,
        "hint": explanation.hint,
        "error": &*failure.error,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::handshake::Profile;
    use crate::net::{ClientAddr, PeerAddr};
    use crate::outcome::HandshakeFailure;

    #[test]
    fn a_failure_is_told_with_what_it_means_and_what_can_be_done() {
        let failure = Failure {
            time: UNIX_EPOCH + Duration::from_millis(1_709_210_096_007),
            listener: "web".into(),
            client: ClientAddr::from(PeerAddr::new("[::ffff:192.0.2.7]:4000".parse().unwrap())),
            reason: HandshakeFailure::UnknownName,
            profile: Profile { server_name: Some("a.example".into()), ..Profile::default() },
            error: "why".into(),
        };
        let told = failures(&[Arc::new(failure)]);
        let told = told.get(0).expect("there is one");
        let is = |key: &str, value: Value| assert_eq!(told.get(key), Some(&value), "{key}");
        is("time", json!(1_709_210_096.007));
        is("client", json!("192.0.2.7:4000"));
        is("server_name", json!("a.example"));
        is("versions", json!([]));
        is("ja4", Value::Null);
        is("reason", json!("unknown_name"));
        is("error", json!("why"));
        assert!(told.get("words").and_then(Value::as_str).is_some_and(|words| !words.is_empty()));
        assert!(told.get("hint").and_then(Value::as_str).is_some_and(|hint| !hint.is_empty()));
    }
}
