//! What others can learn of the process's secrets.

use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::{fs, process};

use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, authority, echo, tls};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::{NAME, is_root};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_no_core() {
    for sandbox in ["\"auto\"", "\"off\""] {
        let proxy = Proxy::builder()
            .listener(tls(NAME))
            .backend(echo())
            .set("server.sandbox", sandbox)
            .under(&["sh", "-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\""])
            .start()
            .await;
        proxy.process().signal("ABRT");
        let status = proxy.process().exit().await;
        assert_eq!(status.signal(), Some(6), "{status}");
        assert!(!status.core_dumped(), "{status}, sandbox {sandbox}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_the_same_user_cannot_read_its_memory() {
    if !is_root("a_process_of_the_same_user_cannot_read_its_memory") {
        return;
    }
    let words = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all"];
    let read = |id: u32, file: &str| {
        let mut read = process::Command::new("setpriv");
        let path = format!("/proc/{id}/{file}");
        let status = read.args(words).args(["head", "-c", "1", &path]).output().unwrap().status;
        status.success()
    };
    let start = async |sandbox: &str| {
        let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
        builder.set("server.sandbox", sandbox).unprivileged().start().await
    };
    let mut other = process::Command::new("setpriv");
    let mut other = other.args(words).args(["sleep", "60"]).spawn().unwrap();
    eventually("the other process is of that user", async || {
        read(other.id(), "environ").then_some(())
    })
    .await;
    other.kill().unwrap();
    other.wait().unwrap();
    for sandbox in ["\"off\"", "\"auto\""] {
        let closed = start(sandbox).await;
        for file in ["environ", "maps", "mem", "auxv"] {
            assert!(!read(closed.process().id(), file), "{file}, sandbox {sandbox}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_cannot_have_session_keys_written() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.log");
    fs::write(&keys, "").unwrap();
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.sandbox", "\"off\"")
        .under(&["env", &format!("SSLKEYLOGFILE={}", keys.display())])
        .start()
        .await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    assert_eq!(fs::read_to_string(&keys).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_the_process_makes_are_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt as _;

    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("log.access", "\"access.log\"")
        .under(&["sh", "-c", "umask 000; exec \"$0\" \"$@\""])
        .start()
        .await;
    let mode = fs::metadata(proxy.folder().join("access.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o027, 0, "{mode:o}");
}

/// How often each of `needles` is in the memory of a process that it can write.
fn count_in_memory(process: u32, needles: &[Vec<u8>]) -> Vec<usize> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{process}/mem")).unwrap();
    let mut counts = vec![0; needles.len()];
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // What is mapped from elsewhere may not be readable.
        let count = memory.read_at(&mut bytes, from).unwrap_or(0);
        for (needle, found) in needles.iter().zip(&mut counts) {
            *found += bytes[..count].windows(needle.len()).filter(|part| part == needle).count();
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_private_key_no_text_and_no_copy_stays_in_memory() {
    if !is_root("of_a_private_key_no_text_and_no_copy_stays_in_memory") {
        return;
    }
    let first = authority().issue(&[NAME]);
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let proxy = builder.certificate("app", &first).start().await;
    let newest = authority().issue(&[NAME]);
    proxy.replace_certificate("app", &newest).await;
    let mut client = eventually("the key to be in use", async || {
        let client = proxy.client(NAME).connect().await;
        (client.leaf() == newest.leaf).then_some(client)
    })
    .await;
    client.send(b"signed").await;
    client.expect(b"signed").await;
    let line = newest.key.lines().nth(1).expect("the first line of the key").as_bytes().to_vec();
    let der = PrivateKeyDer::from_pem_slice(newest.key.as_bytes()).unwrap();
    let der = der.secret_der();
    // An octet string of 32 bytes, which is the number (RFC 5915 §3).
    let place = der.windows(2).position(|bytes| bytes == [4, 32]).unwrap() + 2;
    let number = der[place..place + 32].to_vec();
    let backwards: Vec<u8> = number.iter().rev().copied().collect();
    let gone = first.key.lines().nth(1).expect("the first line of the key").as_bytes().to_vec();
    let public = newest.leaf[newest.leaf.len() / 2..][..32].to_vec();
    let found = count_in_memory(proxy.process().id(), &[line, number, backwards, public, gone]);
    println!("text, number, number as the library has it, certificate, key before: {found:?}");
    assert_eq!((found[0], found[4]), (0, 0), "the texts");
    assert_eq!(found[1], 0, "the number as it stands in the file");
    assert!(found[2] <= 1, "the number in the key that signs");
    assert!(found[3] > 0, "what is no secret is found, so memory was read");
}
