//! The Radboud Faces Database as published: files anywhere below a folder, whose names say everything.
//!
//! `Rafd090_01_Caucasian_female_angry_frontal.jpg` is camera angle, model number, ethnicity, sex, expression and gaze.
//! Langner et al. 2010, Presentation and validation of the Radboud Faces Database, Cognition and Emotion 24(8).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::folders::below;
use super::{Layout, Listing, Sample};
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;

/// What a name looks like, for a hint.
pub(super) const EXAMPLE: &str = "name photos as RaFD does, Rafd090_01_Caucasian_female_angry_frontal.jpg: camera angle, \
     model number, ethnicity, sex, expression and gaze";

/// Camera angles: the right profile, half right, frontal, half left, the left profile.
const ANGLES: [&str; 5] = ["000", "045", "090", "135", "180"];
const FRONTAL: &str = "090";

/// Where the eyes look.
const GAZES: [&str; 3] = ["left", "frontal", "right"];

/// Model numbers go up to this one, and these are not used: 67 people.
const LAST_PERSON: u16 = 73;
const UNUSED: [u16; 6] = [6, 13, 17, 34, 62, 66];

/// The columns that names fill beside expression, identity and gaze.
const COLUMNS: [&str; 3] = ["camera_angle", "ethnicity", "sex"];

/// The frontal photos that Su, Wang and Liu 2022 trained on, as far as a listing has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperSubset {
    /// How many of the [`PaperSubset::COUNT`] are there.
    pub found: usize,
    /// How many photos of the listing are none of them, and were taken out.
    pub left_out: usize,
    /// What is missing, in words, a phrase for each person or for what everybody lacks.
    pub missing: Vec<String>,
}

impl PaperSubset {
    /// 67 people, 8 expressions, 3 gazes.
    pub const COUNT: usize = 1608;

    /// Takes all out of the listing that is not the paper's.
    ///
    /// # Errors
    /// [`Error::Data`] when the listing is not of RaFD's names, or nothing would remain.
    pub fn keep(listing: &mut Listing) -> Result<Self> {
        if listing.layout != Layout::Rafd {
            let hint = "name the folder of RaFD's files and --format rafd, or leave out --subset";
            return Err(Error::data(&listing.path, "only RaFD's file names tell the paper's photos", hint));
        }
        let known: BTreeSet<String> = people().map(identity).collect();
        let all = listing.samples.len();
        listing.samples.retain(|sample| {
            let named = sample.identity.as_ref().is_some_and(|person| known.contains(person));
            named && sample.extra.get(COLUMNS[0]).is_some_and(|angle| angle == FRONTAL)
        });
        let found = listing.samples.len();
        if found == 0 {
            let problem = format!(
                "none of its {all} photos is a frontal one of RaFD's 67 people, Rafd090_01_… to Rafd090_73_…"
            );
            return Err(Error::data(&listing.path, problem, "leave out --subset to prepare all of them"));
        }
        Ok(Self { found, left_out: all - found, missing: missing(&listing.samples) })
    }
}

/// Lists the files below a folder whose names are RaFD's; any case will do. A second file of the same name is refused.
///
/// # Errors
/// [`Error::Read`] for a folder that cannot be read; [`Error::Data`] when no name is RaFD's.
pub(super) fn read(root: &Path) -> Result<Listing> {
    let files = below(root)?;
    let mut listing = Listing::of(Layout::Rafd, root, Vec::new());
    listing.columns = COLUMNS.map(String::from).to_vec();
    listing.others = files.others;
    let mut seen: HashMap<Name, PathBuf> = HashMap::new();
    let images = files.images.len();
    for file in files.images {
        match Name::parse(&file) {
            None => listing.others += 1,
            Some(Err(problem)) => listing.refused.push((file, problem)),
            Some(Ok(name)) => {
                if let Some(first) = seen.get(&name) {
                    let first = first.strip_prefix(root).unwrap_or(first).display();
                    listing.refused.push((file, format!("its name is that of another file ({first})")));
                } else {
                    listing.samples.push(name.sample(file.clone()));
                    seen.insert(name, file);
                }
            }
        }
    }
    if !listing.samples.is_empty() {
        return Ok(listing);
    }
    let problem = match listing.refused.first() {
        _ if images == 0 => "there is no image in this folder or below".to_string(),
        Some((file, problem)) => format!("no name here is RaFD's; of {}, {problem}", super::name_of(file)?),
        None => format!("none of its {images} images is named as RaFD's are"),
    };
    Err(Error::data(root, problem, EXAMPLE))
}

/// Whether a file is called as RaFD's are.
pub(super) fn is_name(file: &Path) -> bool {
    matches!(Name::parse(file), Some(Ok(_)))
}

/// What a file's name says, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    angle: &'static str,
    person: u16,
    ethnicity: String,
    sex: &'static str,
    expression: Expression,
    gaze: &'static str,
}

impl Name {
    /// `None` for a name of another kind; a problem for one that begins as RaFD's do.
    fn parse(file: &Path) -> Option<Result<Self, String>> {
        let stem = file.file_stem()?.to_string_lossy().to_ascii_lowercase();
        let rest = stem.strip_prefix("rafd")?;
        let fields: Vec<&str> = rest.split('_').collect();
        let [angle, person, ethnicity, sex, expression, gaze] = fields[..] else {
            return Some(Err(format!("its name has {} parts instead of six", fields.len())));
        };
        let one_of = |known: &[&'static str], what: &str, text: &str| {
            let found = known.iter().copied().find(|known| *known == text);
            found.ok_or_else(|| format!("'{text}' in its name is no {what}: {}", known.join(", ")))
        };
        let name = || {
            Ok(Self {
                angle: one_of(&ANGLES, "camera angle", angle)?,
                person: person.parse().map_err(|_| format!("'{person}' in its name is no model number"))?,
                ethnicity: ethnicity.to_string(),
                sex: one_of(&["female", "male"], "sex", sex)?,
                expression: expression.parse().map_err(|_| {
                    format!("'{expression}' in its name is no expression: {}", super::known_names())
                })?,
                gaze: one_of(&GAZES, "gaze", gaze)?,
            })
        };
        Some(name())
    }

    fn sample(&self, file: PathBuf) -> Sample {
        let values = [self.angle, &self.ethnicity, self.sex];
        let pairs = COLUMNS.iter().zip(values).map(|(column, value)| (column.to_string(), value.to_string()));
        Sample {
            file,
            expression: self.expression,
            identity: Some(identity(self.person)),
            gaze: Some(self.gaze.to_string()),
            extra: pairs.collect(),
        }
    }
}

/// A model number as RaFD writes it.
fn identity(person: u16) -> String {
    format!("{person:02}")
}

fn people() -> impl Iterator<Item = u16> {
    (1..=LAST_PERSON).filter(|person| !UNUSED.contains(person))
}

/// What of the paper's photos is missing, in words.
fn missing(samples: &[Sample]) -> Vec<String> {
    let mut there: BTreeMap<&str, BTreeSet<(Expression, &str)>> = BTreeMap::new();
    for sample in samples {
        if let (Some(person), Some(gaze)) = (&sample.identity, &sample.gaze) {
            there.entry(person).or_default().insert((sample.expression, gaze));
        }
    }
    let any = |so: &dyn Fn(&(Expression, &str)) -> bool| there.values().flatten().any(so);
    let expressions: Vec<_> = Expression::ALL.into_iter().filter(|e| any(&|photo| photo.0 == *e)).collect();
    let gazes: Vec<_> = GAZES.into_iter().filter(|gaze| any(&|photo| photo.1 == *gaze)).collect();
    let mut phrases = Vec::new();
    let absent: Vec<String> = people().map(identity).filter(|p| !there.contains_key(p.as_str())).collect();
    if !absent.is_empty() {
        phrases.push(format!("every photo of {} ({})", count(absent.len()), absent.join(", ")));
    }
    let lacking = Expression::ALL.into_iter().filter(|e| !expressions.contains(e));
    phrases.extend(lacking.map(|expression| format!("{expression} of everybody")));
    let lacking = GAZES.into_iter().filter(|gaze| !gazes.contains(gaze));
    phrases.extend(lacking.map(|gaze| format!("gaze {gaze} of everybody")));
    for (person, photos) in &there {
        let mut lacks = Vec::new();
        for expression in &expressions {
            let missing: Vec<&str> =
                gazes.iter().copied().filter(|gaze| !photos.contains(&(*expression, *gaze))).collect();
            match missing.len() {
                0 => {}
                n if n == gazes.len() => lacks.push(expression.to_string()),
                _ => lacks.push(format!("{expression} (gaze {})", missing.join(", "))),
            }
        }
        if !lacks.is_empty() {
            phrases.push(format!("of person {person}: {}", lacks.join(", ")));
        }
    }
    phrases
}

fn count(people: usize) -> String {
    if people == 1 { "one person".to_string() } else { format!("{people} people") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixtures::write_face;

    fn parse(name: &str) -> Option<Result<Name, String>> {
        Name::parse(Path::new(name))
    }

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| write_face(&folder.path().join(name), 1));
        folder
    }

    #[test]
    fn a_name_says_everything_in_any_case() {
        let name = parse("some/where/Rafd045_07_Kid_female_contemptuous_left.jpg").unwrap().unwrap();
        assert_eq!(name, parse("RAFD045_7_KID_Female_CONTEMPTUOUS_Left.JPEG").unwrap().unwrap());
        let sample = name.sample("a.jpg".into());
        assert_eq!(sample.expression, Expression::Contemptuous);
        assert_eq!((sample.identity.as_deref(), sample.gaze.as_deref()), (Some("07"), Some("left")));
        let extra: Vec<_> = sample.extra.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(extra, [("camera_angle", "045"), ("ethnicity", "kid"), ("sex", "female")]);
        assert_eq!(parse("a/Rafd135_73_Moroccan_male_sad_right.png").unwrap().unwrap().person, 73);
    }

    #[test]
    fn a_name_that_is_nearly_right_is_told_why_it_is_wrong() {
        for (name, problem) in [
            (
                "Rafd090_01_Caucasian_female_hungry_frontal.jpg",
                "'hungry' in its name is no expression: angry",
            ),
            ("Rafd091_01_Caucasian_female_angry_frontal.jpg", "'091' in its name is no camera angle: 000"),
            ("Rafd090_x1_Caucasian_female_angry_frontal.jpg", "'x1' in its name is no model number"),
            ("Rafd090_01_Caucasian_girl_angry_frontal.jpg", "'girl' in its name is no sex: female, male"),
            ("Rafd090_01_Caucasian_female_angry_frontal (1).jpg", "'frontal (1)' in its name is no gaze"),
            ("Rafd090_01_Caucasian_female_angry.jpg", "5 parts instead of six"),
            ("rafd.jpg", "1 parts"),
        ] {
            let error = parse(name).unwrap().unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        for name in ["portrait.jpg", "cropped_Rafd090_01_Caucasian_female_angry_frontal.jpg", ".jpg", ""] {
            assert!(parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn files_lie_anywhere_and_others_are_counted() {
        let folder = folder(&[
            "b/c/Rafd090_01_Caucasian_female_angry_frontal.png",
            "a/rafd000_01_caucasian_female_angry_left.png",
            "c/Rafd090_01_Caucasian_female_angry_frontal.jpg",
            "c/Rafd090_01_Caucasian_female_hungry_frontal.png",
            "c/portrait.png",
        ]);
        std::fs::write(folder.path().join("readme.txt"), "no image").unwrap();
        let listing = Listing::open(folder.path(), None).unwrap();
        let files: Vec<_> = listing.samples.iter().map(|sample| sample.file.file_name().unwrap()).collect();
        assert_eq!(
            files,
            ["rafd000_01_caucasian_female_angry_left.png", "Rafd090_01_Caucasian_female_angry_frontal.png"]
        );
        assert_eq!((listing.others, listing.refused.len()), (2, 2));
        assert!(listing.refused[0].1.contains("another file (b"), "{:?}", listing.refused);
        assert!(listing.refused[1].1.contains("'hungry'"), "{:?}", listing.refused);
    }

    #[test]
    fn a_folder_without_a_right_name_is_refused() {
        for (name, problem) in [
            ("portrait.png", "none of its 1 images"),
            (
                "Rafd090_01_Caucasian_female_hungry_frontal.png",
                "of Rafd090_01_Caucasian_female_hungry_frontal.png, 'hungry'",
            ),
        ] {
            let error = read(folder(&[name]).path()).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
            assert!(error.hint().unwrap().contains("Rafd090_01_Caucasian_female_angry_frontal.jpg"));
        }
    }

    /// All of the paper's photos but those that are left out, and a profile.
    fn listing(left_out: impl Fn(u16, Expression, &str) -> bool) -> Listing {
        let mut listing = Listing::of(Layout::Rafd, Path::new("rafd"), Vec::new());
        for person in people() {
            for expression in Expression::ALL {
                for gaze in GAZES.into_iter().filter(|gaze| !left_out(person, expression, gaze)) {
                    let name = Name {
                        angle: FRONTAL,
                        person,
                        ethnicity: "kid".into(),
                        sex: "male",
                        expression,
                        gaze,
                    };
                    listing.samples.push(name.sample(PathBuf::new()));
                }
            }
        }
        let (sex, expression, gaze) = ("male", Expression::Sad, "left");
        let profile = Name { angle: "180", person: 1, ethnicity: "kid".into(), sex, expression, gaze };
        listing.samples.push(profile.sample(PathBuf::new()));
        listing
    }

    #[test]
    fn the_paper_s_photos_are_counted_and_missing_ones_put_in_words() {
        let mut whole = listing(|_, _, _| false);
        let subset = PaperSubset::keep(&mut whole).unwrap();
        assert_eq!(subset, PaperSubset { found: PaperSubset::COUNT, left_out: 1, missing: vec![] });
        assert_eq!(whole.samples.len(), 1608);

        let mut gaps = listing(|person, expression, gaze| {
            [1, 2].contains(&person)
                || expression == Expression::Contemptuous
                || (person == 5 && expression == Expression::Happy)
                || (person == 5 && expression == Expression::Sad && gaze != "frontal")
        });
        let subset = PaperSubset::keep(&mut gaps).unwrap();
        assert_eq!(
            subset.missing,
            [
                "every photo of 2 people (01, 02)",
                "contemptuous of everybody",
                "of person 05: happy, sad (gaze left, right)",
            ]
        );
        assert_eq!(subset.found, 1608 - 2 * 24 - 65 * 3 - 5);

        let mut frontal = listing(|_, _, gaze| gaze != "frontal");
        assert_eq!(
            PaperSubset::keep(&mut frontal).unwrap().missing,
            ["gaze left of everybody", "gaze right of everybody"]
        );
    }

    #[test]
    fn a_subset_of_nothing_or_of_another_layout_is_refused() {
        let mut profiles = listing(|_, _, _| true);
        let error = PaperSubset::keep(&mut profiles).unwrap_err();
        assert!(error.to_string().contains("none of its 1 photos is a frontal one"), "{error}");
        let mut folders = Listing::of(Layout::Folders, Path::new("faces"), Vec::new());
        let error = PaperSubset::keep(&mut folders).unwrap_err();
        assert!(error.hint().unwrap().contains("--format rafd"), "{error}");
    }
}
