//! Bad input to training: it is named before training begins, and the same command works once it is mended.

use std::fs;
use std::path::Path;

use crate::program::{
    TINY, assert_equal_checkpoints, face, faces, fail, files, repository, run, succeed, temporary,
};

/// Training on `data` into `folder/run` fails and leaves no run.
fn fail_to_train(data: &Path, folder: &Path, problem: &str, remedy: &str) {
    let (before, out) = (files(data), folder.join("run"));
    fail(&format!("train {TINY} --data {} --out {}", data.display(), out.display()), problem, remedy);
    assert!(!out.exists(), "nothing is left that refuses the next start");
    assert!(files(data) == before, "the data set is as it was");
}

fn train(data: &Path, folder: &Path) {
    succeed(&format!("train {TINY} --data {} --out {}", data.display(), folder.join("run").display()));
}

/// A folder of classes with four faces each.
fn classes(root: &Path, names: &[&str]) {
    for class in names {
        fs::create_dir_all(root.join(class)).unwrap();
        for person in ["006", "010", "011", "024"] {
            let file = root.join(class).join(format!("{person}.jpg"));
            fs::copy(face(&format!("{person}_{class}_frontal.jpg")), file).unwrap();
        }
    }
}

#[test]
fn a_wrong_folder_level_is_named_with_the_right_one() {
    let folder = temporary();
    let data = folder.path().join("above/data");
    classes(&data, &["happy", "sad"]);
    let right = data.display().to_string();
    fail_to_train(&folder.path().join("above"), folder.path(), "no class folders", &right);
    fail_to_train(&data.join("happy"), folder.path(), "only a part of a data set", &right);
    let one = folder.path().join("one");
    classes(&one, &["happy"]);
    fail_to_train(&one, folder.path(), "show one expression, happy", "a folder for each expression");
    fail_to_train(&repository("assets"), folder.path(), "no class folders, but faces/", "assets/faces");
    fail_to_train(&repository("assets/faces/006"), folder.path(), "only a part", "assets/faces");
    let missing = folder.path().join("none");
    fail(&format!("train {TINY} --data {}", missing.display()), "none", "typing error");
    fail("train --preset smoke", "nothing to train on", "--data");
}

#[test]
fn a_class_without_an_image_is_named() {
    let folder = temporary();
    let data = folder.path().join("data");
    classes(&data, &["happy", "sad"]);
    fs::create_dir(data.join("angry")).unwrap();
    fail_to_train(&data, folder.path(), "angry: this class folder holds no image", "remove the folder");
    fs::remove_dir(data.join("angry")).unwrap();
    classes(&data.join(".."), &["happy"]); // beside the data set, and none of its business
    train(&data, folder.path());
}

#[test]
fn damaged_images_are_named_before_training() {
    let folder = temporary();
    let data = folder.path().join("data");
    classes(&data, &["happy", "sad"]);
    let [first, second] = ["happy/006.jpg", "sad/024.jpg"].map(|name| data.join(name));
    let whole = fs::read(&first).unwrap();
    fs::write(&first, &whole[..whole.len() / 2]).unwrap();
    fail_to_train(&data, folder.path(), "006.jpg: the image is damaged", "replace or remove");
    fs::write(&second, "text").unwrap();
    fail_to_train(&data, folder.path(), "2 of 8 images cannot be used", "024.jpg");
    fs::write(&first, &whole).unwrap();
    fs::remove_file(second).unwrap();
    train(&data, folder.path());
}

#[test]
fn mistakes_in_a_manifest_are_named_with_their_line() {
    let folder = temporary();
    let data = folder.path().join("data");
    classes(&data, &["happy", "sad"]);
    let rows: Vec<_> = files(&data)
        .into_keys()
        .map(|path| format!("{0},{1}\n", path.display(), path.parent().unwrap().display()))
        .collect();
    let manifest =
        |head: &str, rows: &str| fs::write(data.join("manifest.csv"), format!("{head}\n{rows}")).unwrap();
    let rows = rows.concat();
    manifest("file,expression", &rows.replacen(",happy", ",hungry", 1));
    fail_to_train(&data, folder.path(), "line 2: 'hungry' is no expression", "surprised");
    manifest("file,expression", &rows.replacen("010.jpg", "gone.jpg", 1));
    fail_to_train(&data, folder.path(), "gone.jpg", "manifest");
    manifest("file,label", &rows);
    fail_to_train(&data, folder.path(), "no column 'expression'", "file, label");
    manifest("file,expression", "");
    fail_to_train(&data, folder.path(), "manifest", "");
    manifest("file,expression", &rows);
    train(&data, folder.path());
}

#[test]
fn too_few_images_for_a_batch_are_named() {
    let folder = temporary();
    let data = folder.path().join("data");
    classes(&data, &["happy", "sad"]);
    let out = folder.path().join("run");
    fail(
        &format!(
            "train {TINY} --set training.batch_size=16 --data {} --out {}",
            data.display(),
            out.display()
        ),
        "too few for a batch of 16",
        "batch_size",
    );
    assert!(!out.exists());
}

#[test]
fn wrong_settings_are_named() {
    let folder = temporary();
    let config = folder.path().join("mine.toml");
    fs::write(&config, "seed = \n").unwrap();
    let out = folder.path().join("run");
    let rest = format!("--data {} --out {}", faces(), out.display());
    for (arguments, problem, remedy) in [
        ("--preset big".to_string(), "no preset 'big'", "stargan"),
        ("--preset smoke --set method.chanels=3".into(), "chanels", "--dry-run"),
        ("--preset smoke --set training.batch_size=many".into(), "many", "--dry-run"),
        ("--preset smoke --set batch_size".into(), "'batch_size' is no setting", "--set"),
        ("--preset smoke --set method.image_size=20".into(), "cannot be halved", "multiple"),
        ("--preset smoke --set method.discriminator_layers=0".into(), "cannot be halved", "layers"),
        ("--preset smoke --set method.channels=0".into(), "channels", "at least 1"),
        (format!("--config {}", config.display()), "mine.toml", "correct the file"),
        (format!("--config {}", folder.path().join("none.toml").display()), "none.toml", "typing error"),
    ] {
        fail(&format!("train {arguments} {rest}"), problem, remedy);
        assert!(!out.exists(), "{arguments}");
    }
}

/// A copy of the shared run, as it was after its sixth batch.
fn unfinished(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("run");
    for (name, bytes) in files(run()) {
        if !name.starts_with("checkpoints/step-000012") {
            fs::create_dir_all(path.join(&name).parent().unwrap()).unwrap();
            fs::write(path.join(name), bytes).unwrap();
        }
    }
    path
}

#[test]
fn a_damaged_run_is_refused_and_goes_on_once_it_is_mended() {
    let folder = temporary();
    let path = unfinished(folder.path());
    let resume = format!("train --resume {}", path.display());
    let broken = |name: &str, bytes: Option<&[u8]>, problem: &str, remedy: &str| {
        let file = path.join(name);
        let whole = fs::read(&file).unwrap();
        match bytes {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        fail(&resume, problem, remedy);
        fs::write(file, whole).unwrap();
    };
    let text = fs::read_to_string(path.join("run.toml")).unwrap();
    let other = text.replace("channels = 4", "channels = 8");
    broken("run.toml", Some(other.as_bytes()), "another configuration", "restore the run.toml");
    let other = text.replace("lambda_reconstruction = 10.0", "lambda_reconstruction = 5.0");
    broken("run.toml", Some(other.as_bytes()), "another configuration", "--init");
    broken("run.toml", Some(b"seed = "), "run.toml", "--dry-run");
    broken("run.toml", Some(b"\xff\xfe"), "run.toml", "damaged");
    broken("run.toml", None, "this is no run's folder", "run.toml");
    let part = "checkpoints/step-000006/generator.weights.safetensors";
    let whole = fs::read(path.join(part)).unwrap();
    broken(part, Some(&whole[..whole.len() / 2]), "damaged or cut off", "delete this checkpoint's folder");
    broken(part, None, "is missing", "delete this checkpoint's folder");
    let state = "checkpoints/step-000006/state.json";
    broken(state, Some(b"{"), "state.json", "delete this checkpoint's folder");
    broken(state, None, "no state.json", "delete this checkpoint's folder");
    fail(&format!("train --resume {}", folder.path().join("none").display()), "none", "typing error");
    fail(&format!("{resume} --data {}", folder.path().join("none").display()), "none", "typing error");

    assert_eq!(files(&path).len(), files(run()).len() - 6, "no file came or went");
    succeed(&resume);
    assert_equal_checkpoints(&path, run());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = temporary();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let train = format!("train {TINY} --data {}", faces());
    fail(&format!("{train} --out {}/run", file.display()), "cannot write", "--out");
    fail(&format!("{train} --out {}", file.display()), "cannot write", "--out");
    if cfg!(target_os = "linux") {
        fail(&format!("{train} --out /proc/moue"), "cannot write /proc/moue", "--out");
    }
    assert_eq!(fs::read(file).unwrap(), b"in the way");
}
