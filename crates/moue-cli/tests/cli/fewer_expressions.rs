//! Data sets that do not show all eight expressions, as most have seven or six.

use std::fs;
use std::path::{Path, PathBuf};

use crate::judging::measure;
use crate::program::{TINY, faces, fail, files, moue, outcome, run, succeed, temporary};

/// The repository's faces but for two expressions.
fn six(parent: &Path) -> PathBuf {
    let data = parent.join("six");
    for (name, bytes) in files(Path::new(&faces())) {
        let is_of = |expression: &str| name.to_string_lossy().contains(expression);
        if is_of("contemptuous") || is_of("fearful") {
            continue;
        }
        fs::create_dir_all(data.join(&name).parent().unwrap()).unwrap();
        fs::write(data.join(&name), bytes).unwrap();
    }
    let manifest = fs::read_to_string(data.join("manifest.csv")).unwrap();
    let kept = |line: &&str| !line.contains("contemptuous_") && !line.contains("fearful_");
    let kept: Vec<&str> = manifest.lines().filter(kept).collect();
    assert!(kept.len() > 60 && kept.len() % 6 == 1, "{}", kept.len());
    fs::write(data.join("manifest.csv"), kept.join("\n") + "\n").unwrap();
    data
}

const LEARNED: &str = "angry, disgusted, happy, neutral, sad, surprised";

#[test]
fn what_no_face_shows_is_neither_learned_nor_given_nor_judged() {
    let folder = temporary();
    let place = folder.path();
    let (data, fewer) = (six(place), place.join("fewer"));
    let tiny = TINY.replace("iterations=12", "iterations=3").replace("sample_every=6", "sample_every=3");
    let trained = outcome(moue(&format!("train {tiny} --data {} --out {}", data.display(), fewer.display())));
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    assert!(
        trained.stderr.contains("no face to train on shows contemptuous, fearful: not learned"),
        "{}",
        trained.stderr
    );
    // A row a held-out person: the face itself and six expressions, with lines of two pixels between.
    let sheet = moue::base::image::read(&fewer.join("samples/step-000003.png")).unwrap();
    assert_eq!(sheet.width(), 7 * 16 + 6 * 2);

    // The run, its checkpoint and a model file of it say so.
    let model = place.join("model.safetensors");
    succeed(&format!("export {} --out {}", fewer.display(), model.display()));
    let checkpoint = fewer.join("checkpoints/step-000003");
    for model in [&fewer, &checkpoint, &model] {
        let said = succeed(&format!("info {}", model.display()));
        assert!(
            said.contains(&format!("gives       {LEARNED}\n")) && said.contains("six, 3 batches"),
            "{said}"
        );
    }
    let face = crate::program::face("006_neutral_frontal.jpg");
    let [face, model, out] = [&face, &model, &place.join("out")].map(|path| path.display().to_string());
    let translate = format!("translate {face} --aligned --model {model} --out {out}");
    fail(
        &format!("{translate} --to happy,fearful"),
        "has not learned fearful: it gives angry,",
        "faces that show it",
    );
    succeed(&format!("{translate} --to all"));
    assert_eq!(files(Path::new(&out)).len(), 6);

    // Beside a model of all expressions both are judged on what both give; alone, each on what the faces show.
    let judged = "--size 64 --draws 20";
    let compare = |models: &[&Path], more: &str| {
        let models: Vec<_> = models.iter().map(|model| model.display().to_string()).collect();
        measure(&format!("compare {} {judged} --faces 1 --out {out} {more}", models.join(" ")), place).0
    };
    let table = compare(&[run(), &fewer], "");
    assert!(table.contains("Left out: contemptuous, fearful: not given by fewer."), "{table}");
    let page = fs::read_to_string(Path::new(&out).join("index.html")).unwrap();
    let own = page.split("For comparison of shapes").next().unwrap();
    assert!(own.contains(">surprised<") && !own.contains(">fearful<"));
    let table = compare(&[run()], &format!("--data {}", data.display()));
    assert!(table.contains("Left out: contemptuous (0), fearful (0): two real images at least"), "{table}");
    let (table, _) = measure(&format!("evaluate {} {judged} --format markdown", fewer.display()), place);
    let heads = format!("|  | {} |", LEARNED.replace(", ", " | "));
    assert!(table.contains(&heads) && table.contains("60 results"), "{table}");
}

#[test]
fn all_networks_of_a_set_are_those_that_the_faces_show() {
    let folder = temporary();
    let (data, set) = (six(folder.path()), folder.path().join("set"));
    let arguments = format!(
        "train --preset pix2pix-smoke --target all --set method.channels=4 --set training.iterations=1 --data {} --out {}",
        data.display(),
        set.display()
    );
    let trained = outcome(moue(&arguments));
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    assert!(trained.stderr.contains("run 5 of 5: ") && set.join("surprised").is_dir(), "{}", trained.stderr);
    assert!(!set.join("fearful").exists());
}
