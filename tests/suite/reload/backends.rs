//! Backends that stay, change and go.

use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, echo, http, https, tls};
use serde_json::Value;

use super::{NAME, add, builder, edit, reload};
use crate::http::{ask, get};

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_configured_as_before_keeps_its_pool() {
    let (app, other) = (http(), http());
    let proxy = builder().listener(https(NAME)).backend(&*app).start().await;
    for round in 0..3 {
        assert_eq!(ask(&proxy, get("/", "")).await.unwrap().status, 200);
        add(&proxy, &format!("[backend.more{round}]\nendpoints = ['{}']\n", other.endpoint()));
        assert_eq!(reload(&proxy).await["result"], "changed");
    }
    assert_eq!(ask(&proxy, get("/", "")).await.unwrap().status, 200);
    assert_eq!(app.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_change_leave_pools_alone() {
    let app = http();
    let proxy =
        builder().listener(https(NAME)).backend(&*app).set("limits.connects", "64").start().await;
    ask(&proxy, get("/", "")).await.unwrap();
    edit(&proxy, &[("connects = 64", "connects = 65")]);
    assert_eq!(reload(&proxy).await["result"], "changed");
    ask(&proxy, get("/", "")).await.unwrap();
    assert_eq!(app.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_drains_goes_on_draining() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    let endpoint = endpoint(&proxy).await["endpoint"].as_str().unwrap().to_owned();
    let (status, _) =
        proxy.order(&format!("/endpoints/drain?backend=app&endpoint={endpoint}")).await;
    assert_eq!(status, 200);
    add(&proxy, "[backend.more]\nendpoints = ['127.0.0.1:1']\n");
    reload(&proxy).await;
    assert_eq!(endpoint_standing(&proxy).await, "draining");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_gone_leaves_no_numbers_and_one_that_changed_serves() {
    let (old, new) = (http(), http());
    let proxy = builder().listener(https(NAME)).backend(&*old).start().await;
    assert_eq!(ask(&proxy, get("/", "")).await.unwrap().status, 200);
    let (from, to) = (format!("{:?}", old.endpoint()), format!("{:?}", new.endpoint()));
    edit(&proxy, &[(from.as_str(), to.as_str())]);
    add(&proxy, "[backend.more]\nendpoints = ['127.0.0.1:1']\n");
    reload(&proxy).await;
    assert_eq!(ask(&proxy, get("/", "")).await.unwrap().status, 200);
    assert_eq!((old.seen().len(), new.seen().len()), (1, 1));
    let up = "portunus_endpoint_up";
    let of_old = [("backend", "app"), ("endpoint", old.endpoint())];
    proxy.wait_for_metric(up, &of_old, |sum| sum == 0.0).await;
    assert!(proxy.admin("/metrics").await.text().contains("backend=\"more\""));
    edit(&proxy, &[("[backend.more]\nendpoints = ['127.0.0.1:1']\n", "")]);
    reload(&proxy).await;
    eventually("no numbers of what is gone", async || {
        let numbers = proxy.admin("/metrics").await.text();
        (!numbers.contains("\"more\"") && !numbers.contains(old.endpoint())).then_some(())
    })
    .await;
}

async fn endpoint(proxy: &Proxy) -> Value {
    let status: Value = serde_json::from_slice(&proxy.admin("/status").await.body).unwrap();
    status["backends"][0]["endpoints"][0].clone()
}

async fn endpoint_standing(proxy: &Proxy) -> String {
    endpoint(proxy).await["standing"].as_str().unwrap().to_owned()
}
