//! The certificate folder: whatever happens to it, who is served goes on being served.
//!
//! `change` is about good changes in every manner that files change in, `style` about each of them
//! again and again, `damage` about bad ones, `choice` about who gets which of several, `staple`
//! about what is stapled to them, `time` about what changes by itself, `deaf` about events that do
//! not come, `storm` and `hangup` about more of them than anybody needs. `volume` is a mounted
//! secret.

mod change;
mod choice;
mod damage;
mod deaf;
mod hangup;
pub(crate) mod staple;
mod storm;
mod style;
mod time;
mod volume;

use portunus_tests::Proxy;
use portunus_tests::wait::eventually;

/// The leaf that is shown for `name`.
pub(crate) async fn served(proxy: &Proxy, name: &str) -> Vec<u8> {
    proxy.client(name).connect().await.leaf()
}

/// Waits until `leaf` is shown for `name`.
pub(crate) async fn becomes(proxy: &Proxy, name: &str, leaf: &[u8]) {
    eventually("another certificate", async || (served(proxy, name).await == leaf).then_some(()))
        .await;
}
