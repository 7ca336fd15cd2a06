//! A trained translator with what is known of it, from a run, a checkpoint, a file or the program itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::checkpoint;
use super::exchange::{Precision, Tensors};
use super::folder::{checkpoints_of, learned, read_config, run_of};
use super::set::{Networks, RunSet, config_of};
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
use crate::base::file::{Disk, write_whole};
use crate::methods::{MethodConfig, Translator};

/// Which of a player's weights are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// The exponential moving average over training.
    Average,
    /// The weights as training left them.
    Raw,
}

impl Weights {
    fn part(self) -> &'static str {
        match self {
            Self::Average => "average",
            Self::Raw => "weights",
        }
    }
}

/// What a model file says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Version of this description: 1.
    pub format: u32,
    /// The method with its settings.
    pub method: MethodConfig,
    /// Which weights these are.
    pub weights: Weights,
    /// The data set that it learned from; empty where unknown.
    pub data: String,
    /// Batches seen.
    pub iteration: u64,
    /// Updates of each player.
    pub updates: BTreeMap<String, u64>,
    /// How strongly its edits are best applied, 1 unless its makers measured another.
    #[serde(default = "plain_strength")]
    pub strength: f32,
    /// The expressions that it learned, where its faces did not show all of them; empty for all, and where unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expressions: Vec<Expression>,
    /// Of a set the targets of its networks, whose method is the one above but for the target; empty for one network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Expression>,
}

/// The player that makes what is shown.
pub(super) const GENERATOR: &str = "generator";

fn plain_strength() -> f32 {
    1.0
}

/// A translator ready to use.
pub struct Model {
    /// What is known of it.
    pub card: Card,
    /// The network.
    pub translator: Box<dyn Translator>,
}

impl Model {
    /// Opens a run's folder (its newest checkpoint), a set's (its runs' newest checkpoints, as far as they have one), a
    /// checkpoint's folder, or a file that `export` or `import` wrote.
    /// `weights` chooses in a run or checkpoint; `None` is the method's own default.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Weights`].
    pub fn open(path: &Path, weights: Option<Weights>, device: &Device) -> Result<Self> {
        let (tensors, card) = if RunSet::is_at(path) {
            from_set(&RunSet::open(path)?, weights)?
        } else if fs::metadata(path).map_err(Error::read(path))?.is_dir() {
            from_folder(path, weights)?
        } else {
            from_bytes(&fs::read(path).map_err(Error::read(path))?, path)?
        };
        Self::build(tensors, card, path, device)
    }

    /// Reads a model file's bytes; `name` stands for the path in errors.
    ///
    /// # Errors
    /// [`Error::Weights`].
    pub fn from_bytes(bytes: &[u8], name: &str, device: &Device) -> Result<Self> {
        let path = Path::new(name);
        let (tensors, card) = from_bytes(bytes, path)?;
        Self::build(tensors, card, path, device)
    }

    /// Reads a generator's state dict saved by a public PyTorch implementation. `image_size` is the side of the
    /// images it was trained on, and `target` the expression that it gives where it gives one: its weights tell neither.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is no network that is known, [`Error::Read`].
    pub fn import(
        path: &Path,
        image_size: usize,
        target: Option<Expression>,
        device: &Device,
    ) -> Result<Self> {
        fs::metadata(path).map_err(Error::read(path))?;
        let mut tensors = Tensors::read_pytorch(path)?;
        // Some save {"G": weights, "D": weights}.
        tensors.keep_player("G.");
        let shapes =
            tensors.values.iter().map(|(name, (shape, _))| (name.as_str(), shape.as_slice())).collect();
        let (method, beginning) =
            MethodConfig::recognise(&shapes, image_size, target).map_err(|problem| {
                let hint = "import a generator of eight labels, StarGAN's *-G.ckpt or AttGAN's weights.*.pth, or of one \
                            target, pix2pix's latest_net_G.pth or CycleGAN's latest_net_G_A.pth with --target";
                Error::weights(path, problem, hint)
            })?;
        let renamed = |(name, values)| (format!("{beginning}{name}"), values);
        tensors.values = std::mem::take(&mut tensors.values).into_iter().map(renamed).collect();
        let card = Card {
            format: 1,
            method,
            weights: Weights::Raw,
            data: String::new(),
            iteration: 0,
            updates: BTreeMap::new(),
            strength: plain_strength(),
            expressions: Vec::new(),
            targets: Vec::new(),
        };
        // Old instance norms saved running statistics that the network never uses.
        Self::build_ignoring(
            &["running_mean", "running_var", "num_batches_tracked"],
            tensors,
            card,
            path,
            device,
        )
    }

    /// A short name: the method, its size and what it learned, as `moue 128 px (london, 40000 batches)`.
    pub fn name(&self) -> String {
        let Card { method, data, iteration, .. } = &self.card;
        let name = format!("{} {} px", method.name(), method.image_size());
        match (data.is_empty(), iteration) {
            (true, _) => name,
            (false, batches) => format!("{name} ({data}, {batches} batches)"),
        }
    }

    /// The expressions that it gives: those that its network knows and has learned.
    pub fn targets(&self) -> Vec<Expression> {
        let learned = &self.card.expressions;
        let mut targets = self.translator.targets();
        targets.retain(|target| learned.is_empty() || learned.contains(target));
        targets
    }

    /// Whether it can give all of some expressions.
    ///
    /// # Errors
    /// [`Error::Config`] naming one that it has no network for, or has not learned.
    pub fn check_targets(&self, targets: &[Expression]) -> Result<()> {
        let known = self.targets();
        let Some(missing) = targets.iter().find(|target| !known.contains(target)) else { return Ok(()) };
        let names: Vec<_> = known.iter().map(|target| target.name()).collect();
        let (why, remedy) = match self.translator.targets().contains(missing) {
            true => ("has not learned", "train it on faces that show it".to_string()),
            false => {
                let method = self.card.method.name();
                let remedy = format!("train a network for each: moue train --preset {method} --target all");
                ("has no network for", remedy)
            }
        };
        Err(Error::config(
            format!("{} {why} {missing}: it gives {}", self.name(), names.join(", ")),
            format!("ask for these alone, or {remedy}"),
        ))
    }

    /// Writes a model file.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&mut self, path: &Path, precision: Precision, disk: &dyn Disk) -> Result<()> {
        let card = serde_json::to_string(&self.card).expect("a card is representable in JSON");
        let tensors = Tensors::of(&mut *self.translator, card);
        write_whole(disk, path, |output| tensors.write(precision, output))
    }

    fn build(tensors: Tensors, card: Card, path: &Path, device: &Device) -> Result<Self> {
        Self::build_ignoring(&[], tensors, card, path, device)
    }

    /// The translator; tensors that it does not know must have names that end with one of `ignored`.
    fn build_ignoring(
        ignored: &[&str],
        tensors: Tensors,
        card: Card,
        path: &Path,
        device: &Device,
    ) -> Result<Self> {
        let mut translator: Box<dyn Translator> = match card.targets.as_slice() {
            [] => card.method.translator(device)?,
            targets => Box::new(Networks::new(&card.method, targets, device)?),
        };
        tensors.load(&mut *translator, path, ignored)?;
        Ok(Self { card, translator })
    }
}

/// The method of a run's or a set's folder, with a checkpoint or without, of a checkpoint's or of a model file, and its settings.
///
/// # Errors
/// As [`Model::open`].
pub fn method_of(path: &Path) -> Result<MethodConfig> {
    if !fs::metadata(path).map_err(Error::read(path))?.is_dir() {
        let (_, card) = from_bytes(&fs::read(path).map_err(Error::read(path))?, path)?;
        return Ok(card.method);
    }
    if path.join("run.toml").exists() || RunSet::is_at(path) {
        return Ok(config_of(path)?.method);
    }
    Ok(checkpoint::read_state(path)?.method)
}

/// The networks of those of a set's runs that have a checkpoint, each under its target's name. What is said of it is
/// the least trained one's.
fn from_set(set: &RunSet, weights: Option<Weights>) -> Result<(Tensors, Card)> {
    let mut found: Option<(Tensors, Card)> = None;
    for &target in set.targets() {
        let path = set.run_path(target);
        if !path.exists() || checkpoint::newest(&checkpoints_of(&path))?.is_none() {
            continue;
        }
        let (tensors, card) = from_folder(&path, weights)?;
        let (all, of_set) = found.get_or_insert_with(|| (Tensors::default(), card.clone()));
        if card.method != of_set.method.with_target(target)? {
            let hint = "restore the run.toml and checkpoints that the set was trained with";
            return Err(Error::weights(path, "its settings are not those of the set's other runs", hint));
        }
        let renamed = |(name, values)| (format!("{}.{name}", target.name()), values);
        all.values.extend(tensors.values.into_iter().map(renamed));
        of_set.targets.push(target);
        if card.iteration < of_set.iteration {
            (of_set.iteration, of_set.updates) = (card.iteration, card.updates);
        }
    }
    found.ok_or_else(|| {
        let hint = "let one train to its first checkpoint: stopping it with Ctrl-C writes one";
        Error::weights(set.path(), "no run of the set has a checkpoint yet", hint)
    })
}

fn from_folder(path: &Path, weights: Option<Weights>) -> Result<(Tensors, Card)> {
    let folder = run_of(path);
    let has_config = |folder: &Path| folder.join("run.toml").exists();
    let checkpoint = match checkpoint::of(path)? {
        Some(checkpoint) => checkpoint,
        None if !has_config(path) => path.to_path_buf(),
        None => {
            let hint = "let it train to its first checkpoint: stopping it with Ctrl-C writes one";
            return Err(Error::weights(path, "the run has no checkpoint yet", hint));
        }
    };
    let state = checkpoint::read_state(&checkpoint)?;
    let weights = match weights {
        Some(weights) => weights,
        None if state.method.shows_average() => Weights::Average,
        None => Weights::Raw,
    };
    if weights == Weights::Average && !checkpoint::has_part(&state, GENERATOR, weights.part()) {
        let problem = format!("{} keeps no moving average", state.method.name());
        return Err(Error::weights(path, problem, "leave out --weights average"));
    }
    let (tensors, state) = checkpoint::read_part(&checkpoint, GENERATOR, weights.part())?;
    let expressions = learned(folder)?.map(|learned| learned.expressions).unwrap_or_default();
    let has_all = expressions.len() == Expression::COUNT;
    let card = Card {
        format: 1,
        method: state.method,
        weights,
        data: if has_config(folder) { read_config(folder)?.data.name } else { String::new() },
        iteration: state.iteration,
        updates: state.updates,
        strength: plain_strength(),
        expressions: if has_all { Vec::new() } else { expressions },
        targets: Vec::new(),
    };
    Ok((tensors, card))
}

fn from_bytes(bytes: &[u8], path: &Path) -> Result<(Tensors, Card)> {
    let is_pytorch = bytes.starts_with(b"PK") || bytes.starts_with(&[0x80, 2]);
    if is_pytorch {
        let hint = format!("bring it in first: moue import {} --out model.safetensors", path.display());
        return Err(Error::weights(path, "this is a PyTorch checkpoint", hint));
    }
    let tensors = Tensors::read(bytes, path)?;
    let card: Card = serde_json::from_str(&tensors.metadata).map_err(|_| {
        Error::weights(
            path,
            "the file does not say which method and size its weights are of",
            "use a file that `moue export` or `moue import` wrote, or a run's folder",
        )
    })?;
    Ok((tensors, card))
}
