//! Training: resumed after any end, the same at any number of threads, and what a run folder holds.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::program::{
    TINY, assert_equal_checkpoints, faces, fail, files, moue, outcome, run, succeed, temporary, wait_until,
};

/// [`TINY`], slow enough to be caught at work: 40 batches.
fn longer(out: &Path) -> String {
    format!("train {TINY} --set training.iterations=40 --data {} --out {}", faces(), out.display())
}

fn start(arguments: &str) -> Child {
    moue(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn logged(run: &Path, text: &str) -> bool {
    fs::read_to_string(run.join("events.jsonl")).is_ok_and(|log| log.contains(text))
}

#[test]
fn a_killed_run_resumes_bit_equal() {
    let folder = temporary();
    let whole = folder.path().join("whole");
    succeed(&longer(&whole));
    type Moment = fn(&Path) -> bool;
    let moments: [(&str, Moment); 4] = [
        ("before the first checkpoint", |run| logged(run, "\"event\":\"step\",\"iteration\":1,")),
        ("a batch after a checkpoint", |run| logged(run, "\"event\":\"step\",\"iteration\":7,")),
        ("a checkpoint's beginning", |run| run.join("checkpoints/.step-000015.partial").exists()),
        ("a checkpoint's end", |run| run.join("checkpoints/step-000018").exists()),
    ];
    for (n, (moment, reached)) in moments.into_iter().enumerate() {
        let path = folder.path().join(format!("killed-{n}"));
        let mut child = start(&longer(&path));
        // The hidden folder lives for milliseconds: its checkpoint's appearance is near enough where it was missed.
        wait_until(&mut child, moment, || reached(&path) || path.join("checkpoints/step-000018").exists());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it was killed, not done");
        succeed(&format!("train --resume {}", path.display()));
        assert_equal_checkpoints(&path, &whole);
    }
}

#[cfg(unix)]
#[test]
fn signals_end_with_a_checkpoint_and_say_how_to_go_on() {
    let folder = temporary();
    let whole = folder.path().join("whole");
    succeed(&longer(&whole));
    for signal in ["TERM", "INT"] {
        let path = folder.path().join(signal);
        let mut child = start(&format!("{} --device cpu --exact", longer(&path)));
        wait_until(&mut child, "a batch", || logged(&path, "\"event\":\"step\",\"iteration\":4,"));
        let kill = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(
            stderr.contains(&format!(
                "go on with: moue train --resume {} --device cpu --exact\n",
                path.display()
            )),
            "{stderr}"
        );
        let last = fs::read_to_string(path.join("events.jsonl")).unwrap();
        let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
        assert_eq!((&last["event"], &last["complete"]), (&"ended".into(), &false.into()), "{last}");
        let iteration = last["iteration"].as_u64().unwrap();
        assert!(path.join(format!("checkpoints/step-{iteration:06}/state.json")).exists());
        succeed(&format!("train --resume {}", path.display()));
        assert_equal_checkpoints(&path, &whole);
    }
}

#[test]
fn threads_and_workers_change_no_byte() {
    let folder = temporary();
    for (threads, workers) in [(1, 1), (2, 3)] {
        let out = folder.path().join(format!("threads-{threads}"));
        succeed(&format!(
            "train {TINY} --threads {threads} --workers {workers} --data {} --out {}",
            faces(),
            out.display()
        ));
        assert_equal_checkpoints(&out, run());
        assert_eq!(files(&out.join("samples")), files(&run().join("samples")));
    }
}

#[test]
fn a_quiet_run_says_nothing() {
    let folder = temporary();
    let out = folder.path().join("run");
    let arguments = format!("train {TINY} --quiet --data {} --out {}", faces(), out.display());
    let outcome = outcome(moue(&arguments));
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn attgan_trains_goes_on_and_translates() {
    let folder = temporary();
    let [run, results] = ["run", "results"].map(|name| folder.path().join(name));
    let tiny = "--preset attgan-smoke --set training.iterations=7 --set output.log_every=1 --set output.sample_every=7 \
                --set output.checkpoint_every=7 --set method.image_size=16 --set method.channels=4 \
                --set method.layers=2 --set method.discriminator_channels=4 --set method.discriminator_layers=2";
    succeed(&format!("train {tiny} --data {} --out {}", faces(), run.display()));
    // Two of the discriminator's, one of the generator's, each on a batch.
    let last = fs::read_to_string(run.join("checkpoints/step-000007/state.json")).unwrap();
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["updates"], serde_json::json!({ "discriminator": 5, "generator": 2 }));
    let before = files(&run.join("checkpoints"));
    succeed(&format!("train --resume {}", run.display()));
    assert_eq!(files(&run.join("checkpoints")), before, "it was done");
    let face = crate::program::face("006_neutral_frontal.jpg");
    let [input, model, out] = [&face, &run, &results].map(|path| path.display());
    succeed(&format!("translate {input} --aligned --model {model} --to happy,sad --out {out}"));
    assert_eq!(files(&results).len(), 2);
}

#[test]
fn another_seed_is_another_run() {
    let folder = temporary();
    let out = folder.path().join("run");
    succeed(&format!("train {TINY} --seed 1 --data {} --out {}", faces(), out.display()));
    assert_ne!(files(&out.join("checkpoints")), files(&run().join("checkpoints")));
    assert!(fs::read_to_string(out.join("run.toml")).unwrap().contains("\nseed = 1\n"));
}

#[test]
fn a_run_folder_holds_what_the_house_says() {
    let mut names: Vec<_> = fs::read_dir(run()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["checkpoints", "events.jsonl", "run.lock", "run.toml", "samples", "split.toml"]);
    let samples: Vec<_> = files(&run().join("samples")).into_keys().collect();
    assert_eq!(samples, [Path::new("step-000006.png"), Path::new("step-000012.png")]);
    // A row a held-out person, the face itself and eight expressions, with lines of two pixels between.
    let sheet = moue::base::image::read(&run().join("samples/step-000012.png")).unwrap();
    assert_eq!(sheet.dimensions(), (9 * 16 + 8 * 2, 2 * 16 + 2));
}

#[test]
fn a_dry_run_prints_what_config_reads_back() {
    let folder = temporary();
    let file = folder.path().join("mine.toml");
    let arguments = "train --preset stargan --set method.channels=32 --set output.log_every=7 --dry-run";
    let printed = succeed(arguments);
    fs::write(&file, &printed).unwrap();
    assert_eq!(succeed(&format!("train --config {} --dry-run", file.display())), printed);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    for preset in [
        "paper",
        "sasn",
        "sasn-small",
        "small",
        "smoke",
        "stargan-small",
        "stargan-smoke",
        "attgan",
        "attgan-small",
        "attgan-smoke",
        "pix2pix",
        "cyclegan-small",
    ] {
        let printed = succeed(&format!("train --preset {preset} --dry-run"));
        let name = printed.lines().next().unwrap().split('"').nth(1).unwrap().to_string();
        let stored = crate::program::repository("presets").join(format!("{name}.toml"));
        assert_eq!(printed, fs::read_to_string(stored).unwrap());
    }
}

#[test]
fn images_of_other_sizes_are_resized() {
    let folder = temporary();
    let data = folder.path().join("mixed");
    for (class, names) in [("happy", ["006", "010"]), ("sad", ["011", "024"])] {
        fs::create_dir_all(data.join(class)).unwrap();
        for (name, side) in names.into_iter().zip([40, 300]) {
            let face = crate::program::face(&format!("{name}_{class}_frontal.jpg"));
            let image = moue::base::image::square(moue::base::image::read(&face).unwrap(), side);
            let path = data.join(class).join(format!("{name}.png"));
            moue::base::image::write_png(&moue::base::file::FileSystem, &path, &image).unwrap();
            fs::copy(&face, data.join(class).join(format!("{name}.jpg"))).unwrap();
        }
    }
    let out = folder.path().join("run");
    let portrait = data.join("happy/elder.jpg");
    fs::copy(crate::program::repository("assets/portraits/elder.jpg"), portrait).unwrap();
    succeed(&format!("train {TINY} --data {} --out {}", data.display(), out.display()));
    assert!(out.join("checkpoints/step-000012/state.json").exists());
}

#[test]
fn a_run_starts_from_another_s_weights() {
    let folder = temporary();
    let [out, file] = ["run", "model.safetensors"].map(|name| folder.path().join(name));
    succeed(&format!("export {} --out {}", run().display(), file.display()));
    let arguments = format!("train {TINY} --data {} --out {}", faces(), out.display());
    succeed(&format!("{arguments} --init {}", file.display()));
    assert_ne!(files(&out.join("checkpoints")), files(&run().join("checkpoints")));
    fs::remove_dir_all(&out).unwrap();
    // A run's discriminator comes with its generator; here it learns nothing, so it is still the same one.
    let untaught = "--set training.iterations=1 --set method.learning_rates.discriminator=0";
    succeed(&format!("{arguments} {untaught} --init {}", run().display()));
    let discriminator = |run: &Path, checkpoint: &str| {
        let file = format!("checkpoints/{checkpoint}/discriminator.weights.safetensors");
        moue::run::exchange::Tensors::read(&fs::read(run.join(&file)).unwrap(), &run.join(file)).unwrap()
    };
    let (learned, taken_over) = (discriminator(run(), "step-000012"), discriminator(&out, "step-000001"));
    // The vectors of spectral norm do advance.
    let weights = learned.values.iter().filter(|(name, _)| name.ends_with(".weight"));
    assert!(weights.clone().count() > 2 && weights.into_iter().all(|(n, w)| taken_over.values[n] == *w));
    fs::remove_dir_all(&out).unwrap();
    let other = "--set method.image_size=32 --set method.channels=8";
    fail(&format!("{arguments} {other} --init {}", file.display()), "another configuration", "weights");
    assert!(!out.exists(), "a start that failed leaves nothing that refuses the next");
}

#[test]
fn a_run_killed_before_its_first_batch_keeps_what_it_started_from() {
    let folder = temporary();
    let [whole, killed, file] = ["whole", "killed", "model.safetensors"].map(|name| folder.path().join(name));
    succeed(&format!("export {} --out {}", run().display(), file.display()));
    let arguments =
        |out: &Path| format!("{} --set output.checkpoint_every=0 --init {}", longer(out), file.display());
    succeed(&arguments(&whole));
    let mut child = start(&arguments(&killed));
    wait_until(&mut child, "a batch", || logged(&killed, "\"event\":\"step\",\"iteration\":1,"));
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it was killed, not done");
    assert!(killed.join("checkpoints/step-000000/state.json").exists());
    succeed(&format!("train --resume {}", killed.display()));
    assert_equal_checkpoints(&killed, &whole); // the one of batch 40: that of batch 0 has gone
}

#[test]
fn a_folder_in_use_is_refused_and_untouched() {
    let folder = temporary();
    let path = folder.path().join("run");
    let mut child = start(&longer(&path).replace("iterations=40", "iterations=4000"));
    wait_until(&mut child, "a batch", || logged(&path, "\"event\":\"step\""));
    fail(&format!("train --resume {}", path.display()), "another process is training", "wait for it");
    fail(&longer(&path), "the folder is not empty", &format!("moue train --resume {}", path.display()));
    child.kill().unwrap();
    child.wait().unwrap();
    let before = files(&path);
    fail(&longer(&path), "the folder is not empty", "--resume");
    assert!(files(&path) == before, "nothing is lost");
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("notes.txt"), "mine").unwrap();
    fail(&longer(&other), "the folder is not empty", "new or empty folder");
    assert_eq!(files(&other).len(), 1);
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let run = run().display().to_string();
    for arguments in [
        "train --preset paper --dry-run".to_string(),
        "completions bash".to_string(),
        "--help".to_string(),
        format!("info {run}"),
        format!("info {run} --json"),
    ] {
        let shell = format!("{} {arguments} | head -0", env!("CARGO_BIN_EXE_moue"));
        let mut command = Command::new("bash");
        command.args(["-c", &format!("set -o pipefail; {shell}")]);
        let outcome = outcome(command);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{arguments}");
    }
}
