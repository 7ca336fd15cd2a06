//! `moue prepare`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar};
use moue::base::device::device;
use moue::base::error::Error;
use moue::base::file::FileSystem;
use moue::data::sources::{Layout, Listing, PaperSubset};
use moue::photo::Finder;
use moue::run::prepare::{Job, MANIFEST, Report, SKIPPED, Step, prepare};

use super::stop_on_signal;
use crate::args::{Prepare, Subset};
use crate::terminal::{bar, note, print_line};

/// How often a line tells how it goes where there is no terminal for a bar.
const EVERY: Duration = Duration::from_secs(30);

/// Lines about what is missing, before the rest is only counted.
const LINES: usize = 10;

pub(crate) fn run(arguments: &Prepare, quiet: bool) -> anyhow::Result<()> {
    let mut listing = Listing::open(&arguments.source, arguments.format.map(Into::into))?;
    let paper = match arguments.subset {
        Some(Subset::Paper) => Some(PaperSubset::keep(&mut listing)?),
        None => None,
    };
    let stop = stop_on_signal("the photos at hand")?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let job = Job {
        listing: &listing,
        folder: &arguments.out,
        size: arguments.size,
        threads: arguments.threads.map_or_else(cores, usize::from),
        disk: &FileSystem,
        stop: &stop,
    };
    let finder = Finder::new(&device("cpu")?);
    let progress = Progress::new(listing.samples.len(), quiet);
    let report = prepare(&job, &finder, &|step| progress.hear(step));
    progress.bar.finish_and_clear();
    let report = report?;
    if report.not_begun > 0 {
        let all = count(listing.samples.len());
        let problem = format!("stopped with {} of {all} photos to do", count(report.not_begun));
        return Err(Error::config(problem, "the same command goes on from there").into());
    }
    for line in summary(&job, &report, paper.as_ref()) {
        note(quiet, &line);
    }
    if arguments.json {
        print_line(&json(&job, &report, paper.as_ref()).to_string())?;
    }
    Ok(())
}

/// Shows how it goes: a bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    quiet: bool,
    skipped: AtomicUsize,
    told: Mutex<Instant>,
}

impl Progress {
    fn new(photos: usize, quiet: bool) -> Self {
        let (skipped, told) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        Self { bar: bar(photos as u64, quiet, "photos"), quiet, skipped, told }
    }

    fn hear(&self, step: Step) {
        self.bar.inc(1);
        if step == Step::DoneBefore {
            // These take no time: nothing about the others can be told from them.
            return self.bar.reset_eta();
        }
        self.skipped.fetch_add(usize::from(step == Step::Skipped), Ordering::Relaxed);
        let skipped = self.skipped.load(Ordering::Relaxed);
        let text = format!("{:.1} photos/s, {} skipped", self.bar.per_sec(), count(skipped));
        if !self.bar.is_hidden() {
            return self.bar.set_message(text);
        }
        let mut told = self.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if told.elapsed() >= EVERY {
            *told = Instant::now();
            let (done, left) = (HumanCount(self.bar.position()), HumanDuration(self.bar.eta()));
            note(self.quiet, &format!("{done} photos done, {left} left: {text}"));
        }
    }
}

fn summary(job: &Job<'_>, report: &Report, paper: Option<&PaperSubset>) -> Vec<String> {
    let (folder, listing) = (job.folder.display(), job.listing);
    let people = match report.people {
        0 => "people unknown".to_string(),
        1 => "one person".to_string(),
        people => format!("{} people", count(people)),
    };
    let squares = counted(report.squares, "square");
    let expressions = counted(report.expressions, "expression");
    let mut lines = vec![format!("{squares} of {} px in {folder}: {people}, {expressions}", job.size)];
    if report.done_before > 0 {
        lines.push(format!("done before: {}", counted(report.done_before, "photo")));
    }
    if !report.skipped.is_empty() {
        let table = job.folder.join(SKIPPED);
        lines.push(format!(
            "{} skipped, listed in {}:",
            counted(report.skipped.len(), "photo"),
            table.display()
        ));
        lines.extend(first_of(
            report.reasons().iter().map(|(why, n)| format!("  {}: {why}", count(*n))),
            "reason",
        ));
    }
    for (number, what, why) in [
        (report.several_faces, "photo", "with several faces, of which the largest was taken"),
        (report.enlarged, "face", "enlarged, being smaller than that in the photo"),
        (
            if listing.layout == Layout::Rafd { listing.others } else { 0 },
            "file",
            "without a RaFD name passed over",
        ),
    ] {
        if number > 0 {
            lines.push(format!("{} {why}", counted(number, what)));
        }
    }
    if let Some(paper) = paper {
        let (found, others) = (count(paper.found), counted(paper.left_out, "other photo"));
        lines.push(format!(
            "the paper's {} photos: {found} found, {others} left out",
            count(PaperSubset::COUNT)
        ));
        if !paper.missing.is_empty() {
            lines.push("missing:".to_string());
            lines.extend(first_of(paper.missing.iter().map(|what| format!("  {what}")), "gap"));
        }
    }
    lines.push(match report.expressions {
        1 => "add photos of another expression before you train: one is not enough".to_string(),
        _ => format!("train on them with: moue train --data {folder}"),
    });
    lines
}

/// The first lines, and how many more there are.
fn first_of(lines: impl ExactSizeIterator<Item = String>, what: &str) -> Vec<String> {
    let more = lines.len().saturating_sub(LINES);
    let rest = (more > 0).then(|| format!("  and {} besides", counted(more, what)));
    lines.take(LINES).chain(rest).collect()
}

fn json(job: &Job<'_>, report: &Report, paper: Option<&PaperSubset>) -> serde_json::Value {
    let reasons: serde_json::Map<String, _> =
        report.reasons().into_iter().map(|(reason, count)| (reason.to_string(), count.into())).collect();
    let paper = paper.map(|paper| {
        serde_json::json!({ "found": paper.found, "of": PaperSubset::COUNT, "left_out": paper.left_out,
            "missing": paper.missing })
    });
    serde_json::json!({
        "manifest": job.folder.join(MANIFEST).to_string_lossy(),
        "squares": report.squares,
        "size": job.size,
        "people": report.people,
        "expressions": report.expressions,
        "done_before": report.done_before,
        "skipped": report.skipped.len(),
        "reasons": reasons,
        "several_faces": report.several_faces,
        "enlarged": report.enlarged,
        "passed_over": job.listing.others,
        "paper": paper,
    })
}

/// A number as people write it: 1,608.
fn count(number: usize) -> HumanCount {
    HumanCount(number as u64)
}

/// The same with what is counted: 1 photo, 1,608 photos.
fn counted(number: usize, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}
