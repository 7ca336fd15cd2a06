//! `moue evaluate` and `moue compare`, with the networks that are inside the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{TINY, faces, moue, names, outcome, repository, run, temporary};

/// The program without any weights beside its own, and with its cache in `folder`.
fn alone(arguments: &str, folder: &Path) -> Command {
    let mut command = moue(arguments);
    command.env("MOUE_OFFLINE", "1").env_remove("MOUE_WEIGHTS").env("XDG_CACHE_HOME", folder.join("cache"));
    command
}

pub(crate) fn measure(arguments: &str, folder: &Path) -> (String, String) {
    let outcome = outcome(alone(arguments, folder));
    assert_eq!(outcome.code, Some(0), "moue {arguments}\n{}", outcome.stderr);
    (outcome.stdout, outcome.stderr)
}

fn refuse(arguments: &str, folder: &Path, problem: &str, remedy: &str) {
    let outcome = outcome(alone(arguments, folder));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{arguments}\n{}", outcome.stderr);
    assert!(outcome.stderr.contains(problem) && outcome.stderr.contains(remedy), "{}", outcome.stderr);
}

#[test]
fn an_evaluation_is_a_table_with_its_references_and_protocol() {
    let folder = temporary();
    // A copy, for scores are kept with the run.
    let place = folder.path().join("a-run");
    for name in names(run()) {
        fs::create_dir_all(place.join(&name).parent().unwrap()).unwrap();
        fs::copy(run().join(&name), place.join(&name)).unwrap();
    }
    let arguments = format!("evaluate {} --size 64 --draws 20", place.display());
    let (table, said) = measure(&arguments, folder.path());
    let rows: Vec<&str> = table.lines().skip(2).take(3).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(rows, ["real", "copy", "a-run"], "{table}");
    assert!(
        table.contains("face-api by expression") && table.contains("(the test part): 2 real images"),
        "{table}"
    );
    assert!(table.contains("112 results") && !table.contains("FID by expression"), "{table}");
    assert!(
        table.contains("Left out: FID") && said.contains("left out: the weights of Inception-v3"),
        "{said}"
    );
    // Known by now, and the same; in JSON as well.
    let (again, _) = measure(&arguments, folder.path());
    assert_eq!(again, table);
    let (json, _) = measure(&format!("{arguments} --format json"), folder.path());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["rows"][1]["overall"]["identity"], Value::Null);
    assert!(json["rows"][2]["overall"]["face_api"]["value"].as_f64().is_some(), "{json}");
    assert_eq!(json["rows"][2]["iteration"], 12);
    let scores = fs::read_to_string(place.join("scores.jsonl")).unwrap();
    assert_eq!(scores.lines().count(), 3);
    let line: Value = serde_json::from_str(scores.lines().next().unwrap()).unwrap();
    assert_eq!(line["row"]["name"], "a-run");
    assert!(line["description"].as_str().is_some_and(|text| text.contains("2 real images")), "{line}");

    // Under another name the same faces are parted in another way: into those that the run knows as well.
    assert!(!table.contains("a-run was trained"), "{table}");
    let renamed = folder.path().join("renamed");
    for name in names(Path::new(&faces())) {
        fs::create_dir_all(renamed.join(&name).parent().unwrap()).unwrap();
        fs::copy(Path::new(&faces()).join(&name), renamed.join(&name)).unwrap();
    }
    let (other, said) = measure(&format!("{arguments} --data {}", renamed.display()), folder.path());
    assert!(said.contains("warning: a-run was trained on the names of"), "{said}");
    assert!(other.contains("a-run was trained on the names of"), "{other}");

    // Two halves in another cache come to the same.
    let cache = folder.path().join("shared");
    let halves = format!("{arguments} --cache {}", cache.display());
    for shard in ["0/2", "1/2"] {
        assert_eq!(measure(&format!("{halves} --shard {shard}"), folder.path()).0, "");
    }
    let measured = names(&cache).len();
    assert_eq!(measure(&halves, folder.path()).0, table);
    assert_eq!(names(&cache).len(), measured, "the parts measured everything");
}

#[test]
fn a_plan_is_trained_and_compared_on_one_page() {
    let folder = temporary();
    let plan = folder.path().join("plan.toml");
    let settings = TINY.split(" --set ").skip(1).map(|setting| format!("{:?}", setting.trim()));
    let (network, common): (Vec<String>, Vec<String>) =
        settings.partition(|setting| setting.contains("method."));
    let (network, common) = (network.join(", "), common.join(", "));
    let text = format!(
        "settings = [{common}, \"training.iterations=3\"]\n\
         [[run]]\nname = \"attention\"\npreset = \"smoke\"\nsettings = [{network}]\n\
         [[run]]\nname = \"plain\"\npreset = \"stargan-smoke\"\nsettings = [{network}]\n\
         [[run]]\nname = \"pairs\"\npreset = \"pix2pix-smoke\"\nsettings = [\"method.channels=4\"]\ntarget = \"all\"\n"
    );
    fs::write(&plan, text).unwrap();
    let [runs, out] = ["runs", "page"].map(|name| folder.path().join(name));
    let arguments = format!(
        "compare --train {} --data {} --runs {} --out {} --size 64 --draws 20 --faces 1",
        plan.display(),
        faces(),
        runs.display(),
        out.display()
    );
    let (table, said) = measure(&arguments, folder.path());
    assert!(said.contains("run 1 of 3") && said.contains("network 7 of 7: surprised"), "{said}");
    assert!(["attention", "plain", "pairs"].iter().all(|name| table.contains(name)), "{table}");
    assert!(table.ends_with("index.html\n"));
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("attention, plain, pairs on faces") && page.contains("generator reconstruction"));
    let figure = fs::read(out.join("figure-3.png")).unwrap();
    let first: Value = serde_json::from_slice(&fs::read(out.join("evaluation.json")).unwrap()).unwrap();
    assert_eq!(first["rows"].as_array().unwrap().len(), 5);
    let (_, said) = measure(&arguments, folder.path());
    assert_eq!(said.matches("trained already").count(), 9, "{said}");
    // Were the plan another one now, its names would stand for what they are not.
    let text = fs::read_to_string(&plan).unwrap();
    fs::write(&plan, text.replace("training.iterations=3", "training.iterations=4")).unwrap();
    refuse(&arguments, folder.path(), "training.iterations = 3, not 4", "--runs");
    fs::write(&plan, text.replace("\"all\"", "\"happy\"")).unwrap();
    refuse(&arguments, folder.path(), "run pairs: it has no network for angry", "target = \"all\"");
    // But for how fast results are made it is the same.
    let again: Value = serde_json::from_slice(&fs::read(out.join("evaluation.json")).unwrap()).unwrap();
    assert_eq!(again["rows"][2]["overall"], first["rows"][2]["overall"]);
    assert!(fs::read(out.join("figure-3.png")).unwrap() == figure);
}

#[test]
fn a_plan_s_time_ends_each_run_and_is_not_spent_twice() {
    let folder = temporary();
    let [plan, runs] = ["plan.toml", "runs"].map(|name| folder.path().join(name));
    let settings =
        "settings = [\"training.iterations=1000000\", \"output.log_every=1\", \"method.channels=4\"]";
    let text = format!(
        "minutes = 0.03\n[[run]]\nname = \"pairs\"\npreset = \"pix2pix-smoke\"\ntarget = \"all\"\n{settings}\n"
    );
    fs::write(&plan, text).unwrap();
    let arguments = format!(
        "compare --train {} --data {} --runs {} --size 64 --draws 20 --faces 1 --out {}",
        plan.display(),
        faces(),
        runs.display(),
        folder.path().join("page").display()
    );
    let (_, said) = measure(&arguments, folder.path());
    assert_eq!(said.matches("stopped after batch").count(), 7, "{said}");
    let (_, said) = measure(&arguments, folder.path());
    assert_eq!(said.matches("trained already").count(), 7, "{said}");
}

#[test]
fn what_cannot_be_judged_is_named_with_a_remedy() {
    let folder = temporary();
    let place = folder.path();
    let model = repository("assets/models/default.safetensors").display().to_string();
    refuse(&format!("evaluate {model}"), place, "does not say on which images", "--data");
    refuse(&format!("evaluate {model} --data {}", place.display()), place, "error:", "hint:");
    refuse("compare", place, "nothing to compare", "--train");
    refuse("compare --train no-such-plan --data x", place, "no-such-plan", "ablation and methods");
    refuse("compare --train methods", place, "nothing to train on", "--data");
    refuse(
        &format!("evaluate {} --inception {model}", run().display()),
        place,
        "default.safetensors",
        "hint:",
    );
    let outcome = outcome(alone(&format!("evaluate {model} --shard 3/3"), place));
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
}
