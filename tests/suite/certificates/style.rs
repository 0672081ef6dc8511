//! Every manner of replacing a certificate, again and again, all at once: each round is one swap.
//!
//! Owns the manners, one folder and one name each. That the poll is an hour away makes events the
//! only way to notice, so a watch that is lost in any round is a test that fails in the next one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use portunus_tests::wait::eventually;
use portunus_tests::{Credential, Listener, Proxy, authority, echo, tls, write, write_and_rename};

use super::served;
use super::volume::Volume;

/// Replaces what is in a folder, in the round that is counted from 1.
type Replace = fn(&Path, usize, &Credential);

const STYLES: [(&str, Replace); 7] = [
    ("renamed.example", |folder, _, new| write_and_rename(&folder.join("app.pem"), &new.pem())),
    ("in-place.example", |folder, _, new| write(&folder.join("app.pem"), &new.pem())),
    ("pair.example", |folder, _, new| {
        write(&folder.join("app.key"), &new.key);
        write(&folder.join("app.crt"), &new.chain);
    }),
    ("made-again.example", |folder, _, new| {
        fs::remove_file(folder.join("app.pem")).unwrap();
        write(&folder.join("app.pem"), &new.pem());
    }),
    ("hard-link.example", |folder, _, new| {
        let other = folder.with_extension("other-name");
        let _ = fs::remove_file(&other);
        write(&other, &new.pem());
        let _ = fs::remove_file(folder.join("app.pem"));
        fs::hard_link(&other, folder.join("app.pem")).unwrap();
    }),
    ("folder.example", |folder, _, new| {
        let (next, last) = (folder.with_extension("next"), folder.with_extension("last"));
        write(&next.join("app.pem"), &new.pem());
        let _ = fs::rename(folder, &last);
        fs::rename(&next, folder).unwrap();
        let _ = fs::remove_dir_all(&last);
    }),
    ("release.example", |folder, round, new| {
        let release = |round: usize| folder.with_extension(format!("release-{round}"));
        write(&release(round).join("app.pem"), &new.pem());
        symlink(release(round), folder.with_extension("link")).unwrap();
        fs::rename(folder.with_extension("link"), folder).unwrap();
        let _ = fs::remove_dir_all(release(round - 1));
    }),
];

const VOLUME: &str = "volume.example";
const ROUNDS: usize = 50;
const SETTLE: Duration = Duration::from_millis(200);

/// From the last write to the handshake that shows it.
const LIVE_WITHIN: Duration = Duration::from_secs(2);
/// As many rounds may take longer, or more than one swap, on a machine that others use as well.
const LATE_MAX: usize = ROUNDS / 2;

/// Where each style has its folder, and what it serves by now.
struct Places {
    root: tempfile::TempDir,
    volume: Volume,
}

impl Places {
    fn new() -> Self {
        let volume = Volume::new(&authority().issue(&[VOLUME]));
        let places = Self { root: tempfile::tempdir().unwrap(), volume };
        for (name, replace) in STYLES {
            let folder = places.root.path().join(name);
            let first = authority().issue(&[name]);
            // The ways that need something to replace get it; the others make their own folder.
            if !["folder.example", "release.example"].contains(&name) {
                fs::create_dir(&folder).unwrap();
            }
            if name == "made-again.example" {
                write(&folder.join("app.pem"), "");
            }
            replace(&folder, 1, &first);
        }
        places
    }

    fn paths(&self) -> String {
        let folders = STYLES.iter().map(|(name, _)| self.root.path().join(name));
        let all: Vec<_> = folders.chain([self.volume.path().to_owned()]).collect();
        format!("{all:?}")
    }

    /// One round of every style; what is to be served from now on.
    fn replace(&self, round: usize) -> Vec<(&'static str, Vec<u8>)> {
        let issued = |name| (name, authority().issue(&[name]));
        let new: Vec<_> = STYLES.iter().map(|(name, _)| issued(*name)).collect();
        let of_volume = issued(VOLUME);
        for ((name, replace), (_, credential)) in STYLES.iter().zip(&new) {
            replace(&self.root.path().join(name), round, credential);
        }
        self.volume.turn(round, &of_volume.1);
        new.into_iter().chain([of_volume]).map(|(name, new)| (name, new.leaf)).collect()
    }
}

fn listener() -> Listener {
    let names = STYLES.iter().map(|(name, _)| *name);
    names.fold(tls(VOLUME), |listener, name| listener.site(name, "app"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manner_of_replacing_is_live_in_two_seconds_and_one_swap_each_time() {
    let places = Places::new();
    let proxy = Proxy::builder()
        .listener(listener())
        .file("unused", "")
        .backend(echo())
        .set("certificates.paths", &places.paths())
        .set("certificates.poll_interval", "\"1h\"")
        .set("certificates.settle", &format!("\"{}ms\"", SETTLE.as_millis()))
        .set("log.level", "\"info\"")
        .start()
        .await;
    let swaps = async || {
        let readings = "portunus_certificate_reloads_total";
        let changed = proxy.metric(readings, &[("result", "changed")]).await;
        (changed + proxy.metric(readings, &[("result", "partial")]).await) as usize
    };
    let before = swaps().await;
    let (mut slow, mut late) = (0, 0);
    for round in 2..ROUNDS + 2 {
        let began = Instant::now();
        let wanted = places.replace(round);
        let wrote = Instant::now();
        // A machine that takes that long has been seen in between.
        slow += usize::from(wrote - began >= SETTLE / 2);
        for (name, leaf) in wanted {
            eventually(&format!("{name} to be live, round {round}"), async || {
                (served(&proxy, name).await == leaf).then_some(())
            })
            .await;
        }
        late += usize::from(wrote.elapsed() > LIVE_WITHIN);
    }
    assert!(late <= LATE_MAX, "{late} rounds took longer than {LIVE_WITHIN:?}");
    // A swap is counted a moment after it is live.
    let swaps = eventually("a swap for each round", async || {
        Some(swaps().await - before).filter(|&swaps| swaps >= ROUNDS)
    })
    .await;
    assert!(swaps <= ROUNDS + slow + LATE_MAX, "{swaps} swaps, {slow} slow rounds");
    assert_eq!(proxy.metric("portunus_handshake_failures_total", &[]).await, 0.0);
}
