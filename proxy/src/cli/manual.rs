//! `portunus man` and `portunus completions`: the definitions in two other forms.
//!
//! Owns the one page that documents every command with its options, since `portunus man` is the
//! only way to print a page. Both are rendered whole before a byte is written.

use std::io;

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{fail, output};

/// Prints the manual page.
pub(super) fn man(definitions: Command) -> u8 {
    match page(definitions) {
        Ok(page) => output::print_bytes(&page),
        Err(error) => fail(&error, None),
    }
}

/// Prints completions for `shell`.
pub(super) fn completions(shell: Shell, mut definitions: Command) -> u8 {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut definitions, "portunus", &mut text);
    output::print_bytes(&text)
}

fn page(definitions: Command) -> io::Result<Vec<u8>> {
    // That each of them has `--help` need not be said for each of them.
    let definitions = definitions.disable_help_subcommand(true);
    let mut definitions = definitions
        .mut_subcommands(|command| command.disable_help_flag(true).mut_args(with_variable));
    definitions.build();
    let mut page = Vec::new();
    let whole = Man::new(definitions.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    page.extend_from_slice(b".SH COMMANDS\n");
    for command in definitions.get_subcommands() {
        page.extend_from_slice(section(command)?.as_bytes());
    }
    whole.render_extra_section(&mut page)?;
    Ok(page)
}

/// The argument with its environment variable in words.
fn with_variable(argument: Arg) -> Arg {
    let Some(variable) = argument.get_env() else { return argument };
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let help = format!("{help}; also by the variable {}", variable.to_string_lossy());
    argument.help(help)
}

/// A command as a part of the page: its sections without their headings.
fn section(command: &Command) -> io::Result<String> {
    let alone = Man::new(command.clone());
    let mut rendered = Vec::new();
    alone.render_synopsis_section(&mut rendered)?;
    alone.render_description_section(&mut rendered)?;
    alone.render_options_section(&mut rendered)?;
    let mut section = format!(".SS {}\n", command.get_name());
    for line in String::from_utf8_lossy(&rendered).lines() {
        // Each piece brings the preamble of a page of its own.
        let line = match line.split(' ').next() {
            Some(".ie" | ".el") => continue,
            Some(".SH") => ".PP",
            _ => line,
        };
        section.push_str(line);
        section.push('\n');
    }
    Ok(section)
}
