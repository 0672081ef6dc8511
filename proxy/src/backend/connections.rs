//! The connections to one endpoint: those that wait, those that are shared, and how many there are.
//!
//! Owns the cap on all of them together, which counts what is being connected too, and the wait for
//! a place under it: whoever gives a connection back, or leaves a shared one, lets the next one
//! look, and what is not in use goes if it is of no use to who waits. At most one exchange at a
//! time opens a connection that others will share. Refuses to know how a connection is made. Read
//! next: `upstream`, for what a connection is.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::connect::DialError;
use super::pool::Pool;
use super::upstream::{Held, Http1, SharedList};
use crate::config::{HttpLimits, PoolBounds};
use crate::metrics::Active;

/// The connections to one endpoint.
#[derive(Debug)]
pub(super) struct Connections {
    waiting: Pool<Box<Http1>>,
    pub(super) shared: Arc<SharedList>,
    room: Arc<Room>,
    opening: Semaphore,
    failures: Mutex<Failures>,
    /// Whether the endpoint chose HTTP/1.1 when it was last asked.
    chose_http1: AtomicBool,
    age_max: Duration,
}

/// The turns to open a shared connection that came to nothing.
#[derive(Debug, Default)]
struct Failures {
    count: u64,
    last: Option<Arc<DialError>>,
}

/// The turn to open a connection that others will share.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    connections: &'a Connections,
    _permit: SemaphorePermit<'a>,
}

impl Turn<'_> {
    /// Ends in `error`, and tells those who wait, who are spared the same.
    pub(super) fn fail(self, error: DialError) -> DialError {
        if let DialError::NoTurn(_) = error {
            // It came too late to try, which others need not.
            return error;
        }
        let error = Arc::new(error);
        let mut failures = self.connections.failures();
        failures.count += 1;
        failures.last = Some(Arc::clone(&error));
        DialError::Told(error)
    }
}

/// What an exchange can be carried out on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speech {
    /// Whatever the backend speaks.
    Any,
    /// HTTP/1.1 alone: what follows is another protocol.
    Http1,
}

impl Connections {
    pub(super) fn new(limits: &HttpLimits, bounds: PoolBounds) -> Self {
        let room = Arc::new(Room::new(bounds.connections_max));
        Self {
            waiting: Pool::new(limits.pool_idle_max, limits.pool_idle_timeout),
            shared: Arc::new(SharedList::new(bounds, Arc::clone(&room))),
            room,
            opening: Semaphore::new(1),
            failures: Mutex::default(),
            chose_http1: AtomicBool::new(false),
            age_max: bounds.age_max,
        }
    }

    /// From now on, these limits hold for what waits.
    pub(super) fn set_limits(&self, limits: &HttpLimits) {
        self.waiting.set_bounds(limits.pool_idle_max, limits.pool_idle_timeout);
    }

    /// A connection that is there already.
    pub(super) async fn take(&self, speech: Speech) -> Option<Held> {
        if speech == Speech::Any
            && let Some(stream) = self.shared.reserve()
        {
            return Some(Held::Http2(Box::new(stream)));
        }
        let now = Instant::now();
        while let Some(mut connection) = self.waiting.take(now) {
            if connection.age(now) < self.age_max && connection.is_usable().await {
                return Some(Held::Http1(connection));
            }
        }
        None
    }

    /// Keeps a connection for the next exchange.
    pub(super) fn put(&self, connection: Box<Http1>) {
        let now = Instant::now();
        if connection.age(now) < self.age_max {
            self.waiting.put(connection, now);
            self.room.tell();
        }
    }

    /// A place for a new connection, if there is one by `deadline`. What is not in use goes first.
    pub(super) async fn seat(&self, active: &IntGauge, deadline: Instant) -> Option<Seat> {
        if let Some(seat) = self.room.free_seat(active) {
            return Some(seat);
        }
        let waiting = async {
            let seeker = Seeker::new(&self.room, Wish::Seat);
            loop {
                let mut freed = pin!(seeker.freed());
                freed.as_mut().enable();
                self.make_room();
                tokio::select! {
                    seat = self.room.seat(active) => return seat,
                    () = freed => {}
                }
            }
        };
        timeout_at(deadline, waiting).await.ok()
    }

    /// A place for a new connection, or a connection that came free while one was waited for.
    pub(super) async fn seat_or_take(
        &self,
        active: &IntGauge,
        speech: Speech,
        deadline: Instant,
    ) -> Option<Result<Seat, Held>> {
        if let Some(seat) = self.room.free_seat(active) {
            return Some(Ok(seat));
        }
        let wish = match speech {
            Speech::Any => Wish::Any,
            Speech::Http1 => Wish::Seat,
        };
        let waiting = async {
            let seeker = Seeker::new(&self.room, wish);
            loop {
                let mut freed = pin!(seeker.freed());
                // Whatever comes free from now on is told, so that nothing is missed by looking.
                freed.as_mut().enable();
                if let Some(held) = self.take(speech).await {
                    // There may be more of it than one.
                    self.room.tell();
                    return Err(held);
                }
                if wish == Wish::Seat {
                    self.make_room();
                }
                tokio::select! {
                    seat = self.room.seat(active) => return Ok(seat),
                    () = freed => {}
                }
            }
        };
        timeout_at(deadline, waiting).await.ok()
    }

    /// Closes a connection that is not in use, if there is one, for the sake of a new one.
    fn make_room(&self) {
        if !self.waiting.drop_oldest() {
            self.shared.retire_idle();
        }
    }

    /// The turn to open a connection that others will share, or why the one before had none.
    pub(super) async fn turn_to_open(&self) -> Result<Turn<'_>, DialError> {
        let known = self.failures().count;
        let permit = self.opening.acquire().await.expect("the semaphore is never closed");
        let Failures { count, last } = &*self.failures();
        match last {
            Some(error) if *count != known => Err(DialError::Heard(Arc::clone(error))),
            _ => Ok(Turn { connections: self, _permit: permit }),
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the endpoint chose HTTP/1.1 when it was last asked.
    pub(super) fn chose_http1(&self) -> bool {
        self.chose_http1.load(Ordering::Relaxed)
    }

    pub(super) fn note_chosen(&self, is_http1: bool) {
        self.chose_http1.store(is_http1, Ordering::Relaxed);
    }

    /// Closes what has waited too long.
    pub(super) fn sweep(&self, now: Instant) {
        self.waiting.sweep(now);
    }
}

/// How many connections there may be, and who waits for one.
#[derive(Debug)]
pub(super) struct Room {
    seats: Arc<Semaphore>,
    seekers: AtomicUsize,
    /// Those who can use whatever comes free.
    any: Notify,
    /// Those who can use a connection, but no part of one.
    seat: Notify,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wish {
    Any,
    Seat,
}

impl Room {
    fn new(seats: usize) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(seats.min(Semaphore::MAX_PERMITS))),
            seekers: AtomicUsize::new(0),
            any: Notify::new(),
            seat: Notify::new(),
        }
    }

    fn free_seat(&self, active: &IntGauge) -> Option<Seat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        Some(Seat { _permit: permit, _active: Active::new(active) })
    }

    async fn seat(&self, active: &IntGauge) -> Seat {
        let permit = Arc::clone(&self.seats).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        Seat { _permit: permit, _active: Active::new(active) }
    }

    /// Lets those who wait look again: one of each wish, since what came free may be of no use to
    /// those of the other.
    pub(super) fn tell(&self) {
        // Pairs with the fence of a seeker: either it is seen here, or it sees what came free.
        fence(Ordering::SeqCst);
        if self.seekers.load(Ordering::Relaxed) > 0 {
            self.any.notify_one();
            self.seat.notify_one();
        }
    }
}

/// Somebody who waits for a connection to come free.
struct Seeker<'a> {
    room: &'a Room,
    wish: Wish,
}

impl<'a> Seeker<'a> {
    fn new(room: &'a Room, wish: Wish) -> Self {
        room.seekers.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Self { room, wish }
    }

    /// Something came free.
    fn freed(&self) -> Notified<'a> {
        match self.wish {
            Wish::Any => self.room.any.notified(),
            Wish::Seat => self.room.seat.notified(),
        }
    }
}

impl Drop for Seeker<'_> {
    fn drop(&mut self) {
        self.room.seekers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place of a connection under the cap, and in the gauge.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    _active: Active,
}
