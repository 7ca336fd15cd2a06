//! Whether a model was trained on those whom it is judged on: the test part depends on the data set's name and people, so a
//! renamed folder, another data set or a run that held nobody out can put people there whom a model knows.

use std::collections::BTreeSet;
use std::path::Path;

use moue::base::error::Result;
use moue::data::Split;
use moue::run::folder::{learned, run_of};
use moue::run::set::runs_of;

use crate::protocol::Protocol;

/// How many people a warning names.
const NAMED: usize = 5;

/// What must be said of a model, by its name in tables and its path, that was trained on people of the names of those who
/// are judged. Nothing of a model file, which does not say whom it was trained on, and of protocols that judge on all.
///
/// # Errors
/// As [`learned`].
pub fn warning(name: &str, path: &Path, split: &Split, protocol: Protocol) -> Result<Option<String>> {
    let judged = match protocol {
        Protocol::Test => &split.identities.test,
        Protocol::Validation => &split.identities.validation,
        Protocol::Paper => return Ok(None),
    };
    let mut trained = BTreeSet::new();
    for (_, run) in runs_of(run_of(path)) {
        trained.extend(learned(&run)?.into_iter().flat_map(|learned| learned.identities.train));
    }
    let known: Vec<&str> = judged.iter().filter(|who| trained.contains(*who)).map(String::as_str).collect();
    if known.is_empty() {
        return Ok(None);
    }
    let more = if known.len() > NAMED { ", …" } else { "" };
    let (count, all, names) = (known.len(), judged.len(), known[..known.len().min(NAMED)].join(", "));
    Ok(Some(format!(
        "{name} was trained on the names of {count} of the {all} that are judged ({names}{more}): if they are the same \
         people, its scores are not those of people whom it never saw."
    )))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use moue::data::Identities;
    use moue::data::split::SplitBy;

    use super::*;

    #[test]
    fn a_model_that_knows_the_judged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let checkpoint = run.join("checkpoints/step-000003");
        fs::create_dir_all(&checkpoint).unwrap();
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let split = |train: &[&str], test: &[&str]| Split {
            by: SplitBy::Identity,
            train: vec![],
            validation: vec![],
            test: vec![],
            expressions: vec![],
            identities: Identities { train: names(train), validation: vec![], test: names(test) },
        };
        let state =
            |split: &Split| fs::write(run.join("split.toml"), toml::to_string(split).unwrap()).unwrap();
        let judged = split(&["a", "b"], &["c", "d"]);
        let said = |path: &Path, protocol| warning("mine", path, &judged, protocol).unwrap();
        // Nothing is known of a model file.
        assert_eq!(said(&folder.path().join("model.safetensors"), Protocol::Test), None);
        state(&judged);
        assert_eq!(said(&run, Protocol::Test), None);
        state(&split(&["a", "d"], &["b", "c"]));
        for path in [&run, &checkpoint] {
            let text = said(path, Protocol::Test).unwrap();
            assert!(text.contains("mine") && text.contains("1 of the 2") && text.contains("(d)"), "{text}");
        }
        assert_eq!((said(&run, Protocol::Validation), said(&run, Protocol::Paper)), (None, None));
        fs::write(run.join("split.toml"), "by = \"identity\"").unwrap();
        let error = warning("mine", &run, &judged, Protocol::Test).unwrap_err();
        assert!(error.to_string().contains("split.toml"), "{error}");
    }
}
