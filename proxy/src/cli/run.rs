//! `portunus run`: serve until a signal ends it.

use crate::config::{Config, LogFormat};
use crate::log::{self, Format};
use crate::runtime::{Addresses, End, HangUp, Runtime};

use super::{ConfigFile, DONE, FAILED, USAGE, fail};

/// Serves what the file says.
pub(super) fn run(file: &ConfigFile) -> u8 {
    match file.load() {
        Ok(config) => match Runtime::new(config.server.workers, HangUp::Reload) {
            Ok(runtime) => serve(runtime, &config, |_| {}),
            Err(error) => fail(&error, error.hint()),
        },
        Err(code) => code,
    }
}

/// Serves `config` on `runtime`, and calls `ready` once everything is served.
pub(super) fn serve(runtime: Runtime, config: &Config, ready: impl FnOnce(&Addresses)) -> u8 {
    let format = match config.log.format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    if let Err(error) = log::init(&config.log.level, format) {
        fail(&error, None);
        return USAGE;
    }
    match runtime.run(config, ready) {
        Ok(End::Clean) => DONE,
        Ok(End::Cut | End::Forced) => FAILED,
        Err(error) => fail(&error, error.hint()),
    }
}
