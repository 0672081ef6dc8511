//! What is shown beside what is counted: limits, the phase, what was built.

use portunus_tests::prometheus::prometheus;
use portunus_tests::{Proxy, authority, http, https, write_and_rename};

const NAME: &str = "app.example";

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_is_shown_beside_what_it_limits() {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(http())
        .set("server.max_connections", "321")
        .set("limits.handshakes", "123")
        .set("resumption.memory", "\"2MiB\"")
        .set("resumption.mode", "\"tickets\"")
        .set("resumption.ticket_rotation", "\"3h\"")
        .set("backend.app.max_connections", "77")
        .start()
        .await;
    let Some(prometheus) = prometheus() else { return };
    let server = prometheus.scrape("portunus", &[proxy.address("admin")]).start().await;
    server.scrapes(2).await;
    super::all_is_well(&server).await;
    let expected = [
        ("portunus_connections_limit", 321.0),
        ("portunus_handshakes_limit", 123.0),
        ("portunus_session_limit_bytes", 2.0 * 1024.0 * 1024.0),
        ("portunus_ticket_key_rotation_seconds", 3.0 * 3600.0),
        ("portunus_backend_connections_limit{backend=\"app\"}", 77.0),
        ("portunus_workers", 2.0),
        ("portunus_phase{phase=\"running\"}", 1.0),
        ("portunus_config_last_reload_successful", 1.0),
        ("sum(portunus_phase)", 1.0),
        ("count(portunus_build_info{version!=\"\", commit!=\"\", tls!=\"\"})", 1.0),
        (
            "portunus_certificate_not_before_seconds < bool \
              portunus_certificate_not_after_seconds",
            1.0,
        ),
        ("count(portunus_phase{phase=~\"starting|running|leaving|draining\"})", 4.0),
    ];
    for (expression, value) in expected {
        let samples = server.query_until(expression).await;
        let values: Vec<_> = samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [value], "{expression}");
    }
    assert_eq!(server.query("portunus_resumption_shared_up").await, [], "there is no such tier");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_configured_is_not_shown_and_comes_and_goes_with_it() {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(http())
        .file("sealing.key", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=\n")
        .certificate("app", &authority().issue(&[NAME]))
        .set("resumption.mode", "\"stateful\"")
        .set("resumption.shared", "{ url = \"file:sessions\", sealing_key = \"file:sealing.key\" }")
        .taking_orders()
        .start()
        .await;
    let shows = async |series: &str| proxy.admin("/metrics").await.text().contains(series);
    assert!(shows("\nportunus_resumption_shared_up 1\n").await);
    assert!(!shows("\nportunus_ticket_key_rotation_seconds").await);
    let config = proxy.folder().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let without = text.lines().filter(|line| !line.starts_with("shared = "));
    let without: String = without.flat_map(|line| [line, "\n"]).collect();
    write_and_rename(&config, &format!("{without}[nonsense]\n"));
    assert_eq!(proxy.order("/reload").await.0, 409);
    assert!(shows("\nportunus_config_last_reload_successful 0\n").await);
    assert!(shows("\nportunus_resumption_shared_up 1\n").await);
    write_and_rename(&config, &without);
    assert_eq!(proxy.order("/reload").await.0, 200);
    assert!(shows("\nportunus_config_last_reload_successful 1\n").await);
    assert!(!shows("\nportunus_resumption_shared_up").await);
}
