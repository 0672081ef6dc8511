//! One reading of the configuration: from the file to a draft of what it says.
//!
//! Owns the order of the steps, all of which may block. What is wrong is told whole, with what lies
//! behind it. Refuses to know who asked.

use crate::config::{Config, LoadError};
use crate::privilege::Report;
use crate::runtime::confinement::{OutOfReach, out_of_reach, read_paths};
use crate::runtime::world::{Attempt, Draft, World};

use super::seen::Trace;
use super::told::{self, Outcome, Told};

/// Why a configuration cannot be had, and what lies behind it.
pub(super) struct Refusal {
    pub(super) errors: Vec<String>,
    pub(super) traces: Vec<Trace>,
}

impl Refusal {
    /// One that nobody waits to see mended.
    pub(super) fn of(errors: Vec<String>) -> Self {
        Self { errors, traces: Vec::new() }
    }
}

/// Reads the configuration, and builds what it says if that is anything else than what is served.
pub(super) fn read(
    world: &World,
    confinement: Option<&Report>,
    attempt: &Attempt,
) -> Result<(Option<Draft>, Told), Refusal> {
    let (config, told) = load(world)?;
    let draft = match told.outcome {
        Outcome::Changed => {
            let beyond = beyond(confinement, &config);
            // Before they are read, so that nothing happens to them unnoticed.
            let traces = read_paths(&config).map(Trace::of).collect();
            let draft = world.draft(config, attempt).map_err(|errors| told::lines(&errors));
            let refuse = |errors| Refusal { errors: explained(errors, &beyond), traces };
            Some(draft.map_err(refuse)?)
        }
        Outcome::Rejected | Outcome::Unchanged => None,
    };
    Ok((draft, told))
}

/// Why files could not be opened that everybody else can open.
pub(super) fn beyond(confinement: Option<&Report>, config: &Config) -> Vec<OutOfReach> {
    confinement.map(|report| out_of_reach(report, config)).unwrap_or_default()
}

/// The `errors`, with `beyond` in the place of those that come of it.
pub(super) fn explained(mut errors: Vec<String>, beyond: &[OutOfReach]) -> Vec<String> {
    errors.retain(|line| !beyond.iter().any(|beyond| beyond.explains(line)));
    errors.extend(beyond.iter().map(ToString::to_string));
    errors
}

/// Reads the configuration, and says what differs from what is served.
pub(super) fn load(world: &World) -> Result<(Config, Told), Refusal> {
    let now = world.current();
    let Some(path) = &now.config.path else {
        return Err(Refusal::of(vec!["the configuration was not read from a file".to_owned()]));
    };
    let config = Config::load(Some(path)).or_else(|error| {
        let files = match &error {
            LoadError::Invalid(errors) => errors.files(),
            LoadError::Read(_) => &[],
        };
        let traces = files.iter().map(|path| Trace::of(path)).collect();
        // Which files matter is known only now; what happened to them meanwhile counts.
        Config::load(Some(path))
            .map_err(|error| Refusal { errors: told::load_errors(&error), traces })
    })?;
    let told = Told::of(now.number, &now.config, &config);
    Ok((config, told))
}
