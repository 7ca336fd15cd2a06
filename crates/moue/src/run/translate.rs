//! Photos in, photos out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor};
use image::RgbImage;
use rayon::prelude::*;

use super::model::Model;
use super::outputs::{Claims, result_names};
use super::pictures::{animation, cell, edit_pictures, same_size};
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
use crate::base::file::{Disk, create_folder, write_whole};
use crate::base::image as images;
use crate::photo::align::FaceSquare;
use crate::photo::animation::{check_name, write_animation};
use crate::photo::apply::{Patch, SquareEdit};
use crate::photo::file::Photo;
use crate::photo::find::{Face, Finder};
use crate::photo::pixels::Pixels;
use crate::photo::write::{PhotoFormat, WriteOptions};

/// Longer side of the copy of a photo that faces are looked for in, in pixels.
const SEARCHED: u32 = 2048;

/// Side of a photo's face squares as people see them, in sheets and as files, in pixels; squares given keep their own.
const CELL: u32 = 256;

/// The name of a folder's table.
const MANIFEST: &str = "manifest.csv";

/// Which of a photo's faces are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaceChoice {
    /// The largest.
    Largest,
    /// All of them.
    All,
    /// This one, counted from 1 by size.
    Number(usize),
}

/// What to translate, to what, and where to put it.
pub struct Job<'a> {
    /// Photos, or face squares.
    pub inputs: Vec<PathBuf>,
    /// Whether the inputs are face squares, framed as training data is: then no face is looked for.
    pub aligned: bool,
    /// Which faces of a photo are changed.
    pub faces: FaceChoice,
    /// The expressions to give each input.
    pub targets: Vec<Expression>,
    /// How strong the edit is: 0 is none, 1 the method's own, above 1 exaggerates.
    pub strength: f32,
    /// Folder of the results, if they are wanted.
    pub folder: Option<PathBuf>,
    /// The results' format.
    pub format: PhotoFormat,
    /// How the results are encoded and marked.
    pub options: WriteOptions,
    /// Who each input shows, where that is known; not empty asks for a manifest of the results.
    pub identities: Option<BTreeMap<PathBuf, String>>,
    /// A sheet of all of them: a row a face, the face itself first.
    pub sheet: Option<PathBuf>,
    /// A loop from the input to each expression and back; of one input alone.
    pub animation: Option<PathBuf>,
    /// Folder for the face squares found.
    pub crops: Option<PathBuf>,
    /// Folder for pictures of the edits.
    pub edits: Option<PathBuf>,
    /// Faces that go through the network together, at least 1.
    pub batch_size: usize,
    /// Where files are created.
    pub disk: &'a dyn Disk,
    /// Once true, it ends after the inputs at hand.
    pub stop: &'a AtomicBool,
}

/// Translates every input to every target and tells `done` of each input that is finished, with its results' paths, or
/// why there are none.
///
/// # Errors
/// Before anything is read, [`Error::Config`] for a target that the model cannot give or when a result would overwrite
/// an input, [`Error::Photo`] for a name whose
/// format is unknown, [`Error::Data`] for a foreign table in the results' folder; then [`Error::Write`] and what `done`
/// returns. What was written before stays.
pub fn translate(
    model: &Model,
    finder: &Finder,
    job: &Job<'_>,
    device: &Device,
    mut done: impl FnMut(&Path, Result<Vec<PathBuf>>) -> Result<()>,
) -> Result<()> {
    model.check_targets(&job.targets)?;
    let names = result_names(&job.inputs);
    check(job, &names)?;
    let claims = Claims::new(&job.inputs);
    // One input at a time for all expressions; several where one expression would leave the network idle.
    let together = (job.batch_size / job.targets.len().max(1)).clamp(1, rayon::current_num_threads().max(2));
    let (mut rows, mut manifest) = (Vec::new(), Vec::new());
    let inputs: Vec<Input<'_>> =
        job.inputs.iter().zip(&names).map(|(path, name)| Input { path, name }).collect();
    let mut all = || -> Result<()> {
        let mut chunks = inputs.chunks(together);
        let mut next = || chunks.next().filter(|_| !job.stop.load(Ordering::Relaxed));
        let edit = |inputs| edit_together(model, finder, inputs, job, device);
        let mut edited = next().map(edit);
        while let Some(inputs) = edited {
            let mut finished = Vec::new();
            // Results are encoded by one thread each, and few at a time: the next inputs keep the others busy.
            edited = rayon::in_place_scope(|scope| {
                scope.spawn(|_| finished = finish_together(inputs, job, &claims));
                next().map(edit)
            });
            for (Input { path: input, name }, finished) in finished {
                let written = match finished {
                    Ok(finished) => {
                        rows.extend(finished.rows);
                        Ok(finished.written)
                    }
                    Err(error) if ends_all(&error) => return Err(error),
                    Err(error) => Err(error),
                };
                if let (Some(identities), Ok(written)) = (&job.identities, &written) {
                    let identity = identities.get(*input).unwrap_or(name);
                    let rows = job.targets.iter().zip(written);
                    manifest
                        .extend(rows.map(|(&target, path)| (path.clone(), *input, identity.clone(), target)));
                }
                done(input, written)?;
            }
        }
        Ok(())
    };
    let ended = all();
    // What was done is in the table, whatever ended it.
    if let (Some(folder), false) = (&job.folder, manifest.is_empty()) {
        write_manifest(folder, &manifest, &model.name(), job)?;
    }
    ended?;
    match &job.sheet {
        Some(path) if !rows.is_empty() => write_sheet(path, images::sheet(&same_size(rows)), job),
        _ => Ok(()),
    }
}

/// A file to translate, and what its results are called.
struct Input<'a> {
    path: &'a PathBuf,
    name: &'a String,
}

/// A photo with the edits of its faces to all targets, face by face.
type Edited = (Sitter, Vec<Vec<SquareEdit>>);

/// Reads some inputs and sends all their faces through the network together.
fn edit_together<'a>(
    model: &Model,
    finder: &Finder,
    inputs: &'a [Input<'a>],
    job: &Job<'_>,
    device: &Device,
) -> Vec<(&'a Input<'a>, Result<Edited>)> {
    let side = model.card.method.image_size() as u32;
    let sitters: Vec<Result<Sitter>> =
        inputs.par_iter().map(|input| Sitter::of(input.path, finder, job, side)).collect();
    let crops = sitters.iter().flatten().flat_map(|sitter| &sitter.crops).collect::<Vec<_>>();
    let mut edits = edits(model, &crops, job, device).into_iter();
    let edited = sitters.into_iter().map(|sitter| {
        let sitter = sitter?;
        let edits = edits.by_ref().take(sitter.crops.len()).collect();
        Ok((sitter, edits))
    });
    inputs.iter().zip(edited).collect()
}

/// Writes what is wanted of each input.
fn finish_together<'a>(
    inputs: Vec<(&'a Input<'a>, Result<Edited>)>,
    job: &Job<'_>,
    claims: &Claims,
) -> Vec<(&'a Input<'a>, Result<Finished>)> {
    let finish = |(input, edited): (&'a Input<'a>, Result<Edited>)| {
        let finished = edited.and_then(|(sitter, edits)| sitter.finish(&edits, job, input.name, claims));
        (input, finished)
    };
    inputs.into_par_iter().map(finish).collect()
}

/// A disk that is full or closed for one input is so for all; a name that is too long is that input's own.
fn ends_all(error: &Error) -> bool {
    use std::io::ErrorKind::{InvalidFilename, InvalidInput};
    matches!(error, Error::Write { source, .. } if !matches!(source.kind(), InvalidFilename | InvalidInput))
}

/// A sheet in the format that its name asks for, PNG where it asks for none, marked as the results are.
fn write_sheet(path: &Path, sheet: RgbImage, job: &Job<'_>) -> Result<()> {
    create_folder_above(path)?;
    let photo = Photo::from_pixels(Pixels::from(sheet));
    photo.write(job.disk, path, photo.pixels(), sheet_format(path)?, &job.options)
}

/// Folders are made when there is something to put in: an input of no use leaves none behind.
fn create_folder_above(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), create_folder)
}

fn sheet_format(path: &Path) -> Result<PhotoFormat> {
    if path.extension().is_none() { Ok(PhotoFormat::Png) } else { PhotoFormat::from_path(path) }
}

/// The faces found in a photo, the largest first, in the coordinates of the upright photo.
///
/// # Errors
/// As [`Photo::read`].
pub fn faces_of(path: &Path, finder: &Finder) -> Result<Vec<Face>> {
    let (upright, scale) = Photo::read(path)?.upright(SEARCHED);
    Ok(finder.find(&upright).into_iter().map(|face| face.scaled(scale)).collect())
}

/// Refuses what would be lost, before anything is read.
fn check(job: &Job<'_>, names: &[String]) -> Result<()> {
    if let (Some(path), true) = (&job.animation, job.inputs.len() != 1) {
        let problem = format!("{} cannot show {} inputs", path.display(), job.inputs.len());
        return Err(Error::config(problem, "name one input with --animate"));
    }
    job.sheet.as_deref().map(sheet_format).transpose()?;
    job.animation.as_deref().map(check_name).transpose()?;
    let claims = Claims::new(&job.inputs);
    let results = job.folder.iter().flat_map(|folder| names.iter().flat_map(|name| job.paths(folder, name)));
    let others = [&job.sheet, &job.animation].into_iter().flatten().cloned();
    let manifest = job.identities.as_ref().and(job.folder.as_ref()).map(|folder| folder.join(MANIFEST));
    manifest.as_deref().map(earlier_rows).transpose()?;
    results.chain(others).chain(manifest).try_for_each(|result| claims.claim(&result))
}

impl Job<'_> {
    /// Where an input's results go, target by target.
    fn paths(&self, folder: &Path, name: &str) -> Vec<PathBuf> {
        let extension = self.format.extension();
        self.targets.iter().map(|target| folder.join(format!("{name}_{target}.{extension}"))).collect()
    }
}

/// The edits of some faces to all targets, face by face.
fn edits(model: &Model, crops: &[&RgbImage], job: &Job<'_>, device: &Device) -> Vec<Vec<SquareEdit>> {
    let targets = &job.targets;
    let pairs: Vec<(usize, Expression)> =
        (0..crops.len()).flat_map(|n| targets.iter().map(move |&target| (n, target))).collect();
    let mut edits = vec![Vec::new(); crops.len()];
    for pairs in pairs.chunks(job.batch_size.max(1)) {
        let (numbers, targets): (Vec<usize>, Vec<Expression>) = pairs.iter().copied().unzip();
        let batch: Vec<RgbImage> = numbers.iter().map(|&n| crops[n].clone()).collect();
        let batch: Tensor<4> = images::to_tensor(&batch, device);
        let edit = model.translator.edit(batch.clone(), &targets);
        for (n, edit) in numbers.into_iter().zip(SquareEdit::of_batch(edit, &batch)) {
            edits[n].push(edit);
        }
    }
    edits
}

/// A photo with the faces to change.
struct Sitter {
    photo: Photo,
    /// The faces, in the photo's stored coordinates.
    squares: Vec<FaceSquare>,
    /// What the network sees of each.
    crops: Vec<RgbImage>,
    /// The same in the size that people see, where they are to see them.
    cells: Vec<RgbImage>,
}

/// What came of an input.
struct Finished {
    written: Vec<PathBuf>,
    rows: Vec<Vec<RgbImage>>,
}

impl Sitter {
    /// Reads a photo and finds the faces to change.
    fn of(input: &Path, finder: &Finder, job: &Job<'_>, side: u32) -> Result<Self> {
        let photo = Photo::read(input)?;
        let (upright, scale) = photo.upright(if job.aligned { u32::MAX } else { SEARCHED });
        // In the coordinates of the upright copy.
        let squares: Vec<FaceSquare> = if job.aligned {
            vec![FaceSquare::middle_of(upright.dimensions())]
        } else {
            let faces = finder.find(&upright);
            chosen(input, faces, job.faces, upright.dimensions())?.iter().map(Face::square).collect()
        };
        let crop = |side: u32| squares.iter().map(|square| square.crop(&upright, side)).collect::<Vec<_>>();
        let crops = crop(side);
        let seen = job.sheet.is_some() || job.crops.is_some();
        let cell = if job.aligned { upright.width().min(upright.height()) } else { CELL };
        let cells = if seen { crop(cell) } else { Vec::new() };
        let to_stored = |point: [f64; 2]| photo.stored_from_upright(point.map(|value| value * scale));
        let squares = squares.iter().map(|square| square.map(to_stored)).collect();
        Ok(Self { photo, squares, crops, cells })
    }

    /// Writes all that is wanted of an input; `edits` are those of its faces to all targets.
    fn finish(
        &self,
        edits: &[Vec<SquareEdit>],
        job: &Job<'_>,
        name: &str,
        claims: &Claims,
    ) -> Result<Finished> {
        let several = self.squares.len() > 1;
        let name_of = |face: usize| {
            if several { format!("{name}_face{}", face + 1) } else { name.to_string() }
        };
        let write_png = |path: PathBuf, image: &RgbImage| {
            claims.claim(&path)?;
            create_folder_above(&path)?;
            images::write_png(job.disk, &path, image)
        };
        if let Some(folder) = &job.crops {
            for (face, square) in self.cells.iter().enumerate() {
                write_png(folder.join(format!("{}.png", name_of(face))), square)?;
            }
        }
        if let Some(folder) = &job.edits {
            for (face, edits) in edits.iter().enumerate() {
                for (target, edit) in job.targets.iter().zip(edits) {
                    for (what, picture) in edit_pictures(edit, CELL) {
                        let name = format!("{}_{target}_{what}.png", name_of(face));
                        write_png(folder.join(name), &picture)?;
                    }
                }
            }
        }
        let written = match &job.folder {
            Some(folder) => self.write(edits, job, job.paths(folder, name), claims)?,
            None => Vec::new(),
        };
        if let Some(path) = &job.animation {
            let (frames, milliseconds) = animation(&self.photo, &self.squares, edits, job.strength);
            create_folder_above(path)?;
            write_animation(job.disk, path, &frames, &milliseconds, job.options.mark.as_deref())?;
        }
        let row = |(square, edits): (&RgbImage, &Vec<SquareEdit>)| {
            let results = edits.iter().map(|edit| cell(square, edit, job.strength));
            std::iter::once(square.clone()).chain(results).collect()
        };
        let rows = match job.sheet {
            Some(_) => self.cells.iter().zip(edits).map(row).collect(),
            None => Vec::new(),
        };
        Ok(Finished { written, rows })
    }

    /// Writes the photo with each of the target expressions.
    fn write(
        &self,
        edits: &[Vec<SquareEdit>],
        job: &Job<'_>,
        paths: Vec<PathBuf>,
        claims: &Claims,
    ) -> Result<Vec<PathBuf>> {
        let mut pixels = self.photo.pixels().clone();
        for (n, path) in paths.iter().enumerate() {
            let mut patches = Vec::new();
            for (square, edits) in self.squares.iter().zip(edits) {
                let mut patch = Patch::new(&pixels, square, &edits[n], job.strength);
                patch.swap(&mut pixels);
                patches.push(patch);
            }
            claims.claim(path)?;
            create_folder_above(path)?;
            self.photo.write(job.disk, path, &pixels, job.format, &job.options)?;
            // Squares may overlap: what was changed last is restored first.
            patches.iter_mut().rev().for_each(|patch| patch.swap(&mut pixels));
        }
        Ok(paths)
    }
}

/// The faces that were asked for, of those found.
fn chosen(input: &Path, faces: Vec<Face>, choice: FaceChoice, size: (u32, u32)) -> Result<Vec<Face>> {
    let found = faces.len();
    if found == 0 {
        return Err(Error::photo(
            input,
            "no face is found in it",
            "use a photo that shows both eyes, at least a dozen pixels apart, or --aligned for a face square",
        ));
    }
    let is_whole = |face: &Face| face.is_whole(size.0, size.1);
    let cut_off = || {
        let hint = "use a photo that shows the whole face, or choose another face with --face";
        Error::photo(input, "the face's eyes or mouth lie outside the picture", hint)
    };
    match choice {
        FaceChoice::Largest => {
            faces.into_iter().next().filter(is_whole).map(|face| vec![face]).ok_or_else(cut_off)
        }
        FaceChoice::All => {
            let whole: Vec<Face> = faces.into_iter().filter(is_whole).collect();
            if whole.is_empty() { Err(cut_off()) } else { Ok(whole) }
        }
        FaceChoice::Number(number) => match faces.into_iter().nth(number.wrapping_sub(1)) {
            Some(face) if is_whole(&face) => Ok(vec![face]),
            Some(_) => Err(cut_off()),
            None => {
                let problem = format!("it shows {found} face{}, there is no face {number}", plural(found));
                Err(Error::photo(input, problem, "--faces prints the faces that are found"))
            }
        },
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The columns of a table of results.
const COLUMNS: [&str; 6] = ["file", "source", "identity", "expression", "model", "strength"];

/// The rows of the table that earlier translations left in the folder.
///
/// # Errors
/// [`Error::Data`] when the table there is another one, such as the labels of a data set.
fn earlier_rows(path: &Path) -> Result<Vec<csv::StringRecord>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(Vec::new()) };
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let rows = match table.headers() {
        Ok(headers) if headers.iter().eq(COLUMNS) => table.records().collect(),
        _ => Ok(Vec::new()),
    };
    rows.ok().filter(|rows: &Vec<_>| !rows.is_empty() || text.trim().is_empty()).ok_or_else(|| {
        let problem = "a table that translate did not write would be overwritten";
        Error::data(path, problem, "name another folder with --out")
    })
}

/// The table of the results, which makes their folder a data set. Rows of earlier results stay.
fn write_manifest(
    folder: &Path,
    results: &[(PathBuf, &PathBuf, String, Expression)],
    model: &str,
    job: &Job<'_>,
) -> Result<()> {
    let (path, strength) = (folder.join(MANIFEST), job.strength.to_string());
    let new: Vec<csv::StringRecord> = results
        .iter()
        .map(|(path, source, identity, expression)| {
            let file = path.strip_prefix(folder).unwrap_or(path).display().to_string();
            let source = source.display().to_string();
            [&file, &source, identity, expression.name(), model, &strength].iter().collect()
        })
        .collect();
    let files: BTreeSet<&str> = new.iter().filter_map(|row| row.get(0)).collect();
    let mut rows = earlier_rows(&path)?;
    rows.retain(|row| row.get(0).is_some_and(|file| !files.contains(file) && folder.join(file).exists()));
    write_whole(job.disk, &path, |output| {
        let mut table = csv::Writer::from_writer(output);
        table.write_record(COLUMNS)?;
        rows.iter().chain(&new).try_for_each(|row| table.write_record(row))?;
        table.flush()
    })
}
