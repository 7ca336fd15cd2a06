//! What people see on stderr: progress, errors with their remedy. Stdout is for results alone.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use console::Term;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use moue::base::error::{Error, Result};
use moue::run::events::{Event, Listener};

/// Prints `error: …`, its causes and `hint: …`.
pub(crate) fn print_error(error: &anyhow::Error) {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  because: {cause}\n"));
    }
    if let Some(hint) = error.downcast_ref::<Error>().and_then(Error::hint) {
        text.push_str(&format!("hint: {hint}\n"));
    }
    say(&text);
}

/// Writes to stderr; that nobody reads it is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A line on stderr, unless quiet.
pub(crate) fn note(quiet: bool, text: &str) {
    if !quiet {
        say(&format!("{text}\n"));
    }
}

/// Writes a result's line to stdout.
///
/// # Errors
/// What the system says, for example that the reader of a pipe is gone.
pub(crate) fn print_line(line: &str) -> std::io::Result<()> {
    print(format!("{line}\n").as_bytes())
}

/// Writes results to stdout.
///
/// # Errors
/// As [`print_line`].
pub(crate) fn print(bytes: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// How many characters a line of results may have: what the terminal shows, or any number where they go elsewhere.
pub(crate) fn columns() -> usize {
    Term::stdout().size_checked().map_or(usize::MAX, |(_, columns)| usize::from(columns))
}

/// Whether the reader of stdout is gone.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A bar with count, rate and time left, or nothing where nobody looks.
pub(crate) fn bar(length: u64, quiet: bool, unit: &str) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
    }
    let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}, {{eta}} left  {{msg}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

/// Shows how training goes: a bar on a terminal, lines elsewhere.
pub(crate) struct TrainingProgress {
    quiet: bool,
    bar: ProgressBar,
}

impl TrainingProgress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, bar: ProgressBar::hidden() }
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| say(&format!("{text}\n")));
        }
    }
}

impl Listener for TrainingProgress {
    fn hear(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Started { iteration, iterations, faces: [train, validation, test], missing, device } => {
                self.bar = bar(*iterations, self.quiet, "batches");
                self.bar.set_position(*iteration);
                self.bar.reset_eta();
                self.line(&format!(
                    "training on {train} faces ({validation} held out for validation, {test} for the test) on {device}, \
                     batch {iteration} of {iterations}"
                ));
                if !missing.is_empty() {
                    let names: Vec<_> = missing.iter().map(|expression| expression.name()).collect();
                    self.line(&format!("no face to train on shows {}: not learned", names.join(", ")));
                }
            }
            Event::Projected { seconds_per_iteration, seconds, .. } => {
                let rest = human(*seconds);
                self.line(&format!("{seconds_per_iteration:.2} s a batch: about {rest} to go"));
                if *seconds > 30.0 * 86_400.0 {
                    self.line(
                        "that is out of reach on this device: take a GPU (--device cuda:0), or --preset small for a \
                         result in hours; Ctrl-C ends with a checkpoint",
                    );
                }
            }
            Event::Step { iteration, updates, values, images_per_second, .. } => {
                let updates: Vec<_> = updates.iter().map(|(name, count)| format!("{name} {count}")).collect();
                let values: Vec<_> =
                    values.iter().map(|(name, value)| format!("{} {value:.3}", short(name))).collect();
                let updates = updates.join(", ");
                let text =
                    format!("{images_per_second:.1} faces/s  updates: {updates}  {}", values.join("  "));
                self.bar.set_position(*iteration);
                if self.bar.is_hidden() {
                    let left = HumanDuration(self.bar.eta());
                    self.line(&format!("batch {iteration}, {left} left: {text}"));
                } else {
                    self.bar.set_message(text);
                }
            }
            Event::Sampled { path, .. } => self.line(&format!("sheet: {}", path.display())),
            Event::Saved { path, .. } => self.line(&format!("checkpoint: {}", path.display())),
            Event::Ended { iteration, complete, seconds } => {
                self.bar.finish_and_clear();
                let how = if *complete { "done" } else { "stopped" };
                self.line(&format!("{how} after batch {iteration}, {}", human(*seconds)));
            }
        }
        Ok(())
    }
}

/// `generator.adversarial` as `G adversarial`.
fn short(name: &str) -> String {
    match name.split_once('.') {
        Some(("generator", loss)) => format!("G {}", loss.replace('_', " ")),
        Some(("discriminator", loss)) => format!("D {}", loss.replace('_', " ")),
        _ => name.replace('.', " "),
    }
}

/// A duration as people say it.
pub(crate) fn human(seconds: f64) -> String {
    let days = seconds / 86_400.0;
    if days >= 730.0 {
        return format!("{:.0} years", days / 365.25);
    }
    if days >= 2.0 {
        return format!("{days:.0} days");
    }
    HumanDuration(Duration::from_secs_f64(seconds.max(0.0))).to_string()
}
