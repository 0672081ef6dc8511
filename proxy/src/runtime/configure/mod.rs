//! When the configuration is read again, and what is answered to whoever asked for it.
//!
//! Owns the triggers: an order, SIGHUP, and a change of the file or of one that it refers to, which
//! is noticed by an event or, without one, by the regular look. They are one queue, at most one
//! reading a second comes of it, and whoever asks meanwhile is answered by the next. What is wrong
//! with a configuration is told whole, and changes nothing; whatever it refers to is looked at from
//! then on, since it may be what is mended. Refuses to know how a configuration takes effect: that
//! is `world`. Read next: `reading`, `told`.

mod quiet;
mod reading;
mod seen;
mod told;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::watch::Watch;
use tokio::signal::unix::Signal;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use crate::control::{Order, Pending};
use crate::drain::DrainWatch;
use crate::privilege::Report;

use super::blocking::Desk;
use super::hints::{self, Hints};
use super::signals::heard;
use super::supervisor::{Notice, Supervisor};
use super::turn::{Change, Turn};
use super::world::{Attempt, World};
use quiet::Quiet;
use reading::{Refusal, beyond, explained, load, read};
use seen::{Contents, Trace};
use told::{Outcome, Told};

/// Where orders wait that are about the configuration.
#[derive(Clone, Debug)]
pub(super) struct Asks(mpsc::Sender<Pending>);

impl Asks {
    /// Has the order carried out, or answers that there is no room for it.
    pub(super) fn give(&self, pending: Pending) {
        if let Err(error) = self.0.try_send(pending) {
            let why = "too many have asked, or the process is ending";
            error.into_inner().answer(Told::refused(why).verdict(None));
        }
    }
}

/// Reads the configuration again.
pub(super) struct Configure {
    world: Arc<World>,
    /// What is out of reach for every configuration to come.
    confinement: Option<Arc<Report>>,
    asks: mpsc::Receiver<Pending>,
    /// Tells whoever reads certificates that somebody asked.
    look: Arc<Notify>,
    supervisor: Arc<Supervisor>,
    turn: Turn,
    seen: Option<Contents>,
    /// What the configuration refers to that was rejected last.
    refused: Vec<Trace>,
    /// Where it is read.
    desk: Desk,
    /// Where files are looked at meanwhile: that may hang again and again, and shall not keep the
    /// order from being carried out that gets rid of it.
    looks: Desk,
    hints: Arc<Hints>,
    /// Over these files, unless it cannot be had.
    watch: Option<(Vec<PathBuf>, Watch)>,
}

/// What asks for a reading.
enum Trigger {
    Ask(Pending),
    Due(Due),
}

/// What asks for a reading and waits for no answer, so it may have to wait for its turn. Of several
/// the last one named here counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Due {
    /// The start: what changed until files were watched told nobody.
    Start,
    Look,
    HangUp,
}

impl Configure {
    /// One who has the configuration read again, and where that is asked for.
    pub(super) fn new(
        world: Arc<World>,
        confinement: Option<Arc<Report>>,
        look: Arc<Notify>,
        supervisor: Arc<Supervisor>,
        turn: Turn,
    ) -> (Self, Asks) {
        let (sender, asks) = mpsc::channel(ASKS_MAX);
        let configure = Self {
            world,
            confinement,
            asks,
            look,
            supervisor,
            turn,
            seen: None,
            refused: Vec::new(),
            desk: Desk::new(),
            looks: Desk::new(),
            hints: Arc::default(),
            watch: None,
        };
        (configure, Asks(sender))
    }

    /// Reads again at each trigger, until the process is leaving.
    pub(super) async fn run(self, hang_up: Option<Signal>, mut watch: DrainWatch) {
        // What is being read may hang, and nobody waits for it then.
        tokio::select! {
            () = watch.leaving() => {}
            () = self.read_at_triggers(hang_up) => {}
        }
    }

    async fn read_at_triggers(mut self, mut hang_up: Option<Signal>) {
        self.watch().await;
        let (turn, mut late) = (self.turn.clone(), Some(Due::Start));
        let mut quiet = Quiet::from(Instant::now());
        loop {
            let (poll, settle) = self.rhythm();
            let trigger = tokio::select! {
                Some(pending) = self.asks.recv() => Trigger::Ask(pending),
                () = heard(hang_up.as_mut()) => Trigger::Due(Due::HangUp),
                () = turn.free(), if late.is_some() => {
                    Trigger::Due(late.take().unwrap_or(Due::Start))
                }
                () = self.hints.arrived() => {
                    quiet.hear(Instant::now(), settle);
                    continue;
                }
                () = sleep_until(quiet.due(poll)) => Trigger::Due(Due::Look),
            };
            let is_asked = matches!(trigger, Trigger::Ask(_));
            let before = std::mem::replace(&mut quiet, Quiet::from(Instant::now()));
            drop(self.hints.take());
            self.watch().await;
            let begun = Instant::now();
            let is_read = match turn.take(Change::Reload) {
                Ok(_taken) => self.act(trigger).await,
                Err(busy) => {
                    late = late.max(self.put_off(trigger, busy).await);
                    false
                }
            };
            if !is_read {
                // Who only asks keeps nobody from seeing a change.
                quiet.heard = before.heard.filter(|_| is_asked);
                continue;
            }
            if self.watch.as_ref().is_none_or(|(paths, _)| *paths != self.watched()) {
                self.watch().await;
                // What changed until they were watched told nobody.
                quiet.hear(Instant::now(), settle);
            }
            sleep_until(begun + PAUSE).await;
        }
    }

    /// Answers whoever asks while something else goes on, and returns what is due afterwards.
    async fn put_off(&self, trigger: Trigger, busy: Change) -> Option<Due> {
        let pending = match trigger {
            Trigger::Ask(pending) => pending,
            Trigger::Due(due) => return Some(due),
        };
        let told = match pending.order {
            Order::Rehearse => self.rehearse().await,
            _ => {
                let mut told = Told::new(self.world.current().number);
                told.reject(vec![busy.words().to_owned()]);
                told
            }
        };
        pending.answer(told.verdict(self.file().as_deref()));
        None
    }

    /// What changed between the start and the beginning of the watch told nobody. Returns whether
    /// anything was read for it.
    async fn begin(&mut self) -> bool {
        self.seen = self.look_at_files().await.map(|(seen, _)| seen);
        if self.paths().is_empty() || self.rehearse().await.outcome == Outcome::Unchanged {
            return false;
        }
        self.reload().await;
        true
    }

    /// Does what the trigger asks for, and returns whether anything was read for it.
    async fn act(&mut self, trigger: Trigger) -> bool {
        let mut asked = match trigger {
            Trigger::Ask(pending) => vec![pending],
            Trigger::Due(Due::Start) => return self.begin().await,
            Trigger::Due(Due::HangUp) => Vec::new(),
            Trigger::Due(Due::Look) => {
                let Some((seen, refused)) = self.look_at_files().await else { return false };
                if self.seen.as_ref() == Some(&seen) && self.refused == refused {
                    return false;
                }
                Vec::new()
            }
        };
        while let Ok(pending) = self.asks.try_recv() {
            asked.push(pending);
        }
        let (rehearsals, reloads): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|pending| pending.order == Order::Rehearse);
        if reloads.is_empty() && !rehearsals.is_empty() {
            self.answer(rehearsals, &self.rehearse().await);
            return false;
        }
        let is_asked = !reloads.is_empty();
        self.seen = self.look_at_files().await.map(|(seen, _)| seen);
        self.supervisor.tell(&Notice::Reloading);
        let told = self.reload().await;
        self.supervisor.tell(&Notice::Ready(told.outcome.status()));
        if is_asked {
            self.look.notify_one();
        }
        self.answer(reloads, &told);
        if !rehearsals.is_empty() {
            self.answer(rehearsals, &self.rehearse().await);
        }
        true
    }

    /// Has the configuration take effect.
    async fn reload(&mut self) -> Told {
        let world = Arc::clone(&self.world);
        let from = world.current().number;
        let mut told = Told::new(from);
        let confinement = self.confinement.clone();
        let attempt = Attempt::new();
        let building = Arc::clone(&attempt);
        let read = move || {
            let read = read(&world, confinement.as_deref(), &building);
            read.map(|(new, told)| (world, new, told))
        };
        let read = self.desk.run(read).await;
        self.refused.clear();
        match read {
            Err(error) => {
                attempt.abandon();
                // It is tried again, whatever the files hold.
                self.seen = None;
                told.reject(vec![error.to_string()]);
            }
            Ok(Err(refusal)) => {
                self.refused = refusal.traces;
                told.reject(refusal.errors);
            }
            Ok(Ok((_, None, read))) => told = read,
            Ok(Ok((world, Some(draft), read))) => {
                told = read;
                // Names that do not resolve keep nobody from anything.
                let _ = timeout(RESOLVE_MAX, world.resolve(&draft)).await;
                let serving = Arc::clone(&world);
                match spawn_blocking(move || serving.serve(draft)).await {
                    Ok(()) => told.generation = world.current().number,
                    Err(panicked) => told.reject(vec![panicked.to_string()]),
                }
            }
        }
        self.say(from, &told);
        told
    }

    /// Says what a reload would do.
    async fn rehearse(&self) -> Told {
        let world = Arc::clone(&self.world);
        let mut told = Told::new(world.current().number);
        let confinement = self.confinement.clone();
        let rehearsed = self.desk.run(move || {
            let (config, mut told) = load(&world)?;
            told.unchecked = told::unchecked(&world.current().config, &config);
            if told.outcome == Outcome::Changed {
                let beyond = beyond(confinement.as_deref(), &config);
                let rehearsed = world.rehearse(config).map_err(|errors| told::lines(&errors));
                rehearsed.map_err(|errors| Refusal::of(explained(errors, &beyond)))?;
            }
            Ok::<_, Refusal>(told)
        });
        match rehearsed.await {
            Err(error) => told.reject(vec![error.to_string()]),
            Ok(Err(refusal)) => told.reject(refusal.errors),
            Ok(Ok(read)) => told = read,
        }
        told
    }

    /// Counts a reading, and says what came of it.
    fn say(&self, from: u64, told: &Told) {
        let process = self.world.common().metrics.process();
        let result = told.outcome.label();
        process.config_reloads.with_label_values(&[result]).inc();
        let is_in_use = told.outcome != Outcome::Rejected;
        process.config_reload_successful.set(i64::from(is_in_use));
        self.world.common().history.note(told.reading());
        if told.outcome == Outcome::Rejected {
            for why in &told.errors {
                error!(error = why, "the configuration is rejected");
            }
            let errors = told.errors.len();
            error!(generation = from, errors, "the configuration of before stays in use");
            return;
        }
        process.config_reload_success.set(told::now());
        for warning in &told.warnings {
            warn!("{warning}");
        }
        if told.outcome == Outcome::Changed {
            for change in &told.changes {
                info!(change, "the configuration changes");
            }
        }
        info!(from, to = told.generation, result, "configuration read");
    }

    /// The files that the configuration stands in, and what one refers to that was rejected.
    fn watched(&self) -> Vec<PathBuf> {
        let refused = self.refused.iter().map(|trace| trace.path.clone());
        self.paths().into_iter().chain(refused).collect()
    }

    /// The file that is read, for whoever means another one.
    fn file(&self) -> Option<PathBuf> {
        std::path::absolute(self.world.current().config.path.as_ref()?).ok()
    }

    fn answer(&self, asked: Vec<Pending>, told: &Told) {
        let file = self.file();
        asked.into_iter().for_each(|pending| pending.answer(told.verdict(file.as_deref())));
    }

    /// The files that the configuration stands in.
    fn paths(&self) -> Vec<PathBuf> {
        let config = Arc::clone(&self.world.current().config);
        config.path.iter().chain(&config.files).cloned().collect()
    }

    /// Watches over the files, wherever their names lead now.
    async fn watch(&mut self) {
        let (before, paths) = (self.watch.take(), self.watched());
        let hints = Arc::clone(&self.hints);
        let watch = self.looks.run(move || match before {
            Some((before, mut watch)) if before == paths => {
                watch.refresh();
                (before, watch)
            }
            _ => {
                let watch = hints::watch(&paths, &hints);
                (paths, watch)
            }
        });
        self.watch = watch.await.ok();
    }

    /// How often the files are looked at, and how long they must have been quiet.
    fn rhythm(&self) -> (Duration, Duration) {
        let certificates = &self.world.current().config.certificates;
        (certificates.poll_interval, certificates.settle)
    }

    /// What the files hold, and what became of those that were refused, unless it cannot be told.
    async fn look_at_files(&self) -> Option<(Contents, Vec<Trace>)> {
        let (paths, refused) = (self.paths(), self.refused.clone());
        let look = move || {
            let traces = refused.iter().map(|trace| Trace::of(&trace.path)).collect();
            (seen::contents(paths), traces)
        };
        self.looks.run(look).await.ok()
    }
}

/// Orders that may wait.
const ASKS_MAX: usize = 16;
/// From the beginning of one reading to that of the next.
const PAUSE: Duration = Duration::from_secs(1);
/// What a reload waits for names that are new: what does not resolve by then does so later.
const RESOLVE_MAX: Duration = Duration::from_secs(10);
