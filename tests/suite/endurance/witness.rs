//! The traffic is the witness of all that follows, and so it is heard itself first: whatever breaks
//! a single exchange is found, and told by its name.

use portunus_tests::traffic::{Habit, Reason, Road, Tally, Traffic, road_builder};
use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, raw};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, Services};

#[tokio::test(flavor = "multi_thread")]
async fn traffic_that_nothing_disturbs_is_flawless() {
    let services = Services::begin().await;
    let proxy = services.builder().start().await;
    let traffic = Traffic::of_all(Road::to(&proxy, NAME));
    for _ in 0..3 {
        traffic.round().await;
    }
    let tally = traffic.end().await;
    tally.expect_flawless();
    for habit in Habit::ALL {
        let turns: u64 = tally.of(habit).map(|sum| sum.turns).sum();
        let least = if habit == Habit::Patient { 1 } else { 3 };
        assert!(turns >= least, "{habit:?}: {tally}");
    }
}

/// Who fails, and for what, when `disturb` has been done to `proxy`.
async fn disturbed(proxy: &Proxy, habit: Habit, disturb: impl AsyncFnOnce(&Proxy)) -> Tally {
    let traffic = Traffic::of(Road::to(proxy, NAME), &[habit]);
    traffic.round().await;
    assert_eq!(traffic.so_far().failed, 0, "{}", traffic.so_far());
    disturb(proxy).await;
    eventually("a fault", async || (traffic.so_far().failed > 0).then_some(())).await;
    traffic.end().await
}

fn reasons(tally: &Tally) -> Vec<Reason> {
    tally.failures.iter().map(|failure| failure.fault.reason.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_noticed_by_every_client() {
    let services = Services::begin().await;
    for habit in Habit::ALL {
        let proxy = services.builder().start().await;
        let tally = disturbed(&proxy, habit, async |proxy| proxy.kill().await).await;
        let found = reasons(&tally);
        let is_known = |reason: &Reason| {
            matches!(
                reason,
                Reason::Refused | Reason::Reset | Reason::Truncated | Reason::Unannounced
            )
        };
        assert!(found.iter().any(is_known), "{habit:?}: {tally}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_is_cut_and_a_connection_that_is_let_go_are_told_apart() {
    let services = Services::begin().await;
    let cut = [Habit::Socket, Habit::Tunnel];
    // Requests have time to be answered, however busy the machine is.
    let builder = |habit| match cut.contains(&habit) {
        true => services.builder().set("server.drain_timeout", "\"300ms\""),
        false => services.builder(),
    };
    for habit in [Habit::Socket, Habit::Tunnel, Habit::Http1, Habit::Http2] {
        let proxy = builder(habit).start().await;
        let tally = disturbed(&proxy, habit, async |proxy| proxy.process().signal("TERM")).await;
        let first = &tally.failures[0].fault.reason;
        match cut.contains(&habit) {
            true => assert!(matches!(first, Reason::Reset | Reason::Truncated), "{tally}"),
            // Idle connections are closed at the end of the delay, of which there is none; a
            // request may be on its way then (RFC 9112 §9.5).
            false if habit == Habit::Http1 => {
                let is_known = match first {
                    Reason::Failed(what) => what.ends_with("connection closed"),
                    Reason::Refused | Reason::Unannounced | Reason::Reset => true,
                    first => *first == Reason::Truncated,
                };
                assert!(is_known, "{tally}");
            }
            // The next connection is the one that fails.
            false => assert_eq!(*first, Reason::Refused, "{tally}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_proxy_is_not_taken_for_an_answer() {
    let services = Services::begin().await;
    for habit in [Habit::Newcomer, Habit::Http1, Habit::Http2, Habit::Download] {
        let proxy = services.builder().start().await;
        let tally = disturbed(&proxy, habit, async |_| services.pages.leave()).await;
        let first = &tally.failures[0].fault.reason;
        let is_error = |what: &str| what.contains("502") || what.contains("503");
        assert!(matches!(first, Reason::Wrong(what) if is_error(what)), "{tally}");
        services.pages.come_back().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_taken_up_again_is_missed() {
    let services = Services::begin().await;
    for habit in [Habit::Returning12, Habit::Returning13] {
        let proxy = services.builder().set("resumption.mode", "\"off\"").start().await;
        let traffic = Traffic::of(Road::to(&proxy, NAME), &[habit]);
        eventually("a fault", async || (traffic.so_far().failed > 0).then_some(())).await;
        let tally = traffic.end().await;
        assert_eq!(reasons(&tally)[0], Reason::NotResumed, "{tally}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_too_few_and_a_byte_that_is_another_are_found() {
    // Half of what was promised; then all of it, but for one byte.
    for (sent, is_wrong) in [(4 << 20, false), (8 << 20, true)] {
        let liar = raw(move |mut stream, _| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            let mut content: Vec<_> = (0..sent).map(|place| (place % 251) as u8).collect();
            content[3_000_000] ^= u8::from(is_wrong);
            let _ = stream.write_all(&content).await;
        });
        let services = Services::begin().await;
        let bytes = services.bytes.endpoint();
        let proxy = road_builder(NAME, &[liar.endpoint()], &[&bytes]).start().await;
        let traffic = Traffic::of(Road::to(&proxy, NAME), &[Habit::Download]);
        eventually("a fault", async || (traffic.so_far().failed > 0).then_some(())).await;
        let first = traffic.so_far().failures[0].fault.reason.clone();
        drop(traffic);
        let is_found = match is_wrong {
            true => matches!(&first, Reason::Wrong(what) if what.ends_with("at 3000000")),
            false => matches!(first, Reason::Reset | Reason::Truncated),
        };
        assert!(is_found, "{first}");
    }
}
