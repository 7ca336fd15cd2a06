//! Sets: of a method whose network knows one way, a network for each target, trained into one folder and used as one
//! model.
//!
//! A set's folder holds `set.toml`, the settings that its runs share with their targets, and a run's folder a target,
//! `happy/`, which is a run like any other.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::config::RunConfig;
use super::folder::read_config;
use super::train::check_data;
use crate::base::error::{Error, Result};
use crate::base::expression::{Expression, Targets};
use crate::base::file::{Disk, create_folder, write_whole};
use crate::methods::{MethodConfig, Translator};
use crate::nn::edit::Edit;
use crate::nn::module::{Module, Visitor};

/// The name of the file that makes a folder a set's.
const FILE: &str = "set.toml";

/// Whose way back to the source's expression is taken where several networks know one: smiles are what people bring.
const WAY_BACK: Expression = Expression::Happy;

/// A set's folder.
#[derive(Debug, Clone)]
pub struct RunSet {
    path: PathBuf,
    config: SetConfig,
}

/// `set.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetConfig {
    /// What its networks give, in the order in which they are trained.
    targets: Vec<Expression>,
    /// The settings of all runs, but for the target.
    run: RunConfig,
}

impl RunSet {
    /// Makes a new set in `path`, which is absent or empty, and writes `set.toml`; no run begins by that.
    ///
    /// # Errors
    /// [`Error::Config`] for a target that the method has no network for, [`Error::Weights`] when something is in the
    /// folder already, [`Error::Write`].
    pub fn create(path: &Path, targets: Vec<Expression>, run: RunConfig, disk: &dyn Disk) -> Result<Self> {
        let set = Self { path: path.to_path_buf(), config: SetConfig { targets, run } };
        set.targets().iter().try_for_each(|&target| set.run_config(target).map(drop))?;
        create_folder(path)?;
        if fs::read_dir(path).map_err(Error::read(path))?.next().is_some() {
            let hint = match Self::is_at(path) {
                true => {
                    format!("go on with it by `moue train --resume {}`, or name a new folder", path.display())
                }
                false => "name a new or empty folder with --out".to_string(),
            };
            return Err(Error::weights(path, "the folder is not empty", hint));
        }
        let text = toml::to_string_pretty(&set.config).expect("a set is representable in TOML");
        write_whole(disk, &path.join(FILE), |output| output.write_all(text.as_bytes()))?;
        Ok(set)
    }

    /// Opens a set.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Weights`] when `set.toml` is not one.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(FILE);
        let text = fs::read_to_string(&file).map_err(Error::read(&file))?;
        let config = toml::from_str(&text).map_err(|error| {
            let hint =
                "it was written by another version, or edited: restore it, or name one of the runs inside";
            Error::weights(&file, error.message(), hint)
        })?;
        Ok(Self { path: path.to_path_buf(), config })
    }

    /// Whether a folder is a set's.
    pub fn is_at(path: &Path) -> bool {
        path.join(FILE).is_file()
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its networks give, in the order in which they are trained.
    pub fn targets(&self) -> &[Expression] {
        &self.config.targets
    }

    /// The folder of a target's run, which may not have begun.
    pub fn run_path(&self, target: Expression) -> PathBuf {
        self.path.join(target.name())
    }

    /// The settings of a target's run.
    ///
    /// # Errors
    /// [`Error::Config`] for a target that the method has no network for.
    pub fn run_config(&self, target: Expression) -> Result<RunConfig> {
        let method = self.config.run.method.with_target(target)?;
        method.check()?;
        Ok(RunConfig { method, ..self.config.run.clone() })
    }

    /// Looks whether there is something to learn from for each of the targets, before a set of them is made.
    ///
    /// # Errors
    /// [`Error::Config`] for a target that the method has no network for, and as [`check_data`].
    pub fn check_data(targets: &[Expression], run: &RunConfig) -> Result<()> {
        targets.iter().try_for_each(|&target| {
            let method = run.method.with_target(target)?;
            method.check()?;
            check_data(&RunConfig { method, ..run.clone() })
        })
    }

    /// Removes a set of which no run ever began.
    pub fn discard(self) {
        // What cannot be removed stays: the error that led here is the one to report.
        if self.targets().iter().all(|&target| !self.run_path(target).exists()) {
            let _ = fs::remove_file(self.path.join(FILE));
            let _ = fs::remove_dir(self.path); // an empty one only
        }
    }
}

/// The networks of a set that was asked for; all are a network for every expression that the data show, but for what the
/// sources do.
pub fn set_targets(targets: &Targets, run: &RunConfig, shown: &[Expression]) -> Vec<Expression> {
    match targets {
        Targets::All => {
            let source = run.method.direction().map(|direction| direction.from);
            shown.iter().copied().filter(|&target| Some(target) != source).collect()
        }
        Targets::These(targets) => targets.clone(),
    }
}

/// The configuration of the run in `path`, or that of a set's runs.
///
/// # Errors
/// As [`read_config`] and [`RunSet::open`].
pub fn config_of(path: &Path) -> Result<RunConfig> {
    if RunSet::is_at(path) { Ok(RunSet::open(path)?.config.run) } else { read_config(path) }
}

/// The runs' folders that a path stands for, each with its target's name: a set's, or the path itself.
pub fn runs_of(path: &Path) -> Vec<(String, PathBuf)> {
    match RunSet::open(path) {
        Ok(set) => {
            set.targets().iter().map(|&target| (target.name().to_string(), set.run_path(target))).collect()
        }
        Err(_) => vec![(String::new(), path.to_path_buf())],
    }
}

/// A network for each target, as one translator.
pub(super) struct Networks(Vec<(Expression, Box<dyn Translator>)>);

impl Networks {
    /// Networks whose weights are still to be loaded.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot be.
    pub(super) fn new(method: &MethodConfig, targets: &[Expression], device: &Device) -> Result<Self> {
        let network = |&target: &Expression| Ok((target, method.with_target(target)?.translator(device)?));
        Ok(Self(targets.iter().map(network).collect::<Result<_>>()?))
    }

    /// The network of a target: its own, or one that knows it beside its own.
    fn of(&self, target: Expression) -> Option<&dyn Translator> {
        let knows = |(_, network): &&(Expression, Box<dyn Translator>)| network.targets().contains(&target);
        let own = self.0.iter().find(|(of, _)| *of == target);
        let back = || self.0.iter().filter(knows).find(|(of, _)| *of == WAY_BACK);
        let any = || self.0.iter().find(knows);
        own.or_else(back).or_else(any).map(|(_, network)| &**network)
    }
}

impl Module for Networks {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (target, network) in &mut self.0 {
            visitor.module(target.name(), &mut **network);
        }
    }
}

impl Translator for Networks {
    fn targets(&self) -> Vec<Expression> {
        Expression::ALL.into_iter().filter(|&target| self.of(target).is_some()).collect()
    }

    fn edit(&self, faces: Tensor<4>, targets: &[Expression]) -> Edit {
        Edit::by_target(&faces, targets, |target, faces| match self.of(target) {
            Some(network) => network.edit(faces.clone(), &vec![target; faces.dims()[0]]).on_square(faces),
            None => faces,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::file::FileSystem;
    use crate::methods::Game;

    fn config(preset: &str) -> RunConfig {
        RunConfig::of_preset(preset).unwrap()
    }

    #[test]
    fn a_set_reads_back_and_is_never_made_where_something_is() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("set");
        let targets = vec![Expression::Sad, Expression::Happy];
        let set = RunSet::create(&path, targets.clone(), config("pix2pix-smoke"), &FileSystem).unwrap();
        assert_eq!(RunSet::open(&path).unwrap().targets(), targets);
        let run = set.run_config(Expression::Sad).unwrap();
        assert_eq!(run.method.direction().unwrap().to, Some(Expression::Sad));
        let again = RunSet::create(&path, targets, config("pix2pix-smoke"), &FileSystem).unwrap_err();
        assert!(again.hint().unwrap().contains("--resume"), "{again}");
        assert_eq!(runs_of(&path)[0], ("sad".to_string(), path.join("sad")));
        set.discard();
        assert!(!path.exists());
    }

    #[test]
    fn targets_without_a_network_are_refused_before_a_folder_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("set");
        let refused = |target, preset: &str| {
            let error = RunSet::create(&path, vec![target], config(preset), &FileSystem).unwrap_err();
            assert!(!path.exists());
            error.to_string()
        };
        assert!(refused(Expression::Neutral, "pix2pix-smoke").contains("neutral"));
        assert!(refused(Expression::Sad, "stargan-smoke").contains("one network of stargan"));
    }

    #[test]
    fn each_face_goes_to_the_network_of_its_target() {
        let device = crate::base::device::device("cpu").unwrap();
        let method = config("cyclegan-smoke").method;
        let targets = [Expression::Angry, Expression::Happy];
        let mut networks = Networks::new(&method, &targets, &device).unwrap();
        let game = |(seed, &target): (usize, &Expression)| -> Box<dyn Game> {
            method.with_target(target).unwrap().game(seed as u64, &device).unwrap()
        };
        let games: Vec<Box<dyn Game>> = targets.iter().enumerate().map(game).collect();
        for ((_, network), game) in networks.0.iter_mut().zip(&games) {
            *network = game.translator(false);
        }
        assert_eq!(networks.targets(), [Expression::Angry, Expression::Happy, Expression::Neutral]);
        let face = Tensor::<4>::ones([1, 3, 32, 32], &device) * 0.5;
        let image = |translator: &dyn Translator, target| -> Vec<f32> {
            translator
                .edit(face.clone(), &[target])
                .on_square(face.clone())
                .into_data()
                .try_into_vec()
                .unwrap()
        };
        let faces = Tensor::cat(vec![face.clone(); 3], 0);
        let asked = [Expression::Neutral, Expression::Angry, Expression::Happy];
        let together = networks.edit(faces.clone(), &asked).on_square(faces);
        let together: Vec<f32> = together.into_data().try_into_vec().unwrap();
        let [angry, happy] = [0, 1].map(|n| games[n].translator(false));
        let expected = [
            image(&*happy, Expression::Neutral),
            image(&*angry, Expression::Angry),
            image(&*happy, Expression::Happy),
        ];
        for (ours, expected) in together.chunks(3 * 32 * 32).zip(expected) {
            let worst = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{worst}");
        }
    }
}
