//! The command line: what people type, and what they get to read.
//!
//! Owns the definitions, from which help, completions and the manual page are made, and the exit
//! codes: 0 done, 1 failed, 64 usage or configuration. Data goes to standard output, words to
//! people go to standard error. One file for each command that does more than call something.
//! Refuses to know how anything is done. Read next: `run`.

mod ask;
mod certs;
mod check;
mod clients;
mod date;
mod demo;
mod endpoint;
mod explain;
mod exposure;
mod failures;
mod finding;
mod issue;
mod manual;
mod name;
mod order;
mod output;
mod rights;
mod run;
mod status;
mod traffic;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Admin, Config, LoadError, Sought};
use crate::log::Chain;

use order::Order;

/// Runs the command line of the process.
pub fn main() -> ExitCode {
    main_from(std::env::args_os())
}

fn main_from(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match parse(arguments) {
        Ok(portunus) => portunus.command,
        Err(message) if message.use_stderr() => {
            // If nobody takes the words, the code still says it.
            let _ = message.print();
            return ExitCode::from(USAGE);
        }
        Err(help) => return ExitCode::from(output::written(help.print())),
    };
    let Some(command) = command else {
        return ExitCode::from(output::written(definitions().print_help()));
    };
    ExitCode::from(match command {
        Command::Certs { name, json, config } => certs::run(name.as_deref(), json, &config),
        Command::Check { diff: true, json, config } => order::run(Order::Rehearse, &config, json),
        Command::Check { config, .. } => check::run(&config),
        Command::Completions { shell } => manual::completions(shell, Portunus::command()),
        Command::Demo { port, admin_port } => demo::run(port, admin_port),
        Command::Drain { config } => order::run(Order::Drain, &config, false),
        Command::Endpoint { wish, backend, endpoint, config } => {
            endpoint::run(wish, &backend, &endpoint, &config)
        }
        Command::Issue { names, out } => issue::run(&names, &out),
        Command::Launch { program, arguments } => run::launch(&program, &arguments),
        Command::Man => manual::man(Portunus::command()),
        Command::Reload { json, config } => order::run(Order::Reload, &config, json),
        Command::Run { config } => run::run(&config),
        Command::Status(question) => status::run(&question),
        Command::Upgrade { json, config } => order::run(Order::Upgrade, &config, json),
    })
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Portunus, clap::Error> {
    let matches = definitions().try_get_matches_from(arguments)?;
    Portunus::from_arg_matches(&matches).map_err(|error| error.format(&mut definitions()))
}

/// The definitions, without environment variables that are there and say nothing.
fn definitions() -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    Portunus::command().mut_subcommands(|command| {
        command.mut_args(|argument| {
            if argument.get_env().is_some_and(is_empty) {
                argument.env(Resettable::Reset)
            } else {
                argument
            }
        })
    })
}

/// Takes TLS off in front of plaintext services.
#[derive(Debug, Parser)]
#[command(name = "portunus", version, after_help = AFTER_HELP)]
struct Portunus {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a new process would serve from the files: certificates, or the one for NAME
    ///
    /// This reads the files on the disk and asks no process. Where the running one kept a
    /// certificate since its file went bad, `portunus status` tells what it serves.
    Certs {
        /// A host name, as a client would ask for it
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Check the configuration and the certificates, and list everything that is wrong with them
    ///
    /// What only a running process meets, such as an address that is taken or a file that the
    /// sandbox hides, `portunus reload` tells.
    Check {
        /// Ask the running process what a reload would change
        #[arg(long)]
        diff: bool,
        /// Print JSON; with --diff alone
        #[arg(long, requires = "diff")]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Run with nothing prepared: a throw-away certificate, a service to talk to, lines to copy
    Demo {
        /// Port for HTTPS; raw TLS gets the next one; 0 is any that is free, for each
        #[arg(long, default_value_t = 8443)]
        #[arg(value_parser = clap::value_parser!(u16).range(..=65534))]
        port: u16,
        /// Port of the admin listener; 0 is any that is free
        #[arg(long, default_value_t = 9090)]
        admin_port: u16,
    },
    /// Have the running process finish what is going on, and end
    Drain {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Tell the running process that an endpoint gets nothing new, or its share again
    Endpoint {
        /// What is wanted
        wish: endpoint::Wish,
        /// The name of a backend
        backend: String,
        /// The name of an endpoint in the configuration, or one of its addresses
        endpoint: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Issue a certificate for development, from a certificate authority that is made for it
    Issue {
        /// Names that the certificate is for: `localhost`, `*.dev.example`, `127.0.0.1`
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Folder for the certificate and its key; the authority is kept in `ca` below it
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Start another binary when the process that started this one asks for it
    #[command(hide = true)]
    Launch {
        /// What is started
        program: PathBuf,
        /// With these arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Print the manual page
    Man,
    /// Have the running process serve what its configuration says now, and print what changed
    Reload {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Serve what the configuration says, until SIGTERM or SIGINT
    Run {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Ask the running process how it is, and what calls for attention
    Status(status::Question),
    /// Have a new process of the program take over from the running one, which then ends
    Upgrade {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "PORTUNUS_CONFIG", default_value = "config.toml")]
    config: PathBuf,
}

impl ConfigFile {
    /// The configuration, or the exit code after every error was printed.
    fn load(&self) -> Result<Config, u8> {
        Config::load(Some(&self.config)).map_err(|error| unusable(&error))
    }

    /// Where the running process is asked, or the exit code after it was printed why that cannot be
    /// known. What else is wrong in the file is for the process to tell.
    fn admin(&self) -> Result<Option<Admin>, u8> {
        match self.seek_admin() {
            Sought { doubt: Some(doubt), .. } => Err(unusable(&doubt)),
            Sought { admin, doubt: None } => Ok(admin),
        }
    }

    /// The same, or the best guess.
    fn seek_admin(&self) -> Sought {
        Config::seek_admin(&self.config)
    }
}

/// Prints why a file cannot be used.
fn unusable(error: &LoadError) -> u8 {
    fail(error, error.hint());
    USAGE
}

/// Prints an error with its causes, and what can be done about it.
fn fail(error: &(dyn Error + 'static), hint: Option<&str>) -> u8 {
    output::say(format_args!("error: {}", Chain(error)));
    if let Some(hint) = hint {
        output::say(format_args!("\nhint: {hint}"));
    }
    FAILED
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

const AFTER_HELP: &str = "\
First steps:
  portunus demo                           try it with nothing prepared
  portunus issue localhost --out certs.d  make a certificate for development
  portunus check                          check config.toml and the certificates
  portunus run                            serve

Exit codes: 0 done, 1 failed, 64 usage or configuration.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Portunus::command().debug_assert();
    }
}
