//! Several runs that are trained to be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use moue::base::error::{Error, Result};
use moue::base::expression::{Expression, Targets};
use moue::run::config::{DataConfig, RunConfig};
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
        plan.runs()?.iter().try_for_each(|run| run.read().map(drop))?;
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

    /// What is to be trained. `shown` says which expressions the faces of a run's training show.
    ///
    /// # Errors
    /// As [`Self::runs`]; [`Error::Config`] naming the run whose settings or targets cannot be, or that will not give
    /// every expression that its data show.
    pub fn configs(&self, shown: &dyn Fn(&RunConfig) -> Result<Vec<Expression>>) -> Result<Vec<Planned>> {
        self.runs()?.iter().map(|run| run.planned(shown)).collect()
    }
}

impl Planned {
    /// A table has the expressions that all of its models give. What would lack one that the others can learn is told
    /// before it is trained.
    fn check_targets(&self, shown: &[Expression]) -> Result<()> {
        let Some(direction) = self.config.method.direction() else { return Ok(()) };
        let given: Vec<Expression> = match (&self.targets, direction.to) {
            (Some(targets), _) => targets.clone(),
            (None, Some(target)) => vec![target],
            (None, None) => return Ok(()),
        };
        let is_given =
            |expression: &&Expression| **expression == direction.from || given.contains(expression);
        let Some(missing) = shown.iter().find(|expression| !is_given(expression)) else {
            return Ok(());
        };
        let problem = format!("it has no network for {missing}, and the table would lack it for all models");
        Err(Error::config(problem, "give the run target = \"all\""))
    }

    /// What was begun under this run's name must be what the plan says: a table would name one thing and show another.
    /// Where data lie and what is written how often does not matter.
    ///
    /// # Errors
    /// [`Error::Config`] naming the settings that differ.
    pub fn check_begun(
        &self,
        folder: &Path,
        config: &RunConfig,
        targets: Option<&[Expression]>,
    ) -> Result<()> {
        let common = |config: &RunConfig| {
            let (preset, output) = (self.config.preset.clone(), self.config.output.clone());
            let hold_out = config.data.hold_out;
            RunConfig {
                preset,
                output,
                data: DataConfig { hold_out, ..self.config.data.clone() },
                ..config.clone()
            }
        };
        let [begun, planned] = [common(config), common(&self.config)].map(|config| settings_of(&config));
        let keys: BTreeSet<&String> = begun.keys().chain(planned.keys()).collect();
        let said = |value: Option<&String>| value.map_or("nothing", String::as_str).to_string();
        let mut different: Vec<String> = keys
            .into_iter()
            .filter(|key| begun.get(*key) != planned.get(*key))
            .map(|key| format!("{key} = {}, not {}", said(begun.get(key)), said(planned.get(key))))
            .collect();
        if targets != self.targets.as_deref() {
            different.push("its targets".to_string());
        }
        if different.is_empty() {
            return Ok(());
        }
        let problem = format!(
            "{} was begun with other settings than the plan says now: {}",
            folder.display(),
            different.join(", ")
        );
        Err(Error::config(
            problem,
            "name another folder with --runs, remove that run, or change the plan back",
        ))
    }
}

impl PlannedRun {
    fn planned(&self, shown: &dyn Fn(&RunConfig) -> Result<Vec<Expression>>) -> Result<Planned> {
        let (config, targets) = self.read()?;
        let planned = Planned { name: self.name.clone(), config, targets: None };
        if planned.config.method.direction().is_none() {
            return Ok(planned);
        }
        let shown = shown(&planned.config).map_err(|error| self.named(error))?;
        let targets = targets.map(|targets| set_targets(&targets, &planned.config, &shown));
        let planned = Planned { targets, ..planned };
        planned.check_targets(&shown).map_err(|error| self.named(error))?;
        Ok(planned)
    }

    /// Its settings, and the targets that it asks for.
    fn read(&self) -> Result<(RunConfig, Option<Targets>)> {
        let read = || {
            let config = RunConfig::layered(self.preset.as_deref(), None, &self.settings)?;
            let targets = self.target.as_deref().map(str::parse::<Targets>).transpose()?;
            for target in targets.iter().flat_map(|targets| set_targets(targets, &config, &Expression::ALL)) {
                config.method.with_target(target)?.check()?;
            }
            Ok((config, targets))
        };
        read().map_err(|error| self.named(error))
    }

    /// An error that says in which of a plan's runs it is.
    fn named(&self, error: Error) -> Error {
        let hint = error.hint().unwrap_or("change the plan's file").to_string();
        Error::config(format!("the plan's run {}: {error}", self.name), hint)
    }
}

/// The settings by their names, as `--set` takes them.
fn settings_of(config: &RunConfig) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let whole = toml::Value::try_from(config).expect("a configuration is representable in TOML");
    let mut open = vec![(String::new(), whole)];
    while let Some((name, value)) = open.pop() {
        match value {
            toml::Value::Table(table) => open.extend(table.into_iter().map(|(key, value)| {
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                (name, value)
            })),
            value => drop(settings.insert(name, value.to_string())),
        }
    }
    settings
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

    /// Faces that show every expression.
    fn every(_: &RunConfig) -> Result<Vec<Expression>> {
        Ok(Expression::ALL.to_vec())
    }

    #[test]
    fn the_plans_of_the_program_can_be_followed() {
        let runs = |name: &str| Plan::open(Path::new(name)).unwrap().configs(&every).unwrap();
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
            let shown = |_: &RunConfig| Ok(vec![Expression::Happy, Expression::Neutral, Expression::Sad]);
            Plan::parse(&text, "plan")?.configs(&shown).map(|runs| runs[0].targets.clone().unwrap())
        };
        assert_eq!(targets("sad,happy").unwrap(), [Expression::Sad, Expression::Happy]);
        assert_eq!(targets("all").unwrap(), [Expression::Happy, Expression::Sad]);
        let neutral = targets("neutral").unwrap_err().to_string();
        assert!(neutral.contains("run a") && neutral.contains("neutral"), "{neutral}");
        let some = targets("some").unwrap_err();
        assert!(some.to_string().contains("run a") && some.hint().unwrap().contains("or all"), "{some}");
    }

    #[test]
    fn a_run_that_gives_some_expressions_is_refused_before_it_is_trained() {
        let open = |run: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), format!("[[run]]\nname = \"a\"\n{run}\n")).unwrap();
            Plan::open(file.path()).unwrap().configs(&every)
        };
        for run in ["target = \"sad,happy\"\npreset = \"pix2pix-smoke\"", "preset = \"cyclegan-smoke\""] {
            let error = open(run).unwrap_err();
            assert!(error.to_string().contains("run a: it has no network for angry"), "{error}");
        }
        for run in ["target = \"all\"\npreset = \"pix2pix-smoke\"", "preset = \"sasn-smoke\""] {
            open(run).unwrap();
        }
    }

    #[test]
    fn a_run_that_was_begun_as_something_else_is_not_taken_for_the_plan_s() {
        let planned = |settings: &str| {
            let text = format!("[[run]]\nname = \"a\"\npreset = \"sasn-smoke\"\nsettings = [{settings}]\n");
            Plan::parse(&text, "plan").unwrap().configs(&every).unwrap().remove(0)
        };
        let (plan, place) = (planned(""), Path::new("runs/a"));
        let mut begun = plan.config.clone();
        begun.data.path = "faces".into();
        begun.output.log_every = 3;
        plan.check_begun(place, &begun, None).unwrap();
        let error = planned("\"training.batch_size=3\"").check_begun(place, &begun, None).unwrap_err();
        let text = error.to_string();
        let batch = begun.training.batch_size;
        assert!(text.contains(&format!("runs/a was begun with other settings than the plan says now: training.batch_size = {batch}, not 3")), "{text}");
        assert_eq!(text.matches(", not ").count(), 1, "{text}");
        assert!(planned("\"data.hold_out=nobody\"").check_begun(place, &begun, None).is_err());
        let error = planned("\"method.attention=[]\"").check_begun(place, &begun, None).unwrap_err();
        assert!(error.to_string().contains("method.attention = [\""), "{error}");
        assert!(plan.check_begun(place, &begun, Some(&[Expression::Sad])).is_err());
    }

    #[test]
    fn settings_are_inherited_and_laid_over() {
        let text = "preset = \"sasn-smoke\"\nsettings = [\"training.batch_size=2\", \"seed=3\"]\n\
                    [[run]]\nname = \"a\"\n[[run]]\nname = \"b\"\npreset = \"stargan-smoke\"\nsettings = [\"seed=4\"]\n";
        let configs = Plan::parse(text, "plan").unwrap().configs(&every).unwrap();
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
            plan.and_then(|plan| plan.configs(&every)).unwrap_err().to_string()
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
