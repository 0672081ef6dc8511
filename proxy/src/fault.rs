//! Faults on purpose, so that tests see what contains them.
//!
//! Owns what a client may ask for by the server name of its ClientHello: a panic, a worker that
//! computes without end, one that sleeps. It is not compiled into a release, and does nothing
//! without the variable `PORTUNUS_FAULTS=1`. Refuses to know what becomes of it. Read next:
//! `handshake`, which asks.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Does what `name` asks for, if faults are wanted.
pub(crate) fn strike(name: &str) {
    if !name.ends_with(FAULTS) || !*ARE_WANTED {
        return;
    }
    match name {
        "panic.fault.invalid" => fail(name),
        "spin.fault.invalid" => spin(),
        "block.fault.invalid" => block(),
        _ => {}
    }
}

#[expect(clippy::panic, reason = "this is the panic that tests ask for")]
fn fail(name: &str) -> ! {
    panic!("{name}: what a client said, which no log may repeat")
}

/// Computes, and never comes back to the runtime.
fn spin() {
    let end = Instant::now() + LENGTH;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Waits, and never comes back to the runtime.
#[expect(clippy::disallowed_methods, reason = "this holds up the worker that tests ask to hold up")]
fn block() {
    std::thread::sleep(LENGTH);
}

/// Whether the process was started to be tested.
static ARE_WANTED: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("PORTUNUS_FAULTS").is_some_and(|value| value == "1"));

/// How long a worker is held up: longer than any watchdog waits.
const LENGTH: Duration = Duration::from_secs(30);

/// The zone of all faults; nobody can own a name in it (RFC 6761 §6.4).
const FAULTS: &str = ".fault.invalid";
