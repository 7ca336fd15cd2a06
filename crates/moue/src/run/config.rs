//! What a run is: one struct, printed whole into `run.toml`, from which the run can be repeated.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::base::error::{Error, Result};
use crate::methods::{MethodConfig, PRESETS, Preset, Schedule};

/// Everything that decides a training run's outcome on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The preset that it started from.
    pub preset: String,
    /// Decides initial weights, the order of the faces, flips, targets and every other draw.
    pub seed: u64,
    /// What it learns from.
    pub data: DataConfig,
    /// How long and in what portions.
    pub training: Schedule,
    /// What is written, and how often.
    pub output: OutputConfig,
    /// The method with its settings.
    pub method: MethodConfig,
}

/// The data set of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A manifest's folder, or a folder of classes. Empty until one is named.
    pub path: PathBuf,
    /// The data set's name, which decides with each identity who is held out. Empty for the folder's name.
    pub name: String,
    /// Who is held out.
    pub hold_out: HoldOut,
}

/// Who is held out from training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldOut {
    /// 10 % of the people for validation and 15 % for the test.
    Identities,
    /// Nobody: all images are trained on, as in the paper.
    Nobody,
}

/// How often a run writes, in batches; 0 for never.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// Losses are read and logged every so many batches.
    pub log_every: u64,
    /// A sheet of held-out faces is painted every so many batches.
    pub sample_every: u64,
    /// A checkpoint is written every so many batches, and at the end.
    pub checkpoint_every: u64,
    /// Checkpoints of multiples of this stay; of the others only the newest does.
    pub keep_every: u64,
}

/// The preset of a name or an alias.
///
/// # Errors
/// [`Error::Config`] for an unknown name, with all that are known.
pub fn preset(name: &str) -> Result<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name || preset.aliases.contains(&name)).ok_or_else(|| {
        let names = PRESETS.iter().flat_map(|p| p.aliases.iter().chain([&p.name]).copied());
        let names: Vec<_> = names.collect();
        Error::config(format!("there is no preset '{name}'"), format!("use one of {}", names.join(", ")))
    })
}

impl RunConfig {
    /// A preset's settings.
    ///
    /// # Errors
    /// As [`preset`].
    pub fn of_preset(name: &str) -> Result<Self> {
        let preset = preset(name)?;
        let (method, training) = (preset.settings)();
        let every = (training.iterations / 20).clamp(1, 1_000);
        let output = OutputConfig {
            log_every: every.min(20),
            sample_every: every,
            checkpoint_every: every,
            keep_every: every * (training.iterations / 4 / every).max(1),
        };
        Ok(Self {
            preset: preset.name.to_string(),
            seed: 0,
            data: DataConfig { path: PathBuf::new(), name: String::new(), hold_out: HoldOut::Identities },
            training,
            output,
            method,
        })
    }

    /// A preset, over it a TOML file (whose `preset` is taken when `name` is `None`), over both `key=value` settings
    /// such as `training.batch_size=4`.
    ///
    /// # Errors
    /// [`Error::Config`] for unknown names and wrong types, [`Error::Read`] for the file.
    pub fn layered(name: Option<&str>, file: Option<&Path>, settings: &[String]) -> Result<Self> {
        let file = file.map(read_table).transpose()?;
        let named = file.as_ref().and_then(|table| table.get("preset")?.as_str().map(str::to_string));
        let name = name.map(str::to_string).or(named).unwrap_or_else(|| "small".to_string());
        let preset = Self::of_preset(&name)?;
        let mut table = Table::try_from(&preset).map_err(|error| Error::config(error, "report this"))?;
        if let Some(mut file) = file {
            file.remove("preset");
            merge(&mut table, file);
        }
        for setting in settings {
            merge(&mut table, parse_setting(setting)?);
        }
        let config: Self = table.try_into().map_err(|error: toml::de::Error| {
            let hint =
                format!("`moue train --preset {name} --dry-run` prints all settings with their values");
            Error::config(error.message(), hint)
        })?;
        config.check()?;
        Ok(config)
    }

    /// Reads a run's `run.toml`.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Weights`] when it is no run's.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::read(path))?;
        toml::from_str(&text).map_err(|error| {
            let hint = "it was written by another version, or edited: compare it with `moue train --dry-run`";
            Error::weights(path, error.message(), hint)
        })
    }

    /// As `run.toml` holds it.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration is representable in TOML")
    }

    fn check(&self) -> Result<()> {
        let Schedule { batch_size, iterations, .. } = self.training;
        if batch_size == 0 || iterations == 0 {
            return Err(Error::config(
                "training.batch_size and training.iterations are at least 1",
                "for example --set training.batch_size=8",
            ));
        }
        self.check_pairs()?;
        self.method.check()
    }

    /// A method that knows one way says itself whether it learns from pairs.
    fn check_pairs(&self) -> Result<()> {
        let (name, pairs) = (self.method.name(), self.training.pairs);
        match self.method.direction().filter(|direction| direction.paired != pairs) {
            None => Ok(()),
            Some(direction) => Err(Error::config(
                format!("training.pairs = {pairs} does not go with {name}"),
                format!("leave it at {}: that is how the method learns", direction.paired),
            )),
        }
    }
}

fn read_table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(Error::read(path))?;
    text.parse().map_err(|error: toml::de::Error| {
        Error::config(format!("{}: {}", path.display(), error.message()), "correct the file")
    })
}

/// `a.b=value` as nested tables; the value is TOML, or else a plain word.
fn parse_setting(setting: &str) -> Result<Table> {
    let hint = "write it as --set training.batch_size=4";
    let Some((key, value)) = setting.split_once('=') else {
        return Err(Error::config(format!("'{setting}' is no setting"), hint));
    };
    let value = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let mut value = value.unwrap_or_else(|| Value::String(setting[key.len() + 1..].to_string()));
    for part in key.split('.').rev() {
        if part.trim().is_empty() {
            return Err(Error::config(format!("'{setting}' is no setting"), hint));
        }
        value = Value::Table(Table::from_iter([(part.trim().to_string(), value)]));
    }
    match value {
        Value::Table(table) => Ok(table),
        _ => Err(Error::config(format!("'{setting}' is no setting"), hint)),
    }
}

/// Lays `over` on `table`, table by table.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(value)) => merge(below, value),
            // 1 where 1.0 is meant is a number all the same.
            (Some(below @ Value::Float(_)), Value::Integer(value)) => *below = Value::Float(value as f64),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, "preset = 'stargan'\nseed = 3\n[training]\nbatch_size = 2\niterations = 7\n")
            .unwrap();
        let settings = ["training.iterations=9".to_string(), "method.lambda_reconstruction=5".to_string()];
        let config = RunConfig::layered(None, Some(&file), &settings).unwrap();
        assert_eq!((config.preset.as_str(), config.seed), ("stargan", 3));
        assert_eq!((config.training.batch_size, config.training.iterations), (2, 9));
        let MethodConfig::Stargan(method) = config.method else { panic!("another method") };
        assert_eq!(method.lambda_reconstruction, 5.0);
    }

    #[test]
    fn unknown_settings_are_named() {
        for (setting, word) in [
            ("method.chanels=3", "chanels"),
            ("training.batch_size=many", "many"),
            ("method.adversarial_loss=hing", "hing"),
            ("batch", "batch"),
            ("training.batch_size=0", "batch_size"),
        ] {
            let error = RunConfig::layered(Some("small"), None, &[setting.to_string()]).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            assert!(error.hint().is_some());
        }
        assert!(preset("big").err().unwrap().hint().unwrap().contains("stargan"));
    }

    #[test]
    fn every_preset_survives_its_file() {
        for preset in &PRESETS {
            let config = RunConfig::of_preset(preset.name).unwrap();
            assert_eq!(toml::from_str::<RunConfig>(&config.to_toml()).unwrap(), config);
        }
    }
}
