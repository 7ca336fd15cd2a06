//! Several runs that are trained to be compared.

use std::path::Path;

use moue::base::error::{Error, Result};
use moue::base::expression::{Expression, Targets};
use moue::run::config::RunConfig;
use moue::run::set::set_targets;
use serde::{Deserialize, Serialize};

/// Plans that come with the program: their name and text.
pub const PLANS: [(&str, &str); 2] = [
    ("ablation", include_str!("../../../plans/ablation.toml")),
    ("methods", include_str!("../../../plans/methods.toml")),
];

/// A plan as its file says it: runs one by one, or all combinations of the axes' choices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The preset of runs that name none.
    #[serde(default)]
    pub preset: Option<String>,
    /// Settings for all runs, as `--set` takes them.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Minutes that each run trains at most, where not its number of batches alone is to decide. A set's networks share
    /// them.
    #[serde(default)]
    pub minutes: Option<f64>,
    /// Runs.
    #[serde(default)]
    pub run: Vec<PlannedRun>,
    /// What is combined with what.
    #[serde(default)]
    pub axis: Vec<Axis>,
}

/// A run of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedRun {
    /// Name of its folder.
    pub name: String,
    /// Its preset.
    #[serde(default)]
    pub preset: Option<String>,
    /// Its settings, laid over the plan's.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Of a method whose network knows one way: the expressions that it is trained for, a network each, as `--target`
    /// takes them.
    #[serde(default)]
    pub target: Option<String>,
}

/// A run or a set that a plan asks for.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Name of its folder.
    pub name: String,
    /// The settings: a set's but for the target.
    pub config: RunConfig,
    /// Of a set, what it gives.
    pub targets: Option<Vec<Expression>>,
}

/// Choices of which each combination takes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// The choices; their names are joined to the runs' names.
    pub choices: Vec<PlannedRun>,
}

impl Plan {
    /// A plan of the program by its name, or one from a file.
    ///
    /// # Errors
    /// [`Error::Read`] when there is neither; [`Error::Config`] for what cannot be a plan, and for runs whose settings
    /// cannot be.
    pub fn open(name: &Path) -> Result<Self> {
        let known = PLANS.iter().find(|(known, _)| name == Path::new(known));
        let plan = match known {
            Some((name, text)) => Self::parse(text, name)?,
            None => {
                let text = std::fs::read_to_string(name).map_err(|error| {
                    let names = PLANS.map(|(name, _)| name).join(" and ");
                    let problem = format!("{}: the plan cannot be read ({error})", name.display());
                    Error::config(problem, format!("name a file, or one of the plans {names}"))
                })?;
                Self::parse(&text, &name.display().to_string())?
            }
        };
        plan.configs()?;
        Ok(plan)
    }

    fn parse(text: &str, name: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            Error::config(
                format!("{name} is no plan: {error}"),
                "a plan has [[run]] tables with name, preset, settings and target, or [[axis]] tables with choices",
            )
        })
    }

    /// All runs, with the settings that they inherit, each name once.
    ///
    /// # Errors
    /// [`Error::Config`] when there is none, or two of one name, or a name that is no name of a folder.
    pub fn runs(&self) -> Result<Vec<PlannedRun>> {
        let mut runs: Vec<PlannedRun> = self.run.clone();
        if !self.axis.is_empty() {
            runs.extend(self.combinations());
        }
        for run in &mut runs {
            run.preset = run.preset.take().or_else(|| self.preset.clone());
            run.settings.splice(0..0, self.settings.iter().cloned());
        }
        let problem = match runs.iter().enumerate().find_map(|(at, run)| problem_of(run, &runs[..at])) {
            None if runs.is_empty() => "it holds no run".to_string(),
            None => return Ok(runs),
            Some(problem) => problem,
        };
        Err(Error::config(format!("the plan cannot be followed: {problem}"), "change the plan's file"))
    }

    /// One choice of each axis, in all ways; the last axis changes fastest.
    fn combinations(&self) -> Vec<PlannedRun> {
        let nothing = PlannedRun { name: String::new(), preset: None, settings: Vec::new(), target: None };
        self.axis.iter().fold(vec![nothing], |runs, axis| {
            let with = |run: &PlannedRun| -> Vec<PlannedRun> {
                let join = |choice: &PlannedRun| PlannedRun {
                    name: [run.name.as_str(), &choice.name]
                        .map(str::to_string)
                        .join("-")
                        .trim_matches('-')
                        .to_string(),
                    preset: choice.preset.clone().or_else(|| run.preset.clone()),
                    settings: [run.settings.as_slice(), &choice.settings].concat(),
                    target: choice.target.clone().or_else(|| run.target.clone()),
                };
                axis.choices.iter().map(join).collect()
            };
            runs.iter().flat_map(with).collect()
        })
    }

    /// What is to be trained.
    ///
    /// # Errors
    /// As [`Self::runs`]; [`Error::Config`] naming the run whose settings or targets cannot be.
    pub fn configs(&self) -> Result<Vec<Planned>> {
        let planned = |run: PlannedRun| {
            run.planned().map_err(|error| {
                let hint = error.hint().unwrap_or("change the plan's file").to_string();
                Error::config(format!("the plan's run {}: {error}", run.name), hint)
            })
        };
        self.runs()?.into_iter().map(planned).collect()
    }
}

impl PlannedRun {
    fn planned(&self) -> Result<Planned> {
        let config = RunConfig::layered(self.preset.as_deref(), None, &self.settings)?;
        let targets = self.target.as_deref().map(str::parse::<Targets>).transpose()?;
        let targets = targets.map(|targets| set_targets(&targets, &config));
        for &target in targets.iter().flatten() {
            config.method.with_target(target)?.check()?;
        }
        Ok(Planned { name: self.name.clone(), config, targets })
    }
}

/// What keeps a run from being one of the plan.
fn problem_of(run: &PlannedRun, before: &[PlannedRun]) -> Option<String> {
    if run.name.is_empty() || run.name.starts_with('.') || run.name.contains(['/', '\\']) {
        return Some(format!("{:?} is no name of a folder", run.name));
    }
    before.iter().any(|other| other.name == run.name).then(|| format!("two runs are called {}", run.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plans_of_the_program_can_be_followed() {
        let runs = |name: &str| Plan::open(Path::new(name)).unwrap().configs().unwrap();
        let ablation = runs("ablation");
        assert_eq!(ablation.len(), 18);
        assert_eq!(ablation[0].name, "attention-0-spectral-norm-5g-1d");
        let different: std::collections::BTreeSet<String> =
            ablation.iter().map(|run| run.config.to_toml()).collect();
        assert_eq!(different.len(), 18);
        for run in &ablation {
            run.config.method.check().unwrap();
        }
        // Every method, and of those that know one way a network for each way.
        let methods = runs("methods");
        let names: Vec<&str> = methods.iter().map(|run| run.config.method.name()).collect();
        assert_eq!(names, ["stargan", "sasn", "attgan", "pix2pix", "cyclegan", "moue"]);
        for run in &methods {
            let ways = run.targets.as_ref().map(Vec::len);
            assert_eq!(ways, run.config.method.direction().map(|_| 7), "{}", run.name);
        }
    }

    #[test]
    fn a_set_s_targets_are_all_or_some() {
        let targets = |target: &str| {
            let text = format!("[[run]]\nname = \"a\"\npreset = \"pix2pix-smoke\"\ntarget = {target:?}\n");
            Plan::parse(&text, "plan")?.configs().map(|runs| runs[0].targets.clone().unwrap())
        };
        assert_eq!(targets("sad,happy").unwrap(), [Expression::Sad, Expression::Happy]);
        assert!(!targets("all").unwrap().contains(&Expression::Neutral));
        let neutral = targets("neutral").unwrap_err().to_string();
        assert!(neutral.contains("run a") && neutral.contains("neutral"), "{neutral}");
        let some = targets("some").unwrap_err();
        assert!(some.to_string().contains("run a") && some.hint().unwrap().contains("or all"), "{some}");
    }

    #[test]
    fn settings_are_inherited_and_laid_over() {
        let text = "preset = \"sasn-smoke\"\nsettings = [\"training.batch_size=2\", \"seed=3\"]\n\
                    [[run]]\nname = \"a\"\n[[run]]\nname = \"b\"\npreset = \"stargan-smoke\"\nsettings = [\"seed=4\"]\n";
        let configs = Plan::parse(text, "plan").unwrap().configs().unwrap();
        let seen: Vec<_> = configs
            .iter()
            .map(|Planned { config, .. }| (config.method.name(), config.training.batch_size, config.seed))
            .collect();
        assert_eq!(seen, [("sasn", 2, 3), ("stargan", 2, 4)]);
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let error = |text: &str| {
            let plan = Plan::parse(text, "my.toml");
            plan.and_then(|plan| plan.configs()).unwrap_err().to_string()
        };
        assert!(error("").contains("no run"));
        assert!(error("[[run]]\nname = \"a\"\n[[run]]\nname = \"a\"\n").contains("two runs are called a"));
        assert!(error("[[run]]\nname = \"../a\"\n").contains("no name of a folder"));
        assert!(error("colour = 1\n").contains("my.toml is no plan"));
        let bad = error("[[run]]\nname = \"a\"\nsettings = [\"training.nothing=1\"]\n");
        assert!(bad.contains("run a") && bad.contains("nothing"), "{bad}");
        assert!(Plan::open(Path::new("no/such.toml")).unwrap_err().hint().unwrap().contains("ablation"));
    }
}
