//! Photographs made a data set: the largest face of each, cut out as the networks know faces, and a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use image::RgbImage;

use super::journal::{Entry, Journal, Outcome, Settings, Stamp, write_if_new};
use super::outputs::square_names;
use crate::base::error::{Error, Result};
use crate::base::file::{Disk, create_folder, write_whole};
use crate::base::image as images;
use crate::data::sources::Listing;
use crate::photo::file::Photo;
use crate::photo::find::Finder;

/// The table of the squares: `file`, `identity`, `expression`, `gaze`, and what else the source says.
pub const MANIFEST: &str = "manifest.csv";

/// The table of the photos without a square: `file`, from the source's folder, and `reason`.
pub const SKIPPED: &str = "skipped.csv";

/// What to prepare, and where to put it.
pub struct Job<'a> {
    /// The photographs.
    pub listing: &'a Listing,
    /// Folder of the squares and tables: absent, empty, or one that was prepared into before.
    pub folder: &'a Path,
    /// Side of the squares, in pixels.
    pub size: u32,
    /// How many photos are worked on at a time, each by one thread; at least 1.
    pub threads: usize,
    /// Where files are created.
    pub disk: &'a dyn Disk,
    /// Once true, no further photo is begun.
    pub stop: &'a AtomicBool,
}

/// What came of a photo, for whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was done before, by an earlier preparation.
    DoneBefore,
    /// It has a square.
    Square,
    /// It has none.
    Skipped,
}

/// What a preparation came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Photos with a square.
    pub squares: usize,
    /// Photos that were done before, those that were skipped then included.
    pub done_before: usize,
    /// Photos of the source that were not begun, because the preparation was stopped. There is no new manifest then.
    pub not_begun: usize,
    /// Squares whose photo shows several faces; they show the largest.
    pub several_faces: usize,
    /// Squares whose face is smaller in its photo, so that it was enlarged.
    pub enlarged: usize,
    /// Different people and expressions among the squares; nobody where the source does not say who it is.
    pub people: usize,
    /// Different expressions among the squares.
    pub expressions: usize,
    /// Photos without a square and why, in the source's order, then the files that the source's names refuse.
    pub skipped: Vec<(String, String)>,
}

impl Report {
    /// How many photos were skipped for each reason, the most frequent first. Details in brackets are left out.
    pub fn reasons(&self) -> Vec<(&str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, reason) in &self.skipped {
            *counts.entry(reason.split(" (").next().unwrap_or(reason)).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        counts
    }
}

/// Cuts the largest face out of each photo of a listing, writes the squares and, at the end, `manifest.csv` and
/// `skipped.csv`. `done` is told of each photo, by whichever thread did it.
///
/// Photos that were done before, with the same settings, from a file of the same length and time of modification, are
/// not done again. The files are the same at any number of threads, and whether or not it was stopped on the way.
///
/// # Errors
/// [`Error::Data`] when the folder lies inside the source, holds something else or is in use, and when no photo has a
/// square; [`Error::Write`]. What was done stays done.
pub fn prepare(job: &Job<'_>, finder: &Finder, done: &(dyn Fn(Step) + Sync)) -> Result<Report> {
    refuse_inside(job)?;
    let files: Vec<&Path> = job.listing.samples.iter().map(|sample| sample.file.as_path()).collect();
    let (sources, squares) = square_names(&job.listing.root, &files);
    refuse_own_squares(job, &squares)?;
    let source = std::path::absolute(&job.listing.path).unwrap_or_else(|_| job.listing.path.clone());
    let settings = Settings { moue: env!("CARGO_PKG_VERSION").to_string(), size: job.size, source };
    let (journal, before) = Journal::open(job.folder, settings, job.disk)?;
    let work = Work { job, finder, sources: &sources, squares: &squares, before: &before };
    let journal = Mutex::new(journal);
    let entries: Vec<Mutex<Option<Entry>>> = files.iter().map(|_| Mutex::new(None)).collect();
    let (failure, done_before) = (Mutex::new(None), AtomicUsize::new(0));
    each(files.len(), job.threads, &|n| {
        let finished = work.photo(n).and_then(|(entry, step)| {
            if step == Step::DoneBefore {
                done_before.fetch_add(1, Ordering::Relaxed);
            } else {
                held(&journal).add(&entry)?;
            }
            *held(&entries[n]) = Some(entry);
            done(step);
            Ok(())
        });
        if let Err(error) = finished {
            held(&failure).get_or_insert(error);
        }
        // A disk that is full for one square is full for all.
        held(&failure).is_none() && !job.stop.load(Ordering::Relaxed)
    })?;
    if let Some(error) = held(&failure).take() {
        return Err(error);
    }
    let entries: Vec<Option<Entry>> = entries.iter().map(|entry| held(entry).take()).collect();
    let mut report = report(job, &entries);
    report.done_before = done_before.into_inner();
    if report.not_begun > 0 {
        return Ok(report);
    }
    write_skipped(job, &report)?;
    if report.squares > 0 {
        write_manifest(job, &entries)?;
    }
    let journal = journal.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    journal.finish(&entries.into_iter().flatten().collect::<Vec<_>>(), job.disk)?;
    if report.squares == 0 { Err(nothing(job, &report)) } else { Ok(report) }
}

/// What is behind a lock, whatever became of another thread.
fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Calls `work` with 0 to `count` - 1, begun in this order, until it returns false.
///
/// Each thread is a pool of rayon's by itself: a photo is the work of one thread, so none waits for another, and none
/// begins a second photo in the middle of one.
fn each(count: usize, threads: usize, work: &(dyn Fn(usize) -> bool + Sync)) -> Result<()> {
    let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pools = (0..threads.clamp(1, count.max(1))).map(pool).collect::<Result<Vec<_>, _>>();
    let pools = pools.map_err(|error| {
        Error::device(format!("the threads cannot be started ({error})"), "ask for fewer with --threads")
    })?;
    let next = AtomicUsize::new(0);
    let next = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&n| n < count);
    let all = || while next().is_some_and(work) {};
    std::thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| pool.install(all));
        }
    });
    Ok(())
}

/// What the threads share.
struct Work<'a> {
    job: &'a Job<'a>,
    finder: &'a Finder,
    sources: &'a [String],
    squares: &'a [String],
    before: &'a BTreeMap<String, Entry>,
}

impl Work<'_> {
    /// Does photo number `n`, unless that was done.
    fn photo(&self, n: usize) -> Result<(Entry, Step)> {
        let file = &self.job.listing.samples[n].file;
        let (source, square) = (self.sources[n].clone(), self.squares[n].clone());
        let path = self.job.folder.join(&square);
        // Taken first: a file that changes while it is read is another file next time.
        let stamp = Stamp::of(file);
        let before = self.before.get(&square);
        if let Some(entry) =
            before.filter(|entry| entry.source == source && stamp.is_some() && entry.stamp == stamp)
        {
            let there = match entry.outcome {
                Outcome::Square { bytes, .. } => fs::metadata(&path).is_ok_and(|file| file.len() == bytes),
                Outcome::Skipped { .. } => true,
            };
            if there {
                return Ok((entry.clone(), Step::DoneBefore));
            }
        }
        let (stamp, outcome) = match Cut::of(file, self.finder, self.job.size) {
            Ok(cut) => (stamp, cut.write(&path, self.job.disk)?),
            Err(error) => {
                // A square of what this file was before would be one of nothing.
                if before.is_some_and(|entry| matches!(entry.outcome, Outcome::Square { .. })) {
                    let _ = fs::remove_file(&path);
                }
                // What could not be read now may be readable next time, though the file is the same.
                let stamp = stamp.filter(|_| !matches!(error, Error::Read { .. }));
                (stamp, Outcome::Skipped { reason: reason(&error) })
            }
        };
        let step = if matches!(outcome, Outcome::Square { .. }) { Step::Square } else { Step::Skipped };
        Ok((Entry { source, square, stamp, outcome }, step))
    }
}

/// A face cut out.
struct Cut {
    square: RgbImage,
    /// How many faces the photo shows.
    faces: usize,
    /// The side of the square in the photo's pixels.
    side: f64,
}

impl Cut {
    /// The largest face of a photo as a square of `size` pixels.
    fn of(file: &Path, finder: &Finder, size: u32) -> Result<Self> {
        let (upright, _) = Photo::read(file)?.upright(u32::MAX);
        let faces = finder.find(&upright);
        let hint = "use a photo that shows the whole face";
        let Some(face) = faces.first() else {
            return Err(Error::photo(file, "no face is found", hint));
        };
        if !face.is_whole(upright.width(), upright.height()) {
            return Err(Error::photo(file, "the face's eyes or mouth lie outside the picture", hint));
        }
        let square = face.square();
        Ok(Self { square: square.crop(&upright, size), faces: faces.len(), side: square.side() })
    }

    fn write(&self, path: &Path, disk: &dyn Disk) -> Result<Outcome> {
        let mut bytes = Vec::new();
        images::encode_png(&self.square, &mut bytes).map_err(Error::write(path))?;
        create_folder(path.parent().unwrap_or(Path::new("")))?;
        write_whole(disk, path, |output| output.write_all(&bytes))?;
        Ok(Outcome::Square { bytes: bytes.len() as u64, faces: self.faces, side: self.side.round() as u32 })
    }
}

/// Why a photo has no square, without its name.
fn reason(error: &Error) -> String {
    match error {
        Error::Photo { problem, .. } | Error::Image { problem, .. } => problem.clone(),
        Error::Read { source, .. } => format!("the file cannot be read ({source})"),
        other => other.to_string(),
    }
}

fn report(job: &Job<'_>, entries: &[Option<Entry>]) -> Report {
    let mut report = Report::default();
    let (mut people, mut expressions) = (BTreeSet::new(), BTreeSet::new());
    for (sample, entry) in job.listing.samples.iter().zip(entries) {
        match entry.as_ref().map(|entry| (entry, &entry.outcome)) {
            None => report.not_begun += 1,
            Some((entry, Outcome::Skipped { reason })) => {
                report.skipped.push((entry.source.clone(), reason.clone()));
            }
            Some((_, &Outcome::Square { faces, side, .. })) => {
                report.squares += 1;
                report.several_faces += usize::from(faces > 1);
                report.enlarged += usize::from(side < job.size);
                people.extend(&sample.identity);
                expressions.insert(sample.expression);
            }
        }
    }
    (report.people, report.expressions) = (people.len(), expressions.len());
    let refused: Vec<&Path> = job.listing.refused.iter().map(|(file, _)| file.as_path()).collect();
    let (names, _) = square_names(&job.listing.root, &refused);
    let reasons = job.listing.refused.iter().map(|(_, reason)| reason.clone());
    report.skipped.extend(names.into_iter().zip(reasons));
    report
}

fn write_manifest(job: &Job<'_>, entries: &[Option<Entry>]) -> Result<()> {
    let columns = &job.listing.columns;
    let header =
        ["file", "identity", "expression", "gaze"].into_iter().chain(columns.iter().map(String::as_str));
    let mut rows = vec![header.collect::<Vec<_>>()];
    for (sample, entry) in job.listing.samples.iter().zip(entries) {
        let Some(Entry { square, outcome: Outcome::Square { .. }, .. }) = entry else { continue };
        let mut row = vec![
            square.as_str(),
            sample.identity.as_deref().unwrap_or_default(),
            sample.expression.name(),
            sample.gaze.as_deref().unwrap_or_default(),
        ];
        row.extend(columns.iter().map(|column| sample.extra.get(column).map_or("", String::as_str)));
        rows.push(row);
    }
    write_table(job, MANIFEST, &rows)
}

fn write_skipped(job: &Job<'_>, report: &Report) -> Result<()> {
    let rows = report.skipped.iter().map(|(file, reason)| vec![file.as_str(), reason.as_str()]);
    write_table(job, SKIPPED, &std::iter::once(vec!["file", "reason"]).chain(rows).collect::<Vec<_>>())
}

fn write_table(job: &Job<'_>, name: &str, rows: &[Vec<&str>]) -> Result<()> {
    let path = job.folder.join(name);
    let mut table = csv::Writer::from_writer(Vec::new());
    rows.iter()
        .try_for_each(|row| table.write_record(row))
        .map_err(|error| Error::write(&path)(error.into()))?;
    let bytes = table.into_inner().map_err(|error| Error::write(&path)(error.into_error()))?;
    write_if_new(job.disk, &path, &bytes)
}

fn nothing(job: &Job<'_>, report: &Report) -> Error {
    let reasons: Vec<_> =
        report.reasons().iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
    let problem =
        format!("no face could be cut out of its {} photos ({})", report.skipped.len(), reasons.join("; "));
    let table = job.folder.join(SKIPPED);
    let hint = format!("use photos that show a whole face; {} has the reason of each", table.display());
    Error::data(&job.listing.path, problem, hint)
}

/// Squares inside of the source would be photos of it next time.
fn refuse_inside(job: &Job<'_>) -> Result<()> {
    let source = &job.listing.path;
    let Ok(source) = source.canonicalize() else { return Ok(()) };
    if source.is_dir() && resolved(job.folder).starts_with(&source) {
        let problem = "the results would lie inside of the source, and be photos of it next time";
        return Err(Error::data(job.folder, problem, "name a folder elsewhere with --out"));
    }
    Ok(())
}

/// A table of squares that lie in the folder itself would cut each out of itself, smaller each time.
fn refuse_own_squares(job: &Job<'_>, squares: &[String]) -> Result<()> {
    let places: BTreeSet<PathBuf> =
        squares.iter().filter_map(|square| job.folder.join(square).canonicalize().ok()).collect();
    let is_own =
        |sample: &&crate::data::Sample| sample.file.canonicalize().is_ok_and(|file| places.contains(&file));
    match job.listing.samples.iter().find(is_own) {
        Some(sample) => Err(Error::data(
            &sample.file,
            "this photo would be overwritten by its own square",
            "name a folder elsewhere with --out",
        )),
        None => Ok(()),
    }
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let existing = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match existing {
        Some((above, real)) => path.strip_prefix(above).map_or_else(|_| path.clone(), |rest| real.join(rest)),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::device::device;
    use crate::base::file::{FileSystem, Output};
    use crate::data::sources::Layout;

    /// A source with a face, one that is cut off by the picture's edge, an empty wall, and a text called an image.
    fn source(folder: &Path) -> Listing {
        let faces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/faces");
        let face = images::read(&faces.join("006/006_happy_frontal.jpg")).unwrap();
        let source = folder.join("source");
        for name in ["happy/a.png", "happy/half.png", "sad/wall.png"] {
            let path = source.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let image = match name {
                "happy/a.png" => face.clone(),
                "happy/half.png" => image::imageops::crop_imm(&face, 0, 0, 256, 160).to_image(),
                _ => RgbImage::from_pixel(200, 200, image::Rgb([120, 130, 140])),
            };
            images::write_png(&FileSystem, &path, &image).unwrap();
        }
        fs::write(source.join("sad/text.png"), "no image").unwrap();
        Listing::open(&source, Some(Layout::Folders)).unwrap()
    }

    fn finder() -> Finder {
        Finder::new(&device("cpu").unwrap())
    }

    fn run(listing: &Listing, folder: &Path, disk: &dyn Disk) -> (Result<Report>, Vec<Step>) {
        let (steps, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let job = Job { listing, folder, size: 64, threads: 2, disk, stop: &stop };
        let report = prepare(&job, &finder(), &|step| steps.lock().unwrap().push(step));
        (report, steps.into_inner().unwrap())
    }

    #[test]
    fn what_has_no_whole_face_is_skipped_with_its_reason_and_not_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let (listing, out) = (source(folder.path()), folder.path().join("out"));
        let report = run(&listing, &out, &FileSystem).0.unwrap();
        let skipped: Vec<_> =
            report.skipped.iter().map(|(file, why)| (file.as_str(), why.as_str())).collect();
        assert_eq!(
            skipped,
            [
                ("happy/half.png", "the face's eyes or mouth lie outside the picture"),
                ("sad/text.png", "this is no image that can be read"),
                ("sad/wall.png", "no face is found"),
            ]
        );
        assert_eq!((report.squares, report.expressions, report.people, report.enlarged), (1, 1, 0, 0));
        let manifest = fs::read_to_string(out.join(MANIFEST)).unwrap();
        assert_eq!(manifest, "file,identity,expression,gaze\nhappy/a.png,,happy,\n");

        let (again, steps) = run(&listing, &out, &FileSystem);
        assert_eq!(again.unwrap(), Report { done_before: 4, ..report.clone() });
        assert_eq!(steps, [Step::DoneBefore; 4]);

        // A square that is lost is made again; one whose photo is damaged meanwhile goes.
        fs::remove_file(out.join("happy/a.png")).unwrap();
        assert_eq!(run(&listing, &out, &FileSystem).0.unwrap().done_before, 3);
        fs::write(&listing.samples[0].file, "damaged").unwrap();
        let error = run(&listing, &out, &FileSystem).0.unwrap_err();
        assert!(
            error.to_string().contains("no face could be cut out of its 4 photos (2: this is no"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("skipped.csv"), "{error:?}");
        assert!(!out.join("happy/a.png").exists());
    }

    /// A disk on which squares do not fit.
    struct Full;

    impl Disk for Full {
        fn create(&self, path: &Path) -> std::io::Result<Box<dyn Output>> {
            let fits = !path.to_string_lossy().ends_with(".png.partial");
            if fits { FileSystem.create(path) } else { Err(std::io::ErrorKind::StorageFull.into()) }
        }
    }

    #[test]
    fn a_full_disk_ends_it_and_nothing_is_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let (listing, out) = (source(folder.path()), folder.path().join("out"));
        let error = run(&listing, &out, &Full).0.unwrap_err();
        assert!(error.hint().unwrap().contains("free some space"), "{error:?}");
        assert!(!out.join(MANIFEST).exists() && !out.join("happy/a.png").exists());
        assert_eq!(run(&listing, &out, &FileSystem).0.unwrap().squares, 1);
    }

    #[test]
    fn results_inside_of_the_source_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let listing = source(folder.path());
        for out in ["source", "source/new/out", "source/../source/out"] {
            let error = run(&listing, &folder.path().join(out), &FileSystem).0.unwrap_err();
            assert!(error.to_string().contains("inside of the source"), "{error}");
        }
        assert!(!folder.path().join("source/new").exists() && !folder.path().join("source/out").exists());
    }

    #[test]
    fn reasons_are_counted_without_their_details() {
        let skipped = ["no face is found", "damaged (at byte 1)", "damaged (at byte 2)"];
        let skipped = skipped.map(|reason| (String::new(), reason.to_string())).to_vec();
        let report = Report { skipped, ..Report::default() };
        assert_eq!(report.reasons(), [("damaged", 2), ("no face is found", 1)]);
    }
}
