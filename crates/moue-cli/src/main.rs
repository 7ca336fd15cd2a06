//! `moue`: the same face with another expression.

mod args;
mod commands;
mod terminal;

use std::process::ExitCode;

use args::{Arguments, Command};
use clap::{CommandFactory, Parser};

/// Training allocates and frees the same large buffers again and again, which this allocator keeps at hand.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Arguments { command, quiet } = Arguments::parse();
    if command.computes_long() {
        moue_kernels::keep_freed_memory();
    }
    let result = match command.compute().map(|compute| compute.threads) {
        Some(threads) => commands::among_threads(threads, || run(command, quiet)),
        None => run(command, quiet),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the results, such as `head`, has seen enough.
        Err(error) if terminal::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, quiet: bool) -> anyhow::Result<()> {
    match command {
        Command::Translate(arguments) => commands::translate::run(arguments, quiet),
        Command::Prepare(arguments) => commands::prepare::run(&arguments, quiet),
        Command::Train(arguments) => commands::train::run(arguments, quiet),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments, quiet),
        Command::Compare(arguments) => commands::compare::run(&arguments, quiet),
        Command::Fid(arguments) => commands::fid::run(&arguments, quiet),
        Command::Export(arguments) => commands::weights::export(&arguments, quiet),
        Command::Import(arguments) => commands::weights::import(&arguments, quiet),
        Command::Info(arguments) => commands::weights::info(&arguments),
        Command::Summary(arguments) => commands::summary::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "moue", &mut script);
            terminal::print(&script).map_err(Into::into)
        }
    }
}
