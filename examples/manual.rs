//! Writes the man pages and the shell completions of the program, which the packages contain:
//!
//! `cargo run --example manual -- FOLDER` creates `man` and `completions` in `FOLDER`.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, Command};
use clap_complete::Shell;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: manual FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("manual: cannot write into {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    let man = folder.join("man");
    std::fs::create_dir_all(&man)?;
    clap_mangen::generate_to(with_variables(latchet::cli::command()), &man)?;
    let completions = folder.join("completions");
    std::fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut command = latchet::cli::command();
        clap_complete::generate_to(shell, &mut command, "latchet", &completions)?;
    }
    Ok(())
}

/// Adds the variable of each option to its help, as `latchet --help` shows it.
fn with_variables(command: Command) -> Command {
    command.mut_args(|option: Arg| {
        let (Some(name), Some(help)) = (option.get_long(), option.get_help()) else {
            return option;
        };
        let variable = format!("LATCHET_{}", name.to_uppercase().replace('-', "_"));
        let help = format!("{help} [env: {variable}]");
        option.help(help)
    })
}
