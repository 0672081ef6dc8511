//! File systems that hang: a configuration that leads away from one takes effect, and everything
//! else goes on meanwhile.
//!
//! What hangs is a file of which another process has a lease: the kernel keeps whoever opens it
//! waiting for `/proc/sys/fs/lease-break-time`, which is 45 s.

use std::path::Path;
use std::time::Duration;

use portunus_tests::foreign::{self, Conversation};
use portunus_tests::wait::eventually;
use portunus_tests::{Builder, authority, echo, tls};
use tokio::time::timeout;

use super::{NAME, builder, edit, reload};

/// Less than what hangs takes, and enough for anything else.
const SOON: Duration = Duration::from_secs(15);

/// A proxy that lets certificates be quiet for less than [`SOON`] before it reads them.
fn soon_read() -> Builder {
    builder().set("certificates.settle", "\"5s\"")
}

/// Has whoever opens the file wait.
pub(super) async fn hold(file: &Path) -> Option<Conversation> {
    let python = foreign::python()?.arg(foreign::program("lease.py")).arg(file);
    let mut holder = python.start();
    holder.hear("held").await;
    Some(holder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_certificates_that_hangs_is_left_by_a_reload() {
    let proxy = soon_read().listener(tls(NAME)).backend(echo()).start().await;
    let stuck = proxy.folder().join("certs.d/stuck.pem");
    let newer = authority().issue(&[NAME]);
    portunus_tests::write(&stuck, &newer.pem());
    let Some(mut holder) = hold(&stuck).await else { return };
    assert_eq!(reload(&proxy).await["result"], "unchanged");
    // Certificates are being read, and that hangs.
    holder.hear("asked").await;
    let other = authority().issue(&[NAME]);
    portunus_tests::write(&proxy.folder().join("other/app.pem"), &other.pem());
    edit(&proxy, &[("paths = [\"certs.d\"]", "paths = [\"other\"]")]);
    let told = timeout(SOON, reload(&proxy)).await.expect("it does not wait for what hangs");
    assert_eq!(told["result"], "changed");
    assert_eq!(proxy.client(NAME).connect().await.leaf(), other.leaf);
    // From there they are read again, although the reading before still hangs.
    let newest = authority().issue(&[NAME]);
    portunus_tests::write_and_rename(&proxy.folder().join("other/app.pem"), &newest.pem());
    reload(&proxy).await;
    let renewed = eventually("the newest certificate", async || {
        (proxy.client(NAME).connect().await.leaf() == newest.leaf).then_some(())
    });
    timeout(SOON, renewed).await.expect("the new folder is read");
    let exit = timeout(SOON, proxy.drain()).await.expect("the end does not wait for it either");
    assert_eq!(exit.code, Some(0));
    drop(holder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_ends_although_a_folder_of_certificates_hangs() {
    let proxy = soon_read().listener(tls(NAME)).backend(echo()).start().await;
    let stuck = proxy.folder().join("certs.d/stuck.pem");
    portunus_tests::write(&stuck, &authority().issue(&[NAME]).pem());
    let Some(mut holder) = hold(&stuck).await else { return };
    reload(&proxy).await;
    holder.hear("asked").await;
    proxy.client(NAME).connect().await;
    let exit = timeout(SOON, proxy.drain()).await.expect("it does not wait for what hangs");
    assert_eq!(exit.code, Some(0));
    drop(holder);
}
